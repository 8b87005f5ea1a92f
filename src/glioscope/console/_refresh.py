"""A page that shows what others store: told by the theatre in whatever thread, drawn again in the page's own."""

from collections.abc import Awaitable, Callable, Collection
from typing import Final, Protocol

from nicegui import context, ui

_LOOK_S: Final = 0.7


class Telling(Protocol):
    """What is asked of the theatre."""

    def listen(self, listener: Callable[[str, dict[str, object]], None]) -> Callable[[], None]:
        """Be told of everything that happens; what is returned ends it."""


def refresh_on(theatre: Telling, kinds: Collection[str], redraw: Callable[[], Awaitable[None]]) -> None:
    """Call `redraw` within a second of something of these kinds; ends with the page.

    However much happens in between, the page is drawn once.
    """
    happened: list[str] = []

    def hear(kind: str, _facts: dict[str, object]) -> None:
        if kind in kinds:
            happened.append(kind)

    async def look() -> None:
        if happened:
            happened.clear()
            await redraw()

    leave = theatre.listen(hear)
    ui.timer(_LOOK_S, look)
    context.client.on_delete(leave)

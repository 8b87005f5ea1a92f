"""Taking a specimen: eight sectors in a ring, the number that comes next, and the button that takes."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nicegui import context, ui
from nicegui.events import GenericEventArguments

from glioscope.cases import Action
from glioscope.core import InputError

from ._cavity_map import N_SECTORS, sector_angle
from ._frame_page import button
from ._page_theatre_state import PageState

if TYPE_CHECKING:
    from ._taken import Taken

_RING_PX, _BUTTON_PX = 210, 58
_LONGEST_ID = 64


class TakeControl:
    """Ring and buttons. The press itself is caught in the browser (`static/theatre.js`) and comes as an event.

    Parameters
    ----------
    taken : told of new specimens as soon as they are there, the newest last.
    failed : told when a press brought none.
    """

    def __init__(self, state: PageState, taken: Callable[[list["Taken"]], None], failed: Callable[[], None]) -> None:
        self._state, self._taken, self._failed = state, taken, failed
        with ui.element("div").classes("gs-panel gs-taking"):
            self._draw_ring()
            if state.actor.may(Action.TAKE):
                self._draw_buttons()
        ui.on("gs_sector", self._key_sector)
        ui.on("gs_take", self._pressed)

    def draw(self) -> None:
        """The number that comes next."""
        case = self._state.seen.case
        number = "–" if case is None else str(max((s.number for s in case.specimens), default=0) + 1)
        self._number.set_text(number)

    def _draw_ring(self) -> None:
        """The same places as on the map: sector 1 right of 12 o'clock, then clockwise."""
        words = self._state.words
        self._buttons: dict[int, ui.button] = {}
        middle, radius = _RING_PX / 2, (_RING_PX - _BUTTON_PX) / 2
        label = words["theatre.sectors"]
        with ui.element("div").classes("gs-ring").props(f'role=group aria-label="{label}"'):
            for sector in range(1, self._state.console.settings.theatre.sectors + 1):
                turn = 2 * math.pi * sector_angle(sector) / N_SECTORS
                left = middle + radius * math.sin(turn) - _BUTTON_PX / 2
                top = middle - radius * math.cos(turn) - _BUTTON_PX / 2
                made = button(str(sector), lambda sector=sector: self.choose(sector), "gs-sector")
                made.style(f"left: {left:.1f}px; top: {top:.1f}px").mark(f"sector-{sector}")
                self._buttons[sector] = made
            with ui.element("div").classes("gs-next"):
                ui.label(words["theatre.next"]).classes("gs-dim gs-small")
                self._number = ui.label().classes("gs-next-number")

    def _draw_buttons(self) -> None:
        words = self._state.words
        key = self._state.console.settings.take_key
        with ui.element("div").classes("gs-take-buttons"):
            for tray, name in ((False, "take"), (True, "tray")):
                look = "gs-tray-button" if tray else "gs-take-button"
                made = ui.element("button").classes(look).props(f'type=button data-take="{name}"').mark(name)
                with made:
                    ui.label(words[f"theatre.{name}"]).classes("gs-idle")
                    ui.label(words["theatre.taking"]).classes("gs-busy")
                    if not tray:
                        ui.label(words("theatre.take_hint", name=key)).classes("gs-hint")

    def choose(self, sector: int) -> None:
        """Choose a sector for what comes next; the same one again: not told."""
        self._state.sector = None if sector == self._state.sector else sector
        for number, made in self._buttons.items():
            chosen = number == self._state.sector
            made.classes(add="gs-chosen") if chosen else made.classes(remove="gs-chosen")

    def _key_sector(self, event: GenericEventArguments) -> None:
        sector = event.args
        if isinstance(sector, int) and sector in self._buttons and sector != self._state.sector:
            self.choose(sector)

    async def _pressed(self, event: GenericEventArguments) -> None:
        """A press of key, pedal or button, with the id that the browser gave it."""
        client = context.client
        request_id, tray = _read_press(event.args)
        theatre, sector, case = self._state.console.theatre, self._state.sector, self._state.seen.case
        case_id = case.case_id if case is not None else None

        def work(actor: Any) -> "list[Taken]":
            if tray:
                return theatre.take_tray(actor, sector=sector, request_id=request_id, case_id=case_id)
            return [theatre.take(actor, sector=sector, request_id=request_id, case_id=case_id)]

        if not await self._state.act(work, then=self._taken):
            self._failed()
        client.run_javascript(f'glioscopeTaken("{request_id}")')


def _read_press(args: object) -> tuple[str, bool]:
    """Identifier of a press, and whether it is for a tray. Raises InputError for what no page of ours sends."""
    press = args if isinstance(args, dict) else {}
    request_id = press.get("request_id")
    known = isinstance(request_id, str) and 8 <= len(request_id) <= _LONGEST_ID
    if not isinstance(request_id, str) or not known or not request_id.replace("-", "").isalnum():
        raise InputError("a press without a usable identifier was refused")
    return request_id, press.get("tray") is True

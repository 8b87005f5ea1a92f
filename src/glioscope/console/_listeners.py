"""Who is told what happens in theatre."""

import logging
from collections.abc import Callable
from typing import Any, Final

Listener = Callable[[str, dict[str, Any]], None]
_LOG: Final = logging.getLogger("glioscope.console")


class Listeners:
    """Those who listen; for several threads."""

    def __init__(self) -> None:
        self._all: tuple[Listener, ...] = ()

    def add(self, listener: Listener) -> Callable[[], None]:
        """Have a listener told from now on; the result, called once or more, ends that."""
        self._all = (*self._all, listener)

        def leave() -> None:
            self._all = tuple(kept for kept in self._all if kept is not listener)

        return leave

    def tell(self, kind: str, facts: dict[str, Any]) -> None:
        """Tell all; a listener that fails is logged by kind alone, and the others are told."""
        for listener in self._all:
            try:
                listener(kind, facts)
            except Exception:  # what was done is done, whoever fails to hear of it
                _LOG.exception("a listener failed at %s", kind)

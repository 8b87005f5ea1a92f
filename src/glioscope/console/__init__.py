"""The theatre's console: one operator, one browser, a whole operation.

In: an imaging unit, a locked suite and a case store. Out: pages, a live view and JSON (`serve_console`). What happens
in theatre is `Theatre`, which knows no web (`_theatre*`, `_take`, `_capture`, `_light`, `_status`); who gets in is the
guard (`_routes`, `_guard`, `_login`, `_sessions`); pictures are `_live*`; pages `_page_*` on `_frame_page`;
every sentence is in `words/`. Next room up: `cli`, which hands in unit, suite and store.
"""

from ._app import import_pages, make_app, serve_console
from ._console import Console
from ._settings import ConsoleSettings
from ._theatre import Theatre
from ._theatre_settings import TheatreSettings
from ._words import Words

__all__ = [
    "Console",
    "ConsoleSettings",
    "Theatre",
    "TheatreSettings",
    "Words",
    "import_pages",
    "make_app",
    "serve_console",
]

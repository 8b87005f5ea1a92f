"""What every page has round it: the notice, who is logged in, where to go, and one place for what went wrong."""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar, cast
from weakref import WeakKeyDictionary

from nicegui import Client, app, context, run, ui

from glioscope import RESEARCH_USE, __version__
from glioscope.cases import Action, Actor
from glioscope.core import GlioscopeError

from ._words import Words

if TYPE_CHECKING:
    from ._console import Console
    from ._guard import Login

T = TypeVar("T")

_log = logging.getLogger("glioscope.console")

NAVIGATION: Final = (
    ("theatre", "/", Action.WATCH),
    ("cases", "/cases", Action.READ),
    ("unit", "/unit", Action.WATCH),
    ("accounts", "/accounts", Action.MANAGE_ACCOUNTS),
    ("audit", "/audit", Action.AUDIT),
)
"""Name, path, and the action that a role must reach for to be led there."""


@contextmanager
def page_frame(
    console: "Console", login: "Login", title: str, *, simulated: bool | None = None, fixed: bool = False
) -> Iterator[None]:
    """Header, place for errors, and the column into which the page's own elements go.

    Parameters
    ----------
    title : of the browser's tab.
    simulated : whether the page shows simulated data; None: as the imaging unit says.
    fixed : the page fills the screen and never scrolls (theatre); else it is a column that scrolls.
    """
    if simulated is None:
        simulated = console.theatre.status().data_kind == "simulated"
    ui.dark_mode(True)
    ui.page_title(f"{title} · glioscope")
    ui.add_head_html(f'<link rel="stylesheet" href="/static/console.css?{__version__}">')
    ui.context.client.content.classes("gs-page gs-fixed" if fixed else "gs-page")
    _header(console.words, login.actor, simulated=simulated)
    _PLACES[context.client] = ErrorPlace(console.words)
    with ui.element("main").classes("gs-main"):
        yield


class ErrorPlace:
    """One line below the header: empty, or one sentence that stays until the next action."""

    def __init__(self, words: Words) -> None:
        with ui.element("div").classes("gs-error").props("role=alert id=gs-error") as self._line:
            ui.label(words["frame.error_sign"]).classes("gs-error-sign")
            self._text = ui.label().classes("gs-error-text")
            button(words["frame.clear_error"], lambda: self.say(""), "gs-quiet")
        self._line.set_visibility(False)

    def say(self, sentence: str) -> None:
        """Show a sentence; empty: nothing."""
        self._text.set_text(sentence[:1].upper() + sentence[1:])
        self._line.set_visibility(bool(sentence))


_PLACES: WeakKeyDictionary[Client, ErrorPlace] = WeakKeyDictionary()


def say_error(error: GlioscopeError | str) -> None:
    """Show one sentence in the page's place for errors; it stays until the next action."""
    _PLACES[context.client].say(str(error))


def clear_error() -> None:
    """Empty the place for errors."""
    _PLACES[context.client].say("")


async def act(
    console: "Console", login: "Login", work: Callable[[Actor], T], *, then: Callable[[T], object] | None = None
) -> bool:
    """Do what somebody asked for: session looked up again, work in a thread, an error as one sentence.

    Parameters
    ----------
    work : may block; is given whoever acts.
    then : is given what `work` returned, in the page again.

    Returns
    -------
    False where it failed; the page then says why.
    """
    place = _PLACES[context.client]
    place.say("")
    try:
        result = await run.io_bound(lambda: work(console.actor(login)))
    except GlioscopeError as error:
        place.say(str(error))
        return False
    except Exception as error:
        # The text of an unforeseen error may hold what a log must not: kind and place are enough to find it.
        where = traceback.extract_tb(error.__traceback__)[-1]
        _log.error("an action failed: %s in %s, line %s", type(error).__name__, where.name, where.lineno)
        place.say(console.words["frame.internal"])
        return False
    if app.is_stopping:
        return False
    if then is not None:
        then(cast("T", result))
    return True


def button(text: str, on_click: Callable[..., object] | None = None, look: str = "") -> ui.button:
    """A button as large as gloves need; `look` names further classes ("gs-quiet", "gs-strong", "gs-danger")."""
    made = ui.button(text, on_click=on_click, color=None).props("unelevated no-caps")
    return made.classes(f"gs-button {look}")


@contextmanager
def asking(title: str) -> Iterator[ui.dialog]:
    """A dialog that is open and goes away for good when it is closed."""
    with ui.dialog() as dialog, ui.card().classes("gs-dialog"):
        ui.label(title).classes("gs-dialog-title")
        yield dialog
    dialog.on("hide", dialog.delete)
    dialog.open()


def _header(words: Words, actor: Actor, *, simulated: bool) -> None:
    with ui.element("header").classes("gs-header"):
        ui.label("glioscope").classes("gs-name")
        with ui.element("nav").classes("gs-nav").props(f'aria-label="{words["frame.nav.label"]}"'):
            for name, path, action in NAVIGATION:
                if actor.may(action):
                    ui.link(words[f"frame.nav.{name}"], path).classes("gs-link")
        if simulated:
            ui.label(words["frame.simulated"]).classes("gs-simulated").props(f'title="{words["frame.simulated_long"]}"')
        ui.label(RESEARCH_USE).classes("gs-research")
        with ui.element("div").classes("gs-account"):
            ui.label(actor.account).classes("gs-account-name")
            ui.label(words[f"frame.role.{actor.role}"]).classes("gs-dim")
        ui.link(words["frame.log_out"], "/logout").classes("gs-link gs-log-out")

"""Parts of the record pages: tables and facts as escaped HTML, times, and dialogs that keep what was typed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, TypeVar

from nicegui import ui

from glioscope import __version__
from glioscope.cases import Actor, AnyEntry, Specimen
from glioscope.core import GlioscopeError

from ._frame_page import act

if TYPE_CHECKING:
    from ._console import Console
    from ._guard import Login

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table: text, where it leads, and classes of its look."""

    text: str
    href: str = ""
    look: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table."""

    cells: tuple[Cell, ...]
    look: str = ""


def table(heads: Sequence[str], rows: Iterable[Row], caption: str) -> ui.html:
    """A table, drawn as one piece of HTML: a thousand rows cost the browser no more than their text."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "".join(f'<tr class="{row.look}">{"".join(map(_cell, row.cells))}</tr>' for row in rows)
    drawn = (
        f'<table class="gs-table"><caption class="gs-unseen">{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )
    return ui.html(drawn, sanitize=False).classes("gs-table-frame")


def facts(pairs: Iterable[tuple[str, str]]) -> ui.html:
    """Names and values, the empty ones left out."""
    lines = (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs if value)
    return ui.html(f'<dl class="gs-facts">{"".join(lines)}</dl>', sanitize=False)


def heading(text: str) -> ui.html:
    """Heading of a panel."""
    return ui.html(f"<h2>{escape(text)}</h2>", sanitize=False).classes("gs-heading")


def link_button(text: str, href: str, look: str = "", *, new_tab: bool = False) -> ui.link:
    """A link that looks like a button."""
    return ui.link(text, href, new_tab=new_tab).classes(f"gs-link-button {look}")


def panel() -> ui.element:
    """A panel of the page."""
    return ui.element("section").classes("gs-panel gs-record-panel")


def add_record_style() -> None:
    """Link the style sheet of the record pages."""
    ui.add_head_html(f'<link rel="stylesheet" href="/static/records.css?{__version__}">')


def local_time(at: datetime | None) -> str:
    """Day and time where this machine stands; empty for None."""
    return "" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M")


def short(identifier: str) -> str:
    """The first letters of an identifier, enough to tell two cases apart."""
    return identifier[:12]


def add_entry(console: "Console", actor: Actor, specimen: Specimen, said: AnyEntry, request_id: str) -> Specimen:
    """Store what is said of a specimen and tell the other screens that something was, not what."""
    stored = console.store.add_entry(actor, specimen.specimen_id, said, request_id=request_id)
    console.theatre.tell("entry", {"case_id": specimen.case_id, "specimen_id": specimen.specimen_id})
    return stored


async def store_from_dialog(
    console: "Console",
    login: "Login",
    work: Callable[[Actor], T],
    *,
    say: Callable[[str], object],
    then: Callable[[T], object],
) -> None:
    """Do what a form asks for; when it is refused, `say` tells in the form, which keeps what was typed."""

    def tried(actor: Actor) -> T | GlioscopeError:
        try:
            return work(actor)
        except GlioscopeError as error:
            return error

    def told(result: T | GlioscopeError) -> None:
        if isinstance(result, GlioscopeError):
            say(sentence(str(result)))
        else:
            then(result)

    say("")
    if not await act(console, login, tried, then=told):
        say(console.words["records.not_stored"])


def sentence(text: str) -> str:
    """With a capital letter."""
    return text[:1].upper() + text[1:]


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    inner = f'<a href="{escape(cell.href)}">{text}</a>' if cell.href else text
    return f'<td class="{cell.look}">{inner}</td>'

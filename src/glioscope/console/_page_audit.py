"""`/audit`: the newest links of the audit trail, its verification, and the erasure of a case. For administrators.

They see no case: what can be erased is listed by identifier, time and state only.
"""

from asyncio import to_thread
from datetime import datetime
from typing import Final

from fastapi import Request
from nicegui import ui
from sqlmodel import col, select

from glioscope.cases import Action, Actor, AuditReport, CaseStore, CaseSummary
from glioscope.cases._tables import AuditRow
from glioscope.core import InputError

from ._console import Console
from ._frame_page import act, asking, button, clear_error, page_frame, say_error
from ._guard import Login, login_of
from ._record_parts import (
    Cell,
    Row,
    add_record_style,
    heading,
    link_button,
    local_time,
    panel,
    sentence,
    short,
    store_from_dialog,
    table,
)
from ._words import Words

PAGE_LINKS: Final = 50
_MOST_CASES: Final = 1000
_LAST_PAGE: Final = 10**6


def add_pages(console: Console) -> None:
    """Register `/audit`."""

    @ui.page("/audit")
    async def page(request: Request, page: int = 1) -> None:
        login, words = login_of(request), console.words
        page = min(max(page, 1), _LAST_PAGE)
        links = await to_thread(newest_links, console.store, page)
        add_record_style()
        with page_frame(console, login, words["admin.audit.title"]):
            _trail(console, login, links, page)
            if login.actor.may(Action.ERASE):
                ErasePanel(console, login, await to_thread(erasable, console.store))


def newest_links(store: CaseStore, page: int) -> list[AuditRow]:
    """A page of links, the newest first, and one more if there is one.

    Parameters
    ----------
    page : from 1.
    """
    newest = select(AuditRow).order_by(col(AuditRow.seq).desc()).limit(PAGE_LINKS + 1).offset(PAGE_LINKS * (page - 1))
    with store.database.session() as session:
        return list(session.exec(newest).all())


def verify(store: CaseStore, actor: Actor) -> AuditReport:
    """Walk the whole trail. Raises NotAllowed."""
    actor.check(Action.AUDIT)
    with store.database.session() as session:
        return store.audit.verify(session)


def verdict(report: AuditReport, words: Words) -> list[str]:
    """The verdict as one sentence, and the problems after it, if there are any."""
    if not report.problems:
        now = local_time(datetime.now().astimezone())
        return [words("admin.audit.whole", n=report.n_links, time=now)]
    return [words("admin.audit.broken", n=report.n_links), *map(sentence, report.problems)]


def erasable(store: CaseStore) -> list[CaseSummary]:
    """Cases that are not erased yet, the newest first."""
    return [summary for summary in store.summaries(limit=_MOST_CASES) if summary.erased_at is None]


def _trail(console: Console, login: Login, links: list[AuditRow], page: int) -> None:
    words = console.words
    with panel():
        with ui.element("div").classes("gs-head"):
            heading(words["admin.audit.title"])
            pressed = button(words["admin.audit.verify"], look="gs-strong")
        ui.label(words["admin.audit.hint"]).classes("gs-dim")
        place = ui.element("div").classes("gs-column").props("role=status")

        def show(report: AuditReport) -> None:
            with place:
                first, *others = verdict(report, words)
                ui.label(first).classes(f"gs-verdict {'gs-bad' if report.problems else 'gs-good'}")
                for line in others:
                    ui.label(line).classes("gs-remark")

        async def look() -> None:
            place.clear()
            pressed.set_text(words["admin.audit.verifying"])
            await act(console, login, lambda actor: verify(console.store, actor), then=show)
            pressed.set_text(words["admin.audit.verify"])

        pressed.on_click(look)
    with panel():
        heading(words["admin.audit.newest"])
        if links:
            rows = [link_row(link) for link in links[:PAGE_LINKS]]
            table(words["admin.audit.heads"].split("|"), rows, words["admin.audit.newest"])
        else:
            ui.label(words["admin.audit.none"]).classes("gs-dim")
        with ui.element("div").classes("gs-row gs-actions"):
            if page > 1:
                link_button(words["admin.audit.newer"], f"/audit?page={page - 1}")
            if len(links) > PAGE_LINKS:
                link_button(words["admin.audit.older"], f"/audit?page={page + 1}")


def link_row(link: AuditRow) -> Row:
    """The line of a link; identifiers and hashes by their beginnings."""
    at = local_time(datetime.fromisoformat(link.at))
    case_id, specimen_id, code = short(link.case_id), short(link.specimen_id), short(link.link)
    return Row(
        (
            Cell(str(link.seq)),
            Cell(at, look="gs-now"),
            Cell(link.account),
            Cell(link.action.replace("_", " ")),
            Cell(case_id, look="gs-mono"),
            Cell(specimen_id, look="gs-mono"),
            Cell(code, look="gs-mono gs-dim"),
        )
    )


class ErasePanel:
    """Destroys the key of a case after consent was withdrawn; its identifier has to be typed."""

    def __init__(self, console: Console, login: Login, cases: list[CaseSummary]) -> None:
        self._console, self._login, self._words = console, login, console.words
        with panel():
            heading(self._words["admin.erase.title"])
            ui.label(self._words["admin.erase.hint"]).classes("gs-dim")
            self._place = ui.element("div").classes("gs-column")
        self._draw(cases)

    async def _redraw(self, erased: str) -> None:
        self._draw(await to_thread(erasable, self._console.store))
        with self._place:
            done = self._words("admin.erase.done", case_id=erased)
            ui.label(done).classes("gs-verdict gs-good").props("role=status")

    def _draw(self, cases: list[CaseSummary]) -> None:
        words = self._words
        self._place.clear()
        with self._place:
            if not cases:
                ui.label(words["admin.erase.none"]).classes("gs-dim")
                return
            lines = {summary.case_id: case_line(summary, words) for summary in cases}
            chosen = (
                ui.select(lines, label=words["admin.erase.case"], with_input=True).props("outlined").classes("gs-wide")
            )
            with ui.element("div").classes("gs-row gs-actions"):
                button(words["admin.erase.ask"], lambda: self._ask(chosen.value), "gs-danger")

    def _ask(self, case_id: str | None) -> None:
        words = self._words
        clear_error()
        if case_id is None:
            say_error(words["admin.erase.choose"])
            return
        with asking(words["admin.erase.dialog"]) as dialog:
            ui.label(words("admin.erase.which", case_id=case_id)).classes("gs-caption")
            reasons = words["admin.erase.reasons"].split("|")
            reason = ui.select(reasons, value=reasons[0], label=words["admin.erase.reason"]).props("outlined")
            typed = ui.input(words["admin.erase.typed"]).props("outlined autofocus autocomplete=off")
            said = ui.label().classes("gs-form-error").props("role=alert")

            async def erase() -> None:
                done: list[None] = []
                await store_from_dialog(
                    self._console,
                    self._login,
                    lambda actor: erase_typed(self._console, actor, case_id, typed.value or "", reason.value),
                    say=said.set_text,
                    then=done.append,
                )
                if done:
                    dialog.close()
                    await self._redraw(case_id)

            with ui.element("div").classes("gs-row"):
                button(words["admin.erase.cancel"], dialog.close, "gs-quiet")
                button(words["admin.erase.erase"], erase, "gs-danger")


def erase_typed(console: Console, actor: Actor, case_id: str, typed: str, reason: str) -> None:
    """Erase a case whose identifier was typed as it is.

    Raises
    ------
    NotAllowed : no administrator.
    InputError : something else was typed, or the case is open in theatre.
    """
    actor.check(Action.ERASE)
    if typed.strip() != case_id:
        raise InputError(console.words("admin.erase.mismatch", case_id=case_id))
    if console.theatre.case_id == case_id:
        raise InputError(console.words["admin.erase.open_here"])
    console.store.erase_case(actor, case_id, reason)
    console.theatre.tell("case", {"case_id": console.theatre.case_id})


def case_line(summary: CaseSummary, words: Words) -> str:
    """What an administrator is told of a case: nothing of the patient."""
    return words(
        "admin.erase.line",
        case_id=summary.case_id,
        time=local_time(summary.opened_at),
        n=summary.n_specimens,
        kind=words[f"admin.erase.{summary.data_kind}"],
        state=words["admin.erase.open" if summary.closed_at is None else "admin.erase.closed"],
    )

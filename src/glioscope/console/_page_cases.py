"""`/cases`: all cases, the newest first, fifty a page."""

from asyncio import to_thread
from collections.abc import Sequence
from typing import Final

from fastapi import Request
from nicegui import ui
from sqlmodel import col, func, select

from glioscope.cases import CaseStore, CaseSummary
from glioscope.cases._tables import EntryRow, SpecimenRow

from ._console import Console
from ._frame_page import page_frame
from ._guard import login_of
from ._record_parts import Cell, Row, add_record_style, heading, link_button, local_time, panel, short, table
from ._words import Words

PAGE_CASES: Final = 50
_LAST_PAGE: Final = 10**6


def add_pages(console: Console) -> None:
    """Register `/cases`."""

    @ui.page("/cases")
    async def cases(request: Request, page: int = 1) -> None:
        login, words = login_of(request), console.words
        page = min(max(page, 1), _LAST_PAGE)
        summaries, pathology = await to_thread(list_cases, console.store, page)
        add_record_style()
        with page_frame(console, login, words["records.cases"]), panel():
            heading(words["records.cases"])
            shown = summaries[:PAGE_CASES]
            if shown:
                heads = words["records.cases_heads"].split("|")
                table(heads, [case_row(s, pathology.get(s.case_id, 0), words) for s in shown], words["records.cases"])
            else:
                ui.label(words["records.no_cases"]).classes("gs-dim")
            _paging(page, len(summaries) > PAGE_CASES, words)


def list_cases(store: CaseStore, page: int) -> tuple[list[CaseSummary], dict[str, int]]:
    """A page of cases and one more, if there is one; and how many specimens of each have pathology.

    Parameters
    ----------
    page : from 1.
    """
    summaries = store.summaries(limit=PAGE_CASES + 1, offset=PAGE_CASES * (page - 1))
    return summaries, pathology_counts(store, [s.case_id for s in summaries])


def pathology_counts(store: CaseStore, case_ids: Sequence[str]) -> dict[str, int]:
    """Case -> its specimens of which a pathologist has said something.

    Counted in the database: nothing is unsealed, so that a page of large cases costs no more than one of small ones.
    """
    entered = (
        select(SpecimenRow.case_id, func.count(func.distinct(EntryRow.specimen_id)))
        .join(EntryRow, col(EntryRow.specimen_id) == col(SpecimenRow.specimen_id))
        .where(col(SpecimenRow.case_id).in_(case_ids), EntryRow.kind == "pathology")
        .group_by(col(SpecimenRow.case_id))
    )
    with store.database.session() as session:
        return dict(session.exec(entered).all())


def case_row(summary: CaseSummary, n_pathology: int, words: Words) -> Row:
    """The line of a case; an erased one says when."""
    kind = words["records.simulated"] if summary.data_kind == "simulated" else words["records.real"]
    opened = local_time(summary.opened_at)
    if summary.erased_at is not None:
        erased = words("records.erased_on", time=local_time(summary.erased_at))
        cells = ("—", opened, erased, str(summary.n_specimens), "—", kind)
        return Row((Cell(short(summary.case_id)), *map(Cell, cells)), "gs-erased")
    state = words["records.open"] if summary.closed_at is None else words["records.closed"]
    return Row(
        (
            Cell(short(summary.case_id), f"/cases/{summary.case_id}", "gs-lead"),
            Cell(summary.patient_id or ""),
            Cell(opened),
            Cell(state, look="gs-open" if summary.closed_at is None else ""),
            Cell(str(summary.n_specimens)),
            Cell(words("records.k_of_n", k=n_pathology, n=summary.n_specimens)),
            Cell(kind),
        )
    )


def _paging(page: int, more: bool, words: Words) -> None:
    if page == 1 and not more:
        return
    with ui.element("nav").classes("gs-row gs-paging").props(f'aria-label="{words["records.pages"]}"'):
        if page > 1:
            link_button(words["records.newer"], f"/cases?page={page - 1}")
        ui.label(words("records.page", page=page)).classes("gs-dim")
        if more:
            link_button(words["records.older"], f"/cases?page={page + 1}")

"""`/cases/{case_id}`: the record of one operation, its specimens, the map of the cavity, and what happened."""

from asyncio import to_thread
from datetime import timedelta
from html import escape
from typing import Any

from fastapi import Request
from nicegui import ui

from glioscope.cases import Action, Actor, Annotation, Case, Specimen, icg_remarks
from glioscope.core import GlioscopeError

from ._accuracy import accuracy_lines, running_accuracy
from ._answer import brief, kind_of
from ._case_dialogs import CaseDialogs
from ._cavity_map import cavity_map, legend
from ._console import Console
from ._frame_page import page_frame, say_error
from ._guard import Login, login_of
from ._record_parts import (
    Cell,
    Row,
    add_record_style,
    facts,
    heading,
    link_button,
    local_time,
    panel,
    sentence,
    short,
    table,
)
from ._refresh import refresh_on
from ._timeline import timeline
from ._visible import Visible, hidden_answers, own_opinion, visible
from ._words import Words


def add_pages(console: Console) -> None:
    """Register `/cases/{case_id}`."""

    @ui.page("/cases/{case_id}")
    async def page(request: Request, case_id: str) -> None:
        login, words = login_of(request), console.words
        add_record_style()
        try:
            case = await to_thread(console.store.case, case_id)
        except GlioscopeError as error:
            with page_frame(console, login, words["records.cases"]):
                say_error(error)
                link_button(words["records.case.all_cases"], "/cases")
            return
        title = words("records.case.title", case_id=short(case_id))
        with page_frame(console, login, title, simulated=case.data_kind == "simulated"):
            CasePage(console, login, case)


class CasePage:
    """The page of one case; drawn anew when something about it was stored, here or on another screen."""

    def __init__(self, console: Console, login: Login, case: Case) -> None:
        self._console, self._login, self._words = console, login, console.words
        self._place = ui.element("div").classes("gs-column")
        self._dialogs = ui.element("div")
        self._draw(case)
        refresh_on(console.theatre, ("specimen", "entry", "case"), self.redraw)

    async def redraw(self) -> None:
        """Read the case again and show it, if it has changed."""
        case = await to_thread(self._console.store.case, self._case.case_id)
        if case != self._case:
            self._place.clear()
            self._draw(case)

    def _draw(self, case: Case) -> None:
        self._case, words = case, self._words
        self._hidden = hidden_answers(self._console.theatre, case, self._login.actor)
        with self._place:
            self._head()
            self._to_do()
            with ui.element("div").classes("gs-two"):
                with ui.element("div").classes("gs-column"):
                    self._facts()
                with panel():
                    self._map()
            with panel():
                heading(words["records.case.specimens"])
                self._specimens()
            with panel():
                heading(words["records.case.timeline"])
                self._timeline()

    def _facts(self) -> None:
        words, case = self._words, self._case
        with panel():
            heading(words["records.case.record"])
            facts(case_facts(case, words))
            for remark in icg_remarks(case.record, case.opened_at):
                ui.label(f"⚠ {sentence(remark)}").classes("gs-remark")
        with panel():
            heading(words["records.case.accuracy"])
            for line in accuracy_lines(running_accuracy(case, self._hidden), words):
                ui.label(line)

    def _head(self) -> None:
        words, case = self._words, self._case
        is_open = case.closed_at is None
        with ui.element("div").classes("gs-head"):
            link_button(words["records.case.all_cases"], "/cases")
            with ui.element("div").classes("gs-head-title"):
                ui.label(words("records.case.subtitle", patient=case.record.patient_id)).classes("gs-title")
                ui.label(words("records.case.title", case_id=short(case.case_id))).classes("gs-dim")
            state = ui.label(words["records.case.open" if is_open else "records.case.closed"])
            state.classes(f"gs-state {'gs-open' if is_open else ''}")
            dialogs = CaseDialogs(self._console, self._login, case, self.redraw, self._dialogs)
            dialogs.buttons()
            link_button(words["records.case.report"], f"/cases/{case.case_id}/report.pdf", new_tab=True)

    def _to_do(self) -> None:
        """For a pathologist: where an opinion is waited for."""
        actor = self._login.actor
        if not actor.may(Action.GIVE_PATHOLOGY):
            return
        counted = [s for s in self._case.specimens if not s.withdrawn]
        owed = [s for s in counted if own_opinion(s, actor) is None]
        if owed:
            with panel().classes("gs-head"):
                text = self._words("records.case.to_do", k=len(owed), n=len(counted))
                ui.label(text).classes("gs-head-title gs-caption")
                begin = self._words("records.case.begin", number=owed[0].number)
                link_button(begin, f"/specimens/{owed[0].specimen_id}", "gs-strong")

    def _specimens(self) -> None:
        words, case = self._words, self._case
        if not case.specimens:
            ui.label(words["records.case.no_specimens"]).classes("gs-dim")
            return
        actor, theatre = self._login.actor, self._console.theatre
        rows = [specimen_row(s, visible(theatre, s, case, actor), actor, words) for s in case.specimens]
        table(words["records.case.heads"].split("|"), rows, words["records.case.specimens"])

    def _map(self) -> None:
        words = self._words
        heading(words["records.case.map"])
        chart = ui.echart(cavity_map(self._case, words, hidden=self._hidden), on_point_click=_go_to)
        chart.classes("gs-cavity").style("height: 440px; width: 100%")
        signs = (
            f'<span style="color:{colour}">{escape(sign)}</span> {escape(word)}' for sign, colour, word in legend(words)
        )
        ui.html(" &ensp; ".join(signs), sanitize=False).classes("gs-small")

    def _timeline(self) -> None:
        with ui.element("ol").classes("gs-history"):
            for moment in timeline(self._case, self._words, self._hidden):
                who = f" · {moment.account}" if moment.account else ""
                line = escape(f"{local_time(moment.at)}{who} · {moment.text}")
                ui.html(line, sanitize=False, tag="li").classes("gs-struck" if moment.struck else "")


def case_facts(case: Case, words: Words) -> list[tuple[str, str]]:
    """Names and values of the record, for the panel; empty ones are left out there."""
    record, f, p = case.record, "records.fact.", "records.case."
    dose = (
        words[p + "ungiven"]
        if record.icg_mg_per_kg is None
        else words(f + "dose_value", dose=f"{record.icg_mg_per_kg:g}")
    )
    values = {
        "patient": record.patient_id,
        "consent": words[p + ("yes" if record.consent else "no")],
        "dose": dose,
        "given": _given(case, words),
        "edition": record.who_edition,
        "blind": words[f + "blind_yes"] if record.blind_reading else "",
        "opened": words(f + "opened_value", time=local_time(case.opened_at), account=case.opened_by),
        "closed": local_time(case.closed_at),
        "data": words["records.simulated" if case.data_kind == "simulated" else "records.real"],
        "unit": record.unit,
        "suite": words(f + "suite_value", suite=record.suite, sha=record.suite_sha256[:12]) if record.suite else "",
        "software": record.software,
        "version": str(case.version),
        "note": record.note,
        "case": case.case_id,
    }
    return [(words[f + name], value) for name, value in values.items()]


def specimen_row(specimen: Specimen, sight: Visible, actor: Actor, words: Words) -> Row:
    """The line of a specimen; a withdrawn one is struck through, and says why."""
    notes = [entry.said.text for entry in specimen.entries if isinstance(entry.said, Annotation)]
    if specimen.withdrawn:
        notes.insert(0, words("records.specimen.withdrawn", reason=specimen.withdrawn))
    hidden = not sight.answer
    look = f"gs-{kind_of(specimen, hidden=hidden).replace('_', '-')}"
    return Row(
        (
            Cell(f"{specimen.number}", f"/specimens/{specimen.specimen_id}"),
            Cell("—" if specimen.sector is None else str(specimen.sector)),
            Cell(f"{specimen.taken_at.astimezone():%H:%M:%S}", look="gs-now"),
            Cell(words["records.owed"] if hidden else brief(specimen, words), look=look),
            _pathology_cell(specimen, sight, words),
            Cell(" · ".join(notes), look="gs-whole"),
        ),
        "gs-withdrawn" if specimen.withdrawn else "",
    )


def _pathology_cell(specimen: Specimen, sight: Visible, words: Words) -> Cell:
    if not specimen.opinions and specimen.truth is None:
        return Cell(words["records.case.pathology_none"])
    if not sight.opinions:
        return Cell(words["records.case.pathology_hidden"], look="gs-dim")
    truth = specimen.truth
    if truth is None:
        return Cell(words("records.case.opinions", n=len(specimen.opinions)), look="gs-indeterminate")
    p = "records.pathology."
    tumour = truth.pathology == "tumor"
    grade = f" {words[p + 'grades'].split('|')[truth.who_grade - 1]}" if truth.who_grade else ""
    agreed = words["records.case.agreed"] if truth.consensus else ""
    text = words[p + ("tumour" if tumour else "non_tumour")] + grade + agreed
    return Cell(text, look="gs-tumour" if tumour else "gs-non-tumour")


def _given(case: Case, words: Words) -> str:
    given = case.record.icg_given_at
    if given is None:
        return words["records.case.ungiven"]
    hours = (case.opened_at - given) / timedelta(hours=1)
    return words("records.fact.hours", time=local_time(given), hours=f"{hours:.0f}")


def _go_to(event: Any) -> None:
    """A point of the map is its specimen."""
    if event.name:
        ui.navigate.to(f"/specimens/{event.name}")

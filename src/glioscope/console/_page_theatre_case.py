"""The case line of the theatre page: which case is open, and the dialogs that open, resume and close one."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

from nicegui import run, ui
from pydantic import ValidationError

from glioscope.cases import Action, CaseRecord, CaseSummary, icg_remarks
from glioscope.core import InputError

from ._frame_page import asking, button, clear_error, say_error
from ._page_theatre_state import PageState
from ._sentences import why_not
from ._words import Words

EDITIONS: Final = ("2021", "2016", "2007")
_PSEUDONYM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST_LISTED: Final = 20


@dataclass(frozen=True, slots=True)
class CaseForm:
    """What somebody typed, as it was typed."""

    patient_id: str = ""
    consent: bool = False
    dose: str = ""
    given_on: str = ""
    given_at: str = ""
    edition: str = EDITIONS[0]
    blind_reading: bool = False
    note: str = ""


def read_case_form(form: CaseForm, words: Words) -> CaseRecord:
    """The record of a case from what was typed; times are those of this machine's time zone.

    Raises
    ------
    InputError : one sentence on the first thing that cannot be.
    """
    if _PSEUDONYM.fullmatch(form.patient_id.strip()) is None:
        raise InputError(words["theatre.case.missing_patient"])
    fields = {
        "patient_id": form.patient_id.strip(),
        "consent": form.consent,
        "icg_mg_per_kg": _dose(form.dose, words),
        "icg_given_at": _time(form.given_on, form.given_at, words),
        "who_edition": form.edition,
        "blind_reading": form.blind_reading,
        "note": form.note.strip(),
    }
    try:
        return CaseRecord.model_validate(fields)
    except ValidationError as error:
        raise InputError(why_not(error, {})) from None


def _dose(typed: str, words: Words) -> float | None:
    text = typed.strip().replace(",", ".")
    if not text:
        return None
    try:
        dose = float(text)
    except ValueError:
        dose = -1.0
    if not 0 < dose <= 25:
        raise InputError(words("theatre.case.bad_dose", value=repr(typed.strip())))
    return dose


def _time(day: str, time: str, words: Words) -> datetime | None:
    if not day.strip() and not time.strip():
        return None
    try:
        return datetime.strptime(f"{day.strip()} {time.strip()}", "%Y-%m-%d %H:%M").astimezone()
    except ValueError:
        raise InputError(words("theatre.case.bad_time", value=repr(f"{day} {time}".strip()))) from None


class CaseLine:
    """Which case is open; buttons for who may open and close."""

    def __init__(self, state: PageState) -> None:
        self._state = state
        words, may_open = state.words, state.actor.may(Action.OPEN_CASE)
        with ui.element("div").classes("gs-panel gs-case-line"):
            with ui.element("div").classes("gs-case-text"):
                self._patient = ui.label().classes("gs-case-patient")
                self._facts = ui.label().classes("gs-dim gs-case-facts")
            self._open = button(words["theatre.case.open"], self.ask_open, "gs-strong").mark("open-case")
            self._resume = button(words["theatre.case.resume"], self.ask_resume).mark("resume-case")
            self._close = button(words["theatre.case.close"], self.ask_close).mark("close-case")
        self._may_open, self._may_close = may_open, state.actor.may(Action.CLOSE_CASE)

    def draw(self) -> None:
        """Say which case is open."""
        case, words = self._state.seen.case, self._state.words
        is_open = case is not None and case.closed_at is None
        self._open.set_visibility(self._may_open and not is_open)
        self._resume.set_visibility(self._may_open and not is_open)
        self._close.set_visibility(self._may_close and is_open)
        if case is None:
            self._patient.set_text(words["theatre.no_case"])
            self._facts.set_text("")
            return
        self._patient.set_text(case.record.patient_id)
        facts = [words("theatre.case.started", time=_clock(case.opened_at), n=len(case.specimens))]
        facts += [words["theatre.case.blind"]] if case.record.blind_reading else []
        self._facts.set_text(", ".join(facts))

    def ask_open(self) -> None:
        """The dialog with the record of a new case."""
        clear_error()
        CaseDialog(self._state)

    async def ask_resume(self) -> None:
        """A list of the cases that are open in the store."""
        clear_error()
        words = self._state.words
        summaries: list[CaseSummary] = await run.io_bound(self._state.console.store.summaries) or []
        still_open = [s for s in summaries if s.closed_at is None and s.erased_at is None][:_MOST_LISTED]
        with asking(words["theatre.case.resume_title"]) as dialog:
            if not still_open:
                ui.label(words["theatre.case.none_open"])
            for summary in still_open:
                text = words(
                    "theatre.case.line",
                    patient=summary.patient_id,
                    n=summary.n_specimens,
                    time=f"{summary.opened_at.astimezone():%Y-%m-%d %H:%M}",
                )
                button(text, lambda case_id=summary.case_id: self._resume_case(dialog, case_id))
            button(words["theatre.case.cancel"], dialog.close, "gs-quiet")

    async def _resume_case(self, dialog: ui.dialog, case_id: str) -> None:
        theatre = self._state.console.theatre
        if await self._state.act(lambda actor: theatre.resume_case(actor, case_id)):
            dialog.close()

    def ask_close(self) -> None:
        """Asked back: one tap must not end an operation."""
        clear_error()
        asked = self._state.seen.case.case_id if self._state.seen.case is not None else None
        words = self._state.words
        with asking(words["theatre.case.close_question"]) as dialog:
            ui.label(words["theatre.case.close_hint"])
            with ui.element("div").classes("gs-row"):
                button(words["theatre.case.cancel"], dialog.close, "gs-quiet")
                button(words["theatre.case.close"], lambda: self._close_case(dialog, asked), "gs-strong").mark(
                    "really-close"
                )

    async def _close_case(self, dialog: ui.dialog, case_id: str | None) -> None:
        theatre = self._state.console.theatre
        if await self._state.act(lambda actor: theatre.close_case(actor, case_id)):
            dialog.close()


class CaseDialog:
    """The record of a new case, with remarks on dose and time while they are typed."""

    def __init__(self, state: PageState) -> None:
        self._state = state
        # Made once: a second tap on a slow network opens no second case.
        self._request_id = str(uuid4())
        words = state.words
        with asking(words["theatre.case.open"]) as self._dialog:
            self._patient = ui.input(words["theatre.case.patient"], on_change=self._remark).mark("patient")
            self._consent = ui.checkbox(words["theatre.case.consent"]).mark("consent")
            with ui.element("div").classes("gs-fields"):
                self._dose = ui.input(words["theatre.case.dose"], on_change=self._remark).mark("dose")
                self._edition = ui.select(list(EDITIONS), value=EDITIONS[0], label=words["theatre.case.edition"])
                self._given_on = ui.input(words["theatre.case.given_on"], on_change=self._remark).mark("given-on")
                self._given_at = ui.input(words["theatre.case.given_at"], on_change=self._remark).mark("given-at")
            self._given_on.props("type=date stack-label")
            self._given_at.props("type=time stack-label")
            for field in (self._patient, self._dose, self._edition, self._given_on, self._given_at):
                field.props("outlined")
            self._remarks = ui.label().classes("gs-remark gs-lines")
            self._blind = ui.checkbox(words["theatre.case.blind_reading"]).mark("blind")
            self._note = ui.input(words["theatre.case.note"]).props("outlined maxlength=2000")
            with ui.element("div").classes("gs-row"):
                button(words["theatre.case.cancel"], self._dialog.close, "gs-quiet")
                button(words["theatre.case.open"], self._store, "gs-strong").mark("store-case")
        self._remark()

    def _form(self) -> CaseForm:
        return CaseForm(
            self._patient.value or "",
            bool(self._consent.value),
            self._dose.value or "",
            self._given_on.value or "",
            self._given_at.value or "",
            self._edition.value,
            bool(self._blind.value),
            self._note.value or "",
        )

    def _remark(self) -> None:
        """Say what is missing or odd; a remark stops nobody."""
        form = self._form()
        try:
            dose, given_at = _dose(form.dose, self._state.words), _time(form.given_on, form.given_at, self._state.words)
        except InputError as error:
            self._remarks.set_text(str(error))
            return
        record = CaseRecord(patient_id="x", consent=True, icg_mg_per_kg=dose, icg_given_at=given_at)
        remarks = icg_remarks(record, datetime.now().astimezone())
        self._remarks.set_text("\n".join(remark[:1].upper() + remark[1:] for remark in remarks))

    async def _store(self) -> None:
        theatre = self._state.console.theatre
        try:
            record = read_case_form(self._form(), self._state.words)
        except InputError as error:
            say_error(error)
            return
        if await self._state.act(lambda actor: theatre.open_case(actor, record, request_id=self._request_id)):
            self._dialog.close()


def _clock(at: datetime) -> str:
    return f"{at.astimezone():%H:%M}"

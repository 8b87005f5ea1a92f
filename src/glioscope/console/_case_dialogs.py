"""What an operator does with a whole case: amend its record, close and reopen it, print its labels."""

from collections.abc import Awaitable, Callable
from html import escape
from typing import TYPE_CHECKING, Any

from nicegui import ui

from glioscope.cases import Action, Actor, Case, CaseConflict, CaseRecord
from glioscope.core import InputError

from ._frame_page import act, asking, button, clear_error, say_error
from ._page_theatre_case import EDITIONS, CaseForm, read_case_form
from ._record_parts import sentence, store_from_dialog
from ._words import Words

if TYPE_CHECKING:
    from ._console import Console
    from ._guard import Login

_OF_THE_FORM = ("patient_id", "consent", "icg_mg_per_kg", "icg_given_at", "who_edition", "blind_reading", "note")


class CaseDialogs:
    """The buttons of a case that the role may press, and their dialogs.

    Parameters
    ----------
    redraw : called after something was stored.
    place : where dialogs are opened: the page is drawn anew when others store something, which must not take away a
        form that somebody is filling in.
    """

    def __init__(
        self,
        console: "Console",
        login: "Login",
        case: Case,
        redraw: Callable[[], Awaitable[None]],
        place: ui.element,
    ) -> None:
        self._console, self._login, self._case, self._redraw = console, login, case, redraw
        self._words, self._place = console.words, place

    def buttons(self) -> None:
        """Amend, close or reopen, labels."""
        words, actor = self._words, self._login.actor
        if actor.may(Action.AMEND_CASE):
            button(words["records.case.amend"], self.ask_amend)
        if actor.may(Action.CLOSE_CASE):
            if self._case.closed_at is None:
                button(words["records.case.close"], self.ask_close)
            else:
                button(words["records.case.reopen"], self._reopen)
        if self._case.specimens:
            button(words["records.case.labels"], self.show_labels)

    def ask_amend(self) -> None:
        """The record as it was when the page was drawn; whoever was slower than another is told."""
        clear_error()
        with self._place:
            AmendDialog(self._console, self._login, self._case, self._redraw)

    def ask_close(self) -> None:
        """Asked back."""
        clear_error()
        words = self._words
        with self._place, asking(words["records.case.close_question"]) as dialog:
            ui.label(words["records.case.close_hint"])

            async def close() -> None:
                dialog.close()
                await self._do(lambda actor: close_case(self._console, actor, self._case.case_id))

            with ui.element("div").classes("gs-row"):
                button(words["records.cancel"], dialog.close, "gs-quiet")
                button(words["records.case.close"], close, "gs-strong")

    async def _reopen(self) -> None:
        await self._do(lambda actor: self._console.store.reopen_case(actor, self._case.case_id))

    async def _do(self, work: Callable[[Actor], Any]) -> None:
        if await act(self._console, self._login, work):
            await self._redraw()

    def show_labels(self) -> None:
        """A sheet of the labels of all specimens that count, to be printed."""
        words = self._words
        with self._place, asking(words["records.case.labels"].rstrip("…")) as dialog:
            pictures = "".join(
                f'<img src="/specimens/{escape(s.specimen_id)}/label.svg"'
                f' alt="{escape(words("records.case.label_of", number=s.number))}">'
                for s in self._case.specimens
                if not s.withdrawn
            )
            ui.html(pictures, sanitize=False).classes("gs-labels")
            with ui.element("div").classes("gs-row"):
                button(words["records.cancel"], dialog.close, "gs-quiet")
                button(words["records.case.print"], lambda: ui.run_javascript("window.print()"), "gs-strong")


class AmendDialog:
    """The record of a case, to be corrected. What the unit and the suite were is not for people to amend."""

    def __init__(self, console: "Console", login: "Login", case: Case, redraw: Callable[[], Awaitable[None]]) -> None:
        self._console, self._login, self._case, self._redraw = console, login, case, redraw
        words, form = console.words, form_of(case.record)
        t = "theatre.case."
        with asking(words["records.case.amend"].rstrip("…")) as self._dialog:
            self._patient = ui.input(words[t + "patient"], value=form.patient_id)
            self._consent = ui.checkbox(words[t + "consent"], value=form.consent)
            with ui.element("div").classes("gs-row"):
                self._dose = ui.input(words[t + "dose"], value=form.dose)
                self._edition = ui.select(list(EDITIONS), value=form.edition, label=words[t + "edition"])
            with ui.element("div").classes("gs-row"):
                self._given_on = ui.input(words[t + "given_on"], value=form.given_on).props("type=date stack-label")
                self._given_at = ui.input(words[t + "given_at"], value=form.given_at).props("type=time stack-label")
            self._blind = ui.checkbox(words[t + "blind_reading"], value=form.blind_reading)
            self._note = ui.input(words[t + "note"], value=form.note).props("maxlength=2000")
            self._said = ui.label().classes("gs-form-error").props("role=alert")
            with ui.element("div").classes("gs-row"):
                button(words["records.cancel"], self._dialog.close, "gs-quiet")
                button(words["records.store"], self._store, "gs-strong")

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

    async def _store(self) -> None:
        try:
            record = amended(self._case.record, self._form(), self._console.words)
        except InputError as error:
            self._said.set_text(sentence(str(error)))
            return
        case, console = self._case, self._console

        def amend(actor: Actor) -> bool:
            """Whether it was stored; False: somebody else was faster."""
            try:
                console.store.amend_case(actor, case.case_id, record, version=case.version)
            except CaseConflict:
                return False
            console.theatre.tell("case", {"case_id": case.case_id})
            return True

        done: list[bool] = []
        await store_from_dialog(console, self._login, amend, say=self._said.set_text, then=done.append)
        if not done:
            return
        if not done[0]:
            say_error(console.words["records.case.conflict"])
        self._dialog.close()
        await self._redraw()


def close_case(console: "Console", actor: Actor, case_id: str) -> None:
    """Close a case; the one that is open in theatre is closed there, so that its recording ends too."""
    if console.theatre.case_id == case_id:
        console.theatre.close_case(actor, case_id)
    else:
        console.store.close_case(actor, case_id)


def form_of(record: CaseRecord) -> CaseForm:
    """The form as it would have been filled in for a record."""
    given = record.icg_given_at.astimezone() if record.icg_given_at is not None else None
    return CaseForm(
        record.patient_id,
        record.consent,
        "" if record.icg_mg_per_kg is None else f"{record.icg_mg_per_kg:g}",
        "" if given is None else f"{given:%Y-%m-%d}",
        "" if given is None else f"{given:%H:%M}",
        record.who_edition,
        record.blind_reading,
        record.note,
    )


def amended(record: CaseRecord, form: CaseForm, words: Words) -> CaseRecord:
    """The record with what the form says; unit, suite and software stay as they were when the case was opened.

    Raises
    ------
    InputError : one sentence on the first thing that cannot be.
    """
    typed = read_case_form(form, words)
    return record.model_copy(update={name: getattr(typed, name) for name in _OF_THE_FORM})

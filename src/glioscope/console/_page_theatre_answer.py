"""The answer in theatre: huge, with what limits it; the heatmap on demand; a blind reading where one is owed."""

from html import escape
from typing import Final
from uuid import uuid4

from nicegui import ui

from glioscope.cases import Action, Reading, Specimen
from glioscope.runtime import FIRST_TASK, MEANING

from ._answer import LOOKS, Kind, answer_html, brief, kind_of, place, view_answer
from ._frame_page import button
from ._page_theatre_said import ask_annotation, ask_correction, ask_withdrawal, say_of
from ._page_theatre_state import PageState

CHOICES: Final = (
    (1, "sure", 5),
    (1, "probable", 4),
    (1, "unsure", 3),
    (0, "sure", 1),
    (0, "probable", 2),
    (0, "unsure", 3),
)
"""What a reader can say: reading (1 is tumour), how sure, and the rating from 1, surely non-tumour, to 5."""


class AnswerSheet:
    """The specimen that is shown: its answer, or the questions that come before it."""

    def __init__(self, state: PageState) -> None:
        self._state = state
        words = state.words
        self._drawn: object = None
        self._error, self._failed_after = "", "none"
        with ui.element("section").classes("gs-panel gs-sheet gs-sheet-answer"):
            self._back = button(words["theatre.newest"], lambda: state.show(""), "gs-back").mark("back-to-newest")
            with ui.element("div").classes("gs-which") as self._top:
                self._which = ui.label().classes("gs-which-text").props("id=gs-which")
                self._took = ui.label().classes("gs-dim")
                button(words["theatre.open_record"], self._open_record, "gs-quiet").mark("record")
            self._text = ui.html("", sanitize=False).classes("gs-answer").props("id=gs-answer aria-live=polite")
            self._body = ui.element("div").classes("gs-answer-body")
            self._actions = ui.element("div").classes("gs-row gs-actions")
            with self._actions:
                self._heat_button = button(words["theatre.heatmap"], self._toggle_heatmap).mark("heatmap")
                if state.actor.may(Action.REVISE):
                    for name, ask in (
                        ("correct", ask_correction),
                        ("annotate", ask_annotation),
                        ("withdraw", ask_withdrawal),
                    ):
                        button(words[f"theatre.{name}"], lambda ask=ask: self._ask(ask)).mark(name)
        self._heat = False

    def draw(self) -> None:
        """Show the chosen specimen, or the newest, as its viewer may see it."""
        if self._state.shown or self._newest() != self._failed_after:
            self._error = ""
        self._draw()

    def draw_failure(self) -> None:
        """A press brought no answer: an older one must not stand there as if it were the new one."""
        self._error, self._failed_after = self._state.words["theatre.no_answer"], self._newest()
        self._draw()

    def _newest(self) -> str:
        case = self._state.seen.case
        return case.specimens[-1].specimen_id if case is not None and case.specimens else ""

    def _draw(self) -> None:
        specimen, seen = self._state.specimen, self._state.seen
        hidden = specimen is not None and specimen.specimen_id in seen.hidden
        self._back.set_visibility(bool(self._state.shown) and not self._error)
        self._draw_top(specimen)
        self._text.set_content(self._html(specimen, hidden=hidden))
        alone = specimen is not None and not self._is_tray(specimen)
        self._actions.set_visibility(alone and not self._error)
        heatmap = specimen is not None and alone and not hidden and kind_of(specimen) is not Kind.NOT_ASSESSABLE
        self._heat_button.set_visibility(heatmap)
        together = seen if specimen is not None and self._is_tray(specimen) else None
        drawn = (specimen, hidden, self._heat and heatmap, bool(self._error), together)
        if drawn != self._drawn:
            self._drawn = drawn
            self._draw_body(None if self._error else specimen, hidden=hidden, heat=self._heat and heatmap)

    def _draw_top(self, specimen: Specimen | None) -> None:
        self._top.set_visibility(specimen is not None and not self._error and not self._is_tray(specimen))
        if specimen is not None:
            took = self._state.took_ms.get(specimen.specimen_id)
            self._which.set_text(place(specimen.number, specimen.sector, self._state.words))
            hidden = specimen.specimen_id in self._state.seen.hidden
            # Only tumours are asked for grade: before a blind reading the time would say something.
            self._took.set_text("" if took is None or hidden else self._state.words("theatre.took", ms=round(took)))

    def _html(self, specimen: Specimen | None, *, hidden: bool) -> str:
        words = self._state.words
        if self._error:
            last = "" if specimen is None else f"{place(specimen.number, specimen.sector, words)}: "
            last += "" if specimen is None else brief(specimen, words, hidden=hidden)
            return f'<div class="gs-word gs-failed">{self._error}</div><div class="gs-dim">{last}</div>'
        if specimen is None:
            text = words["theatre.no_case_hint" if self._state.seen.case is None else "theatre.nothing_yet"]
            return f'<div class="gs-nothing gs-dim">{text}</div>'
        if self._is_tray(specimen):
            return ""
        if self._heat and not hidden:
            return f'<div class="gs-line gs-strong-line">{escape(brief(specimen, words))}</div>'
        return answer_html(view_answer(specimen, words, hidden=hidden), words)

    def _is_tray(self, specimen: Specimen) -> bool:
        """Whether the answers of a whole tray are shown: one of them alone, huge, would pass for the tray's."""
        return bool(specimen.record.tray) and not self._state.shown

    def _draw_body(self, specimen: Specimen | None, *, hidden: bool, heat: bool) -> None:
        self._body.clear()
        if specimen is None:
            return
        with self._body:
            if hidden and not self._is_tray(specimen) and self._state.actor.may(Action.GIVE_READING):
                self._draw_reading(specimen)
            elif heat:
                self._draw_heatmap(specimen)
            elif self._is_tray(specimen):
                self._draw_tray(specimen)

    def _draw_heatmap(self, specimen: Specimen) -> None:
        with ui.element("div").classes("gs-heatmap"):
            source = f"/specimens/{specimen.specimen_id}/heatmap/{FIRST_TASK}"
            ui.element("img").props(f'src="{source}" alt="{MEANING}"').mark("heatmap-picture")
            ui.label(MEANING[:1].upper() + MEANING[1:] + ".").classes("gs-remark")

    def _draw_tray(self, specimen: Specimen) -> None:
        """All specimens of one tray; a tap shows one."""
        case, words = self._state.seen.case, self._state.words
        together = [s for s in case.specimens if s.record.tray == specimen.record.tray] if case is not None else []
        ui.label(words("theatre.tray_answers", n=len(together))).classes("gs-dim")
        with ui.element("div").classes("gs-tray"):
            for other in together:
                hidden = other.specimen_id in self._state.seen.hidden
                text = f"{other.number} {brief(other, words, hidden=hidden)}"
                made = button(text, lambda one=other.specimen_id: self._state.show(one))
                made.style(f"color: {LOOKS[kind_of(other, hidden=hidden)].colour}")

    def _draw_reading(self, specimen: Specimen) -> None:
        """Six buttons beside the picture: tumour or not, and how sure."""
        words = self._state.words
        request_id = str(uuid4())

        async def give(reading: int, rating: int) -> None:
            said = Reading(reader=self._state.actor.account, reading=reading, rating=rating)
            await say_of(self._state, specimen, said, request_id)

        ui.label(words["theatre.reading.question"]).classes("gs-question")
        with ui.element("div").classes("gs-reading"):
            alt = words["theatre.reading.picture"]
            ui.element("img").props(f'src="/specimens/{specimen.specimen_id}/image/fl" alt="{alt}"')
            with ui.element("div").classes("gs-grid-3"):
                for reading, sure, rating in CHOICES:
                    kind = Kind.TUMOUR if reading else Kind.NON_TUMOUR
                    word = words["theatre.reading.tumour" if reading else "theatre.reading.non_tumour"]
                    text = f"{LOOKS[kind].sign} {word} {words[f'theatre.reading.{sure}']}"
                    made = button(text, lambda r=reading, s=rating: give(r, s), "gs-choice")
                    made.style(f"border-color: {LOOKS[kind].colour}").mark(f"reading-{reading}-{rating}")

    def _toggle_heatmap(self) -> None:
        self._heat = not self._heat
        key = "theatre.heatmap_hide" if self._heat else "theatre.heatmap"
        self._heat_button.set_text(self._state.words[key])
        self.draw()

    def hide_heatmap(self) -> None:
        """Back to the answer alone: the heatmap of one specimen is not asked for on the next."""
        if self._heat:
            self._toggle_heatmap()

    def _ask(self, ask: object) -> None:
        specimen = self._state.specimen
        if specimen is not None and callable(ask):
            ask(self._state, specimen)

    def _open_record(self) -> None:
        specimen = self._state.specimen
        if specimen is not None:
            ui.navigate.to(f"/specimens/{specimen.specimen_id}", new_tab=True)

"""Beside the answer: the map of the cavity, what to act on first, and the case so far."""

from nicegui import ui
from nicegui.events import EChartPointClickEventArguments

from ._accuracy import accuracy_lines, running_accuracy
from ._answer import LOOKS
from ._cavity_map import cavity_map, legend
from ._frame_page import button
from ._page_theatre_state import PageState
from ._suggest import Suggestion, suggest, suggestion_sentence
from ._timeline import Moment, timeline

_MOST_MOMENTS = 200
"""Lines that a page carries; the case's own page has them all."""


class MapSheet:
    """The cavity from above; a tap on a sign shows its specimen."""

    def __init__(self, state: PageState) -> None:
        self._state = state
        with ui.element("section").classes("gs-panel gs-sheet gs-sheet-map"):
            self._chart = ui.echart({}, on_point_click=self._tapped).classes("gs-map").mark("map")
            with ui.element("div").classes("gs-legend"):
                names = [
                    ui.label(f"{sign} {word}").style(f"color: {colour}") for sign, colour, word in legend(state.words)
                ]
            self._hidden = names[-1]

    def draw(self) -> None:
        """All specimens of the case, the shown one with a white edge."""
        case, specimen = self._state.seen.case, self._state.specimen
        if case is None:
            self._chart.set_visibility(False)
            return
        self._chart.set_visibility(True)
        self._hidden.set_visibility(bool(self._state.seen.hidden))
        chosen = "" if specimen is None else specimen.specimen_id
        options = cavity_map(case, self._state.words, hidden=self._state.seen.hidden, chosen=chosen)
        if options != self._chart.options:
            self._chart.options.clear()
            self._chart.options.update(options)

    def _tapped(self, event: EChartPointClickEventArguments) -> None:
        if event.name:
            self._state.show(event.name)


class FirstSheet:
    """What to act on first."""

    def __init__(self, state: PageState) -> None:
        self._state = state
        self._drawn: list[Suggestion] | None = None
        words = state.words
        with ui.element("section").classes("gs-panel gs-sheet gs-sheet-first"):
            with ui.element("div").classes("gs-sheet-title"):
                ui.label(words["theatre.suggest.title"])
                self._simulated = ui.label(words["theatre.suggest.simulated"]).classes("gs-simulated")
            self._list = ui.element("div").classes("gs-list")
            ui.label(words["theatre.suggest.meaning"]).classes("gs-dim gs-small")

    def draw(self) -> None:
        """One button a suggestion, most urgent first."""
        case, hidden = self._state.seen.case, self._state.seen.hidden
        self._simulated.set_visibility(case is not None and case.data_kind == "simulated")
        found = [] if case is None else suggest(case, hidden)
        if found == self._drawn:
            return
        self._drawn = found
        self._list.clear()
        with self._list:
            if not found:
                ui.label(self._state.words["theatre.suggest.none"]).classes("gs-dim")
            for suggestion in found:
                text = suggestion_sentence(suggestion, self._state.words)
                newest = suggestion.specimens[0].specimen_id
                made = button(text, lambda one=newest: self._state.show(one), "gs-line-button")
                made.classes(f"gs-urgency-{suggestion.urgency.name.lower()}")


class TimelineSheet:
    """What happened, newest first, and how often theatre was right so far."""

    def __init__(self, state: PageState) -> None:
        self._state = state
        self._drawn: list[Moment] | None = None
        with ui.element("section").classes("gs-panel gs-sheet gs-sheet-timeline"):
            ui.label(state.words["theatre.accuracy.title"]).classes("gs-sheet-title")
            self._accuracy = ui.label().classes("gs-lines gs-small")
            self._list = ui.element("div").classes("gs-list gs-moments")

    def draw(self) -> None:
        """Accuracy above, one line a moment below; a tap shows its specimen."""
        case, hidden, words = self._state.seen.case, self._state.seen.hidden, self._state.words
        lines = [words["theatre.accuracy.none"]]
        if case is not None:
            lines = accuracy_lines(running_accuracy(case, hidden), words)
        self._accuracy.set_text("\n".join(lines))
        moments = [] if case is None else timeline(case, words, hidden)[:_MOST_MOMENTS]
        if moments == self._drawn:
            return
        self._drawn = moments
        self._list.clear()
        with self._list:
            for moment in moments:
                self._line(moment)

    def _line(self, moment: Moment) -> None:
        text = f"{moment.at.astimezone():%H:%M:%S}  {moment.text}"
        struck = "gs-struck" if moment.struck else ""
        if not moment.specimen_id:
            ui.label(text).classes("gs-dim gs-moment")
            return
        made = button(text, lambda one=moment.specimen_id: self._state.show(one), f"gs-line-button {struck}")
        if moment.kind is not None:
            made.style(f"color: {LOOKS[moment.kind].colour}")

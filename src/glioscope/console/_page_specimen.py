"""`/specimens/{specimen_id}`, where the QR label leads: pictures, answer, pathology, and everything that was said."""

from asyncio import to_thread
from dataclasses import dataclass
from html import escape
from typing import Final
from uuid import uuid4

from fastapi import Request
from nicegui import ui

from glioscope.cases import Action, Annotation, Case, CaseStore, Specimen
from glioscope.core import Decision, GlioscopeError
from glioscope.runtime import FIRST_TASK, MEANING

from ._answer import answer_html, view_answer
from ._console import Console
from ._frame_page import asking, button, page_frame, say_error
from ._guard import Login, login_of
from ._live_scale import LEVELS, colours
from ._pathology_panel import PathologyPanel
from ._pictures import BRIGHTER, SCALES, specimen_scale
from ._record_parts import (
    add_entry,
    add_record_style,
    heading,
    link_button,
    local_time,
    panel,
    sentence,
    short,
    store_from_dialog,
)
from ._timeline import timeline
from ._visible import Visible, own_opinion, visible
from ._words import Words

SLOTS: Final = ("fl", "wl")
_STOPS: Final = 9
"""Colours of the bar below the fluorescence picture."""


def add_pages(console: Console) -> None:
    """Register `/specimens/{specimen_id}`."""

    @ui.page("/specimens/{specimen_id}")
    async def page(request: Request, specimen_id: str) -> None:
        login, words = login_of(request), console.words
        add_record_style()
        try:
            specimen, case = await to_thread(read_specimen, console.store, specimen_id)
        except GlioscopeError as error:
            with page_frame(console, login, words["records.cases"]):
                say_error(error)
            return
        title = words("records.specimen.title", number=specimen.number)
        with page_frame(console, login, title, simulated=case.data_kind == "simulated"):
            SpecimenPage(console, login, specimen, case)


def read_specimen(store: CaseStore, specimen_id: str) -> tuple[Specimen, Case]:
    """A specimen and its case. Raises NoSuchCase, CaseErased."""
    case = store.case(store.specimen(specimen_id).case_id)
    return next(s for s in case.specimens if s.specimen_id == specimen_id), case


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Specimens before and after one in its case, and the next that waits for this pathologist's opinion."""

    before: Specimen | None
    after: Specimen | None
    owed: Specimen | None


def neighbours(case: Case, specimen: Specimen, login: Login) -> Neighbours:
    """Where one can go from a specimen; after the last one the search for owed opinions begins anew."""
    at = case.specimens.index(specimen)
    before = case.specimens[at - 1] if at else None
    after = case.specimens[at + 1] if at + 1 < len(case.specimens) else None
    owed = None
    if login.actor.may(Action.GIVE_PATHOLOGY):
        others = (*case.specimens[at + 1 :], *case.specimens[:at])
        owed = next((s for s in others if not s.withdrawn and own_opinion(s, login.actor) is None), None)
    return Neighbours(before, after, owed)


class SpecimenPage:
    """The page of one specimen; drawn anew after something was stored."""

    def __init__(self, console: Console, login: Login, specimen: Specimen, case: Case) -> None:
        self._console, self._login, self._words = console, login, console.words
        self._place = ui.element("div").classes("gs-column")
        self._draw(specimen, case)

    async def redraw(self) -> None:
        """Read the specimen again and show it."""
        found = await to_thread(read_specimen, self._console.store, self._specimen.specimen_id)
        self._place.clear()
        self._draw(*found)

    def _draw(self, specimen: Specimen, case: Case) -> None:
        self._specimen, self._case = specimen, case
        sight = visible(self._console.theatre, specimen, case, self._login.actor)
        with self._place:
            self._head()
            with ui.element("div").classes("gs-two"):
                with panel():
                    self._pictures()
                with ui.element("div").classes("gs-column"):
                    self._findings(sight)
            with panel():
                self._history(sight)

    def _findings(self, sight: Visible) -> None:
        """The answer, and what pathology says: the form comes first for who has to fill it in."""
        give = self._login.actor.may(Action.GIVE_PATHOLOGY)
        if not give:
            self._answer(sight)
        PathologyPanel(self._console, self._login, self._specimen, self._case, sight, self.redraw)
        if give:
            self._answer(sight)

    def _head(self) -> None:
        words, specimen, case = self._words, self._specimen, self._case
        near = neighbours(case, specimen, self._login)
        with ui.element("div").classes("gs-head"):
            link_button(words("records.specimen.case", case_id=short(case.case_id)), f"/cases/{case.case_id}")
            with ui.element("div").classes("gs-head-title"):
                struck = "gs-struck" if specimen.withdrawn else ""
                ui.label(words("records.specimen.title", number=specimen.number)).classes(f"gs-title {struck}")
                ui.label(place_line(specimen, case, words)).classes("gs-dim")
                if specimen.withdrawn:
                    ui.label(words("records.specimen.withdrawn", reason=specimen.withdrawn)).classes("gs-remark")
            for other, key in ((near.before, "previous"), (near.after, "next")):
                if other is not None:
                    text = words(f"records.specimen.{key}", number=other.number)
                    link_button(text, f"/specimens/{other.specimen_id}")
            if near.owed is not None:
                text = words("records.specimen.next_owed", number=near.owed.number)
                link_button(text, f"/specimens/{near.owed.specimen_id}", "gs-strong")

    def _pictures(self) -> None:
        words, specimen = self._words, self._specimen
        with ui.element("div").classes("gs-pictures"):
            for slot in SLOTS:
                with ui.element("figure"):
                    if slot not in specimen.record.images:
                        ui.label(words[f"records.specimen.no_{slot}"]).classes("gs-dim")
                        continue
                    alt = words(f"records.specimen.{slot}_alt", number=specimen.number)
                    picture = ui.html(_img(f"/specimens/{specimen.specimen_id}/image/{slot}", alt), sanitize=False)
                    ui.label(words[f"records.specimen.{slot}"]).classes("gs-caption")
                    if slot == "fl":
                        self._fl = picture
        if "fl" in specimen.record.images:
            self._bar = ui.html("", sanitize=False)
            exposure = specimen.record.fl_exposure_ms
            p = "records.specimen."
            shown = words[p + "unknown"] if exposure is None else words(p + "ms", ms=f"{exposure:g}")
            ui.label(words("records.specimen.scale", exposure=shown)).classes("gs-dim gs-small")
            self._scales()
        with ui.element("div").classes("gs-row gs-actions"):
            link_button(words["records.specimen.label"], f"/specimens/{specimen.specimen_id}/label.svg", new_tab=True)

    def _scales(self) -> None:
        """Buttons for the brightness of the fluorescence picture; the bar says which counts the colours stand for."""
        words = self._words
        with ui.element("div").classes("gs-row").props(f'role=group aria-label="{words["records.specimen.scales"]}"'):
            buttons = {n: button(words("records.specimen.brighter", n=n), lambda n=n: choose(n)) for n in SCALES}

        def choose(brighter: int) -> None:
            alt = words("records.specimen.fl_alt", number=self._specimen.number)
            source = f"/specimens/{self._specimen.specimen_id}/image/fl?brighter={brighter}"
            self._fl.set_content(_img(source, alt))
            scale = specimen_scale(self._console, brighter)
            self._bar.set_content(colour_bar(scale.low, scale.high))
            for n, made in buttons.items():
                made.classes(add="gs-chosen" if n == brighter else "", remove="" if n == brighter else "gs-chosen")
                made.props(f"aria-pressed={'true' if n == brighter else 'false'}")

        choose(BRIGHTER)

    def _answer(self, sight: Visible) -> None:
        words, specimen = self._words, self._specimen
        with panel():
            heading(words["records.specimen.answer"])
            if not sight.answer:
                ui.label(words["records.specimen.answer_hidden"]).classes("gs-dim")
                return
            ui.html(answer_html(view_answer(specimen, words), words), sanitize=False).classes("gs-answer")
            place = ui.element("div")
            with ui.element("div").classes("gs-row"):
                for task in heatmap_tasks(specimen):
                    text = words("records.specimen.heatmap", task=task_word(task, words))
                    button(text, lambda task=task: self._heatmap(place, task))

    def _heatmap(self, place: ui.element, task: str) -> None:
        """A picture and, always beside it, what it means (decision 0014)."""
        place.clear()
        alt = self._words("records.specimen.heatmap_alt", task=task_word(task, self._words))
        source = f"/specimens/{self._specimen.specimen_id}/heatmap/{task}"
        with place, ui.element("figure").classes("gs-heatmap"):
            ui.html(_img(source, alt), sanitize=False)
            ui.label(f"{sentence(MEANING)}.").classes("gs-caption gs-remark")
            button(self._words["records.specimen.heatmap_hide"], place.clear, "gs-quiet")

    def _history(self, sight: Visible) -> None:
        words = self._words
        with ui.element("div").classes("gs-head"):
            heading(words["records.specimen.history"])
            if self._login.actor.may(Action.REVISE):
                button(words["records.specimen.note"], self._ask_note)
        hidden = frozenset() if sight.answer and sight.opinions else frozenset({self._specimen.specimen_id})
        alone = self._case.model_copy(update={"specimens": (self._specimen,)})
        moments = [moment for moment in timeline(alone, words, hidden) if moment.specimen_id]
        with ui.element("ol").classes("gs-history"):
            for moment in reversed(moments):
                line = f"{local_time(moment.at)} · {moment.account} · {moment.text}"
                ui.html(escape(line), sanitize=False, tag="li").classes("gs-struck" if moment.struck else "")

    def _ask_note(self) -> None:
        words, request_id = self._words, str(uuid4())
        with asking(words("records.specimen.note_title", number=self._specimen.number)) as dialog:
            text = ui.textarea(words["records.specimen.note_text"]).props("outlined maxlength=2000 autofocus")
            said = ui.label().classes("gs-form-error")

            async def store() -> None:
                if not (text.value or "").strip():
                    said.set_text(words["theatre.dialog.needs_text"])
                    return
                note = Annotation(text=text.value.strip())
                stored: list[Specimen] = []
                await store_from_dialog(
                    self._console,
                    self._login,
                    lambda actor: add_entry(self._console, actor, self._specimen, note, request_id),
                    say=said.set_text,
                    then=stored.append,
                )
                if stored:
                    dialog.close()
                    await self.redraw()

            with ui.element("div").classes("gs-row"):
                button(words["records.cancel"], dialog.close, "gs-quiet")
                button(words["records.store"], store, "gs-strong")


def colour_bar(low: int, high: int) -> str:
    """Which counts the colours of a fluorescence picture stand for, as HTML."""
    table = colours()
    stops = (table[round(i * (LEVELS - 1) / (_STOPS - 1))] for i in range(_STOPS))
    ramp = ", ".join("rgb({}, {}, {})".format(*map(int, stop)) for stop in stops)
    return (
        f'<div class="gs-bar"><span>{low}</span>'
        f'<span class="gs-ramp" style="background: linear-gradient(to right, {ramp})"></span><span>{high}</span></div>'
    )


def heatmap_tasks(specimen: Specimen) -> list[str]:
    """Tasks that were answered, so that there is something to show."""
    silent = (Decision.NOT_ASSESSABLE, Decision.NOT_ASKED)
    return [task for task, answer in specimen.answers.items() if answer.get("decision") not in silent]


def task_word(task: str, words: Words) -> str:
    """What the screen calls a task."""
    if task == FIRST_TASK:
        return words["records.specimen.tumor"]
    key = f"theatre.task.{task}"
    return words[key] if key in words else task  # noqa: SIM401  (Words is no dict)


def place_line(specimen: Specimen, case: Case, words: Words) -> str:
    """Sector, time and account."""
    p = "records.specimen."
    sector = words[p + "no_sector"] if specimen.sector is None else words(p + "sector", sector=specimen.sector)
    taken = words(p + "taken", time=local_time(specimen.taken_at), account=specimen.account)
    return f"{case.record.patient_id} · {sector} · {taken}"


def _img(source: str, alt: str) -> str:
    return f'<img src="{escape(source)}" alt="{escape(alt)}">'

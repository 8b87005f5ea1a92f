"""The pathology of a specimen on its page: one's own opinion first, then all opinions, then the consensus."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from nicegui import ui

from glioscope.cases import Action, Case, Pathology, Specimen
from glioscope.core import GlioscopeError

from ._frame_page import button
from ._pathology_form import CONSENSUS, PathologyForm, ki67_sentence, read_pathology
from ._record_parts import Cell, Row, add_entry, heading, panel, sentence, store_from_dialog, table
from ._visible import Visible, own_opinion
from ._words import Words

if TYPE_CHECKING:
    from ._console import Console
    from ._guard import Login

Redraw = Callable[[], Awaitable[None]]
_GRADES: Final = (1, 2, 3, 4)


class PathologyPanel:
    """What pathologists said, and for a pathologist the form.

    Parameters
    ----------
    redraw : called after something was stored.
    """

    def __init__(
        self, console: "Console", login: "Login", specimen: Specimen, case: Case, sight: Visible, redraw: Redraw
    ) -> None:
        self._console, self._login, self._redraw = console, login, redraw
        self._specimen, self._case, self._words = specimen, case, console.words
        may_give = login.actor.may(Action.GIVE_PATHOLOGY)
        own = own_opinion(specimen, login.actor)
        with panel():
            heading(self._words["records.pathology.title"])
            if may_give and own is None:
                self._form(login.actor.account, PathologyForm())
            if sight.opinions:
                self._said()
            elif not may_give:
                ui.label(self._words["records.pathology.waits"]).classes("gs-dim")
            else:
                ui.label(self._words["records.pathology.others_hidden"]).classes("gs-dim")
            self._place = ui.element("div")
            if may_give and own is not None:
                self._buttons(own)

    def _said(self) -> None:
        words = self._words
        opinions = list(self._specimen.opinions)
        agreed = [e.said for e in self._specimen.entries if isinstance(e.said, Pathology) and e.said.consensus]
        if not opinions and not agreed:
            ui.label(words["records.pathology.none_yet"]).classes("gs-dim")
            return
        rows = [opinion_row(said, words) for said in (*opinions, *agreed[-1:])]
        table(words["records.pathology.heads"].split("|"), rows, words["records.pathology.others"])

    def _buttons(self, own: Pathology) -> None:
        """To correct one's own opinion, and to enter what was agreed on."""
        words, specimen = self._words, self._specimen
        agreed = [e.said for e in specimen.entries if isinstance(e.said, Pathology) and e.said.consensus]
        start = PathologyForm.of(agreed[-1]) if agreed else agreement(specimen)
        key = "consensus_correct" if agreed else "consensus_open"
        with ui.element("div").classes("gs-row gs-actions"):
            button(
                words["records.pathology.correct_open"],
                lambda: self._open(self._login.actor.account, PathologyForm.of(own)),
            )
            button(words[f"records.pathology.{key}"], lambda: self._open(CONSENSUS, start))

    def _open(self, pathologist: str, form: PathologyForm) -> None:
        self._place.clear()
        with self._place:
            self._form(pathologist, form, again=True)

    def _form(self, pathologist: str, form: PathologyForm, *, again: bool = False) -> None:
        words, agreed = self._words, pathologist == CONSENSUS
        ui.html(
            f"<h3>{words['records.pathology.consensus' if agreed else 'records.pathology.mine']}</h3>", sanitize=False
        )
        ui.label(words["records.pathology.consensus_hint" if agreed else "records.pathology.mine_hint"]).classes(
            "gs-dim"
        )
        fields = PathologyFields(form, self._case.record.who_edition, words)
        said = ui.label().classes("gs-form-error").props("role=alert")
        # Made once a form: a second tap on a slow network stores nothing twice.
        request_id = str(uuid4())
        key = "agree" if agreed else "correct" if again else "give"

        async def store() -> None:
            try:
                record = read_pathology(fields.form, pathologist, words)
            except GlioscopeError as error:
                said.set_text(sentence(str(error)))
                return
            await store_from_dialog(
                self._console,
                self._login,
                lambda actor: add_entry(self._console, actor, self._specimen, record, request_id),
                say=said.set_text,
                then=lambda _: stored.append(True),
            )
            if stored:
                await self._redraw()

        stored: list[bool] = []
        with ui.element("div").classes("gs-row gs-actions"):
            if again:
                button(words["records.cancel"], self._place.clear, "gs-quiet")
            button(words[f"records.pathology.{key}"], store, "gs-strong")


class PathologyFields:
    """Fields of the form; `form` always holds what they show. Grade and markers are for tumours only."""

    def __init__(self, form: PathologyForm, edition: str, words: Words) -> None:
        self.form, self._words, self._edition = form, words, edition
        p = "records.pathology."
        Choice(self, "pathology", {"tumor": words[p + "tumour"], "non-tumor": words[p + "non_tumour"]}, self._chosen)
        with ui.element("div").classes("gs-form-part") as self._tumour:
            grades = dict(zip(_GRADES, words[p + "grades"].split("|"), strict=True))
            Choice(self, "who_grade", {**grades, None: words[p + "ungraded"]}, title=self._grade_title())
        self._typed("diagnosis", "list=gs-diagnoses autocomplete=off").classes("gs-wide")
        self._common = ui.html("", sanitize=False)
        with ui.element("div").classes("gs-form-part") as self._markers:
            with ui.element("div").classes("gs-row"):
                self._typed("ki67_percent", "inputmode=decimal", "ki67")
                self._typed("ki67_counted", "inputmode=numeric")
                self._typed("ki67_positive", "inputmode=numeric")
            self._computed = ui.label().classes("gs-computed")
            untested = words[p + "untested"]
            with ui.element("div").classes("gs-row gs-markers"):
                idh = {"mutant": words[p + "mutant"], "wildtype": words[p + "wildtype"], None: untested}
                Choice(self, "idh", idh, title=words[p + "idh"])
                codel = {"yes": words[p + "codeleted"], "no": words[p + "intact"], None: untested}
                Choice(self, "codel_1p19q", codel, title=words[p + "codel"])
        self._chosen()
        self._count()

    def _grade_title(self) -> str:
        return self._words("records.pathology.grade", edition=self._edition)

    def _typed(self, field: str, props: str, key: str = "") -> ui.input:
        made = ui.input(self._words[f"records.pathology.{key or field}"], value=getattr(self.form, field))
        made.props(f"outlined {props}")

        def keep() -> None:
            setattr(self.form, field, made.value or "")
            self._count()

        made.on_value_change(keep)
        return made

    def _count(self) -> None:
        if hasattr(self, "_computed"):
            self._computed.set_text(ki67_sentence(self.form, self._words))

    def _chosen(self) -> None:
        """Grade and markers come with "tumour"; the list of diagnoses follows the choice."""
        tumour = self.form.pathology == "tumor"
        self._tumour.set_visibility(tumour)
        self._markers.set_visibility(tumour)
        key = "non_tumour" if self.form.pathology == "non-tumor" else self._edition
        options = "".join(
            f'<option value="{name}">' for name in self._words[f"records.pathology.list.{key}"].split("|")
        )
        self._common.set_content(f'<datalist id="gs-diagnoses">{options}</datalist>')


class Choice:
    """A row of large buttons of which one is chosen; the chosen one has a sign as well as a colour."""

    def __init__(
        self,
        fields: PathologyFields,
        name: str,
        options: Mapping[Any, str],
        then: Callable[[], object] = lambda: None,
        title: str = "",
    ) -> None:
        self._form, self._name, self._then = fields.form, name, then
        self._options = options
        with ui.element("div").classes("gs-choice").props(f'role=group aria-label="{title}"'):
            if title:
                ui.label(title).classes("gs-choice-title")
            with ui.element("div").classes("gs-row"):
                self._buttons = {
                    value: button(text, lambda value=value: self._choose(value)) for value, text in options.items()
                }
        self._draw()

    def _choose(self, value: Any) -> None:
        setattr(self._form, self._name, value)
        self._draw()
        self._then()

    def _draw(self) -> None:
        chosen = getattr(self._form, self._name)
        for value, made in self._buttons.items():
            is_chosen = value == chosen
            made.set_text(f"✓ {self._options[value]}" if is_chosen else self._options[value])
            made.classes(add="gs-chosen" if is_chosen else "", remove="" if is_chosen else "gs-chosen")
            made.props(f"aria-pressed={'true' if is_chosen else 'false'}")


def opinion_row(said: Pathology, words: Words) -> Row:
    """A line of the table of opinions."""
    p = "records.pathology."
    tumour = said.pathology == "tumor"
    grades = words[p + "grades"].split("|")
    cells = (
        Cell(words[p + "consensus"] if said.consensus else said.pathologist),
        Cell(words[p + ("tumour" if tumour else "non_tumour")], look="gs-tumour" if tumour else "gs-non-tumour"),
        Cell("" if said.who_grade is None else grades[said.who_grade - 1]),
        Cell(said.diagnosis),
        Cell(_percent(said, words)),
        Cell("" if said.idh is None else words[p + said.idh]),
        Cell("" if said.codel_1p19q is None else words[p + ("codeleted" if said.codel_1p19q == "yes" else "intact")]),
    )
    return Row(cells, "gs-agreed" if said.consensus else "")


def agreement(specimen: Specimen) -> PathologyForm:
    """A form with what all opinions have in common: where they differ, the pathologists have to choose."""
    forms = [PathologyForm.of(said) for said in specimen.opinions]
    common = PathologyForm()
    for name in PathologyForm.__dataclass_fields__:
        values = {getattr(form, name) for form in forms}
        if len(values) == 1:
            setattr(common, name, values.pop())
    ki67 = ("ki67_percent", "ki67_counted", "ki67_positive")
    if len({tuple(getattr(form, name) for name in ki67) for form in forms}) > 1:
        for name in ki67:  # half of a count is none
            setattr(common, name, "")
    return common


def _percent(said: Pathology, words: Words) -> str:
    if said.ki67_percent is None:
        return ""
    percent = f"{said.ki67_percent:g}"
    if said.ki67_counted is None:
        return words("records.pathology.percent", percent=percent)
    counts = {"positive": said.ki67_positive, "counted": said.ki67_counted}
    return words("records.pathology.percent_counted", percent=percent, **counts)

"""What the screen says of one specimen: a word, a sign and a colour, the probability, and what limits it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from typing import Any, Final

from glioscope.cases import Specimen
from glioscope.core import BUILT_IN_TASKS, Decision
from glioscope.runtime import FIRST_TASK

from ._words import Words


class Kind(StrEnum):
    """How a specimen is shown everywhere: answer, map, timeline, lists."""

    TUMOUR = "tumour"
    NON_TUMOUR = "non_tumour"
    INDETERMINATE = "indeterminate"
    NOT_ASSESSABLE = "not_assessable"
    HIDDEN = "hidden"
    """A blind reading is owed: the answer must not be seen yet."""


@dataclass(frozen=True, slots=True)
class Look:
    """Sign and colour of a kind: no kind is told by its colour alone. `symbol` is the sign's name in ECharts."""

    sign: str
    colour: str
    symbol: str


LOOKS: Final = {
    Kind.TUMOUR: Look("▲", "#E69F00", "triangle"),
    Kind.NON_TUMOUR: Look("●", "#56B4E9", "circle"),
    Kind.INDETERMINATE: Look("◇", "#F0E442", "diamond"),
    Kind.NOT_ASSESSABLE: Look("✕", "#8A96A3", "rect"),
    Kind.HIDDEN: Look("…", "#E8EEF4", "roundRect"),
}
"""Colours of Okabe and Ito (2008), which differ for every common kind of colour vision."""

_PAPER: Final = ("grade", "ki67")
"""What the paper answers of a tumour; whatever else a suite answers is shown smaller."""
_KINDS: Final = {
    Decision.POSITIVE: Kind.TUMOUR,
    Decision.NEGATIVE: Kind.NON_TUMOUR,
    Decision.INDETERMINATE: Kind.INDETERMINATE,
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line below the word. `strong` ones are part of the answer, the others qualify it."""

    label: str
    value: str
    strong: bool = False


@dataclass(frozen=True, slots=True)
class AnswerView:
    """Everything that is shown of one specimen; with a reading owed it holds nothing of the answer."""

    number: int
    sector: int | None
    kind: Kind
    word: str
    lines: tuple[Line, ...] = ()
    reasons: tuple[str, ...] = ()
    withdrawn: str = ""


def kind_of(specimen: Specimen, *, hidden: bool = False) -> Kind:
    """How a specimen is shown; not assessable where the first task has no answer."""
    if hidden:
        return Kind.HIDDEN
    decision = specimen.answers.get(FIRST_TASK, {}).get("decision", Decision.NOT_ASSESSABLE)
    return _KINDS.get(decision, Kind.NOT_ASSESSABLE)


def probability_of(answer: Mapping[str, Any]) -> str:
    """Calibrated probability of the positive class with its interval, "0.93, 0.81–0.98"; "" without a calibration."""
    if answer.get("y_probability") is None:
        return ""
    shown = _two_places(answer["y_probability"])
    if answer.get("y_interval"):
        low, high = answer["y_interval"]
        shown += f", {_two_places(low)}–{_two_places(high)}"
    return shown


def view_answer(specimen: Specimen, words: Words, *, hidden: bool = False) -> AnswerView:
    """What is shown of a specimen.

    Parameters
    ----------
    hidden : a blind reading is owed.
    """
    kind = kind_of(specimen, hidden=hidden)
    word = words[f"theatre.word.{kind}"]
    if hidden:
        return AnswerView(specimen.number, specimen.sector, kind, word, withdrawn=specimen.withdrawn)
    return AnswerView(
        specimen.number,
        specimen.sector,
        kind,
        word,
        _lines(specimen, kind, words),
        _reasons(specimen, kind),
        specimen.withdrawn,
    )


def answer_html(view: AnswerView, words: Words) -> str:
    """Word, lines and reasons as HTML, everything in it escaped; which specimen it is stands above it."""
    look = LOOKS[view.kind]
    struck = " gs-struck" if view.withdrawn else ""
    said = words("theatre.withdrawn", reason=view.withdrawn) if view.withdrawn else ""
    parts = [
        f'<div class="gs-word gs-{view.kind}{struck}" style="color:{look.colour}">'
        f'<span class="gs-sign" aria-hidden="true">{look.sign}</span><span>{escape(view.word)}</span></div>',
        f'<div class="gs-withdrawn">{escape(said)}</div>' if said else "",
        *(_line_html(line) for line in view.lines),
        *(f'<div class="gs-reason">{escape(_sentence(reason))}</div>' for reason in view.reasons),
    ]
    return "".join(parts)


def place(number: int, sector: int | None, words: Words) -> str:
    """Which specimen: "No. 4, sector 3"."""
    if sector is None:
        return words("theatre.place_no_sector", number=number)
    return words("theatre.place", number=number, sector=sector)


def brief(specimen: Specimen, words: Words, *, hidden: bool = False) -> str:
    """One line: sign, word, probability."""
    kind = kind_of(specimen, hidden=hidden)
    said = f"{LOOKS[kind].sign} {words[f'theatre.word.{kind}']}"
    if kind in (Kind.HIDDEN, Kind.NOT_ASSESSABLE):
        return said
    probability = probability_of(specimen.answers.get(FIRST_TASK, {}))
    return f"{said} {probability}" if probability else said


def _lines(specimen: Specimen, kind: Kind, words: Words) -> tuple[Line, ...]:
    first = specimen.answers.get(FIRST_TASK, {})
    lines = []
    if kind is not Kind.NOT_ASSESSABLE:
        lines.append(_score(first, words))
    if kind is Kind.TUMOUR:
        lines += [_further(task, answer, words) for task, answer in specimen.answers.items() if task != FIRST_TASK]
    return tuple(lines)


def _score(answer: Mapping[str, Any], words: Words) -> Line:
    """The probability; without a calibration the raw score, and that it is no probability."""
    if probability := probability_of(answer):
        return Line(words["theatre.probability"], probability, strong=True)
    score, threshold = answer.get("y_score") or 0.0, answer.get("threshold") or 0.0
    value = words("theatre.score_value", score=_two_places(score), threshold=_two_places(threshold))
    return Line(words["theatre.score"], value, strong=True)


def _further(task: str, answer: Mapping[str, Any], words: Words) -> Line:
    """Grade, Ki-67 and whatever else the suite answers of a tumour."""
    known = f"theatre.task.{task}" in words
    label = words[f"theatre.task.{task}"] if known else task
    said = str(answer.get("answer", ""))
    if answer.get("decision") == Decision.NOT_ASSESSABLE:
        why = "; ".join(reason["sentence"] for reason in answer.get("reasons", ()))
        return Line(label, f"{said}: {why}" if why else said)
    probability = probability_of(answer)
    # "Ki-67 >= 10 %" below the label "Ki-67" would say it twice.
    said = said.removeprefix(f"{label} ")
    if probability:
        # A probability is always that of the positive class, whatever the answer: it says of what.
        said += f", P({_positive(task).removeprefix(f'{label} ')}) {probability}"
    return Line(label, said, strong=task in _PAPER)


def _positive(task: str) -> str:
    """How a person reads the positive class of a task; "+" for a task of somebody's own."""
    return BUILT_IN_TASKS[task].positive_name if task in BUILT_IN_TASKS else "+"


def _reasons(specimen: Specimen, kind: Kind) -> tuple[str, ...]:
    """Why there is no answer, or what has to be known of it; each sentence once, the first task's first."""
    diagnosis = specimen.record.diagnosis
    found = [diagnosis["error"]] if diagnosis.get("error") else []
    found += [reason["sentence"] for reason in specimen.answers.get(FIRST_TASK, {}).get("reasons", ())]
    found += [reason["sentence"] for reason in diagnosis.get("reasons", ())]
    if kind is Kind.TUMOUR:
        answered = [a for a in specimen.answers.values() if a.get("decision") != Decision.NOT_ASSESSABLE]
        found += [reason["sentence"] for answer in answered for reason in answer.get("reasons", ())]
    return tuple(dict.fromkeys(found))


def _line_html(line: Line) -> str:
    strong = " gs-strong-line" if line.strong else ""
    return (
        f'<div class="gs-line{strong}"><span class="gs-dim">{escape(line.label)}</span> '
        f"<span>{escape(line.value)}</span></div>"
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _two_places(value: float) -> str:
    """Two decimals, and never a false 0 or 1: "<0.01", ">0.99"."""
    if 0 < value < 0.005:
        return "<0.01"
    if 0.995 <= value < 1:
        return ">0.99"
    return f"{value:.2f}"

"""The form in which a pathologist says what a specimen is, read into a record or refused in a sentence."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import ValidationError

from glioscope.cases import Pathology
from glioscope.core import InputError

from ._sentences import why_not
from ._words import Words

CONSENSUS: Final = "consensus"
"""Stands in place of a pathologist's name."""
_FIELDS: Final = {
    "who_grade": "grade",
    "diagnosis": "diagnosis",
    "ki67_percent": "ki67",
    "ki67_positive": "ki67_positive",
    "ki67_counted": "ki67_counted",
    "idh": "idh",
    "codel_1p19q": "codel",
}


@dataclass(slots=True)
class PathologyForm:
    """What a pathologist chose and typed, as it was typed; None is not chosen."""

    pathology: Literal["tumor", "non-tumor"] | None = None
    who_grade: int | None = None
    diagnosis: str = ""
    ki67_percent: str = ""
    ki67_counted: str = ""
    ki67_positive: str = ""
    idh: Literal["mutant", "wildtype"] | None = None
    codel_1p19q: Literal["yes", "no"] | None = None

    @classmethod
    def of(cls, said: Pathology | None) -> "PathologyForm":
        """The form as it was filled in before; empty for None."""
        if said is None:
            return cls()
        counted = said.ki67_counted is not None
        return cls(
            said.pathology,
            said.who_grade,
            said.diagnosis,
            "" if counted else _typed(said.ki67_percent),
            _typed(said.ki67_counted),
            _typed(said.ki67_positive) if counted else "",
            said.idh,
            said.codel_1p19q,
        )


def read_pathology(form: PathologyForm, pathologist: str, words: Words) -> Pathology:
    """The record of what was typed; Ki-67 in percent is computed where nuclei were counted.

    What belongs to tumours only is left out of a non-tumour.

    Parameters
    ----------
    pathologist : name of the account, or "consensus".

    Raises
    ------
    InputError : one sentence on the first thing that cannot be.
    """
    if form.pathology is None:
        raise InputError(words["records.pathology.choose_first"])
    fields: dict[str, Any] = {
        "pathologist": pathologist,
        "consensus": pathologist == CONSENSUS,
        "pathology": form.pathology,
        "diagnosis": form.diagnosis,
    }
    if form.pathology == "tumor":
        fields |= {"who_grade": form.who_grade, "idh": form.idh, "codel_1p19q": form.codel_1p19q}
        fields |= _ki67(form, words)
    try:
        return Pathology.model_validate(fields)
    except ValidationError as error:
        names = {field: words[f"records.pathology.{key}"] for field, key in _FIELDS.items()}
        names["who_grade"] = words("records.pathology.grade", edition="").strip(" ()")
        raise InputError(why_not(error, names)) from None


def ki67_sentence(form: PathologyForm, words: Words) -> str:
    """As "Ki-67 = 62 of 500 nuclei = 12.4 %"; empty while nothing is counted, the reason where it cannot be."""
    try:
        read = _ki67(form, words)
    except InputError as error:
        return str(error) if form.ki67_counted.strip() and form.ki67_positive.strip() else ""
    if read.get("ki67_counted") is None:
        return ""
    shown = {"positive": read["ki67_positive"], "counted": read["ki67_counted"]}
    return words("records.pathology.ki67_computed", **shown, percent=f"{read['ki67_percent']:g}")


def _ki67(form: PathologyForm, words: Words) -> dict[str, Any]:
    counted = _number(form.ki67_counted, int, "ki67_counted", words)
    positive = _number(form.ki67_positive, int, "ki67_positive", words)
    percent = _number(form.ki67_percent, float, "ki67", words)
    if counted is None and positive is None:
        return {"ki67_percent": percent}
    if percent is not None:
        raise InputError(words["records.pathology.both"])
    if not counted or positive is None or positive < 0:
        raise InputError(words["records.pathology.counted_missing"])
    if positive > counted:
        raise InputError(words("records.pathology.counted_many", positive=positive, counted=counted))
    return {"ki67_percent": round(100 * positive / counted, 2), "ki67_positive": positive, "ki67_counted": counted}


def _number(typed: str, kind: Callable[[str], Any], name: str, words: Words) -> Any:
    """None for nothing typed; a decimal comma is read as a point."""
    text = typed.strip().replace(",", ".")
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        key = "no_whole" if kind is int else "no_number"
        field = words[f"records.pathology.{name}"]
        raise InputError(words(f"records.pathology.{key}", field=field, value=typed.strip()[:40])) from None


def _typed(value: float | None) -> str:
    return "" if value is None else f"{value:g}"

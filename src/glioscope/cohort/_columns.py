"""The manifest's columns: what each may hold, and what a written value means."""

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

Parser = Callable[[str], Any]
"""Turns the text of a cell that is not blank into a value; raises ValueError with what would be right."""

_ROMAN: Final = {"i": "1", "ii": "2", "iii": "3", "iv": "4"}
_PATHOLOGY: Final = {
    "tumor": "tumor",
    "tumour": "tumor",
    "nontumor": "non-tumor",
    "nontumour": "non-tumor",
}
_IDH: Final = {"mutant": "mutant", "mutated": "mutant", "wildtype": "wildtype", "wt": "wildtype"}
_CODEL: Final = {"yes": "yes", "codeleted": "yes", "no": "no", "intact": "no"}
_EDITIONS: Final = ("2007", "2016", "2021")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of contract 1. `dtype` is the pandas type in `Cohort.table`; text is "" where blank."""

    parse: Parser
    dtype: str = "str"
    label: bool = False


def _squeezed(text: str) -> str:
    return re.sub(r"[\s_\-/]+", "", text.casefold())


def _one_of(words: Mapping[str, str], allowed: str) -> Parser:
    def parse(text: str) -> str:
        found = words.get(_squeezed(text))
        if found is None:
            raise ValueError(f"is not known; give {allowed}, or leave it blank where unknown")
        return found

    return parse


def _number(low: float, high: float, unit: str, *, open_low: bool = False) -> Parser:
    limits = f"above {low:g}" if open_low else f"from {low:g} to {high:g}"

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"is not a number; give {unit} {limits}, with a decimal point") from None
        if not math.isfinite(value) or value < low or value > high or (open_low and value == low):
            raise ValueError(f"is out of range; give {unit} {limits}")
        return value

    return parse


def _whole(low: int, high: int | None, what: str) -> Parser:
    limits = f"from {low} to {high}" if high is not None else f"from {low}"

    def parse(text: str) -> int:
        if not re.fullmatch(r"\d+(\.0+)?", text) or not low <= int(float(text)) <= (high or 10**9):
            raise ValueError(f"is no {what}; give a whole number {limits}")
        return int(float(text))

    return parse


def _identifier(text: str) -> str:
    if any(ord(char) < 32 for char in text):
        raise ValueError("has a control character; give plain text")
    return text


def _grade(text: str) -> str:
    word = re.sub(r"^(who|grade|\s)+", "", text.casefold()).strip()
    word = _ROMAN.get(word, word.removesuffix(".0"))
    if word not in _ROMAN.values():
        raise ValueError("is no WHO grade; give 1, 2, 3, 4 or I, II, III, IV")
    return word


def _edition(text: str) -> str:
    word = text.removesuffix(".0")
    if word not in _EDITIONS:
        raise ValueError(f"is no known WHO edition; give {', '.join(_EDITIONS)}, or leave it blank where unknown")
    return word


def _level(text: str) -> str:
    word = _squeezed(text).replace("≥", ">=").removesuffix("%")
    if word not in ("<10", ">=10"):
        raise ValueError("is not known; give <10 or >=10, or leave it blank where unknown")
    return word


def _roi(text: str) -> str:
    numbers = re.split(r"[,;\s]+", text.strip("()[] "))
    if len(numbers) != 4 or not all(re.fullmatch(r"\d+", number) for number in numbers):
        raise ValueError("is no region; give x,y,w,h as four whole numbers of pixels from the top left")
    if int(numbers[2]) < 1 or int(numbers[3]) < 1:
        raise ValueError("is an empty region; width and height must be at least 1 px")
    return ",".join(str(int(number)) for number in numbers)


def _moment(text: str) -> str:
    try:
        return datetime.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("is no date; give ISO 8601, for example 2021-03-04T10:15:00+01:00") from None


def _positive(unit: str) -> Column:
    return Column(_number(0, math.inf, unit, open_low=True), "float64")


_TEXT: Final = Column(_identifier)

COLUMNS: Final[dict[str, Column]] = {
    "patient_id": _TEXT,
    "specimen_id": _TEXT,
    "image_id": _TEXT,
    "fl_image": _TEXT,
    "wl_image": _TEXT,
    "framing": Column(_one_of({"cut": "cut", "full": "full"}, "cut or full")),
    "roi": Column(_roi),
    "mm_per_px": _positive("mm per pixel"),
    "fl_exposure_ms": _positive("milliseconds"),
    "fl_gain": _positive("a gain"),
    "distance_mm": _positive("millimetres"),
    "irradiance_mw_cm2": _positive("mW/cm2"),
    "fl_dark": _TEXT,
    "fl_flat": _TEXT,
    "device_id": _TEXT,
    "site": _TEXT,
    "acquired_at": Column(_moment),
    "sector": Column(_whole(1, 8, "sector"), "Int64"),
    "sample_index": Column(_whole(0, None, "index"), "Int64"),
    "pathology": Column(_one_of(_PATHOLOGY, "tumor or non-tumor"), label=True),
    "who_grade": Column(_grade, label=True),
    "who_edition": Column(_edition, label=True),
    "diagnosis": Column(_identifier, label=True),
    "ki67_percent": Column(_number(0, 100, "a percentage"), "float64", label=True),
    "ki67_level": Column(_level, label=True),
    "idh": Column(_one_of(_IDH, "mutant or wildtype"), label=True),
    "codel_1p19q": Column(_one_of(_CODEL, "yes or no"), label=True),
    "data_kind": Column(_one_of({"simulated": "simulated", "real": "real"}, "simulated or real")),
}
"""Every column of contract 1 in the order of `Cohort.table`."""

IMAGE_COLUMNS: Final = ("fl_image", "wl_image", "fl_dark", "fl_flat")
DERIVED: Final = ("row", "grade_class")
"""Columns that glioscope adds; a manifest may not bring them."""


def nearest_column(name: str) -> str | None:
    """The known column that `name` was probably meant to be, or None."""
    wanted = _squeezed(name)
    by_key = {_squeezed(known): known for known in COLUMNS}
    close = difflib.get_close_matches(wanted, by_key, n=1, cutoff=0.8)
    return by_key[close[0]] if close else None

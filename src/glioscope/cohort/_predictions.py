"""The predictions table (contract 3): what every model says of every specimen, as a checked file."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from glioscope.core import Decision, InputError, ManifestError, Problem, Role, atomic_file

from ._table import as_text, read_table

PREDICTION_COLUMNS: Final = (
    "patient_id",
    "specimen_id",
    "task",
    "model",
    "split",
    "fold",
    "y_true",
    "y_score",
    "y_probability",
    "decision",
    "level",
)
_REQUIRED: Final = ("patient_id", "specimen_id", "task", "model", "y_true", "y_score")
_KEY: Final = ["specimen_id", "task", "model", "split", "fold"]
_SPLITS: Final = tuple(role.value for role in Role)
_DECISIONS: Final = tuple(decision.value for decision in Decision)


def write_predictions(path: Path | str, frame: pd.DataFrame) -> None:
    """Write predictions as CSV, checked as `read_predictions` checks them; extra columns follow the known ones.

    Parameters
    ----------
    frame : needs patient_id, specimen_id, task, model, y_true (NaN where unknown) and y_score. Scores are written
        with as many digits as bring back the same float64.

    Raises
    ------
    InputError : a column is missing. ManifestError : wrong values, all of them.
    """
    path = Path(path)
    missing = [name for name in _REQUIRED if name not in frame]
    if missing:
        raise InputError(f"{path}: the predictions lack {', '.join(missing)}")
    ordered = [name for name in PREDICTION_COLUMNS if name in frame]
    table = frame.loc[:, ordered + [name for name in frame.columns if name not in PREDICTION_COLUMNS]]
    text = table.apply(lambda column: column.map(as_text))
    rows = [(number, tuple(row)) for number, row in enumerate(text.itertuples(index=False, name=None), start=2)]
    _typed(path, tuple(text.columns), rows)
    with atomic_file(path) as temporary:
        text.to_csv(temporary, index=False)


def read_predictions(path: Path | str) -> pd.DataFrame:
    """Read a predictions table (.csv, .xlsx or .parquet).

    Returns
    -------
    DataFrame with all columns of contract 3: text as str ("" where blank), `fold` Int64 (NA where blank), `y_true`
    float64 (0 or 1, an ordinal level's index, NaN where unknown), `y_score` and `y_probability` float64 in [0, 1]
    (probability NaN where blank), `level` Int64 (the level an ordinal task answers; NA where blank), `split` train,
    tune or test (test where blank). Extra columns are kept as text.

    Raises
    ------
    ManifestError : with all problems, by row and column.
    """
    path = Path(path)
    raw = read_table(path)
    missing = [name for name in _REQUIRED if name not in raw.header]
    if missing:
        raise ManifestError(path, [Problem(None, name, "", "is a required column that is missing") for name in missing])
    return _typed(path, raw.header, list(raw.rows), raw.problems)


def _typed(
    path: Path, header: tuple[str, ...], rows: list[tuple[int, tuple[str, ...]]], found: tuple[Problem, ...] = ()
) -> pd.DataFrame:
    problems = list(found)
    numbers = [number for number, _ in rows]
    text = pd.DataFrame([row for _, row in rows], columns=list(header), dtype="str")
    for name in PREDICTION_COLUMNS:
        if name not in text:
            text[name] = pd.Series("", index=text.index, dtype="str")
    text["split"] = text["split"].replace("", Role.TEST.value)

    def check(name: str, right: Callable[[str], bool], message: str, *, blank: bool) -> None:
        for number, cell in zip(numbers, text[name], strict=True):
            if not (blank if cell == "" else right(cell)):
                problems.append(Problem(number, name, cell, message))

    for name in ("patient_id", "specimen_id", "task", "model"):
        check(name, lambda _: True, "is blank; every row needs one", blank=False)
    check("split", _SPLITS.__contains__, f"is not known; give {', '.join(_SPLITS)}", blank=True)
    check("decision", _DECISIONS.__contains__, f"is not known; give {', '.join(_DECISIONS)}", blank=True)
    check("fold", _is_whole, "is no whole number from 0", blank=True)
    check("level", _is_whole, "is no level; give an ordinal level's index from 0, or leave it blank", blank=True)
    check("y_true", _is_whole, "is no label; give 0, 1, an ordinal level's index, or leave it blank", blank=True)
    check("y_score", _is_share, "is no score; give a number from 0 to 1", blank=False)
    check("y_probability", _is_share, "is no probability; give a number from 0 to 1", blank=True)
    problems += _repeated(text, numbers) + _two_patients(text, numbers)
    if problems:
        raise ManifestError(path, sorted(problems, key=lambda problem: problem.row or 0))
    return _converted(text)


def _converted(text: pd.DataFrame) -> pd.DataFrame:
    table = text.loc[:, [*PREDICTION_COLUMNS, *(name for name in text if name not in PREDICTION_COLUMNS)]].copy()
    for name in ("y_true", "y_score", "y_probability"):
        table[name] = [float(cell) if cell else np.nan for cell in text[name]]
    for name in ("fold", "level"):
        table[name] = pd.array([int(float(cell)) if cell else pd.NA for cell in text[name]], dtype="Int64")
    return table


def _repeated(text: pd.DataFrame, numbers: list[int]) -> list[Problem]:
    again = text.duplicated(_KEY)
    message = "is predicted twice for the same task, model, split and fold"
    return [
        Problem(numbers[i], "specimen_id", str(text["specimen_id"].iloc[i]), message) for i in np.flatnonzero(again)
    ]


def _two_patients(text: pd.DataFrame, numbers: list[int]) -> list[Problem]:
    owner = text.groupby("specimen_id")["patient_id"].transform("first")
    return [
        Problem(numbers[i], "patient_id", str(text["patient_id"].iloc[i]), f"differs from {owner.iloc[i]} above")
        for i in np.flatnonzero(owner != text["patient_id"])
    ]


def _is_whole(cell: str) -> bool:
    return cell.removesuffix(".0").isdigit()


def _is_share(cell: str) -> bool:
    try:
        return 0 <= float(cell) <= 1
    except ValueError:
        return False

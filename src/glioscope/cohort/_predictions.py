"""The predictions table (contract 3): what every model says of every specimen, as a checked file."""

import re
from collections.abc import Callable, Iterator
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
_NAMES: Final = ("patient_id", "specimen_id", "task", "model")
_KEY: Final = ["specimen_id", "task", "model", "split", "fold"]
_SHARES: Final = ("y_score", "y_probability")
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


def check_predictions(table: pd.DataFrame, name: str) -> None:
    """Check that typed predictions, perhaps of several files, do not contradict one another.

    Raises
    ------
    InputError : the first contradiction, with `name`, specimen, task and model.
    """
    for column, wrong, message in _contradictions(table):
        if wrong.any():
            row = table.loc[wrong].iloc[0]
            said = message if isinstance(message, str) else str(message.loc[wrong].iloc[0])
            where = f"specimen {row['specimen_id']}, task {row['task']}, model {row['model']}"
            raise InputError(f"{name}: {where}: {column} {row[column]} {said}")


def _typed(
    path: Path, header: tuple[str, ...], rows: list[tuple[int, tuple[str, ...]]], found: tuple[Problem, ...] = ()
) -> pd.DataFrame:
    problems = list(found)
    numbers = np.array([number for number, _ in rows])
    text = pd.DataFrame([row for _, row in rows], columns=list(header), dtype="str")
    for name in PREDICTION_COLUMNS:
        if name not in text:
            text[name] = pd.Series("", index=text.index, dtype="str")
    text["split"] = text["split"].replace("", Role.TEST.value)

    def add(name: str, wrong: "pd.Series[bool]", message: "pd.Series[str] | str") -> None:
        for i in np.flatnonzero(wrong):
            said = message if isinstance(message, str) else str(message.iloc[i])
            problems.append(Problem(int(numbers[i]), name, str(text[name].iloc[i]), said))

    def known(name: str, right: Callable[[str], bool], message: str) -> None:
        add(name, ~text[name].map({cell: right(cell) for cell in text[name].unique()}).astype(bool), message)

    for name in _NAMES:
        add(name, text[name] == "", "is blank; every row needs one")
        known(name, _is_plain, "has a control character; give plain text")
    known("task", _is_task, "is no task name; give small letters, digits and _, a letter first, at most 60")
    known("split", _SPLITS.__contains__, f"is not known; give {', '.join(_SPLITS)}")
    known("decision", ("", *_DECISIONS).__contains__, f"is not known; give {', '.join(_DECISIONS)}")
    known("fold", _is_whole, "is no whole number from 0")
    known("level", _is_whole, "is no level; give an ordinal level's index from 0, or leave it blank")
    known("y_true", _is_whole, "is no label; give 0, 1, an ordinal level's index, or leave it blank")
    scores = {name: pd.to_numeric(text[name].replace("", None), errors="coerce") for name in _SHARES}
    add("y_score", ~scores["y_score"].between(0, 1), "is no score; give a number from 0 to 1")
    unlikely = (text["y_probability"] != "") & ~scores["y_probability"].between(0, 1)
    add("y_probability", unlikely, "is no probability; give a number from 0 to 1")
    if not problems:
        for name, wrong, message in _contradictions(text):
            add(name, wrong, message)
    if problems:
        raise ManifestError(path, sorted(problems, key=lambda problem: problem.row or 0))
    return _converted(text, scores)


def _converted(text: pd.DataFrame, scores: dict[str, "pd.Series[float]"]) -> pd.DataFrame:
    table = text.loc[:, [*PREDICTION_COLUMNS, *(name for name in text if name not in PREDICTION_COLUMNS)]].copy()
    for name in _SHARES:
        table[name] = scores[name].astype(np.float64)
    table["y_true"] = pd.to_numeric(text["y_true"].replace("", None)).astype(np.float64)
    for name in ("fold", "level"):
        table[name] = pd.to_numeric(text[name].replace("", None)).astype("Float64").astype("Int64")
    return table


def _contradictions(table: pd.DataFrame) -> Iterator[tuple[str, "pd.Series[bool]", "pd.Series[str] | str"]]:
    """Column, rows that contradict others, and in which way; for text as read and for typed values."""
    again = table.duplicated(_KEY)
    yield "specimen_id", again, "is predicted twice for the same task, model, split and fold"
    owner = table.groupby("specimen_id", sort=False)["patient_id"].transform("first")
    yield "patient_id", owner != table["patient_id"], "differs from " + owner + ", the patient of that specimen above"
    label = pd.to_numeric(table["y_true"].replace("", None)).astype("Float64")
    of_specimen = table.assign(y_true=label).groupby(["task", "specimen_id"], sort=False)
    truth = of_specimen["y_true"].transform("first")
    differs = (label != truth).fillna(False).astype(bool)
    yield (
        "y_true",
        differs,
        "differs from " + truth.astype("Int64").astype(str) + ", the label of that specimen and task above",
    )
    yield "patient_id", _on_two_sides(table), "has test rows and others for the same task, model and fold"


def _on_two_sides(table: pd.DataFrame) -> "pd.Series[bool]":
    """The first test row of each patient whom the same model of the same fold was trained or tuned on."""
    unit = table["patient_id"] + "\t" + table["task"] + "\t" + table["model"] + "\t" + table["fold"].astype(str)
    test = table["split"] == Role.TEST.value
    both = test & unit.isin(unit[~test].unique())
    return both & ~table["patient_id"].where(both).duplicated()


def _is_plain(cell: str) -> bool:
    return not any(ord(letter) < 32 for letter in cell)


def _is_task(cell: str) -> bool:
    """Names of `core.Task`, short enough for file names; a blank cell or a control character is another problem."""
    return cell == "" or not _is_plain(cell) or re.fullmatch("[a-z][a-z0-9_]{0,59}", cell) is not None


def _is_whole(cell: str) -> bool:
    return cell == "" or cell.removesuffix(".0").isdigit()

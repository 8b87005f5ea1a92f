"""The readings table (contract 3): what readers said of every specimen's images, as a checked file."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

import pandas as pd

from glioscope.core import ManifestError, Problem

from ._columns import COLUMNS, Column
from ._table import read_table

MODALITIES: Final = ("fl", "wl")


def _modality(text: str) -> str:
    if text.casefold() not in MODALITIES:
        raise ValueError("is no modality that readers read; give fl or wl")
    return text.casefold()


def _reading(text: str) -> int:
    if text.removesuffix(".0") not in ("0", "1"):
        raise ValueError("is no reading; give 1 (tumour) or 0 (non-tumour)")
    return int(float(text))


def _rating(text: str) -> float:
    if text.removesuffix(".0") not in ("1", "2", "3", "4", "5"):
        raise ValueError("is no rating; give a whole number from 1 (surely non-tumour) to 5 (surely tumour)")
    return float(text)


READING_COLUMNS: Final[dict[str, Column]] = {
    "reader": COLUMNS["specimen_id"],
    "specimen_id": COLUMNS["specimen_id"],
    "modality": Column(_modality),
    "reading": Column(_reading, "Int64"),
    "rating": Column(_rating, "float64"),
    "read_order": COLUMNS["sample_index"],
}
_REQUIRED: Final = ("reader", "specimen_id", "modality", "reading")
_KEY: Final = ["reader", "specimen_id", "modality"]


def read_readings(path: Path | str) -> pd.DataFrame:
    """Read a readings table (.csv, .xlsx or .parquet): one row a reader, specimen and modality.

    Returns
    -------
    DataFrame with `reader` and `specimen_id` (str), `modality` ("fl" or "wl"), `reading` (int64, 1 is tumour),
    `rating` (float64, 1 to 5, NaN where blank) and `read_order` (Int64, NA where blank). Extra columns follow as text.

    Raises
    ------
    ManifestError : with all problems, by row and column.
    """
    path = Path(path)
    table, problems = read_columns(path, READING_COLUMNS, _REQUIRED)
    problems += repeated(table, _KEY, "is read twice by the same reader in the same modality")
    raise_problems(path, problems)
    return table.reset_index(drop=True).astype({"reading": "int64"})


def read_columns(
    path: Path, columns: Mapping[str, Column], required: Collection[str]
) -> tuple[pd.DataFrame, list[Problem]]:
    """Read a table file whose columns are known; a wrong cell is a problem and becomes blank.

    Parameters
    ----------
    columns : name -> what it may hold. Those that the file lacks are blank; others of the file are kept as text.
    required : columns that the file must have and whose cells must not be blank.

    Returns
    -------
    The typed table (its index is the row number in a spreadsheet; text is "" where blank) and all problems of cells.

    Raises
    ------
    ManifestError : the file is no table or lacks required columns.
    """
    raw = read_table(path)
    missing = [name for name in required if name not in raw.header]
    raise_problems(path, [Problem(None, name, "", "is a required column that is missing") for name in missing])
    problems = list(raw.problems)
    numbers = [number for number, _ in raw.rows]
    table: dict[str, pd.Series] = {}
    for name in [*columns, *(name for name in raw.header if name not in columns)]:
        place = raw.header.index(name) if name in raw.header else None
        cells = [row[place] if place is not None else "" for _, row in raw.rows]
        column = columns.get(name, Column(str))
        values: list[object] = []
        for number, text in zip(numbers, cells, strict=True):
            if not text and name in required:
                problems.append(Problem(number, name, "", "is blank; every row needs one"))
            try:
                values.append(column.parse(text) if text else None)
            except ValueError as error:
                values.append(None)
                problems.append(Problem(number, name, text, str(error)))
        series = pd.Series(values, index=numbers, dtype="object" if column.dtype == "str" else column.dtype)
        table[name] = series.fillna("").astype("str") if column.dtype == "str" else series
    return pd.DataFrame(table), problems


def repeated(table: pd.DataFrame, key: list[str], message: str) -> list[Problem]:
    """Rows whose `key` (with a `specimen_id`) is complete and stands in an earlier row."""
    complete = table[(table[key] != "").all(axis=1)]
    again = complete[complete.duplicated(key)]
    return [
        Problem(number, "specimen_id", name, message)
        for number, name in zip(again.index.tolist(), again["specimen_id"], strict=True)
    ]


def raise_problems(path: Path, problems: list[Problem]) -> None:
    """Raise all problems of a file in the order of its rows, if there are any."""
    if problems:
        raise ManifestError(path, sorted(problems, key=lambda problem: problem.row or 0))

"""The pathology table (contract 1): what each pathologist said of each specimen, independently, before consensus."""

import re
from pathlib import Path
from typing import Final

import pandas as pd

from glioscope.core import Problem

from ._columns import COLUMNS, Column
from ._labels import as_column_text
from ._readings import raise_problems, read_columns, repeated

_PERCENT_TOLERANCE: Final = 1.0
"""By how many percentage points Ki-67 may differ from its own counts: percentages are often written rounded."""


def _count(text: str) -> int:
    if not re.fullmatch(r"\d+(\.0+)?", text):
        raise ValueError("is no count; give a whole number of nuclei from 0")
    return int(float(text))


PATHOLOGY_COLUMNS: Final[dict[str, Column]] = {
    "specimen_id": COLUMNS["specimen_id"],
    "pathologist": COLUMNS["specimen_id"],
    "pathology": COLUMNS["pathology"],
    "who_grade": COLUMNS["who_grade"],
    "consensus": COLUMNS["who_grade"],
    "ki67_percent": COLUMNS["ki67_percent"],
    "ki67_method": COLUMNS["specimen_id"],
    "ki67_positive": Column(_count, "Int64"),
    "ki67_counted": Column(_count, "Int64"),
}
_REQUIRED: Final = ("specimen_id", "pathologist")
_TUMOR_ONLY: Final = ("who_grade", "ki67_percent", "ki67_positive", "ki67_counted")


def read_pathology(path: Path | str) -> pd.DataFrame:
    """Read a pathology table (.csv, .xlsx or .parquet): one row a specimen and pathologist.

    Returns
    -------
    DataFrame with `specimen_id`, `pathologist`, `pathology` ("tumor", "non-tumor" or ""), `who_grade` (the grade this
    pathologist gave alone: "1" to "4" or ""), `consensus` (the grade agreed upon, the same in all rows of a specimen),
    `ki67_percent` (float64, NaN where blank), `ki67_method` (text), `ki67_positive` and `ki67_counted` (nuclei, Int64,
    NA where blank). Extra columns follow as text.

    Raises
    ------
    ManifestError : with all problems, by row and column.
    """
    path = Path(path)
    table, problems = read_columns(path, PATHOLOGY_COLUMNS, _REQUIRED)
    problems += repeated(table, ["specimen_id", "pathologist"], "has two rows of the same pathologist")
    problems += [*_non_tumor(table), *_two_consensuses(table), *_counts(table)]
    raise_problems(path, problems)
    return table.reset_index(drop=True)


def _non_tumor(table: pd.DataFrame) -> list[Problem]:
    message = "stands in a non-tumor row; leave it blank, or correct pathology"
    problems = []
    for name in _TUMOR_ONLY:
        text = as_column_text(table.loc[table["pathology"] == "non-tumor", name])
        filled = text[text != ""]
        problems += [
            Problem(number, name, value, message) for number, value in zip(filled.index.tolist(), filled, strict=True)
        ]
    return problems


def _two_consensuses(table: pd.DataFrame) -> list[Problem]:
    problems, first = [], dict[str, tuple[str, int]]()
    known = table.loc[table["consensus"] != "", ["specimen_id", "consensus"]]
    for number, specimen, consensus in known.itertuples(name=None):
        grade, where = first.setdefault(specimen, (consensus, number))
        if consensus != grade:
            message = f"contradicts row {where}, where specimen {specimen} has consensus {grade}"
            problems.append(Problem(number, "consensus", consensus, message))
    return problems


def _counts(table: pd.DataFrame) -> list[Problem]:
    """Counts come in pairs, no more nuclei are positive than counted, and a percentage agrees with its counts."""
    problems = []
    columns = table[["ki67_positive", "ki67_counted", "ki67_percent"]]
    for number, positive, counted, percent in columns.itertuples(name=None):
        if pd.isna(positive) and pd.isna(counted):
            continue
        if pd.isna(positive) or pd.isna(counted):
            absent = "ki67_positive" if pd.isna(positive) else "ki67_counted"
            message = "is blank; ki67_positive and ki67_counted are given both or not at all"
            problems.append(Problem(number, absent, "", message))
        elif counted == 0 or positive > counted:
            message = f"is too few beside {positive} positive; count one nucleus or more, and all that are positive"
            problems.append(Problem(number, "ki67_counted", str(counted), message))
        elif not pd.isna(percent) and abs(percent - 100 * positive / counted) > _PERCENT_TOLERANCE:
            message = f"contradicts {positive} of {counted} nuclei, which are {100 * positive / counted:.1f} %"
            problems.append(Problem(number, "ki67_percent", f"{percent:g}", message))
    return problems

"""From what the pathologist wrote to the label of a task: one value a specimen, or masked."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from glioscope.core import InputError, ManifestError, Problem, Task

from ._columns import COLUMNS, DERIVED

if TYPE_CHECKING:
    from ._manifest import Cohort

_GLIOBLASTOMA: Final = re.compile(r"glioblastoma|\bgbm\b|gliosarcoma")
_UNSPECIFIC: Final = re.compile(
    r"(?:diffuse |malignant |high[- ]grade )*glioma"
    r"(?:[ ,(]*(?:nos|nec|who|grade|cns|iv|4|idh|wild-?type|wt|mutant)\)?)*"
)
_NOT_DIFFUSE: Final = re.compile(
    r"ependymoma|medulloblastoma|meningioma|pilocytic|xanthoastrocytoma|ganglio(?:glioma|cytoma)|neurocytoma|metasta"
    r"|lymphoma|schwannoma|craniopharyngioma|choroid plexus|pineo|embryonal|teratoid|germinoma|subependymal giant"
)


def grade_class(who_grade: str, who_edition: str, diagnosis: str, idh: str) -> str:
    """DLGG, GBM or blank (masked), by WHO edition; the table stands in docs/manifest.md.

    Parameters
    ----------
    who_grade : "1" to "4" or "".
    who_edition : "2007", "2016", "2021" or "".
    diagnosis : free text, any case, or "".
    idh : "mutant", "wildtype" or "".

    Returns
    -------
    "DLGG" for grades 2 and 3 unless the diagnosis names a tumour that is no diffuse glioma; for grade 4, "GBM" in the
    editions of 2007 and 2016 unless the diagnosis names something else; from 2021 on, and where the edition is
    unknown, only if IDH is wildtype, or (2021) the diagnosis says glioblastoma and IDH is not mutant. Else "".

    References
    ----------
    Louis et al., Acta Neuropathol. 131, 2016 (WHO CNS 4th edition, revised); Louis et al., Neuro-Oncol. 23, 2021
    (5th edition: glioblastoma is IDH-wildtype, IDH-mutant grade 4 is astrocytoma).
    """
    text = re.sub(r"\s+", " ", diagnosis.casefold()).strip()
    if who_grade in ("2", "3"):
        return "" if _NOT_DIFFUSE.search(text) else "DLGG"
    named = bool(_GLIOBLASTOMA.search(text))
    if who_grade != "4" or not (named or not text or _UNSPECIFIC.fullmatch(text)):
        return ""
    if who_edition in ("2007", "2016"):
        return "GBM"
    certain = idh == "wildtype" or (who_edition == "2021" and named and idh != "mutant")
    return "GBM" if certain else ""


def specimen_patients(cohort: "Cohort") -> pd.Series:
    """The patient of each specimen: text, index `specimen_id` in manifest order."""
    first = cohort.table.drop_duplicates("specimen_id")
    return first.set_index("specimen_id")["patient_id"]


def labels(cohort: "Cohort", task: Task) -> pd.Series:
    """The label of each specimen.

    Parameters
    ----------
    cohort : from `load_manifest`.
    task : contract 2.

    Returns
    -------
    float64 series, index `specimen_id` in manifest order (as `specimen_patients`): 0 or 1, for an ordinal task the
    level's index 0..K-1; NaN where masked (blank, a value the task does not name, or outside its subset). Where a
    specimen has several rows, a blank row takes the value of the others.

    Raises
    ------
    InputError : the manifest has no such column.
    ManifestError : rows of one specimen contradict each other, or a cut-off column has text that is no number.
    """
    values = _values(cohort, task)
    return values.where(eligible(cohort, task), np.nan).rename(task.name)


def present_levels(cohort: "Cohort", task: Task, specimens: Iterable[str] | None = None) -> Task:
    """An ordinal task narrowed to the levels that these specimens have; any other task as it is.

    A level without a specimen (WHO grade 1 where only diffuse gliomas were enrolled) cannot be learnt. A specimen of a
    level that was dropped is masked in the narrowed task: it is not given to a neighbouring level.

    Parameters
    ----------
    specimens : whose levels count, for example those of training patients; None: all of the cohort.

    Raises
    ------
    InputError : fewer than two levels have a specimen.
    """
    if not task.ordinal:
        return task
    values = labels(cohort, task)
    kept = values if specimens is None else values[values.index.isin(list(specimens))]
    found = set(kept.dropna().astype(int))
    levels = tuple(level for index, level in enumerate(task.levels) if index in found)
    if len(levels) < 2:
        whose = "specimens" if specimens is None else f"the {len(kept)} specimens to train on are"
        raise InputError(
            f"{cohort.path}: task {task.name}: {whose} of {len(levels)} of its levels {', '.join(task.levels)}; "
            "two are needed"
        )
    return task.model_copy(update={"levels": levels})


def eligible(cohort: "Cohort", task: Task) -> pd.Series:
    """Whether each specimen belongs to the task's subset (bool, index `specimen_id`)."""
    inside = pd.Series(True, index=specimen_patients(cohort).index)
    for column, accepted in task.subset.items():
        inside &= _by_specimen(cohort, column, task).isin(list(accepted))
    return inside


def _values(cohort: "Cohort", task: Task) -> pd.Series:
    written = _by_specimen(cohort, task.label, task)
    if task.cut_off is not None:
        return _above_cut_off(cohort, task, task.cut_off, written)
    if task.ordinal:
        codes: dict[str, float] = {level: float(index) for index, level in enumerate(task.levels)}
    else:
        codes = dict.fromkeys(task.negative, 0.0) | dict.fromkeys(task.positive, 1.0)
    return written.map(codes).astype("float64")


def _above_cut_off(cohort: "Cohort", task: Task, cut_off: float, written: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(written.where(written != "", None), errors="coerce").astype("float64")
    wrong = written[(written != "") & numbers.isna()]
    if len(wrong):
        message = f"is not a number; task {task.name!r} compares it with {cut_off:g}"
        raise ManifestError(
            cohort.path,
            [Problem(_row_of(cohort, str(name)), task.label, str(value), message) for name, value in wrong.items()],
        )
    values = (numbers >= cut_off).astype("float64").where(numbers.notna(), np.nan)
    if task.level_column is None:
        return values
    levels = _by_specimen(cohort, task.level_column, task)
    stand_in = levels.map({f"<{cut_off:g}": 0.0, f">={cut_off:g}": 1.0}).astype("float64")
    return values.fillna(stand_in)


def _row_of(cohort: "Cohort", specimen_id: str) -> int:
    rows = cohort.table.loc[cohort.table["specimen_id"] == specimen_id, "row"]
    return int(rows.iloc[0])


def _by_specimen(cohort: "Cohort", column: str, task: Task) -> pd.Series:
    """The text of a column, one value a specimen, "" where blank in all its rows."""
    table = cohort.table
    if column not in table.columns:
        known = sorted(set(table.columns) - {"row"})
        raise InputError(f"{cohort.path}: task {task.name!r} needs column {column!r}; it has {', '.join(known)}")
    text = as_column_text(table[column])
    if column not in COLUMNS and column not in DERIVED:
        problems = contradictions(table, column)
        if problems:
            raise ManifestError(cohort.path, problems)
    filled = text.where(text != "", None).groupby(table["specimen_id"], sort=False).first()
    order = specimen_patients(cohort).index
    return filled.reindex(order).fillna("").astype("str")


def as_column_text(column: pd.Series) -> pd.Series:
    """A column of `Cohort.table` as text, "" where blank."""
    if pd.api.types.is_numeric_dtype(column):
        return column.map(lambda value: "" if pd.isna(value) else f"{value:.12g}").astype("str")
    return column.fillna("").astype("str")


def contradictions(table: pd.DataFrame, column: str) -> list[Problem]:
    """Rows of one specimen (of one patient: two are another problem) that give different values in a column."""
    text = as_column_text(table[column])
    problems, first = [], dict[tuple[str, str], tuple[str, int]]()
    for patient, specimen, value, row in zip(
        table["patient_id"], table["specimen_id"], text, table["row"], strict=True
    ):
        if value == "":
            continue
        known, where = first.setdefault((patient, specimen), (value, int(row)))
        if value != known:
            message = f"contradicts row {where}, where specimen {specimen} has {known!r}"
            problems.append(Problem(int(row), column, value, message))
    return problems

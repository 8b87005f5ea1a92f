"""The split file: a CSV that others can read, check and reuse."""

from pathlib import Path

import pandas as pd

from glioscope.core import Role, SplitError, atomic_file

from ._labels import specimen_patients
from ._manifest import Cohort
from ._split import SPLIT_COLUMNS, Split
from ._table import read_table

_NOTE_SEPARATOR = " | "


def write_split(split: Split, path: Path | str) -> None:
    """Write `patient_id, fold, role, seed, scheme, notes` as CSV; `notes` stand in the first row."""
    table = split.table.loc[:, list(SPLIT_COLUMNS)].copy()
    table["seed"], table["scheme"] = split.seed, split.scheme
    table["notes"] = [_NOTE_SEPARATOR.join(split.notes), *[""] * (len(table) - 1)]
    with atomic_file(path) as temporary:
        table.to_csv(temporary, index=False)


def read_split(path: Path | str, cohort: Cohort) -> Split:
    """Read a split file and check it against a cohort.

    Needed columns: `patient_id` and `role` (train, tune, test); `fold` is 0 where blank or absent.

    Raises
    ------
    SplitError : a patient whom the cohort does not have, or who is missing from a fold, or on two sides of one; an
        unknown role; a fold that is no whole number; a fold without training patients.
    ManifestError : the file is no table.
    """
    path = Path(path)
    raw = read_table(path)
    cells = pd.DataFrame([row for _, row in raw.rows], columns=list(raw.header), dtype="str")
    for name in ("patient_id", "role"):
        if name not in cells:
            raise SplitError(f"{path}: has no column {name!r}; a split file has patient_id, fold and role")
    fold = cells["fold"].replace("", "0") if "fold" in cells else pd.Series("0", index=cells.index)
    wrong = cells[~fold.str.fullmatch(r"\d+")]
    if len(wrong):
        raise SplitError(f"{path}: fold {fold[wrong.index[0]]!r} is no whole number from 0")
    unknown = sorted(set(cells["role"]) - {role.value for role in Role})
    if unknown:
        raise SplitError(f"{path}: role {unknown[0]!r} is not known; give train, tune or test")
    table = pd.DataFrame({"patient_id": cells["patient_id"], "fold": fold.astype("int64"), "role": cells["role"]})
    _check(path, table, set(specimen_patients(cohort)))
    seed = str(cells["seed"].iloc[0]) if "seed" in cells else ""
    notes = str(cells["notes"].iloc[0]) if "notes" in cells else ""
    return Split(
        table,
        int(seed) if seed.lstrip("-").isdigit() else 0,
        str(cells["scheme"].iloc[0]) if "scheme" in cells else f"from {path.name}",
        tuple(notes.split(_NOTE_SEPARATOR)) if notes else (),
    )


def _check(path: Path, table: pd.DataFrame, known: set[str]) -> None:
    for fold, rows in table.groupby("fold"):
        repeated = rows[rows["patient_id"].duplicated(keep=False)]
        for patient, own in repeated.groupby("patient_id"):
            roles = sorted(set(own["role"]))
            what = f"is {' and '.join(roles)}" if len(roles) > 1 else "stands twice"
            raise SplitError(f"{path}: patient {patient} {what} in fold {fold}; a patient has one role in a fold")
        given = set(rows["patient_id"])
        if given - known:
            raise SplitError(f"{path}: fold {fold} has {_named(given - known)}, whom the manifest does not have")
        if known - given:
            raise SplitError(f"{path}: fold {fold} lacks {_named(known - given)} of the manifest")
        if Role.TRAIN.value not in set(rows["role"]):
            raise SplitError(f"{path}: fold {fold} has no patient for training")


def _named(patients: set[str]) -> str:
    some = sorted(patients)
    more = f" and {len(some) - 3} more" if len(some) > 3 else ""
    return f"patient{'s' if len(some) > 1 else ''} {', '.join(some[:3])}{more}"

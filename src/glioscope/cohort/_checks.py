"""What must hold between the cells of a row and between rows, beyond each cell being right by itself."""

import re

import pandas as pd

from glioscope.core import Problem

from ._columns import COLUMNS
from ._labels import contradictions

_TUMOR_ONLY = ("who_grade", "ki67_percent", "ki67_level")


def check_table(table: pd.DataFrame) -> tuple[list[Problem], list[Problem]]:
    """Errors and warnings of a typed table (see `Cohort.table`)."""
    problems = [*_non_tumor(table), *_ki67(table), *_roi(table), *_no_image(table), *_data_kind(table)]
    problems += [*_patients(table), *_image_ids(table)]
    for name, column in COLUMNS.items():
        if column.label:
            problems += contradictions(table, name)
    return problems, [*_similar_patients(table), *_fractions(table), *_masked_grades(table)]


def _non_tumor(table: pd.DataFrame) -> list[Problem]:
    problems = []
    for row in table[table["pathology"] == "non-tumor"].to_dict("records"):
        for name in _TUMOR_ONLY:
            if row[name] != "" and not pd.isna(row[name]):
                message = "stands in a non-tumor row; leave it blank, or correct pathology"
                value = row[name] if isinstance(row[name], str) else f"{row[name]:g}"
                problems.append(Problem(row["row"], name, value, message))
    return problems


def _ki67(table: pd.DataFrame) -> list[Problem]:
    both = table[table["ki67_percent"].notna() & (table["ki67_level"] != "")]
    expected = both["ki67_percent"].ge(10).map({True: ">=10", False: "<10"})
    return [
        Problem(row["row"], "ki67_level", row["ki67_level"], f"contradicts ki67_percent {row['ki67_percent']:g}")
        for row in both[expected != both["ki67_level"]].to_dict("records")
    ]


def _roi(table: pd.DataFrame) -> list[Problem]:
    wrong = table[(table["roi"] != "") & (table["framing"] != "full")]
    message = "is given for a cut image; set framing to full, or leave roi blank"
    return [Problem(row["row"], "roi", row["roi"], message) for row in wrong.to_dict("records")]


def _no_image(table: pd.DataFrame) -> list[Problem]:
    wrong = table[(table["fl_image"] == "") & (table["wl_image"] == "")]
    message = "are both blank; a row needs at least one image inside the manifest's folder"
    return [Problem(int(row), "fl_image, wl_image", "", message) for row in wrong["row"]]


def _data_kind(table: pd.DataFrame) -> list[Problem]:
    kinds = list(dict.fromkeys(table["data_kind"]))
    if len(kinds) <= 1:
        return []
    other = table[table["data_kind"] != kinds[0]].iloc[0]
    message = f"differs from {kinds[0] or '(blank)'} above; all rows are simulated, or all are real"
    return [Problem(int(other["row"]), "data_kind", other["data_kind"] or "(blank)", message)]


def _patients(table: pd.DataFrame) -> list[Problem]:
    problems, first = [], dict[str, tuple[str, int]]()
    for specimen, patient, row in zip(table["specimen_id"], table["patient_id"], table["row"], strict=True):
        owner, where = first.setdefault(specimen, (patient, int(row)))
        if patient != owner:
            message = f"has specimen {specimen}, which row {where} gives to patient {owner}"
            problems.append(Problem(int(row), "patient_id", patient, message))
    return problems


def _image_ids(table: pd.DataFrame) -> list[Problem]:
    problems, seen = [], dict[tuple[str, ...], int]()
    for *owner, image, row in table[["patient_id", "specimen_id", "image_id", "row"]].itertuples(index=False):
        first = seen.setdefault((*owner, image), int(row))
        if first != row:
            message = f"is specimen {owner[1]} again (row {first}); several rows of one need their own image_id"
            problems.append(Problem(int(row), "image_id", image, message))
    return problems


def _similar_patients(table: pd.DataFrame) -> list[Problem]:
    """Patients whose names differ only in case, spaces, punctuation or leading zeros may be one: that would leak."""
    by_key: dict[str, str] = {}
    warnings = []
    for patient in dict.fromkeys(table["patient_id"]):
        key = re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\s_\-./]+", "", patient.casefold()))
        other = by_key.setdefault(key, patient)
        if other != patient:
            row = int(table.loc[table["patient_id"] == patient, "row"].iloc[0])
            message = f"looks like patient {other!r}; if they are one, give one name, or a split can leak"
            warnings.append(Problem(row, "patient_id", patient, message))
    return warnings


def _fractions(table: pd.DataFrame) -> list[Problem]:
    """Ki-67 written as fractions: 0.35 for 35 % would make every specimen a low one."""
    known = table["ki67_percent"].dropna()
    if len(known) < 5 or known.max() > 1 or known.max() == 0:
        return []
    message = f"is at most {known.max():g} in all {len(known)} rows; it is a percentage from 0 to 100, not a fraction"
    return [Problem(None, "ki67_percent", "", message)]


def _masked_grades(table: pd.DataFrame) -> list[Problem]:
    masked = table[table["who_grade"].isin(["2", "3", "4"]) & (table["grade_class"] == "")]
    if masked.empty:
        return []
    message = (
        "have a grade that gives neither DLGG nor GBM by who_edition, diagnosis and idh; "
        "they are masked in task grade (see docs/manifest.md)"
    )
    return [Problem(None, "who_grade", f"{masked['specimen_id'].nunique()} specimens", message)]

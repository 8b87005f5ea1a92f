"""Cohorts without images, for rules that only look at the table."""

from pathlib import Path

import numpy as np
import pandas as pd

from glioscope.cohort import Cohort
from glioscope.cohort._columns import COLUMNS
from glioscope.cohort._manifest import _with_grade_class


def cohort_of(rows):
    """A cohort of rows with normalised values; what is not given is blank."""
    table = pd.DataFrame({"row": np.arange(2, len(rows) + 2)})
    for name, column in COLUMNS.items():
        values = [row.get(name) for row in rows]
        series = pd.Series(values, dtype="object" if column.dtype == "str" else column.dtype)
        table[name] = series.fillna("").astype("str") if column.dtype == "str" else series
    for name in {key for row in rows for key in row} - set(COLUMNS):
        table[name] = pd.Series([row.get(name, "") for row in rows], dtype="str")
    return Cohort(Path("manifest.csv"), Path(), _with_grade_class(table), "0" * 64, "simulated")


def random_cohort(seed, n_patients, per_patient=10, gbm_patients=None):
    """Patients with uneven numbers of specimens, tumour shares, grades and Ki-67, as in the paper."""
    rng = np.random.default_rng(seed)
    gbm = set(rng.permutation(n_patients)[: gbm_patients or max(2, n_patients // 3)])
    rows = []
    for patient in range(n_patients):
        share = rng.uniform(0.2, 1.0)
        for number in range(max(2, int(per_patient * rng.lognormal(0, 0.4)))):
            row = {"patient_id": f"p{patient:02d}", "specimen_id": f"s{patient:02d}-{number}", "fl_image": "x"}
            tumor = rng.random() < share
            row["pathology"] = "tumor" if tumor else "non-tumor"
            if tumor and rng.random() < 0.7:
                row["who_grade"] = "4" if patient in gbm and rng.random() < 0.6 else rng.choice(["2", "3"])
                row["who_edition"] = "2016"
            if tumor and rng.random() < 0.65:
                row["ki67_percent"] = float(rng.choice([2, 5, 8, 12, 20, 40]))
            rows.append(row)
    return cohort_of(rows)

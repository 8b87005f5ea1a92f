"""How much these patients can carry: intraclass correlation, design effect, and the patients that a claim needs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from glioscope.core import InputError
from glioscope.stats import (
    Estimate,
    Method,
    SampleSize,
    auc,
    auc_standard_errors,
    design_effect,
    finite,
    intraclass_correlation,
    patients_needed,
    patients_needed_like_these,
)

CI_WIDTH = 0.10
"""Full width of the interval that `patients` are counted for, unless `study.toml` names another."""


@dataclass(frozen=True, slots=True)
class DesignRow:
    """One metric of the primary model: how alike its specimens are within a patient, and what follows.

    `value` is the metric that the plan assumes, `icc` that of what it is made of, `effect` the design effect of this
    cohort's sizes, `needed` the patients for an interval of full width `ci_width`.
    """

    metric: str
    value: float
    n_specimens: int
    n_patients: int
    icc: Estimate
    effect: float
    ci_width: float
    needed: SampleSize | None

    def to_json(self) -> dict[str, Any]:
        """One of `design[]` of `metrics.json`."""
        needed = self.needed
        return {
            "metric": self.metric,
            "value": finite(self.value),
            "n_specimens": self.n_specimens,
            "n_patients": self.n_patients,
            "icc": self.icc.to_json(),
            "design_effect": finite(self.effect),
            "ci_width": self.ci_width,
            "patients_needed": None if needed is None else needed.patients,
            "specimens_needed": None if needed is None else needed.specimens,
        }


def design_of(method: Method, ci_width: float = CI_WIDTH) -> list[DesignRow]:
    """Rows for sensitivity and specificity (where there are calls) and AUC; empty where patients do not repeat."""
    rows = []
    true = method.y_true > 0.5
    if method.answered.any():
        for name, among in (("sensitivity", true), ("specificity", ~true)):
            part = method.take(among & method.answered)
            right = ((part.calls > 0.5) == (part.y_true > 0.5)).astype(float)
            rows.append(_row(name, part, right, float(right.mean()) if right.size else np.nan, ci_width))
    if method.both_classes and not np.isnan(method.y_score).any():
        rows.append(_auc_row(method, ci_width))
    return [row for row in rows if row is not None]


def _row(name: str, part: Method, values: "np.ndarray", value: float, ci_width: float) -> DesignRow | None:
    if not _repeats(part):
        return None
    icc = intraclass_correlation(values, part.patients)
    known = 0.0 if np.isnan(icc.value) else icc.value
    try:
        needed = patients_needed(value, ci_width, values.size / part.n_patients, known, cv_of_cluster_size=_cv(part))
    except InputError:
        needed = None  # a proportion of 0 or 1 cannot be planned with
    return DesignRow(
        name, value, values.size, part.n_patients, icc, design_effect(part.patients, known), ci_width, needed
    )


def _auc_row(method: Method, ci_width: float) -> DesignRow | None:
    if not _repeats(method):
        return None
    true = method.y_true > 0.5
    # What patients add to the score of either class, once the difference of the classes is taken out.
    rank = stats.rankdata(method.y_score)
    within = rank - np.where(true, rank[true].mean(), rank[~true].mean())
    icc = intraclass_correlation(within, method.patients)
    by_patient, independent = auc_standard_errors(true, method.y_score, method.patients)
    effect = (by_patient / independent) ** 2 if independent > 0 else np.nan
    size = true.size / method.n_patients
    needed = None
    if by_patient > 0:  # a perfect AUC, or a class of one patient, cannot be planned with
        needed = patients_needed_like_these(by_patient, method.n_patients, ci_width, size, design_effect=effect)
    area = auc(true, method.y_score)
    return DesignRow("auc", area, true.size, method.n_patients, icc, effect, ci_width, needed)


def _repeats(method: Method) -> bool:
    return 1 < method.n_patients < method.y_true.size


def _cv(method: Method) -> float:
    """Standard deviation over mean of the specimens of a patient."""
    sizes = np.unique(method.patients.astype(str), return_counts=True)[1]
    return float(sizes.std() / sizes.mean())

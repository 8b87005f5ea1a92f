"""How well each reading of the same cases does, and how these figures vary together when the cases change."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from glioscope.core import InputError

from ._auc_covariance import auc_covariance
from ._input import BoolArray, FloatArray, IntArray, as_groups, as_labels
from ._jackknife import auc_without_each_group
from ._roc import placements

Metric = Literal["auc", "sensitivity", "specificity", "accuracy"]
Covariance = Literal["jackknife", "delong"]


@dataclass(frozen=True, slots=True)
class ReadingMetrics:
    """A metric of several readings of the same cases.

    Attributes
    ----------
    values : float64 (n_readings,), in [0, 1].
    covariance : float64 (n_readings, n_readings), over random cases (patients); NaN where it does not exist.
    n_groups : patients who have cases that the metric counts; 0 without groups.
    note : why the covariance does not exist; "" where it does.
    """

    values: FloatArray
    covariance: FloatArray
    n_groups: int
    note: str


@dataclass(frozen=True, slots=True)
class _Part:
    """Cases of one kind, bool (n_cases,), and what each adds to a metric, float64 (n_readings, n_of_this_kind).

    The mean of `values` over these cases is the metric of each reading.
    """

    kind: str
    cases: BoolArray
    values: FloatArray


def reading_metrics(
    y_true: npt.ArrayLike,
    readings: FloatArray,
    metric: Metric,
    covariance: Covariance,
    groups: npt.ArrayLike | None,
) -> ReadingMetrics:
    """The metric of each reading and the covariance of these estimates.

    Parameters
    ----------
    y_true : array-like (n_cases,), 0 or 1.
    readings : float64 (n_readings, n_cases) without NaN: ratings on any monotone scale for "auc", 0 or 1 for others.
    metric : "auc", "sensitivity", "specificity" or "accuracy".
    covariance : "jackknife" leaves one case (with groups: one patient) out at a time. "delong" is the covariance of
        DeLong (1988) for the AUC and the unbiased one of a mean for proportions, which without groups is also what the
        jackknife gives; with groups it is the clustered form of Obuchowski (1997).
    groups : array-like (n_cases,) or None; the patient of each case.

    Raises
    ------
    InputError : no case that the metric needs, values other than 0 and 1, sizes that differ, an unknown name.

    References
    ----------
    DeLong et al., Biometrics 44, 1988; Obuchowski, Biometrics 53, 1997; Efron, The Jackknife, the Bootstrap and Other
    Resampling Plans, 1982.
    """
    if metric not in get_args(Metric):
        raise InputError(f"metric {metric!r} is unknown; give one of {', '.join(get_args(Metric))}")
    if covariance not in get_args(Covariance):
        raise InputError(f"covariance {covariance!r} is unknown; give jackknife or delong")
    labels = as_labels(y_true)
    counted = _counted(labels, readings, metric)
    patients = np.arange(labels.size) if groups is None else as_groups(groups, labels.size)[0]
    index = np.unique(patients[counted], return_inverse=True)[1]
    parts = _parts_of_auc(labels, readings) if metric == "auc" else [_right(labels, readings, counted, metric)]
    single = [part.kind for part in parts if np.unique(index[part.cases]).size < 2]
    if single:
        matrix = np.full((len(readings),) * 2, np.nan)
    elif covariance == "delong":
        matrix = _unbiased(parts, index)
    elif metric == "auc":
        n_groups = int(index.max()) + 1
        left_out = [auc_without_each_group(labels, scores, index, n_groups) for scores in readings]
        matrix = _jackknife(np.stack(left_out))
    else:
        matrix = _jackknife(_mean_without(parts[0].values, index))
    n_groups = 0 if groups is None else int(index.max()) + 1
    reason = "there is a single {}" if groups is None else "every {} is of the same patient"
    note = f"{reason.format(single[0])}: no interval" if single else ""
    return ReadingMetrics(parts[0].values.mean(axis=1), matrix, n_groups, note)


def _counted(labels: BoolArray, readings: FloatArray, metric: Metric) -> BoolArray:
    """Cases that the metric counts; there must be some, and readings must be decisions unless the metric is an AUC."""
    if readings.shape[1] != labels.size:
        raise InputError(f"y_true has {labels.size} cases and each reading {readings.shape[1]}; they must match")
    for kind, cases, metrics in (
        ("positive", labels, ("auc", "sensitivity")),
        ("negative", ~labels, ("auc", "specificity")),
    ):
        if metric in metrics and not cases.any():
            raise InputError(f"none of {labels.size} cases is {kind}; {metric} needs some")
    wrong = readings[(readings != 0) & (readings != 1)]
    if metric != "auc" and wrong.size:
        raise InputError(f"a reading is {wrong[0]:g}; {metric} needs decisions, 0 (negative) or 1 (positive)")
    return {"sensitivity": labels, "specificity": ~labels}.get(metric, np.ones_like(labels))


def _parts_of_auc(labels: BoolArray, readings: FloatArray) -> list[_Part]:
    """The AUC is a mean over positives and over negatives alike (DeLong's structural components)."""
    v10, v01 = zip(*(placements(labels, scores) for scores in readings), strict=True)
    return [_Part("positive case", labels, np.stack(v10)), _Part("negative case", ~labels, np.stack(v01))]


def _right(labels: BoolArray, readings: FloatArray, counted: BoolArray, metric: Metric) -> _Part:
    """A proportion is a mean over the cases that it counts."""
    kind = {"sensitivity": "positive case", "specificity": "negative case"}.get(metric, "case")
    right = (readings == labels)[:, counted].astype(np.float64)
    return _Part(kind, np.ones(right.shape[1], dtype=bool), right)


def _unbiased(parts: list[_Part], index: IntArray) -> FloatArray:
    """DeLong's covariance of AUCs, and its like for proportions; without groups a patient is one case."""
    if len(parts) == 2:
        first, second = parts
        return auc_covariance(first.values, second.values, index[first.cases], index[second.cases])
    (part,) = parts
    excess = (part.values - part.values.mean(axis=1, keepdims=True)) / part.values.shape[1]
    own = _sum_by_group(excess, index[part.cases], int(index.max()) + 1)
    count = np.unique(index[part.cases]).size
    matrix: FloatArray = count / (count - 1) * own @ own.T
    return matrix


def _jackknife(left_out: FloatArray) -> FloatArray:
    """Covariance from the metric with each patient left out, float64 (n_readings, n_groups)."""
    n_groups = left_out.shape[1]
    excess = left_out - left_out.mean(axis=1, keepdims=True)
    matrix: FloatArray = (n_groups - 1) / n_groups * excess @ excess.T
    return matrix


def _mean_without(values: FloatArray, index: IntArray) -> FloatArray:
    """A proportion with each patient left out."""
    sizes = np.bincount(index)
    kept: FloatArray = values.sum(axis=1, keepdims=True) - _sum_by_group(values, index, sizes.size)
    return kept / (index.size - sizes)


def _sum_by_group(values: FloatArray, index: IntArray, n_groups: int) -> FloatArray:
    """Sums of float64 (n_readings, n) over each patient's: (n_readings, n_groups)."""
    return np.stack([np.bincount(index, row, n_groups) for row in values])

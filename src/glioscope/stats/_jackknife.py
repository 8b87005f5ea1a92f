"""Intervals from leaving out one patient at a time: one method for every metric, and honest with few patients."""

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from ._auc_covariance import auc_covariance
from ._estimate import Estimate
from ._input import BoolArray, FloatArray, IntArray, as_groups, as_labels, as_pair, as_vector, check_level
from ._rates import call_cells, rate
from ._roc import placements

METHOD = "jackknife by patient (t)"
METHOD_LOGIT = "jackknife by patient (logit, t)"


def jackknife_estimate(
    value: float,
    deleted: npt.ArrayLike,
    confidence_level: float = 0.95,
    scale: Literal["identity", "logit"] = "identity",
) -> Estimate:
    """Interval of a metric from its values without each patient.

    The variance is (K-1)/K times the sum of squared distances of the `deleted` values to `value` (Efron and Stein
    1981), the quantile is Student's at K-1 degrees of freedom. On the logit scale (for metrics in [0, 1]) the interval
    is that of logit(value), its error carried over by the delta method, so that it stays inside [0, 1].

    By simulation (`make bench-coverage`) it covers close to its level with 7 patients of uneven sizes, where the
    clustered DeLong variance, which has no small-sample correction of its own, falls short.

    Parameters
    ----------
    value : the metric of all specimens.
    deleted : array-like (n_patients,), the metric without each patient; NaN where it does not exist without that one.

    Returns
    -------
    Estimate; without an interval, and with a note, where a deleted value does not exist, for one patient, or where
    `value` lies on the edge of the logit scale.
    """
    level = check_level(confidence_level)
    without = np.asarray(deleted, np.float64)
    n_groups = without.size
    method = METHOD_LOGIT if scale == "logit" else METHOD
    if n_groups < 2:
        return Estimate(value, method=method, n_groups=n_groups, note="one patient: no interval by patient")
    if np.isnan(value) or np.isnan(without).any():
        note = "without one of the patients it does not exist: no interval by patient"
        return Estimate(value, method=method, n_groups=n_groups, note=note)
    error = float(np.sqrt((n_groups - 1) / n_groups * np.sum((without - value) ** 2)))
    if scale == "logit" and not 0 < value < 1:
        return Estimate(value, method=method, n_groups=n_groups, note=f"a value of {value:g} has no variance")
    if error <= 1e-12:
        return Estimate(value, method=method, n_groups=n_groups, note="no spread between patients: no interval")
    quantile = float(special.stdtrit(n_groups - 1, (1 + level) / 2))
    if scale == "identity":
        return Estimate(value, value - quantile * error, value + quantile * error, method, 0, n_groups)
    half, centre = quantile * error / (value * (1 - value)), special.logit(value)
    return Estimate(
        value, float(special.expit(centre - half)), float(special.expit(centre + half)), method, 0, n_groups
    )


def auc_without_each_group(labels: BoolArray, scores: FloatArray, index: IntArray, n_groups: int) -> FloatArray:
    """The AUC without each patient, exactly and in O(n log n): float64 (n_groups,), NaN where a class is gone.

    What a patient takes away are the pairs of his positives with all negatives and of his negatives with all
    positives; the pairs within him would be taken twice.
    """
    v10, v01 = placements(labels, scores)
    m, n = v10.size, v01.size
    per_m = np.bincount(index[labels], minlength=n_groups)
    per_n = np.bincount(index[~labels], minlength=n_groups)
    lost = np.bincount(index[labels], v10, n_groups) * n + np.bincount(index[~labels], v01, n_groups) * m
    pairs = (m - per_m) * (n - per_n)
    right = v10.sum() * n - lost + _within(labels, scores, index, n_groups)
    kept: FloatArray = np.divide(right, pairs, out=np.full(n_groups, np.nan), where=pairs > 0)
    return kept


def _within(labels: BoolArray, scores: FloatArray, index: IntArray, n_groups: int) -> FloatArray:
    """Pairs in the right order (ties half) within each group: ranks of scores, shifted so that groups do not mix."""
    rank = np.unique(scores, return_inverse=True)[1].astype(np.int64)
    key = index * (int(rank.max()) + 1) + rank
    negative = np.sort(key[~labels])
    before = np.searchsorted(negative, index[labels] * (int(rank.max()) + 1), "left")
    positive = key[labels]
    below = (np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")) / 2 - before
    return np.asarray(np.bincount(index[labels], below, n_groups), np.float64)


def auc_standard_errors(y_true: npt.ArrayLike, y_score: npt.ArrayLike, groups: npt.ArrayLike) -> tuple[float, float]:
    """Standard error of the AUC by patient (jackknife), and as if specimens were independent (DeLong).

    The square of their ratio is the design effect of these patients on the AUC. NaN where one does not exist.
    """
    labels, scores = as_pair(y_true, y_score)
    index, n_groups = as_groups(groups, labels.size)
    v10, v01 = placements(labels, scores)
    without = auc_without_each_group(labels, scores, index, n_groups)
    by_patient = np.sqrt((n_groups - 1) / n_groups * np.sum((without - v10.mean()) ** 2))
    return float(by_patient), float(np.sqrt(auc_covariance(v10, v01)[0, 0]))


def rates_without_each_group(
    y_true: npt.ArrayLike, calls: npt.ArrayLike, groups: npt.ArrayLike, metrics: tuple[str, ...]
) -> dict[str, tuple[float, FloatArray]]:
    """Metrics of a table of calls, of all specimens and without each patient.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1.
    calls : array-like (n_specimens,), 0 or 1, or a panel's share of positive readings.
    groups : array-like (n_specimens,), patients.
    metrics : names of `RATES`.

    Returns
    -------
    metric -> (value, float64 (n_patients,)), patients in the order of their names as text.
    """
    labels, said = as_labels(y_true), as_vector(calls, "calls")
    index, n_groups = as_groups(groups, labels.size)
    cells = call_cells(labels, said)
    own = np.stack([np.bincount(index, column, n_groups) for column in cells.T])
    whole = own.sum(axis=1)
    kept = whole[:, None] - own
    return {name: (float(rate(name, *whole)), rate(name, *kept)) for name in metrics}

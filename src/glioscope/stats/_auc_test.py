"""DeLong's test of two AUCs on the same specimens, and its form for patients."""

import numpy as np
import numpy.typing as npt
from scipy import special

from ._estimate import Comparison
from ._input import FloatArray, IntArray, as_groups, as_pair, check_level
from ._roc import placements


def delong_test(
    y_true: npt.ArrayLike,
    score_a: npt.ArrayLike,
    score_b: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> Comparison:
    """Whether two AUCs on the same specimens differ.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1.
    score_a, score_b : array-like (n_specimens,), higher is more positive; each on any scale of its own.
    groups : array-like (n_specimens,) or None; the patient of each specimen. The variance then becomes Obuchowski's
        (1997), and t quantiles of K-1 degrees of freedom (K patients) take the place of normal ones.
    confidence_level : between 0 and 1.

    Returns
    -------
    Comparison of `auc(a) - auc(b)`, with P values against no difference and against "a is not better". Where both
    rank every positive against every negative alike, the difference is 0 and both P are 1; where the data give no
    variance of a difference that is not 0, interval and P values are NaN. `note` says so.

    Raises
    ------
    InputError : one class only, NaN, labels other than 0 and 1, lengths that differ.

    References
    ----------
    DeLong et al., Biometrics 44, 1988; Obuchowski, Biometrics 53, 1997.
    """
    labels, a = as_pair(y_true, score_a)
    _, b = as_pair(y_true, score_b)
    level = check_level(confidence_level)
    # The AUC is linear in its components, so the difference has components of its own, exactly 0 where a and b agree.
    (a10, a01), (b10, b01) = placements(labels, a), placements(labels, b)
    v10, v01 = a10 - b10, a01 - b01
    if groups is None:
        method, freedom, n_groups = "paired DeLong", np.inf, 0
        variance = auc_covariance(v10, v01)
    else:
        index, n_groups = as_groups(groups, labels.size)
        method, freedom = "paired DeLong by patient (Obuchowski, t)", n_groups - 1
        variance = auc_covariance(v10, v01, index[labels], index[~labels])
    return _compare(float(v10.mean()), float(variance[0, 0]), freedom, level, method, n_groups)


def auc_covariance(
    v10: FloatArray, v01: FloatArray, group10: IntArray | None = None, group01: IntArray | None = None
) -> FloatArray:
    """Covariance matrix of AUCs on the same specimens, from their structural components.

    It holds for any linear combination of AUCs as well, given the same combination of their components.

    Parameters
    ----------
    v10 : float64 (n_methods, n_positive) or (n_positive,), as `placements` gives them.
    v01 : float64 (n_methods, n_negative) or (n_negative,).
    group10, group01 : int64 (n_positive,) and (n_negative,) or None; the patient of each specimen, from 0.

    Returns
    -------
    float64 (n_methods, n_methods); NaN where a class comes from a single specimen, or patient. With groups, a variance
    may come out negative where patients are few.

    References
    ----------
    DeLong et al. 1988; Obuchowski 1997, whose S10, S01 and S11 are the three terms.
    """
    v10, v01 = np.atleast_2d(v10), np.atleast_2d(v01)
    if group10 is None or group01 is None:
        # Every specimen is a patient of its own.
        group10, group01 = np.arange(v10.shape[1]), v10.shape[1] + np.arange(v01.shape[1])
    n_groups = 1 + int(max(group10.max(), group01.max()))
    sums10, sums01 = _patient_sums(v10, group10, n_groups), _patient_sums(v01, group01, n_groups)
    both = sums10 @ sums01.T
    covariance: FloatArray = (
        _correction(np.unique(group10).size) * (sums10 @ sums10.T)
        + _correction(np.unique(group01).size) * (sums01 @ sums01.T)
        + _correction(n_groups) * (both + both.T)
    )
    return covariance


def _patient_sums(components: FloatArray, group: IntArray, n_groups: int) -> FloatArray:
    """What each patient adds to the deviation of the mean from the true one: float64 (n_methods, n_groups)."""
    excess = (components - components.mean(axis=1, keepdims=True)) / components.shape[1]
    return np.stack([np.bincount(group, row, n_groups) for row in excess])


def _correction(count: int) -> float:
    return count / (count - 1) if count > 1 else np.nan


def _compare(
    difference: float, variance: float, freedom: float, level: float, method: str, n_groups: int
) -> Comparison:
    """The test of a difference; infinite degrees of freedom are the normal distribution."""
    if np.isnan(variance):
        unit = "patient" if n_groups else "specimen"
        note = f"all specimens of one class are from a single {unit}: no test"
        return Comparison(difference, method=method, n_groups=n_groups, note=note)
    # Components that differ by a constant have a variance of rounding errors only.
    if variance <= (1e-10 * difference) ** 2:
        if difference == 0 and variance == 0:
            note = "both rank every positive against every negative alike"
            return Comparison(0.0, 0.0, 0.0, 1.0, 1.0, method=method, n_groups=n_groups, note=note)
        note = "the variance of the difference is estimated as zero or less: no test"
        return Comparison(difference, method=method, n_groups=n_groups, note=note)
    error = float(np.sqrt(variance))
    half = float(special.stdtrit(freedom, (1 + level) / 2)) * error
    return Comparison(
        difference,
        difference - half,
        difference + half,
        p_two_sided=2 * float(special.stdtr(freedom, -abs(difference) / error)),
        p_one_sided=float(special.stdtr(freedom, -difference / error)),
        method=method,
        n_groups=n_groups,
    )

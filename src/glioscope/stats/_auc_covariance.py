"""Covariance of AUCs on the same specimens, of specimens or by patient: what DeLong's methods all rest on."""

import numpy as np

from ._input import FloatArray, IntArray


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

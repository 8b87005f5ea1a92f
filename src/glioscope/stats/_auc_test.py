"""DeLong's test of two AUCs on the same specimens, and its form for patients."""

import numpy as np
import numpy.typing as npt
from scipy import special

from ._auc_covariance import auc_covariance
from ._estimate import Comparison
from ._input import as_groups, as_pair, check_level
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

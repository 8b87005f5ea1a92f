"""The calibration that a bundle stores: logistic, with an interval from leaving out one patient at a time."""

import numpy as np
import numpy.typing as npt
from scipy import special

from glioscope.core import Calibration, InputError

from ._calibrators import fit_temperature
from ._input import BoolArray, FloatArray, as_groups, as_pair, check_level


def fit_calibration(
    y_true: npt.ArrayLike, logit: npt.ArrayLike, groups: npt.ArrayLike, *, confidence_level: float = 0.95
) -> Calibration:
    """Platt scaling with a patient-clustered interval in closed form.

    Slope and intercept are those of `fit_temperature(bias=True)`: smoothed labels, so that logits which separate the
    classes give a finite answer, and a slope of at least 0. Their covariance is (K-1)/K times the sum of outer products
    of what leaving out each of the K patients changes (Efron and Stein 1981, about the value of all patients), each
    time with a whole new fit. Where a patient alone holds a class, the fit without him knows nothing of it: slope 0
    and a share near 0 or 1, so that the interval is as wide as it has to be.

    By simulation (`make bench-calibration ARGS=--intervals`, decision 0010) the interval covers P(positive | logit)
    nearer to its level than the percentile bootstrap of patients, at 7 patients above all.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1.
    logit : array-like (n_specimens,), finite, from networks that had not seen the specimen's patient.
    groups : array-like (n_specimens,), the patient of each specimen.
    confidence_level : between 0 and 1.

    Raises
    ------
    InputError : one patient, one class only, NaN or infinite logits, labels other than 0 and 1, lengths that differ.

    References
    ----------
    Platt, in Advances in Large Margin Classifiers, 1999; Efron and Stein, Ann. Stat. 9, 1981.
    """
    level = check_level(confidence_level)
    labels, logits = as_pair(y_true, logit)
    index, n_groups = as_groups(groups, labels.size)
    if n_groups < 2:
        raise InputError(f"all {labels.size} specimens come from one patient; a calibration needs at least 2 patients")
    slope, intercept = _platt(labels, logits)
    without = np.array([_platt(labels[index != k], logits[index != k]) for k in range(n_groups)])
    change = without - (slope, intercept)
    spread = (n_groups - 1) / n_groups * change.T @ change
    return Calibration(
        slope=slope,
        intercept=intercept,
        covariance=(float(spread[0, 0]), float(spread[0, 1]), float(spread[1, 1])),
        reach=float(special.stdtrit(n_groups - 1, (1 + level) / 2)),
        confidence_level=level,
        n_patients=n_groups,
        n_specimens=labels.size,
    )


def _platt(labels: BoolArray, logits: FloatArray) -> tuple[float, float]:
    """Slope and intercept; of one class alone, slope 0 and the logit of its smoothed share."""
    positives = int(labels.sum())
    if positives in (0, labels.size):
        share = np.log(labels.size + 1.0)
        return 0.0, float(share if positives else -share)
    fitted = fit_temperature(labels, logits, bias=True)
    return fitted.slope, fitted.intercept

"""Decision curves: what a probability is worth at the threshold at which one would act on it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glioscope.core import InputError

from ._calibration import as_probabilities
from ._input import FloatArray, as_vector


@dataclass(frozen=True, slots=True)
class DecisionCurve:
    """Net benefit a specimen, in true positives, at each threshold probability.

    Attributes
    ----------
    thresholds : float64 (n_thresholds,), in [0, 1), as given.
    model, treat_all, treat_none : float64 (n_thresholds,), at most the prevalence; `treat_none` is 0. The model
        is worth using where it is above both others.
    """

    thresholds: FloatArray
    model: FloatArray
    treat_all: FloatArray
    treat_none: FloatArray


def decision_curve(y_true: npt.ArrayLike, y_probability: npt.ArrayLike, thresholds: npt.ArrayLike) -> DecisionCurve:
    """Net benefit of calling a specimen positive at `probability >= threshold`, against calling all or none.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1; the share of positives must be that of the intended use.
    y_probability : array-like (n_specimens,), in [0, 1], calibrated.
    thresholds : array-like (n_thresholds,), in [0, 1); threshold / (1 - threshold) is the harm of a false positive
        against the good of a true one.

    Raises
    ------
    InputError : probabilities or thresholds out of range, NaN, labels other than 0 and 1, lengths that differ.

    References
    ----------
    Vickers and Elkin, Med. Decis. Making 26, 2006.
    """
    labels, probability = as_probabilities(y_true, y_probability)
    at = as_vector(thresholds, "thresholds")
    positive, negative = np.sort(probability[labels]), np.sort(probability[~labels])
    tp = positive.size - np.searchsorted(positive, at, "left")
    fp = negative.size - np.searchsorted(negative, at, "left")
    return DecisionCurve(
        thresholds=at,
        model=net_benefit(tp, fp, labels.size, at),
        treat_all=net_benefit(positive.size, negative.size, labels.size, at),
        treat_none=np.zeros_like(at),
    )


def net_benefit(tp: npt.ArrayLike, fp: npt.ArrayLike, n: int, thresholds: npt.ArrayLike) -> FloatArray:
    """TP / n - FP / n * threshold / (1 - threshold), also of decisions that are fixed, such as a reader's.

    Parameters
    ----------
    tp, fp : array-like, true and false positives; broadcast with `thresholds`.
    n : specimens, positive and negative, at least 1.
    thresholds : array-like, in [0, 1).

    Returns
    -------
    float64 of the broadcast shape.

    Raises
    ------
    InputError : a threshold outside [0, 1), no specimen, counts that are negative or above `n` together.
    """
    at, true, false = (np.asarray(values, dtype=np.float64) for values in (thresholds, tp, fp))
    wrong = at[~((at >= 0) & (at < 1))]
    if wrong.size:
        raise InputError(f"threshold {wrong[0]:g} is not in [0, 1)")
    if n < 1 or np.any(true < 0) or np.any(false < 0) or np.any(true + false > n):
        raise InputError(f"true and false positives must be 0 or more, and together at most the {n} specimens")
    return np.asarray((true - false * at / (1 - at)) / n)

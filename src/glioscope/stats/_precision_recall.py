"""The precision-recall curve and the average precision, for tasks whose positives are few."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ._input import FloatArray
from ._roc import roc_curve


@dataclass(frozen=True, slots=True)
class PrecisionRecallCurve:
    """Points of the precision-recall curve, from no specimen called positive to all.

    Attributes
    ----------
    precision : float64 (n_points,), PPV in [0, 1]; 1 by convention at the first point, where nothing is called.
    recall : float64 (n_points,), sensitivity from 0 to 1, not decreasing.
    thresholds : float64 (n_points,), falling; a specimen is positive at `score >= threshold`. The first is +inf.
    prevalence : share of positives, which is the precision of a score that knows nothing.
    """

    precision: FloatArray
    recall: FloatArray
    thresholds: FloatArray
    prevalence: float


def precision_recall_curve(y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> PrecisionRecallCurve:
    """Every point of the precision-recall curve, one for each distinct score.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1.
    y_score : array-like (n_specimens,), higher is more positive.

    Returns
    -------
    PrecisionRecallCurve; the points are scikit-learn's in the opposite order.

    Raises
    ------
    InputError : one class only, NaN, labels other than 0 and 1, lengths that differ.
    """
    roc = roc_curve(y_true, y_score)
    tp, fp = roc.tpr[1:] * roc.n_positive, roc.fpr[1:] * roc.n_negative
    return PrecisionRecallCurve(
        precision=np.append(1.0, tp / (tp + fp)),
        recall=roc.tpr,
        thresholds=roc.thresholds,
        prevalence=roc.n_positive / (roc.n_positive + roc.n_negative),
    )


def average_precision(y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> float:
    """Precision averaged over the steps of recall; specimens of equal score are one step.

    The straight line between two points of this curve cannot be reached (Davis and Goadrich 2006), so the trapezoid
    under it would be too large.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1.
    y_score : array-like (n_specimens,), higher is more positive.

    Returns
    -------
    float in [0, 1], equal to scikit-learn's.

    Raises
    ------
    InputError : one class only, NaN, labels other than 0 and 1, lengths that differ.

    References
    ----------
    Davis and Goadrich, ICML 2006.
    """
    curve = precision_recall_curve(y_true, y_score)
    return float(np.sum(np.diff(curve.recall) * curve.precision[1:]))

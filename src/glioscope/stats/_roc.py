"""The ROC curve and the area under it, with tied scores counted right."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from glioscope.core import InputError

from ._input import BoolArray, FloatArray, as_pair


@dataclass(frozen=True, slots=True)
class RocCurve:
    """Points of the ROC curve from (0, 0) to (1, 1).

    Attributes
    ----------
    fpr, tpr : float64 (n_points,), in [0, 1], not decreasing.
    thresholds : float64 (n_points,), falling; a specimen is positive at `score >= threshold`. The first is +inf.
    n_positive, n_negative : specimens in each class.
    """

    fpr: FloatArray
    tpr: FloatArray
    thresholds: FloatArray
    n_positive: int
    n_negative: int


def roc_curve(y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> RocCurve:
    """Every point of the ROC curve, one for each distinct score.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1.
    y_score : array-like (n_specimens,), higher is more positive; any monotone scale, infinities allowed.

    Returns
    -------
    RocCurve, equal to scikit-learn's with `drop_intermediate=False`.

    Raises
    ------
    InputError : one class only, NaN, labels other than 0 and 1, lengths that differ.
    """
    labels, scores = as_pair(y_true, y_score)
    order = np.argsort(-scores, kind="stable")
    labels, scores = labels[order], scores[order]
    last_of_tie = np.append(np.flatnonzero(scores[1:] != scores[:-1]), scores.size - 1)
    tp = np.cumsum(labels)[last_of_tie]
    fp = last_of_tie + 1 - tp
    return RocCurve(
        fpr=np.concatenate([[0.0], fp / fp[-1]]),
        tpr=np.concatenate([[0.0], tp / tp[-1]]),
        thresholds=np.concatenate([[np.inf], scores[last_of_tie]]),
        n_positive=int(tp[-1]),
        n_negative=int(fp[-1]),
    )


def auc(y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> float:
    """Area under the ROC curve: the share of positive-negative pairs in the right order, ties counted half.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1.
    y_score : array-like (n_specimens,), higher is more positive.

    Returns
    -------
    float in [0, 1]; computed from whole-number counts, so exact up to one division.

    Raises
    ------
    InputError : one class only, NaN, labels other than 0 and 1, lengths that differ.

    References
    ----------
    Hanley and McNeil, Radiology 143, 1982 (the Mann-Whitney form).
    """
    labels, scores = as_pair(y_true, y_score)
    positive, negative = scores[labels], np.sort(scores[~labels])
    # Twice the number of pairs in the right order, so that ties stay whole numbers.
    doubled = np.searchsorted(negative, positive, "left").sum() + np.searchsorted(negative, positive, "right").sum()
    return int(doubled) / (2 * positive.size * negative.size)


def partial_auc(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    low: float,
    high: float,
    *,
    of: Literal["specificity", "sensitivity"] = "specificity",
    corrected: bool = False,
) -> float:
    """Area under the part of the ROC curve where specificity, or sensitivity, lies between two limits.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1.
    y_score : array-like (n_specimens,), higher is more positive.
    low, high : limits in [0, 1], low below high.
    of : what the limits are of. The area is the integral of the other one of the two over this one.
    corrected : rescale so that 0.5 is chance and 1 perfect, whatever the limits (McClish 1989).

    Returns
    -------
    float in [0, high - low], or corrected. As pROC's `auc(partial.auc = c(high, low), partial.auc.focus = of)`, except
    that a corrected area below chance keeps its value below 0.5, where pROC gives NA.

    Raises
    ------
    InputError : limits out of order or range, an unknown `of`, and what `auc` raises.

    References
    ----------
    McClish, Med. Decis. Making 9, 1989; Robin et al., BMC Bioinformatics 12, 2011.
    """
    if not 0 <= low < high <= 1:
        raise InputError(f"limits {low:g} and {high:g} of a partial AUC must satisfy 0 <= low < high <= 1")
    if of not in ("specificity", "sensitivity"):
        raise InputError(f"a partial AUC is of specificity or sensitivity, not of {of!r}")
    curve = roc_curve(y_true, y_score)
    if of == "specificity":
        area = _area_between(curve.fpr, curve.tpr, 1 - high, 1 - low)
    else:
        area = _area_between(curve.tpr, 1 - curve.fpr, low, high)
    if not corrected:
        return area
    chance = ((1 - low) ** 2 - (1 - high) ** 2) / 2
    return (1 + (area - chance) / (high - low - chance)) / 2


def _area_between(x: FloatArray, y: FloatArray, low: float, high: float) -> float:
    """Integral of the polygon (x, y) over [low, high]; x does not fall, and may jump in y where it stands still."""
    width = np.diff(x)
    slope = np.divide(np.diff(y), width, out=np.zeros_like(width), where=width > 0)
    inside = np.clip(x, low, high)
    middle = (inside[1:] + inside[:-1]) / 2
    return float(np.sum(np.diff(inside) * (y[:-1] + slope * (middle - x[:-1]))))


def placements(labels: BoolArray, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Structural components of the AUC (DeLong 1988), by sorting (Sun and Xu 2014).

    Returns
    -------
    v10 : float64 (n_positive,), for each positive the share of negatives below it, ties half.
    v01 : float64 (n_negative,), for each negative the share of positives above it, ties half.
    """
    positive, negative = scores[labels], scores[~labels]
    sorted_positive, sorted_negative = np.sort(positive), np.sort(negative)
    below = np.searchsorted(sorted_negative, positive, "left") + np.searchsorted(sorted_negative, positive, "right")
    beneath = np.searchsorted(sorted_positive, negative, "left") + np.searchsorted(sorted_positive, negative, "right")
    return below / (2.0 * negative.size), 1.0 - beneath / (2.0 * positive.size)

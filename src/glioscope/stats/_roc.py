"""The ROC curve and the area under it, with tied scores counted right."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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

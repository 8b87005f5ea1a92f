"""Choosing the decision threshold on a set of labelled scores."""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glioscope.core import InputError

from ._confusion import confusion
from ._input import FloatArray, as_pair
from ._roc import RocCurve, roc_curve

_SENSITIVITY_RULE = re.compile(r"^sensitivity>=(0?\.\d+|0|1|1\.0*)$")


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A finite threshold and what it gives on the data it was chosen on; positive at `score >= threshold`."""

    threshold: float
    sensitivity: float
    specificity: float
    rule: str


def operating_point(
    y_true: npt.ArrayLike, y_score: npt.ArrayLike, rule: str, *, threshold: float | None = None
) -> OperatingPoint:
    """The threshold that a rule chooses.

    The threshold is put halfway between the lowest score called positive and the next lower one, so that rounding of a
    score (float32 against float64, another inference engine) does not change a decision. Where there is no lower
    score it is that lowest score itself. It is always finite.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1.
    y_score : array-like (n_specimens,), on the scale that the threshold is wanted on.
    rule : one of

        - "sensitivity>=S" (S in [0, 1]): of all thresholds with at least that sensitivity the one with the highest
          specificity; of equals the one with the highest sensitivity. The paper's CNN 1 with S = 0.90.
        - "closest-to-corner": least distance to (0, 1) in (FPR, TPR). The paper's CNN 2 and 3.
        - "youden": highest sensitivity + specificity - 1.
        - "fixed": `threshold` as given, only evaluated here.

        Of points that are equally good the one with the higher sensitivity is taken.
    threshold : with rule "fixed" only.

    Raises
    ------
    InputError : unknown rule, one class only, NaN, or no finite threshold exists.
    """
    if rule == "fixed":
        return _fixed(y_true, y_score, threshold)
    if threshold is not None:
        raise InputError(f"a threshold was given with rule {rule!r}; only rule 'fixed' takes one")
    labels, scores = as_pair(y_true, y_score)
    curve = roc_curve(labels, scores)
    cost = _cost(curve, rule)
    for point in np.lexsort((-curve.tpr, cost)):
        chosen = _threshold_at(curve, int(point))
        if np.isfinite(cost[point]) and chosen is not None:
            return OperatingPoint(chosen, float(curve.tpr[point]), float(1 - curve.fpr[point]), rule)
    raise InputError(f"rule {rule!r}: scores of -inf leave no finite threshold that meets it")


def _fixed(y_true: npt.ArrayLike, y_score: npt.ArrayLike, threshold: float | None) -> OperatingPoint:
    if threshold is None or not np.isfinite(threshold):
        raise InputError(f"rule 'fixed' needs a finite threshold, not {threshold}")
    table = confusion(y_true, y_score, threshold)
    return OperatingPoint(float(threshold), table.sensitivity, table.specificity, "fixed")


def _cost(curve: RocCurve, rule: str) -> FloatArray:
    """What the rule wants least of, for each point; infinite where the point is not allowed."""
    if rule == "closest-to-corner":
        return np.hypot(curve.fpr, 1 - curve.tpr).round(12)
    if rule == "youden":
        return (curve.fpr - curve.tpr).round(12)
    match = _SENSITIVITY_RULE.match(rule.replace(" ", ""))
    if match is None:
        known = "sensitivity>=S (S from 0 to 1), closest-to-corner, youden, fixed"
        raise InputError(f"operating point rule {rule!r} is unknown; give one of {known}")
    # The slack is far below one specimen: it only keeps 0.9 * 10 from asking for more than 9.
    return np.where(curve.tpr >= float(match[1]) - 1e-12, curve.fpr, np.inf)


def _threshold_at(curve: RocCurve, point: int) -> float | None:
    """A finite number above the next lower score and not above the score of `point`; None if there is none."""
    upper = float(curve.thresholds[point])
    lower = float(curve.thresholds[point + 1]) if point + 1 < curve.thresholds.size else -np.inf
    if np.isfinite(upper) and np.isfinite(lower):
        middle = lower + (upper - lower) / 2
        return middle if lower < middle <= upper else upper
    if np.isfinite(upper):
        return upper
    if upper > 0 and np.isfinite(lower):
        above = float(np.nextafter(lower, np.inf))
        return above if np.isfinite(above) else None
    return 0.0 if upper > lower else None

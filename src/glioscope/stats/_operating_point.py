"""Choosing the decision threshold on a set of labelled scores."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from glioscope.core import InputError

from ._confusion import confusion
from ._input import FloatArray, as_pair
from ._roc import RocCurve, roc_curve

_SENSITIVITY_RULE = re.compile(r"^sensitivity(>=?)(0?\.\d+|0|1|1\.0*)(?::([a-z-]+))?$")

_COSTS: Final[dict[str, Callable[[FloatArray, FloatArray], FloatArray]]] = {
    "closest-to-corner": lambda fpr, tpr: np.hypot(fpr, 1 - tpr),
    "youden": lambda fpr, tpr: fpr - tpr,
}


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

        - "sensitivity>=S" or "sensitivity>S" (S in [0, 1]): of all thresholds with that sensitivity the best. Best is
          the highest specificity, unless another is named: "sensitivity>0.9:youden",
          "sensitivity>0.9:closest-to-corner". The paper's CNN 1 has S = 0.90 and does not say what best is; its
          sensitivity of 0.938 (0.922, 0.966) lies too far above 0.9 for the highest specificity.
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
    cost = rule_cost(curve.fpr, curve.tpr, rule)
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


def rule_cost(fpr: FloatArray, tpr: FloatArray, rule: str) -> FloatArray:
    """What the rule wants least of, for each point of one or many curves; infinite where the point is not allowed.

    Of points of equal cost the one with the higher sensitivity is to be taken.

    Raises
    ------
    InputError : unknown rule.
    """
    if rule in _COSTS:
        return _COSTS[rule](fpr, tpr).round(12)
    match = _SENSITIVITY_RULE.match(rule.replace(" ", ""))
    if match is None or (match[3] and match[3] not in _COSTS):
        known = "sensitivity>=S (S from 0 to 1), closest-to-corner, youden, fixed"
        raise InputError(f"operating point rule {rule!r} is unknown; give one of {known}")
    # The slack is far below one specimen: it only keeps 0.9 * 10 from asking for more than 9.
    slack = 1e-12 if match[1] == ">=" else -1e-12
    cost = _COSTS[match[3]](fpr, tpr).round(12) if match[3] else fpr
    return np.where(tpr >= float(match[2]) - slack, cost, np.inf)


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

"""From a score to a calibrated probability: temperature (and Platt), isotonic and Venn-Abers calibrators.

Each is fitted on tuning specimens by its `fit_*` function, called on scores, and kept as a plain dict of JSON. All of
them keep the order of the scores; the logistic one needs logits, for the other two any monotone scale will do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from glioscope.core import InputError

from ._calibration import fit_logistic
from ._input import FloatArray, IntArray, as_pair


@dataclass(frozen=True, slots=True)
class LogisticCalibrator:
    """P = sigmoid(slope * logit + intercept); with intercept 0 this is temperature scaling."""

    kind: ClassVar[str] = "logistic"
    slope: float
    intercept: float = 0.0

    @property
    def temperature(self) -> float:
        """1 / slope: above 1 it makes probabilities less extreme; +inf where the slope is 0."""
        return 1 / self.slope if self.slope else float("inf")

    def __call__(self, score: npt.ArrayLike) -> FloatArray:
        """Probability, float64 of the shape of `score`, which is a finite logit."""
        probability: FloatArray = special.expit(self.slope * np.asarray(score, dtype=np.float64) + self.intercept)
        return probability

    def to_json(self) -> dict[str, Any]:
        """What `calibrator_from_json` reads."""
        return {"kind": self.kind, "slope": self.slope, "intercept": self.intercept}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "LogisticCalibrator":
        """The calibrator that `to_json` wrote."""
        return cls(float(fields["slope"]), float(fields["intercept"]))


@dataclass(frozen=True, slots=True, eq=False)
class IsotonicCalibrator:
    """A non-decreasing polygon through (scores, probabilities), flat beyond its ends.

    Attributes
    ----------
    scores : float64 (n_knots,), rising.
    probabilities : float64 (n_knots,), not falling. They can be 0 and 1, which few specimens cannot support.
    """

    kind: ClassVar[str] = "isotonic"
    scores: FloatArray
    probabilities: FloatArray

    def __call__(self, score: npt.ArrayLike) -> FloatArray:
        """Probability, float64 of the shape of `score`."""
        return np.asarray(np.interp(np.asarray(score, dtype=np.float64), self.scores, self.probabilities))

    def to_json(self) -> dict[str, Any]:
        """What `calibrator_from_json` reads."""
        return {"kind": self.kind, "scores": self.scores.tolist(), "probabilities": self.probabilities.tolist()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "IsotonicCalibrator":
        """The calibrator that `to_json` wrote."""
        return cls(*_steps(fields, "probabilities"))


@dataclass(frozen=True, slots=True, eq=False)
class VennAbersCalibrator:
    """Two probabilities a score, by isotonic regression with the new specimen added as negative and as positive.

    If specimens are exchangeable, one of the two is perfectly calibrated; how far they lie apart shows how much the
    calibration specimens know about this score.

    Attributes
    ----------
    scores : float64 (n_distinct,), the distinct calibration scores, rising.
    p0, p1 : float64 (n_distinct,), not falling; the two probabilities of a specimen of exactly that score.
    """

    kind: ClassVar[str] = "venn-abers"
    scores: FloatArray
    p0: FloatArray
    p1: FloatArray

    def interval(self, score: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """The two probabilities p0 < p1, each float64 of the shape of `score`."""
        at = np.asarray(score, dtype=np.float64)
        # Between two calibration scores a new negative is pooled with the lower of them, a new positive with the upper.
        lower = np.append(0.0, self.p0)[np.searchsorted(self.scores, at, "right")]
        upper = np.append(self.p1, 1.0)[np.searchsorted(self.scores, at, "left")]
        return np.asarray(lower), np.asarray(upper)

    def __call__(self, score: npt.ArrayLike) -> FloatArray:
        """One probability, p1 / (1 - p0 + p1), which is minimax for the log loss (Vovk and Petej 2014)."""
        p0, p1 = self.interval(score)
        return np.asarray(p1 / (1 - p0 + p1))

    def to_json(self) -> dict[str, Any]:
        """What `calibrator_from_json` reads."""
        return {"kind": self.kind, "scores": self.scores.tolist(), "p0": self.p0.tolist(), "p1": self.p1.tolist()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "VennAbersCalibrator":
        """The calibrator that `to_json` wrote."""
        return cls(*_steps(fields, "p0", "p1"))


Calibrator: TypeAlias = LogisticCalibrator | IsotonicCalibrator | VennAbersCalibrator
_CALIBRATORS: dict[str, type[Calibrator]] = {
    cls.kind: cls for cls in (LogisticCalibrator, IsotonicCalibrator, VennAbersCalibrator)
}


def calibrator_from_json(fields: Mapping[str, Any]) -> Calibrator:
    """The calibrator that a `to_json` wrote.

    Raises
    ------
    InputError : no known `kind`, a field that is missing or no number, scores that do not rise, probabilities that fall
        or leave [0, 1].
    """
    kind = fields.get("kind")
    if kind not in _CALIBRATORS:
        raise InputError(f"calibrator kind {kind!r} is unknown; it must be one of {', '.join(_CALIBRATORS)}")
    try:
        return _CALIBRATORS[str(kind)].from_json(fields)
    except KeyError as error:
        raise InputError(f"the {kind} calibrator has no field {error}") from None
    except (TypeError, ValueError) as error:
        raise InputError(f"the {kind} calibrator has a value that is not a number: {error}") from None


def fit_temperature(y_true: npt.ArrayLike, logit: npt.ArrayLike, *, bias: bool = False) -> LogisticCalibrator:
    """Temperature scaling (Guo et al. 2017), or with `bias` Platt scaling (Platt 1999), by least log loss.

    Labels are smoothed as Platt's, to (n_positive + 1) / (n_positive + 2) and 1 / (n_negative + 2), so that specimens
    which the logit separates give a finite answer. The slope is at least 0, because a calibrator must not turn the
    order round; at 0 every specimen gets the same probability.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1.
    logit : array-like (n_specimens,), finite.
    bias : fit an intercept as well.

    Raises
    ------
    InputError : one class only, NaN or infinite logits, labels other than 0 and 1, lengths that differ.

    References
    ----------
    Platt, in Advances in Large Margin Classifiers, 1999; Guo et al., ICML 2017.
    """
    labels, logits = as_pair(y_true, logit)
    if not np.isfinite(logits).all():
        raise InputError("the logits have infinite values; clip the probabilities that they come from")
    positives, negatives = int(labels.sum()), int((~labels).sum())
    target = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    ones = np.ones_like(logits)
    offset = np.zeros_like(logits)
    slope, intercept = 0.0, 0.0
    if np.ptp(logits) > 0 or (not bias and logits[0] != 0):
        design = np.column_stack([logits, ones] if bias else [logits])
        slope, intercept = (float(value) for value in np.append(fit_logistic(design, target, offset), 0.0)[:2])
    if slope <= 0:
        slope, intercept = 0.0, float(special.logit(target.mean())) if bias else 0.0
    return LogisticCalibrator(slope, intercept)


def fit_isotonic(y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> IsotonicCalibrator:
    """Isotonic regression of the labels on the score (pool adjacent violators; Zadrozny and Elkan 2002).

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1.
    y_score : array-like (n_specimens,), finite.

    Raises
    ------
    InputError : one class only, NaN or infinite scores, labels other than 0 and 1, lengths that differ.
    """
    scores, count, positives = _by_score(y_true, y_score)
    fitted = np.asarray(optimize.isotonic_regression(positives / count, weights=count).x)
    steps = np.diff(fitted) != 0
    ends = np.append(True, steps) | np.append(steps, True)
    return IsotonicCalibrator(scores[ends], fitted[ends])


def fit_venn_abers(y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> VennAbersCalibrator:
    """Inductive Venn-Abers calibration, exact, in O(n log n) once for all later scores.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1.
    y_score : array-like (n_specimens,), finite.

    Raises
    ------
    InputError : one class only, NaN or infinite scores, labels other than 0 and 1, lengths that differ.

    References
    ----------
    Vovk and Petej, UAI 2014; Vovk et al., NeurIPS 2015 (the fast form).
    """
    scores, count, positives = _by_score(y_true, y_score)
    p1 = _with_a_positive(count, positives)
    # A negative added from above is a positive added from below, of the other class.
    p0 = 1 - _with_a_positive(count[::-1], (count - positives)[::-1])[::-1]
    return VennAbersCalibrator(scores, p0, p1)


def _steps(fields: Mapping[str, Any], *names: str) -> list[FloatArray]:
    """`scores`, which must rise, and the named probabilities at each of them, which must not fall."""
    scores, *curves = (np.array(fields[name], dtype=np.float64) for name in ("scores", *names))
    if scores.ndim != 1 or not scores.size or not np.all(np.diff(scores) > 0):
        raise InputError("the calibrator's scores are not a rising list of numbers")
    for name, curve in zip(names, curves, strict=True):
        if curve.shape != scores.shape or not np.all(np.diff(curve, prepend=0, append=1) >= 0):
            raise InputError(f"the calibrator's {name} are not {scores.size} numbers that go up from 0 to 1")
    return [scores, *curves]


def _by_score(y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> tuple[FloatArray, IntArray, IntArray]:
    """Distinct scores, rising, with the specimens and the positives of each."""
    labels, scores = as_pair(y_true, y_score)
    if not np.isfinite(scores).all():
        raise InputError("the scores have infinite values; a calibrator needs finite ones")
    distinct, index = np.unique(scores, return_inverse=True)
    count = np.bincount(index)
    return distinct, count.astype(np.int64), np.bincount(index[labels], minlength=count.size).astype(np.int64)


def _with_a_positive(count: IntArray, positives: IntArray) -> FloatArray:
    """Isotonic fit at each distinct score when one positive specimen of that score is added.

    The fit is the slope of the lower hull of the path of (specimens, positives) so far. A positive is pooled with what
    follows it, so it can be put as a step (1, 1) just before its score. Moving it past the next score changes a single
    vertex of the path: `hull` keeps the vertices from the segment over that step to the right, its left end on top.
    """
    path = [(0, 0), *zip(np.cumsum(count).tolist(), np.cumsum(positives).tolist(), strict=True)]
    hull: list[tuple[int, int]] = []
    for vertex in reversed(path):
        _push(hull, vertex)
    _push(hull, (-1, -1))
    fitted = []
    for x, y in path[1:]:
        (x0, y0), (x1, y1) = hull[-1], hull[-2]
        fitted.append((y1 - y0) / (x1 - x0))
        vertex = (x - 1, y - 1)
        if _turn(hull[-1], vertex, hull[-2]) > 0:
            hull.pop()
            _push(hull, vertex)
    return np.array(fitted)


def _push(hull: list[tuple[int, int]], vertex: tuple[int, int]) -> None:
    """Put a vertex on the left of a lower hull, dropping those that are no longer corners."""
    while len(hull) > 1 and _turn(vertex, hull[-1], hull[-2]) <= 0:
        hull.pop()
    hull.append(vertex)


def _turn(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> int:
    """Above 0 where b lies below the line from a to c, 0 on it; whole numbers, so exact."""
    return (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])

"""Counts of right and wrong calls, what follows from them, and exact intervals of a proportion."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from glioscope.core import InputError

from ._estimate import Interval
from ._input import as_pair, check_level


@dataclass(frozen=True, slots=True)
class Confusion:
    """A two-by-two table.

    Ratios with nothing below the line are NaN; the likelihood ratios alone may also be infinite. PPV, NPV, F1, accuracy
    and MCC hold at `prevalence` only.
    """

    tp: int
    fp: int
    tn: int
    fn: int

    @property
    def n(self) -> int:
        """Specimens in the table."""
        return self.tp + self.fp + self.tn + self.fn

    @property
    def prevalence(self) -> float:
        """Share of positives among all specimens."""
        return _ratio(self.tp + self.fn, self.n)

    @property
    def sensitivity(self) -> float:
        """TP / (TP + FN)."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        """TN / (TN + FP)."""
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def ppv(self) -> float:
        """TP / (TP + FP)."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def npv(self) -> float:
        """TN / (TN + FN)."""
        return _ratio(self.tn, self.tn + self.fn)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def accuracy(self) -> float:
        """(TP + TN) / all."""
        return _ratio(self.tp + self.tn, self.n)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of sensitivity and specificity."""
        return (self.sensitivity + self.specificity) / 2

    @property
    def youden(self) -> float:
        """Sensitivity + specificity - 1 (Youden 1950)."""
        return self.sensitivity + self.specificity - 1

    @property
    def mcc(self) -> float:
        """Correlation of call and truth (Matthews 1975), in [-1, 1]; NaN where all calls or all labels are the same."""
        margins = (self.tp + self.fp) * (self.tp + self.fn) * (self.tn + self.fp) * (self.tn + self.fn)
        return _ratio(self.tp * self.tn - self.fp * self.fn, margins**0.5)

    @property
    def lr_positive(self) -> float:
        """Sensitivity / (1 - specificity); +inf without a false positive, NaN without any positive call or a class."""
        return _likelihood_ratio(self.tp, self.fn, self.fp, self.tn)

    @property
    def lr_negative(self) -> float:
        """(1 - sensitivity) / specificity; +inf without a true negative, NaN without any negative call or a class."""
        return _likelihood_ratio(self.fn, self.tp, self.tn, self.fp)


def confusion(y_true: npt.ArrayLike, y_score: npt.ArrayLike, threshold: float) -> Confusion:
    """The two-by-two table at a threshold; positive at `score >= threshold`. One class only is allowed.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1.
    y_score : array-like (n_specimens,).
    threshold : on the scale of `y_score`.

    Raises
    ------
    InputError : NaN, labels other than 0 and 1, lengths that differ.
    """
    labels, scores = as_pair(y_true, y_score, both_classes=False)
    if np.isnan(threshold):
        raise InputError("threshold is NaN; it must be a number")
    called = scores >= threshold
    tp, fp = int(np.sum(called & labels)), int(np.sum(called & ~labels))
    return Confusion(tp=tp, fp=fp, tn=int(np.sum(~labels)) - fp, fn=int(np.sum(labels)) - tp)


def clopper_pearson(k: int, n: int, confidence_level: float = 0.95) -> Interval:
    """Exact interval of a proportion of `k` out of `n` independent specimens (Clopper and Pearson 1934)."""
    tail = (1 - check_level(confidence_level)) / 2
    _check_counts(k, n)
    low = 0.0 if k == 0 else float(special.betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(special.betaincinv(k + 1, n - k, 1 - tail))
    return Interval(low, high)


def wilson(k: int, n: int, confidence_level: float = 0.95) -> Interval:
    """Score interval of a proportion of `k` out of `n` independent specimens (Wilson 1927)."""
    z = float(special.ndtri((1 + check_level(confidence_level)) / 2))
    _check_counts(k, n)
    share, spread = k / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z * np.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return Interval(0.0 if k == 0 else float(centre - half), 1.0 if k == n else float(centre + half))


def _check_counts(k: int, n: int) -> None:
    if n < 1 or not 0 <= k <= n:
        raise InputError(f"{k} out of {n} is no proportion; k must lie in 0..n and n be at least 1")


def _ratio(part: int, whole: float) -> float:
    return part / whole if whole else float("nan")


def _likelihood_ratio(called_sick: int, other_sick: int, called_well: int, other_well: int) -> float:
    """How many times as often the call is given to the sick as to the well."""
    in_sick = _ratio(called_sick, called_sick + other_sick)
    in_well = _ratio(called_well, called_well + other_well)
    if in_well == 0:
        return float("inf") if in_sick > 0 else float("nan")
    return in_sick / in_well

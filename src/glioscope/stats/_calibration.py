"""Do probabilities mean what they say: reliability, Brier score, and the line of logistic recalibration."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from glioscope.core import InputError

from ._cluster import clustered_proportion
from ._confusion import wilson
from ._estimate import Estimate
from ._input import BoolArray, FloatArray, IntArray, as_groups, as_pair, as_vector, check_level

_CLIP = 1e-6
_MAX_STEPS = 100


@dataclass(frozen=True, slots=True)
class ReliabilityCurve:
    """Observed share of positives against the mean probability, one point a bin that has specimens.

    Attributes
    ----------
    mean_probability, observed : float64 (n_bins,), in [0, 1].
    low, high : float64 (n_bins,), confidence interval of `observed`.
    count : int64 (n_bins,), specimens in the bin, at least 1.
    """

    mean_probability: FloatArray
    observed: FloatArray
    low: FloatArray
    high: FloatArray
    count: IntArray


@dataclass(frozen=True, slots=True)
class CalibrationLine:
    """The line logit(P(positive)) = intercept + slope * logit(probability); a calibrated probability has 0 and 1.

    `in_the_large` is the intercept where the slope is fixed at 1: above 0 the probabilities are too low on the whole.
    A slope below 1 says that they are too extreme.
    """

    in_the_large: Estimate
    intercept: Estimate
    slope: Estimate


def reliability_curve(
    y_true: npt.ArrayLike,
    y_probability: npt.ArrayLike,
    *,
    n_bins: int = 10,
    strategy: Literal["quantile", "uniform"] = "quantile",
    groups: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> ReliabilityCurve:
    """Points of the reliability diagram.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1.
    y_probability : array-like (n_specimens,), in [0, 1].
    n_bins : at least 1.
    strategy : "quantile" (equally many specimens a bin) or "uniform" (bins of equal width). Equal probabilities always
        share a bin, so that quantile bins may be fewer and uneven.
    groups : array-like (n_specimens,) or None; the patient of each specimen. Intervals are Wilson's without, and
        `clustered_proportion`'s with groups.
    confidence_level : between 0 and 1.

    Raises
    ------
    InputError : probabilities outside [0, 1], NaN, labels other than 0 and 1, lengths that differ, no bin.

    References
    ----------
    Niculescu-Mizil and Caruana, ICML 2005.
    """
    labels, probability = as_probabilities(y_true, y_probability)
    level = check_level(confidence_level)
    bins = _bins(probability, n_bins, strategy)
    count = np.bincount(bins)
    positives = np.bincount(bins, labels)
    if groups is None:
        intervals = [wilson(int(k), int(n), level) for k, n in zip(positives, count, strict=True)]
    else:
        patients, _ = as_groups(groups, labels.size)
        members = [bins == number for number in range(count.size)]
        intervals = [clustered_proportion(labels[part], patients[part], level) for part in members]
    return ReliabilityCurve(
        mean_probability=np.bincount(bins, probability) / count,
        observed=positives / count,
        low=np.array([interval.low for interval in intervals]),
        high=np.array([interval.high for interval in intervals]),
        count=count.astype(np.int64),
    )


def brier_score(y_true: npt.ArrayLike, y_probability: npt.ArrayLike) -> float:
    """Mean squared distance of probability and label (Brier 1950), in [0, 1]; lower is better.

    Raises
    ------
    InputError : probabilities outside [0, 1], NaN, labels other than 0 and 1, lengths that differ.
    """
    labels, probability = as_probabilities(y_true, y_probability)
    return float(np.mean((probability - labels) ** 2))


def expected_calibration_error(
    y_true: npt.ArrayLike,
    y_probability: npt.ArrayLike,
    *,
    n_bins: int = 10,
    strategy: Literal["quantile", "uniform"] = "uniform",
) -> float:
    """Mean distance of observed share and mean probability over the bins, weighted by their specimens.

    In [0, 1]. It depends on the bins, and is above 0 for perfect probabilities of few specimens: state both.

    Raises
    ------
    InputError : as `reliability_curve`.

    References
    ----------
    Naeini et al., AAAI 2015.
    """
    labels, probability = as_probabilities(y_true, y_probability)
    excess = np.bincount(_bins(probability, n_bins, strategy), labels - probability)
    return float(np.abs(excess).sum() / labels.size)


def calibration_line(
    y_true: npt.ArrayLike,
    y_probability: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> CalibrationLine:
    """Calibration in the large, intercept and slope of logistic recalibration (Cox 1958), with Wald intervals.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1.
    y_probability : array-like (n_specimens,), in [0, 1]; the logit is taken after clipping to [1e-6, 1 - 1e-6].
    groups : array-like (n_specimens,) or None; the patient of each specimen. Standard errors then come from leaving out
        one patient at a time (CR3, in one Newton step), and quantiles from t with K-1 degrees of freedom.
    confidence_level : between 0 and 1.

    Returns
    -------
    CalibrationLine. Intercept and slope are NaN, and `note` says so, where no finite line is most likely: one
    probability, or one cut of it, separates the classes.

    Raises
    ------
    InputError : one class only, probabilities outside [0, 1], NaN, lengths that differ.

    References
    ----------
    Cox, Biometrika 45, 1958; Van Calster et al., BMC Med. 17, 2019; Bell and McCaffrey, Survey Methodology 28, 2002.
    """
    labels, probability = as_probabilities(y_true, y_probability, both_classes=True)
    level = check_level(confidence_level)
    index = None if groups is None else as_groups(groups, labels.size)[0]
    logit = clipped_logit(probability)
    ones = np.ones((labels.size, 1))
    (in_the_large,) = _wald(ones, labels, logit, index, level)
    if _separated(labels, logit):
        missing = Estimate(np.nan, note="the probability separates the classes: no finite line")
        return CalibrationLine(in_the_large, missing, missing)
    intercept, slope = _wald(np.column_stack([ones, logit]), labels, np.zeros(labels.size), index, level)
    return CalibrationLine(in_the_large, intercept, slope)


def as_probabilities(
    y_true: npt.ArrayLike, y_probability: npt.ArrayLike, *, both_classes: bool = False
) -> tuple[BoolArray, FloatArray]:
    """Labels and probabilities of equal length, the latter in [0, 1]."""
    probability = as_vector(y_probability, "y_probability")
    wrong = probability[(probability < 0) | (probability > 1)]
    if wrong.size:
        raise InputError(f"y_probability has {wrong[0]:g}; a probability lies between 0 and 1")
    return as_pair(y_true, probability, both_classes=both_classes)


def clipped_logit(probability: npt.ArrayLike) -> FloatArray:
    """Logit of probabilities, which are first clipped to [1e-6, 1 - 1e-6] so that it is finite."""
    clipped = np.clip(np.asarray(probability, dtype=np.float64), _CLIP, 1 - _CLIP)
    logit: FloatArray = special.logit(clipped)
    return logit


def fit_logistic(design: FloatArray, target: FloatArray, offset: FloatArray) -> FloatArray:
    """Most likely coefficients of logit(P) = offset + design @ coefficients, by Newton's method.

    Parameters
    ----------
    design : float64 (n, n_coefficients). The caller makes sure that a finite answer exists.
    target : float64 (n,), in [0, 1]; need not be whole.
    offset : float64 (n,).
    """

    def loss(trial: FloatArray) -> float:
        linear = offset + design @ trial
        return float(np.sum(np.logaddexp(0.0, linear) - target * linear))

    coefficients = np.zeros(design.shape[1])
    for _ in range(_MAX_STEPS):
        score, information = _score_and_information(design, target, offset, coefficients)
        step = np.linalg.solve(information.sum(axis=0), score.sum(axis=0))
        here = loss(coefficients)
        # Newton overshoots where most probabilities are near 0 or 1; the slack is for rounding at the minimum.
        while loss(coefficients + step) > here + 1e-9 * abs(here):
            step = step / 2
        coefficients = coefficients + step
        if np.max(np.abs(step)) < 1e-10 * (1 + np.max(np.abs(coefficients))):
            break
    return coefficients


def _score_and_information(
    design: FloatArray, target: FloatArray, offset: FloatArray, coefficients: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Each specimen's part of the score (n, k) and of the information (n, k, k)."""
    expected = special.expit(offset + design @ coefficients)
    weight = (expected * (1 - expected))[:, None, None]
    return design * (target - expected)[:, None], weight * design[:, :, None] * design[:, None, :]


def _wald(
    design: FloatArray, labels: BoolArray, offset: FloatArray, index: IntArray | None, level: float
) -> list[Estimate]:
    """Coefficients of the logistic fit with their intervals, by patient where `index` gives patients."""
    target = labels.astype(np.float64)
    coefficients = fit_logistic(design, target, offset)
    score, information = _score_and_information(design, target, offset, coefficients)
    total = information.sum(axis=0)
    if index is None:
        error = np.sqrt(np.diag(np.linalg.inv(total)))
        half = float(special.ndtri((1 + level) / 2)) * error
        return [Estimate(float(b), float(b - h), float(b + h), "wald") for b, h in zip(coefficients, half, strict=True)]
    n_groups = int(index.max()) + 1
    method = "cluster-robust (CR3, t)"
    if n_groups < 2:
        note = "all specimens come from one patient: no interval by patient"
        return [Estimate(float(b), method=method, n_groups=1, note=note) for b in coefficients]
    error = _error_by_patient(score, information, index, n_groups)
    half = float(special.stdtrit(n_groups - 1, (1 + level) / 2)) * error
    note = "without one of the patients there is no line" if np.isnan(half).any() else ""
    return [
        Estimate(float(b), float(b - h), float(b + h), method, n_groups=n_groups, note=note)
        for b, h in zip(coefficients, half, strict=True)
    ]


def _error_by_patient(score: FloatArray, information: FloatArray, index: IntArray, n_groups: int) -> FloatArray:
    """Standard errors (k,) from the change that leaving out each patient makes; NaN if one cannot be left out."""
    score_of = np.zeros((n_groups, score.shape[1]))
    information_of = np.zeros((n_groups, *information.shape[1:]))
    np.add.at(score_of, index, score)
    np.add.at(information_of, index, information)
    without = information.sum(axis=0) - information_of
    if np.any(np.linalg.matrix_rank(without) < score.shape[1]):
        return np.full(score.shape[1], np.nan)
    change = np.linalg.solve(without, score_of[:, :, None])[:, :, 0]
    error: FloatArray = np.sqrt((n_groups - 1) / n_groups * np.sum(change**2, axis=0))
    return error


def _separated(labels: BoolArray, logit: FloatArray) -> bool:
    positive, negative = logit[labels], logit[~labels]
    return bool(negative.max() <= positive.min() or positive.max() <= negative.min())


def _bins(probability: FloatArray, n_bins: int, strategy: str) -> IntArray:
    """Bin of each probability as 0..(non-empty bins - 1)."""
    if n_bins < 1:
        raise InputError(f"n_bins {n_bins} is below 1")
    steps = np.linspace(0, 1, n_bins + 1)
    if strategy not in ("quantile", "uniform"):
        raise InputError(f"strategy {strategy!r} is unknown; give quantile or uniform")
    edges = np.quantile(probability, steps) if strategy == "quantile" else steps
    bins = np.searchsorted(edges[1:-1], probability)
    return np.unique(bins, return_inverse=True)[1].astype(np.int64)

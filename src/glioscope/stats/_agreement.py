"""Agreement beyond chance: two raters (Cohen's kappa, weighted or not) and any number of them (Fleiss' kappa)."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from glioscope.core import InputError

from ._estimate import NAN, Estimate
from ._input import BoolArray, FloatArray, IntArray, as_groups, as_vector, check_level

# An interval that is narrower than this is one of rounding.
_ROUNDING = 1e-7


@dataclass(frozen=True, slots=True)
class Kappa(Estimate):
    """A kappa with its interval.

    `standard_error` belongs to the interval; `null_standard_error` to the test that raters agree by chance alone, NaN
    with groups, because it takes specimens as independent.
    """

    standard_error: float = NAN
    null_standard_error: float = NAN


def cohen_kappa(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    weights: Literal["linear", "quadratic"] | None = None,
    groups: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> Kappa:
    """Agreement of two raters beyond chance (Cohen 1960, 1968).

    Parameters
    ----------
    a, b : array-like (n_specimens,), the answer of each rater: any labels; with weights, levels as numbers.
    weights : None (answers agree or do not), "linear" or "quadratic" in the distance between levels; levels 1 and 3
        are two apart even if nobody chose 2.
    groups : array-like (n_specimens,) or None; the patient of each specimen. The interval is then the jackknife's over
        patients with t quantiles of K-1 degrees of freedom.
    confidence_level : between 0 and 1.

    Returns
    -------
    Kappa; without groups, the large-sample interval of Fleiss, Cohen and Everitt, cut to [-1, 1]. NaN where both give
    all specimens the same answer; no interval where they agree on all.

    Raises
    ------
    InputError : blanks, lengths that differ, weighted levels that are not finite numbers, unknown weights.

    References
    ----------
    Cohen, Psychol. Bull. 70, 1968; Fleiss, Cohen and Everitt, Psychol. Bull. 72, 1969.
    """
    (first, second), agreement = _labels(a, b) if weights is None else _levels(a, b, weights)
    level = check_level(confidence_level)
    if groups is not None:
        index, n_groups = as_groups(groups, first.size)
        return _by_patient(lambda rows: _cohen(first[rows], second[rows], agreement)[0], index, n_groups, level)
    return _large_sample(*_cohen(first, second, agreement), "large-sample (Fleiss, Cohen and Everitt 1969)", level)


def fleiss_kappa(
    ratings: npt.ArrayLike, *, groups: npt.ArrayLike | None = None, confidence_level: float = 0.95
) -> Kappa:
    """Agreement of several raters beyond chance (Fleiss 1971).

    Parameters
    ----------
    ratings : array-like (n_specimens, n_raters >= 2), any labels; every rater rates every specimen.
    groups : array-like (n_specimens,) or None; the patient of each specimen. The interval is then the jackknife's over
        patients with t quantiles of K-1 degrees of freedom.
    confidence_level : between 0 and 1.

    Returns
    -------
    Kappa. Without groups the interval is Gwet's (2021), cut to [-1, 1]: the standard error of Fleiss, Nee and Landis
    (1979), which many programs print an interval from, holds for raters who agree by chance alone; it is
    `null_standard_error`. NaN where there is one label only; no interval where raters agree on all specimens.

    Raises
    ------
    InputError : fewer than two raters, a blank.

    References
    ----------
    Fleiss, Psychol. Bull. 76, 1971; Fleiss, Nee and Landis, Psychol. Bull. 86, 1979; Gwet, Educ. Psychol. Meas. 81,
    2021 (weights of identity, all raters present).
    """
    counts = _counts(ratings)
    level = check_level(confidence_level)
    if groups is not None:
        index, n_groups = as_groups(groups, len(counts))
        return _by_patient(lambda rows: _fleiss(counts[rows])[0], index, n_groups, level)
    return _large_sample(*_fleiss(counts), "large-sample (Gwet 2021)", level)


def _cohen(first: IntArray, second: IntArray, agreement: FloatArray) -> tuple[float, float, float]:
    """Kappa, its standard error, and the one under chance alone; `agreement` is float64 (n_levels, n_levels)."""
    table = np.zeros(agreement.shape)
    np.add.at(table, (first, second), 1.0)
    table /= first.size
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    independent = np.outer(rows, columns)
    by_chance = float(np.sum(independent * agreement))
    if by_chance >= 1:
        return NAN, NAN, NAN
    kappa = float((np.sum(table * agreement) - by_chance) / (1 - by_chance))
    marginal = (agreement @ columns)[:, None] + rows @ agreement
    variance = np.sum(table * (agreement - marginal * (1 - kappa)) ** 2) - (kappa - by_chance * (1 - kappa)) ** 2
    null_variance = np.sum(independent * (agreement - marginal) ** 2) - by_chance**2
    scale = math.sqrt(first.size) * (1 - by_chance)
    return kappa, _root(variance) / scale, _root(null_variance) / scale


def _fleiss(counts: FloatArray) -> tuple[float, float, float]:
    """Kappa, its standard error, and the one under chance alone, of counts (n_specimens, n_labels)."""
    n_specimens, n_raters = len(counts), counts[0].sum()
    share = counts.mean(axis=0) / n_raters
    by_chance = float(np.sum(share**2))
    if by_chance >= 1:
        return NAN, NAN, NAN
    agreed = (np.sum(counts**2, axis=1) - n_raters) / (n_raters * (n_raters - 1))
    own = (agreed - by_chance) / (1 - by_chance)
    kappa = float(own.mean())
    # What each specimen adds by moving the agreement by chance, to first order.
    own = own - 2 * (1 - kappa) * (counts @ share / n_raters - by_chance) / (1 - by_chance)
    error = _root(np.sum((own - kappa) ** 2) / (n_specimens * (n_specimens - 1))) if n_specimens > 1 else NAN
    spread = 1 - by_chance
    null = spread**2 - np.sum(share * (1 - share) * (1 - 2 * share))
    return kappa, error, _root(2 * null / (n_specimens * n_raters * (n_raters - 1))) / spread


def _large_sample(kappa: float, error: float, null_error: float, method: str, level: float) -> Kappa:
    half = float(special.ndtri((1 + level) / 2)) * error
    note = (
        "one answer only: chance alone agrees fully"
        if math.isnan(kappa)
        else "the estimated variance is zero: no interval"
    )
    return _with_interval(Kappa(kappa, method=method, standard_error=error, null_standard_error=null_error), half, note)


def _by_patient(kappa_of: Callable[[BoolArray], float], index: IntArray, n_groups: int, level: float) -> Kappa:
    """Jackknife over patients; `kappa_of` gives the kappa of some specimens."""
    kappa, error = kappa_of(np.ones(index.size, dtype=bool)), NAN
    if n_groups > 1:
        left_out = np.array([kappa_of(index != patient) for patient in range(n_groups)])
        error = math.sqrt((n_groups - 1) / n_groups * float(np.sum((left_out - left_out.mean()) ** 2)))
    half = float(special.stdtrit(n_groups - 1, (1 + level) / 2)) * error
    single = "one patient, or one answer without some patient: no interval"
    note = single if math.isnan(error) else "the estimated variance is zero: no interval"
    result = Kappa(kappa, method="jackknife by patient (t)", n_groups=n_groups, standard_error=error)
    return _with_interval(result, half, note)


def _with_interval(kappa: Kappa, half: float, note: str) -> Kappa:
    """The interval `half` wide to both sides, cut to [-1, 1], or the note where there is none."""
    if half > _ROUNDING:
        return replace(kappa, low=max(kappa.value - half, -1.0), high=min(kappa.value + half, 1.0))
    return replace(kappa, note=note)


def _labels(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[tuple[IntArray, IntArray], FloatArray]:
    """Labels of two raters as codes, and which codes agree."""
    known: dict[Any, int] = {}
    codes = _codes(a, "a", known), _codes(b, "b", known)
    _same_length(*codes)
    return codes, np.eye(len(known))


def _levels(a: npt.ArrayLike, b: npt.ArrayLike, weights: str) -> tuple[tuple[IntArray, IntArray], FloatArray]:
    """Levels of two raters as codes, and how far codes agree: 1 on the same level, 0 between the outermost."""
    if weights not in ("linear", "quadratic"):
        raise InputError(f"weights {weights!r} is unknown; give linear, quadratic or None")
    first, second = as_vector(a, "a"), as_vector(b, "b")
    _same_length(first, second)
    levels, codes = np.unique(np.concatenate([first, second]), return_inverse=True)
    if not np.isfinite(levels).all():
        raise InputError("a level is infinite; weights need finite levels")
    distance = np.abs(levels[:, None] - levels) / max(levels[-1] - levels[0], 1.0)
    return (codes[: first.size], codes[first.size :]), 1 - distance ** (1 if weights == "linear" else 2)


def _counts(ratings: npt.ArrayLike) -> FloatArray:
    """How many raters gave each label to each specimen: float64 (n_specimens, n_labels)."""
    table = np.asarray(ratings, dtype=object)
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 2:
        raise InputError(f"ratings has the shape {table.shape}; it must be (specimens, two or more raters)")
    known: dict[Any, int] = {}
    codes = _codes(table.ravel(), "ratings", known).reshape(table.shape)
    return np.stack([np.sum(codes == code, axis=1) for code in range(len(known))], axis=1).astype(np.float64)


def _codes(labels: npt.ArrayLike, name: str, known: dict[Any, int]) -> IntArray:
    """Each label as the number that `known` has for it; new labels are added. 1, 1.0 and True are one label."""
    values = np.asarray(labels, dtype=object)
    if values.ndim != 1 or not values.size:
        raise InputError(f"{name} has the shape {values.shape}; it must be a vector with one label a specimen")
    missing = sum(value is None or value != value for value in values)
    if missing:
        raise InputError(f"{name} has {missing} blank of {values.size} labels; every rater must rate every specimen")
    return np.array([known.setdefault(value, len(known)) for value in values], dtype=np.int64)


def _same_length(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> None:
    if a.size != b.size:
        raise InputError(f"a has {a.size} values and b {b.size}; they must match")


def _root(variance: float) -> float:
    """Square root of what rounding can make negative."""
    return math.sqrt(max(float(variance), 0.0))

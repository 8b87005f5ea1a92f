"""Several readers read the same cases: what holds for other readers and other cases (Obuchowski and Rockette 1995).

Three forms: modalities compared by readers who read all of them, an algorithm alone compared with a panel of readers,
and the mean of a panel. Every reader reads every case.
"""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from glioscope.core import InputError

from ._estimate import NAN
from ._input import BoolArray, FloatArray, as_vector
from ._mrmc_covariance import Covariance, Metric, reading_metrics
from ._mrmc_design import (
    NO_SPREAD,
    Design,
    Factor,
    ReaderDifference,
    ReaderMean,
    difference,
    estimate,
    f_pvalue,
    mean_error,
    random_readers,
    root,
    study_design,
)


@dataclass(frozen=True, slots=True)
class VarianceComponents:
    """What the Obuchowski-Rockette analysis of a metric by modality and reader is made of.

    Attributes
    ----------
    ms_modality, ms_reader, ms_interaction : mean squares MS(T), MS(R), MS(T:R); NaN without degrees of freedom (one
        reader).
    error : variance over cases of one reader with one modality.
    cov1, cov2, cov3 : covariance of the same reader with different modalities, of different readers with the same
        modality, and of different readers with different modalities; NaN where there is no such pair.
    """

    ms_modality: float
    ms_reader: float
    ms_interaction: float
    error: float
    cov1: float
    cov2: float
    cov3: float


@dataclass(frozen=True, slots=True)
class ModalityComparison:
    """Modalities compared by the readers who read all of them.

    Attributes
    ----------
    modalities : one mean of readers for each modality, from the data of that modality alone.
    differences : of each pair, first minus second, in the order (0, 1), (0, 2), ..., (1, 2), ...
    by_reader : float64 (n_modalities, n_readers), the metric of each reader.
    components : mean squares, variance and covariances.
    f, df1, df2, pvalue : test that all modalities are equal; where `df2` is infinite, `df1 * f` is chi-square.
    """

    modalities: tuple[ReaderMean, ...]
    differences: tuple[ReaderDifference, ...]
    by_reader: FloatArray
    components: VarianceComponents
    f: float
    df1: int
    df2: float
    pvalue: float


@dataclass(frozen=True, slots=True)
class StandaloneComparison:
    """An algorithm alone against the mean of readers.

    Attributes
    ----------
    algorithm, readers : each from its own data alone.
    difference : algorithm minus readers.
    by_reader : float64 (n_readers,), the metric of each reader.
    """

    algorithm: ReaderMean
    readers: ReaderMean
    difference: ReaderDifference
    by_reader: FloatArray


def compare_modalities(
    y_true: npt.ArrayLike,
    ratings: npt.ArrayLike,
    *,
    metric: Metric = "auc",
    readers: Factor = "random",
    cases: Factor = "random",
    covariance: Covariance = "jackknife",
    groups: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> ModalityComparison:
    """Compare modalities that the same readers read on the same cases (factorial design).

    Parameters
    ----------
    y_true : array-like (n_cases,), 0 or 1.
    ratings : array-like (n_modalities >= 2, n_readers, n_cases): any monotone scale for "auc", 0 or 1 for the others.
    metric : "auc" (ties count half), "sensitivity", "specificity" or "accuracy".
    readers, cases : "random" (the answer holds for others like them) or "fixed" (for these alone), not both fixed. One
        reader is always fixed.
    covariance : "jackknife" (leaves out one case, with groups one patient) or "delong" (with groups: Obuchowski 1997).
    groups : array-like (n_cases,) or None; the patient of each case. Degrees of freedom are then at most K-1, for K
        patients with cases that the metric counts: the published ones take the covariance over cases as known, which
        few patients do not allow.
    confidence_level : between 0 and 1.

    Returns
    -------
    ModalityComparison; degrees of freedom of Hillis (2007), intervals of means cut to [0, 1]. Intervals and P are NaN,
    with a note, where nothing varies or one patient has all cases of a class.

    Raises
    ------
    InputError : a missing reading, one class only, values or sizes out of range, both factors fixed.

    References
    ----------
    Obuchowski and Rockette, Commun. Stat. Simul. Comput. 24, 1995; Hillis, Obuchowski, Schartz and Berbaum, Stat. Med.
    24, 2005; Hillis, Stat. Med. 26, 2007.
    """
    table = _as_ratings(ratings, ("modality", "reader", "case"))
    n_modalities, n_readers, n_cases = table.shape
    if n_modalities < 2:
        raise InputError("ratings has one modality; a comparison needs two")
    fit = reading_metrics(y_true, table.reshape(-1, n_cases), metric, covariance, groups)
    design = study_design(readers, cases, n_readers, covariance, confidence_level, fit)
    theta = fit.values.reshape(n_modalities, n_readers)
    sigma = fit.covariance.reshape(n_modalities, n_readers, n_modalities, n_readers)
    components = _components(theta, sigma)
    denominator, df2 = _denominator(components, n_modalities, n_readers, design)
    error = root(2 * denominator / n_readers)
    f = components.ms_modality / denominator if error > NO_SPREAD else NAN
    value = theta.mean(axis=1)
    return ModalityComparison(
        modalities=tuple(_mean(theta[i], sigma[i, :, i], design) for i in range(n_modalities)),
        differences=tuple(
            difference(float(value[i] - value[j]), error, df2, design) for i, j in combinations(range(n_modalities), 2)
        ),
        by_reader=theta,
        components=components,
        f=f,
        df1=n_modalities - 1,
        df2=df2,
        pvalue=f_pvalue(f, n_modalities - 1, df2),
    )


def compare_standalone(
    y_true: npt.ArrayLike,
    standalone: npt.ArrayLike,
    ratings: npt.ArrayLike,
    *,
    metric: Metric = "auc",
    readers: Factor = "random",
    cases: Factor = "random",
    covariance: Covariance = "jackknife",
    groups: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> StandaloneComparison:
    """Compare an algorithm that works alone with the mean of readers of the same cases.

    The difference from the algorithm is taken reader by reader, and these differences are analysed as one modality, so
    that what algorithm and readers have in common cancels.

    Parameters
    ----------
    y_true : array-like (n_cases,), 0 or 1.
    standalone : array-like (n_cases,): scores on any monotone scale for "auc", decisions (0 or 1) for the others.
    ratings : array-like (n_readers, n_cases): ratings, on a scale of their own, or decisions.
    metric, readers, cases, covariance, groups, confidence_level : as in `compare_modalities`.

    Returns
    -------
    StandaloneComparison; its `p_one_sided` is against "the algorithm is not better than the readers". The algorithm
    alone has no interval where cases are fixed.

    Raises
    ------
    InputError : as in `compare_modalities`.

    References
    ----------
    Hillis, Obuchowski, Schartz and Berbaum, Stat. Med. 24, 2005; Hillis, Stat. Med. 26, 2007 (one modality);
    Chakraborty, Observer Performance Methods for Diagnostic Imaging, 2017, chapter 22 (one modality, 1T-RRRC).
    """
    scores, table = as_vector(standalone, "standalone"), _as_ratings(ratings, ("reader", "case"))
    if scores.size != table.shape[1]:
        raise InputError(f"standalone has {scores.size} cases and ratings {table.shape[1]}; they must match")
    fit = reading_metrics(y_true, np.vstack([scores, table]), metric, covariance, groups)
    design = study_design(readers, cases, len(table), covariance, confidence_level, fit)
    contrast = np.hstack([np.ones((len(table), 1)), -np.eye(len(table))])
    against_each = contrast @ fit.values
    error, df = mean_error(against_each, contrast @ fit.covariance @ contrast.T, design)
    return StandaloneComparison(
        algorithm=_mean(fit.values[:1], fit.covariance[:1, :1], design.alone()),
        readers=_mean(fit.values[1:], fit.covariance[1:, 1:], design),
        difference=difference(float(against_each.mean()), error, df, design),
        by_reader=fit.values[1:],
    )


def reader_mean(
    y_true: npt.ArrayLike,
    ratings: npt.ArrayLike,
    *,
    metric: Metric = "auc",
    readers: Factor = "random",
    cases: Factor = "random",
    covariance: Covariance = "jackknife",
    groups: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> ReaderMean:
    """The mean of the readers of one modality, with its interval.

    Parameters
    ----------
    y_true : array-like (n_cases,), 0 or 1.
    ratings : array-like (n_readers, n_cases).
    metric, readers, cases, covariance, groups, confidence_level : as in `compare_modalities`.

    Raises
    ------
    InputError : as in `compare_modalities`.

    References
    ----------
    Hillis, Stat. Med. 26, 2007 (one modality).
    """
    table = _as_ratings(ratings, ("reader", "case"))
    fit = reading_metrics(y_true, table, metric, covariance, groups)
    design = study_design(readers, cases, len(table), covariance, confidence_level, fit)
    return _mean(fit.values, fit.covariance, design)


def _as_ratings(ratings: npt.ArrayLike, axes: tuple[str, ...]) -> FloatArray:
    """Ratings as float64 with the named axes, none empty, none missing."""
    try:
        table = np.asarray(ratings, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"ratings has values that are not numbers, or rows of unequal length: {error}") from None
    if table.ndim != len(axes) or 0 in table.shape:
        raise InputError(f"ratings has the shape {table.shape}; it must have the axes {', '.join(axes)}, none empty")
    missing = np.argwhere(np.isnan(table))
    if missing.size:
        first = ", ".join(f"{axis} {at}" for axis, at in zip(axes, missing[0], strict=True))
        raise InputError(f"{len(missing)} ratings are missing, first {first}; every reader must read every case")
    return table


def _mean(theta: FloatArray, sigma: FloatArray, design: Design) -> ReaderMean:
    return estimate(float(theta.mean()), *mean_error(theta, sigma, design), design)


def _components(theta: FloatArray, sigma: FloatArray) -> VarianceComponents:
    """Mean squares of `theta` (n_modalities, n_readers); means of `sigma` (modality, reader, modality, reader)."""
    n_modalities, n_readers = theta.shape
    modality = theta.mean(axis=1, keepdims=True) - theta.mean()
    reader = theta.mean(axis=0, keepdims=True) - theta.mean()
    interaction = theta - theta.mean() - modality - reader
    among_readers = n_readers - 1 or NAN
    same_modality, same_reader = np.eye(n_modalities, dtype=bool), np.eye(n_readers, dtype=bool)
    by_pair = sigma.transpose(0, 2, 1, 3)

    def mean_of(modalities: BoolArray, readers: BoolArray) -> float:
        part = by_pair[modalities][:, readers]
        return float(part.mean()) if part.size else NAN

    return VarianceComponents(
        ms_modality=n_readers * float(np.sum(modality**2)) / (n_modalities - 1),
        ms_reader=n_modalities * float(np.sum(reader**2)) / among_readers,
        ms_interaction=float(np.sum(interaction**2)) / ((n_modalities - 1) * among_readers),
        error=mean_of(same_modality, same_reader),
        cov1=mean_of(~same_modality, same_reader),
        cov2=mean_of(same_modality, ~same_reader),
        cov3=mean_of(~same_modality, ~same_reader),
    )


def _denominator(parts: VarianceComponents, n_modalities: int, n_readers: int, design: Design) -> tuple[float, float]:
    """What MS(T) is tested against, and its degrees of freedom."""
    if design.readers == "random":
        df = (n_modalities - 1) * (n_readers - 1)
        return random_readers(parts.ms_interaction, df, parts.cov2 - parts.cov3, n_readers, design)
    others = (n_readers - 1) * (parts.cov2 - parts.cov3) if n_readers > 1 else 0.0
    return parts.error - parts.cov1 + others, design.limit(math.inf)

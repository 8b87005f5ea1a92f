"""How many patients a study needs, when each of them gives several specimens that are alike."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import special

from glioscope.core import InputError

from ._estimate import Estimate
from ._input import as_groups, as_vector, check_level


@dataclass(frozen=True, slots=True)
class SampleSize:
    """The fewest patients that give the wanted interval.

    `specimens` is the number expected of them, rounded up; `ci_width` the full width that is then expected.
    """

    patients: int
    specimens: int
    design_effect: float
    ci_width: float


def intraclass_correlation(values: npt.ArrayLike, groups: npt.ArrayLike, confidence_level: float = 0.95) -> Estimate:
    """Share of the variance that lies between patients: one-way ANOVA estimator, ICC(1).

    Parameters
    ----------
    values : array-like (n_specimens,), numbers, 0/1 flags among them (say, errors).
    groups : array-like (n_specimens,), the patient of each specimen; their numbers of specimens may differ.
    confidence_level : between 0 and 1.

    Returns
    -------
    Estimate; the value can be negative. The interval is of the F distribution: exact for normal values and equal
    numbers, else approximate. NaN, with a note, where all values are equal.

    Raises
    ------
    InputError : one patient, one specimen of every patient, NaN or infinite values, lengths that differ.

    References
    ----------
    Shrout and Fleiss, Psychol. Bull. 86, 1979; Donner, Int. Stat. Rev. 54, 1986.
    """
    numbers = as_vector(values, "values")
    tail = (1 - check_level(confidence_level)) / 2
    index, n_groups = as_groups(groups, numbers.size)
    if not np.isfinite(numbers).all():
        raise InputError("values has infinite values")
    if n_groups < 2 or n_groups == numbers.size:
        raise InputError(f"{n_groups} patients with {numbers.size} specimens: an ICC needs 2 patients and repeats")
    method = "one-way anova, F"
    if np.ptp(numbers) == 0:
        return Estimate(np.nan, method=method, n_groups=n_groups, note="all values are equal")
    between_df, within_df = n_groups - 1, numbers.size - n_groups
    count = np.bincount(index)
    means = np.bincount(index, numbers) / count
    between = float(np.sum(count * (means - numbers.mean()) ** 2)) / between_df
    within = float(np.sum((numbers - means[index]) ** 2)) / within_df
    typical = (numbers.size - float(np.sum(count**2)) / numbers.size) / between_df
    ratio = between / within if within > 0 else np.inf
    quantiles = (special.fdtri(between_df, within_df, 1 - tail), special.fdtri(between_df, within_df, tail))
    value, low, high = (_icc(ratio / quantile, typical) for quantile in (1.0, *map(float, quantiles)))
    return Estimate(value, low, high, method, n_groups=n_groups)


def design_effect(groups: npt.ArrayLike, icc: float) -> float:
    """By how much the variance of a mean of specimens exceeds that of as many independent ones (Kish 1965).

    1 + (sum of m^2 / sum of m - 1) * icc, where m is the number of specimens of each patient. A negative `icc` counts
    as 0: few patients give one by chance, and no study should be planned to gain from it.

    Parameters
    ----------
    groups : array-like (n_specimens,), the patient of each specimen.
    icc : at most 1.

    Raises
    ------
    InputError : no specimen, an `icc` that is NaN or above 1.
    """
    names = np.asarray(groups, dtype=object).ravel()
    index, _ = as_groups(names, names.size)
    if not names.size:
        raise InputError("groups is empty")
    count = np.bincount(index)
    return 1 + (float(np.sum(count**2)) / names.size - 1) * _check_icc(icc)


def effective_sample_size(groups: npt.ArrayLike, icc: float) -> float:
    """Independent specimens that would tell as much: the number of specimens over their `design_effect`.

    Raises
    ------
    InputError : as `design_effect`.
    """
    return len(np.asarray(groups, dtype=object).ravel()) / design_effect(groups, icc)


def patients_needed(
    proportion: float,
    ci_width: float,
    specimens_per_patient: float,
    icc: float,
    *,
    confidence_level: float = 0.95,
    cv_of_cluster_size: float = 0.0,
) -> SampleSize:
    """Patients for an interval of a proportion, such as sensitivity, that is `ci_width` wide from end to end.

    The interval is the proportion -+ t(K-1) * sqrt(p (1 - p) * design effect / (K m)), with K patients of m specimens.

    Parameters
    ----------
    proportion : expected, between 0 and 1.
    ci_width : full width, between 0 and 1.
    specimens_per_patient : mean number of those specimens that the proportion is of (positives, for sensitivity).
    icc : intraclass correlation of right and wrong; negative counts as 0.
    confidence_level : between 0 and 1.
    cv_of_cluster_size : standard deviation over mean of the number of specimens of a patient. The design effect is
        1 + ((1 + cv^2) m - 1) icc.

    Raises
    ------
    InputError : a number out of the range above.

    References
    ----------
    Kish, Survey Sampling, 1965; Eldridge et al., Int. J. Epidemiol. 35, 2006.
    """
    _check_inside("proportion", proportion)
    effect = _planned_effect(specimens_per_patient, icc, cv_of_cluster_size)

    def variance(specimens: float) -> float:
        return proportion * (1 - proportion) / specimens

    return _fewest_patients(variance, ci_width, specimens_per_patient, effect, confidence_level)


def patients_needed_for_auc(
    auc: float,
    prevalence: float,
    ci_width: float,
    specimens_per_patient: float,
    icc: float,
    *,
    label_icc: float = 1.0,
    confidence_level: float = 0.95,
    cv_of_cluster_size: float = 0.0,
) -> SampleSize:
    """Patients for an interval of the AUC that is `ci_width` wide from end to end.

    `hanley_mcneil_variance` at the effective number of specimens, with t quantiles of K-1 degrees of freedom. What a
    patient adds to all scores of his cancels as far as he has both classes, so the design effect of a comparison of two
    classes holds, 1 + ((1 + cv^2) m - 1) * icc * label_icc (Scott and Holt 1982).

    Parameters
    ----------
    auc : expected, between 0 and 1.
    prevalence : share of positive specimens, between 0 and 1.
    ci_width : full width, between 0 and 1.
    specimens_per_patient : mean number of specimens, positive and negative.
    icc : intraclass correlation of the score within a class; negative counts as 0.
    label_icc : intraclass correlation of the label: 1 (the careful default) where each patient has one class only, 0
        where all have the same mix; negative counts as 0.
    confidence_level, cv_of_cluster_size : as `patients_needed`.

    Raises
    ------
    InputError : a number out of the range above.

    References
    ----------
    Hanley and McNeil, Radiology 143, 1982; Scott and Holt, J. Am. Stat. Assoc. 77, 1982; Obuchowski and McClish, Stat.
    Med. 16, 1997.
    """
    _check_inside("prevalence", prevalence)
    _check_inside("auc", auc)
    effect = _planned_effect(specimens_per_patient, _check_icc(icc) * _check_icc(label_icc), cv_of_cluster_size)

    def variance(specimens: float) -> float:
        return hanley_mcneil_variance(auc, specimens * prevalence, specimens * (1 - prevalence))

    return _fewest_patients(variance, ci_width, specimens_per_patient, effect, confidence_level)


def patients_needed_like_these(
    standard_error: float,
    n_patients: int,
    ci_width: float,
    specimens_per_patient: float,
    *,
    design_effect: float = 1.0,
    confidence_level: float = 0.95,
) -> SampleSize:
    """Patients for an interval that is `ci_width` wide, if more come that are like those at hand.

    The variance by patient falls with their number; no model of scores is needed. The interval is the value
    -+ t(K-1) * `standard_error` * sqrt(`n_patients` / K).

    Parameters
    ----------
    standard_error : by patient, of the metric of `n_patients` patients; above 0.
    n_patients : at least 2.
    ci_width, specimens_per_patient, confidence_level : as `patients_needed`.
    design_effect : only carried into the result.

    Raises
    ------
    InputError : a number out of the range above.
    """
    if not 0 < standard_error < math.inf or n_patients < 2:
        raise InputError(f"a standard error of {standard_error:g} from {n_patients} patients plans nothing")

    def variance(specimens: float) -> float:
        return standard_error**2 * n_patients * specimens_per_patient / specimens

    found = _fewest_patients(variance, ci_width, specimens_per_patient, 1.0, confidence_level)
    return replace(found, design_effect=design_effect)


def hanley_mcneil_variance(auc: float, n_positive: float, n_negative: float) -> float:
    """Variance of an AUC expected of independent specimens, whose scores are taken to be exponential.

    Parameters
    ----------
    auc : between 0 and 1.
    n_positive, n_negative : above 0; need not be whole.

    Raises
    ------
    InputError : a number out of the range above.

    References
    ----------
    Hanley and McNeil, Radiology 143, 1982, equation 1.
    """
    _check_inside("auc", auc)
    if not min(n_positive, n_negative) > 0:
        raise InputError(f"{n_positive:g} positives and {n_negative:g} negatives: both must be above 0")
    two_positives, two_negatives = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (n_positive - 1) * (two_positives - auc**2) + (n_negative - 1) * (two_negatives - auc**2)
    return spread / (n_positive * n_negative)


def _fewest_patients(
    variance: Callable[[float], float], ci_width: float, specimens_per_patient: float, effect: float, level: float
) -> SampleSize:
    """The least K at which the width, which falls with K, is `ci_width` or less; `variance` is of n specimens."""
    _check_inside("ci_width", ci_width)
    upper = (1 + check_level(level)) / 2

    def width(patients: int) -> float:
        error = math.sqrt(variance(patients * specimens_per_patient / effect))
        return 2 * float(special.stdtrit(patients - 1, upper)) * error

    enough = 2
    while width(enough) > ci_width:
        enough *= 2
    short = enough // 2
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (middle, enough) if width(middle) > ci_width else (short, middle)
    specimens = math.ceil(enough * specimens_per_patient - 1e-9)
    return SampleSize(enough, specimens, effect, width(enough))


def _planned_effect(specimens_per_patient: float, icc: float, cv_of_cluster_size: float) -> float:
    if not 0 < specimens_per_patient < math.inf:
        raise InputError(f"specimens_per_patient {specimens_per_patient:g} is not above 0 and finite")
    if not 0 <= cv_of_cluster_size < math.inf:
        raise InputError(f"cv_of_cluster_size {cv_of_cluster_size:g} is not 0 or above and finite")
    # Below one specimen a patient, on the mean, there is still no gain over independent ones.
    return 1 + max((1 + cv_of_cluster_size**2) * specimens_per_patient - 1, 0.0) * _check_icc(icc)


def _icc(ratio: float, typical: float) -> float:
    """From an F ratio, with `typical` specimens a patient."""
    return (ratio - 1) / (ratio + typical - 1) if math.isfinite(ratio) else 1.0


def _check_icc(icc: float) -> float:
    if not icc <= 1:
        raise InputError(f"icc {icc:g} is not a number of at most 1")
    return max(float(icc), 0.0)


def _check_inside(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise InputError(f"{name} {value:g} is not between 0 and 1")

"""Confidence intervals of the AUC: DeLong, its clustered form and the jackknife for patients, and the bootstrap."""

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from glioscope.core import InputError

from ._auc_covariance import auc_covariance
from ._bootstrap import bootstrap
from ._estimate import Estimate
from ._input import BoolArray, FloatArray, IntArray, as_groups, as_pair, check_level
from ._jackknife import METHOD_LOGIT, auc_without_each_group, jackknife_estimate
from ._roc import placements

_CONSTANT = "all scores are equal: no interval"


def auc_ci(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    method: Literal["delong", "jackknife", "bootstrap", "bca"] = "delong",
    groups: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
    n_resamples: int = 1000,
    stratified: bool = True,
    rng: np.random.Generator | int | None = None,
) -> Estimate:
    """The AUC and its confidence interval.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1.
    y_score : array-like (n_specimens,), higher is more positive.
    method : one of

        - "delong": the normal interval cut to [0, 1], as pROC prints it; with groups the clustered form of Obuchowski
          (1997) on the logit scale with t quantiles of K-1 degrees of freedom (K patients).
        - "jackknife": leaves out one patient at a time; logit scale, t quantiles of K-1 degrees of freedom. Needs
          groups. The strict protocol's: with 7 patients of uneven sizes it covers close to its level, where the
          clustered DeLong still falls short (`make bench-coverage`).
        - "bootstrap": percentile; with groups whole patients are drawn, which is too narrow for few of them.
        - "bca": the bootstrap, bias-corrected and accelerated (Efron 1987).
    groups : array-like (n_specimens,) or None; the patient of each specimen.
    confidence_level : between 0 and 1.
    n_resamples : bootstrap only, at least 1.
    stratified : bootstrap without groups: draw positives and negatives apart, so that their numbers stay.
    rng : bootstrap only, and needed there: a generator or a seed.

    Returns
    -------
    Estimate. A perfect AUC (0 or 1) has no variance: DeLong's and the jackknife's interval is the exact binomial one
    of the min(positives, negatives) disjoint pairs, or of that many patients with groups; a bootstrap has no width.
    Equal scores have no interval.

    Raises
    ------
    InputError : one class only, NaN, labels other than 0 and 1, lengths that differ, a bootstrap without `rng`, a
        jackknife without `groups`.

    References
    ----------
    DeLong et al., Biometrics 44, 1988; Sun and Xu, IEEE Signal Process. Lett. 21, 2014; Obuchowski, Biometrics 53,
    1997; Efron, J. Am. Stat. Assoc. 82, 1987.
    """
    labels, scores = as_pair(y_true, y_score)
    level = check_level(confidence_level)
    if method in ("bootstrap", "bca"):
        if rng is None:
            raise InputError("the bootstrap needs rng: a numpy Generator or a seed")
        if scores.min() == scores.max():
            return Estimate(0.5, method=f"bootstrap ({method})", note=_CONSTANT)
        drawn = bootstrap(
            labels, scores, groups=groups, stratified=stratified, n_resamples=n_resamples, bca=method == "bca", rng=rng
        )
        return drawn.interval("auc", level, "bca" if method == "bca" else "percentile")
    if method not in ("delong", "jackknife"):
        raise InputError(f"AUC interval method {method!r} is unknown; give delong, jackknife, bootstrap or bca")
    if method == "jackknife" and groups is None:
        raise InputError("the jackknife leaves out one patient at a time; it needs groups")
    if groups is None:
        return _delong(labels, scores, level)
    index, n_groups = as_groups(groups, labels.size)
    return _by_patient(labels, scores, index, n_groups, level, method)


def _delong(labels: BoolArray, scores: FloatArray, level: float) -> Estimate:
    v10, v01 = placements(labels, scores)
    area = float(v10.mean())
    units = min(v10.size, v01.size)
    if area in (0.0, 1.0):
        return Estimate(area, *_perfect(area, units, level), "delong", 0, 0, "perfect AUC: exact binomial interval")
    if units < 2:
        return Estimate(area, np.nan, np.nan, "delong", 0, 0, "one class has a single specimen")
    if scores.min() == scores.max():
        return Estimate(area, method="delong", note=_CONSTANT)
    error = float(np.sqrt(auc_covariance(v10, v01)[0, 0]))
    half = float(special.ndtri((1 + level) / 2)) * error
    return Estimate(area, max(area - half, 0.0), min(area + half, 1.0), "delong", 0, 0)


def _by_patient(
    labels: BoolArray, scores: FloatArray, index: IntArray, n_groups: int, level: float, method: str
) -> Estimate:
    """Interval by patient, after the cases in which there is none to estimate."""
    name = METHOD_LOGIT if method == "jackknife" else "clustered delong (logit, t)"
    v10, v01 = placements(labels, scores)
    area = float(v10.mean())
    patients = {"positive": np.unique(index[labels]).size, "negative": np.unique(index[~labels]).size}
    fewest = min(patients, key=lambda kind: patients[kind])
    if patients[fewest] < 2:
        note = f"all {fewest} specimens come from one patient: no interval by patient"
        return Estimate(area, method=name, n_groups=n_groups, note=note)
    if area in (0.0, 1.0):
        limits = _perfect(area, patients[fewest], level)
        return Estimate(
            area, *limits, "clopper-pearson of patients", 0, n_groups, f"an AUC of {area:g} has no variance"
        )
    if scores.min() == scores.max():
        return Estimate(area, method=name, n_groups=n_groups, note=_CONSTANT)
    if method == "jackknife":
        without = auc_without_each_group(labels, scores, index, n_groups)
        return jackknife_estimate(area, without, level, scale="logit")
    # The covariance term can make the estimate negative when there are few patients.
    error = float(np.sqrt(max(float(auc_covariance(v10, v01, index[labels], index[~labels])[0, 0]), 0.0)))
    half = float(special.stdtrit(n_groups - 1, (1 + level) / 2)) * error / (area * (1 - area))
    centre = special.logit(area)
    return Estimate(area, float(special.expit(centre - half)), float(special.expit(centre + half)), name, 0, n_groups)


def _perfect(area: float, units: int, level: float) -> tuple[float, float]:
    """Clopper-Pearson of `units` pairs that are all in the right (or all in the wrong) order."""
    bound = float(((1 - level) / 2) ** (1 / units))
    return (bound, 1.0) if area == 1.0 else (0.0, 1.0 - bound)

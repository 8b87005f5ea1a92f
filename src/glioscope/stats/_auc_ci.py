"""Confidence intervals of the AUC: DeLong, its clustered form for patients, and the bootstrap."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from glioscope.core import InputError

from ._input import BoolArray, FloatArray, IntArray, as_groups, as_pair, check_level
from ._roc import placements

_CHUNK_BYTES = 32_000_000


@dataclass(frozen=True, slots=True)
class AucResult:
    """An AUC with its confidence interval.

    `low` and `high` are NaN where the data do not allow an interval; `note` then says why. `n_resamples` is the number
    of bootstrap resamples that had both classes (0 for DeLong), `n_groups` the number of patients (0 without groups).
    """

    auc: float
    low: float
    high: float
    method: str
    n_resamples: int
    n_groups: int
    note: str = ""


def auc_ci(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    method: Literal["delong", "bootstrap"] = "delong",
    groups: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
    n_resamples: int = 1000,
    stratified: bool = True,
    rng: np.random.Generator | int | None = None,
) -> AucResult:
    """The AUC and its confidence interval.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1.
    y_score : array-like (n_specimens,), higher is more positive.
    method : "delong" (normal interval cut to [0, 1], as pROC prints it) or "bootstrap" (percentile).
    groups : array-like (n_specimens,) or None; the patient of each specimen. DeLong then becomes the clustered form of
        Obuchowski (1997) on the logit scale with t quantiles of K-1 degrees of freedom (K patients), which few
        patients need; the bootstrap then draws patients, and is too narrow for few of them.
    confidence_level : between 0 and 1.
    n_resamples : bootstrap only, at least 1.
    stratified : bootstrap without groups: draw positives and negatives apart, so that their numbers stay.
    rng : bootstrap only, and needed there: a generator or a seed.

    Returns
    -------
    AucResult. A perfect AUC (0 or 1) has no DeLong variance: its interval is the exact binomial one of the
    min(positives, negatives) disjoint pairs, or of that many patients with groups.

    Raises
    ------
    InputError : one class only, NaN, labels other than 0 and 1, lengths that differ, a bootstrap without `rng`.

    References
    ----------
    DeLong et al., Biometrics 44, 1988; Sun and Xu, IEEE Signal Process. Lett. 21, 2014; Obuchowski, Biometrics 53,
    1997.
    """
    labels, scores = as_pair(y_true, y_score)
    level = check_level(confidence_level)
    index, n_groups = (None, 0) if groups is None else as_groups(groups, labels.size)
    if method == "bootstrap":
        return _bootstrap(labels, scores, index, n_groups, level, n_resamples, stratified, rng)
    if method != "delong":
        raise InputError(f"AUC interval method {method!r} is unknown; give delong or bootstrap")
    if index is None:
        return _delong(labels, scores, level)
    return _clustered_delong(labels, scores, index, n_groups, level)


def _delong(labels: BoolArray, scores: FloatArray, level: float) -> AucResult:
    v10, v01 = placements(labels, scores)
    area = float(v10.mean())
    units = min(v10.size, v01.size)
    if area in (0.0, 1.0):
        return AucResult(area, *_perfect(area, units, level), "delong", 0, 0, "perfect AUC: exact binomial interval")
    if units < 2:
        return AucResult(area, np.nan, np.nan, "delong", 0, 0, "one class has a single specimen")
    error = np.sqrt(v10.var(ddof=1) / v10.size + v01.var(ddof=1) / v01.size)
    half = float(special.ndtri((1 + level) / 2) * error)
    return AucResult(area, max(area - half, 0.0), min(area + half, 1.0), "delong", 0, 0)


def _clustered_delong(labels: BoolArray, scores: FloatArray, index: IntArray, n_groups: int, level: float) -> AucResult:
    v10, v01 = placements(labels, scores)
    area = float(v10.mean())
    method = "clustered delong (logit, t)"
    with_positive = np.unique(index[labels]).size
    with_negative = np.unique(index[~labels]).size
    if min(with_positive, with_negative) < 2:
        kind = "positive" if with_positive < 2 else "negative"
        note = f"all {kind} specimens come from one patient: no interval by patient"
        return AucResult(area, np.nan, np.nan, method, 0, n_groups, note)
    if area in (0.0, 1.0):
        limits = _perfect(area, min(with_positive, with_negative), level)
        return AucResult(area, *limits, method, 0, n_groups, "perfect AUC: exact binomial interval of the patients")
    excess10 = np.bincount(index[labels], v10 - area, minlength=n_groups)
    excess01 = np.bincount(index[~labels], v01 - area, minlength=n_groups)
    variance = (
        with_positive / (with_positive - 1) * np.sum(excess10**2) / v10.size**2
        + with_negative / (with_negative - 1) * np.sum(excess01**2) / v01.size**2
        + 2 * n_groups / (n_groups - 1) * np.sum(excess10 * excess01) / (v10.size * v01.size)
    )
    # The covariance term can make the estimate negative when there are few patients.
    error = np.sqrt(max(float(variance), 0.0)) / (area * (1 - area))
    half = float(special.stdtrit(n_groups - 1, (1 + level) / 2)) * error
    centre = special.logit(area)
    low, high = float(special.expit(centre - half)), float(special.expit(centre + half))
    return AucResult(area, low, high, method, 0, n_groups)


def _perfect(area: float, units: int, level: float) -> tuple[float, float]:
    """Clopper-Pearson of `units` pairs that are all in the right (or all in the wrong) order."""
    bound = float(((1 - level) / 2) ** (1 / units))
    return (bound, 1.0) if area == 1.0 else (0.0, 1.0 - bound)


def _bootstrap(
    labels: BoolArray,
    scores: FloatArray,
    index: IntArray | None,
    n_groups: int,
    level: float,
    n_resamples: int,
    stratified: bool,
    rng: np.random.Generator | int | None,
) -> AucResult:
    if rng is None:
        raise InputError("the bootstrap needs rng: a numpy Generator or a seed")
    if n_resamples < 1:
        raise InputError(f"n_resamples {n_resamples} is below 1")
    generator = np.random.default_rng(rng)
    kernel = _WeightedAuc(labels, scores)
    step = max(1, _CHUNK_BYTES // (8 * labels.size))
    parts = []
    for start in range(0, n_resamples, step):
        count = min(step, n_resamples - start)
        parts.append(kernel(_draw(labels, index, n_groups, count, stratified, generator)))
    areas = np.concatenate(parts)
    areas = areas[~np.isnan(areas)]
    name = "bootstrap percentile"
    method = f"{name} (patients)" if index is not None else f"{name} (stratified)" if stratified else name
    area = float(placements(labels, scores)[0].mean())
    if not areas.size:
        return AucResult(area, np.nan, np.nan, method, 0, n_groups, "no resample had both classes")
    low, high = np.quantile(areas, [(1 - level) / 2, (1 + level) / 2])
    dropped = n_resamples - areas.size
    note = f"{dropped} resamples with one class only were left out" if dropped else ""
    return AucResult(area, float(low), float(high), method, int(areas.size), n_groups, note)


def _draw(
    labels: BoolArray,
    index: IntArray | None,
    n_groups: int,
    count: int,
    stratified: bool,
    rng: np.random.Generator,
) -> FloatArray:
    """How often each specimen is in each resample: float64 (count, n_specimens)."""
    if index is not None:
        return _multiplicities(n_groups, count, rng)[:, index]
    if not stratified:
        return _multiplicities(labels.size, count, rng)
    weights = np.empty((count, labels.size))
    for rows in (labels, ~labels):
        weights[:, rows] = _multiplicities(int(rows.sum()), count, rng)
    return weights


def _multiplicities(size: int, count: int, rng: np.random.Generator) -> FloatArray:
    """`count` draws of `size` out of `size` with replacement, as counts."""
    drawn = rng.integers(0, size, (count, size)) + np.arange(count)[:, None] * size
    return np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size).astype(np.float64)


class _WeightedAuc:
    """AUC of many resamples at once: scores are sorted once, resamples differ only in their weights."""

    def __init__(self, labels: BoolArray, scores: FloatArray) -> None:
        self.order = np.argsort(scores, kind="stable")
        ordered = scores[self.order]
        self.labels = labels[self.order]
        self.starts = np.append(0, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1)

    def __call__(self, weights: FloatArray) -> FloatArray:
        """AUC (n_resamples,) for weights (n_resamples, n_specimens); NaN where a class has no weight."""
        weights = weights[:, self.order]
        positive = np.add.reduceat(weights * self.labels, self.starts, axis=1)
        negative = np.add.reduceat(weights * ~self.labels, self.starts, axis=1)
        below = np.cumsum(negative, axis=1) - negative / 2
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        right = np.einsum("ij,ij->i", positive, below)
        areas: FloatArray = np.divide(right, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)
        return areas

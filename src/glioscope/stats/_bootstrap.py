"""The bootstrap of every metric of a method, by specimen or by patient, with the threshold fixed or chosen again."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from glioscope.core import InputError

from ._estimate import Comparison, Estimate
from ._input import BoolArray, FloatArray, IntArray, as_groups, as_labels, as_pair, as_vector, check_level
from ._operating_point import rule_cost
from ._rates import call_cells, rate
from ._resampling import ScoreOrder, bootstrap_weights, jackknife_weights

_MAX_JACKKNIFE = 20_000
_Values = Callable[[FloatArray], dict[str, FloatArray]]
"""Weights (n_resamples, n_specimens) -> metric -> values (n_resamples,)."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Metrics of one method on resamples that other methods share, if they were drawn with the same seed.

    Attributes
    ----------
    point : metric -> value of the specimens as they are.
    replicates : metric -> float64 (n_resamples,), NaN where a resample does not have it (one class only, no call).
    deleted : metric -> values without each unit (specimen or patient); empty unless the BCa interval was asked for.
    unit : "specimens", "specimens (stratified)" or "patients".
    seed : of the resamples.
    n_specimens : that they are drawn from.
    n_groups : patients, 0 where specimens were drawn.
    """

    point: dict[str, float]
    replicates: dict[str, FloatArray]
    deleted: dict[str, FloatArray]
    unit: str
    seed: int
    n_specimens: int
    n_groups: int

    def interval(
        self,
        metric: str,
        confidence_level: float = 0.95,
        kind: Literal["percentile", "bca"] = "percentile",
        centre: Literal["estimate", "median"] = "estimate",
    ) -> Estimate:
        """Interval of one metric.

        Parameters
        ----------
        kind : "percentile", or "bca": bias-corrected and accelerated (Efron 1987).
        centre : "estimate", the value of the specimens as they are, or "median" of the replicates, as R's pROC prints.
        """
        level = check_level(confidence_level)
        if kind not in ("percentile", "bca"):
            raise InputError(f"bootstrap interval {kind!r} is unknown; give percentile or bca")
        if metric not in self.replicates:
            raise InputError(f"metric {metric!r} was not resampled; there are {', '.join(self.replicates)}")
        values = self.replicates[metric]
        usable = values[~np.isnan(values)]
        method = f"bootstrap {kind} ({self.unit})"
        if not usable.size:
            return Estimate(self.point[metric], method=method, n_groups=self.n_groups, note="no resample has it")
        tails = np.array([(1 - level) / 2, (1 + level) / 2])
        if kind == "bca":
            if np.isnan(self.deleted.get(metric, np.zeros(1))).any():
                note = "without one of the units it does not exist: no BCa interval"
                return Estimate(self.point[metric], method=method, n_groups=self.n_groups, note=note)
            tails = self._corrected(metric, usable, tails)
        low, high = np.quantile(usable, tails)
        value = self.point[metric] if centre == "estimate" else float(np.median(usable))
        dropped = values.size - usable.size
        note = f"{dropped} resamples without it (one class only) were left out" if dropped else ""
        return Estimate(value, float(low), float(high), method, int(usable.size), self.n_groups, note)

    def _corrected(self, metric: str, usable: FloatArray, tails: FloatArray) -> FloatArray:
        if metric not in self.deleted:
            raise InputError("the BCa interval needs bootstrap(..., bca=True)")
        at_most = np.mean(usable < self.point[metric]) + np.mean(usable == self.point[metric]) / 2
        bias = special.ndtri(np.clip(at_most, 0.5 / usable.size, 1 - 0.5 / usable.size))
        without = self.deleted[metric]
        distance = without.mean() - without
        spread = np.sum(distance**2) ** 1.5
        acceleration = np.sum(distance**3) / (6 * spread) if spread > 0 else 0.0
        shifted = bias + special.ndtri(tails)
        corrected: FloatArray = special.ndtr(bias + shifted / (1 - acceleration * shifted))
        return corrected


def bootstrap(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    metrics: Sequence[str] = ("auc",),
    threshold: float | str | None = None,
    groups: npt.ArrayLike | None = None,
    stratified: bool = True,
    n_resamples: int = 1000,
    bca: bool = False,
    rng: np.random.Generator | int,
) -> Bootstrap:
    """Resample a scored method.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1, both classes.
    y_score : array-like (n_specimens,), higher is more positive.
    metrics : "auc" and names of `RATES` (these need `threshold`).
    threshold : a number: fixed, positive at `score >= threshold`; or a rule of `operating_point`: chosen again in every
        resample, so that the intervals hold what choosing on the same specimens costs.
    groups : array-like (n_specimens,) or None; with it whole patients are drawn.
    stratified : without groups: draw positives and negatives apart, so that their numbers stay (pROC's default).
    bca : also leave out each unit, which `interval(kind="bca")` needs; at most 20,000 units.
    rng : generator or seed. The same seed, labels and groups give the same resamples to every method.

    Raises
    ------
    InputError : one class only, NaN, unknown metric or rule, a rate without a threshold.
    """
    labels, scores = as_pair(y_true, y_score)
    order = ScoreOrder(labels, scores)
    rates = [name for name in metrics if name != "auc"]
    if threshold is None and rates:
        raise InputError(f"{', '.join(rates)}: a threshold, or a rule that chooses it, is needed")
    if isinstance(threshold, float) and np.isnan(threshold):
        raise InputError("threshold is NaN; it must be a number")

    def values(weights: FloatArray) -> dict[str, FloatArray]:
        found = {"auc": order.auc(weights)} if "auc" in metrics else {}
        if rates:
            at = _at(order, weights, threshold if threshold is not None else np.nan)
            found |= {name: rate(name, *at) for name in rates}
        return found

    return _resampled(labels, values, groups, stratified, n_resamples, bca, rng)


def bootstrap_calls(
    y_true: npt.ArrayLike,
    calls: npt.ArrayLike,
    *,
    metrics: Sequence[str],
    groups: npt.ArrayLike | None = None,
    stratified: bool = True,
    n_resamples: int = 1000,
    bca: bool = False,
    rng: np.random.Generator | int,
) -> Bootstrap:
    """Resample decisions: a reader, a panel, or a locked threshold.

    `calls` are 0 or 1, or a panel's share of positive readings, whose table is then the mean of its readers'. One class
    only is allowed. The other parameters are those of `bootstrap`.
    """
    labels, said = as_labels(y_true), as_vector(calls, "calls")
    cells = call_cells(labels, said)

    def values(weights: FloatArray) -> dict[str, FloatArray]:
        table = weights @ cells
        return {name: rate(name, *table.T) for name in metrics}

    return _resampled(labels, values, groups, stratified, n_resamples, bca, rng)


def bootstrap_difference(
    a: Bootstrap, b: Bootstrap, metric: str, confidence_level: float = 0.95, metric_b: str | None = None
) -> Comparison:
    """Percentile interval of `a - b` on the resamples that both were drawn on; the P values are NaN."""
    level = check_level(confidence_level)
    drawn_a, drawn_b = a.replicates[metric], b.replicates[metric_b or metric]
    if (a.seed, a.unit, a.n_specimens, drawn_a.size) != (b.seed, b.unit, b.n_specimens, drawn_b.size):
        raise InputError("only methods on the same resamples compare: give the same specimens, groups, seed and number")
    differences = drawn_a - drawn_b
    usable = differences[~np.isnan(differences)]
    value = a.point[metric] - b.point[metric_b or metric]
    if not usable.size:
        return Comparison(value, note="no resample has it", n_groups=a.n_groups)
    low, high = np.quantile(usable, [(1 - level) / 2, (1 + level) / 2])
    return Comparison(value, float(low), float(high), method=f"bootstrap percentile ({a.unit})", n_groups=a.n_groups)


def _at(order: ScoreOrder, weights: FloatArray, threshold: float | str) -> tuple[FloatArray, ...]:
    """tp, fp, positives and negatives of each resample at the threshold, or at the one that the rule chooses there."""
    tp, fp = order.curves(weights)
    positives, negatives = tp[:, -1], fp[:, -1]
    if isinstance(threshold, str):
        with np.errstate(invalid="ignore", divide="ignore"):
            cost = rule_cost(fp / negatives[:, None], tp / positives[:, None], threshold)
        # Of equal points the last one: it has the higher sensitivity.
        column = cost.shape[1] - 1 - np.argmin(cost[:, ::-1], axis=1)
        rows = np.arange(len(tp))
        # Where a class is missing, or no point is allowed, there is nothing to choose, and so no table.
        known = np.where(np.isfinite(cost[rows, column]), 1.0, np.nan)
        return tp[rows, column] * known, fp[rows, column] * known, positives * known, negatives * known
    last = int(np.searchsorted(-order.thresholds, -threshold, "right")) - 1
    return tp[:, last], fp[:, last], positives, negatives


def _resampled(
    labels: BoolArray,
    values: _Values,
    groups: npt.ArrayLike | None,
    stratified: bool,
    n_resamples: int,
    bca: bool,
    rng: np.random.Generator | int,
) -> Bootstrap:
    if n_resamples < 1:
        raise InputError(f"n_resamples {n_resamples} is below 1")
    seed = int(rng.integers(2**62)) if isinstance(rng, np.random.Generator) else int(rng)
    index, n_groups = (None, 0) if groups is None else as_groups(groups, labels.size)
    weights = bootstrap_weights(labels, index, n_groups, n_resamples, stratified, np.random.default_rng(seed))
    as_they_are = values(np.ones((1, labels.size)))
    unit = "patients" if groups is not None else "specimens (stratified)" if stratified else "specimens"
    return Bootstrap(
        point={name: float(value[0]) for name, value in as_they_are.items()},
        replicates=_collected(values, weights),
        deleted=_deleted(labels, values, index, n_groups) if bca else {},
        unit=unit,
        seed=seed,
        n_specimens=labels.size,
        n_groups=n_groups,
    )


def _deleted(labels: BoolArray, values: _Values, index: IntArray | None, n_groups: int) -> dict[str, FloatArray]:
    units, n_units = (np.arange(labels.size), labels.size) if index is None else (index, n_groups)
    if n_units > _MAX_JACKKNIFE:
        raise InputError(f"BCa leaves out each of {n_units} units, over the limit of {_MAX_JACKKNIFE}; use percentile")
    return _collected(values, jackknife_weights(units, n_units))


def _collected(values: _Values, weights: Iterable[FloatArray]) -> dict[str, FloatArray]:
    parts = [values(chunk) for chunk in weights]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

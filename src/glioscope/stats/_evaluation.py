"""From a predictions table to the `tasks` of `metrics.json`, under either protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from glioscope.core import InputError

from ._estimate import Estimate
from ._input import FloatArray, as_groups
from ._jackknife import auc_without_each_group, jackknife_estimate
from ._methods import Method, model_methods
from ._ordinal import one_against_rest_auc, quadratic_kappa
from ._protocols import Protocol, Strict, default_rule
from ._roc import auc

if TYPE_CHECKING:
    import pandas as pd

METRICS_SCHEMA = 2


@dataclass(frozen=True, slots=True)
class TaskResult:
    """Every model of one task under one protocol.

    `levels` are the names of an ordinal task's levels, empty for two classes. `methods` hold calls at the protocol's
    threshold. `metrics` are by model and name; `unanswered` are those in which specimens without an answer count as
    wrong, for models that left some.
    """

    task: str
    protocol: Protocol
    levels: tuple[str, ...]
    n_specimens: int
    n_patients: int
    methods: dict[str, Method]
    metrics: dict[str, dict[str, Estimate]]
    unanswered: dict[str, dict[str, Estimate]]

    def to_json(self) -> dict[str, Any]:
        """One task of `metrics.json`."""
        entry: dict[str, Any] = {"n_specimens": self.n_specimens, "n_patients": self.n_patients}
        if self.levels:
            entry["levels"] = list(self.levels)
        return {**entry, "models": {name: self._model(name, method) for name, method in self.methods.items()}}

    def _model(self, name: str, method: Method) -> dict[str, Any]:
        entry: dict[str, Any] = {"n_specimens": method.n_specimens, "n_patients": method.n_patients, "auc": None}
        entry |= {metric: estimate.to_json() for metric, estimate in self.metrics[name].items()}
        if self.levels:
            return entry
        for metric in ("ppv", "npv", "f1", "accuracy"):
            if metric in entry:
                entry[metric]["prevalence"] = float(np.mean(method.y_true[method.answered]))
        if method.operating is not None:
            entry["operating_point"] = method.operating.to_json()
        if method.answered.any():
            entry["counts"] = counts(method)
        if name in self.unanswered:
            wrong = {metric: estimate.to_json() for metric, estimate in self.unanswered[name].items()}
            entry["intention_to_diagnose"] = {**unanswered_counts(method), **wrong}
        entry["by_patient"] = auc_by(method, method.patients)
        if np.unique(method.fold).size > 1 or method.fold.max(initial=-1) >= 0:
            entry["by_fold"] = auc_by(method, method.fold)
        return entry


def evaluate_predictions(
    predictions: "pd.DataFrame",
    levels: Mapping[str, Sequence[str]] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Metrics of every task and model on the test rows whose label is known.

    Parameters
    ----------
    predictions : contract 3. Rows of `split` "test" are used (all rows where the column is absent), those of "tune"
        only to choose thresholds where no decision is given and to compare folds.
    levels : ordinal task -> names of its levels from lowest to highest; `y_true` and `level` index them. A task that
        is not named here has two classes.
    protocol : default `Strict()`.

    Returns
    -------
    The `metrics.json` structure for that protocol (docs/study.md). Values that do not exist are None; a task without a
    known label among the test rows has no models.

    Raises
    ------
    InputError : no test row, or a label above a task's highest level.
    """
    chosen = protocol or Strict()
    test = predictions[predictions["split"] == "test"] if "split" in predictions else predictions
    if test.empty:
        raise InputError("the predictions table has no test row")
    tasks = {
        str(name): evaluate_task(predictions, str(name), chosen, levels=(levels or {}).get(str(name), ())).to_json()
        for name in test["task"].drop_duplicates()
    }
    return {"schema_version": METRICS_SCHEMA, "protocols": {chosen.name: {"tasks": tasks}}}


def evaluate_task(
    predictions: "pd.DataFrame",
    task: str,
    protocol: Protocol,
    *,
    levels: Sequence[str] = (),
    rule: str | None = None,
    threshold: float | None = None,
) -> TaskResult:
    """Every model of one task; `rule` (default: `default_rule`) and `threshold` as `model_methods` takes them.

    Raises
    ------
    InputError : a label above the task's highest level.
    """
    methods = model_methods(predictions, task, rule=rule or default_rule(task), threshold=threshold)
    n_levels = len(levels) or 2
    top = max((float(method.y_true.max()) for method in methods.values()), default=0.0)
    if top >= n_levels:
        raise InputError(f"task {task} has the label {top:g}; its {n_levels} levels are 0 to {n_levels - 1}")
    specimens = {s: p for method in methods.values() for s, p in zip(method.specimens, method.patients, strict=True)}
    if levels:
        metrics = {name: _ordinal(method, len(levels) - 1) for name, method in methods.items()}
        return TaskResult(
            task, protocol, tuple(levels), len(specimens), len(set(specimens.values())), methods, metrics, {}
        )
    methods = {name: protocol.operate(method, task) for name, method in methods.items()}
    return TaskResult(
        task,
        protocol,
        (),
        len(specimens),
        len(set(specimens.values())),
        methods,
        {name: protocol.metrics(method) for name, method in methods.items()},
        {
            name: _only_rates(protocol.metrics(all_called(method)))
            for name, method in methods.items()
            if method.answered.any() and not method.answered.all()
        },
    )


def all_called(method: Method) -> Method:
    """The method with a wrong call where it gave no answer: intention to diagnose."""
    return replace(method, calls=np.where(method.answered, method.calls, 1 - (method.y_true > 0.5)))


def counts(method: Method) -> dict[str, int]:
    """The two-by-two table of the answered specimens."""
    true, called = method.y_true[method.answered] > 0.5, method.calls[method.answered] > 0.5
    tp, fp = int((called & true).sum()), int((called & ~true).sum())
    return {"tp": tp, "fp": fp, "tn": int((~true).sum()) - fp, "fn": int(true.sum()) - tp}


def unanswered_counts(method: Method) -> dict[str, int]:
    """Specimens without an answer, by reason."""
    silent = method.answers[~method.answered]
    return {f"n_{reason}": int((silent == reason).sum()) for reason in ("indeterminate", "not_assessable")}


def auc_by(method: Method, parts: "np.ndarray[Any, np.dtype[Any]]") -> dict[str, float]:
    """AUC within each patient or fold that has both classes."""
    index, n_parts = as_groups(parts, parts.size)
    rows_of = np.split(np.argsort(index, kind="stable"), np.cumsum(np.bincount(index, minlength=n_parts))[:-1])
    found = {}
    for rows in rows_of:
        true = method.y_true[rows]
        if 0 < (true > 0.5).sum() < rows.size and true.max() <= 1:
            found[str(parts[rows[0]])] = auc(true, method.y_score[rows])
    return found


def _only_rates(metrics: dict[str, Estimate]) -> dict[str, Estimate]:
    return {name: estimate for name, estimate in metrics.items() if name != "auc"}


def _ordinal(method: Method, top: int) -> dict[str, Estimate]:
    """Mean AUC over the cumulative cuts, and quadratic kappa of the level answered; intervals by patient."""
    found = {}
    index, n_groups = as_groups(method.patients, method.patients.size)
    cuts = [method.y_true > k for k in range(top) if 0 < (method.y_true > k).sum() < method.y_true.size]
    if cuts:
        areas = [auc(cut, method.y_score) for cut in cuts]
        without = np.mean([auc_without_each_group(cut, method.y_score, index, n_groups) for cut in cuts], axis=0)
        area = jackknife_estimate(float(np.mean(areas)), without, scale="logit")
        found["auc"] = replace(area, method=f"mean over the cumulative cuts, {area.method}{method.scale}")
    if method.level_probability.shape[1] == top + 1:
        for k, area in enumerate(one_against_rest_auc(method.y_true, method.level_probability)):
            if not np.isnan(area):
                of_level = auc_without_each_group(method.y_true == k, method.level_probability[:, k], index, n_groups)
                found[f"auc_level_{k}_against_rest"] = jackknife_estimate(float(area), of_level, scale="logit")
    if method.level.size and not np.isnan(method.level).any():
        kappa = quadratic_kappa(method.y_true, method.level)
        found["quadratic_kappa"] = jackknife_estimate(kappa, _kappas(method, index, n_groups))
    return found


def _kappas(method: Method, index: "np.ndarray[Any, np.dtype[np.int64]]", n_groups: int) -> FloatArray:
    if n_groups < 2:
        return np.full(n_groups, np.nan)
    return np.array(
        [quadratic_kappa(method.y_true[index != k], method.level[index != k]) for k in range(n_groups)], np.float64
    )

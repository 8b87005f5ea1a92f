"""From a predictions table to `metrics.json` (strict protocol): test rows, locked thresholds, intervals by patient."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from glioscope.core import InputError

from ._auc_ci import auc_ci
from ._cluster import clustered_proportion
from ._confusion import Confusion
from ._input import FloatArray
from ._ordinal import quadratic_kappa
from ._roc import auc

if TYPE_CHECKING:
    import pandas as pd

METRICS_SCHEMA = 1


def evaluate_predictions(
    predictions: "pd.DataFrame", levels: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Any]:
    """Metrics of every task and model on the test rows whose label is known.

    Parameters
    ----------
    predictions : contract 3. Rows of `split` "test" are used (all rows where the column is absent). `decision`
        "positive" / "negative" is the locked threshold's; `level` is the level that an ordinal task answers.
    levels : ordinal task -> names of its levels from lowest to highest; `y_true` and `level` index them. A task that
        is not named here has two classes.

    Returns
    -------
    The `metrics.json` structure, `protocols.strict` only: AUC with clustered DeLong interval by patient; sensitivity
    and the like at the locked threshold with Korn-Graubard intervals by patient; AUC by patient and by fold. Values
    that do not exist are None; a task without a known label among the test rows has no models.

    Several folds are several models, whose scores are on different scales. Their AUC is of all test rows, each score
    replaced by its rank among the tuning specimens of its own fold, which no test specimen has a part in (`ci_method`
    says so); where a fold has no tuning row, the scores are taken as they are.

    Raises
    ------
    InputError : no test row, or a label above a task's highest level.
    """
    test = predictions[predictions["split"] == "test"] if "split" in predictions else predictions
    if test.empty:
        raise InputError("the predictions table has no test row")
    tasks: dict[str, Any] = {}
    for name, of_task in test.groupby("task", sort=False):
        names = (levels or {}).get(str(name))
        known = of_task[of_task["y_true"].notna()]
        _check_labels(str(name), known, 2 if names is None else len(names))
        tasks[str(name)] = _counts(known) | ({} if names is None else {"levels": list(names)})
        models = {}
        for model, rows in known.groupby("model", sort=False):
            score, scale = _on_one_scale(rows, predictions)
            rows = rows.assign(y_score=score)
            entry = _binary(rows, scale) if names is None else _ordinal(rows, len(names) - 1, scale)
            models[str(model)] = _counts(rows) | entry
        tasks[str(name)]["models"] = models
    return {"schema_version": METRICS_SCHEMA, "protocols": {"strict": {"tasks": tasks}}}


def _check_labels(task: str, known: "pd.DataFrame", n_levels: int) -> None:
    top = known["y_true"].max() if len(known) else 0
    if top >= n_levels:
        raise InputError(f"task {task} has the label {top:g}; its {n_levels} levels are 0 to {n_levels - 1}")


def _counts(rows: "pd.DataFrame") -> dict[str, Any]:
    return {"n_specimens": int(rows["specimen_id"].nunique()), "n_patients": int(rows["patient_id"].nunique())}


def _on_one_scale(rows: "pd.DataFrame", predictions: "pd.DataFrame") -> tuple[FloatArray, str]:
    """Scores of one model's test rows that may be compared across its folds, and what was done to them."""
    scores = rows["y_score"].to_numpy(float)
    if "fold" not in rows or rows["fold"].nunique() < 2:
        return scores, ""
    same = (predictions["task"] == rows["task"].iloc[0]) & (predictions["model"] == rows["model"].iloc[0])
    tuning = predictions[same & (predictions["split"] == "tune")]
    reference = {fold: np.sort(part["y_score"].to_numpy(float)) for fold, part in tuning.groupby("fold")}
    folds = rows["fold"].to_numpy(object)
    if not set(folds) <= set(reference):
        return scores, "; scores of several folds as they are"
    ranks = [
        (np.searchsorted(reference[fold], score, "left") + np.searchsorted(reference[fold], score, "right"))
        / (2 * reference[fold].size)
        for fold, score in zip(folds, scores, strict=True)
    ]
    return np.array(ranks), "; scores as ranks among the tuning specimens of their fold"


def _binary(rows: "pd.DataFrame", scale: str) -> dict[str, Any]:
    y_true = rows["y_true"].to_numpy(float)
    entry: dict[str, Any] = {"auc": None}
    if _both(y_true):
        result = auc_ci(y_true, rows["y_score"].to_numpy(float), groups=rows["patient_id"].to_numpy(str))
        entry["auc"] = _value(result.value, result.low, result.high, result.method + scale)
        if result.note:
            entry["auc"]["note"] = result.note
    entry.update(_at_threshold(y_true > 0.5, rows))
    entry["by_patient"] = _auc_by(rows, "patient_id")
    if "fold" in rows:
        entry["by_fold"] = _auc_by(rows, "fold")
    return entry


def _at_threshold(true: "np.ndarray[Any, np.dtype[np.bool_]]", rows: "pd.DataFrame") -> dict[str, Any]:
    if "decision" not in rows or not rows["decision"].isin(["positive", "negative"]).all():
        return {}
    called = (rows["decision"] == "positive").to_numpy(bool)
    patients = rows["patient_id"].to_numpy(str)
    among = {
        "sensitivity": true,
        "specificity": ~true,
        "ppv": called,
        "npv": ~called,
        "accuracy": np.ones(len(rows), bool),
    }
    entry: dict[str, Any] = {}
    for name, part in among.items():
        if part.any():
            right = (called == true)[part]
            interval = clustered_proportion(right, patients[part])
            entry[name] = _value(float(right.mean()), interval.low, interval.high, "korn-graubard by patient")
    tp, fp = int((called & true).sum()), int((called & ~true).sum())
    table = Confusion(tp=tp, fp=fp, tn=int((~true).sum()) - fp, fn=int(true.sum()) - tp)
    entry["f1"] = _value(table.f1, math.nan, math.nan, "none") | {"prevalence": table.prevalence}
    entry["counts"] = {"tp": table.tp, "fp": table.fp, "tn": table.tn, "fn": table.fn}
    return entry


def _ordinal(rows: "pd.DataFrame", top: int, scale: str) -> dict[str, Any]:
    y_true, y_score = rows["y_true"].to_numpy(float), rows["y_score"].to_numpy(float)
    areas = [auc((y_true > k).astype(float), y_score) for k in range(top) if _both((y_true > k).astype(float))]
    method = "mean over the cumulative cuts, no interval" + scale
    kappa = math.nan
    if "level" in rows and rows["level"].notna().all():
        kappa = quadratic_kappa(y_true, rows["level"].to_numpy(float))
    return {
        "auc": _value(float(np.mean(areas)), math.nan, math.nan, method) if areas else None,
        "quadratic_kappa": _value(kappa, math.nan, math.nan, "none"),
    }


def _auc_by(rows: "pd.DataFrame", column: str) -> dict[str, float]:
    """AUC within each patient or fold that has both classes."""
    parts = {str(key): part for key, part in rows.groupby(column)}
    return {
        key: auc(part["y_true"].to_numpy(float), part["y_score"].to_numpy(float))
        for key, part in parts.items()
        if _both(part["y_true"].to_numpy(float))
    }


def _both(y_true: FloatArray) -> bool:
    return bool(y_true.min() < y_true.max())


def _value(value: float, low: float, high: float, method: str) -> dict[str, Any]:
    shown = [None if not math.isfinite(v) else float(v) for v in (value, low, high)]
    return {"value": shown[0], "low": shown[1], "high": shown[2], "ci_method": method}

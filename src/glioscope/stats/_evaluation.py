"""From a predictions table to `metrics.json` (strict protocol): test rows, locked thresholds, intervals by patient."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from glioscope.core import InputError

from ._auc_ci import auc_ci
from ._confusion import Confusion, clopper_pearson
from ._ordinal import quadratic_kappa
from ._roc import auc

if TYPE_CHECKING:
    import pandas as pd

METRICS_SCHEMA = 1


def evaluate_predictions(predictions: "pd.DataFrame") -> dict[str, Any]:
    """Metrics of every task and model on the test rows whose label is known.

    Parameters
    ----------
    predictions : contract 3. Rows of `split` "test" are used (all rows where the column is absent). `decision`
        "positive" / "negative" is the locked threshold's.

    Returns
    -------
    The `metrics.json` structure, `protocols.strict` only: AUC with clustered DeLong interval by patient; sensitivity
    and the like at the locked threshold with Clopper-Pearson intervals over specimens (not clustered: they are too
    narrow, and `ci_method` says so); AUC by patient and by fold. Values that do not exist are None.

    Raises
    ------
    InputError : no test row.
    """
    test = predictions[predictions["split"] == "test"] if "split" in predictions else predictions
    if test.empty:
        raise InputError("the predictions table has no test row")
    tasks: dict[str, Any] = {}
    for name, of_task in test.groupby("task", sort=False):
        known = of_task[of_task["y_true"].notna()]
        # Ordinal scores are in units of the highest level, which the test rows alone need not reach.
        top = int(predictions.loc[predictions["task"] == name, "y_true"].max())
        tasks[str(name)] = {
            "n_specimens": int(known["specimen_id"].nunique()),
            "n_patients": int(known["patient_id"].nunique()),
            "models": {str(model): _model(rows, top) for model, rows in known.groupby("model", sort=False)},
        }
    return {"schema_version": METRICS_SCHEMA, "protocols": {"strict": {"tasks": tasks}}}


def _model(rows: "pd.DataFrame", top: int) -> dict[str, Any]:
    y_true = rows["y_true"].to_numpy(float)
    y_score = rows["y_score"].to_numpy(float)
    if top > 1:
        return _ordinal(y_true, y_score, top)
    entry: dict[str, Any] = {"auc": None}
    if _both(y_true):
        result = auc_ci(y_true, y_score, groups=rows["patient_id"].to_numpy(str))
        entry["auc"] = _value(result.auc, result.low, result.high, result.method)
        if result.note:
            entry["auc"]["note"] = result.note
    entry.update(_at_threshold(y_true, rows))
    entry["by_patient"] = _auc_by(rows, "patient_id")
    if "fold" in rows:
        entry["by_fold"] = _auc_by(rows, "fold")
    return entry


def _at_threshold(y_true: "np.ndarray[Any, np.dtype[np.float64]]", rows: "pd.DataFrame") -> dict[str, Any]:
    if "decision" not in rows or not rows["decision"].isin(["positive", "negative"]).all():
        return {}
    called = (rows["decision"] == "positive").to_numpy()
    true = y_true > 0.5
    table = Confusion(
        tp=int((called & true).sum()),
        fp=int((called & ~true).sum()),
        tn=int((~called & ~true).sum()),
        fn=int((~called & true).sum()),
    )
    counted = {
        "sensitivity": (table.tp, table.tp + table.fn),
        "specificity": (table.tn, table.tn + table.fp),
        "ppv": (table.tp, table.tp + table.fp),
        "npv": (table.tn, table.tn + table.fn),
        "accuracy": (table.tp + table.tn, table.n),
    }
    method = "clopper-pearson over specimens, not clustered"
    entry: dict[str, Any] = {}
    for name, (k, n) in counted.items():
        if n:
            interval = clopper_pearson(k, n)
            entry[name] = _value(k / n, interval.low, interval.high, method)
    entry["f1"] = _value(table.f1, math.nan, math.nan, "none")
    entry["counts"] = {"tp": table.tp, "fp": table.fp, "tn": table.tn, "fn": table.fn}
    return entry


def _ordinal(
    y_true: "np.ndarray[Any, np.dtype[np.float64]]", y_score: "np.ndarray[Any, np.dtype[np.float64]]", top: int
) -> dict[str, Any]:
    areas = [auc((y_true > k).astype(float), y_score) for k in range(top) if _both((y_true > k).astype(float))]
    mean = float(np.mean(areas)) if areas else None
    return {
        "auc": None if mean is None else _value(mean, math.nan, math.nan, "mean over the cumulative cuts, no interval"),
        "quadratic_kappa": _value(
            quadratic_kappa(y_true.astype(int), np.rint(y_score * top).astype(int)), math.nan, math.nan, "none"
        ),
    }


def _auc_by(rows: "pd.DataFrame", column: str) -> dict[str, float]:
    """AUC within each patient or fold that has both classes."""
    parts = {str(key): part for key, part in rows.groupby(column)}
    return {
        key: auc(part["y_true"].to_numpy(float), part["y_score"].to_numpy(float))
        for key, part in parts.items()
        if _both(part["y_true"].to_numpy(float))
    }


def _both(y_true: "np.ndarray[Any, np.dtype[np.float64]]") -> bool:
    return bool(y_true.min() < y_true.max())


def _value(value: float, low: float, high: float, method: str) -> dict[str, Any]:
    shown = [None if not math.isfinite(v) else float(v) for v in (value, low, high)]
    return {"value": shown[0], "low": shown[1], "high": shown[2], "ci_method": method}

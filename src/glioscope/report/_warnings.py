"""Where the data cannot carry a claim: sentences that the report prints before any figure."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from ._analysis import TaskAnalysis

FEW_PATIENTS = 10
FEW_CASES = 20


def input_warnings(predictions: "pd.DataFrame") -> list[str]:
    """What is odd about the table, yet leaves an honest analysis: labels that miss, models on other specimens."""
    test = predictions[predictions["split"] == "test"]
    found = []
    for task, rows in test.groupby("task", sort=False):
        specimens = rows.drop_duplicates("specimen_id")
        unknown = int(specimens["y_true"].isna().sum())
        if unknown == len(specimens):
            found.append(f"{task}: no test specimen has a known label; the task is left out")
            continue
        if unknown:
            found.append(f"{task}: {unknown} of {len(specimens)} test specimens have no label and are left out of it")
        known = rows[rows["y_true"].notna()]
        sets = {str(model): frozenset(of["specimen_id"]) for model, of in known.groupby("model", sort=False)}
        if len(set(sets.values())) > 1:
            sizes = ", ".join(f"{model} {len(names)}" for model, names in sets.items())
            found.append(
                f"{task}: models were scored on different specimens ({sizes}); each is judged on its own, and compared "
                "with another on those that both have"
            )
        for model, of in known.groupby("model", sort=False):
            if of["y_score"].min() == of["y_score"].max():
                found.append(f"{task}: all {len(of)} scores of {model} are {of['y_score'].iloc[0]:g}; it tells nothing")
    return found


def claim_warnings(protocol: str, tasks: Mapping[str, "TaskAnalysis"]) -> list[str]:
    """What few patients, few cases and the protocol itself do to the claims of a report."""
    found = []
    for name, analysis in tasks.items():
        result = analysis.result
        if result.n_patients < FEW_PATIENTS:
            found.append(
                f"{name}: {result.n_patients} test patient{'s' if result.n_patients > 1 else ''}, fewer than "
                f"{FEW_PATIENTS}" + (": no interval by patient exists" if result.n_patients < 2 else "")
            )
        found += _class_warnings(name, analysis)
        if protocol == "paper" and any(
            m.operating and m.operating.chosen_on == "test" for m in result.methods.values()
        ):
            found.append(
                f"{name}, paper protocol: thresholds were chosen on test data, which flatters what is said at them"
            )
        if any("as they are" in method.scale for method in result.methods.values()):
            found.append(
                f"{name}: scores of several folds are pooled as they are, though each fold's model has its own scale"
            )
        if protocol == "strict" and not result.levels:
            silent = [model for model, method in result.methods.items() if not method.answered.any()]
            if silent:
                found.append(
                    f"{name}: no threshold is known for {', '.join(silent)}: neither tuning rows with both classes nor "
                    "decisions (give --threshold); AUC only"
                )
        found += _unanswered(name, analysis)
        found += _floor_warnings(name, protocol, analysis)
    if protocol == "paper" and any(analysis.comparisons for analysis in tasks.values()):
        found.append(
            "paper protocol: specimens of a patient are taken as independent, so intervals and P values are too "
            "small; its one-sided P values stand beside the two-sided ones and are not to be quoted alone"
        )
    return found


def _class_warnings(name: str, analysis: "TaskAnalysis") -> list[str]:
    truth = {
        s: y
        for method in analysis.result.methods.values()
        for s, y in zip(method.specimens, method.y_true, strict=True)
    }
    levels = analysis.result.levels or analysis.names
    counts = [sum(y == k for y in truth.values()) for k in range(len(levels))]
    few = [f"{n} {level}" for level, n in zip(levels, counts, strict=True) if n < FEW_CASES]
    found = []
    if sum(n > 0 for n in counts) < 2:
        only = next(level for level, n in zip(levels, counts, strict=True) if n)
        found.append(f"{name}: all {len(truth)} test specimens are {only}; there is no AUC")
    if few:
        found.append(f"{name}: {', '.join(few)} test specimens, fewer than {FEW_CASES}")
    return found


def _unanswered(name: str, analysis: "TaskAnalysis") -> list[str]:
    method = analysis.result.methods[analysis.primary]
    left = int((~method.answered).sum()) if method.answered.any() else 0
    if not left:
        return []
    return [
        f"{name}: {analysis.primary} gave no answer to {left} of {method.y_true.size} test specimens; rates are of the "
        "answered ones, and once more with the others counted as wrong (intention to diagnose)"
    ]


def _floor_warnings(name: str, protocol: str, analysis: "TaskAnalysis") -> list[str]:
    """Tests by patient whose P is as small as it could be: a floor, no measure of evidence."""
    at_floor = [
        test
        for test in analysis.comparisons
        if protocol == "strict"
        and not np.isnan(test.comparison.p_two_sided)
        and 1 > test.comparison.p_smallest_attainable >= test.comparison.p_two_sided - 1e-12
        and "exact" in test.comparison.method
    ]
    if not at_floor:
        return []
    smallest = max(test.comparison.p_smallest_attainable for test in at_floor)
    return [
        f"{name}: {len(at_floor)} P value{'s' if len(at_floor) > 1 else ''} by patient could not have been smaller "
        f"(floor up to {smallest:.3g} with {analysis.result.n_patients} patients)"
    ]

"""Where the data cannot carry a claim: sentences that the report prints before any figure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from glioscope.cohort import Family

    from ._analysis import TaskAnalysis
    from ._comparisons import Compared

FEW_PATIENTS = 10
FEW_CASES = 20
Warnings = Iterator[tuple[str, str]]
"""Task ("" for all) and what is wrong with it."""


def sentences(found: Iterable[tuple[str, str]]) -> list[str]:
    """Warnings as sentences; tasks with the same one share it."""
    tasks: dict[str, list[str]] = {}
    for task, text in found:
        tasks.setdefault(text, []).append(task)
    return [f"{', '.join(dict.fromkeys(of))}: {text}" if any(of) else text for text, of in tasks.items()]


def input_warnings(predictions: "pd.DataFrame") -> Warnings:
    """What is odd about the table, yet leaves an honest analysis: labels that miss, models on other specimens."""
    test = predictions[predictions["split"] == "test"]
    for name, rows in test.groupby("task", sort=False):
        task = str(name)
        specimens = rows.drop_duplicates("specimen_id")
        unknown = int(specimens["y_true"].isna().sum())
        if unknown == len(specimens):
            yield task, "no test specimen has a known label; the task is left out"
            continue
        if unknown:
            yield task, f"{unknown} of {len(specimens)} test specimens have no label and are left out"
        known = rows[rows["y_true"].notna()]
        sets = {str(model): frozenset(of["specimen_id"]) for model, of in known.groupby("model", sort=False)}
        if len(set(sets.values())) > 1:
            sizes = ", ".join(f"{model} {len(names)}" for model, names in sets.items())
            yield (
                task,
                f"models were scored on different specimens ({sizes}); each is judged on its own, and compared with "
                "another on those that both have",
            )
        if known.duplicated(["model", "specimen_id"]).any():
            yield (
                task,
                "specimens were tested in several folds; each fold's answer counts as one more, and readers, who "
                "answered once, are not compared with models",
            )
        yield from ((task, text) for text in _uneven(rows))
        for model, of in known.groupby("model", sort=False):
            if len(of) > 1 and of["y_score"].min() == of["y_score"].max():
                yield task, f"all {len(of)} scores of {model} are {of['y_score'].iloc[0]:g}; it tells nothing"


def _uneven(rows: "pd.DataFrame") -> Iterator[str]:
    """Decisions that miss here and there, and models of several folds beside models of one."""
    repeated = {
        str(model): bool(of["specimen_id"].duplicated().any()) for model, of in rows.groupby("model", sort=False)
    }
    if len(set(repeated.values())) > 1:
        folds = ", ".join(model for model, several in repeated.items() if several)
        yield f"{folds} tested specimens in several folds and other models did not: they are not compared"
    for model, of in rows.groupby("model", sort=False):
        blank = int((of["decision"] == "").sum()) if "decision" in of else len(of)
        if 0 < blank < len(of):
            yield f"{blank} of {len(of)} test specimens of {model} have no decision, so its decisions are not used"


def claim_warnings(protocol: str, tasks: Mapping[str, "TaskAnalysis"]) -> Warnings:
    """What few patients, few cases and the protocol itself do to the claims of a report."""
    for task, analysis in tasks.items():
        for text in (*_sizes(analysis), *_thresholds(protocol, analysis), *_floors(protocol, analysis)):
            yield task, text
    yield from _hopeless(protocol, [test for analysis in tasks.values() for test in analysis.comparisons])
    if protocol == "paper" and any(analysis.comparisons for analysis in tasks.values()):
        yield (
            "",
            "paper protocol: specimens of a patient are taken as independent, so intervals and P values are too small; "
            "its one-sided P values stand beside the two-sided ones and are not to be quoted alone",
        )


def _sizes(analysis: "TaskAnalysis") -> Iterator[str]:
    """Few patients, few cases, one class."""
    result = analysis.result
    if result.n_patients < 2:
        yield "one test patient: no interval by patient exists, and nothing can be said of other patients"
    elif result.n_patients < FEW_PATIENTS:
        yield f"{result.n_patients} test patients, fewer than {FEW_PATIENTS}"
    truth = {s: y for m in result.methods.values() for s, y in zip(m.specimens, m.y_true, strict=True)}
    levels = result.levels or analysis.names
    counts = {level: sum(y == k for y in truth.values()) for k, level in enumerate(levels)}
    present = [level for level, n in counts.items() if n]
    if len(present) < 2:
        yield f"all {len(truth)} test specimens are {present[0]}; there is no AUC"
    few = [f"{n} {level}" for level, n in counts.items() if n < FEW_CASES]
    if few and len(present) > 1:
        yield f"{', '.join(few)} test specimens, fewer than {FEW_CASES}"


def _thresholds(protocol: str, analysis: "TaskAnalysis") -> Iterator[str]:
    """Where thresholds and answers come from, and where there are none."""
    result = analysis.result
    if result.levels:
        return
    methods = result.methods
    if any("as they are" in method.scale for method in methods.values()):
        yield "scores of several folds are pooled as they are, though each fold's model has a scale of its own"
    if any(m.operating is not None and m.operating.chosen_on == "test" for m in methods.values()):
        yield f"{protocol} protocol: thresholds were chosen on test data, which flatters what is said at them"
    silent = [model for model, method in methods.items() if not method.answered.any()]
    if silent and protocol == "strict":
        yield (
            f"no threshold is known for {', '.join(silent)}: no decisions, no tuning rows of both classes, no "
            "--threshold; AUC only"
        )
    primary = methods[analysis.primary]
    left = int((~primary.answered).sum())
    if left and primary.answered.any():
        yield (
            f"{analysis.primary} gave no answer to {left} of {primary.y_true.size} test specimens; rates are of the "
            "answered ones, and once more with the others counted as wrong (intention to diagnose)"
        )


def _floors(protocol: str, analysis: "TaskAnalysis") -> Iterator[str]:
    """P values by exact permutation that are as small as they could be."""
    at_floor = [
        test
        for test in analysis.comparisons
        if "exact" in test.comparison.method
        and 1 > test.comparison.p_smallest_attainable >= test.comparison.p_two_sided - 1e-12
    ]
    if at_floor:
        n = analysis.result.n_patients
        few = f"{n} patients" if protocol == "strict" else "so few specimens on which two methods differ"
        yield (
            f"{protocol} protocol: {len(at_floor)} of {len(analysis.comparisons)} P values could not have been smaller "
            f"with {few}, only with more"
        )


def _hopeless(protocol: str, tests: Sequence["Compared"]) -> Warnings:
    """Families, perhaps of several tasks, in which nothing could be significant."""
    for family in dict.fromkeys(test.family for test in tests):
        own = [test for test in tests if test.family == family and not np.isnan(test.comparison.p_two_sided)]
        least = min((test.comparison.p_smallest_attainable for test in own), default=0.0) * len(own)
        if least > 0.05:
            for task in dict.fromkeys(test.task for test in own):
                yield (
                    task,
                    f"{protocol} protocol: none of the {len(own)} tests of the family {family!r} could be significant "
                    f"after Holm's adjustment (least possible P {min(least, 1.0):.2g})",
                )


def planned_warnings(protocol: str, families: Iterable["Family"], tasks: Mapping[str, "TaskAnalysis"]) -> Warnings:
    """Tests that `study.toml` plans and the data do not allow: their family is smaller than it was meant to be."""
    made = {
        (test.task, test.a, test.b, test.metric)
        for analysis in tasks.values()
        for test in analysis.comparisons
        if not np.isnan(test.comparison.p_two_sided)
    }
    for family in families:
        for test in family.tests:
            if (test.task, test.a, test.b, test.metric) not in made:
                yield (
                    test.task,
                    f"{protocol} protocol: the planned test of {test.a} against {test.b} in {test.metric} (family "
                    f"{family.name!r}) could not be made, so the others are not adjusted for it",
                )

"""Every table of a study, from an `Analysis`: performance and differences, operating points, cascade, calibration."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from glioscope.stats import Estimate, Method, auc_by, counts, sign_flip_pvalue, unanswered_counts

from ._analysis import Analysis, TaskAnalysis
from ._cascade import ANSWERS, Cascade
from ._comparisons import Compared
from ._document import Cell, PValue, Table
from ._published import SOURCE, TABLE_S1

METRIC_TITLES: Final = {
    "auc": "AUC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "f1": "F1",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "mcc": "MCC",
}
TASK_TITLES: Final = {
    "tumor": "Tumour",
    "grade": "Grade",
    "ki67": "Ki-67",
    "idh": "IDH",
    "codel": "1p/19q",
    "grade4": "WHO grade",
}
TABLE_1: Final = ("auc", "specificity", "sensitivity", "ppv", "npv", "f1", "accuracy")
TABLE_2: Final = ("auc", "accuracy", "sensitivity", "specificity", "f1")
PAPER_TABLES: Final = {"table-1-tumor": ("tumor",), "table-2-grade-ki67": ("grade", "ki67")}
FOLDABLE: Final = ("Task", "A", "Specimens", "Patients", "Family")
"""Columns that print leaves out where they say the same in every row."""
MOST_FLIPS: Final = 20
"""Patients whose signs can be flipped in all ways."""
PREVALENCE: Final = "PPV, NPV, F1 and accuracy hold at the share of positives among these specimens only: {shares}."


def task_title(task: str) -> str:
    """How a task is called in print."""
    return TASK_TITLES.get(task, task)


def task_groups(tasks: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Tasks by the table that they stand in: the paper's Tables 1 and 2, and one for all others."""
    names = tuple(tasks)
    groups = {table: tuple(t for t in of if t in names) for table, of in PAPER_TABLES.items()}
    groups["table-3-other"] = tuple(t for t in names if not any(t in of for of in PAPER_TABLES.values()))
    return {table: of for table, of in groups.items() if of}


def performance_tables(protocol: str, table: str, tasks: Mapping[str, TaskAnalysis]) -> list[Table]:
    """Performance of the tasks of one table."""
    made = []
    binary = {name: of for name, of in tasks.items() if not of.result.levels}
    if binary:
        metrics = TABLE_1 if table == "table-1-tumor" else TABLE_2
        made.append(_performance(f"{table}-{protocol}", protocol, binary, metrics))
    ordinal = {name: of for name, of in tasks.items() if of.result.levels}
    if ordinal:
        made.append(_ordinal(f"{table}-ordinal-{protocol}", protocol, ordinal))
    return made


def difference_tables(protocol: str, table: str, tasks: Mapping[str, TaskAnalysis]) -> list[Table]:
    """The tests of the tasks of one table: models and mean readers, and each reader."""
    binary = {name: of for name, of in tasks.items() if not of.result.levels}
    return _differences(f"{table}-differences-{protocol}", protocol, binary) if binary else []


def _performance(name: str, protocol: str, tasks: Mapping[str, TaskAnalysis], metrics: Sequence[str]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    shares = []
    for task, analysis in tasks.items():
        for method, values in _methods(analysis):
            cells = [values.get(metric) for metric in metrics]
            rows.append((task_title(task), method.name, method.n_specimens, method.n_patients, *cells))
        truth = next(iter(analysis.result.methods.values())).y_true
        shares.append(f"{task_title(task)} {np.mean(truth):.3f}")
    return Table(
        name,
        f"Diagnostic performance: {', '.join(task_title(t) for t in tasks)} ({protocol} protocol)",
        ("Task", "Method", "Specimens", "Patients", *(METRIC_TITLES[m] for m in metrics)),
        tuple(rows),
        (PREVALENCE.format(shares=", ".join(shares)), _interval_note(tasks, protocol)),
        FOLDABLE,
    )


def _methods(analysis: TaskAnalysis) -> Iterable[tuple[Method, Mapping[str, Estimate]]]:
    """Models, then the mean reader of each modality."""
    for name, method in analysis.result.methods.items():
        yield method, analysis.result.metrics[name]
    if analysis.readers:
        for modality, panel in analysis.readers.panels.items():
            yield panel.mean, analysis.readers.metrics[modality]["mean"]


def _interval_note(tasks: Mapping[str, TaskAnalysis], protocol: str) -> str:
    used = {
        estimate.method
        for analysis in tasks.values()
        for _, values in _methods(analysis)
        for estimate in values.values()
        if estimate.method
    }
    return f"95 % intervals, {protocol} protocol: {'; '.join(sorted(used))}."


def _differences(name: str, protocol: str, tasks: Mapping[str, TaskAnalysis]) -> list[Table]:
    readers = {
        method.name
        for analysis in tasks.values()
        if analysis.readers
        for panel in analysis.readers.panels.values()
        for method in panel.readers.values()
    }
    every = [test for analysis in tasks.values() for test in analysis.comparisons]
    alone = [test for test in every if test.b in readers]
    tests = [test for test in every if test.b not in readers]
    title = f"Differences: {', '.join(task_title(t) for t in tasks)} ({protocol} protocol)"
    made = [_tests(name, title, tests)] if tests else []
    if alone:
        made.append(
            _tests(name.replace("-differences-", "-readers-"), f"Against each reader ({protocol} protocol)", alone)
        )
    return made


def _tests(name: str, title: str, tests: Sequence[Compared]) -> Table:
    return Table(
        name,
        title,
        (
            *("Task", "A", "B", "Metric", "A - B", "P, two-sided", "P, one-sided", "P, Holm", "Specimens"),
            *("Patients", "Family"),
        ),
        tuple(_test_row(test) for test in tests),
        _methods_of(tests),
        FOLDABLE,
    )


def _test_row(test: Compared) -> tuple[Cell, ...]:
    c = test.comparison
    return (
        task_title(test.task),
        test.a,
        test.b,
        METRIC_TITLES[test.metric],
        Estimate(c.difference, c.low, c.high, c.method),
        PValue(c.p_two_sided, c.p_smallest_attainable if "exact" in c.method else 0.0),
        PValue(c.p_one_sided),
        PValue(test.p_adjusted),
        test.n_specimens,
        test.n_patients,
        test.family,
    )


def _methods_of(tests: Sequence[Compared]) -> tuple[str, ...]:
    used = sorted({test.comparison.method for test in tests if test.comparison.method})
    return (
        f"Intervals and tests: {'; '.join(used)}.",
        "P, one-sided, is against A being no better than B. P, Holm, is two-sided, adjusted within the family. "
        "(least ...) is the smallest P that so few patients could have given. Differences to readers are to these "
        "readers; for readers like them see the multi-reader analysis.",
    )


def _ordinal(name: str, protocol: str, tasks: Mapping[str, TaskAnalysis]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for task, analysis in tasks.items():
        for model, method in analysis.result.methods.items():
            values = analysis.result.metrics[model]
            against_rest = [values.get(f"auc_level_{k}_against_rest") for k in range(len(analysis.result.levels))]
            cells = (values.get("auc"), values.get("quadratic_kappa"))
            first = (task_title(task), model, method.n_specimens, method.n_patients, None, *cells)
            rows.append(first)
            rows += [
                (task_title(task), model, method.n_specimens, method.n_patients, level, area, None)
                for level, area in zip(analysis.result.levels, against_rest, strict=True)
                if area is not None
            ]
    return Table(
        name,
        f"Ordered levels ({protocol} protocol; intervals by patient under both)",
        ("Task", "Method", "Specimens", "Patients", "Level against the rest", "AUC", "Quadratic kappa"),
        tuple(rows),
        ("Without a level, the AUC is the mean over the cumulative cuts.",),
        FOLDABLE,
    )


def operating_table(protocol: str, tasks: Mapping[str, TaskAnalysis]) -> Table:
    """Thresholds, where they come from, and the two-by-two tables at them."""
    rows: list[tuple[Cell, ...]] = []
    for task, analysis in tasks.items():
        for name, method in analysis.result.methods.items():
            if method.operating is None or not method.answered.any():
                continue
            at = method.operating
            shown: Cell = ", ".join(f"{value:.4g}" for value in at.thresholds.values()) or "not a cut of the score"
            table = counts(method)
            left = unanswered_counts(method)
            rows.append((task_title(task), name, at.rule, shown, at.chosen_on, *table.values(), *left.values()))
    return Table(
        f"table-operating-points-{protocol}",
        f"Thresholds and counts ({protocol} protocol)",
        ("Task", "Model", "Rule", "Threshold", "Chosen on", "TP", "FP", "TN", "FN", "Indeterminate", "Not assessable"),
        tuple(rows),
        foldable=("Task", "Indeterminate", "Not assessable", "Chosen on"),
    )


def unanswered_table(protocol: str, tasks: Mapping[str, TaskAnalysis]) -> Table | None:
    """Rates with the specimens without an answer counted as wrong."""
    rows: list[tuple[Cell, ...]] = []
    for task, analysis in tasks.items():
        for name, values in analysis.result.unanswered.items():
            method = analysis.result.methods[name]
            cells = [values.get(metric) for metric in ("sensitivity", "specificity", "accuracy")]
            rows.append((task_title(task), name, method.n_specimens, int((~method.answered).sum()), *cells))
    if not rows:
        return None
    columns = ("Task", "Model", "Specimens", "Without answer", "Sensitivity", "Specificity", "Accuracy")
    title = f"Intention to diagnose: no answer counts as wrong ({protocol} protocol)"
    return Table(f"table-intention-to-diagnose-{protocol}", title, columns, tuple(rows))


def side_by_side(analysis: Analysis) -> Table | None:
    """Strict and paper values of the same metrics."""
    if len(analysis.by_protocol) < 2:
        return None
    names = list(analysis.by_protocol)
    rows: list[tuple[Cell, ...]] = []
    for task, of in analysis.headline.items():
        for model in of.result.methods:
            for metric in (*TABLE_2[:1], "sensitivity", "specificity"):
                cells = [analysis.by_protocol[p][task].result.metrics[model].get(metric) for p in names]
                if any(cells):
                    rows.append((task_title(task), model, METRIC_TITLES[metric], *cells))
    title = "The same predictions under both protocols"
    return Table("table-protocols", title, ("Task", "Method", "Metric", *names), tuple(rows), foldable=FOLDABLE)


def five_ala_table(protocol: str, analysis: TaskAnalysis) -> Table:
    """Table S1: this study's primary model beside the published operating points."""
    rows: list[tuple[Cell, ...]] = [
        ("5-ALA, as cited by Shen et al. 2021", *TABLE_S1["5-ala"].values(), "published"),
        ("FL-CNN, Shen et al. 2021", *TABLE_S1["fl"].values(), "published"),
    ]
    values = analysis.result.metrics[analysis.primary]
    if "sensitivity" in values and "specificity" in values:
        rows.append(
            (analysis.primary, values["sensitivity"], values["specificity"], f"this study, {protocol} protocol")
        )
    return Table(
        f"table-s1-5ala-{protocol}",
        "Against the published operating point of 5-ALA",
        ("Method", "Sensitivity", "Specificity", "Source"),
        tuple(rows),
        (f"{SOURCE}. Other patients, other specimens: no test is made.",),
    )


def patient_table(task: str, analysis: TaskAnalysis) -> Table:
    """Spread between patients: AUC of every model and the primary model's rates within each patient."""
    methods = analysis.result.methods
    primary = methods[analysis.primary]
    areas = {name: auc_by(method, method.patients) for name, method in methods.items()}
    rows: list[tuple[Cell, ...]] = []
    for patient in sorted(set(primary.patients)):
        own = primary.take(primary.patients == patient)
        positive = own.y_true > 0.5
        right = (own.calls > 0.5) == positive
        asked = own.answered
        sens: Cell = float(right[positive & asked].mean()) if (positive & asked).any() else None
        spec: Cell = float(right[~positive & asked].mean()) if (~positive & asked).any() else None
        cells = [areas[name].get(str(patient)) for name in methods]
        rows.append((str(patient), own.y_true.size, int(positive.sum()), *cells, sens, spec))
    columns = ("Patient", "Specimens", "Positive", *(f"AUC {name}" for name in methods))
    notes = [
        f"{name}: mean within-patient AUC {np.mean(list(own.values())):.4f} over {len(own)} patients with both classes"
        for name, own in areas.items()
        if own
    ]
    notes += [_within_patients(analysis.primary, name, areas) for name in methods if name != analysis.primary]
    return Table(
        f"table-patients-{task}",
        f"{task_title(task)}: within each patient",
        (*columns, f"Sensitivity {analysis.primary}", f"Specificity {analysis.primary}"),
        tuple(rows),
        tuple(note for note in notes if note),
    )


def _within_patients(a: str, b: str, areas: Mapping[str, Mapping[str, float]]) -> str:
    """Two models' AUCs within the same patients, by the exact sign-flip test."""
    patients = [patient for patient in areas[a] if patient in areas[b]]
    if not 1 < len(patients) <= MOST_FLIPS:
        return ""
    test = sign_flip_pvalue([areas[a][patient] - areas[b][patient] for patient in patients])
    return (
        f"{a} less {b}, mean difference within {test.n} patients {test.mean:+.4f}: P = {test.pvalue:.4f} by exact sign "
        f"flips of patients (least possible {test.smallest_attainable:.4f})"
    )


def calibration_table(protocol: str, tasks: Mapping[str, TaskAnalysis]) -> Table | None:
    """Calibration of every source of probabilities."""
    rows: list[tuple[Cell, ...]] = []
    for task, analysis in tasks.items():
        for item in analysis.calibration:
            line = item.line
            cells: tuple[Cell, ...] = (line.in_the_large, line.slope) if line else (None, None)
            rows.append((task_title(task), item.model, item.source, item.brier, item.ece, *cells))
    if not rows:
        return None
    return Table(
        f"table-calibration-{protocol}",
        "Calibration on the test specimens",
        ("Task", "Model", "Probability", "Brier", "ECE", "Calibration in the large", "Slope"),
        tuple(rows),
        (
            "Calibrators were fitted on tuning rows only. The raw score is the sigmoid of a class-weighted logit: no "
            "probability. A calibrated model has 0 in the large and slope 1. Intervals by patient.",
        ),
    )


def design_table(protocol: str, tasks: Mapping[str, TaskAnalysis]) -> Table | None:
    """Intraclass correlation, design effect and sample size."""
    rows: list[tuple[Cell, ...]] = []
    for task, analysis in tasks.items():
        for row in analysis.design:
            needed: tuple[Cell, ...] = (row.needed.patients, row.needed.specimens) if row.needed else (None, None)
            cells = (row.value, row.n_specimens, row.n_patients, row.icc, row.effect, row.ci_width, *needed)
            rows.append((task_title(task), METRIC_TITLES[row.metric], *cells))
    if not rows:
        return None
    return Table(
        f"table-sample-size-{protocol}",
        f"What these patients can carry, and patients needed ({protocol} protocol)",
        (
            *("Task", "Metric", "Value", "Specimens", "Patients", "ICC", "Design effect", "Wanted CI width"),
            *("Patients needed", "Specimens needed"),
        ),
        tuple(rows),
        (
            "ICC of right and wrong answers within a patient; for the AUC, of the ranks of scores within a class.",
            "Patients needed: for sensitivity and specificity from the ICC and the sizes of these patients, for the "
            "AUC from its standard error by patient.",
        ),
    )


def cascade_tables(protocol: str, cascade: Cascade) -> list[Table]:
    """What the whole system says, with the errors that travel on."""
    rows: list[tuple[Cell, ...]] = []
    for stage in (cascade.first, *cascade.later.values()):
        asked = "all test specimens" if stage is cascade.first else "tumours that CNN 1 called tumour"
        for truth, row in stage.table.items():
            if any(row.values()):
                rows.append((task_title(stage.task), stage.model, asked, truth, *(row[a] for a in ANSWERS)))
    for task, row in cascade.intruders.items():
        rows.append((task_title(task), cascade.later[task].model, "non-tumours that CNN 1 called tumour", "none"))
        rows[-1] = (*rows[-1], *(row[a] for a in ANSWERS))
    missed = "; ".join(
        f"{task_title(task)}: {by['positive']} positive, {by['negative']} negative, {by['unknown']} unknown"
        for task, by in cascade.missed_by.items()
    )
    columns = ("Network", "Model", "Asked of", "Truth", *(a.replace("_", " ") for a in ANSWERS))
    note = f"CNN 1 missed {cascade.missed} tumours" + (f" ({missed})." if missed else ".")
    size = f"{cascade.n_specimens} specimens of {cascade.n_patients} patients"
    stages = Table(
        f"table-cascade-{protocol}", f"The cascade, {size} ({protocol} protocol)", columns, tuple(rows), (note,)
    )
    ends = tuple((name, estimate) for name, estimate in cascade.end_to_end.items())
    title = f"Right through the whole cascade, {size} ({protocol} protocol)"
    return [stages, Table(f"table-end-to-end-{protocol}", title, ("What", "Share right"), ends)]

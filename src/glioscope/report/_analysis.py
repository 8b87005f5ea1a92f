"""The whole analysis of a study: every task under every protocol, readers, comparisons, calibration, cascade."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from glioscope.cohort import StudyInfo
from glioscope.core import BUILT_IN_TASKS, InputError
from glioscope.stats import METRICS_SCHEMA, Method, Protocol, TaskResult, evaluate_task, protocols

from ._calibration_study import Calibrated, calibrations
from ._cascade import FIRST, Cascade, run_cascade
from ._comparisons import (
    EACH_READER,
    MODEL_METRICS,
    READER_METRICS,
    Compared,
    adjusted,
    compare_with,
    declared_tests,
    primary_model,
)
from ._design import CI_WIDTH, DesignRow, design_of
from ._reader_study import ReaderStudy, check_readings_task, study_readers
from ._readers import Panel, Truth, reader_panels
from ._warnings import claim_warnings, input_warnings, planned_warnings, sentences

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class TaskAnalysis:
    """One task under one protocol. `primary` is the model under study; `readers` is None where nobody read it."""

    result: TaskResult
    primary: str
    comparisons: tuple[Compared, ...]
    readers: ReaderStudy | None
    calibration: tuple[Calibrated, ...]
    design: tuple[DesignRow, ...]

    @property
    def names(self) -> tuple[str, str]:
        """How people call the negative and the positive class."""
        task = BUILT_IN_TASKS.get(self.result.task)
        return (task.negative_name, task.positive_name) if task else ("negative", "positive")

    def to_json(self) -> dict[str, Any]:
        """One task of `metrics.json`."""
        entry = {**self.result.to_json(), "primary": self.primary}
        if self.result.levels:
            return entry
        return {
            **entry,
            "readers": self.readers.to_json() if self.readers else None,
            "comparisons": [test.to_json() for test in self.comparisons],
            "calibration": [item.to_json() for item in self.calibration],
            "design": [row.to_json() for row in self.design],
        }


@dataclass(frozen=True, slots=True)
class Analysis:
    """A whole study. `by_protocol`: protocol -> task -> analysis, strict first; `warnings` in the order of weight."""

    by_protocol: dict[str, dict[str, TaskAnalysis]]
    cascades: dict[str, Cascade]
    warnings: tuple[str, ...]
    seed: int

    @property
    def headline(self) -> dict[str, TaskAnalysis]:
        """The tasks under the first protocol: strict, unless only the paper's was asked for."""
        return next(iter(self.by_protocol.values()))

    @property
    def protocol(self) -> str:
        """Name of the headline protocol."""
        return next(iter(self.by_protocol))

    def to_json(self) -> dict[str, Any]:
        """`metrics.json` (docs/study.md)."""
        return {
            "schema_version": METRICS_SCHEMA,
            "seed": self.seed,
            "warnings": list(self.warnings),
            "protocols": {
                name: {
                    "tasks": {task: analysis.to_json() for task, analysis in tasks.items()},
                    "cascade": self.cascades[name].to_json() if name in self.cascades else None,
                }
                for name, tasks in self.by_protocol.items()
            },
        }


def analyse(
    predictions: "pd.DataFrame",
    *,
    readings: "pd.DataFrame | None" = None,
    study: StudyInfo | None = None,
    protocol: str = "strict",
    thresholds: Mapping[str, float] | None = None,
    levels: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
) -> Analysis:
    """Analyse a predictions table.

    Parameters
    ----------
    predictions : contract 3, as `cohort.read_predictions` gives it.
    readings : as `cohort.read_readings` gives it; read for the tumour task.
    study : what `study.toml` declares: the primary model, families of tests, the width of a wanted interval.
    protocol : "strict", "paper" or "both".
    thresholds : task -> fixed threshold; the key "" is for all tasks with two classes that are not named.
    levels : ordinal task -> names of its levels; a task with labels above 1, or with answered levels, that is not named
        has its numbers for names.
    seed : of every resample and swap.

    Raises
    ------
    InputError : no test row; a threshold for an unknown or an ordinal task; a primary model or a test of
        `study.toml` that does not exist.
    """
    # A label belongs to a specimen, whichever model's row it stands in.
    labels = predictions.groupby(["task", "specimen_id"], sort=False)["y_true"].transform("first")
    predictions = predictions.assign(y_true=labels)
    test = predictions[predictions["split"] == "test"]
    if test.empty:
        raise InputError("the predictions table has no test row")
    tasks = [str(name) for name in test["task"].drop_duplicates()]
    chosen, info = protocols(protocol, seed), study or StudyInfo()
    _check_thresholds(thresholds or {}, tasks)
    _check_planned(info, test)
    readable = check_readings_task(tasks) if readings is not None else None
    warnings = sentences(input_warnings(predictions))

    def of_task(name: str) -> tuple[dict[str, TaskAnalysis], list[str]]:
        rows = predictions[predictions["task"] == name]
        ordered = tuple((levels or {}).get(name) or _levels_of(name, rows))
        read = readings if name == readable else None
        return _under_all(chosen, name, rows, ordered, thresholds or {}, read, info)

    found = [of_task(name) for name in tasks]
    warnings += [note for _, notes in found for note in notes]
    by_task = {name: of for name, (of, _) in zip(tasks, found, strict=True) if of}
    if not by_task:
        raise InputError("no test row has a known label; there is nothing to evaluate")
    if readable is not None and not any(of.readers for of in by_task.get(readable, {}).values()):
        warnings.append(f"{readable}: the readings could not be used; nothing is said of readers")
    by_protocol = {p.name: _adjusted({name: of[p.name] for name, of in by_task.items()}, info) for p in chosen}
    cascades = {name: _cascade(predictions, of) for name, of in by_protocol.items()}
    for name, of in by_protocol.items():
        warnings += sentences(planned_warnings(name, info.comparisons.families, of))
        warnings += sentences(claim_warnings(name, of))
    kept = {name: cascade for name, cascade in cascades.items() if cascade is not None}
    return Analysis(by_protocol, kept, tuple(dict.fromkeys(warnings)), seed)


def _under_all(
    chosen: Sequence[Protocol],
    name: str,
    rows: "pd.DataFrame",
    levels: tuple[str, ...],
    thresholds: Mapping[str, float],
    readings: "pd.DataFrame | None",
    info: StudyInfo,
) -> tuple[dict[str, TaskAnalysis], list[str]]:
    """One task by protocol, and notes on its readings; nothing where no test row has a label."""
    if levels and name in thresholds:
        raise InputError(f"a threshold is given for task {name!r}, which has {len(levels)} ordered levels")
    given = None if levels else thresholds.get(name, thresholds.get(""))
    results = [evaluate_task(rows, name, p, levels=levels, threshold=given) for p in chosen]
    if not results[0].methods:
        return {}, []
    panels: dict[str, Panel] = {}
    notes: list[str] = []
    if readings is not None and not levels:
        panels, notes = reader_panels(readings, _truth(results[0]))
    kept = () if levels else tuple(c for m in results[0].methods.values() for c in calibrations(m))
    pairs = zip(chosen, results, strict=True)
    return {p.name: _analyse_task(result, p, panels, info, kept) for p, result in pairs}, notes


def _analyse_task(
    result: TaskResult, protocol: Protocol, panels: Mapping[str, Panel], info: StudyInfo, kept: tuple[Calibrated, ...]
) -> TaskAnalysis:
    primary = primary_model(list(result.methods), info.comparisons.primary)
    if result.levels:
        return TaskAnalysis(result, primary, (), None, (), ())
    method = result.methods[primary]
    others = [m for name, m in result.methods.items() if name != primary]
    tests = compare_with(method, others, MODEL_METRICS, protocol, result.task, result.task)
    means = [panel.mean for panel in panels.values()]
    tests += compare_with(method, means, READER_METRICS, protocol, result.task, result.task)
    each = [m for panel in panels.values() for m in panel.readers.values()]
    tests += compare_with(method, each, EACH_READER, protocol, result.task, f"{result.task}: each reader")
    named = {m.name: m for m in (*result.methods.values(), *means, *each)}
    tests += declared_tests(result.task, named, info.comparisons.families, tests, protocol)
    return TaskAnalysis(
        result=result,
        primary=primary,
        comparisons=tuple(tests),
        readers=study_readers(panels, method, protocol) if panels else None,
        calibration=kept,
        design=tuple(design_of(method, info.sample_size.ci_width or CI_WIDTH)),
    )


def _adjusted(tasks: Mapping[str, TaskAnalysis], info: StudyInfo) -> dict[str, TaskAnalysis]:
    """P adjusted by family; a family of `study.toml` may have tests of several tasks."""
    tests = adjusted([t for analysis in tasks.values() for t in analysis.comparisons], info.comparisons.families)
    return {
        name: replace(analysis, comparisons=tuple(t for t in tests if t.task == name))
        for name, analysis in tasks.items()
    }


def _cascade(predictions: "pd.DataFrame", tasks: Mapping[str, TaskAnalysis]) -> Cascade | None:
    if FIRST not in tasks:
        return None
    results = {name: analysis.result for name, analysis in tasks.items()}
    return run_cascade(predictions, results, {name: analysis.primary for name, analysis in tasks.items()})


def _levels_of(name: str, rows: "pd.DataFrame") -> tuple[str, ...]:
    """Numbers of the levels of a task that shows itself to be ordinal; () for two classes, as built-in tasks have."""
    if name in BUILT_IN_TASKS and not BUILT_IN_TASKS[name].ordinal:
        wrong = rows[rows["y_true"] > 1]
        if len(wrong):
            specimen, label = wrong["specimen_id"].iloc[0], wrong["y_true"].iloc[0]
            raise InputError(f"specimen {specimen} has the label {label:g} in task {name}, which has 0 and 1 only")
        return ()
    top = rows["y_true"].max()
    answered = rows["level"].max() if "level" in rows and rows["level"].notna().any() else 0
    highest = max(0 if np.isnan(top) else int(top), int(answered))
    ordinal = highest > 1 or ("level" in rows and rows["level"].notna().any())
    return tuple(str(k) for k in range(max(highest, 1) + 1)) if ordinal else ()


def _truth(result: TaskResult) -> Truth:
    """Label and patient of every test specimen that any model was judged on."""
    methods: list[Method] = list(result.methods.values())
    return {s: (p, float(y)) for m in methods for s, p, y in zip(m.specimens, m.patients, m.y_true, strict=True)}


def _check_thresholds(thresholds: Mapping[str, float], tasks: Sequence[str]) -> None:
    for name in thresholds:
        if name and name not in tasks:
            raise InputError(f"a threshold is given for task {name!r}, which is not among {', '.join(tasks)}")


def _check_planned(info: StudyInfo, test: "pd.DataFrame") -> None:
    """What was planned and cannot be done is an error: left out silently, a family would be smaller than declared."""
    tasks = set(map(str, test["task"].drop_duplicates()))
    for family in info.comparisons.families:
        if family.name.removesuffix(": each reader") in tasks:
            raise InputError(
                f"study.toml: family {family.name!r} has the name of a table of the report; choose another"
            )
        for planned in family.tests:
            if planned.task not in tasks:
                raise InputError(
                    f"study.toml: family {family.name!r} has a test of task {planned.task!r}, which is not among "
                    f"{', '.join(sorted(tasks))}"
                )
    models = set(map(str, test["model"].drop_duplicates()))
    primary = info.comparisons.primary
    if primary is not None and primary not in models:
        raise InputError(
            f"study.toml: comparisons.primary {primary!r} is no model; there are {', '.join(sorted(models))}"
        )

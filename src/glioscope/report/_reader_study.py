"""The reader study: what an algorithm and readers say of the same specimens, and what would hold for other readers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from glioscope.core import InputError
from glioscope.stats import (
    Comparison,
    ErrorTable,
    Estimate,
    Kappa,
    Method,
    ModalityComparison,
    Protocol,
    StandaloneComparison,
    compare_modalities,
    compare_standalone,
    counts,
    error_table,
    fleiss_kappa,
    mcnemar_clustered,
    mcnemar_exact,
    paired,
    reader_mean,
)

from ._readers import Panel

OR_METRICS: tuple[Literal["auc", "sensitivity", "specificity", "accuracy"], ...] = (
    "auc",
    "sensitivity",
    "specificity",
    "accuracy",
)


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors of one reader that the algorithm corrects and introduces, with McNemar's test (algorithm - reader)."""

    reader: str
    modality: str
    table: ErrorTable
    test: Comparison

    def to_json(self) -> dict[str, Any]:
        """One of `readers.errors[]` of `metrics.json`."""
        table = self.table
        return {
            "reader": self.reader,
            "modality": self.modality,
            "reader_errors": table.corrected + table.both_wrong,
            "corrected": table.corrected,
            "introduced": table.introduced,
            "both_right": table.both_right,
            "both_wrong": table.both_wrong,
            "mcnemar": self.test.to_json(),
        }


@dataclass(frozen=True, slots=True)
class ReaderStudy:
    """All that is said of readers under one protocol.

    Attributes
    ----------
    panels : by modality.
    metrics : modality -> reader, or "mean" -> metric -> value. Strict: the mean's sensitivity, specificity, accuracy
        and AUC hold for other readers and patients (Obuchowski-Rockette); paper: bootstrap of specimens, these readers.
    errors : of each reader against the algorithm.
    algorithm : modality -> metric -> algorithm against the panel.
    modalities : metric -> FL against WL, by the readers who read both.
    single : reader -> metric -> FL against WL of that one reader.
    kappa : modality -> Fleiss' kappa of the readers.
    """

    panels: dict[str, Panel]
    metrics: dict[str, dict[str, dict[str, Estimate]]]
    errors: tuple[Errors, ...]
    algorithm: dict[str, dict[str, StandaloneComparison]]
    modalities: dict[str, ModalityComparison]
    single: dict[str, dict[str, ModalityComparison]]
    kappa: dict[str, Kappa]

    def to_json(self) -> dict[str, Any]:
        """`readers` of `metrics.json`."""
        return {
            "modalities": {
                modality: {
                    name: {
                        "n_specimens": method.n_specimens,
                        "n_patients": method.n_patients,
                        **{metric: value.to_json() for metric, value in self.metrics[modality][name].items()},
                        **({"counts": counts(method)} if name != "mean" else {"n_readers": len(panel.readers)}),
                    }
                    for name, method in {**panel.readers, "mean": panel.mean}.items()
                }
                for modality, panel in self.panels.items()
            },
            "errors": [errors.to_json() for errors in self.errors],
            "algorithm_against_panel": {
                modality: {metric: value.difference.to_json() for metric, value in by_metric.items()}
                for modality, by_metric in self.algorithm.items()
            },
            "fl_against_wl": {metric: value.differences[0].to_json() for metric, value in self.modalities.items()},
            "fl_against_wl_by_reader": {
                reader: {metric: value.differences[0].to_json() for metric, value in by_metric.items()}
                for reader, by_metric in self.single.items()
            },
            "fleiss_kappa": {modality: kappa.to_json() for modality, kappa in self.kappa.items()},
        }


def study_readers(panels: Mapping[str, Panel], algorithm: Method, protocol: Protocol) -> ReaderStudy:
    """Everything about readers under one protocol; `algorithm` has its calls at that protocol's threshold."""
    strict = protocol.name == "strict"
    metrics = {}
    for modality, panel in panels.items():
        own = {name: protocol.metrics(method) for name, method in panel.readers.items()}
        metrics[modality] = {**own, "mean": protocol.metrics(panel.mean) | (_means(panel) if strict else {})}
    both = _read_both(panels)
    return ReaderStudy(
        panels=dict(panels),
        metrics=metrics,
        errors=tuple(
            _errors(algorithm, name, modality, method, strict)
            for modality, panel in panels.items()
            for name, method in panel.readers.items()
            if algorithm.answered.any()
        ),
        algorithm={modality: _against_panel(algorithm, panel) for modality, panel in panels.items()} if strict else {},
        modalities=_modalities(both) if strict and both else {},
        single={name: _modalities({name: pair}) for name, pair in both.items()} if strict else {},
        kappa={m: _agreement(panel, strict) for m, panel in panels.items() if len(panel.readers) > 1},
    )


def _table(panel: Panel, metric: str) -> npt.NDArray[np.float64]:
    readers = panel.common.values()
    return np.array([m.y_score if metric == "auc" else m.calls for m in readers], np.float64)


def _means(panel: Panel) -> dict[str, Estimate]:
    """Mean of the readers for other readers and patients."""
    mean = panel.mean
    found: dict[str, Estimate] = {}
    for metric in OR_METRICS:
        if _possible(mean, metric, panel.rated):
            found[metric] = reader_mean(mean.y_true, _table(panel, metric), metric=metric, groups=mean.patients)
    return found


def _possible(method: Method, metric: str, rated: bool) -> bool:
    """Whether the metric exists on these specimens, and by patient."""
    if len(set(method.patients)) < 2:
        return False
    true = method.y_true > 0.5
    needed = {"sensitivity": true.any(), "specificity": (~true).any(), "accuracy": True}
    return bool(rated and method.both_classes) if metric == "auc" else bool(needed[metric])


def _errors(algorithm: Method, reader: str, modality: str, method: Method, strict: bool) -> Errors:
    a, b = paired(algorithm.take(algorithm.answered), method)
    right = [(m.calls > 0.5) == (m.y_true > 0.5) for m in (a, b)]
    if not a.y_true.size:
        return Errors(reader, modality, ErrorTable(0, 0, 0, 0), Comparison(np.nan, note="no specimen has both"))
    clustered = strict and len(set(a.patients)) > 1
    a_right, b_right = right
    test = mcnemar_clustered(a_right, b_right, a.patients) if clustered else mcnemar_exact(a_right, b_right)
    return Errors(reader, modality, error_table(a_right, b_right), test)


def _against_panel(algorithm: Method, panel: Panel) -> dict[str, StandaloneComparison]:
    found: dict[str, StandaloneComparison] = {}
    for metric in OR_METRICS:
        usable = algorithm if metric == "auc" else algorithm.take(algorithm.answered)
        a, mean = paired(usable, panel.mean)
        if not a.y_true.size or not _possible(mean, metric, panel.rated):
            continue
        kept = set(mean.specimens)
        table = _table(panel, metric)[:, np.array([s in kept for s in panel.mean.specimens], bool)]
        alone = a.y_score if metric == "auc" else a.calls
        found[metric] = compare_standalone(a.y_true, alone, table, metric=metric, groups=a.patients)
    return found


def _read_both(panels: Mapping[str, Panel]) -> dict[str, tuple[Method, Method]]:
    """Readers of FL and of WL, each on the specimens that all of them read in both."""
    if set(panels) != {"fl", "wl"}:
        return {}
    names = [name for name in panels["fl"].readers if name in panels["wl"].readers]
    methods = [panels[modality].readers[name] for name in names for modality in ("fl", "wl")]
    shared = set.intersection(*(set(m.specimens) for m in methods)) if methods else set()
    if not shared:
        return {}

    def kept(method: Method) -> Method:
        return method.take(np.array([s in shared for s in method.specimens], bool))

    return {name: (kept(panels["fl"].readers[name]), kept(panels["wl"].readers[name])) for name in names}


def _modalities(both: Mapping[str, tuple[Method, Method]]) -> dict[str, ModalityComparison]:
    """FL against WL by these readers, in every metric that exists."""
    first = next(iter(both.values()))[0]
    rated = not any(np.isnan(m.y_score).any() for pair in both.values() for m in pair)
    found: dict[str, ModalityComparison] = {}
    for metric in OR_METRICS:
        if not _possible(first, metric, rated):
            continue
        ratings = [[m.y_score if metric == "auc" else m.calls for m in of] for of in zip(*both.values(), strict=True)]
        found[metric] = compare_modalities(first.y_true, ratings, metric=metric, groups=first.patients)
    return found


def _agreement(panel: Panel, strict: bool) -> Kappa:
    ratings = _table(panel, "reading").T
    return fleiss_kappa(ratings, groups=panel.mean.patients if strict else None)


def error_list(panels: Mapping[str, Panel], algorithm: Method) -> list[tuple[str, str, str, str, int, int, int, str]]:
    """Where algorithm and reader differ: specimen, patient, reader, modality, truth, reading, call, kind of error."""
    rows: list[tuple[str, str, str, str, int, int, int, str]] = []
    for modality, panel in panels.items():
        for name, method in panel.readers.items():
            a, b = paired(algorithm.take(algorithm.answered), method)
            right_a, right_b = ((m.calls > 0.5) == (m.y_true > 0.5) for m in (a, b))
            for i in np.flatnonzero(right_a != right_b):
                kind = "corrected" if right_a[i] else "introduced"
                truth, reading, call = int(a.y_true[i]), int(b.calls[i]), int(a.calls[i])
                rows.append((a.specimens[i], a.patients[i], name, modality, truth, reading, call, kind))
    return rows


def check_readings_task(tasks: Sequence[str]) -> str:
    """The task that readers read: tumour; where there is only one task, that one.

    Raises
    ------
    InputError : several tasks, none of them tumor.
    """
    if "tumor" in tasks:
        return "tumor"
    if len(tasks) == 1:
        return tasks[0]
    raise InputError(f"readings are of the task tumor, which is not among {', '.join(tasks)}")

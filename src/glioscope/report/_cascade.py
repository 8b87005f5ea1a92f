"""What the whole system says: CNN 1 first, CNN 2 and CNN 3 of what it calls tumour, and the errors that travel on."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glioscope.stats import (
    Estimate,
    Method,
    TaskResult,
    auc,
    clopper_pearson,
    clustered_proportion,
    default_rule,
    model_methods,
)

if TYPE_CHECKING:
    import pandas as pd

FIRST = "tumor"
ANSWERS = ("negative", "positive", "indeterminate", "not_assessable", "no answer")
TRUTHS = ("negative", "positive", "unknown")


@dataclass(frozen=True, slots=True)
class Stage:
    """One network of the cascade: how its answers fall on the truth.

    `table[truth][answer]` are specimens; truths are negative, positive and unknown, answers as in `ANSWERS`.
    """

    task: str
    model: str
    table: dict[str, dict[str, int]]

    def total(self, *, truth: str | None = None, answer: str | None = None) -> int:
        """Specimens of a truth and an answer (None: all)."""
        rows = self.table.values() if truth is None else [self.table[truth]]
        return sum(sum(row.values()) if answer is None else row[answer] for row in rows)


@dataclass(frozen=True, slots=True)
class Cascade:
    """The system on the test specimens whose tumour label is known.

    Attributes
    ----------
    first : CNN 1 on all of them.
    later : task -> that network on the true tumours that CNN 1 called tumour.
    intruders : task -> answers to the non-tumours that CNN 1 called tumour ("negative" is DLGG or low).
    missed : tumours that CNN 1 called non-tumour. `missed_by` task -> class -> how many of them, where known.
    end_to_end : name -> share right through the whole cascade, with and without the unanswered.
    paths : (truth, answer of CNN 1, of grade, of Ki-67) -> specimens; None where a network was not asked.
    """

    n_specimens: int
    n_patients: int
    first: Stage
    later: dict[str, Stage]
    intruders: dict[str, dict[str, int]]
    missed: int
    missed_by: dict[str, dict[str, int]]
    end_to_end: dict[str, Estimate]
    paths: Counter[tuple[str | None, ...]]

    def to_json(self) -> dict[str, Any]:
        """`cascade` of `metrics.json`."""
        stages = {
            stage.task: {"model": stage.model, "table": stage.table} for stage in (self.first, *self.later.values())
        }
        return {
            "n_specimens": self.n_specimens,
            "n_patients": self.n_patients,
            "stages": stages,
            "missed_tumours": self.missed,
            "missed_tumours_by": self.missed_by,
            "non_tumours_that_went_on": self.first.table["negative"]["positive"],
            "answers_to_non_tumours": self.intruders,
            "end_to_end": {name: estimate.to_json() for name, estimate in self.end_to_end.items()},
        }


def answering_model(result: TaskResult, primary: str) -> str:
    """The model that answers a task: the best AUC on tuning rows, as a suite chooses; without such rows the primary."""
    areas = {}
    for name, method in result.methods.items():
        y_true, y_score, _ = method.tuning
        if np.unique(y_true).size == 2:
            areas[name] = auc(y_true, y_score)
    return max(areas, key=lambda name: areas[name]) if areas else primary


def run_cascade(
    predictions: "pd.DataFrame", results: Mapping[str, TaskResult], primaries: Mapping[str, str]
) -> Cascade | None:
    """The cascade from the answering model of each task; None where the tumour task has no calls."""
    first = _system(predictions, results, primaries, FIRST)
    if first is None or not first.answered.any():
        return None
    first = first.take(~np.isnan(first.y_true))
    tumour, called = first.y_true > 0.5, first.calls > 0.5
    later, intruders, missed_by, methods = {}, {}, {}, {}
    for task in ("grade", "ki67"):
        method = _system(predictions, results, primaries, task)
        if method is None or not method.answered.any():
            continue
        on_path = _aligned(method, first.key[tumour & called])
        later[task] = Stage(task, method.name, _cross(on_path))
        intruders[task] = _count(_answers(_aligned(method, first.key[~tumour & called])))
        lost = _aligned(method, first.key[tumour & first.answered & ~called])
        missed_by[task] = {name: int(n) for name, n in zip(TRUTHS, _truths(lost), strict=True)}
        methods[task] = _aligned(method, first.key)
    return Cascade(
        n_specimens=first.n_specimens,
        n_patients=first.n_patients,
        first=Stage(FIRST, first.name, _cross(first)),
        later=later,
        intruders=intruders,
        missed=int((tumour & first.answered & ~called).sum()),
        missed_by=missed_by,
        end_to_end=_end_to_end(first, methods),
        paths=_paths(first, methods),
    )


def _system(
    predictions: "pd.DataFrame", results: Mapping[str, TaskResult], primaries: Mapping[str, str], task: str
) -> Method | None:
    """The answering model of a task on all its test specimens; None where it has none or ordered levels."""
    result = results.get(task)
    if result is None or not result.methods or result.levels:
        return None
    return with_unlabelled(predictions, result, answering_model(result, primaries[task]))


def with_unlabelled(predictions: "pd.DataFrame", result: TaskResult, name: str) -> Method:
    """A model on all test specimens of a task, labelled or not, at the threshold of the protocol."""
    known = result.methods[name].operating
    at = next(iter(known.thresholds.values()), np.nan) if known else np.nan
    given = at if known and known.chosen_on == "given" else None
    rule = default_rule(result.task)
    method = model_methods(predictions, result.task, rule=rule, threshold=given, labelled=False)[name]
    if known and known.chosen_on == "test":
        silent = np.isin(method.answers, ANSWERS[2:4])
        return replace(method, calls=np.where(silent, np.nan, method.y_score >= at))
    return method


def _aligned(method: Method, keys: npt.NDArray[np.object_]) -> Method:
    """The method on these specimens (and folds), as far as it has them."""
    place = {key: i for i, key in enumerate(method.key)}
    return method.take(np.array([place[key] for key in keys if key in place], np.int64))


def _answers(method: Method) -> npt.NDArray[np.object_]:
    said = np.where(method.calls > 0.5, "positive", "negative").astype(object)
    silent = ~method.answered
    named = np.isin(method.answers, ANSWERS[2:4])
    said[silent] = np.where(named[silent], method.answers[silent], "no answer")
    return said


def _count(answers: npt.NDArray[np.object_]) -> dict[str, int]:
    return {name: int((answers == name).sum()) for name in ANSWERS}


def _truths(method: Method) -> tuple[int, int, int]:
    return int((method.y_true == 0).sum()), int((method.y_true == 1).sum()), int(np.isnan(method.y_true).sum())


def _cross(method: Method) -> dict[str, dict[str, int]]:
    answers = _answers(method)
    rows = (method.y_true == 0, method.y_true == 1, np.isnan(method.y_true))
    return {name: _count(answers[row]) for name, row in zip(TRUTHS, rows, strict=True)}


def _paths(first: Method, later: Mapping[str, Method]) -> Counter[tuple[str | None, ...]]:
    said = {task: dict(zip(m.key, _answers(m), strict=True)) for task, m in later.items()}
    truth = np.where(first.y_true > 0.5, "positive", "negative")
    rows = zip(first.key, truth, _answers(first), strict=True)
    return Counter(
        (
            str(true),
            answer,
            *(of_task.get(key, "no answer") if answer == "positive" else None for of_task in said.values()),
        )
        for key, true, answer in rows
    )


def _end_to_end(first: Method, later: Mapping[str, Method]) -> dict[str, Estimate]:
    """Shares right through the cascade, by patient; a tumour that CNN 1 misses is wrong for grade and Ki-67 too."""
    tumour, called = first.y_true > 0.5, first.calls > 0.5
    found = {
        "tumour, answered": _share((called == tumour)[first.answered], first.patients[first.answered]),
        "tumour, intention to diagnose": _share((called == tumour) & first.answered, first.patients),
    }
    for task, method in later.items():
        passed = dict(zip(first.key, called & first.answered, strict=True))
        labelled = method.take(~np.isnan(method.y_true))
        reached = np.array([passed[key] for key in labelled.key], bool)
        right = reached & labelled.answered & ((labelled.calls > 0.5) == (labelled.y_true > 0.5))
        positive = labelled.y_true > 0.5
        for name, rows in (("", np.ones(positive.size, bool)), (" positive", positive), (" negative", ~positive)):
            found[f"{task}{name}, intention to diagnose"] = _share(right[rows], labelled.patients[rows])
    return {name: estimate for name, estimate in found.items() if estimate is not None}


def _share(right: npt.NDArray[np.bool_], patients: npt.NDArray[np.object_]) -> Estimate | None:
    if not right.size:
        return None
    groups = len(set(patients))
    interval = clustered_proportion(right, patients) if groups > 1 else clopper_pearson(int(right.sum()), right.size)
    method = "korn-graubard by patient" if groups > 1 else "clopper-pearson of specimens: one patient"
    return Estimate(float(right.mean()), interval.low, interval.high, method, 0, groups)

"""What is compared: a model, a reader or a panel, and what each says of the test specimens of a task."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ._input import FloatArray, IntArray
from ._operating_point import operating_point

if TYPE_CHECKING:
    import pandas as pd

ObjectArray = npt.NDArray[np.object_]
_BY_ROW = (
    "key",
    "specimens",
    "patients",
    "y_true",
    "y_score",
    "raw_score",
    "calls",
    "answers",
    "y_probability",
    "level",
    "level_probability",
    "fold",
)
LEVEL_PROBABILITY = "level_probability_"
"""Column of a predictions table, followed by the index of the level: optional, for ordinal tasks."""
UNANSWERED = ("indeterminate", "not_assessable")


@dataclass(frozen=True, slots=True)
class Operating:
    """The threshold that calls were made at.

    Attributes
    ----------
    rule : name of the rule, "decision column" or "fixed".
    thresholds : fold -> threshold on the score (fold -1: no folds); empty where calls are no cut of the score.
    chosen_on : "tune", "test" or what else is known.
    """

    rule: str
    thresholds: Mapping[int, float]
    chosen_on: str

    def to_json(self) -> dict[str, Any]:
        """`operating_point` of `metrics.json`; several folds have `thresholds` instead of one `threshold`."""
        values = list(self.thresholds.values())
        one = {"rule": self.rule, "threshold": values[0] if len(values) == 1 else None, "chosen_on": self.chosen_on}
        return one if len(values) < 2 else {**one, "thresholds": {str(k): v for k, v in self.thresholds.items()}}


@dataclass(frozen=True, slots=True)
class Method:
    """Answers of one method to the test specimens whose label is known, sorted by specimen and fold.

    Attributes
    ----------
    name : as tables print it.
    key : object (n,), "specimen" or "specimen / fold": what two methods are paired by.
    specimens, patients : object (n,).
    y_true : float64 (n,), 0 or 1, or an ordinal level.
    y_score : float64 (n,), comparable between folds; NaN throughout for a method that only decides.
    raw_score : float64 (n,), as in the table.
    calls : float64 (n,), 1 positive, 0 negative, a panel's share of positives, NaN where it did not answer, which is
        everywhere where no threshold is known.
    answers : object (n,), the decision column, "" where blank.
    y_probability : float64 (n,), NaN where unknown.
    level : float64 (n,), level that an ordinal task answers, NaN where unknown.
    level_probability : float64 (n, K), probability of each level of an ordinal task; (n, 0) where unknown.
    fold : int64 (n,), -1 where blank.
    scale : what was done to scores of several folds.
    operating : threshold of the calls.
    tuning : rows of `split` tune with a known label: y_true, y_score, fold.
    """

    name: str
    key: ObjectArray
    specimens: ObjectArray
    patients: ObjectArray
    y_true: FloatArray
    y_score: FloatArray
    raw_score: FloatArray
    calls: FloatArray
    answers: ObjectArray
    y_probability: FloatArray
    level: FloatArray
    level_probability: FloatArray
    fold: IntArray
    scale: str
    operating: Operating | None
    tuning: tuple[FloatArray, FloatArray, IntArray]

    @property
    def n_specimens(self) -> int:
        """Distinct specimens."""
        return len(set(self.specimens))

    @property
    def n_patients(self) -> int:
        """Distinct patients."""
        return len(set(self.patients))

    @property
    def both_classes(self) -> bool:
        """Whether an AUC exists."""
        return bool(self.y_true.size and self.y_true.min() < self.y_true.max())

    @property
    def answered(self) -> npt.NDArray[np.bool_]:
        """Specimens with a call."""
        return ~np.isnan(self.calls)

    def take(self, rows: npt.NDArray[Any]) -> "Method":
        """The same method on some of its rows (a mask or places)."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _BY_ROW})


def paired(a: Method, b: Method) -> tuple[Method, Method]:
    """Both methods on the specimens (and folds) that both have, in the same order."""
    if np.array_equal(a.key, b.key):
        return a, b
    _, rows_a, rows_b = np.intersect1d(a.key.astype(str), b.key.astype(str), return_indices=True)
    return a.take(rows_a), b.take(rows_b)


def model_methods(
    predictions: "pd.DataFrame", task: str, *, rule: str, threshold: float | None = None, labelled: bool = True
) -> dict[str, Method]:
    """Every model of a task as a `Method`, its calls at a locked threshold.

    Calls are, in this order: at `threshold` if one is given; those of the decision column where all specimens with a
    known label have one; at the threshold that `rule` chooses on each fold's tuning rows; else there are none.

    Several folds are several networks, whose scores are on different scales. Their scores are replaced by ranks among
    the tuning specimens of their own fold, which no test specimen has a part in; `scale` says so, and where a fold has
    no tuning row the scores are taken as they are.

    Parameters
    ----------
    predictions : contract 3, as `cohort.read_predictions` gives it.
    rule : of `operating_point`.
    labelled : leave out test specimens whose label is not known; else they are kept with a `y_true` of NaN.
    """
    rows = predictions[predictions["task"] == task]
    if "split" not in rows:
        rows = rows.assign(split="test")
    known = rows["y_true"].notna()
    used = rows[known | ((rows["split"] == "test") & (not labelled))]
    used = used.sort_values([name for name in ("specimen_id", "fold") if name in used], kind="stable")
    repeated = bool(used[used["split"] == "test"].duplicated(["model", "specimen_id"]).any())
    found = {}
    for model, part in used.groupby("model", sort=False):
        found[str(model)] = _method(str(model), part, rule, threshold, by_fold=repeated)
    order = [str(name) for name in rows["model"].drop_duplicates()]
    return {name: found[name] for name in order if name in found and found[name].y_true.size}


def _method(name: str, rows: "pd.DataFrame", rule: str, threshold: float | None, *, by_fold: bool) -> Method:
    test, tune = rows[rows["split"] == "test"], rows[rows["split"] == "tune"]
    fold, tune_fold = _folds(test), _folds(tune)
    raw = test["y_score"].to_numpy(float)
    tuning = (tune["y_true"].to_numpy(float), tune["y_score"].to_numpy(float), tune_fold)
    score, scale = _on_one_scale(raw, fold, tuning)
    specimens = test["specimen_id"].to_numpy(object)
    answers = _text(test, "decision")
    # The same threshold whether or not specimens without a label are asked for.
    known = test["y_true"].notna().to_numpy()
    operating = _operating(raw[known], fold[known], tuning, answers[known], rule, threshold)
    return Method(
        name=name,
        key=np.array([f"{s} / {k}" for s, k in zip(specimens, fold, strict=True)], object) if by_fold else specimens,
        specimens=specimens,
        patients=test["patient_id"].to_numpy(object),
        y_true=test["y_true"].to_numpy(float),
        y_score=score,
        raw_score=raw,
        calls=_calls(raw, fold, answers, operating),
        answers=answers,
        y_probability=_numbers(test, "y_probability"),
        level=_numbers(test, "level"),
        level_probability=_level_probabilities(test),
        fold=fold,
        scale=scale,
        operating=operating,
        tuning=tuning,
    )


def _calls(score: FloatArray, fold: IntArray, answers: ObjectArray, operating: Operating | None) -> FloatArray:
    if operating is None:
        return np.full(score.size, np.nan)
    if operating.chosen_on not in ("given", "tune"):
        return np.where(answers == "positive", 1.0, np.where(answers == "negative", 0.0, np.nan))
    at = np.array([operating.thresholds.get(int(k), np.nan) for k in fold], np.float64)
    return np.where(np.isnan(at) | np.isin(answers, UNANSWERED), np.nan, score >= at)


def _operating(
    score: FloatArray,
    fold: IntArray,
    tuning: tuple[FloatArray, FloatArray, IntArray],
    answers: ObjectArray,
    rule: str,
    threshold: float | None,
) -> Operating | None:
    folds = [int(k) for k in np.unique(fold)]
    if threshold is not None:
        return Operating("fixed", dict.fromkeys(folds, threshold), "given")
    tuned = _tuned(folds, tuning, rule)
    if not answers.size or (answers == "").any():
        return None if tuned is None else Operating(rule, tuned, "tune")
    if tuned is not None and _follow(score, fold, answers, tuned):
        return Operating(rule, tuned, "tune, as in the decision column")
    return Operating("decision column", _cuts(score, fold, answers), "locked before (decision column)")


def _tuned(folds: list[int], tuning: tuple[FloatArray, FloatArray, IntArray], rule: str) -> dict[int, float] | None:
    """The threshold that the rule chooses on each fold's tuning rows; None where one of them lacks a class."""
    chosen = {}
    y_true, y_score, tune_fold = tuning
    for k in folds:
        of_fold = tune_fold == k
        if np.unique(y_true[of_fold]).size != 2 or y_true[of_fold].max() > 1:
            return None
        chosen[k] = operating_point(y_true[of_fold], y_score[of_fold], rule).threshold
    return chosen


def _follow(score: FloatArray, fold: IntArray, answers: ObjectArray, thresholds: Mapping[int, float]) -> bool:
    """Whether all decisions that were made are those of the thresholds."""
    at = np.array([thresholds[int(k)] for k in fold])
    made = np.isin(answers, ("positive", "negative"))
    return bool(np.all((score >= at)[made] == (answers == "positive")[made]))


def _cuts(score: FloatArray, fold: IntArray, answers: ObjectArray) -> dict[int, float]:
    """Thresholds that the decisions follow from; none where they are no cut of the score."""
    found = {}
    for k in np.unique(fold):
        yes, no = score[(fold == k) & (answers == "positive")], score[(fold == k) & (answers == "negative")]
        if not yes.size or not no.size or yes.min() <= no.max():
            return {}
        found[int(k)] = float((yes.min() + no.max()) / 2)
    return found


def _on_one_scale(
    score: FloatArray, fold: IntArray, tuning: tuple[FloatArray, FloatArray, IntArray]
) -> tuple[FloatArray, str]:
    """Scores that may be compared across folds, and what was done to them."""
    folds = np.unique(fold)
    if folds.size < 2:
        return score, ""
    if not set(folds) <= set(tuning[2]):
        return score, "; scores of several folds as they are"
    ranks = np.empty(score.size)
    for k in folds:
        reference, count = np.unique(tuning[1][tuning[2] == k], return_counts=True)
        rank = (np.cumsum(count) - count / 2) / count.sum()
        # Straight lines between neighbours, and to points beyond the range of scores, keep the order within a fold.
        ranks[fold == k] = np.interp(score[fold == k], [-1, *reference, 2], [0, *rank, 1])
    return ranks, "; scores as ranks among the tuning specimens of their fold"


def _folds(rows: "pd.DataFrame") -> IntArray:
    if "fold" not in rows:
        return np.full(len(rows), -1, np.int64)
    return np.asarray(rows["fold"].astype("Int64").fillna(-1), np.int64)


def _text(rows: "pd.DataFrame", column: str) -> ObjectArray:
    return rows[column].fillna("").to_numpy(object) if column in rows else np.full(len(rows), "", object)


def _numbers(rows: "pd.DataFrame", column: str) -> FloatArray:
    if column not in rows:
        return np.full(len(rows), np.nan)
    return np.asarray(rows[column].astype("Float64").to_numpy(np.float64, na_value=np.nan), np.float64)


def _level_probabilities(rows: "pd.DataFrame") -> FloatArray:
    """Columns level_probability_0, _1, ... as far as all of these rows have them."""
    columns: list[FloatArray] = []
    while (name := f"{LEVEL_PROBABILITY}{len(columns)}") in rows:
        cells = rows[name]
        if (cells.isna() | (cells.astype(str) == "")).any():
            break
        columns.append(cells.to_numpy(object).astype(np.float64))
    return np.stack(columns, axis=1) if columns else np.empty((len(rows), 0))

"""The band of logits in which a locked model says "indeterminate": conformal risk control over patients."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glioscope.core import Abstention, InputError, PatientRisk, Promise

from ._input import BoolArray, FloatArray, IntArray, as_groups, as_pair


def patients_for_promise(miscoverage: float) -> int:
    """The fewest patients with a class that let a promise be made to it: 1 / (K + 1) must not exceed it."""
    # The slack is for shares such as 0.1, whose inverse is a hair above the whole number.
    return max(1, math.ceil(1 / miscoverage - 1 - 1e-9))


def promise_refusal(class_name: str, n_patients: int, miscoverage: float) -> str:
    """Why this many patients with a class allow no promise to it, as a sentence; "" where they do."""
    k, needed = n_patients, patients_for_promise(miscoverage)
    if k >= needed:
        return ""
    return (
        f"a miscoverage of {miscoverage:g} cannot be promised to {class_name}: with {k} patient{'s' * (k != 1)} the "
        f"least is 1/{k + 1} = {1 / (k + 1):.3g}; {needed} patients with this class are needed"
    )


def abstention_band(
    y_true: npt.ArrayLike,
    logit: npt.ArrayLike,
    groups: npt.ArrayLike,
    *,
    threshold: float,
    miscoverage: float = 0.10,
    class_names: Sequence[str] = ("negative", "positive"),
) -> Abstention:
    """Where to abstain, so that either class's specimens seldom get the other class's name.

    For each class, the loss of a patient is the share of his specimens of this class that would be answered as the
    other one. The limit is the most permissive logit at which (sum of losses + 1) / (K + 1) is at most `miscoverage`,
    K being the patients with this class. The mean loss of a new patient is then at most `miscoverage`, if patients are
    exchangeable and one fixed network scores them all. Out-of-fold scores come from several networks, so with them it
    holds as nearly as those resemble the final one. Nothing is promised of a single specimen or patient.

    "Negative" is answered below min(positive limit, threshold), "positive" from max(negative limit, threshold) on. A
    promise below 1 / (K + 1) is refused; that class then leaves the band as it is.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1. A class may be missing; its promise is then refused.
    logit : array-like (n_specimens,), finite, from networks that had not seen the specimen's patient.
    groups : array-like (n_specimens,), the patient of each specimen.
    threshold : the locked threshold on the logit; positive at `logit >= threshold`.
    miscoverage : between 0 and 1, for each class.
    class_names : names of the negative and the positive class.

    Raises
    ------
    InputError : `miscoverage` not between 0 and 1, a threshold or logits that are not finite, labels other than 0 and
        1, lengths that differ.

    References
    ----------
    Angelopoulos et al., "Conformal risk control", ICLR 2024, Theorem 1.
    """
    if not 0 < miscoverage < 1:
        raise InputError(f"miscoverage {miscoverage:g} is not between 0 and 1")
    labels, logits = as_pair(y_true, logit, both_classes=False)
    if not (np.isfinite(logits).all() and math.isfinite(threshold)):
        raise InputError("the threshold or a logit is infinite; an abstention band needs finite ones")
    index = as_groups(groups, labels.size)[0]
    # Turned round, a negative that is called positive is one that lies too low.
    negative = _Class(class_names[0], -logits[~labels], index[~labels])
    positive = _Class(class_names[1], logits[labels], index[labels])
    turned, limit = negative.limit(miscoverage), positive.limit(miscoverage)
    high = threshold if turned is None else max(-turned, threshold)
    low = threshold if limit is None else min(limit, threshold)
    called = np.where(logits < low, -1, np.where(logits >= high, 1, 0))
    by_patient = _by_patient(labels, called, index, groups)
    return Abstention(
        low=low,
        high=high,
        negative=negative.promise(miscoverage, None if turned is None else -turned, called[~labels] > 0),
        positive=positive.promise(miscoverage, limit, called[labels] < 0),
        coverage=float(np.mean([patient.answered / patient.n for patient in by_patient.values()])),
        by_patient=by_patient,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Class:
    """Specimens of one class: the lower its `score`, the more a specimen looks like the other class."""

    name: str
    score: FloatArray
    index: IntArray

    @property
    def n_patients(self) -> int:
        return int(np.unique(self.index).size)

    def limit(self, miscoverage: float) -> float | None:
        """The highest score below which the other class may be named; None where there are too few patients."""
        if promise_refusal(self.name, self.n_patients, miscoverage):
            return None
        size = np.bincount(self.index)[self.index]
        order = np.argsort(self.score, kind="stable")
        # The sum of losses once the specimens up to this one are called by the wrong name.
        losses = np.cumsum(1 / size[order])
        too_many = losses + 1 > miscoverage * (self.n_patients + 1) + 1e-9
        first = float(self.score[order][np.argmax(too_many)])
        # Just below it, so that it makes no difference on which side of the limit an equal score would fall.
        return float(np.nextafter(first, -np.inf))

    def promise(self, miscoverage: float, limit: float | None, wrong: BoolArray) -> Promise:
        losses = self._losses(wrong)
        return Promise(
            class_name=self.name,
            miscoverage=miscoverage,
            limit=limit,
            refused=promise_refusal(self.name, self.n_patients, miscoverage),
            n_patients=self.n_patients,
            achieved=float(losses.mean()) if losses.size else None,
            worst=float(losses.max()) if losses.size else None,
        )

    def _losses(self, wrong: BoolArray) -> FloatArray:
        """Share of specimens that were called by the wrong name, for each patient with this class."""
        _, place, size = np.unique(self.index, return_inverse=True, return_counts=True)
        return np.asarray(np.bincount(place, wrong, size.size) / size, np.float64)


def _by_patient(
    labels: BoolArray, called: npt.NDArray[np.int64], index: IntArray, groups: npt.ArrayLike
) -> dict[str, PatientRisk]:
    """Patient -> what the band does to his specimens, patients in the order of their names as text."""
    names = sorted({str(name) for name in np.asarray(groups, dtype=object).ravel()})
    answered = called != 0
    wrong = answered & ((called > 0) != labels)
    columns = [np.bincount(index, mask) for mask in (np.ones(labels.size), answered, wrong)]
    return {
        name: PatientRisk(n=int(n), answered=int(a), wrong=int(w))
        for name, n, a, w in zip(names, *columns, strict=True)
    }

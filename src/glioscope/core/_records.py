"""Words with one meaning everywhere, and the answer that the system gives (contract 6)."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Modality(StrEnum):
    """Which images a network reads."""

    FL = "fl"
    WL = "wl"
    FUSION = "fusion"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the image inputs: ("fl",), ("wl",) or ("fl", "wl")."""
        return ("fl", "wl") if self is Modality.FUSION else (self.value,)


class Role(StrEnum):
    """What a patient is used for in one fold."""

    TRAIN = "train"
    TUNE = "tune"
    TEST = "test"


class Decision(StrEnum):
    """What the system says of one task."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    LEVEL = "level"
    """An ordinal task: neither positive nor negative; `answer` names the level."""
    INDETERMINATE = "indeterminate"
    NOT_ASSESSABLE = "not_assessable"
    """An image that the task needs is not there; `reasons` says which."""
    NOT_ASKED = "not_asked"
    """Grade and Ki-67 of a specimen that is not called tumour."""


@dataclass(frozen=True, slots=True)
class TaskDiagnosis:
    """The answer to one task for one specimen.

    `y_score` is the sigmoid of the logit (not a calibrated probability). For ordinal tasks it is the expected level
    divided by K-1, `level` names the most probable class and `level_probabilities` has all of them.
    """

    task: str
    decision: Decision
    answer: str
    """The class name as a person reads it, for example "tumour" or "GBM"."""
    y_score: float | None
    threshold: float | None
    """Decision threshold on the scale of `y_score`."""
    bundle: str
    level_probabilities: tuple[float, ...] = ()
    y_probability: float | None = None
    reasons: tuple[str, ...] = ()
    """What whoever reads the answer has to know of it, a sentence each."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All answers for one specimen, or the one sentence that says why there is none."""

    specimen_id: str
    tasks: tuple[TaskDiagnosis, ...] = ()
    error: str | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    preparation: dict[str, tuple[dict[str, Any], ...]] = field(default_factory=dict)
    """Input ("fl", "wl") -> for each image: its file name and the `PlanRecord` of its preparation."""

    def to_json(self) -> dict[str, Any]:
        """The record as plain types, ready for `json.dumps`."""
        return {
            "schema_version": 1,
            "specimen_id": self.specimen_id,
            "error": self.error,
            "tasks": {
                t.task: {
                    "decision": t.decision.value,
                    "answer": t.answer,
                    "y_score": t.y_score,
                    "y_probability": t.y_probability,
                    "threshold": t.threshold,
                    "bundle": t.bundle,
                    "level_probabilities": list(t.level_probabilities),
                    "reasons": list(t.reasons),
                }
                for t in self.tasks
            },
            "preparation": {name: list(records) for name, records in self.preparation.items()},
            "timings_ms": {name: round(value, 3) for name, value in self.timings_ms.items()},
            "notice": "Research use only. Not a medical device.",
        }

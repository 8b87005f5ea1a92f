"""Words with one meaning everywhere, and the answer that the system gives (contract 6)."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIAGNOSIS_SCHEMA = 2


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
    """Assessed, and too near the threshold to keep the promise of the bundle's abstention band."""
    NOT_ASSESSABLE = "not_assessable"
    """An image that the task needs is missing, not good enough, or unlike the training images; `reasons` says why."""
    NOT_ASKED = "not_asked"
    """Grade and Ki-67 of a specimen that is not called tumour."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an image is not assessable, or what whoever reads an answer has to know of it.

    Attributes
    ----------
    name : identifier that stays the same between versions, for example "fl_saturated".
    sentence : what a surgeon reads, with what to do about it where something can be done.
    slot : the images it is about: "fl", "wl", "pair" (the two do not belong together), or "" (neither).
    value, limit : what was measured and what is allowed, in `unit`; None where nothing was measured.
    """

    name: str
    sentence: str
    slot: str = ""
    value: float | None = None
    limit: float | None = None
    unit: str = ""

    def to_json(self) -> dict[str, Any]:
        """The record as plain types."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class TaskDiagnosis:
    """The answer to one task for one specimen.

    `y_score` is the sigmoid of the logit (not a calibrated probability). For ordinal tasks it is the expected level
    divided by K-1, `level` names the most probable class and `level_probabilities` has all of them.
    """

    task: str
    decision: Decision
    answer: str
    """The class name as a person reads it, for example "tumour", "GBM" or "indeterminate"."""
    y_score: float | None
    threshold: float | None
    """Decision threshold on the scale of `y_score`."""
    bundle: str
    level_probabilities: tuple[float, ...] = ()
    y_probability: float | None = None
    """Calibrated probability of the positive class; None where the bundle has no calibration or nothing was asked."""
    y_interval: tuple[float, float] | None = None
    """What the calibration patients leave open of `y_probability`: low, high."""
    band: tuple[float, float] | None = None
    """On the scale of `y_score`: from low up to, not including, high the answer is "indeterminate"."""
    envelope: float | None = None
    """Distance of the features from the training images, as a multiple of the limit: above 1 is not assessable."""
    reasons: tuple[Reason, ...] = ()
    cams: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """Input -> signed map float32 (h, w) on the prepared canvas, in logits (contract 4); empty where not answered."""
    heatmap: str | None = None
    """Where the map was written, for whoever reads the JSON."""

    def to_json(self) -> dict[str, Any]:
        """The record as plain types; the maps themselves are not in it."""
        return {
            "decision": self.decision.value,
            "answer": self.answer,
            "y_score": self.y_score,
            "y_probability": self.y_probability,
            "y_interval": None if self.y_interval is None else list(self.y_interval),
            "threshold": self.threshold,
            "band": None if self.band is None else list(self.band),
            "bundle": self.bundle,
            "level_probabilities": list(self.level_probabilities),
            "envelope": self.envelope,
            "reasons": [reason.to_json() for reason in self.reasons],
            "heatmap": self.heatmap,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Diagnosis:
    """All answers for one specimen; or, in `error`, the one sentence that says why its images cannot be read.

    `decision` sums it up: that of the first task.
    """

    specimen_id: str
    tasks: tuple[TaskDiagnosis, ...] = ()
    error: str | None = None
    reasons: tuple[Reason, ...] = ()
    """What the quality gate found wrong with the images; a task whose images it concerns is not assessable."""
    quality: dict[str, float] = field(default_factory=dict)
    """Everything that the gate measured, for records; the mean over several image sets."""
    timings_ms: dict[str, float] = field(default_factory=dict)
    preparation: dict[str, tuple[dict[str, Any], ...]] = field(default_factory=dict)
    """Input ("fl", "wl") -> for each image: its file name and the `PlanRecord` of its preparation."""
    box: tuple[int, int, int, int] | None = None
    """In a full frame: x, y, width, height of the specimen in px; cut images have none."""
    outline: NDArray[np.int32] | None = None
    """In a full frame: int32 (K, 2), x and y of the specimen's outline in px."""
    pixels: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Input -> the cut image as the camera gave it, of the first image set: for showing and keeping, not for JSON."""
    mask: NDArray[np.bool_] | None = None
    """In a full frame: bool (h, w), the specimen within `pixels`."""

    @property
    def decision(self) -> Decision:
        """The decision of the first task; not assessable where there is none."""
        return self.tasks[0].decision if self.tasks else Decision.NOT_ASSESSABLE

    def to_json(self) -> dict[str, Any]:
        """The record as plain types, ready for `json.dumps`."""
        return {
            "schema_version": DIAGNOSIS_SCHEMA,
            "specimen_id": self.specimen_id,
            "decision": self.decision.value,
            "error": self.error,
            "reasons": [reason.to_json() for reason in self.reasons],
            "tasks": {t.task: t.to_json() for t in self.tasks},
            "quality": {name: round(value, 6) for name, value in self.quality.items()},
            "box": None if self.box is None else list(self.box),
            "outline": None if self.outline is None else self.outline.tolist(),
            "preparation": {name: list(records) for name, records in self.preparation.items()},
            "timings_ms": {name: round(value, 3) for name, value in self.timings_ms.items()},
            "notice": "Research use only. Not a medical device.",
        }

"""From the logit of one specimen to what the system says of one task."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glioscope.core import BundleInfo, Decision, Reason, TaskDiagnosis

INDETERMINATE = "indeterminate"


def threshold_note(info: BundleInfo) -> Reason | None:
    """Why the threshold of a bundle is not one that tuning patients chose; None where they did.

    The levels of an ordinal task need no threshold.
    """
    chosen_on = info.threshold.chosen_on
    if chosen_on == "tune" or (info.task.ordinal and chosen_on == "fixed"):
        return None
    sentence = f"the threshold of {info.name} was not chosen on tuning patients ({chosen_on})"
    return Reason("threshold_not_tuned", sentence)


def decide(info: BundleInfo, logit: NDArray[np.float64], envelope: float | None = None) -> TaskDiagnosis:
    """Turn the logit (K,) of one specimen into an answer, or into none.

    Parameters
    ----------
    info : carries the locked threshold, calibration and abstention band.
    logit : float64 (K,).
    envelope : distance of the features from the training images as a multiple of the limit; above 1 the specimen is
        not assessable.
    """
    notes = () if (note := threshold_note(info)) is None else (note,)
    if envelope is not None and not envelope <= 1:
        return not_assessable(info, (_outside(info, envelope), *notes), envelope)
    return _level(info, logit, envelope, notes) if info.task.ordinal else _two(info, logit, envelope, notes)


def not_assessable(info: BundleInfo, reasons: Sequence[Reason], envelope: float | None = None) -> TaskDiagnosis:
    """No answer, and why."""
    return TaskDiagnosis(
        info.task.name,
        Decision.NOT_ASSESSABLE,
        "not assessable",
        None,
        None,
        info.name,
        envelope=envelope,
        reasons=tuple(reasons),
    )


def not_asked(info: BundleInfo, why: str) -> TaskDiagnosis:
    """A task that the cascade does not come to."""
    return TaskDiagnosis(info.task.name, Decision.NOT_ASKED, f"not asked: {why}", None, None, info.name)


def _two(
    info: BundleInfo, logit: NDArray[np.float64], envelope: float | None, notes: tuple[Reason, ...]
) -> TaskDiagnosis:
    """Positive at or above the threshold, unless the logit lies in the abstention band."""
    value, threshold = float(logit[0]), info.threshold.logit[0]
    negative, positive = info.task.class_names
    decision, answer, band = Decision.NEGATIVE, negative, None
    if value >= threshold:
        decision, answer = Decision.POSITIVE, positive
    if info.abstention is not None:
        band = (sigmoid(info.abstention.low), sigmoid(info.abstention.high))
        if info.abstention.low <= value < info.abstention.high:
            decision, answer = Decision.INDETERMINATE, INDETERMINATE
    probability, low, high = info.calibration[0].probability(value) if info.calibration else (None, None, None)
    return TaskDiagnosis(
        info.task.name,
        decision,
        answer,
        sigmoid(value),
        sigmoid(threshold),
        info.name,
        y_probability=probability,
        y_interval=None if low is None or high is None else (low, high),
        band=band,
        envelope=envelope,
        reasons=notes,
    )


def _level(
    info: BundleInfo, logit: NDArray[np.float64], envelope: float | None, notes: tuple[Reason, ...]
) -> TaskDiagnosis:
    """The most probable of the ordered levels."""
    # Imported here: it brings SciPy, which the built-in tasks do without and which would delay every start.
    from glioscope.stats import level_probabilities

    raw = np.array([sigmoid(float(value)) for value in logit])
    calibrated = [c.probability(float(v))[0] for c, v in zip(info.calibration, logit, strict=False)]
    levels = level_probabilities(np.array(calibrated or raw)[None])[0]
    return TaskDiagnosis(
        info.task.name,
        Decision.LEVEL,
        info.task.class_names[int(levels.argmax())],
        float(raw.mean()),
        None,
        info.name,
        tuple(float(v) for v in levels),
        envelope=envelope,
        reasons=notes,
    )


def _outside(info: BundleInfo, envelope: float) -> Reason:
    sentence = (
        f"the image looks unlike those that {info.name} was trained on ({envelope:.2f} times the accepted distance): "
        "check specimen, focus and settings"
    )
    return Reason("outside_envelope", sentence, value=envelope, limit=1.0)


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))

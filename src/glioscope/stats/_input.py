"""Checks that every kernel makes on its input, each failing with one sentence."""

from typing import Any

import numpy as np
import numpy.typing as npt

from glioscope.core import InputError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


def as_vector(values: npt.ArrayLike, name: str) -> FloatArray:
    """`values` as a float64 vector without NaN; `name` is what the error calls it."""
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} has values that are not numbers: {error}") from None
    if vector.ndim != 1:
        raise InputError(f"{name} has {vector.ndim} dimensions; it must be a vector with one value a specimen")
    if vector.size == 0:
        raise InputError(f"{name} is empty")
    missing = int(np.isnan(vector).sum())
    if missing:
        raise InputError(f"{name} has {missing} blank (NaN) of {vector.size} values; drop masked specimens first")
    return vector


def as_labels(y_true: npt.ArrayLike) -> BoolArray:
    """`y_true` as a boolean vector; only 0 and 1 are accepted."""
    labels = as_vector(y_true, "y_true")
    wrong = labels[(labels != 0) & (labels != 1)]
    if wrong.size:
        raise InputError(f"y_true has {wrong[0]:g}; a label is 0 (negative) or 1 (positive)")
    positive: BoolArray = labels == 1
    return positive


def as_pair(
    y_true: npt.ArrayLike, y_score: npt.ArrayLike, *, both_classes: bool = True
) -> tuple[BoolArray, FloatArray]:
    """Labels and scores of equal length; `both_classes` asks for at least one specimen of each class."""
    labels, scores = as_labels(y_true), as_vector(y_score, "y_score")
    if labels.size != scores.size:
        raise InputError(f"y_true has {labels.size} values and y_score {scores.size}; they must match")
    if both_classes:
        positives = int(labels.sum())
        if positives in (0, labels.size):
            only = "positive" if positives else "negative"
            raise InputError(f"all {labels.size} labels are {only}; both classes are needed")
    return labels, scores


def as_groups(groups: npt.ArrayLike | Any, size: int) -> tuple[IntArray, int]:
    """Group of each specimen as 0..K-1, and K. Groups are patients, given by any hashable name."""
    names = np.asarray(groups, dtype=object).ravel() if not isinstance(groups, np.ndarray) else groups.ravel()
    if names.size != size:
        raise InputError(f"groups has {names.size} values and y_true {size}; they must match")
    if any(name is None or name != name for name in names):
        raise InputError("groups has a blank (None or NaN); every specimen has a patient")
    # Only the distinct names are sorted, so that the order of rows does not matter and a million rows stay quick.
    seen: dict[str, int] = {}
    first = np.fromiter((seen.setdefault(str(name), len(seen)) for name in names.tolist()), np.int64, size)
    place = np.argsort(np.argsort(np.array(list(seen), dtype=np.str_)))
    return place[first].astype(np.int64), len(seen)


def check_level(confidence_level: float) -> float:
    """The confidence level, which must lie between 0 and 1."""
    if not 0 < confidence_level < 1:
        raise InputError(f"confidence_level {confidence_level:g} is not between 0 and 1")
    return float(confidence_level)

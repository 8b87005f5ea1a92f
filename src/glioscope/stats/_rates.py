"""Metrics of two-by-two tables as functions of arrays of counts, for many tables at once."""

from collections.abc import Callable
from typing import Final

import numpy as np

from glioscope.core import InputError

from ._input import BoolArray, FloatArray


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    ratio: FloatArray = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)
    return ratio


_Formula = Callable[[FloatArray, FloatArray, FloatArray, FloatArray], FloatArray]

RATES: Final[dict[str, _Formula]] = {
    "sensitivity": lambda tp, fp, tn, fn: _share(tp, tp + fn),
    "specificity": lambda tp, fp, tn, fn: _share(tn, tn + fp),
    "ppv": lambda tp, fp, tn, fn: _share(tp, tp + fp),
    "npv": lambda tp, fp, tn, fn: _share(tn, tn + fn),
    "f1": lambda tp, fp, tn, fn: _share(2 * tp, 2 * tp + fp + fn),
    "accuracy": lambda tp, fp, tn, fn: _share(tp + tn, tp + fp + tn + fn),
    "balanced_accuracy": lambda tp, fp, tn, fn: (_share(tp, tp + fn) + _share(tn, tn + fp)) / 2,
    "mcc": lambda tp, fp, tn, fn: _share(tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))),
}
"""Name -> formula of (tp, fp, tn, fn); weighted counts need not be whole."""


def rate(name: str, tp: FloatArray, fp: FloatArray, positives: FloatArray, negatives: FloatArray) -> FloatArray:
    """Metric `name` (a key of `RATES`) of each table; NaN where there is nothing below the line.

    Raises
    ------
    InputError : unknown name.
    """
    if name not in RATES:
        raise InputError(f"metric {name!r} is unknown; there are {', '.join(RATES)}")
    return RATES[name](tp, fp, negatives - fp, positives - tp)


def call_cells(labels: BoolArray, calls: FloatArray) -> FloatArray:
    """What each specimen adds to tp, fp, positives and negatives: float64 (n_specimens, 4).

    A call is 0 or 1, or, for a panel, the share of its readers who said positive: the panel's table is then the mean of
    its readers' tables.

    Raises
    ------
    InputError : lengths that differ, a call outside [0, 1].
    """
    if calls.size != labels.size:
        raise InputError(f"y_true has {labels.size} values and the calls {calls.size}; they must match")
    wrong = calls[(calls < 0) | (calls > 1)]
    if wrong.size:
        raise InputError(f"a call is {wrong[0]:g}; calls are 0 or 1, or a panel's share of positive readings")
    return np.stack([labels * calls, ~labels * calls, labels, ~labels], axis=1).astype(np.float64)

"""The integer tables behind the printed ratios of Shen et al. 2021, Tables 1 and 2, and how they are found."""

import numpy as np

from glioscope.report._published import PUBLISHED
from glioscope.stats import Confusion

ROWS = {
    (task, method): {metric: printed.value for metric, printed in values.items() if metric != "auc"}
    for task, published in PUBLISHED.items()
    for method, values in published.values.items()
}
"""(task, method) -> metric -> printed three digits."""

TABLES = {
    ("tumor", "fl"): Confusion(tp=375, fp=37, tn=171, fn=25),
    ("tumor", "reader_fl"): Confusion(tp=365, fp=82, tn=126, fn=35),
    ("tumor", "reader_wl"): Confusion(tp=328, fp=36, tn=172, fn=72),
    ("tumor", "wl"): Confusion(tp=328, fp=41, tn=167, fn=72),  # fits all but the printed sensitivity
    ("grade", "fl"): Confusion(tp=20, fp=24, tn=239, fn=13),
    ("grade", "wl"): Confusion(tp=18, fp=75, tn=188, fn=15),
    ("ki67", "fl"): Confusion(tp=105, fp=72, tn=55, fn=30),
    ("ki67", "wl"): Confusion(tp=114, fp=63, tn=64, fn=21),
}
"""The only table of each row, as `test_paper.py` proves."""

_RATIOS = {
    "sensitivity": lambda tp, fp, tn, fn: (tp, tp + fn),
    "specificity": lambda tp, fp, tn, fn: (tn, tn + fp),
    "ppv": lambda tp, fp, tn, fn: (tp, tp + fp),
    "npv": lambda tp, fp, tn, fn: (tn, tn + fn),
    "f1": lambda tp, fp, tn, fn: (2 * tp, 2 * tp + fp + fn),
    "accuracy": lambda tp, fp, tn, fn: (tp + tn, tp + fp + tn + fn),
}


def solutions(printed, n_positive, n_negative):
    """All tables with these class totals whose ratios round, up or down at a half, to the printed three digits."""
    tp, tn = np.ogrid[: n_positive + 1, : n_negative + 1]
    if "sensitivity" in printed:  # only a few rows and columns can fit: the rest need not be tried
        tp = tp[_rounds_to(printed["sensitivity"], tp, n_positive)][:, None]
    if "specificity" in printed:
        tn = tn[_rounds_to(printed["specificity"], tn, n_negative)][None, :]
    fits = np.ones(np.broadcast_shapes(tp.shape, tn.shape), bool)
    for metric, value in printed.items():
        fits &= _rounds_to(value, *_RATIOS[metric](tp, n_negative - tn, tn, n_positive - tp))
    hits = [(int(tp[i, 0]), int(tn[0, j])) for i, j in np.argwhere(fits)]
    return [Confusion(tp=a, fp=n_negative - b, tn=b, fn=n_positive - a) for a, b in hits]


def class_splits(rows, n):
    """Numbers of positives among `n` specimens for which every one of these rows has a solution."""
    return [k for k in range(1, n) if all(solutions(row, k, n - k) for row in rows)]


def _rounds_to(value, part, whole):
    """In whole numbers, so that nothing hangs on how a half is stored."""
    return (np.abs(2000 * part - 2 * round(1000 * value) * whole) <= whole) & (whole > 0)

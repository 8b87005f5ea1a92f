"""What Shen et al. 2021 printed: the numbers that a new study is compared with, and which of them contradict the rest.

Every value is as printed, right or wrong; `DOUBTS` names those that cannot be right, and `tests/stats/test_paper.py`
shows why by calculation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from glioscope.stats import Estimate

SOURCE: Final = (
    "Shen B, Zhang Z, Shi X et al. Real-time intraoperative glioma diagnosis using fluorescence imaging and deep "
    "convolutional neural networks. Eur J Nucl Med Mol Imaging, 2021. doi:10.1007/s00259-021-05326-y"
)

NAN: Final = float("nan")


@dataclass(frozen=True, slots=True)
class PrintedDifference:
    """FL-CNN minus another method, as printed.

    `difference`, `low` and `high` are NaN where only P is printed. `below` says that P is printed as "P < `pvalue`".
    The captions call P two-sided; see `DOUBTS`.
    """

    difference: float
    low: float
    high: float
    pvalue: float
    below: bool = False


@dataclass(frozen=True, slots=True)
class PublishedTask:
    """One task's test set and printed results.

    Attributes
    ----------
    n_positive, n_negative : specimens of each class; the sums are printed, the split is the only one that fits the
        printed ratios. PPV, NPV, F1 and accuracy hold at this prevalence only.
    values : method -> metric -> printed value with 95 % interval (1000 bootstrap resamples). Methods are `fl` and `wl`
        (FL-CNN, WL-CNN), `reader_fl` and `reader_wl` (a neurosurgeon with FL or WL images).
    differences : method -> metric -> FL-CNN minus that method, P by permutation (10,000 resamples).
    """

    n_positive: int
    n_negative: int
    values: Mapping[str, Mapping[str, Estimate]]
    differences: Mapping[str, Mapping[str, PrintedDifference]]


@dataclass(frozen=True, slots=True)
class ReaderErrors:
    """Wrong calls of the three readers, one number a reader, and how many of them FL-CNN corrected."""

    errors: tuple[int, int, int]
    corrected: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Doubt:
    """Printed numbers that contradict others of the same paper: do not chase them.

    `task`, `method` and `metrics` say where they stand (empty: everywhere), `printed` what is there, `reason` why it
    cannot be right.
    """

    task: str
    method: str
    metrics: tuple[str, ...]
    printed: str
    reason: str


def _value(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, low, high, method="bootstrap, as printed", n_resamples=1000)


def _difference(difference: float, low: float, high: float, pvalue: float) -> PrintedDifference:
    return PrintedDifference(difference, low, high, pvalue)


def _below(difference: float, low: float, high: float, pvalue: float) -> PrintedDifference:
    return PrintedDifference(difference, low, high, pvalue, below=True)


TUMOUR: Final = PublishedTask(
    n_positive=400,
    n_negative=208,
    values={
        "fl": {
            "auc": _value(0.945, 0.925, 0.960),
            "specificity": _value(0.822, 0.729, 0.877),
            "sensitivity": _value(0.938, 0.922, 0.966),
            "ppv": _value(0.910, 0.866, 0.936),
            "npv": _value(0.872, 0.835, 0.925),
            "f1": _value(0.924, 0.900, 0.940),
        },
        "reader_fl": {
            "specificity": _value(0.606, 0.541, 0.672),
            "sensitivity": _value(0.912, 0.881, 0.938),
            "ppv": _value(0.817, 0.778, 0.848),
            "npv": _value(0.783, 0.711, 0.843),
            "f1": _value(0.862, 0.834, 0.883),
        },
        "reader_wl": {
            "specificity": _value(0.827, 0.773, 0.875),
            "sensitivity": _value(0.820, 0.782, 0.855),
            "ppv": _value(0.901, 0.868, 0.929),
            "npv": _value(0.705, 0.645, 0.762),
            "f1": _value(0.859, 0.832, 0.884),
        },
        "wl": {
            "auc": _value(0.873, 0.843, 0.900),
            "specificity": _value(0.803, 0.599, 0.872),
            "sensitivity": _value(0.821, 0.804, 0.863),
            "ppv": _value(0.889, 0.792, 0.926),
            "npv": _value(0.699, 0.644, 0.760),
            "f1": _value(0.853, 0.815, 0.878),
        },
    },
    differences={
        "reader_fl": {
            "specificity": _below(0.216, 0.125, 0.303, 0.0001),
            "sensitivity": _difference(0.025, -0.038, 0.088, 0.2106),
            "ppv": _below(0.094, 0.059, 0.129, 0.0001),
            "npv": _difference(0.090, 0.008, 0.171, 0.0159),
            "f1": _difference(0.062, 0.019, 0.104, 0.0017),
        },
        "reader_wl": {
            "specificity": _difference(-0.005, -0.096, 0.087, 0.5216),
            "sensitivity": _difference(0.118, 0.053, 0.185, 0.0003),
            "ppv": _difference(0.009, -0.031, 0.049, 0.3231),
            "npv": _below(0.168, 0.094, 0.239, 0.0001),
            "f1": _difference(0.065, 0.017, 0.113, 0.0042),
        },
        "wl": {
            "auc": _below(NAN, NAN, NAN, 0.001),
            "specificity": _difference(0.019, -0.072, 0.111, 0.3636),
            "sensitivity": _difference(0.118, 0.050, 0.185, 0.0002),
            "ppv": _difference(0.021, -0.019, 0.062, 0.1544),
            "npv": _below(0.174, 0.102, 0.247, 0.0001),
            "f1": _difference(0.071, 0.022, 0.118, 0.0016),
        },
    },
)
"""Table 1 (tumour against non-tumour), and the AUCs of the results section."""

GRADE: Final = PublishedTask(
    n_positive=33,
    n_negative=263,
    values={
        "fl": {
            "auc": _value(0.810, 0.712, 0.874),
            "accuracy": _value(0.875, 0.826, 0.905),
            "sensitivity": _value(0.606, 0.429, 0.758),
            "specificity": _value(0.909, 0.867, 0.939),
            "f1": _value(0.519, 0.374, 0.650),
        },
        "wl": {
            "auc": _value(0.688, 0.600, 0.758),
            "accuracy": _value(0.696, 0.639, 0.747),
            "sensitivity": _value(0.545, 0.379, 0.714),
            "specificity": _value(0.715, 0.655, 0.768),
            "f1": _value(0.286, 0.188, 0.387),
        },
    },
    differences={
        "wl": {
            "auc": _difference(0.127, 0.016, 0.235, 0.0091),
            "accuracy": _below(0.179, 0.108, 0.250, 0.0001),
            "sensitivity": _difference(0.061, -0.152, 0.273, 0.2341),
            "specificity": _below(0.194, 0.122, 0.266, 0.0001),
            "f1": _below(0.234, 0.110, 0.360, 0.0001),
        },
    },
)
"""Table 2, upper half (GBM against DLGG)."""

KI67: Final = PublishedTask(
    n_positive=135,
    n_negative=127,
    values={
        "fl": {
            "auc": _value(0.625, 0.560, 0.688),
            "accuracy": _value(0.611, 0.545, 0.649),
            "sensitivity": _value(0.778, 0.388, 0.911),
            "specificity": _value(0.433, 0.302, 0.748),
            "f1": _value(0.673, 0.502, 0.744),
        },
        "wl": {
            "auc": _value(0.689, 0.620, 0.751),
            "accuracy": _value(0.679, 0.615, 0.729),
            "sensitivity": _value(0.844, 0.740, 0.921),
            "specificity": _value(0.504, 0.349, 0.595),
            "f1": _value(0.731, 0.656, 0.781),
        },
    },
    differences={
        "wl": {
            "auc": _difference(-0.063, -0.161, 0.034, 0.1013),
            "accuracy": _difference(-0.073, -0.152, 0.007, 0.0440),
            "sensitivity": _difference(-0.089, -0.200, 0.022, 0.0594),
            "specificity": _difference(-0.056, -0.173, 0.063, 0.1839),
            "f1": _difference(-0.065, -0.141, 0.007, 0.0406),
        },
    },
)
"""Table 2, lower half (Ki-67 of at least 10 % against less)."""

PUBLISHED: Final[Mapping[str, PublishedTask]] = {"tumor": TUMOUR, "grade": GRADE, "ki67": KI67}
"""By the names that tasks have in a predictions table."""

TABLE_S1: Final[Mapping[str, Mapping[str, float]]] = {
    "5-ala": {"sensitivity": 0.706, "specificity": 0.811},
    "fl": {"sensitivity": 0.938, "specificity": 0.822},
}
"""Supplementary Table S1 as the discussion cites it: visible 5-ALA fluorescence, and FL-CNN."""

READER_ERRORS: Final[Mapping[str, ReaderErrors]] = {
    "fl": ReaderErrors(errors=(121, 117, 116), corrected=(90, 86, 85)),
    "wl": ReaderErrors(errors=(108, 108, 110), corrected=(82, 83, 85)),
}
"""Errors among the 608 specimens of the tumour test set, by the images that were read."""

FL_ERRORS: Final = 62
"""Errors of FL-CNN itself on these specimens: 25 tumours missed, 37 false alarms. Follows from Table 1, not printed."""

DOUBTS: Final = (
    Doubt(
        "tumor",
        "wl",
        ("sensitivity",),
        "0.821",
        "not a whole number of 400 tumours; the rest of the row and the printed difference fit 328 of 400 (0.820) only",
    ),
    Doubt(
        "tumor",
        "reader_fl",
        ("specificity", "sensitivity", "ppv", "npv", "f1"),
        "averaged individual neurosurgeons",
        "one reader's table (117 errors): no mean of three readers with 121, 117 and 116 errors rounds to it",
    ),
    Doubt(
        "tumor",
        "reader_wl",
        ("specificity", "sensitivity", "ppv", "npv", "f1"),
        "averaged individual neurosurgeons",
        "one reader's table (108 errors): no mean of three readers with 108, 108 and 110 errors rounds to it",
    ),
    Doubt(
        "tumor",
        "reader_fl",
        ("sensitivity",),
        "interval (0.881, 0.938)",
        "the bootstrap interval of 364 of 400, where the row itself has 365",
    ),
    Doubt(
        "grade",
        "wl",
        ("auc",),
        "difference +0.127",
        "the printed AUCs 0.810 and 0.688 differ by 0.121 to 0.123",
    ),
    Doubt(
        "ki67",
        "wl",
        ("accuracy", "sensitivity", "specificity", "f1"),
        "differences -0.073, -0.089, -0.056, -0.065",
        "the printed rows differ by -0.069, -0.067, -0.071 and -0.058; to 0.001 the printed ones fit only a WL-CNN "
        "with 117 of 135 and 62 of 127 right, where its row has 114 and 64",
    ),
    Doubt(
        "",
        "",
        (),
        "two-sided P",
        "each P that is printed as a number fits a one-sided test of the printed difference and interval, none a "
        "two-sided one; two of Ki-67 are starred as below 0.05 though their 95 % intervals hold 0",
    ),
)
"""What the printed numbers themselves refute, in the order of the tables."""

"""Diagnostic statistics: pure functions of labels and scores, with typed results and an explicit `rng`.

In: `y_true` (0/1, or levels), `y_score`, and patients as `groups`. Out: ROC curves, AUC with intervals (DeLong, by
patient, bootstrap), operating points, confusion tables, exact small-sample P values. No files, no models, no torch.
Next room: `models` (thresholds, metrics of a bundle) and `report` (tables and figures).
"""

from ._auc_ci import AucResult, auc_ci
from ._cluster import clustered_proportion
from ._confusion import Confusion, Interval, clopper_pearson, confusion, wilson
from ._evaluation import METRICS_SCHEMA, evaluate_predictions
from ._operating_point import OperatingPoint, operating_point
from ._ordinal import level_probabilities, quadratic_kappa
from ._permutation import SignFlipResult, sign_flip_pvalue
from ._roc import RocCurve, auc, roc_curve

__all__ = [
    "METRICS_SCHEMA",
    "AucResult",
    "Confusion",
    "Interval",
    "OperatingPoint",
    "RocCurve",
    "SignFlipResult",
    "auc",
    "auc_ci",
    "clopper_pearson",
    "clustered_proportion",
    "confusion",
    "evaluate_predictions",
    "level_probabilities",
    "operating_point",
    "quadratic_kappa",
    "roc_curve",
    "sign_flip_pvalue",
    "wilson",
]

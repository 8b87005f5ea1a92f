"""Diagnostic statistics: pure functions of labels and scores, with typed results and an explicit `rng`.

In: `y_true` (0/1, or levels), `y_score`, and patients as `groups`. Out: ROC curves, AUC with intervals (DeLong, by
patient, bootstrap), operating points, confusion tables, exact small-sample P values. No files, no models, no torch.
Next room: `models` (thresholds, metrics of a bundle) and `report` (tables and figures).
"""

from ._auc_ci import auc_ci
from ._bootstrap import Bootstrap, bootstrap, bootstrap_calls, bootstrap_difference
from ._cluster import clustered_proportion
from ._confusion import Confusion, clopper_pearson, confusion, wilson
from ._estimate import Comparison, Estimate, Interval
from ._evaluation import METRICS_SCHEMA, evaluate_predictions
from ._jackknife import jackknife_estimate, rates_without_each_group
from ._operating_point import OperatingPoint, operating_point
from ._ordinal import level_probabilities, quadratic_kappa
from ._permutation import SignFlipResult, permutation_test, sign_flip_pvalue
from ._rates import RATES
from ._roc import RocCurve, auc, roc_curve

__all__ = [
    "METRICS_SCHEMA",
    "RATES",
    "Bootstrap",
    "Comparison",
    "Confusion",
    "Estimate",
    "Interval",
    "OperatingPoint",
    "RocCurve",
    "SignFlipResult",
    "auc",
    "auc_ci",
    "bootstrap",
    "bootstrap_calls",
    "bootstrap_difference",
    "clopper_pearson",
    "clustered_proportion",
    "confusion",
    "evaluate_predictions",
    "jackknife_estimate",
    "level_probabilities",
    "operating_point",
    "permutation_test",
    "quadratic_kappa",
    "rates_without_each_group",
    "roc_curve",
    "sign_flip_pvalue",
    "wilson",
]

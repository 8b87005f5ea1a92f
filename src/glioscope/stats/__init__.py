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
from ._evaluation import (
    METRICS_SCHEMA,
    TaskResult,
    all_called,
    auc_by,
    counts,
    evaluate_predictions,
    evaluate_task,
    unanswered_counts,
)
from ._jackknife import jackknife_estimate, rates_without_each_group
from ._methods import Method, Operating, model_methods, paired
from ._multiplicity import holm
from ._operating_point import OperatingPoint, operating_point
from ._ordinal import level_probabilities, quadratic_kappa
from ._permutation import SignFlipResult, permutation_test, sign_flip_pvalue
from ._protocols import METRIC_NAMES, RATE_NAMES, Paper, Protocol, Strict, default_rule, protocols
from ._rates import RATES
from ._roc import RocCurve, auc, roc_curve

__all__ = [
    "METRICS_SCHEMA",
    "METRIC_NAMES",
    "RATES",
    "RATE_NAMES",
    "Bootstrap",
    "Comparison",
    "Confusion",
    "Estimate",
    "Interval",
    "Method",
    "Operating",
    "OperatingPoint",
    "Paper",
    "Protocol",
    "RocCurve",
    "SignFlipResult",
    "Strict",
    "TaskResult",
    "all_called",
    "auc",
    "auc_by",
    "auc_ci",
    "bootstrap",
    "bootstrap_calls",
    "bootstrap_difference",
    "clopper_pearson",
    "clustered_proportion",
    "confusion",
    "counts",
    "default_rule",
    "evaluate_predictions",
    "evaluate_task",
    "holm",
    "jackknife_estimate",
    "level_probabilities",
    "model_methods",
    "operating_point",
    "paired",
    "permutation_test",
    "protocols",
    "quadratic_kappa",
    "rates_without_each_group",
    "roc_curve",
    "sign_flip_pvalue",
    "unanswered_counts",
    "wilson",
]

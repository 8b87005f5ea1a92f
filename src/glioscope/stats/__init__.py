"""Diagnostic statistics: pure functions of labels and scores, with typed results and an explicit `rng`.

In: `y_true` (0/1, or levels), `y_score`, and patients as `groups`. Out: ROC curves, AUC and rates with intervals
(DeLong, jackknife by patient, bootstrap), operating points, paired tests, multi-reader analysis, agreement,
calibration, decision curves, sample size; and `evaluate_task`, which takes a predictions table under the strict or the
paper's protocol. No files, no models, no torch. Next room: `models` (thresholds, metrics of a bundle) and `report`.
"""

from ._abstention import abstention_band, patients_for_promise, promise_refusal
from ._agreement import Kappa, cohen_kappa, fleiss_kappa
from ._auc_ci import auc_ci
from ._auc_test import delong_test
from ._bootstrap import Bootstrap, bootstrap, bootstrap_calls, bootstrap_difference
from ._calibration import (
    CalibrationLine,
    ReliabilityCurve,
    brier_score,
    calibration_line,
    clipped_logit,
    expected_calibration_error,
    reliability_curve,
)
from ._calibrators import (
    Calibrator,
    IsotonicCalibrator,
    LogisticCalibrator,
    VennAbersCalibrator,
    calibrator_from_json,
    fit_isotonic,
    fit_temperature,
    fit_venn_abers,
)
from ._cluster import clustered_proportion
from ._clustered_logistic import fit_calibration
from ._confusion import Confusion, clopper_pearson, confusion, wilson
from ._decision_curve import DecisionCurve, decision_curve, net_benefit
from ._estimate import Comparison, Estimate, Interval, finite
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
from ._jackknife import auc_standard_errors, jackknife_estimate, rates_without_each_group
from ._mcnemar import ErrorTable, error_table, mcnemar_clustered, mcnemar_exact
from ._methods import LEVEL_PROBABILITY, Method, Operating, model_methods, paired
from ._mrmc import (
    ModalityComparison,
    StandaloneComparison,
    VarianceComponents,
    compare_modalities,
    compare_standalone,
    reader_mean,
)
from ._mrmc_design import ReaderDifference, ReaderMean
from ._multiplicity import holm
from ._operating_point import OperatingPoint, operating_point
from ._ordinal import level_probabilities, one_against_rest_auc, quadratic_kappa
from ._permutation import SignFlipResult, permutation_test, sign_flip_pvalue
from ._precision_recall import PrecisionRecallCurve, average_precision, precision_recall_curve
from ._protocols import (
    N_PERMUTATIONS,
    N_RESAMPLES,
    RATE_NAMES,
    Paper,
    Protocol,
    Strict,
    default_rule,
    protocols,
)
from ._rates import RATES
from ._risk_coverage import RiskCoverageCurve, binary_risk_coverage, risk_coverage_curve
from ._roc import RocCurve, auc, partial_auc, roc_curve
from ._roc_band import RocBand, roc_band
from ._sample_size import (
    SampleSize,
    design_effect,
    effective_sample_size,
    hanley_mcneil_variance,
    intraclass_correlation,
    patients_needed,
    patients_needed_for_auc,
    patients_needed_like_these,
)

__all__ = [
    "LEVEL_PROBABILITY",
    "METRICS_SCHEMA",
    "N_PERMUTATIONS",
    "N_RESAMPLES",
    "RATES",
    "RATE_NAMES",
    "Bootstrap",
    "CalibrationLine",
    "Calibrator",
    "Comparison",
    "Confusion",
    "DecisionCurve",
    "ErrorTable",
    "Estimate",
    "Interval",
    "IsotonicCalibrator",
    "Kappa",
    "LogisticCalibrator",
    "Method",
    "ModalityComparison",
    "Operating",
    "OperatingPoint",
    "Paper",
    "PrecisionRecallCurve",
    "Protocol",
    "ReaderDifference",
    "ReaderMean",
    "ReliabilityCurve",
    "RiskCoverageCurve",
    "RocBand",
    "RocCurve",
    "SampleSize",
    "SignFlipResult",
    "StandaloneComparison",
    "Strict",
    "TaskResult",
    "VarianceComponents",
    "VennAbersCalibrator",
    "abstention_band",
    "all_called",
    "auc",
    "auc_by",
    "auc_ci",
    "auc_standard_errors",
    "average_precision",
    "binary_risk_coverage",
    "bootstrap",
    "bootstrap_calls",
    "bootstrap_difference",
    "brier_score",
    "calibration_line",
    "calibrator_from_json",
    "clipped_logit",
    "clopper_pearson",
    "clustered_proportion",
    "cohen_kappa",
    "compare_modalities",
    "compare_standalone",
    "confusion",
    "counts",
    "decision_curve",
    "default_rule",
    "delong_test",
    "design_effect",
    "effective_sample_size",
    "error_table",
    "evaluate_predictions",
    "evaluate_task",
    "expected_calibration_error",
    "finite",
    "fit_calibration",
    "fit_isotonic",
    "fit_temperature",
    "fit_venn_abers",
    "fleiss_kappa",
    "hanley_mcneil_variance",
    "holm",
    "intraclass_correlation",
    "jackknife_estimate",
    "level_probabilities",
    "mcnemar_clustered",
    "mcnemar_exact",
    "model_methods",
    "net_benefit",
    "one_against_rest_auc",
    "operating_point",
    "paired",
    "partial_auc",
    "patients_for_promise",
    "patients_needed",
    "patients_needed_for_auc",
    "patients_needed_like_these",
    "permutation_test",
    "precision_recall_curve",
    "promise_refusal",
    "protocols",
    "quadratic_kappa",
    "rates_without_each_group",
    "reader_mean",
    "reliability_curve",
    "risk_coverage_curve",
    "roc_band",
    "roc_curve",
    "sign_flip_pvalue",
    "unanswered_counts",
    "wilson",
]

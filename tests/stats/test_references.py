"""Ours against R's pROC 1.18 on tables that are ordinary, tied, tiny, perfect, unbalanced and huge.

The answers are stored in `tests/references/proc.json`; the last test asks pROC again where it is installed.
"""

import json
import shutil
import subprocess
from functools import cache

import numpy as np
import pytest
from sklearn import metrics

from glioscope.stats import auc, auc_ci, confusion, delong_test, operating_point, roc_curve
from glioscope.stats._auc_covariance import auc_covariance
from glioscope.stats._bootstrap import bootstrap
from glioscope.stats._roc import partial_auc, placements
from tests.references.make_references import CASES, SMALL_CASES, STORED, ask_proc, score_table, thresholds

PROC = json.loads(STORED.read_text())
RATIOS = ("sensitivity", "specificity", "ppv", "npv", "accuracy")
RESAMPLED = [case for case in CASES if "auc_bootstrap" in PROC[case]]
cached_table = cache(score_table)


@pytest.mark.parametrize("case", CASES)
def test_auc(case):
    labels, a, b = cached_table(case)
    assert [auc(labels, a), auc(labels, b)] == pytest.approx(PROC[case]["auc"], abs=1e-12)
    assert auc(labels, a) == pytest.approx(metrics.roc_auc_score(labels, a), abs=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_delong_interval_and_variance(case):
    labels, *scores = cached_table(case)
    for name, score, variance in zip("ab", scores, PROC[case]["auc_variance"], strict=True):
        components = placements(labels == 1, score)
        assert auc_covariance(*components)[0, 0] == pytest.approx(variance, abs=1e-14)
        found, expected = auc_ci(labels, score), PROC[case][f"auc_delong_{name}"]
        if expected == [1.0, 1.0]:  # pROC leaves a perfect AUC without width; ours is exact
            assert found.low < 1.0 == found.high
        else:
            assert [found.low, found.high] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_paired_delong_test(case):
    found, proc = delong_test(*cached_table(case)), PROC[case]
    _, two_sided = proc["delong_test_two.sided"]
    assert found.p_two_sided == pytest.approx(two_sided, abs=1e-8)
    assert found.p_one_sided == pytest.approx(proc["delong_test_greater"][1], abs=1e-8)
    assert [found.low, found.high] == pytest.approx(proc["delong_test_interval"], abs=1e-8)
    swapped = delong_test(*(cached_table(case)[i] for i in (0, 2, 1)))
    assert swapped.p_one_sided == pytest.approx(1 - found.p_one_sided, abs=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_table_at_thresholds(case):
    labels, score, _ = cached_table(case)
    tables = [confusion(labels, score, threshold) for threshold in thresholds(case)]
    for ratio in RATIOS:
        found = [getattr(table, ratio) for table in tables]
        np.testing.assert_allclose(found, PROC[case][f"at_{ratio}"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("rule", "name"), [("youden", "youden"), ("closest-to-corner", "closest.topleft")])
def test_best_threshold_is_one_of_pROCs(case, rule, name):
    labels, score, _ = cached_table(case)
    found = operating_point(labels, score, rule)
    best = np.reshape(PROC[case][f"best_{name}"], (-1, 2))
    assert np.abs(best - [found.sensitivity, found.specificity]).sum(axis=1).min() < 1e-12


@pytest.mark.parametrize("case", CASES)
def test_partial_auc(case):
    labels, score, _ = cached_table(case)
    found = [
        partial_auc(labels, score, 0.9, 1.0),
        partial_auc(labels, score, 0.9, 1.0, corrected=True),
        partial_auc(labels, score, 0.8, 1.0, of="sensitivity"),
    ]
    names = ("partial_specificity", "partial_specificity_corrected", "partial_sensitivity")
    assert found == pytest.approx([PROC[case][name][0] for name in names], abs=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_roc_curve_is_sklearns(case):
    labels, score, _ = cached_table(case)
    curve = roc_curve(labels, score)
    expected = metrics.roc_curve(labels, score, drop_intermediate=False)
    for found, reference in zip((curve.fpr, curve.tpr, curve.thresholds), expected, strict=True):
        np.testing.assert_allclose(found, reference, rtol=0, atol=1e-12)


def monte_carlo(limits, step):
    """What two bootstraps of 10,000 and 5,000 resamples may differ by: four standard errors of a 2.5 % quantile (0.047
    of the interval's width), and one step of the count that a ratio is made of."""
    return 0.05 * (limits[-1] - limits[0]) + step


@pytest.mark.parametrize("case", RESAMPLED)
@pytest.mark.parametrize("rule", ["fixed", "youden"])
def test_bootstrap_intervals_agree_within_monte_carlo_error(case, rule):
    labels, score, _ = cached_table(case)
    n = {"sensitivity": labels.sum(), "specificity": (1 - labels).sum()}
    threshold = thresholds(case)[0] if rule == "fixed" else rule
    found = bootstrap(labels, score, metrics=("auc", *RATIOS), threshold=threshold, n_resamples=5000, rng=0)
    area, expected = found.interval("auc"), PROC[case]["auc_bootstrap"]
    assert [area.low, area.high] == pytest.approx(expected, abs=monte_carlo(expected, 0))
    for ratio in RATIOS:
        estimate, expected = found.interval(ratio, centre="median"), PROC[case][f"bootstrap_{rule}_{ratio}"]
        limits = [estimate.low, estimate.value, estimate.high]
        assert limits == pytest.approx(expected, abs=monte_carlo(expected, 1 / n.get(ratio, labels.size)))


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
def test_proc_still_answers_what_is_stored():
    if subprocess.run(["Rscript", "-e", "library(pROC)"], capture_output=True).returncode:
        pytest.skip("R has no pROC")
    answers = ask_proc(SMALL_CASES)
    if answers["version"] != PROC["version"]:
        pytest.skip(f"pROC {answers['version']['pROC'][0]}, stored {PROC['version']['pROC'][0]}")
    for case in SMALL_CASES:
        for quantity, numbers in answers[case].items():
            np.testing.assert_allclose(PROC[case][quantity], numbers, rtol=0, atol=1e-12, err_msg=quantity)
        assert {q for q in PROC[case] if "bootstrap" not in q} == set(answers[case])

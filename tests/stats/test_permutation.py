from itertools import product

import numpy as np
import pytest
from scipy import stats

from glioscope.core import InputError
from glioscope.stats import auc, confusion, permutation_test, sign_flip_pvalue


def test_equals_scipy_and_plain_enumeration():
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 9):
        values = rng.normal(0.3, 1, size).round(1)
        sums = [abs(np.dot(signs, values)) for signs in product((1, -1), repeat=size)]
        expected = np.mean(np.array(sums) >= abs(values.sum()) - 1e-9)
        assert sign_flip_pvalue(values).pvalue == pytest.approx(expected)
    values = rng.normal(0.5, 1, 8)
    reference = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_pvalue(values).pvalue == pytest.approx(reference.pvalue)


def test_five_units_cannot_go_below_a_sixteenth():
    result = sign_flip_pvalue([0.1, 0.2, 0.3, 0.01, 0.05])
    assert result.pvalue == result.smallest_attainable == 0.0625


def test_zeros_raise_the_smallest_p():
    assert sign_flip_pvalue([1, 2, 0]).smallest_attainable == 0.5
    assert sign_flip_pvalue([0, 0]).pvalue == 1.0


def test_equal_sums_are_counted_in_spite_of_rounding():
    assert sign_flip_pvalue([0.1, 0.2, -0.3]).pvalue == 1.0
    assert sign_flip_pvalue([0.1, 0.2, 0.3]).pvalue == 0.25


def test_twenty_units_run_and_more_are_refused():
    assert sign_flip_pvalue(np.ones(20)).pvalue == 2 / 2**20
    with pytest.raises(InputError, match="21 differences"):
        sign_flip_pvalue(np.ones(21))
    with pytest.raises(InputError, match="infinite"):
        sign_flip_pvalue([1, np.inf])


def areas(labels):
    """Statistic for scipy: difference of two AUCs on the same specimens."""
    return lambda a, b: auc(labels, a) - auc(labels, b)


def rate_difference(labels, name):
    return lambda a, b: np.subtract(*(getattr(confusion(labels, calls, 0.5), name) for calls in (a, b)))


def paired_scores(seed, size=8, digits=1):
    rng = np.random.default_rng(seed)
    labels = np.arange(size) % 2
    return labels, *(labels + rng.normal(0, 1, (2, size))).round(digits)


@pytest.mark.parametrize("metric", ["auc", "accuracy", "balanced_accuracy", "sensitivity"])
@pytest.mark.parametrize("seed", range(4))
def test_swaps_of_specimens_equal_scipys_exactly(metric, seed):
    labels, a, b = paired_scores(seed)
    if metric != "auc":
        a, b = (a > 0.5).astype(float), (b > 0.3).astype(float)
    statistic = areas(labels) if metric == "auc" else rate_difference(labels, metric)
    result = permutation_test(labels, a, b, metric=metric, rng=0)
    assert "exact" in result.method
    assert result.difference == pytest.approx(statistic(a, b), abs=1e-12)
    for alternative, pvalue in (("two-sided", result.p_two_sided), ("greater", result.p_one_sided)):
        reference = stats.permutation_test(
            (a, b), statistic, permutation_type="samples", alternative=alternative, n_resamples=np.inf
        )
        assert pvalue == pytest.approx(reference.pvalue, abs=1e-12)


@pytest.mark.parametrize("metric", ["auc", "f1"])
def test_swaps_of_patients_equal_plain_enumeration(metric):
    labels, a, b = paired_scores(5, size=35)
    groups = np.repeat(list("gbcaefd"), 5)
    if metric != "auc":
        a, b = (a > 0.5).astype(float), (b > 0.3).astype(float)
    statistic = areas(labels) if metric == "auc" else rate_difference(labels, metric)
    differences = []
    for swaps in product((False, True), repeat=7):
        swap = np.repeat(swaps, 5)
        differences.append(statistic(np.where(swap, b, a), np.where(swap, a, b)))
    observed, differences = statistic(a, b), np.array(differences)
    result = permutation_test(labels, a, b, metric=metric, groups=groups, rng=0)
    assert result.p_two_sided == pytest.approx(np.mean(np.abs(differences) >= abs(observed) - 1e-9))
    assert result.p_one_sided == pytest.approx(np.mean(differences >= observed - 1e-9))
    largest = np.abs(differences).max()
    assert result.p_smallest_attainable == pytest.approx(np.mean(np.abs(differences) >= largest - 1e-9))
    assert result.n_groups == 7


def test_seven_patients_cannot_go_below_2_in_128():
    labels, groups = np.tile([0, 1], 35), np.repeat(np.arange(7), 10)
    worse = np.random.default_rng(0).normal(size=70)
    result = permutation_test(labels, labels + 0.1 * worse, worse, groups=groups, rng=0)
    assert result.p_two_sided == result.p_smallest_attainable == 2 / 128
    assert result.p_one_sided == 1 / 128
    by_specimen = permutation_test(labels, labels + 0.1 * worse, worse, rng=0)
    assert by_specimen.p_two_sided == by_specimen.p_smallest_attainable == 1 / 10_001


def test_patients_who_do_not_differ_raise_the_smallest_p():
    labels, groups = np.tile([0, 1], 8), np.repeat(np.arange(4), 4)
    a = np.random.default_rng(0).normal(size=16)
    b = np.where(groups == 0, a, a[::-1])
    result = permutation_test(
        labels, (a > 0).astype(float), (b > 0).astype(float), metric="accuracy", groups=groups, rng=0
    )
    assert result.p_smallest_attainable == 2 / 8
    assert "exact, 8 swaps" in result.method


def test_random_swaps_come_near_the_exact_p_and_are_seeded():
    labels, a, b = paired_scores(3, size=14)
    exact = permutation_test(labels, a, b, n_resamples=2**14, rng=0)
    drawn = permutation_test(labels, a, b, n_resamples=2**14 - 1, rng=0)
    assert "exact" in exact.method
    assert "16383 random" in drawn.method
    assert drawn.p_two_sided == pytest.approx(exact.p_two_sided, abs=0.016)
    assert drawn.p_one_sided == pytest.approx(exact.p_one_sided, abs=0.016)
    assert drawn == permutation_test(labels, a, b, n_resamples=2**14 - 1, rng=0)
    assert drawn != permutation_test(labels, a, b, n_resamples=2**14 - 1, rng=1)


def test_random_p_counts_the_observed_order_itself():
    labels = np.tile([0, 1], 100)
    a = labels + np.random.default_rng(0).normal(0, 0.1, 200)
    for n_resamples in (1, 99):
        result = permutation_test(labels, a, -a, n_resamples=n_resamples, rng=0)
        assert result.p_two_sided == 1 / (n_resamples + 1)


def pvalues_under_no_difference(per_patient, *, by_patient):
    """300 studies of two equal methods, each of which is better at some of 12 patients than at others."""
    groups, found = np.repeat(np.arange(12), per_patient), []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        labels = np.arange(groups.size) % 2
        a, b = labels * (1 + rng.normal(0, 1, (2, 12))[:, groups]) + rng.normal(size=(2, groups.size))
        units = groups if by_patient else None
        found.append(permutation_test(labels, a, b, groups=units, n_resamples=300, rng=seed).p_two_sided)
    return np.array(found)


@pytest.mark.parametrize(("per_patient", "by_patient"), [(1, False), (16, True)])
def test_under_no_difference_p_is_uniform(per_patient, by_patient):
    assert stats.kstest(pvalues_under_no_difference(per_patient, by_patient=by_patient), "uniform").pvalue > 0.001


def test_swaps_of_specimens_reject_far_too_often_where_methods_differ_by_patient():
    assert np.mean(pvalues_under_no_difference(16, by_patient=False) < 0.05) > 0.15


def test_the_same_answers_differ_by_nothing():
    labels, a, _ = paired_scores(0)
    result = permutation_test(labels, a, a, rng=0)
    assert (result.difference, result.p_two_sided, result.p_one_sided) == (0, 1, 1)


def test_ranks_take_away_the_scales_of_the_methods():
    labels, a, b = paired_scores(2, size=10, digits=9)
    plain = permutation_test(labels, a, np.exp(5 * b) - 40, ranks=True, rng=0)
    scaled = permutation_test(labels, stats.rankdata(a), stats.rankdata(b), rng=0)
    assert (plain.p_two_sided, plain.difference) == (scaled.p_two_sided, scaled.difference)
    assert plain.difference == pytest.approx(auc(labels, a) - auc(labels, b))


def test_a_panel_is_tested_by_its_share():
    labels = np.array([1, 1, 1, 0, 0, 0])
    panel, model = np.array([1, 2, 1, 0, 1, 0]) / 3, np.array([1, 1, 1, 0, 0, 0])
    result = permutation_test(labels, model, panel, metric="sensitivity", rng=0)
    assert result.difference == pytest.approx(1 - 4 / 9)
    # Only the three positives count; all swapped or none are the two extremes.
    assert result.p_two_sided == pytest.approx(2 / 8)


def test_a_metric_that_does_not_exist_has_no_p():
    result = permutation_test([0, 1, 1], [0, 0, 0], [1, 0, 1], metric="ppv", rng=0)
    assert np.isnan([result.difference, result.p_two_sided, result.p_one_sided]).all()
    assert result.note


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"n_resamples": 0}, "n_resamples 0 is below 1"),
        ({"metric": "recall"}, "'recall' is unknown"),
        ({"groups": [1, 2]}, "groups has 2"),
        ({"metric": "f1", "b": [1, 0]}, "3 values and b 2"),
        ({"metric": "f1", "b": [0, 1, 7]}, "a call is 7"),
        ({"b": [1, 0]}, "y_score 2"),
        ({"y_true": [1, 1, 1]}, "all 3 labels are positive"),
    ],
)
def test_bad_permutations(options, sentence):
    with pytest.raises(InputError, match=sentence):
        permutation_test(**({"y_true": [0, 1, 1], "a": [0, 1, 1], "b": [1, 0, 1], "rng": 0} | options))

import numpy as np
import pytest
from scipy import special, stats

from glioscope.core import InputError
from glioscope.stats import auc, auc_ci
from glioscope.stats._sample_size import (
    design_effect,
    effective_sample_size,
    hanley_mcneil_variance,
    intraclass_correlation,
    patients_needed,
    patients_needed_for_auc,
    patients_needed_like_these,
)


def test_icc_equals_shrout_and_fleiss():
    """Their Table 2: six targets, four judges; ICC(1, 1) is 0.17 (Table 4). R: psych::ICC gives -0.13 to 0.72."""
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
    found = intraclass_correlation(ratings.ravel(), np.repeat(np.arange(6), 4))
    assert (found.value, found.low, found.high) == pytest.approx((0.17, -0.13, 0.72), abs=0.005)
    assert found.n_groups == 6


def test_icc_of_uneven_patients_follows_the_f_ratio_of_scipy():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(9), rng.integers(1, 8, 9))
    values = rng.normal(size=groups.size) + rng.normal(size=9)[groups]
    ratio = stats.f_oneway(*(values[groups == g] for g in range(9))).statistic
    count = np.bincount(groups)
    typical = (count.sum() - (count**2).sum() / count.sum()) / 8
    found = intraclass_correlation(values, groups)
    assert found.value == pytest.approx((ratio - 1) / (ratio + typical - 1), abs=1e-12)
    lower = ratio / stats.f.ppf(0.975, 8, groups.size - 9)
    assert found.low == pytest.approx((lower - 1) / (lower + typical - 1), abs=1e-12)


def test_icc_that_was_put_in_is_found_and_covered():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(20), 8)
    found = [
        intraclass_correlation(rng.normal(0, 0.9**0.5, 160) + rng.normal(0, 0.1**0.5, 20)[groups], groups)
        for _ in range(600)
    ]
    assert np.mean([e.value for e in found]) == pytest.approx(0.1, abs=0.015)
    assert 0.914 <= np.mean([e.low <= 0.1 <= e.high for e in found]) <= 0.986


def test_icc_edges():
    assert intraclass_correlation([1, 1, 0, 0], list("aabb")).value == 1.0
    assert "equal" in intraclass_correlation([1, 1, 1, 1], list("aabb")).note
    assert intraclass_correlation([0, 1, 0, 1], list("aabb")).value == pytest.approx(-1.0)


def test_design_effect_of_even_and_uneven_patients():
    even = np.repeat(np.arange(10), 5)
    assert design_effect(even, 0.2) == pytest.approx(1 + 4 * 0.2)
    assert effective_sample_size(even, 0.2) == pytest.approx(50 / 1.8)
    assert effective_sample_size(even, 1.0) == pytest.approx(10)
    assert design_effect(["a"] * 6 + ["b"] * 2, 0.5) == pytest.approx(1 + (40 / 8 - 1) * 0.5)
    assert design_effect(["a", "b"], 0.9) == 1.0
    assert design_effect(even, -0.3) == 1.0


def test_design_effect_is_the_variance_ratio_of_clustered_means():
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(12), [2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 28])
    patient = rng.normal(0, 0.2**0.5, (20_000, 12))[:, groups]
    means = (patient + rng.normal(0, 0.8**0.5, (20_000, groups.size))).mean(axis=1)
    assert means.var() * groups.size == pytest.approx(design_effect(groups, 0.2), rel=0.05)


@pytest.mark.parametrize(("p", "width", "m", "icc"), [(0.9, 0.1, 1, 0.0), (0.93, 0.12, 17, 0.1), (0.8, 0.3, 30, 0.4)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_width_is_reached_with_these_patients_and_not_with_one_less(p, width, m, icc, level):
    size = patients_needed(p, width, m, icc, confidence_level=level)

    def expected(patients):
        error = np.sqrt(p * (1 - p) * (1 + (m - 1) * icc) / (patients * m))
        return 2 * stats.t.ppf((1 + level) / 2, patients - 1) * error

    assert size.ci_width == pytest.approx(expected(size.patients), abs=1e-12)
    assert expected(size.patients) <= width < expected(size.patients - 1)
    assert size.specimens == size.patients * m


def test_many_independent_specimens_need_the_textbook_number():
    textbook = special.ndtri(0.975) ** 2 * 0.9 * 0.1 / 0.01**2
    assert patients_needed(0.9, 0.02, 1, 0.0).patients == pytest.approx(textbook, rel=1e-3)
    assert patients_needed(0.9, 0.02, 10, 1.0).patients == patients_needed(0.9, 0.02, 1, 0.0).patients


def test_uneven_patients_need_more():
    even = patients_needed(0.9, 0.1, 20, 0.1)
    uneven = patients_needed(0.9, 0.1, 20, 0.1, cv_of_cluster_size=0.6)
    assert uneven.design_effect == pytest.approx(1 + (1.36 * 20 - 1) * 0.1)
    assert uneven.patients > even.patients


def test_planned_width_is_what_clustered_flags_show():
    """Beta-binomial patients: the t interval of their mean has the planned width on average."""
    p, icc, m = 0.85, 0.15, 20
    size = patients_needed(p, 0.12, m, icc)
    rng = np.random.default_rng(3)
    spread = (1 - icc) / icc
    rates = rng.beta(p * spread, (1 - p) * spread, (4000, size.patients))
    shares = rng.binomial(m, rates) / m
    error = np.sqrt(np.mean(shares.var(axis=1, ddof=1) / size.patients))
    assert 2 * stats.t.ppf(0.975, size.patients - 1) * error == pytest.approx(size.ci_width, rel=0.03)


def test_hanley_mcneil_without_discrimination_is_mann_and_whitneys_variance():
    assert hanley_mcneil_variance(0.5, 12, 31) == pytest.approx((12 + 31 + 1) / (12 * 12 * 31), rel=1e-12)


def test_hanley_mcneil_is_exact_for_exponential_scores():
    rng = np.random.default_rng(4)
    positive, negative = rng.exponential(4.0, (20_000, 15, 1)), rng.exponential(1.0, (20_000, 1, 20))
    areas = (positive > negative).mean(axis=(1, 2))
    assert areas.var() == pytest.approx(hanley_mcneil_variance(0.8, 15, 20), rel=0.05)


def test_auc_width_is_reached_with_these_patients_and_not_with_one_less():
    size = patients_needed_for_auc(0.9, 0.66, 0.06, 25, 0.1)

    def expected(patients):
        n = patients * 25 / (1 + 24 * 0.1)
        return 2 * stats.t.ppf(0.975, patients - 1) * hanley_mcneil_variance(0.9, 0.66 * n, 0.34 * n) ** 0.5

    assert size.ci_width == pytest.approx(expected(size.patients), abs=1e-12)
    assert expected(size.patients) <= 0.06 < expected(size.patients - 1)


def test_auc_width_of_independent_specimens_is_delongs():
    size = patients_needed_for_auc(0.8, 0.4, 0.08, 1, 0.0)
    rng = np.random.default_rng(5)
    widths = []
    for _ in range(50):
        labels = rng.random(size.patients) < 0.4
        scores = rng.exponential(np.where(labels, 4.0, 1.0))
        result = auc_ci(labels, scores)
        widths.append(result.high - result.low)
    assert np.mean(widths) == pytest.approx(0.08, rel=0.05)


def test_planned_auc_width_is_not_far_above_what_mixed_patients_show():
    """Patients who add 0.1 of the variance to all their scores, and whose mix of classes differs (beta, ICC 0.2)."""
    size = patients_needed_for_auc(0.85, 0.4, 0.12, 20, 0.1, label_icc=0.2)
    rng = np.random.default_rng(6)
    groups = np.repeat(np.arange(size.patients), 20)
    areas = []
    for _ in range(1000):
        labels = rng.random(groups.size) < rng.beta(0.4 * 4, 0.6 * 4, size.patients)[groups]
        scores = rng.normal(0, 0.9**0.5, groups.size) + rng.normal(0, 0.1**0.5, size.patients)[groups]
        areas.append(auc(labels, scores + labels * 2**0.5 * special.ndtri(0.85)))
    width = 2 * stats.t.ppf(0.975, size.patients - 1) * np.std(areas)
    # Hanley and McNeil's variance is somewhat too large for normal scores.
    assert width < size.ci_width < 1.25 * width
    careful = patients_needed_for_auc(0.85, 0.4, 0.12, 20, 0.1)
    assert careful.design_effect == pytest.approx(1 + 19 * 0.1)
    assert careful.patients > size.patients


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: intraclass_correlation([1, 2], ["a", "b"]), "2 patients with 2 specimens"),
        (lambda: intraclass_correlation([1, 2], ["a", "a"]), "1 patients with 2 specimens"),
        (lambda: intraclass_correlation([1, 2, np.inf], ["a", "a", "b"]), "infinite"),
        (lambda: design_effect(["a"], 1.5), "icc 1.5"),
        (lambda: design_effect([], 0.5), "empty"),
        (lambda: patients_needed(1.0, 0.1, 5, 0.1), "proportion 1"),
        (lambda: patients_needed(0.9, 0.0, 5, 0.1), "ci_width 0"),
        (lambda: patients_needed(0.9, 0.1, 0, 0.1), "specimens_per_patient 0"),
        (lambda: patients_needed(0.9, 0.1, 5, float("nan")), "icc nan"),
        (lambda: patients_needed(0.9, 0.1, 5, 0.1, cv_of_cluster_size=-1), "cv_of_cluster_size -1"),
        (lambda: patients_needed(0.9, 0.1, 5, 0.1, confidence_level=1), "confidence_level 1"),
        (lambda: patients_needed_for_auc(0.9, 1.5, 0.1, 5, 0.1), "prevalence 1.5"),
        (lambda: hanley_mcneil_variance(0.9, 0, 5), "0 positives"),
    ],
)
def test_bad_input_gives_one_sentence(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()


def test_more_patients_like_these_reach_the_width_and_one_fewer_does_not():
    needed = patients_needed_like_these(0.02, 7, 0.1, 90, design_effect=2.5)
    width = {k: 2 * stats.t.ppf(0.975, k - 1) * 0.02 * np.sqrt(7 / k) for k in range(2, 60)}
    assert needed.patients == min(k for k, value in width.items() if value <= 0.1)
    assert needed.ci_width == pytest.approx(width[needed.patients])
    assert (needed.specimens, needed.design_effect) == (needed.patients * 90, 2.5)


@pytest.mark.parametrize(("error", "patients"), [(0.0, 7), (np.nan, 7), (np.inf, 7), (0.02, 1)])
def test_nothing_is_planned_from_no_error_or_one_patient(error, patients):
    with pytest.raises(InputError, match="plans nothing"):
        patients_needed_like_these(error, patients, 0.1, 90)

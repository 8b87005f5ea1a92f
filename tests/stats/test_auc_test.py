import numpy as np
import pytest
from scipy import stats

from glioscope.core import InputError
from glioscope.stats import auc, delong_test
from glioscope.stats._auc_covariance import auc_covariance
from glioscope.stats._roc import placements


def two_methods(seed, n_patients=20, per_patient=15, spread=0.8, gap=1.0):
    """Labels, the scores of two equally good methods, and patients; each method is off in its own way in a patient."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_patients), per_patient)
    labels = (rng.random(groups.size) < rng.beta(2, 2, n_patients)[groups]).astype(int)
    shared = rng.normal(0, 1, groups.size)
    slopes = gap + rng.normal(0, spread, (2, n_patients))[:, groups]
    a, b = labels * slopes + shared + rng.normal(0, 0.5, (2, groups.size))
    return labels, a, b, groups


def pair_matrix(labels, scores):
    positive, negative = scores[labels == 1], scores[labels == 0]
    return (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)


@pytest.mark.parametrize("ties", [False, True])
def test_equals_delong_from_all_pairs(ties):
    labels, a, b, _ = two_methods(1)
    a, b = (a.round(), b.round()) if ties else (a, b)
    pairs = [pair_matrix(labels, score) for score in (a, b)]
    by_rows = np.cov([p.mean(1) for p in pairs]) / (labels == 1).sum()
    covariance = by_rows + np.cov([p.mean(0) for p in pairs]) / (labels == 0).sum()
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    result = delong_test(labels, a, b, confidence_level=0.9)
    assert result.difference == pytest.approx(auc(labels, a) - auc(labels, b), abs=1e-12)
    expected = stats.norm.interval(0.9, result.difference, error)
    assert (result.low, result.high) == pytest.approx(expected, abs=1e-12)
    assert result.p_two_sided == pytest.approx(2 * stats.norm.sf(abs(result.difference) / error), abs=1e-12)
    assert result.p_one_sided == pytest.approx(stats.norm.sf(result.difference / error), abs=1e-12)
    components = [np.stack(part) for part in zip(*(placements(labels == 1, s) for s in (a, b)), strict=True)]
    np.testing.assert_allclose(auc_covariance(*components), covariance, atol=1e-15)


def test_clustered_form_by_loops():
    labels, a, b, groups = two_methods(2)
    matrices = [pair_matrix(labels, score) for score in (a, b)]
    of_positive, of_negative = groups[labels == 1], groups[labels == 0]
    m, n, k = of_positive.size, of_negative.size, np.unique(groups).size
    i10, i01 = np.unique(of_positive).size, np.unique(of_negative).size

    def covariance(r, s):
        (p, q), (area_p, area_q) = (matrices[r], matrices[s]), (matrices[r].mean(), matrices[s].mean())
        s10 = s01 = s11 = 0.0
        for patient in np.unique(groups):
            x, y = of_positive == patient, of_negative == patient
            p10, q10 = (p.mean(1)[x] - area_p).sum(), (q.mean(1)[x] - area_q).sum()
            p01, q01 = (p.mean(0)[y] - area_p).sum(), (q.mean(0)[y] - area_q).sum()
            s10, s01, s11 = s10 + p10 * q10, s01 + p01 * q01, s11 + p10 * q01 + p01 * q10
        return i10 / (i10 - 1) * s10 / m**2 + i01 / (i01 - 1) * s01 / n**2 + k / (k - 1) * s11 / (m * n)

    error = np.sqrt(covariance(0, 0) + covariance(1, 1) - 2 * covariance(0, 1))
    result = delong_test(labels, a, b, groups=groups)
    expected = stats.t.interval(0.95, k - 1, result.difference, error)
    assert (result.low, result.high) == pytest.approx(expected, abs=1e-12)
    assert result.p_one_sided == pytest.approx(stats.t.sf(result.difference / error, k - 1), abs=1e-12)
    assert result.n_groups == k


def test_a_patient_with_one_specimen_each_is_delong_with_t():
    labels, a, b, _ = two_methods(3)
    plain = delong_test(labels, a, b)
    clustered = delong_test(labels, a, b, groups=np.arange(labels.size))
    ratio = stats.t.ppf(0.975, labels.size - 1) / stats.norm.ppf(0.975)
    assert clustered.high - clustered.low == pytest.approx(ratio * (plain.high - plain.low), rel=1e-12)


@pytest.mark.parametrize("grouped", [False, True])
def test_swapping_the_methods_turns_the_signs_and_order_does_not_matter(grouped):
    labels, a, b, groups = two_methods(4)
    names = groups if grouped else None
    result, swapped = delong_test(labels, a, b, groups=names), delong_test(labels, b, a, groups=names)
    assert (swapped.difference, swapped.low) == pytest.approx((-result.difference, -result.high), abs=1e-12)
    assert swapped.p_one_sided == pytest.approx(1 - result.p_one_sided, abs=1e-12)
    shuffled = np.random.default_rng(0).permutation(labels.size)
    moved = delong_test(
        labels[shuffled], np.exp(a[shuffled]), b[shuffled], groups=groups[shuffled] if grouped else None
    )
    assert (moved.low, moved.p_two_sided) == pytest.approx((result.low, result.p_two_sided), abs=1e-12)


def test_doubling_every_specimen_tells_nothing_new_about_patients():
    labels, a, b, groups = (np.tile(column, 2) for column in two_methods(5))
    once = delong_test(*two_methods(5)[:3], groups=two_methods(5)[3])
    twice = delong_test(labels, a, b, groups=groups)
    assert (twice.low, twice.p_two_sided) == pytest.approx((once.low, once.p_two_sided), abs=1e-12)
    assert delong_test(labels, a, b).p_two_sided < delong_test(*two_methods(5)[:3]).p_two_sided


@pytest.mark.parametrize("grouped", [False, True])
def test_the_same_ranks_differ_by_zero_with_a_note(grouped):
    labels, a, _, groups = two_methods(6)
    result = delong_test(labels, a, 3 * a + 1, groups=groups if grouped else None)
    assert (result.difference, result.low, result.high) == (0.0, 0.0, 0.0)
    assert (result.p_two_sided, result.p_one_sided) == (1.0, 1.0)
    assert "alike" in result.note


def test_no_variance_of_a_real_difference_gives_no_p_value():
    result = delong_test([0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 5, 6], [0.5] * 6)
    assert result.difference == 0.5
    assert np.isnan([result.low, result.high, result.p_two_sided, result.p_one_sided]).all()
    assert "no test" in result.note


@pytest.mark.parametrize(
    ("labels", "groups", "unit"), [([0, 0, 0, 1], None, "specimen"), ([0, 0, 1, 1], ["a", "b", "b", "b"], "patient")]
)
def test_a_class_from_one_unit_gives_no_p_value(labels, groups, unit):
    result = delong_test(labels, [1, 2, 3, 2.5], [4, 1, 3, 2], groups=groups)
    assert np.isnan(result.p_two_sided)
    assert f"single {unit}" in result.note


def test_level_holds_by_patient_and_not_by_specimen():
    by_patient, by_specimen = [], []
    for seed in range(400):
        labels, a, b, groups = two_methods(seed, n_patients=23)
        by_patient.append(delong_test(labels, a, b, groups=groups).p_two_sided)
        by_specimen.append(delong_test(labels, a, b).p_two_sided)
    assert 0.02 <= np.mean(np.array(by_patient) < 0.05) <= 0.085
    assert np.mean(np.array(by_specimen) < 0.05) > 0.15


@pytest.mark.parametrize(
    ("scores", "options", "sentence"),
    [
        ([1, 2], {}, "must match"),
        ([1, 2, np.nan], {}, "NaN"),
        ([1, 2, 3], {"groups": ["a"]}, "groups has 1"),
        ([1, 2, 3], {"confidence_level": 0}, "between 0 and 1"),
    ],
)
def test_bad_input(scores, options, sentence):
    with pytest.raises(InputError, match=sentence):
        delong_test([0, 1, 1], [1, 2, 3], scores, **options)

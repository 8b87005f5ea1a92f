import numpy as np
import pytest
from scipy import special, stats
from sklearn.metrics import roc_auc_score

from glioscope.core import InputError
from glioscope.stats import auc, auc_ci


def cohort(seed, n_patients=12, per_patient=30, spread=0.5):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_patients), per_patient)
    share = rng.beta(1, 1, n_patients)  # patients differ in their share of tumour, as in the paper
    labels = (rng.random(groups.size) < share[groups]).astype(int)
    scores = labels + rng.normal(0, spread, n_patients)[groups] + rng.normal(0, 1, groups.size)
    return labels, scores, groups


def delong_by_pairs(labels, scores):
    """DeLong's interval from the full matrix of pairs."""
    pos, neg = scores[labels == 1], scores[labels == 0]
    pairs = (pos[:, None] > neg) + 0.5 * (pos[:, None] == neg)
    error = np.sqrt(pairs.mean(1).var(ddof=1) / pos.size + pairs.mean(0).var(ddof=1) / neg.size)
    half = stats.norm.ppf(0.975) * error
    return max(pairs.mean() - half, 0), min(pairs.mean() + half, 1)


@pytest.mark.parametrize("ties", [False, True])
def test_delong_equals_the_matrix_form(ties):
    labels, scores, _ = cohort(1)
    scores = scores.round() if ties else scores
    result = auc_ci(labels, scores)
    assert (result.low, result.high) == pytest.approx(delong_by_pairs(labels, scores), abs=1e-12)
    assert result.value == pytest.approx(auc(labels, scores), abs=1e-12)


def test_delong_of_a_published_worked_example():
    # A perfect binary test of 3 against 3 with one tie crossed: V10 and V01 done by hand.
    labels, scores = np.array([1, 1, 1, 0, 0, 0]), np.array([3.0, 2.0, 1.0, 1.0, 0.0, -1.0])
    result = auc_ci(labels, scores)
    error = np.sqrt(np.var([1, 1, 5 / 6], ddof=1) / 3 * 2)
    assert result.value == pytest.approx(17 / 18)
    assert result.low == pytest.approx(17 / 18 - stats.norm.ppf(0.975) * error)
    assert result.high == 1.0


def test_clustered_delong_by_loops():
    labels, scores, groups = cohort(2)
    pos, neg = labels == 1, labels == 0
    v10 = {i: np.mean((scores[i] > scores[neg]) + 0.5 * (scores[i] == scores[neg])) for i in np.flatnonzero(pos)}
    v01 = {j: np.mean((scores[j] < scores[pos]) + 0.5 * (scores[j] == scores[pos])) for j in np.flatnonzero(neg)}
    area, k = np.mean(list(v10.values())), len(set(groups))
    a = [sum(v - area for i, v in v10.items() if groups[i] == g) for g in set(groups)]
    b = [sum(v - area for j, v in v01.items() if groups[j] == g) for g in set(groups)]
    m, n = pos.sum(), neg.sum()
    variance = k / (k - 1) * (np.dot(a, a) / m**2 + np.dot(b, b) / n**2 + 2 * np.dot(a, b) / (m * n))
    half = stats.t.ppf(0.975, k - 1) * np.sqrt(variance) / (area * (1 - area))
    result = auc_ci(labels, scores, groups=groups)
    expected = special.expit([special.logit(area) - half, special.logit(area) + half])
    assert [result.low, result.high] == pytest.approx(list(expected), abs=1e-12)
    assert result.n_groups == k


def test_one_specimen_a_patient_is_delong_but_for_scale_and_t():
    labels, scores, _ = cohort(3, n_patients=400, per_patient=1)
    plain = auc_ci(labels, scores)
    clustered = auc_ci(labels, scores, groups=np.arange(labels.size))
    assert clustered.high - clustered.low == pytest.approx(plain.high - plain.low, rel=0.05)


def test_clustering_widens_the_interval_and_names_do_not_matter():
    labels, scores, groups = cohort(4, spread=1.5)
    plain, clustered = auc_ci(labels, scores), auc_ci(labels, scores, groups=groups)
    assert clustered.high - clustered.low > 1.2 * (plain.high - plain.low)
    assert auc_ci(labels, scores, groups=[f"p{g}" for g in groups]).low == pytest.approx(clustered.low, abs=1e-14)


def test_bootstrap_kernel_equals_sklearn_weights():
    from glioscope.stats._resampling import ScoreOrder

    labels, scores, _ = cohort(5)
    scores = scores.round(1)
    weights = np.random.default_rng(0).integers(0, 4, (20, labels.size)).astype(float)
    areas = ScoreOrder(labels == 1, scores).auc(weights)
    expected = [roc_auc_score(labels, scores, sample_weight=w) for w in weights]
    np.testing.assert_allclose(areas, expected, atol=1e-12)


def test_bootstrap_agrees_with_delong_and_is_seeded():
    labels, scores, _ = cohort(6, spread=0)
    plain = auc_ci(labels, scores)
    boot = auc_ci(labels, scores, method="bootstrap", n_resamples=4000, rng=0)
    assert (boot.low, boot.high) == pytest.approx((plain.low, plain.high), abs=0.006)
    assert boot == auc_ci(labels, scores, method="bootstrap", n_resamples=4000, rng=0)
    twice = [auc_ci(labels, scores, method="bootstrap", rng=np.random.default_rng(7)) for _ in range(2)]
    assert twice[0] == twice[1]


def test_bootstrap_of_patients_draws_whole_patients():
    labels, scores, groups = cohort(7, n_patients=60, spread=1.0)
    by_specimen = auc_ci(labels, scores, method="bootstrap", rng=1)
    by_patient = auc_ci(labels, scores, method="bootstrap", groups=groups, rng=1)
    assert by_patient.high - by_patient.low > 1.2 * (by_specimen.high - by_specimen.low)
    clustered = auc_ci(labels, scores, groups=groups)
    assert by_patient.low == pytest.approx(clustered.low, abs=0.04)


def test_resamples_without_a_class_are_left_out_and_counted():
    result = auc_ci([0, 0, 0, 1], [0.1, 0.6, 0.3, 0.5], method="bootstrap", stratified=False, rng=0)
    assert result.n_resamples < 1000
    assert f"{1000 - result.n_resamples} resamples" in result.note


def test_a_perfect_auc_has_no_zero_width_interval():
    result = auc_ci([0] * 10 + [1] * 5, range(15))
    assert (result.value, result.high) == (1.0, 1.0)
    assert result.low == pytest.approx(stats.beta.ppf(0.025, 5, 1))
    mirrored = auc_ci([1] * 5 + [0] * 10, range(15))
    assert mirrored.high == pytest.approx(1 - result.low)


def test_one_patient_with_all_positives_gives_no_interval_but_a_reason():
    result = auc_ci([1, 1, 0, 0, 0], [3, 1, 2, 0, 0], groups=["a", "a", "a", "b", "c"])
    assert np.isnan(result.low)
    assert "positive specimens come from one patient" in result.note


def test_nominal_coverage_with_few_patients():
    """23 patients, correlated scores: about 95 % of the intervals hold the true AUC; plain DeLong holds far fewer."""
    true = float(stats.norm.cdf(1 / np.sqrt(2 * (1 + 0.5**2))))
    hits = plain_hits = 0
    for seed in range(300):
        labels, scores, groups = cohort(seed, n_patients=23, per_patient=20)
        result, plain = auc_ci(labels, scores, groups=groups), auc_ci(labels, scores)
        hits += result.low <= true <= result.high
        plain_hits += plain.low <= true <= plain.high
    assert 0.91 <= hits / 300 <= 0.985
    assert plain_hits < hits - 30


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "bootstrap"}, "needs rng"),
        ({"method": "bootstrap", "rng": 0, "n_resamples": 0}, "below 1"),
        ({"method": "binormal"}, "unknown"),
        ({"method": "jackknife"}, "needs groups"),
        ({"confidence_level": 95}, "between 0 and 1"),
        ({"groups": ["a"]}, "groups has 1"),
    ],
)
def test_bad_options(options, sentence):
    with pytest.raises(InputError, match=sentence):
        auc_ci([0, 1, 1], [0.1, 0.3, 0.2], **options)

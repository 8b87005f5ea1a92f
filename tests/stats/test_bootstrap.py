import numpy as np
import pytest
from scipy import stats

from glioscope.core import InputError
from glioscope.stats import (
    auc,
    bootstrap,
    bootstrap_calls,
    bootstrap_difference,
    confusion,
    operating_point,
)
from glioscope.stats._input import as_groups
from glioscope.stats._resampling import bootstrap_weights

from .test_auc_ci import cohort

RULES = ("sensitivity>0.9", "sensitivity>0.9:youden", "sensitivity>=0", "closest-to-corner", "youden")
RATE_NAMES = ("sensitivity", "specificity", "ppv", "f1")


def limits(interval):
    return [interval.low, interval.high]


def pair_share(positive, negative, axis=-1):
    """AUC from all pairs, for many resamples at once."""
    return np.mean(positive[..., :, None] > negative[..., None, :], axis=(-2, -1))


@pytest.mark.parametrize("kind", ["percentile", "bca"])
def test_auc_intervals_equal_scipys(kind):
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(1.2, 1, 30), rng.normal(0, 1, 25)
    labels = np.repeat([1, 0], [30, 25])
    found = bootstrap(labels, np.append(positive, negative), n_resamples=40_000, bca=True, rng=1)
    expected = stats.bootstrap(
        (positive, negative), pair_share, method=kind, n_resamples=20_000, vectorized=True, batch=500, rng=2
    )
    assert limits(found.interval("auc", kind=kind)) == pytest.approx(limits(expected.confidence_interval), abs=0.006)
    assert limits(found.interval("auc", kind="bca"))[0] < limits(found.interval("auc"))[0] - 0.007  # skew is corrected


@pytest.mark.parametrize("kind", ["percentile", "bca"])
def test_intervals_of_a_rate_equal_scipys_by_specimen_and_by_patient(kind):
    labels, scores, groups = cohort(3, n_patients=25, per_patient=20)
    calls = scores > 0.3
    options = {"metrics": ["accuracy"], "n_resamples": 40_000, "bca": True, "rng": 1}
    by_specimen = bootstrap_calls(labels, calls, stratified=False, **options)
    by_patient = bootstrap_calls(labels, calls, groups=groups, **options)
    right = (calls == labels).astype(float)
    per_patient = np.bincount(groups, right)
    for found, data in ((by_specimen, right), (by_patient, per_patient / 20)):
        expected = stats.bootstrap((data,), np.mean, method=kind, n_resamples=40_000, batch=2000, rng=2)
        assert limits(found.interval("accuracy", kind=kind)) == pytest.approx(
            limits(expected.confidence_interval), abs=0.003
        )


def test_bca_of_a_ratio_over_patients_of_uneven_sizes_equals_scipys():
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(20), rng.integers(2, 40, 20))
    labels = (rng.random(groups.size) < 0.6).astype(int)
    calls = rng.random(groups.size) < 0.7 + 0.2 * rng.random(20)[groups]
    found = bootstrap_calls(labels, calls, metrics=["sensitivity"], groups=groups, n_resamples=40_000, bca=True, rng=1)
    hits, positives = np.bincount(groups, calls * labels), np.bincount(groups, labels)
    expected = stats.bootstrap(
        (hits, positives),
        lambda hit, of, axis=-1: hit.sum(axis) / of.sum(axis),
        paired=True,
        method="bca",
        n_resamples=40_000,
        batch=2000,
        rng=2,
    )
    assert limits(found.interval("sensitivity", kind="bca")) == pytest.approx(
        limits(expected.confidence_interval), abs=0.004
    )


@pytest.mark.parametrize("by_patient", [False, True])
@pytest.mark.parametrize("rule", [*RULES, 0.4])
def test_replicates_equal_choosing_and_counting_on_the_drawn_rows(rule, by_patient):
    labels, scores, groups = cohort(5, n_patients=6, per_patient=8)
    scores = scores.round(1)
    groups = groups if by_patient else None
    found = bootstrap(
        labels, scores, metrics=("auc", *RATE_NAMES), threshold=rule, groups=groups, n_resamples=60, rng=9
    )
    index, n_groups = as_groups(groups, labels.size) if by_patient else (None, 0)
    weights = np.concatenate(
        list(bootstrap_weights(labels == 1, index, n_groups, 60, True, np.random.default_rng(9)))
    ).astype(int)
    for number, weight in enumerate(weights):
        y, s = np.repeat(labels, weight), np.repeat(scores, weight)
        threshold = operating_point(y, s, rule).threshold if isinstance(rule, str) else rule
        table = confusion(y, s, threshold)
        assert found.replicates["auc"][number] == pytest.approx(auc(y, s), abs=1e-12)
        for name in RATE_NAMES:
            np.testing.assert_allclose(found.replicates[name][number], getattr(table, name), atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_the_point_is_that_of_the_operating_point(rule):
    labels, scores, _ = cohort(6)
    point = bootstrap(labels, scores, metrics=RATE_NAMES, threshold=rule, n_resamples=1, rng=0).point
    chosen = operating_point(labels, scores, rule)
    assert (point["sensitivity"], point["specificity"]) == pytest.approx((chosen.sensitivity, chosen.specificity))


def test_a_threshold_chosen_again_widens_the_specificity_interval():
    labels, rule = np.repeat([1, 0], [400, 208]), "sensitivity>0.9:youden"
    widths = []
    for seed in range(12):
        scores = 2.26 * labels + np.random.default_rng(seed).normal(size=608)
        fixed = operating_point(labels, scores, rule).threshold
        for threshold in (fixed, rule):
            drawn = bootstrap(labels, scores, metrics=["specificity"], threshold=threshold, n_resamples=400, rng=1)
            widths.append(np.ptp(limits(drawn.interval("specificity"))))
    assert np.mean(widths[1::2]) > 1.2 * np.mean(widths[::2])


def test_a_call_is_at_or_above_the_threshold_and_infinite_ones_call_all_or_nobody():
    y, s = [0, 1, 1], [0.1, 0.5, 0.9]
    for threshold, sensitivity in [(0.5, 1), (0.51, 0.5), (np.inf, 0), (-np.inf, 1)]:
        found = bootstrap(y, s, metrics=["sensitivity"], threshold=threshold, n_resamples=5, rng=0)
        assert found.point["sensitivity"] == sensitivity


def test_calls_equal_scores_cut_at_the_threshold():
    labels, scores, groups = cohort(7)
    for unit in (None, groups):
        cut = bootstrap(labels, scores, metrics=RATE_NAMES, threshold=0.4, groups=unit, rng=3)
        said = bootstrap_calls(labels, scores >= 0.4, metrics=RATE_NAMES, groups=unit, rng=3)
        assert cut.point == pytest.approx(said.point)
        for name in RATE_NAMES:
            np.testing.assert_allclose(cut.replicates[name], said.replicates[name], atol=1e-12)


def test_resamples_without_a_class_have_no_table_and_are_counted():
    labels, scores, groups = [1, 1, 0, 0], [4, 1, 2, 1], ["a", "a", "b", "b"]
    found = bootstrap(labels, scores, metrics=("auc", *RATE_NAMES), threshold="youden", groups=groups, rng=0)
    missing = np.isnan(found.replicates["auc"])
    assert 400 < missing.sum() < 600  # both draws are the same patient half of the time
    for name in RATE_NAMES:
        np.testing.assert_array_equal(np.isnan(found.replicates[name]), missing)
    result = found.interval("specificity")
    assert result.n_resamples == 1000 - missing.sum()
    assert f"{missing.sum()} resamples" in result.note


def test_a_rule_that_no_threshold_meets_gives_no_value():
    found = bootstrap([0, 1, 1], [0.3, 0.2, 0.9], metrics=["sensitivity"], threshold="sensitivity>1", rng=0)
    result = found.interval("sensitivity")
    assert np.isnan([result.value, result.low, result.high]).all()
    assert result.note == "no resample has it"


def test_one_class_of_calls_is_allowed_and_has_only_its_own_rates():
    found = bootstrap_calls([1] * 20, [1] * 15 + [0] * 5, metrics=["sensitivity", "specificity"], rng=0)
    assert found.interval("sensitivity").low < 0.75 < found.interval("sensitivity").high
    assert found.interval("specificity").note == "no resample has it"


def test_the_centre_may_be_the_median_of_the_replicates():
    labels, scores, _ = cohort(8)
    found = bootstrap(labels, scores, n_resamples=501, rng=0)
    assert found.interval("auc", centre="median").value == np.sort(found.replicates["auc"])[250]
    assert found.interval("auc").value == pytest.approx(auc(labels, scores), abs=1e-12)


def test_differences_are_taken_resample_by_resample():
    labels, a, _ = cohort(9, spread=0)
    b = a + np.random.default_rng(0).normal(0, 0.5, a.size)
    first, second = (bootstrap(labels, s, n_resamples=4000, rng=0) for s in (a, b))
    there, back = bootstrap_difference(first, second, "auc"), bootstrap_difference(second, first, "auc")
    assert there.difference == pytest.approx(auc(labels, a) - auc(labels, b), abs=1e-12)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-12)
    separate = np.hypot(*(np.diff(limits(drawn.interval("auc"))) for drawn in (first, second)))
    assert there.high - there.low < 0.8 * separate  # specimens are shared, so their luck cancels
    same = bootstrap_difference(first, first, "auc")
    assert (same.difference, same.low, same.high) == (0, 0, 0)


@pytest.mark.parametrize("change", [{"rng": 1}, {"n_resamples": 50}, {"groups": [1, 2, 3, 4]}, {"stratified": False}])
def test_methods_on_other_resamples_cannot_be_compared(change):
    y, s = [0, 0, 1, 1], [1, 3, 2, 4]
    options = {"n_resamples": 100, "rng": 0}
    a, b = bootstrap(y, s, **options), bootstrap(y, s, **(options | change))
    with pytest.raises(InputError, match="same resamples"):
        bootstrap_difference(a, b, "auc")


def test_methods_on_other_specimens_cannot_be_compared():
    a, b = bootstrap([0, 1, 1], [1, 3, 2], rng=0), bootstrap([0, 0, 1, 1], [1, 2, 3, 2], rng=0)
    with pytest.raises(InputError, match="same specimens, groups"):
        bootstrap_difference(a, b, "auc")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"metrics": ["sensitivity"]}, "a threshold"),
        ({"metrics": ["sensitivity"], "threshold": "best"}, "'best' is unknown"),
        ({"metrics": ["sensitivity"], "threshold": np.nan}, "NaN"),
        ({"metrics": ["recall"], "threshold": 0.5}, "'recall' is unknown"),
        ({"n_resamples": 0}, "below 1"),
        ({"groups": [1]}, "groups has 1"),
    ],
)
def test_bad_options(options, sentence):
    with pytest.raises(InputError, match=sentence):
        bootstrap([0, 1, 1], [0.1, 0.3, 0.2], **options, rng=0)


def test_bca_says_what_it_lacks():
    with pytest.raises(InputError, match="bca=True"):
        bootstrap([0, 1, 1], [0.1, 0.3, 0.2], rng=0).interval("auc", kind="bca")
    with pytest.raises(InputError, match="20001 units"):
        bootstrap(np.arange(20_001) % 2, np.arange(20_001), bca=True, n_resamples=1, rng=0)

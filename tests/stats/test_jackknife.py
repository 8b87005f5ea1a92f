import numpy as np
import pytest
from scipy import special, stats
from sklearn.metrics import f1_score, roc_auc_score

from glioscope.core import InputError
from glioscope.stats import RATES, auc, auc_ci, auc_standard_errors, jackknife_estimate, rates_without_each_group
from glioscope.stats._jackknife import auc_without_each_group

from .test_auc_ci import cohort


def deleted_one_by_one(labels, scores, groups):
    kept = [groups != g for g in np.unique(groups)]
    return [roc_auc_score(labels[k], scores[k]) if np.ptp(labels[k]) else np.nan for k in kept]


@pytest.mark.parametrize("digits", [0, 1, 15])
@pytest.mark.parametrize("per_patient", [1, 3, 30])
def test_auc_without_each_patient_equals_deleting_them_one_by_one(digits, per_patient):
    for seed in range(5):
        labels, scores, groups = cohort(seed, per_patient=per_patient)
        scores = scores.round(digits)
        found = auc_without_each_group(labels == 1, scores, groups, 12)
        np.testing.assert_allclose(found, deleted_one_by_one(labels, scores, groups), atol=1e-12)


def test_patients_of_uneven_sizes_and_of_one_class():
    groups = np.repeat(np.arange(4), [1, 2, 5, 9])
    labels = np.array([1, 0, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0])
    scores = np.random.default_rng(0).integers(0, 4, 17).astype(float)
    np.testing.assert_allclose(
        auc_without_each_group(labels == 1, scores, groups, 4), deleted_one_by_one(labels, scores, groups), atol=1e-12
    )


def test_a_class_that_leaves_with_a_patient_gives_nan():
    labels, groups = np.array([True, True, False, False]), np.array([0, 0, 0, 1])
    found = auc_without_each_group(labels, np.array([3.0, 1, 2, 0]), groups, 2)
    assert np.isnan(found[0])
    assert found[1] == 0.5


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_of_a_mean_it_is_the_t_interval(level):
    x = np.random.default_rng(0).normal(size=9)
    without = [np.delete(x, i).mean() for i in range(9)]
    result, expected = jackknife_estimate(x.mean(), without, level), stats.ttest_1samp(x, 0).confidence_interval(level)
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert result.n_groups == 9


def test_on_the_logit_scale_the_error_is_carried_over_by_the_delta_method():
    plain = jackknife_estimate(0.8, [0.78, 0.83, 0.79, 0.81])
    result = jackknife_estimate(0.8, [0.78, 0.83, 0.79, 0.81], scale="logit")
    half = (plain.high - 0.8) / (0.8 * 0.2)
    expected = special.expit(special.logit(0.8) + np.array([-half, half]))
    assert [result.low, result.high] == pytest.approx(list(expected), abs=1e-12)
    wide = jackknife_estimate(0.97, [0.9, 0.99, 0.96, 0.98], scale="logit")
    assert 0 < wide.low < 0.97 < wide.high < 1


def test_auc_ci_is_the_estimate_of_the_deleted_areas():
    labels, scores, groups = cohort(1, per_patient=10)
    result = auc_ci(labels, scores, method="jackknife", groups=groups)
    expected = jackknife_estimate(auc(labels, scores), deleted_one_by_one(labels, scores, groups), scale="logit")
    assert (result.value, result.low, result.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_rates_without_each_patient_equal_deleting_them_one_by_one():
    labels, scores, groups = cohort(2, n_patients=9)
    calls = (scores > 0.5).astype(float)
    values = rates_without_each_group(labels, calls, groups, ("f1", "specificity"))
    assert values["f1"][0] == pytest.approx(f1_score(labels, calls))
    for g in range(9):
        kept = groups != g
        assert values["f1"][1][g] == pytest.approx(f1_score(labels[kept], calls[kept]))
        assert values["specificity"][1][g] == pytest.approx(1 - calls[kept][labels[kept] == 0].mean())


def test_a_panel_may_call_by_shares():
    values = rates_without_each_group([1, 0, 1], [2 / 3, 1 / 3, 1], ["a", "b", "b"], tuple(RATES))
    assert values["sensitivity"][0] == pytest.approx(5 / 6)
    np.testing.assert_allclose(values["sensitivity"][1], [1, 2 / 3])
    np.testing.assert_allclose(values["specificity"][1], [2 / 3, np.nan], equal_nan=True)


@pytest.mark.parametrize(
    ("value", "without", "scale", "reason"),
    [
        (0.8, [0.8], "identity", "one patient"),
        (0.8, [0.8, np.nan, 0.7], "identity", "without one of the patients"),
        (1.0, [1.0, 1.0, 1.0], "logit", "no variance"),
        (0.0, [0.1, 0.0, 0.0], "logit", "no variance"),
    ],
)
def test_where_there_is_no_interval_the_note_says_why(value, without, scale, reason):
    result = jackknife_estimate(value, without, scale=scale)
    assert np.isnan([result.low, result.high]).all()
    assert reason in result.note
    assert result.value == value


def test_constant_scores_and_a_class_of_one_patient_have_no_interval():
    assert "all scores are equal" in auc_ci([0, 1, 0, 1], [1, 1, 1, 1], method="jackknife", groups=[1, 2, 3, 4]).note
    lonely = auc_ci([0, 0, 1, 1], [1, 3, 2, 4], method="jackknife", groups=["a", "b", "b", "b"])
    assert "positive specimens come from one patient" in lonely.note
    perfect = auc_ci([0, 0, 1, 1], [1, 2, 3, 4], method="jackknife", groups=[1, 2, 3, 4])
    assert (perfect.low, perfect.high) == (pytest.approx(0.025**0.5), 1.0)


def test_bad_input():
    with pytest.raises(InputError, match="3 values and the calls 2"):
        rates_without_each_group([1, 0, 1], [1, 0], [1, 2, 3], ("ppv",))
    with pytest.raises(InputError, match="groups has 2"):
        rates_without_each_group([1, 0, 1], [1, 0, 0], [1, 2], ("ppv",))
    with pytest.raises(InputError, match="between 0 and 1"):
        jackknife_estimate(0.5, [0.5, 0.6], 95)


def test_the_design_effect_of_the_auc_is_one_for_patients_of_one_specimen():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 150)
    scores = rng.normal(labels)
    by_patient, independent = auc_standard_errors(labels, scores, np.arange(300))
    assert by_patient == pytest.approx(independent, rel=0.02)
    doubled = auc_standard_errors(np.tile(labels, 2), np.tile(scores, 2), np.tile(np.arange(300), 2))
    assert doubled[0] == pytest.approx(by_patient)
    assert doubled[1] == pytest.approx(independent / np.sqrt(2), rel=0.02)

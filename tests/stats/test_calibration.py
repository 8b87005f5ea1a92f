import numpy as np
import pytest
import statsmodels.api as sm
from scipy import special
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from glioscope.core import InputError
from glioscope.stats import clustered_proportion, wilson
from glioscope.stats._calibration import (
    brier_score,
    calibration_line,
    clipped_logit,
    expected_calibration_error,
    reliability_curve,
)


def drawn(seed, n=300, n_patients=12):
    """Labels, miscalibrated probabilities with ties, patients of different sizes."""
    rng = np.random.default_rng(seed)
    patients = np.sort(rng.integers(0, n_patients, n))
    logit = rng.normal(0.3, 1.5, n)
    effect = rng.normal(0, 0.8, n_patients)[patients]
    labels = (rng.random(n) < special.expit(0.4 + 0.7 * logit + effect)).astype(int)
    return labels, special.expit(logit).round(2), patients


@pytest.mark.parametrize("strategy", ["quantile", "uniform"])
def test_reliability_equals_sklearn_and_wilson(strategy):
    for seed in range(10):
        labels, probability, _ = drawn(seed)
        curve = reliability_curve(labels, probability, n_bins=7, strategy=strategy)
        observed, mean = calibration_curve(labels, probability, n_bins=7, strategy=strategy)
        np.testing.assert_allclose(curve.observed, observed, atol=1e-12)
        np.testing.assert_allclose(curve.mean_probability, mean, atol=1e-12)
        assert curve.count.sum() == labels.size
        first = wilson(round(observed[0] * curve.count[0]), int(curve.count[0]))
        assert (curve.low[0], curve.high[0]) == (first.low, first.high)


def test_reliability_by_patient_uses_the_patients_of_each_bin():
    labels, probability, patients = drawn(1)
    curve = reliability_curve(labels, probability, n_bins=2, strategy="uniform", groups=patients)
    lower = probability <= 0.5
    expected = clustered_proportion(labels[lower], patients[lower])
    assert (curve.low[0], curve.high[0]) == (expected.low, expected.high)


def test_one_probability_is_one_bin():
    curve = reliability_curve([0, 1, 1], [0.4] * 3)
    assert (curve.count.tolist(), curve.observed.tolist()) == ([3], [2 / 3])


def test_brier_equals_sklearn():
    labels, probability, _ = drawn(2)
    assert brier_score(labels, probability) == pytest.approx(brier_score_loss(labels, probability), abs=1e-14)
    assert brier_score([1, 1], [1, 1]) == 0.0


@pytest.mark.parametrize("strategy", ["quantile", "uniform"])
def test_calibration_error_is_the_weighted_distance_of_the_reliability_curve(strategy):
    labels, probability, _ = drawn(3)
    curve = reliability_curve(labels, probability, strategy=strategy)
    expected = np.sum(curve.count * np.abs(curve.observed - curve.mean_probability)) / labels.size
    found = expected_calibration_error(labels, probability, strategy=strategy)
    assert found == pytest.approx(expected, abs=1e-12)
    assert expected_calibration_error([0, 1], [0, 1]) == 0.0


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_calibration_line_equals_statsmodels(level):
    for seed in range(5):
        labels, probability, _ = drawn(seed)
        logit = clipped_logit(probability)
        line = calibration_line(labels, probability, confidence_level=level)
        family = sm.families.Binomial()
        large = sm.GLM(labels, np.ones(labels.size), family=family, offset=logit).fit(tol=1e-12)
        whole = sm.GLM(labels, sm.add_constant(logit), family=family).fit(tol=1e-12)
        expected = [*zip(large.params, *large.conf_int(1 - level).T, strict=True)]
        expected += [*zip(whole.params, *whole.conf_int(1 - level).T, strict=True)]
        for found, numbers in zip((line.in_the_large, line.intercept, line.slope), expected, strict=True):
            assert (found.value, found.low, found.high) == pytest.approx(numbers, abs=1e-7)


def test_a_line_that_was_put_in_is_found():
    rng = np.random.default_rng(4)
    logit = rng.normal(0, 2, 200_000)
    labels = rng.random(logit.size) < special.expit(-0.5 + 0.6 * logit)
    line = calibration_line(labels, special.expit(logit))
    assert line.intercept.value == pytest.approx(-0.5, abs=0.03)
    assert line.slope.value == pytest.approx(0.6, abs=0.01)


def test_interval_by_patient_equals_the_bias_reduced_sandwich():
    """CR3 by its definition, with the leverage matrix of each patient (Bell and McCaffrey 2002)."""
    labels, probability, patients = drawn(5)
    design = sm.add_constant(clipped_logit(probability))
    fit = sm.Logit(labels, design).fit(disp=0)
    weight = fit.predict() * (1 - fit.predict())
    bread = np.linalg.inv((design * weight[:, None]).T @ design)
    meat = np.zeros((2, 2))
    for patient in np.unique(patients):
        rows = patients == patient
        leverage = (weight[rows, None] * design[rows]) @ bread @ design[rows].T
        adjusted = np.linalg.solve(np.eye(rows.sum()) - leverage, labels[rows] - fit.predict()[rows])
        part = design[rows].T @ adjusted
        meat += np.outer(part, part)
    n_patients = np.unique(patients).size
    error = np.sqrt(np.diag(bread @ meat @ bread) * (n_patients - 1) / n_patients)
    line = calibration_line(labels, probability, groups=patients)
    quantile = special.stdtrit(n_patients - 1, 0.975)
    for found, value, half in zip((line.intercept, line.slope), fit.params, quantile * error, strict=True):
        assert (found.low, found.high) == pytest.approx((value - half, value + half), abs=1e-6)
        assert found.n_groups == n_patients


def test_interval_by_patient_nears_statsmodels_sandwich_with_many_patients():
    labels, probability, patients = drawn(6, n=6000, n_patients=600)
    design = sm.add_constant(clipped_logit(probability))
    robust = sm.Logit(labels, design).fit(disp=0, cov_type="cluster", cov_kwds={"groups": patients})
    slope = calibration_line(labels, probability, groups=patients).slope
    half = special.stdtrit(599, 0.975) * robust.bse[1]
    assert (slope.high - slope.low) / 2 == pytest.approx(half, rel=0.02)


def test_separated_classes_have_no_line_but_a_calibration_in_the_large():
    line = calibration_line([0, 0, 1, 1], [0.1, 0.3, 0.3, 0.9])
    assert np.isnan(line.slope.value)
    assert "separates" in line.slope.note
    assert np.isfinite(line.in_the_large.value)
    assert np.isnan(calibration_line([0, 1, 1], [0.5] * 3).intercept.value)


def test_certain_and_wrong_probabilities_are_clipped():
    line = calibration_line([0, 1, 1, 0, 1], [0.0, 1.0, 0.0, 1.0, 1.0])
    assert np.isfinite([line.in_the_large.value, line.intercept.value, line.slope.value]).all()
    far = calibration_line([0, 1, 1, 1], [1e-9, 0, 1e-9, 1e-9]).in_the_large.value
    assert special.expit(far + clipped_logit(0.0)) == pytest.approx(0.75, abs=1e-9)


def test_too_few_patients_have_no_interval_but_a_value():
    labels, probability, patients = drawn(7)
    alone = calibration_line(labels, probability, groups=np.zeros_like(patients)).slope
    assert np.isfinite(alone.value)
    assert np.isnan(alone.low)
    assert "one patient" in alone.note
    same = calibration_line([0, 1, 1, 0, 1], [0.2, 0.7, 0.1, 0.5, 0.5], groups=[1, 1, 1, 2, 2])
    assert np.isnan(same.slope.low)
    assert "without one" in same.slope.note
    assert np.isfinite(same.in_the_large.low)


@pytest.mark.slow
def test_interval_of_the_slope_covers_with_seven_patients():
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(400):
        patients = np.repeat(np.arange(7), rng.integers(5, 60, 7))
        logit = rng.normal(0, 1.5, patients.size) + rng.normal(0, 0.7, 7)[patients]
        labels = rng.random(patients.size) < special.expit(logit)
        slope = calibration_line(labels, special.expit(logit), groups=patients).slope
        covered += slope.low <= 1 <= slope.high
    # Four standard errors of a coverage of 0.95 in 400 draws.
    assert 0.906 <= covered / 400 <= 0.994


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: brier_score([0, 1], [0.1, 1.2]), "y_probability has 1.2"),
        (lambda: reliability_curve([0, 1], [0.1, 0.2], n_bins=0), "n_bins 0"),
        (lambda: reliability_curve([0, 1], [0.1, 0.2], strategy="equal"), "strategy 'equal'"),
        (lambda: calibration_line([1, 1], [0.1, 0.2]), "both classes"),
        (lambda: calibration_line([0, 1], [0.1, 0.2], groups=["a"]), "groups has 1"),
        (lambda: expected_calibration_error([0, 1], [0.1, np.nan]), "blank"),
    ],
)
def test_bad_input_gives_one_sentence(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()

import json

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import optimize, special
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression

from glioscope.core import InputError
from glioscope.stats._calibrators import (
    LogisticCalibrator,
    calibrator_from_json,
    fit_isotonic,
    fit_temperature,
    fit_venn_abers,
)

from .test_roc import scored


def drawn(seed, n=200):
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 2, n)
    return (rng.random(n) < special.expit(0.5 * logit - 0.4)).astype(int), logit


def smoothed(labels):
    positives, negatives = labels.sum(), (1 - labels).sum()
    return np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))


@pytest.mark.parametrize("seed", range(4))
def test_temperature_has_the_least_log_loss(seed):
    labels, logit = drawn(seed)
    target = smoothed(labels)

    def loss(temperature):
        return np.sum(np.logaddexp(0, logit / temperature) - target * logit / temperature)

    best = optimize.minimize_scalar(loss, bounds=(0.2, 20), method="bounded", options={"xatol": 1e-9}).x
    calibrator = fit_temperature(labels, logit)
    assert calibrator.temperature == pytest.approx(best, rel=1e-5)
    assert calibrator.intercept == 0.0


class Scored(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose decision function is its only feature."""

    def fit(self, x, y):
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, x):
        return (self.decision_function(x) > 0).astype(int)

    def decision_function(self, x):
        return np.asarray(x)[:, 0]


@pytest.mark.parametrize("seed", range(4))
def test_temperature_with_bias_equals_sklearns_platt(seed):
    labels, logit = drawn(seed)
    platt = CalibratedClassifierCV(FrozenEstimator(Scored().fit(None, None)), method="sigmoid").fit(
        logit[:, None], labels
    )
    expected = platt.predict_proba(logit[:, None])[:, 1]
    np.testing.assert_allclose(fit_temperature(labels, logit, bias=True)(logit), expected, atol=1e-4)


def test_temperature_is_finite_for_separated_classes_and_never_reverses():
    assert 0 < fit_temperature([0] * 50 + [1] * 50, np.arange(-49.5, 50)).temperature < np.inf
    flat = fit_temperature([1, 1, 1, 0], [-2, -1, 1, 2], bias=True)
    assert flat.slope == 0.0
    assert flat.temperature == np.inf
    assert flat(3.0) == pytest.approx((3 * 0.8 + 1 / 3) / 4)
    assert fit_temperature([1, 0], [-1, 1])(5.0) == 0.5
    assert np.isfinite(fit_temperature([0, 1, 1], [3.0, 3.0, 3.0], bias=True)(3.0))
    assert np.isfinite(fit_temperature([0, 1], [0.0, 0.0])(0.0))


def test_temperature_of_calibrated_logits_is_one():
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, 100_000)
    labels = rng.random(logit.size) < special.expit(logit)
    calibrator = fit_temperature(labels, logit, bias=True)
    assert (calibrator.temperature, calibrator.intercept) == pytest.approx((1.0, 0.0), abs=0.03)


@settings(max_examples=200, deadline=None)
@given(scored())
def test_isotonic_equals_sklearn(data):
    labels, scores = data
    reference = IsotonicRegression(out_of_bounds="clip").fit(scores, labels)
    at = np.linspace(-8, 8, 65)
    np.testing.assert_allclose(fit_isotonic(labels, scores)(at), reference.predict(at), atol=1e-9)


def brute_force(labels, scores, at, label):
    """Isotonic regression with one more specimen, once for every score."""
    fits = []
    for score in at:
        model = IsotonicRegression().fit(np.append(scores, score), np.append(labels, label))
        fits.append(model.predict([score])[0])
    return np.array(fits)


@settings(max_examples=150, deadline=None)
@given(scored(max_size=30))
def test_venn_abers_equals_its_definition_on_and_between_scores(data):
    labels, scores = data
    at = np.arange(-7, 7.5, 0.5)
    p0, p1 = fit_venn_abers(labels, scores).interval(at)
    np.testing.assert_allclose(p0, brute_force(labels, scores, at, 0), atol=1e-9)
    np.testing.assert_allclose(p1, brute_force(labels, scores, at, 1), atol=1e-9)


def test_venn_abers_equals_its_definition_without_ties():
    labels, scores = drawn(9, n=300)
    at = np.concatenate([scores[:40], np.random.default_rng(0).normal(0, 3, 40)])
    p0, p1 = fit_venn_abers(labels, scores).interval(at)
    np.testing.assert_allclose(p0, brute_force(labels, scores, at, 0), atol=1e-9)
    np.testing.assert_allclose(p1, brute_force(labels, scores, at, 1), atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(scored())
def test_venn_abers_probability_lies_between_its_two_and_keeps_the_order(data):
    calibrator = fit_venn_abers(*data)
    at = np.linspace(-8, 8, 33)
    p0, p1 = calibrator.interval(at)
    merged = calibrator(at)
    assert np.all(p0 < p1)
    assert np.all((p0 <= merged) & (merged <= p1))
    assert np.all(np.diff(merged) >= -1e-12)


@pytest.mark.parametrize(
    "calibrator",
    [
        fit_temperature(*drawn(1)),
        fit_temperature(*drawn(1), bias=True),
        fit_isotonic(*drawn(1)),
        fit_venn_abers(*drawn(1)),
    ],
)
def test_json_gives_the_same_calibrator_back(calibrator):
    at = np.linspace(-6, 6, 50).reshape(5, 10)
    again = calibrator_from_json(json.loads(json.dumps(calibrator.to_json())))
    assert type(again) is type(calibrator)
    np.testing.assert_array_equal(again(at), calibrator(at))
    assert calibrator(at).shape == at.shape
    assert 0 <= float(calibrator(0.3)) <= 1


def test_bad_json_and_bad_input_give_one_sentence():
    with pytest.raises(InputError, match="kind 'beta' is unknown"):
        calibrator_from_json({"kind": "beta"})
    with pytest.raises(InputError, match="no field 'slope'"):
        calibrator_from_json({"kind": "logistic", "intercept": 0})
    with pytest.raises(InputError, match="not a number"):
        calibrator_from_json({"kind": "logistic", "slope": "steep", "intercept": 0})
    with pytest.raises(InputError, match="not a rising list"):
        calibrator_from_json({"kind": "isotonic", "scores": [1, 0], "probabilities": [0, 1]})
    for falling in ([0.5, 0.2], [0.5], [0.5, 1.2], [0.5, None]):
        with pytest.raises(InputError, match="p1 are not 2 numbers"):
            calibrator_from_json({"kind": "venn-abers", "scores": [0, 1], "p0": [0, 0], "p1": falling})
    for fit in (fit_temperature, fit_isotonic, fit_venn_abers):
        with pytest.raises(InputError, match="infinite"):
            fit([0, 1], [0, np.inf])
        with pytest.raises(InputError, match="both classes"):
            fit([1, 1], [0, 1])


def test_logistic_calibrator_is_the_sigmoid_it_says():
    assert LogisticCalibrator(0.5, 1.0)(2.0) == pytest.approx(special.expit(2.0))

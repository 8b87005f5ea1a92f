import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from glioscope.core import InputError
from glioscope.stats import level_probabilities, quadratic_kappa
from glioscope.stats._ordinal import one_against_rest_auc


def test_equals_sklearn():
    rng = np.random.default_rng(0)
    for _ in range(20):
        truth = rng.integers(1, 5, 50)
        guess = np.clip(truth + rng.integers(-1, 2, 50), 1, 4)
        expected = cohen_kappa_score(truth, guess, weights="quadratic")
        assert quadratic_kappa(truth, guess) == pytest.approx(expected, abs=1e-12)
        assert quadratic_kappa(truth - 1, guess - 1) == pytest.approx(expected, abs=1e-12)
        assert quadratic_kappa(guess, truth) == pytest.approx(expected, abs=1e-12)


def test_edges():
    assert quadratic_kappa([0, 1, 2], [0, 1, 2]) == 1.0
    assert np.isnan(quadratic_kappa([1, 1], [1, 1]))
    with pytest.raises(InputError, match="whole numbers"):
        quadratic_kappa([0.5, 1], [0, 1])
    with pytest.raises(InputError, match="must match"):
        quadratic_kappa([1], [0, 1])


def test_levels_from_cumulative_answers_that_cross():
    levels = level_probabilities([[0.9, 0.3, 0.2], [0.4, 0.7, 0.1]])
    np.testing.assert_allclose(levels, [[0.1, 0.6, 0.1, 0.2], [0.6, 0.0, 0.3, 0.1]], atol=1e-12)


def test_one_against_rest_equals_sklearn():
    rng = np.random.default_rng(2)
    levels = rng.integers(0, 4, 90)
    probability = level_probabilities(rng.random((90, 3)).round(1))
    truth = np.eye(4)[levels]
    expected = roc_auc_score(truth, probability, average=None)
    np.testing.assert_allclose(one_against_rest_auc(levels, probability), expected, atol=1e-12)


def test_one_against_rest_is_nan_for_a_level_that_is_absent_or_alone():
    probability = np.array([[0.8, 0.1, 0.1], [0.2, 0.2, 0.6]])
    np.testing.assert_array_equal(one_against_rest_auc([0, 2], probability), [1.0, np.nan, 1.0])
    np.testing.assert_array_equal(one_against_rest_auc([1, 1], probability), [np.nan] * 3)


@pytest.mark.parametrize(
    ("levels", "sentence"), [([0, 3], "level 3"), ([0, 0.5], "level 0.5"), ([0], "shape"), ([0, np.nan], "blank")]
)
def test_one_against_rest_refuses_bad_input(levels, sentence):
    with pytest.raises(InputError, match=sentence):
        one_against_rest_auc(levels, [[0.8, 0.1, 0.1], [0.2, 0.2, 0.6]])

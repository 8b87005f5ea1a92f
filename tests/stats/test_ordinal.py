import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from glioscope.core import InputError
from glioscope.stats import level_probabilities, quadratic_kappa


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

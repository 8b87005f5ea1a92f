import itertools

import numpy as np
import pytest

from glioscope.core import InputError
from glioscope.stats._risk_coverage import binary_risk_coverage, risk_coverage_curve


def area_by_definition(correct, order):
    """Mean of the risks of the first 1, 2, ..., n specimens."""
    wrong = 1 - np.asarray(correct)[list(order)]
    return np.mean([wrong[:k].mean() for k in range(1, wrong.size + 1)])


def test_area_and_points_follow_the_definition_without_ties():
    rng = np.random.default_rng(0)
    correct, confidence = rng.integers(0, 2, 60), rng.permutation(60)
    curve = risk_coverage_curve(correct, confidence)
    assert curve.area == pytest.approx(area_by_definition(correct, np.argsort(-confidence)), abs=1e-12)
    assert curve.risk[9] == pytest.approx(1 - correct[np.argsort(-confidence)[:10]].mean())
    assert (curve.coverage[9], curve.confidence[9]) == (10 / 60, 50)
    assert curve.risk[-1] == pytest.approx(1 - correct.mean())


def test_tied_specimens_enter_together_and_the_area_is_the_mean_over_their_orders():
    correct, confidence = np.array([1, 0, 1, 0, 1]), np.array([3, 2, 2, 2, 1])
    curve = risk_coverage_curve(correct, confidence)
    np.testing.assert_allclose(curve.coverage, [0.2, 0.8, 1.0])
    np.testing.assert_allclose(curve.risk, [0.0, 0.5, 0.4])
    orders = [(0, *middle, 4) for middle in itertools.permutations([1, 2, 3])]
    assert curve.area == pytest.approx(np.mean([area_by_definition(correct, order) for order in orders]), abs=1e-12)


def test_order_of_specimens_does_not_matter():
    rng = np.random.default_rng(1)
    correct, confidence = rng.integers(0, 2, 80), rng.integers(0, 6, 80)
    order = rng.permutation(80)
    found, again = (risk_coverage_curve(c, s) for c, s in ((correct, confidence), (correct[order], confidence[order])))
    assert found.area == pytest.approx(again.area, abs=1e-12)
    np.testing.assert_array_equal(found.risk, again.risk)


def test_binary_confidence_is_the_distance_from_the_threshold():
    curve = binary_risk_coverage([1, 0, 1, 0], [0.9, 0.7, 0.3, 0.1])
    np.testing.assert_allclose(curve.confidence, [0.4, 0.2])
    np.testing.assert_allclose(curve.risk, [0.0, 0.5])
    assert binary_risk_coverage([1, 0], [0.25, 0.1], threshold=0.2).risk[-1] == 0.0


def test_knowing_which_answers_are_wrong_gives_the_least_area():
    correct = np.array([1] * 15 + [0] * 5)
    known = risk_coverage_curve(correct, correct).area
    unknown = risk_coverage_curve(correct, np.zeros(20)).area
    assert known < unknown == pytest.approx(0.25)


def test_bad_input_gives_one_sentence():
    with pytest.raises(InputError, match="threshold 2"):
        binary_risk_coverage([0, 1], [0.1, 0.2], threshold=2)
    with pytest.raises(InputError, match="must match"):
        risk_coverage_curve([0, 1], [0.1])
    with pytest.raises(InputError, match="blank"):
        risk_coverage_curve([0, 1], [0.1, np.nan])

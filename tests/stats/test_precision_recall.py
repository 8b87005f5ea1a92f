import numpy as np
import pytest
from hypothesis import given, settings
from sklearn import metrics

from glioscope.core import InputError
from glioscope.stats._precision_recall import average_precision, precision_recall_curve

from .test_roc import scored


@settings(max_examples=200, deadline=None)
@given(scored())
def test_curve_and_average_precision_equal_sklearn(data):
    labels, scores = data
    curve = precision_recall_curve(labels, scores)
    precision, recall, thresholds = metrics.precision_recall_curve(labels, scores)
    np.testing.assert_allclose(curve.precision, precision[::-1], atol=1e-12)
    np.testing.assert_allclose(curve.recall, recall[::-1], atol=1e-12)
    np.testing.assert_array_equal(curve.thresholds[1:], thresholds[::-1])
    assert average_precision(labels, scores) == pytest.approx(
        metrics.average_precision_score(labels, scores), abs=1e-12
    )


def test_a_score_that_knows_nothing_has_the_prevalence():
    labels = [1, 0, 0, 0]
    assert average_precision(labels, [0.3] * 4) == 0.25
    assert precision_recall_curve(labels, [0.3] * 4).prevalence == 0.25


def test_order_of_specimens_does_not_matter():
    rng = np.random.default_rng(3)
    labels, scores = rng.integers(0, 2, 50), rng.integers(0, 5, 50)
    order = rng.permutation(50)
    assert average_precision(labels[order], scores[order]) == average_precision(labels, scores)


def test_one_class_is_refused():
    with pytest.raises(InputError, match="both classes"):
        average_precision([1, 1], [0.1, 0.2])

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from glioscope.core import InputError
from glioscope.stats import auc, roc_curve


@st.composite
def scored(draw, max_size=60):
    """Labels with both classes and scores with many ties."""
    size = draw(st.integers(2, max_size))
    labels = draw(st.lists(st.integers(0, 1), min_size=size, max_size=size).filter(lambda v: 0 < sum(v) < len(v)))
    scores = draw(st.lists(st.integers(-6, 6), min_size=size, max_size=size))
    return np.array(labels), np.array(scores, dtype=float)


@settings(max_examples=200, deadline=None)
@given(scored())
def test_auc_equals_sklearn(data):
    assert auc(*data) == pytest.approx(metrics.roc_auc_score(*data), abs=1e-12)


@settings(max_examples=200, deadline=None)
@given(scored())
def test_roc_equals_sklearn(data):
    curve = roc_curve(*data)
    fpr, tpr, thresholds = metrics.roc_curve(*data, drop_intermediate=False)
    np.testing.assert_array_equal(curve.fpr, fpr)
    np.testing.assert_array_equal(curve.tpr, tpr)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(auc(*data), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(scored(), st.randoms(use_true_random=False))
def test_auc_invariants(data, random):
    labels, scores = data
    order = list(range(labels.size))
    random.shuffle(order)
    value = auc(labels, scores)
    assert auc(labels[order], scores[order]) == value
    assert auc(labels, np.exp(scores / 3) - 7) == value
    assert auc(1 - labels, scores) == pytest.approx(1 - value, abs=1e-15)
    assert auc(labels, -scores) == pytest.approx(1 - value, abs=1e-15)


def test_infinite_scores_keep_their_order():
    assert auc([0, 0, 1, 1], [-np.inf, 0.0, 1.0, np.inf]) == 1.0


@pytest.mark.parametrize(
    ("y_true", "y_score", "sentence"),
    [
        ([1, 1], [0.1, 0.2], "all 2 labels are positive"),
        ([0, 0], [0.1, 0.2], "all 2 labels are negative"),
        ([0, 1], [0.1, np.nan], "1 blank"),
        ([0, np.nan], [0.1, 0.2], "1 blank"),
        ([0, 1, 1], [0.1, 0.2], "3 values and y_score 2"),
        ([0, 2], [0.1, 0.2], "y_true has 2"),
        ([], [], "empty"),
        (["a", "b"], [0.1, 0.2], "not numbers"),
        ([[0, 1]], [[0.1, 0.2]], "2 dimensions"),
    ],
)
def test_bad_input_gives_one_sentence(y_true, y_score, sentence):
    for kernel in (auc, roc_curve):
        with pytest.raises(InputError, match=sentence):
            kernel(y_true, y_score)

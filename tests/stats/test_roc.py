import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from glioscope.core import InputError
from glioscope.stats import auc, roc_curve
from glioscope.stats._roc import partial_auc


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


# R 4, pROC 1.18.0, r <- roc(y, s, direction = "<"):
# auc(r, partial.auc = c(high, low), partial.auc.focus = of, partial.auc.correct = corrected)
PROC_Y = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]
PROC_S = [1, 2, 2, 3, 4, 4, 5, 7, 2, 4, 5, 6, 6, 7, 8, 9]


@pytest.mark.parametrize(
    ("of", "low", "high", "plain", "corrected"),
    [
        ("specificity", 0.9, 1.0, 0.03, 0.631578947368421),
        ("specificity", 0.8, 1.0, 0.08875, 0.690972222222222),
        ("specificity", 0.55, 0.95, 0.27125, 0.785416666666667),
        ("specificity", 0.2, 0.6, 0.35515625, 0.85986328125),
        ("sensitivity", 0.9, 1.0, 0.0225, 0.592105263157895),
        ("sensitivity", 0.8, 1.0, 0.074375, 0.651041666666667),
        ("sensitivity", 0.55, 0.95, 0.2678125, 0.7796875),
        ("sensitivity", 0.2, 0.6, 0.3640625, 0.8876953125),
    ],
)
def test_partial_auc_equals_proc(of, low, high, plain, corrected):
    assert partial_auc(PROC_Y, PROC_S, low, high, of=of) == pytest.approx(plain, abs=1e-12)
    assert partial_auc(PROC_Y, PROC_S, low, high, of=of, corrected=True) == pytest.approx(corrected, abs=1e-12)


@settings(max_examples=200, deadline=None)
@given(scored(), st.sampled_from([0.05, 0.1, 0.25, 0.5, 0.9]))
def test_corrected_partial_auc_equals_sklearn(data, max_fpr):
    expected = metrics.roc_auc_score(*data, max_fpr=max_fpr)
    assert partial_auc(*data, 1 - max_fpr, 1.0, corrected=True) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(scored(), st.sampled_from(["specificity", "sensitivity"]))
def test_parts_add_up_to_the_auc_and_swapping_the_classes_swaps_the_axes(data, of):
    labels, scores = data
    parts = [partial_auc(labels, scores, low, high, of=of) for low, high in ((0, 0.25), (0.25, 0.8), (0.8, 1))]
    assert sum(parts) == pytest.approx(auc(labels, scores), abs=1e-12)
    other = "sensitivity" if of == "specificity" else "specificity"
    assert partial_auc(1 - labels, -scores, 0.25, 0.8, of=other) == pytest.approx(parts[1], abs=1e-12)


@pytest.mark.parametrize(
    ("low", "high", "of", "sentence"),
    [(0.9, 0.9, "specificity", "low < high"), (-0.1, 0.5, "sensitivity", "0 <= low"), (0, 1, "ppv", "not of 'ppv'")],
)
def test_partial_auc_refuses_bad_limits(low, high, of, sentence):
    with pytest.raises(InputError, match=sentence):
        partial_auc([0, 1], [0, 1], low, high, of=of)

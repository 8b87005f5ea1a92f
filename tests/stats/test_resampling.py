import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from glioscope.stats import bootstrap, permutation_test
from glioscope.stats._resampling import ScoreOrder, bootstrap_weights, chunks, jackknife_weights

from .test_roc import scored


@st.composite
def weighted(draw):
    """Labels, tied scores, and five sets of whole weights, in some of which a class may have none."""
    labels, scores = draw(scored(max_size=30))
    weight = st.lists(st.integers(0, 3), min_size=labels.size, max_size=labels.size)
    return labels == 1, scores, np.array(draw(st.lists(weight, min_size=5, max_size=5)), float)


@settings(max_examples=100, deadline=None)
@given(weighted())
def test_weighted_auc_equals_sklearn_and_is_nan_where_a_class_has_no_weight(data):
    labels, scores, weights = data
    for area, weight in zip(ScoreOrder(labels, scores).auc(weights), weights, strict=True):
        if weight[labels].any() and weight[~labels].any():
            assert area == pytest.approx(roc_auc_score(labels, scores, sample_weight=weight), abs=1e-12)
        else:
            assert np.isnan(area)


@settings(max_examples=100, deadline=None)
@given(weighted())
def test_curves_count_the_weight_at_or_above_every_threshold(data):
    labels, scores, weights = data
    order = ScoreOrder(labels, scores)
    np.testing.assert_array_equal(order.thresholds, [np.inf, *np.unique(scores)[::-1]])
    called = scores >= order.thresholds[:, None]
    tp, fp = order.curves(weights)
    np.testing.assert_array_equal(tp, weights @ (called & labels).T)
    np.testing.assert_array_equal(fp, weights @ (called & ~labels).T)


def test_chunks_add_up_and_stay_small():
    for n_resamples, width in [(1, 1), (1000, 608), (1000, 200_000), (10, 10**8)]:
        counts = list(chunks(n_resamples, width))
        assert sum(counts) == n_resamples
        assert max(counts) == 1 or max(counts) * width * 8 <= 2_000_000


def drawn(labels, *, groups=None, stratified=True, n_resamples=2000):
    n_groups = 0 if groups is None else int(groups.max()) + 1
    rng = np.random.default_rng(0)
    return np.concatenate(list(bootstrap_weights(labels, groups, n_groups, n_resamples, stratified, rng)))


def test_a_resample_has_as_many_specimens_and_stratified_as_many_of_each_class():
    labels = np.arange(50) < 20
    plain, stratified = drawn(labels, stratified=False), drawn(labels)
    assert (plain.sum(axis=1) == 50).all()
    assert plain[:, labels].sum(axis=1).std() > 1
    assert (stratified[:, labels].sum(axis=1) == 20).all()
    assert (stratified[:, ~labels].sum(axis=1) == 30).all()


def test_weights_have_the_moments_of_drawing_with_replacement():
    weights = drawn(np.arange(50) < 20, stratified=False, n_resamples=20_000)
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.04)
    np.testing.assert_allclose(weights.var(axis=0), 1 - 1 / 50, atol=0.1)
    assert np.corrcoef(weights[:, 0], weights[:, 1])[0, 1] == pytest.approx(-1 / 49, abs=0.03)


def test_patients_are_drawn_whole():
    groups = np.repeat(np.arange(7), [1, 2, 3, 4, 5, 6, 7])
    weights = drawn(np.arange(28) % 2 == 0, groups=groups)
    firsts = np.searchsorted(groups, np.arange(7))
    assert (weights == weights[:, firsts][:, groups]).all()
    assert (weights[:, firsts].sum(axis=1) == 7).all()


def test_jackknife_weights_leave_out_each_patient_once():
    groups = np.array([2, 0, 1, 1, 2])
    np.testing.assert_array_equal(
        np.concatenate(list(jackknife_weights(groups, 3))), [[1, 0, 1, 1, 1], [1, 1, 0, 0, 1], [0, 1, 1, 1, 0]]
    )


def test_memory_does_not_grow_with_resamples():
    """Several chunks of 200,000 specimens: what one chunk takes, 1000 resamples take."""
    rng = np.random.default_rng(0)
    labels = rng.random(200_000) < 0.7
    a, b = labels + rng.normal(size=(2, labels.size))
    options = {"metrics": ("auc", "specificity"), "threshold": "youden", "rng": 0}
    for run in (
        lambda: bootstrap(labels, a, n_resamples=25, **options),
        lambda: bootstrap(labels, a, n_resamples=25, groups=rng.integers(0, 23, labels.size), **options),
        lambda: permutation_test(labels, a, b, n_resamples=25, rng=0),
    ):
        tracemalloc.start()
        run()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 300e6

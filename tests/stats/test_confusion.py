import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from glioscope.core import InputError
from glioscope.stats import Confusion, clopper_pearson, confusion, wilson


def test_the_papers_first_table():
    table = Confusion(tp=375, fp=37, tn=171, fn=25)
    printed = [table.sensitivity, table.specificity, table.ppv, table.npv, table.f1]
    assert [round(value + 1e-9, 3) for value in printed] == [0.938, 0.822, 0.910, 0.872, 0.924]
    assert (table.n, table.fp + table.fn) == (608, 62)


def test_the_papers_grade_table():
    table = Confusion(tp=20, fp=263 - 239, tn=239, fn=13)
    assert table.sensitivity == pytest.approx(20 / 33)
    assert table.prevalence == pytest.approx(33 / 296)


def test_counts_equal_sklearn_and_threshold_itself_is_positive():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 200), rng.normal(size=200).round(1)
    for threshold in (-9.0, 0.0, 0.3, 9.0):
        table = confusion(labels, scores, threshold)
        tn, fp, fn, tp = metrics.confusion_matrix(labels, scores >= threshold, labels=[0, 1]).ravel()
        assert (table.tn, table.fp, table.fn, table.tp) == (tn, fp, fn, tp)
        assert table.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(labels, scores >= threshold))
    assert confusion([1], [0.5], 0.5).tp == 1


def test_ratios_with_nothing_below_the_line_are_nan():
    table = confusion([1, 1], [0.2, 0.3], 0.5)
    assert math.isnan(table.specificity)
    assert math.isnan(table.ppv)
    assert table.sensitivity == 0.0


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (375, 400), (1, 3), (171, 208)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_intervals_equal_scipy(k, n, level):
    test = stats.binomtest(k, n)
    for ours, method in ((clopper_pearson, "exact"), (wilson, "wilson")):
        expected = test.proportion_ci(level, method=method)
        found = ours(k, n, level)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("k", "n"), [(3, 2), (-1, 4), (0, 0)])
def test_bad_counts(k, n):
    with pytest.raises(InputError, match="no proportion"):
        clopper_pearson(k, n)


def test_nan_threshold():
    with pytest.raises(InputError, match="NaN"):
        confusion([0, 1], [0, 1], float("nan"))


def test_mcc_youden_and_likelihood_ratios_equal_sklearn():
    rng = np.random.default_rng(1)
    for _ in range(20):
        labels, scores = rng.integers(0, 2, 80), rng.normal(size=80)
        table = confusion(labels, scores, 0.2)
        positive, negative = metrics.class_likelihood_ratios(labels, scores >= 0.2)
        assert table.mcc == pytest.approx(metrics.matthews_corrcoef(labels, scores >= 0.2), abs=1e-12)
        assert table.youden == pytest.approx(2 * table.balanced_accuracy - 1, abs=1e-12)
        assert (table.lr_positive, table.lr_negative) == pytest.approx((positive, negative), rel=1e-12)


def test_likelihood_ratios_at_the_edges():
    perfect = Confusion(tp=3, fp=0, tn=4, fn=0)
    assert (perfect.mcc, perfect.lr_positive, perfect.lr_negative) == (1.0, math.inf, 0.0)
    reversed_ = Confusion(tp=0, fp=4, tn=0, fn=3)
    assert (reversed_.mcc, reversed_.lr_positive, reversed_.lr_negative) == (-1.0, 0.0, math.inf)
    none_called = Confusion(tp=0, fp=0, tn=4, fn=3)
    assert math.isnan(none_called.mcc)
    assert math.isnan(none_called.lr_positive)
    assert none_called.lr_negative == 1.0
    assert math.isnan(Confusion(tp=3, fp=0, tn=0, fn=1).lr_negative)


def test_mcc_of_large_counts_does_not_overflow():
    assert Confusion(tp=10**6, fp=0, tn=10**6, fn=0).mcc == 1.0

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

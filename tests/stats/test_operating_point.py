import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glioscope.core import InputError
from glioscope.stats import confusion, operating_point

from .test_roc import scored

COSTS = {
    "specificity": lambda se, sp: 1 - sp,
    "closest-to-corner": lambda se, sp: np.hypot(1 - se, 1 - sp),
    "youden": lambda se, sp: 1 - se - sp,
}
RULES = (
    "sensitivity>=0.90",
    "sensitivity>=0.5",
    "sensitivity>0.5",
    "sensitivity>=0",
    "sensitivity>0.5:youden",
    "sensitivity >= 0.9 : closest-to-corner",
    "closest-to-corner",
    "youden",
)


def best_by_search(labels, scores, rule):
    """(cost, sensitivity) of the best threshold by trying all; lower cost first, then higher sensitivity."""
    found = []
    for threshold in [*np.unique(scores), np.inf]:
        table = confusion(labels, scores, threshold)
        se, sp = table.sensitivity, table.specificity
        bound, _, best = rule.replace(" ", "").rpartition(":") if ":" in rule else (rule, "", "specificity")
        if not rule.startswith("sensitivity"):
            bound, best = "sensitivity>=0", rule
        floor = float(bound.split(">")[1].removeprefix("="))
        if se > floor or (se == floor and "=" in bound):
            found.append((round(COSTS[best](se, sp), 9), -se))
    return min(found)


@settings(max_examples=200, deadline=None)
@given(scored(), st.sampled_from(RULES))
def test_every_rule_equals_an_exhaustive_search(data, rule):
    labels, scores = data
    point = operating_point(labels, scores, rule)
    table = confusion(labels, scores, point.threshold)
    assert np.isfinite(point.threshold)
    assert (point.sensitivity, point.specificity) == pytest.approx((table.sensitivity, table.specificity))
    cost, negative_sensitivity = best_by_search(labels, scores, rule)
    assert table.sensitivity == pytest.approx(-negative_sensitivity)
    best = rule.rpartition(":")[2].strip()
    assert COSTS.get(best, COSTS["specificity"])(table.sensitivity, table.specificity) == pytest.approx(cost, abs=1e-9)


def test_threshold_lies_halfway_so_rounding_changes_nothing():
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.9])
    point = operating_point(labels, scores, "closest-to-corner")
    assert point.threshold == pytest.approx(0.4)
    noisy = scores + np.array([1, 1, -1, -1]) * 0.1
    assert confusion(labels, noisy, point.threshold).accuracy == 1.0


def test_neighbouring_floats_and_infinities_give_a_finite_threshold():
    low = 0.5
    high = np.nextafter(low, 1)
    assert operating_point([0, 1], [low, high], "youden").threshold == high
    assert np.isfinite(operating_point([0, 1], [-np.inf, np.inf], "youden").threshold)
    assert np.isfinite(operating_point([0, 0, 1], [-np.inf, 2.0, np.inf], "youden").threshold)
    assert operating_point([0, 1], [-1e308, 1.7e308], "youden").specificity == 1.0
    assert np.isfinite(operating_point([0, 1], [-1e308, 1.7e308], "youden").threshold)


def test_no_finite_threshold():
    with pytest.raises(InputError, match="no finite threshold"):
        operating_point([0, 1], [0.0, -np.inf], "sensitivity>=0.9")


def test_nine_of_ten_meets_ninety_per_cent():
    labels = [1] * 10 + [0] * 5
    scores = [10, 9, 8, 7, 6, 5, 4, 3, 2, -5, 1, 0, -1, -2, -3]
    assert operating_point(labels, scores, "sensitivity>=0.90").sensitivity == 0.9


def test_above_ninety_per_cent_asks_for_more_than_nine_of_ten():
    labels = [1] * 10 + [0] * 5
    scores = [10, 9, 8, 7, 6, 5, 4, 3, 2, -5, 1, 0, -1, -2, -3]
    assert operating_point(labels, scores, "sensitivity>0.90").sensitivity == 1.0


def test_the_best_of_the_allowed_points_need_not_have_the_highest_specificity():
    # 3 of 4 positives before any negative, the fourth after one of 10 negatives.
    labels, scores = [1, 1, 1, 0, 1, *[0] * 9], range(14, 0, -1)
    assert operating_point(labels, scores, "sensitivity>0.7").sensitivity == 0.75
    chosen = operating_point(labels, scores, "sensitivity>0.7:youden")
    assert (chosen.sensitivity, chosen.specificity, chosen.rule) == (1.0, 0.9, "sensitivity>0.7:youden")
    assert operating_point(labels, scores, "sensitivity>0.7:closest-to-corner").sensitivity == 1.0


def test_fixed():
    point = operating_point([0, 1, 1], [0.2, 0.4, 0.9], "fixed", threshold=0.5)
    assert (point.threshold, point.sensitivity, point.specificity) == (0.5, 0.5, 1.0)


@pytest.mark.parametrize(
    ("rule", "threshold", "sentence"),
    [
        ("best", None, "unknown"),
        ("sensitivity>=2", None, "unknown"),
        ("sensitivity>0.9:best", None, "unknown"),
        ("sensitivity>0.9:", None, "unknown"),
        ("sensitivity<0.9", None, "unknown"),
        ("specificity", None, "unknown"),
        ("fixed", None, "finite threshold"),
        ("fixed", np.inf, "finite threshold"),
        ("youden", 0.5, "only rule 'fixed'"),
    ],
)
def test_bad_rules(rule, threshold, sentence):
    with pytest.raises(InputError, match=sentence):
        operating_point([0, 1], [0.1, 0.2], rule, threshold=threshold)

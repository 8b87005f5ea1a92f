import math

import numpy as np
import pytest

from glioscope.core import BUILT_IN_TASKS, Abstention, Calibration, Decision, Promise, Threshold
from glioscope.runtime import Cascade, decide

CALIBRATION = Calibration(
    slope=0.5, intercept=-0.2, covariance=(0.01, 0.0, 0.04), reach=2.2, n_patients=12, n_specimens=900
)


@pytest.fixture(scope="module")
def info(tiny_suite):
    return Cascade.load(tiny_suite).bundles["tumor"].info


def at(info, **changes):
    bare = {"calibration": (), "abstention": None, "envelope": None}
    return info.model_copy(update={**bare, **changes})


def band(low, high):
    promise = Promise(class_name="x", miscoverage=0.1, limit=0.0, n_patients=12, achieved=0.05, worst=0.2)
    return Abstention(low=low, high=high, negative=promise, positive=promise, coverage=0.8, by_patient={})


def locked(*logits, chosen_on="tune"):
    return Threshold(logit=logits, rule="x", chosen_on=chosen_on)


@pytest.mark.parametrize(
    ("logit", "threshold", "decision", "answer"),
    [
        (0.3, 0.3, Decision.POSITIVE, "tumour"),
        (np.nextafter(0.3, 0), 0.3, Decision.NEGATIVE, "non-tumour"),
        (-50.0, -60.0, Decision.POSITIVE, "tumour"),
        (-700.0, 0.0, Decision.NEGATIVE, "non-tumour"),
        (700.0, 0.0, Decision.POSITIVE, "tumour"),
    ],
)
def test_a_specimen_is_positive_at_the_threshold_itself(info, logit, threshold, decision, answer):
    found = decide(at(info, threshold=locked(threshold)), np.array([logit]))
    assert (found.task, found.decision, found.answer) == ("tumor", decision, answer)
    assert found.y_score == pytest.approx(1 / (1 + math.exp(-logit)))
    assert found.threshold == pytest.approx(1 / (1 + math.exp(-threshold)))
    assert (found.y_probability, found.y_interval, found.band) == (None, None, None)


@pytest.mark.parametrize(
    ("logit", "decision", "answer"),
    [
        (-1.0, Decision.INDETERMINATE, "indeterminate"),
        (np.nextafter(-1.0, -2), Decision.NEGATIVE, "non-tumour"),
        (np.nextafter(0.5, 0), Decision.INDETERMINATE, "indeterminate"),
        (0.5, Decision.POSITIVE, "tumour"),
    ],
)
def test_inside_the_band_the_answer_is_indeterminate(info, logit, decision, answer):
    found = decide(at(info, threshold=locked(0.2), abstention=band(-1.0, 0.5)), np.array([logit]))
    assert (found.decision, found.answer) == (decision, answer)
    assert found.band == pytest.approx((1 / (1 + math.e), 1 / (1 + math.exp(-0.5))))


def test_the_probability_and_its_interval_are_those_of_the_calibration(info):
    found = decide(at(info, calibration=(CALIBRATION,)), np.array([2.0]))
    error = 2.2 * math.sqrt(0.01 * 4 + 0.04)
    expected = [1 / (1 + math.exp(-(0.8 + shift))) for shift in (0, -error, error)]
    assert (found.y_probability, *found.y_interval) == pytest.approx(expected)


def test_a_specimen_outside_the_envelope_gets_no_answer_and_no_number(info):
    found = decide(at(info, calibration=(CALIBRATION,)), np.array([9.0]), envelope=1.01)
    assert (found.decision, found.answer) == (Decision.NOT_ASSESSABLE, "not assessable")
    assert (found.y_score, found.y_probability, found.y_interval) == (None, None, None)
    reason = found.reasons[0]
    assert (reason.name, reason.value, reason.limit) == ("outside_envelope", 1.01, 1.0)
    assert decide(at(info), np.array([9.0]), envelope=1.0).decision is not Decision.NOT_ASSESSABLE
    assert decide(at(info), np.array([9.0]), envelope=float("nan")).decision is Decision.NOT_ASSESSABLE


def test_ordinal_levels_are_a_distribution_even_where_the_cumulative_answers_cross(info):
    levels = at(info, task=BUILT_IN_TASKS["grade4"])
    found = decide(levels, np.array([2.0, -1.0, -3.0]))
    p = 1 / (1 + np.exp(-np.array([2.0, -1.0, -3.0])))
    assert found.level_probabilities == pytest.approx([1 - p[0], p[0] - p[1], p[1] - p[2], p[2]])
    assert (found.decision, found.answer, found.threshold) == (Decision.LEVEL, "2", None)
    assert found.y_score == pytest.approx(p.mean())
    crossing = decide(levels, np.array([-1.0, 2.0, -3.0])).level_probabilities
    assert sum(crossing) == pytest.approx(1)
    assert min(crossing) >= 0
    lowest = decide(levels, np.array([-5.0, -6.0, -7.0]))
    assert (lowest.decision, lowest.answer) == (Decision.LEVEL, "1")


def test_ordinal_levels_are_calibrated_where_the_bundle_is(info):
    levels = at(info, task=BUILT_IN_TASKS["grade4"], calibration=(CALIBRATION,) * 3)
    found = decide(levels, np.array([2.0, -1.0, -3.0]))
    p = 1 / (1 + np.exp(-(0.5 * np.array([2.0, -1.0, -3.0]) - 0.2)))
    assert found.level_probabilities == pytest.approx([1 - p[0], p[0] - p[1], p[1] - p[2], p[2]])


def test_an_answer_says_when_its_threshold_was_not_chosen_on_tuning_patients(info):
    assert decide(at(info, threshold=locked(0.0)), np.array([1.0])).reasons == ()
    fixed = at(info, threshold=locked(0.0, chosen_on="no tumour among the tuning patients"))
    (reason,) = decide(fixed, np.array([1.0])).reasons
    assert reason.sentence == (
        f"the threshold of {info.name} was not chosen on tuning patients (no tumour among the tuning patients)"
    )
    levels = at(info, task=BUILT_IN_TASKS["grade4"], threshold=locked(0.0, 0.0, 0.0, chosen_on="fixed"))
    assert decide(levels, np.zeros(3)).reasons == ()

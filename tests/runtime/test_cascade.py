import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from glioscope.cohort import load_manifest, sources
from glioscope.core import BUILT_IN_TASKS, Decision, Threshold
from glioscope.imaging import SpecimenSource
from glioscope.runtime import Cascade, decide

from ..suites import copy_suite


@pytest.fixture(scope="module")
def cascade(tiny_suite):
    return Cascade.load(tiny_suite, threads=1)


@pytest.fixture(scope="module")
def specimens(tiny_cohort):
    return sources(load_manifest(tiny_cohort))


def at(cascade, bundle, **changes):
    """What the bundle of a task says of itself, changed."""
    return cascade.bundles[bundle].info.model_copy(update=changes)


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
def test_a_specimen_is_positive_at_the_threshold_itself(cascade, logit, threshold, decision, answer):
    info = at(cascade, "tumor", threshold=Threshold(logit=(threshold,), rule="x", chosen_on="tune"))
    found = decide(info, np.array([logit]))
    assert (found.task, found.decision, found.answer) == ("tumor", decision, answer)
    assert found.y_score == pytest.approx(1 / (1 + math.exp(-logit)))
    assert found.threshold == pytest.approx(1 / (1 + math.exp(-threshold)))


def test_ordinal_levels_are_a_distribution_even_where_the_cumulative_answers_cross(cascade):
    info = at(cascade, "tumor", task=BUILT_IN_TASKS["grade4"])
    found = decide(info, np.array([2.0, -1.0, -3.0]))
    p = 1 / (1 + np.exp(-np.array([2.0, -1.0, -3.0])))
    assert found.level_probabilities == pytest.approx([1 - p[0], p[0] - p[1], p[1] - p[2], p[2]])
    assert found.answer == "2"
    assert found.y_score == pytest.approx(p.mean())
    crossing = decide(info, np.array([-1.0, 2.0, -3.0])).level_probabilities
    assert sum(crossing) == pytest.approx(1)
    assert min(crossing) >= 0


def test_grade_and_ki67_of_what_is_not_called_tumour_are_not_asked(cascade, specimens):
    answers = [cascade.diagnose(s) for s in specimens[:40]]
    seen = set()
    for answer in answers:
        tumor, ki67 = answer.tasks
        seen.add(tumor.decision)
        if tumor.decision is Decision.POSITIVE:
            assert ki67.decision in (Decision.POSITIVE, Decision.NEGATIVE)
            assert 0 <= ki67.y_score <= 1
        else:
            assert (ki67.decision, ki67.answer, ki67.y_score) == (Decision.NOT_ASKED, "not asked: not tumour", None)
    assert seen == {Decision.POSITIVE, Decision.NEGATIVE}


def test_without_a_tumour_bundle_the_others_are_asked(tiny_suite, specimens, tmp_path):
    cascade = Cascade.load(copy_suite(tiny_suite, tmp_path / "suite", ki67="ki67-fl"))
    assert [t.decision for t in cascade.diagnose(specimens[1]).tasks] != [Decision.NOT_ASKED]


def test_the_mean_of_one_image_twice_is_that_image(cascade, specimens):
    once, twice = cascade.diagnose(specimens[0]), cascade.diagnose([specimens[0]] * 2)
    assert [t.y_score for t in twice.tasks] == pytest.approx([t.y_score for t in once.tasks], abs=1e-6)


def test_the_order_of_images_does_not_matter(cascade, specimens):
    one, other = cascade.diagnose(specimens[:3]), cascade.diagnose(specimens[2::-1])
    assert one.tasks[0].y_score == pytest.approx(other.tasks[0].y_score, abs=1e-6)


def test_answers_do_not_depend_on_threads_or_on_what_was_asked_before(cascade, tiny_suite, specimens):
    some = specimens[:12]
    alone = [cascade.diagnose(s).tasks for s in some]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda s: cascade.diagnose(s).tasks, some[::-1]))[::-1]
    assert together == alone
    two = Cascade.load(tiny_suite, threads=2)
    for expected, found in zip(alone, [two.diagnose(s).tasks for s in some], strict=True):
        assert [t.y_score for t in found] == pytest.approx([t.y_score for t in expected], abs=1e-5)


def test_errors_are_answers(cascade, specimens, tmp_path):
    whole = specimens[0]
    missing = replace(whole, fl_image=tmp_path / "none.tif", wl_image=tmp_path / "none.png")
    neither = SpecimenSource("empty")
    folder = replace(whole, fl_image=tmp_path, wl_image=tmp_path)
    answers = list(cascade.diagnose_many([[whole], [missing], [neither], [folder], [whole]]))
    assert [a.error is None for a in answers] == [True, False, False, False, True]
    assert "does not exist" in answers[1].error
    assert "image, which bundle tumor-" in answers[2].error
    assert str(tmp_path) in answers[3].error
    assert answers[0].tasks == answers[4].tasks
    for answer in answers[1:4]:
        assert answer.tasks == ()
        assert answer.to_json()["tasks"] == {}


def test_a_full_frame_without_scale_is_one_sentence(cascade, specimens):
    answer = cascade.diagnose(replace(specimens[0], framing="full", mm_per_px=None))
    assert "mm_per_px" in answer.error

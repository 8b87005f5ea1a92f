import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from glioscope.cohort import load_manifest, sources
from glioscope.core import BUILT_IN_TASKS, Decision, Threshold
from glioscope.imaging import SpecimenSource, prepare_specimen
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
    assert (found.decision, found.answer, found.threshold) == (Decision.LEVEL, "2", None)
    assert found.y_score == pytest.approx(p.mean())
    crossing = decide(info, np.array([-1.0, 2.0, -3.0])).level_probabilities
    assert sum(crossing) == pytest.approx(1)
    assert min(crossing) >= 0
    lowest = decide(info, np.array([-5.0, -6.0, -7.0]))
    assert (lowest.decision, lowest.answer) == (Decision.LEVEL, "1")


def test_an_answer_says_when_its_threshold_was_not_chosen_on_tuning_patients(cascade):
    chosen = at(cascade, "tumor", threshold=Threshold(logit=(0.0,), rule="x", chosen_on="tune"))
    assert decide(chosen, np.array([1.0])).reasons == ()
    fixed = Threshold(logit=(0.0,), rule="fixed", chosen_on="no tumour among the tuning patients")
    (reason,) = decide(at(cascade, "tumor", threshold=fixed), np.array([1.0])).reasons
    assert reason == (
        f"the threshold of {chosen.name} was not chosen on tuning patients (no tumour among the tuning patients)"
    )
    levels = Threshold(logit=(0.0,) * 3, rule="most probable level", chosen_on="fixed")
    assert decide(at(cascade, "tumor", task=BUILT_IN_TASKS["grade4"], threshold=levels), np.zeros(3)).reasons == ()


def answering(cascade, specimens, decision):
    """A specimen whose tumour answer is `decision`."""
    return next(s for s in specimens if cascade.diagnose(s).tasks[0].decision is decision)


def test_the_tumour_answer_stands_where_a_later_task_lacks_its_image(tiny_suite, specimens, tmp_path):
    cascade = Cascade.load(copy_suite(tiny_suite, tmp_path / "suite", tumor="tumor-fl", ki67="ki67-wl"), threads=1)
    whole = answering(cascade, specimens, Decision.POSITIVE)
    answer = cascade.diagnose(replace(whole, wl_image=None))
    tumor, ki67 = answer.tasks
    assert answer.error is None
    assert tumor == cascade.diagnose(whole).tasks[0]
    assert (ki67.decision, ki67.y_score) == (Decision.NOT_ASSESSABLE, None)
    assert ki67.reasons == ("no WL image, which bundle ki67-wl needs",)
    other = answering(cascade, specimens, Decision.NEGATIVE)
    assert cascade.diagnose(replace(other, wl_image=None)).tasks[1].decision is Decision.NOT_ASKED


def test_without_the_image_of_the_first_task_there_is_no_diagnosis(tiny_suite, specimens, tmp_path):
    cascade = Cascade.load(copy_suite(tiny_suite, tmp_path / "suite", tumor="tumor-wl", ki67="ki67-fl"), threads=1)
    answer = cascade.diagnose(replace(specimens[0], wl_image=None))
    assert (answer.error, answer.tasks) == ("no WL image, which bundle tumor-wl needs", ())
    alone = Cascade.load(copy_suite(tiny_suite, tmp_path / "alone", ki67="ki67-fl"), threads=1)
    assert alone.diagnose(replace(specimens[0], fl_image=None)).error == "no FL image, which bundle ki67-fl needs"


def test_a_later_image_that_is_there_but_damaged_is_still_an_error(tiny_suite, specimens, tmp_path):
    cascade = Cascade.load(copy_suite(tiny_suite, tmp_path / "suite", tumor="tumor-fl", ki67="ki67-wl"), threads=1)
    (tmp_path / "bad.png").write_bytes(b"hello")
    whole = answering(cascade, specimens, Decision.POSITIVE)
    assert "bad.png" in cascade.diagnose(replace(whole, wl_image=tmp_path / "bad.png")).error


def test_what_was_decided_on_each_image_comes_with_the_answer(tiny_suite, specimens, tmp_path):
    cascade = Cascade.load(copy_suite(tiny_suite, tmp_path / "suite", tumor="tumor-fusion", ki67="ki67-fl"), threads=1)
    sets = specimens[:2]
    info = cascade.bundles["tumor"].info
    found = cascade.diagnose(sets).preparation
    assert set(found) == {"fl", "wl"}
    for name in ("fl", "wl"):
        images = [s.fl_image if name == "fl" else s.wl_image for s in sets]
        made = [prepare_specimen(s, fl_plan=info.fl_plan, wl_plan=info.wl_plan) for s in sets]
        records = [(m.fl if name == "fl" else m.wl).record.as_row() for m in made]
        expected = [{"image": image.name, **record} for image, record in zip(images, records, strict=True)]
        assert list(found[name]) == expected
    assert found["fl"][0]["offset"] > 0
    assert cascade.diagnose(sets).to_json()["preparation"]["fl"] == list(found["fl"])


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

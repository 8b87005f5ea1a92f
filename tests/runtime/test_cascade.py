from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from glioscope.cohort import load_manifest, sources
from glioscope.core import Decision, Frame, ImageError, InputError, QualityLimits
from glioscope.imaging import SpecimenSource, prepare_specimen
from glioscope.runtime import Cascade, RuntimeSettings, draw_heatmap, heatmap, write_heatmaps
from glioscope.sim import SimSettings, render_tray

from ..suites import copy_suite

ONE = RuntimeSettings(threads=1)
MM_PER_PX = 0.1


@pytest.fixture(scope="module")
def cascade(tiny_suite):
    return Cascade.load(tiny_suite, ONE)


@pytest.fixture(scope="module")
def specimens(tiny_cohort):
    return sources(load_manifest(tiny_cohort))


def loaded(tiny_suite, folder, settings=ONE, **answers):
    return Cascade.load(copy_suite(tiny_suite, folder, **answers), settings)


def lenient(cascade, **changes):
    """The suite without what refuses or holds back an answer: every specimen is called tumour or non-tumour."""
    bare = {"abstention": None, "envelope": None, "conditions": {}, "quality": QualityLimits(), **changes}
    bundles = {
        task: replace(bundle, info=bundle.info.model_copy(update=bare)) for task, bundle in cascade.bundles.items()
    }
    return replace(cascade, bundles=bundles)


def tasks(answer):
    return [task.to_json() for task in answer.tasks]


def scores(answer):
    return [task.y_score for task in answer.tasks]


def answering(cascade, specimens, decision):
    """A specimen whose tumour answer is `decision`."""
    return next(s for s in specimens if cascade.diagnose_files(s).decision is decision)


def frames(n_specimens, seed=0, shape=(256, 320)):
    tray = render_tray(n_specimens, shape, MM_PER_PX, SimSettings(), np.random.default_rng(seed))
    return Frame(tray.fl, mm_per_px=MM_PER_PX), Frame(tray.wl, mm_per_px=MM_PER_PX), tray


def test_the_tumour_answer_stands_where_a_later_task_lacks_its_image(tiny_suite, specimens, tmp_path):
    cascade = lenient(loaded(tiny_suite, tmp_path / "suite", tumor="tumor-fl", ki67="ki67-wl"))
    whole = answering(cascade, specimens, Decision.POSITIVE)
    answer = cascade.diagnose_files(replace(whole, wl_image=None))
    assert answer.error is None
    assert tasks(answer)[0] == tasks(cascade.diagnose_files(whole))[0]
    ki67 = answer.tasks[1]
    assert (ki67.decision, ki67.y_score) == (Decision.NOT_ASSESSABLE, None)
    (reason,) = ki67.reasons
    assert (reason.name, reason.slot) == ("missing_image", "wl")
    assert reason.sentence == "no WL image, which bundle ki67-wl needs"
    other = answering(cascade, specimens, Decision.NEGATIVE)
    assert cascade.diagnose_files(replace(other, wl_image=None)).tasks[1].decision is Decision.NOT_ASKED


def test_without_the_image_of_the_first_task_nothing_is_assessable(tiny_suite, specimens, tmp_path):
    cascade = loaded(tiny_suite, tmp_path / "suite", tumor="tumor-fusion", ki67="ki67-fl")
    answer = cascade.diagnose_files(replace(specimens[0], wl_image=None))
    assert (answer.error, answer.decision) == (None, Decision.NOT_ASSESSABLE)
    assert answer.tasks[0].reasons[0].sentence == "no WL image, which bundle tumor-fusion needs"
    assert answer.tasks[1].answer == "not asked: tumour is not assessable"
    alone = loaded(tiny_suite, tmp_path / "alone", ki67="ki67-fl")
    assert alone.diagnose_files(replace(specimens[0], fl_image=None)).decision is Decision.NOT_ASSESSABLE


def test_a_later_image_that_is_there_but_damaged_is_still_an_error(tiny_suite, specimens, tmp_path):
    cascade = loaded(tiny_suite, tmp_path / "suite", tumor="tumor-fl", ki67="ki67-wl")
    (tmp_path / "bad.png").write_bytes(b"hello")
    assert "bad.png" in cascade.diagnose_files(replace(specimens[0], wl_image=tmp_path / "bad.png")).error


def test_what_was_decided_on_each_image_comes_with_the_answer(tiny_suite, specimens, tmp_path):
    cascade = lenient(loaded(tiny_suite, tmp_path / "suite", tumor="tumor-fusion", ki67="ki67-fl"))
    sets = specimens[:2]
    info = cascade.bundles["tumor"].info
    answer = cascade.diagnose_files(sets)
    found = answer.preparation
    assert set(found) == {"fl", "wl"}
    for name in ("fl", "wl"):
        images = [s.fl_image if name == "fl" else s.wl_image for s in sets]
        made = [prepare_specimen(s, fl_plan=info.fl_plan, wl_plan=info.wl_plan) for s in sets]
        records = [(m.fl if name == "fl" else m.wl).record.as_row() for m in made]
        expected = [{"image": image.name, **record} for image, record in zip(images, records, strict=True)]
        assert list(found[name]) == expected
    assert found["fl"][0]["offset"] > 0
    assert answer.to_json()["preparation"]["fl"] == list(found["fl"])
    assert answer.quality == pytest.approx(answer.to_json()["quality"], abs=1e-6)


def test_grade_and_ki67_of_what_is_not_called_tumour_are_not_asked(cascade, specimens):
    answers = [lenient(cascade).diagnose_files(s) for s in specimens[:40]]
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
    cascade = lenient(loaded(tiny_suite, tmp_path / "suite", ki67="ki67-fl"))
    assert cascade.diagnose_files(specimens[1]).decision in (Decision.POSITIVE, Decision.NEGATIVE)


def test_the_mean_of_one_image_twice_is_that_image(cascade, specimens):
    once, twice = (lenient(cascade).diagnose_files([specimens[0]] * n) for n in (1, 2))
    assert scores(twice) == pytest.approx(scores(once), abs=1e-6)


def test_the_order_of_images_does_not_matter(cascade, specimens):
    one, other = (lenient(cascade).diagnose_files(sets) for sets in (specimens[:3], specimens[2::-1]))
    assert scores(one)[0] == pytest.approx(scores(other)[0], abs=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        ONE,
        RuntimeSettings(threads=2),
        RuntimeSettings(threads=2, parallel=False),
        RuntimeSettings(threads=1, workers=2, batch=5),
        RuntimeSettings(threads=1, workers=3, batch=1, parallel=False),
    ],
)
def test_answers_do_not_depend_on_threads_batches_or_what_was_asked_before(cascade, tiny_suite, specimens, settings):
    some = specimens[:12]
    alone = [tasks(lenient(cascade).diagnose_files(s)) for s in some]
    other = lenient(Cascade.load(tiny_suite, settings))
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda s: tasks(other.diagnose_files(s)), some[::-1]))[::-1]
    assert together == alone
    assert [tasks(a) for a in other.diagnose_many([s] for s in some)] == alone


def test_errors_are_answers(cascade, specimens, tmp_path):
    whole = specimens[0]
    missing = replace(whole, fl_image=tmp_path / "none.tif", wl_image=tmp_path / "none.png")
    neither = SpecimenSource("empty")
    folder = replace(whole, fl_image=tmp_path, wl_image=tmp_path)
    answers = list(cascade.diagnose_many([[whole], [missing], [neither], [folder], [whole]]))
    assert [a.error is None for a in answers] == [True, False, True, False, True]
    assert "does not exist" in answers[1].error
    assert "image, which bundle tumor-" in answers[2].tasks[0].reasons[0].sentence
    assert str(tmp_path) in answers[3].error
    assert tasks(answers[0]) == tasks(answers[4])
    assert all(a.decision is Decision.NOT_ASSESSABLE for a in answers[1:4])
    assert answers[1].to_json()["tasks"] == {}


def test_one_specimen_that_breaks_in_a_batch_of_a_thousand_is_one_error(cascade, specimens, monkeypatch):
    import glioscope.runtime._case as module

    broken = specimens[7].specimen_id

    def measure(images):
        if images.specimen_id == broken:
            raise ZeroDivisionError("something nobody foresaw")
        return {}

    monkeypatch.setattr(module, "measure_quality", measure)
    many = [[specimens[number % 20]] for number in range(1000)]
    answers = list(replace(cascade, settings=RuntimeSettings(threads=1, workers=2, batch=16)).diagnose_many(many))
    assert [a.specimen_id for a in answers] == [sets[0].specimen_id for sets in many]
    assert {a.error for a in answers if a.specimen_id == broken} == {"ZeroDivisionError: something nobody foresaw"}
    assert all(a.error is None for a in answers if a.specimen_id != broken)


def test_many_reads_no_further_ahead_than_its_workers(cascade, specimens):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield [specimens[0]]

    answers = replace(cascade, settings=RuntimeSettings(threads=1, workers=2, batch=4)).diagnose_many(endless())
    for _ in range(4):
        next(answers)
    assert taken <= 4 * (2 + 2)
    answers.close()


def test_a_full_frame_without_scale_is_one_sentence(cascade, specimens):
    answer = cascade.diagnose_files(replace(specimens[0], framing="full", mm_per_px=None))
    assert "mm_per_px" in answer.error


def test_a_frame_pair_gets_the_answer_that_its_files_get(cascade, tmp_path):
    import cv2

    fl, wl, _ = frames(1)
    answer = lenient(cascade).diagnose(fl, wl, specimen_id="a")
    assert answer.error is None
    assert answer.tasks[0].y_score is not None
    assert answer.box is not None
    assert answer.outline.shape[1] == 2
    assert set(answer.timings_ms) >= {"find", "gate", "prepare", "network", "total"}
    cv2.imwrite(str(tmp_path / "fl.tif"), fl.pixels)
    cv2.imwrite(str(tmp_path / "wl.png"), wl.pixels[..., ::-1])
    source = SpecimenSource("a", tmp_path / "fl.tif", tmp_path / "wl.png", framing="full", mm_per_px=MM_PER_PX)
    assert tasks(lenient(cascade).diagnose_files(source)) == tasks(answer)


def test_identical_pixels_get_the_identical_answer(cascade):
    fl, wl, _ = frames(1, seed=4)
    first, again = (lenient(cascade).diagnose(fl, wl) for _ in range(2))
    copied = lenient(cascade).diagnose(replace(fl, pixels=fl.pixels.copy(), sequence=9), wl)
    assert tasks(first) == tasks(again) == tasks(copied)
    assert np.array_equal(first.tasks[0].cams["fl"], again.tasks[0].cams["fl"])


@pytest.mark.parametrize(("count", "name"), [(0, "no_specimen"), (3, "several_specimens")])
def test_without_exactly_one_specimen_nothing_is_assessable(cascade, count, name):
    fl, wl, _ = frames(count)
    answer = cascade.diagnose(fl, wl)
    assert answer.decision is Decision.NOT_ASSESSABLE
    assert [t.decision for t in answer.tasks] == [Decision.NOT_ASSESSABLE] * 2
    (reason,) = answer.reasons
    assert reason.name == name


@pytest.mark.parametrize(
    ("fl", "wl", "words"),
    [
        (Frame(np.zeros((64, 64, 3), np.uint8), mm_per_px=0.1), None, "the FL frame is uint8 (64, 64, 3)"),
        (Frame(np.zeros((64, 64)), mm_per_px=0.1), None, "the FL frame is float64"),
        (None, Frame(np.zeros((64, 64), np.uint16), mm_per_px=0.1), "the WL frame is uint16 (64, 64)"),
        (None, Frame(np.zeros((64, 64, 4), np.uint8), mm_per_px=0.1), "the WL frame is uint8 (64, 64, 4)"),
        (Frame(np.zeros((0, 0), np.uint16), mm_per_px=0.1), None, "0 x 0 px is under the limit"),
        (None, None, "neither"),
        (Frame(np.zeros((64, 64), np.uint16)), None, "mm_per_px"),
        (Frame(np.zeros((64, 64), np.uint16), mm_per_px=float("nan")), None, "mm_per_px is nan"),
        (
            Frame(np.zeros((64, 64), np.uint16), mm_per_px=0.1),
            Frame(np.zeros((64, 65, 3), np.uint8), mm_per_px=0.1),
            "must be registered",
        ),
    ],
)
def test_a_frame_of_the_wrong_kind_is_one_sentence(cascade, fl, wl, words):
    answer = cascade.diagnose(fl, wl)
    assert words in answer.error
    assert answer.decision is Decision.NOT_ASSESSABLE
    with pytest.raises(ImageError, match=r"."):
        cascade.diagnose_tray(fl, wl)


def test_a_tray_is_diagnosed_in_plate_coordinates(cascade):
    fl, wl, tray = frames(5, seed=2, shape=(384, 512))
    answers = lenient(cascade).diagnose_tray(fl, wl, tray_id="T")
    assert [a.specimen_id for a in answers] == [f"T-{n}" for n in range(1, len(answers) + 1)]
    assert len(answers) == len(tray.specimens)
    for answer in answers:
        x, y, w, h = answer.box
        assert np.array_equal(answer.pixels["fl"], fl.pixels[y : y + h, x : x + w])
        assert np.array_equal(answer.pixels["wl"], wl.pixels[y : y + h, x : x + w])
        assert answer.mask.shape == (h, w)
        assert (answer.outline >= (x, y)).all()
        assert (answer.outline < (x + w, y + h)).all()
        assert answer.error is None
    assert lenient(cascade).diagnose_tray(*frames(0)[:2]) == []


def test_a_specimen_of_a_tray_gets_the_answer_that_its_cut_gets_alone(cascade, tmp_path):
    import cv2

    fl, wl, _ = frames(5, seed=2, shape=(384, 512))
    open_cascade = lenient(cascade)
    answers = open_cascade.diagnose_tray(fl, wl)
    asked = [answer for answer in answers if answer.tasks[0].y_score is not None]
    assert asked
    for answer in asked:
        cv2.imwrite(str(tmp_path / "fl.tif"), answer.pixels["fl"])
        cv2.imwrite(str(tmp_path / "wl.png"), answer.pixels["wl"][..., ::-1])
        alone = open_cascade.diagnose_files(SpecimenSource("alone", tmp_path / "fl.tif", tmp_path / "wl.png"))
        assert scores(alone) == scores(answer)


def test_settings_outside_the_trained_range_are_not_assessable(cascade):
    trained = lenient(cascade, conditions={"fl_exposure_ms": (80.0, 100.0), "distance_mm": (300.0, 300.0)})
    fl, wl, _ = frames(1)

    def reasons(**changes):
        answer = trained.diagnose(replace(fl, **changes), wl)
        return {r.name: r for r in answer.reasons}

    assert reasons(exposure_ms=72.1, distance_mm=329.0) == {}
    assert reasons() == {}
    far = reasons(exposure_ms=100.0, distance_mm=331.0)["distance_mm_untrained"]
    assert (far.value, far.limit, far.unit) == (331.0, pytest.approx(330.0), "mm")
    assert "working distance 331 mm is outside 300 to 300 mm" in far.sentence
    long = reasons(exposure_ms=400.0, distance_mm=300.0)
    assert set(long) == {"fl_exposure_ms_untrained"}
    answer = trained.diagnose(replace(fl, exposure_ms=400.0), wl)
    first = trained.bundles["tumor"].info.modality
    expected = Decision.NOT_ASSESSABLE if "fl" in first.inputs else None
    assert expected is None or answer.decision is expected


def test_a_specimen_far_from_the_training_images_is_not_assessable(cascade):
    fl, wl, _ = frames(1)
    for limit, far in ((1e-6, True), (1e6, False)):
        bundles = {}
        for task, bundle in cascade.bundles.items():
            envelope = bundle.info.envelope.model_copy(update={"limit": limit})
            open_info = {"conditions": {}, "abstention": None, "quality": QualityLimits()}
            bundles[task] = replace(bundle, info=bundle.info.model_copy(update={"envelope": envelope, **open_info}))
        answer = replace(cascade, bundles=bundles).diagnose(fl, wl)
        assert (answer.decision is Decision.NOT_ASSESSABLE) is far
        assert (answer.tasks[0].envelope > 1) is far


def test_the_heatmap_lies_on_the_specimen_and_costs_no_pass(cascade, tmp_path):
    fl, wl, _ = frames(1)
    open_cascade = lenient(cascade)
    answer = open_cascade.diagnose(fl, wl, specimen_id="../a b")
    task = answer.tasks[0]
    name = next(iter(task.cams))
    values = heatmap(task, name, answer, open_cascade)
    assert values.shape == answer.pixels[name].shape[:2]
    assert not values[~answer.mask].any()
    picture = draw_heatmap(task, name, answer, open_cascade)
    assert (picture.dtype, picture.shape) == (np.uint8, (*values.shape, 3))
    written = write_heatmaps(tmp_path, answer, open_cascade)
    assert written.tasks[0].to_json()["heatmap"].startswith(str(tmp_path))
    assert {p.parent for p in tmp_path.rglob("*.png")} == {tmp_path}
    with pytest.raises(InputError, match="has no nir map"):
        heatmap(task, "nir", answer, open_cascade)


def test_a_provider_that_is_not_there_is_refused(tiny_suite):
    with pytest.raises(InputError, match="provider 'cuda' is not in this ONNX Runtime, which has cpu"):
        Cascade.load(tiny_suite, RuntimeSettings(provider="cuda"))


def test_two_can_load_at_once(tiny_suite, specimens):
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda _: Cascade.load(tiny_suite, ONE), range(2))
    assert tasks(one.diagnose_files(specimens[0])) == tasks(two.diagnose_files(specimens[0]))

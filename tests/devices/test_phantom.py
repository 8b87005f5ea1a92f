"""The whole check on SIMULATED pictures: the truth is recovered, and each fault is seen by its own measure alone."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import cv2
import numpy as np
import pytest

from glioscope.core import BundleInfo, ImageError, InputError, QualityLimits, Task
from glioscope.devices._phantom import SuiteInUse, judge_phantom
from glioscope.devices._phantom_judge import CONDITION_MARGIN, PhantomLimits, Tolerance, Verdict
from glioscope.devices._phantom_read import PhantomReading, measure_phantom
from glioscope.devices._phantom_result import PhantomResult, is_current, read_phantom, write_phantom
from glioscope.devices._phantom_target import read_target
from glioscope.imaging import Registration, register_cameras
from glioscope.imaging import Target as Board
from glioscope.runtime._case import CONDITION_MARGIN as RUNTIME_MARGIN
from glioscope.sim import photograph_target
from glioscope.sim._phantom import PhantomFaults, PhantomPair, render_phantom

TARGET = read_target("glioscope-cast")


@cache
def rendered(seed: int = 0, faults: PhantomFaults | None = None, **changes: object) -> PhantomPair:
    return render_phantom(TARGET, np.random.default_rng(seed), faults=faults, **changes)  # type: ignore[arg-type]


def read(pair: PhantomPair, **given: object) -> PhantomReading:
    return measure_phantom(pair.fl, pair.wl, TARGET, pair.exposure_ms, **given)  # type: ignore[arg-type]


@cache
def baseline(*, dark: bool = False) -> PhantomResult:
    pair = rendered(0)
    return judge_phantom(read(pair, dark=pair.dark if dark else None), data_kind="simulated", unit="bench")


def checked(pair: PhantomPair, *, dark: bool = False) -> PhantomResult:
    first = baseline(dark=dark)
    reading = read(pair, dark=pair.dark if dark else None, baseline=first)
    return judge_phantom(reading, data_kind="simulated", unit="bench", baseline=first)


def test_the_truth_is_recovered():
    pair = rendered(3, shift_mm=(1.0, -0.8), turned_deg=2.0)
    reading, truth = read(pair, dark=pair.dark), pair.truth
    values = reading.values
    assert values["slope_counts_per_nm_ms"] == pytest.approx(truth.slope, rel=0.01)
    assert values["r2"] > 0.999
    assert values["nonlinearity"] < 0.02
    assert values["fl_mtf50_lp_mm"] == pytest.approx(truth.mtf50_lp_mm, rel=0.05)
    assert values["depth_1e_mm"] == pytest.approx(truth.depth_1e_mm, rel=0.05)
    assert values["dark_counts"] == pytest.approx(truth.dark_counts, abs=0.5)
    # 120 e- rms of reading and the shot noise of 300 e- dark current, at 8 e- a count, rounded to whole counts.
    assert values["dark_noise_counts"] == pytest.approx(np.sqrt((120**2 + 300) / 64 + 1 / 12), rel=0.02)
    cells = np.array([[cell.x_mm, cell.y_mm] for cell in reading.cells])
    x, y = np.rint(reading.fl.to_px(cells)).astype(int).T
    light = truth.illumination[y, x]
    expected = (light.max() - light.min()) / (light.max() + light.min())
    assert values["uniformity"] == pytest.approx(expected, abs=0.006)


def test_the_limit_of_detection_is_what_a_pixel_shows():
    values = read(rendered(3)).values
    # 16 counts of noise where nothing but ambient light shines, 0.446 counts/nM/ms in 100 ms.
    assert values["lod_nm"] == pytest.approx(3.3 * 16.3 / 44.6, rel=0.15)
    assert values["loq_nm"] == pytest.approx(values["lod_nm"] / 0.33)


def test_bad_pixels_are_counted_where_they_can_be_told():
    pair = rendered(4, PhantomFaults(dead_pixels=200, hot_pixels=200))
    picture = read(pair).picture
    truth = pair.truth.bad & picture.examined
    assert picture.examined.mean() > 0.8
    assert np.count_nonzero(picture.bad & pair.truth.bad) > 0.98 * np.count_nonzero(truth)
    assert np.count_nonzero(picture.bad & ~pair.truth.bad) <= 10


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_a_good_unit_passes_wherever_the_target_lies(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-1.5, 1.5, 2)
    result = checked(rendered(seed, shift_mm=(float(x), float(y)), turned_deg=float(rng.uniform(-3, 3))))
    assert result.verdict is Verdict.OK
    assert result.reasons() == ()
    assert result.registration_source == "baseline"
    assert len(result.lines) == 14


FAULTS = {
    "fl_mtf50_lp_mm": PhantomFaults(blur_px=0.8),
    "wl_mtf50_lp_mm": PhantomFaults(wl_blur_px=1.0),
    "uniformity": PhantomFaults(uneven=0.15),
    "bad_share": PhantomFaults(dead_pixels=150, hot_pixels=150),
    "dark_counts": PhantomFaults(leak=0.15),
    "slope_counts_per_nm_ms": PhantomFaults(laser=0.5),
    "registration_mm": PhantomFaults(moved_px=5.0),
    "nonlinearity": PhantomFaults(compression=0.25),
    "saturated_wells": PhantomFaults(clipped_at=30_000),
    "dark_noise_counts": PhantomFaults(noise=1.8),
}


@pytest.mark.parametrize("measure", FAULTS)
def test_each_fault_is_seen_by_its_own_measure_and_by_no_other(measure):
    result = checked(rendered(21, FAULTS[measure], shift_mm=(0.7, 0.5), turned_deg=1.5))
    assert result.verdict is Verdict.FAIL
    assert [line.name for line in result.lines if line.verdict is Verdict.FAIL] == [measure]
    (reason,) = [r for r in result.reasons() if r.name == f"phantom_{measure}"]
    assert reason.limit is not None
    assert f"{reason.value:.4g}" in reason.sentence


def test_with_a_dark_frame_a_leak_shows_in_the_dark_area():
    result = checked(rendered(21, PhantomFaults(leak=0.15)), dark=True)
    failed = [line.name for line in result.lines if line.verdict is Verdict.FAIL]
    assert failed == ["background_counts"]
    assert result.dark_source == "dark frame"


def test_the_way_to_a_limit_is_warned_of():
    result = checked(rendered(22, PhantomFaults(laser=0.89)))
    assert result.verdict is Verdict.WARN
    (reason,) = result.reasons()
    assert reason.sentence.startswith("nearing the limit: sensitivity is")


@cache
def registered() -> Registration:
    pair = photograph_target(Board("charuco", 17, 13, 5.0), np.random.default_rng(1))
    return register_cameras(pair.fl, pair.wl, Board("charuco", 17, 13, 5.0))


@pytest.mark.parametrize(("moved", "mm"), [(0.0, 0.0), (3.0, 0.233)])
def test_the_residual_of_a_registration_is_how_far_the_camera_moved(moved, mm):
    reading = read(rendered(5, PhantomFaults(moved_px=moved)), registration=registered())
    assert reading.registration_source == "registration"
    assert reading.values["registration_mm"] == pytest.approx(mm, abs=0.02)


def test_a_registration_of_other_frames_is_refused():
    with pytest.raises(ImageError, match="fluorescence picture is 640 x 512 px, the registration is for 320 x 256 px"):
        read(rendered(0), registration=replace(registered(), fl_size=(320, 256)))


def test_the_printed_target_gives_what_it_can():
    mask = read_target("glioscope-mask")
    pair = render_phantom(mask, np.random.default_rng(1))
    reading = measure_phantom(pair.fl, pair.wl, mask, 100.0)
    assert {"uniformity", "fl_mtf50_lp_mm", "wl_mtf50_lp_mm", "bad_share", "dark_counts"} <= set(reading.values)
    assert not {"slope_counts_per_nm_ms", "lod_nm", "depth_1e_mm", "saturated_wells"} & set(reading.values)
    notes = judge_phantom(reading, data_kind="simulated").notes
    assert any("no wells for sensitivity" in note for note in notes)


def test_the_first_check_is_only_judged_by_limits_of_any_unit_and_says_so():
    result = baseline()
    assert result.verdict is Verdict.WARN
    assert any(note.startswith("no baseline") for note in result.notes)
    assert any(note.startswith("no suite") for note in result.notes)
    by_name = {line.name: line for line in result.lines}
    assert by_name["slope_counts_per_nm_ms"].verdict is Verdict.NOT_JUDGED
    assert by_name["bad_share"].against == "limits"


def bundle(name: str, conditions: dict[str, tuple[float, float]], modality: str = "fl", **limits: float) -> BundleInfo:
    return BundleInfo.model_construct(
        name=name,
        modality=type("M", (), {"inputs": (modality,)})(),
        conditions=conditions,
        quality=QualityLimits(**limits),
        task=Task.model_construct(name="tumor"),
    )


def against(*bundles: BundleInfo, **conditions: float) -> dict[str, Verdict]:
    suite = SuiteInUse("s1", bundles, "simulated", conditions)
    result = judge_phantom(read(rendered(0)), data_kind="simulated", unit="bench", baseline=baseline(), suite=suite)
    assert result.suite == "s1"
    return {line.name: line.verdict for line in result.lines if line.against == "s1"}


def test_the_suite_judges_what_it_was_trained_with():
    wide = bundle("wide", {"fl_exposure_ms": (50, 200), "mm_per_px": (0.09, 0.12), "distance_mm": (280, 320)})
    assert against(wide, distance_mm=300) == {
        "suite_fl_exposure_ms": Verdict.OK,
        "suite_mm_per_px": Verdict.OK,
        "suite_distance_mm": Verdict.OK,
    }
    narrow = bundle("narrow", {"fl_exposure_ms": (180, 200)}, fl_background_max=700.0)
    both = against(wide, narrow)
    assert both["suite_fl_exposure_ms"] is Verdict.FAIL
    assert both["suite_fl_background"] is Verdict.FAIL
    assert against(bundle("wl only", {"fl_exposure_ms": (1, 2)}, modality="wl")) == {}


def test_the_margin_is_that_of_the_theatre():
    assert CONDITION_MARGIN == RUNTIME_MARGIN


def test_a_suite_trained_on_other_data_is_noted():
    suite = SuiteInUse("s1", (), "real")
    notes = judge_phantom(read(rendered(0)), data_kind="simulated", suite=suite).notes
    assert "suite s1 was trained on real images, these pictures are simulated" in notes
    assert "suite s1 does not say with which settings it was trained" in notes


@pytest.mark.parametrize(
    ("change", "given", "said"),
    [
        ({"unit": "other"}, {}, "the baseline is of unit 'other'"),
        ({"data_kind": "real"}, {}, "the baseline is of real pictures, these are simulated"),
        ({"verdict": Verdict.FAIL}, {}, "failed itself"),
        ({"exposure_ms": 50.0}, {}, "exposure is 100 ms, the baseline had 50 ms"),
        ({"dark_source": "dark frame"}, {}, "the dark level is from a dark area of the target"),
        ({"target_sha256": "0" * 64, "target": "x"}, {}, "the baseline is of target 'x'"),
    ],
)
def test_a_baseline_that_does_not_compare_is_refused(change, given, said):
    with pytest.raises(InputError, match=said):
        judge_phantom(
            read(rendered(0)), data_kind="simulated", unit="bench", baseline=replace(baseline(), **change), **given
        )


def test_twelve_bits_in_sixteen_are_named():
    pair = rendered(0)
    fl = np.minimum(pair.fl // 16, 4095).astype(np.uint16)
    reading = measure_phantom(fl, pair.wl, TARGET, 100.0, white_level=4095)
    with pytest.raises(ImageError, match=r"no pixel is over 4095, the baseline's range was 65535: check the camera's"):
        judge_phantom(reading, data_kind="simulated", unit="bench", baseline=baseline())


BAD = {
    "black": (lambda fl, wl: (np.zeros_like(fl), wl), "fluorescence picture is 0 everywhere"),
    "colour in the FL slot": (lambda fl, wl: (wl, wl), r"fluorescence picture is uint8 \(720, 1280, 3\)"),
    "grey in the WL slot": (lambda fl, wl: (fl, fl), r"white-light picture is uint16 \(512, 640\)"),
    "white light in grey as FL": (
        lambda fl, wl: (257 * (255 - cv2.cvtColor(wl, cv2.COLOR_RGB2GRAY)).astype(np.uint16), wl),
        "fluorescence picture: target 'glioscope-cast' is not found",
    ),
    "no lamp": (lambda fl, wl: (fl, np.full_like(wl, 3)), "white-light picture is 3 everywhere"),
    "stamp": (lambda fl, wl: (fl[:40, :40].copy(), wl), "40 x 40 px, 64 is the least"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_pictures_are_one_sentence(case):
    change, said = BAD[case]
    pair = rendered(0)
    with pytest.raises(ImageError, match=said) as caught:
        measure_phantom(*change(pair.fl, pair.wl), TARGET, 100.0)
    assert "\n" not in str(caught.value)


def test_wrong_numbers_are_refused():
    pair = rendered(0)
    for exposure in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="out of range"):
            measure_phantom(pair.fl, pair.wl, TARGET, exposure)
    with pytest.raises(ImageError, match=r"dark frame is uint16 \(256, 320\)"):
        measure_phantom(pair.fl, pair.wl, TARGET, 100.0, dark=pair.dark[::2, ::2])


def test_a_target_that_does_not_shine_is_refused():
    pair = rendered(6, PhantomFaults(laser=0.0))
    with pytest.raises(ImageError, match="is not found"):
        read(pair)


def test_a_result_is_read_back_as_it_was_written(tmp_path):
    path = tmp_path / "result.json"
    write_phantom(path, baseline())
    assert read_phantom(path) == baseline()
    assert "Research use only" in path.read_text()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text.replace('"verdict": "warn"', '"verdict": "ok"', 1), "changed after it was written"),
        (lambda text: text[: len(text) // 2], "is not a phantom file"),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 9'), "schema_version is 9, 1 is needed"),
        (lambda text: "[]", "schema_version is None"),
        (lambda text: "", "is not a phantom file"),
    ],
)
def test_a_result_that_was_touched_is_refused(tmp_path, spoil, said):
    path = tmp_path / "result.json"
    write_phantom(path, baseline())
    path.write_text(spoil(path.read_text()))
    with pytest.raises(InputError, match=said):
        read_phantom(path)


@pytest.mark.parametrize("change", [{"created": "yesterday"}, {"created": "2026-01-01T00:00:00"}, {"data_kind": "x"}])
def test_a_result_with_an_impossible_value_is_refused(tmp_path, change):
    path = tmp_path / "result.json"
    write_phantom(path, replace(baseline(), **change))
    with pytest.raises(InputError, match=r"result\.json"):
        read_phantom(path)


def test_a_result_is_current_for_its_hours_and_never_from_the_future():
    result = replace(baseline(), created="2026-03-01T08:00:00+00:00")
    then = datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert is_current(result, then)
    assert is_current(result, then + timedelta(hours=12))
    assert not is_current(result, then + timedelta(hours=12, seconds=1))
    assert not is_current(result, then - timedelta(hours=1))
    assert is_current(result, then + timedelta(hours=20), max_age_hours=24)
    with pytest.raises(InputError, match="no timezone"):
        is_current(result, datetime(2026, 3, 1))
    with pytest.raises(InputError, match="max_age_hours"):
        is_current(result, then, max_age_hours=0)


def test_bounds_take_the_stricter_of_limit_and_baseline():
    assert Tolerance(low=1.0, below=0.5).bounds(4.0) == (2.0, None)
    assert Tolerance(low=3.0, below=0.5).bounds(4.0) == (3.0, None)
    assert Tolerance(high=1.0, above=0.1, absolute=True).bounds(0.5) == (None, 0.6)
    assert Tolerance(above=0.1).bounds(None) == (None, None)


def test_other_limits_give_another_verdict():
    strict = PhantomLimits(bad_share=Tolerance(high=0.0001))
    result = judge_phantom(read(rendered(0)), data_kind="simulated", limits=strict)
    assert [line.name for line in result.lines if line.verdict is Verdict.FAIL] == ["bad_share"]
    assert json.dumps(result.reasons()[0].to_json())


def test_the_page_is_drawn(tmp_path):
    from glioscope.devices._phantom_figure import draw_phantom

    pair = rendered(0)
    draw_phantom(tmp_path / "p.png", read(pair), baseline(), pair.wl)
    page = cv2.imread(str(tmp_path / "p.png"))
    assert page.shape[1] > 1200
    assert page.std() > 20

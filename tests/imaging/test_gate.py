from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from glioscope.core import Frame, InputError, QualityLimits
from glioscope.imaging import RawImage, SpecimenImages, infer_white_level, specimens_in_frames
from glioscope.imaging._gate import MIN_FIT, fit_quality_limits, judge_quality, measure_quality
from glioscope.imaging._gate_checks import CHECKS, ROOT_CAUSES
from glioscope.imaging._gate_sharpness import detail, pixel_noise

from .scenes import draw

SHAPE = (100, 110)
CENTRE = (55.0, 50.0, 34.0)


@lru_cache(maxsize=128)
def scene(seed, brightness=4000.0, ambient=300.0):
    return draw([(*CENTRE, brightness)], seed=seed, shape=SHAPE, ambient=ambient)


def images(fl=None, wl=None, mask=None):
    return SpecimenImages(
        "specimen",
        None if fl is None else RawImage(fl, infer_white_level(fl)),
        None if wl is None else RawImage(wl, 255, white_stated=True),
        mask=mask,
    )


def pair(seed=0, **light):
    drawn = scene(seed, **light)
    return images(drawn.fl, drawn.wl)


@lru_cache(maxsize=1)
def training():
    rng = np.random.default_rng(0)
    return [
        measure_quality(pair(seed, brightness=float(np.exp(rng.uniform(7, 9.2))), ambient=float(rng.uniform(250, 400))))
        for seed in range(60)
    ]


@lru_cache(maxsize=1)
def limits():
    return fit_quality_limits(training())


def names(given, allowed=None):
    return {reason.name for reason in judge_quality(measure_quality(given), allowed or limits())}


def blurred(image, sigma, noise):
    rng = np.random.default_rng(9)
    soft = cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma) + noise * rng.standard_normal(image.shape)
    return soft.clip(0, np.iinfo(image.dtype).max).astype(image.dtype)


def test_specimens_like_the_training_ones_pass():
    refused = [seed for seed in range(100, 160) if names(pair(seed))]
    assert len(refused) <= 1


def test_the_defaults_refuse_only_what_is_wrong_for_any_system():
    assert names(pair(1), QualityLimits()) == set()
    assert names(pair(1, brightness=400.0), QualityLimits()) == set()
    drawn = scene(1)
    assert names(images(blurred(drawn.fl, 4, 20), drawn.wl), QualityLimits()) == set()
    assert "fl_saturated" in names(images(np.minimum(drawn.fl, 3000) * 21 + 2535, drawn.wl), QualityLimits())


def test_the_saturated_share_is_that_which_was_clipped():
    drawn = scene(2)
    mask = drawn.masks[0]
    level = np.quantile(drawn.fl[mask], 0.7)
    clipped = np.where(drawn.fl >= level, 65535, drawn.fl).astype(np.uint16)
    measured = measure_quality(images(clipped, mask=mask))["fl_saturated"]
    assert measured == pytest.approx(np.mean(clipped[mask] == 65535), abs=0.03)
    assert measure_quality(images(drawn.fl, mask=mask))["fl_saturated"] == 0


def test_saturation_is_seen_under_the_top_of_the_container():
    drawn = scene(2)
    counts = np.minimum(drawn.fl // 2, np.uint16(np.quantile(drawn.fl // 2, 0.8)))
    left_aligned = (counts.astype(np.float64) / counts.max() * 4095).astype(np.uint16) << 4
    assert left_aligned.max() < 65535
    assert "fl_saturated" in names(images(left_aligned), QualityLimits())


def test_the_reason_says_share_limit_and_what_to_do():
    drawn = scene(2)
    clipped = np.where(drawn.masks[0], 65535, drawn.fl).astype(np.uint16)
    (reason,) = judge_quality(measure_quality(images(clipped, mask=drawn.masks[0])), QualityLimits())
    assert (reason.name, reason.slot, reason.unit, reason.limit) == ("fl_saturated", "fl", "%", 3.0)
    assert reason.value == pytest.approx(100, abs=3)
    assert "% of the specimen: shorten the exposure" in reason.sentence


def test_sharpness_does_not_depend_on_gain_or_offset():
    drawn = scene(3)
    once = measure_quality(images(drawn.fl))["fl_sharpness"]
    twice = measure_quality(images(drawn.fl * np.uint16(3) + np.uint16(1000)))["fl_sharpness"]
    assert twice == pytest.approx(once, rel=1e-3)


@pytest.mark.parametrize("slot", ["fl", "wl"])
def test_sharpness_falls_with_every_step_of_blur(slot):
    drawn = scene(4)
    image, noise = (drawn.fl, 18) if slot == "fl" else (drawn.wl, 3)
    steps = [
        measure_quality(images(**{slot: blurred(image, sigma, noise)}))[f"{slot}_sharpness"] for sigma in (0.6, 2.5, 5)
    ]
    assert steps[0] > 1.1 * steps[1] > 1.1**2 * steps[2]


def test_noise_is_no_detail():
    noise = (3000 + 50 * np.random.default_rng(0).standard_normal((128, 160))).astype(np.uint16)
    measured = pixel_noise(noise)
    assert measured == pytest.approx(50, rel=0.05)
    clean = cv2.medianBlur(noise, 3).astype(np.float32)
    assert detail(clean, measured)[0] < 0.1 * detail(clean, 0.0)[0]


def test_a_blurred_picture_is_out_of_focus():
    drawn = scene(5)
    assert names(images(blurred(drawn.fl, 4, 18), drawn.wl)) == {"fl_defocused"}
    assert names(images(drawn.fl, blurred(drawn.wl, 3, 3))) == {"wl_defocused"}


@pytest.mark.parametrize("shift", [(0, 0), (8, 0), (-9, 5), (0, -14)])
def test_the_shift_between_the_pictures_is_measured(shift):
    drawn = scene(6)
    moved = np.roll(drawn.wl, shift, (0, 1))
    measured = measure_quality(images(drawn.fl, moved))["pair_shift_px"]
    assert measured == pytest.approx(np.hypot(*shift), abs=2.5)
    assert names(images(drawn.fl, moved)) == ({"pair_moved"} if any(shift) else set())


def test_an_empty_plate_is_no_specimen():
    empty = draw([], seed=7, shape=SHAPE)
    assert names(images(empty.fl, empty.wl)) >= {"fl_blank", "wl_blank"}
    assert "fl_wrong_modality" not in names(images(empty.fl, empty.wl))


def test_a_quarter_of_the_light_is_under_exposed():
    drawn = scene(8)
    dim = 600 + 0.25 * (drawn.fl - 600.0) + 14 * np.random.default_rng(0).standard_normal(SHAPE)
    assert "fl_underexposed" in names(images(dim.clip(0).astype(np.uint16), drawn.wl))


def test_ambient_light_and_a_dark_or_bright_lamp_are_named():
    drawn = scene(9)
    assert names(images(drawn.fl + np.uint16(3000), drawn.wl)) == {"fl_ambient"}
    assert names(images(drawn.fl, drawn.wl // 8)) == {"wl_dark"}
    assert names(images(drawn.fl, np.minimum(drawn.wl.astype(int) * 3, 255).astype(np.uint8))) == {"wl_saturated"}


def test_white_light_in_the_fluorescence_slot_is_the_same_picture_twice():
    drawn = scene(10)
    grey = cv2.cvtColor(drawn.wl, cv2.COLOR_RGB2GRAY).astype(np.uint16)
    assert "pair_same_picture" in names(images(grey * np.uint16(257), drawn.wl), QualityLimits())


def test_fluorescence_in_the_white_light_slot_has_no_colour():
    drawn = scene(11)
    grey = np.clip((drawn.fl - 600.0) / 20, 0, 255).astype(np.uint8)
    assert "wl_wrong_modality" in names(images(wl=np.repeat(grey[..., None], 3, axis=2)), QualityLimits())


def test_wrong_bit_ranges_are_named_and_explain_the_rest():
    drawn = scene(12)
    assert names(images(drawn.fl.byteswap())) == {"fl_wrong_bits"}
    assert names(images(drawn.fl.byteswap()), QualityLimits()) == {"fl_wrong_bits"}
    assert names(images(drawn.fl >> 8)) == {"fl_wrong_bits"}
    assert names(images(drawn.fl & np.uint16(0xFFF0))) == {"fl_wrong_bits"}


def test_a_camera_that_fills_the_upper_bits_in_training_may_do_so_later():
    shifted = [images(scene(seed).fl & np.uint16(0xFFF0)) for seed in range(30)]
    own = fit_quality_limits([measure_quality(each) for each in shifted[:25]])
    assert not any("fl_wrong_bits" in names(each, own) for each in shifted[25:])


def test_eight_bit_images_are_measured():
    small = (scene(13).fl >> 5).astype(np.uint8)
    as_bytes, as_counts = measure_quality(images(small)), measure_quality(images(small.astype(np.uint16)))
    assert as_bytes["fl_sharpness"] == pytest.approx(as_counts["fl_sharpness"], rel=0.05)
    assert as_bytes["fl_bits"] == as_counts["fl_bits"]
    assert names(images(small), QualityLimits()) == set()


def test_only_what_is_there_is_measured():
    drawn = scene(14)
    assert all(name.startswith("fl_") for name in measure_quality(images(drawn.fl)))
    assert all(name.startswith("wl_") for name in measure_quality(images(wl=drawn.wl)))
    assert measure_quality(images()) == {}
    assert judge_quality({}, limits()) == ()


def test_a_found_specimen_measures_about_as_the_same_cut_without_its_mask():
    drawn = draw([(300.0, 200.0, 36.0, 4000.0)], seed=15)
    (found,) = specimens_in_frames(Frame(drawn.fl, mm_per_px=0.1), Frame(drawn.wl, mm_per_px=0.1))
    masked, alone = measure_quality(found), measure_quality(images(found.fl.pixels, found.wl.pixels))
    assert masked["fl_signal"] == pytest.approx(alone["fl_signal"], rel=0.3)
    assert masked["fl_sharpness"] == alone["fl_sharpness"]


def test_the_same_pixels_give_the_same_measures_on_any_number_of_threads():
    threads = cv2.getNumThreads()
    try:
        found = []
        for count in (1, 2, 4):
            cv2.setNumThreads(count)
            found.append(measure_quality(pair(16)))
    finally:
        cv2.setNumThreads(threads)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("shape", [(4, 4), (4, 60), (7, 5), (9, 200)])
@pytest.mark.parametrize("fill", ["zero", "full", "noise"])
def test_tiny_and_empty_pictures_give_finite_measures(shape, fill):
    rng = np.random.default_rng(0)
    fl = {"zero": np.zeros(shape), "full": np.full(shape, 65535), "noise": rng.integers(0, 65536, shape)}[fill]
    wl = np.repeat((fl // 257)[..., None], 3, axis=2).astype(np.uint8)
    for mask in (None, np.zeros(shape, bool), np.ones(shape, bool)):
        measures = measure_quality(images(fl.astype(np.uint16), wl, mask))
        assert all(np.isfinite(value) for value in measures.values())
        judge_quality(measures, limits())


def test_every_limit_has_a_check_and_every_check_a_limit():
    assert {check.limit_name for check in CHECKS} == set(QualityLimits.model_fields)
    assert {check.reason for check in CHECKS} >= set(ROOT_CAUSES)
    assert {need for check in CHECKS for need in check.needs} <= set(QualityLimits.model_fields)


def test_every_sentence_can_be_said():
    beyond = {"min": -1e6, "max": 1e6}
    said = set()
    for check in CHECKS:
        wanted = QualityLimits(**{check.limit_name: 1.0})
        said |= {reason.name for reason in judge_quality({check.measure: beyond[check.bound]}, wanted)}
    assert said == {check.reason for check in CHECKS}


def test_limits_of_few_images_stay_at_the_defaults():
    assert fit_quality_limits(training()[: MIN_FIT - 1]) == QualityLimits()
    assert fit_quality_limits(training()[:MIN_FIT]).fl_sharpness_min is not None


def test_limits_lie_beyond_the_training_images_and_are_in_any_order_the_same():
    fitted = limits()
    for check in CHECKS:
        if check.quantile is None or check.measure == "pair_shift_px":
            continue
        values = [measures[check.measure] for measures in training()]
        limit = getattr(fitted, check.limit_name)
        assert limit <= np.median(values) if check.bound == "min" else limit >= np.median(values)
    assert fit_quality_limits(training()[::-1]) == fitted


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(InputError, match="got 0"):
        fit_quality_limits([])
    with pytest.raises(InputError, match=r"fl_contrast .* not finite"):
        fit_quality_limits([{"fl_contrast": float("nan")}])


def test_limits_are_locked_and_travel_as_json():
    with pytest.raises(ValidationError):
        QualityLimits(fl_saturated=0.1)
    with pytest.raises(ValidationError):
        QualityLimits(fl_saturated_max=float("nan"))
    assert QualityLimits.model_validate_json(limits().model_dump_json()) == limits()


def test_every_reason_is_in_the_documentation():
    page = (Path(__file__).parents[2] / "docs" / "quality.md").read_text(encoding="utf-8")
    assert [check.reason for check in CHECKS if f"| `{check.reason}` |" not in page] == []

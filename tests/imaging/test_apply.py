"""The whole plan: order of steps, recorded decisions, the same bytes every time."""

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter

from glioscope.core import Autocontrast, Canvas, Denoise, FLPlan, ImageError, Normalisation, WLPlan
from glioscope.imaging import RawImage, apply_fl_plan, apply_wl_plan, estimate_flat

from .scenes import draw

RNG = np.random.default_rng(0)
PLANS = [
    FLPlan(),
    FLPlan(normalisation=Normalisation(kind="anscombe", white=9000), denoise=Denoise(mode="always")),
    FLPlan(normalisation=Normalisation(kind="gamma"), autocontrast=Autocontrast(mode="always"), offset=600),
    FLPlan(normalisation=Normalisation(kind="linear"), canvas=Canvas(kind="field", field_px=100, size_px=64)),
]


def specimen(brightness: float = 4000, seed: int = 0, **kwargs) -> RawImage:
    scene = draw([(80, 64, 38, brightness)], seed=seed, shape=(128, 160), hot=10, **kwargs)
    return RawImage(scene.fl, 65535)


@pytest.mark.parametrize("plan", PLANS)
def test_twice_gives_the_same_bytes_on_any_number_of_threads(plan):
    image = specimen()
    before = image.pixels.copy()
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        first = apply_fl_plan(plan, image)
        cv2.setNumThreads(4)
        second = apply_fl_plan(TypeAdapter(FLPlan).validate_json(plan.model_dump_json()), image)
    finally:
        cv2.setNumThreads(threads)
    assert first.image.tobytes() == second.image.tobytes()
    assert first.record == second.record
    assert first.image.shape == (plan.canvas.size_px,) * 2
    assert first.image.dtype == np.uint8
    np.testing.assert_array_equal(image.pixels, before)


def test_record_says_what_was_found():
    record = apply_fl_plan(FLPlan(), specimen(ambient=0)).record
    assert record.offset == pytest.approx(600, abs=120)
    assert 8 <= record.hot_pixels <= 14
    assert not record.denoised
    assert record.saturated_fraction == 0


def test_brighter_specimens_stay_brighter():
    plan = FLPlan(normalisation=Normalisation(white=12000))
    means = [apply_fl_plan(plan, specimen(b)).image.mean() for b in (100, 300, 1000, 3000, 9000)]
    assert all(np.diff(means) > 0)


def test_ambient_light_goes_with_the_auto_offset():
    plan = FLPlan(normalisation=Normalisation(white=12000))
    dark, lit = (apply_fl_plan(plan, specimen(ambient=a, vignetting=0)).image for a in (0.0, 1500.0))
    assert abs(dark.mean() - lit.mean()) < 4


def test_denoise_only_when_noisy():
    plan = FLPlan(normalisation=Normalisation(white=8000), denoise=Denoise(needed_above=0.03))
    image = specimen(6000)
    assert not apply_fl_plan(plan, image).record.denoised
    noisy = np.clip(image.pixels + RNG.normal(0, 900, image.pixels.shape), 0, 65535).astype(np.uint16)
    assert apply_fl_plan(plan, RawImage(noisy, 65535)).record.denoised
    off = plan.model_copy(update={"denoise": Denoise(mode="off")})
    assert not apply_fl_plan(off, RawImage(noisy, 65535)).record.denoised


def test_autocontrast_only_when_flat():
    plan = FLPlan(normalisation=Normalisation(kind="linear", white=60000))
    assert apply_fl_plan(plan, specimen(1000)).record.autocontrast_gain == pytest.approx(2, rel=0.2)
    assert apply_fl_plan(plan, specimen(9000)).record.autocontrast_gain == 1


def test_twelve_bits_low_or_shifted_are_the_same_picture():
    scene = specimen(2000).pixels
    low = np.minimum(scene, 4095)
    first = apply_fl_plan(FLPlan(repair_hot_pixels=False), RawImage(low, 4095))
    second = apply_fl_plan(FLPlan(repair_hot_pixels=False), RawImage(low << 4, 65535))
    assert np.abs(first.image.astype(int) - second.image).max() <= 1


def test_offset_of_half_the_range_leaves_the_other_half():
    scene = specimen(2000).pixels
    first = apply_fl_plan(FLPlan(), RawImage(scene, 32767))
    second = apply_fl_plan(FLPlan(), RawImage(scene + np.uint16(32768), 65535))
    assert np.abs(first.image.astype(int) - second.image).max() <= 1


def test_exposure_and_irradiance():
    plan = FLPlan(offset=600, per_exposure=True, normalisation=Normalisation(kind="linear", white=9000))
    clean = np.full((64, 64), 600.0)
    clean[16:48, 16:48] += 1500 + 100 * RNG.standard_normal((32, 32))
    once, twice = (RawImage(np.rint(600 + k * (clean - 600)).astype(np.uint16), 65535) for k in (1, 2))
    a = apply_fl_plan(plan, once, exposure_ms=100, irradiance_mw_cm2=50)
    b = apply_fl_plan(plan, twice, exposure_ms=200, irradiance_mw_cm2=50)
    c = apply_fl_plan(plan, twice, exposure_ms=100, irradiance_mw_cm2=100)
    assert np.abs(a.image.astype(int) - b.image).max() <= 1
    assert b.image.tobytes() == c.image.tobytes()
    with pytest.raises(ImageError, match="fl_exposure_ms is missing"):
        apply_fl_plan(plan, once, irradiance_mw_cm2=50)
    with pytest.raises(ImageError, match="irradiance_mw_cm2 is 0 mW/cm2, more than 0"):
        apply_fl_plan(plan, once, exposure_ms=100, irradiance_mw_cm2=0)


def test_dark_and_flat_frames_undo_the_camera():
    yy, xx = np.mgrid[:96, :128]
    shape = 1 - 0.5 * ((yy / 96 - 0.5) ** 2 + (xx / 128 - 0.5) ** 2) / 0.5
    pattern = RNG.integers(500, 800, (96, 128)).astype(np.uint16)
    truth = 200 + 3000 * ((np.hypot(yy - 48, xx - 64) < 30) + 0.0)
    pixels = np.rint(pattern + truth * shape).astype(np.uint16)
    flat = np.rint(pattern + 20000 * shape).astype(np.uint16)
    plan = FLPlan(
        offset=0,
        repair_hot_pixels=False,
        normalisation=Normalisation(kind="linear", white=6000),
        denoise=Denoise(mode="off"),
        autocontrast=Autocontrast(mode="off"),
        canvas=Canvas(size_px=128),
    )
    prepared = apply_fl_plan(plan, RawImage(pixels, 65535), dark=pattern, flat=flat)
    expected = truth * np.median(shape) / 6000 * 255
    assert np.abs(prepared.image[16:112].astype(float) - expected).max() < 1.5
    with pytest.raises(ImageError, match="dark frame is 10 x 9 px, the image is 128 x 96 px"):
        apply_fl_plan(plan, RawImage(pixels, 65535), dark=pattern[:9, :10])
    with pytest.raises(ImageError, match="flat frame has a median of 0"):
        apply_fl_plan(plan, RawImage(pixels, 65535), dark=pattern, flat=pattern)


def test_estimated_flat_finds_the_illumination():
    frames = []
    yy, xx = np.mgrid[:128, :160]
    shape = 1 - 0.6 * ((yy / 128 - 0.5) ** 2 + (xx / 160 - 0.5) ** 2) / 0.5
    for seed in range(12):
        texture = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((128, 160)), (0, 0), 8)
        frames.append(np.rint(600 + 4000 * shape * np.exp(3 * texture)).astype(np.uint16))
    flat = estimate_flat(frames, offset=600)
    residual = flat / (shape / np.median(shape))
    assert residual[16:-16, 16:-16].std() < 0.04


def test_white_light_is_only_placed():
    rgb = RNG.integers(0, 256, (96, 128, 3)).astype(np.uint8)
    prepared = apply_wl_plan(WLPlan(canvas=Canvas(size_px=128)), RawImage(rgb, 255))
    np.testing.assert_array_equal(prepared.image, np.pad(rgb, [(16, 16), (0, 0), (0, 0)]))

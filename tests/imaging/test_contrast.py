"""Quantities of regions against arrays that can be worked out by hand, and against the functions that were there."""

import math
from dataclasses import replace

import numpy as np
import pytest

from glioscope.core import ImageError, InputError
from glioscope.imaging import RawImage, SpecimenImages, contrast_to_noise, signal_to_background
from glioscope.imaging._contrast import (
    box_mask,
    polygon_mask,
    quantify_region,
    quantify_specimen,
    specimen_mask,
)

WHITE = 65535


def by_hand() -> tuple[np.ndarray, np.ndarray]:
    """4 x 4 px of 1000 and 1200 by turns (mean 1100) in a plate of 200 and 300 by turns (mean 250)."""
    pixels = np.where(np.indices((12, 12)).sum(0) % 2 == 0, 200, 300).astype(np.uint16)
    region = box_mask((12, 12), (4, 4, 4, 4))
    pixels[region] = np.tile([1000, 1200], 8)
    return pixels, region


def test_values_worked_out_by_hand() -> None:
    pixels, region = by_hand()
    found = quantify_region(
        pixels, region, white_level=WHITE, offset_counts=100.0, exposure_ms=50.0, irradiance_mw_cm2=40.0
    )
    assert (found.n_pixels, found.n_background, found.offset) == (16, 128, "given")
    assert found.signal_counts.value == pytest.approx(1000.0)
    assert found.background_counts.value == pytest.approx(150.0)
    assert found.contrast_counts.value == pytest.approx(850.0)
    assert found.sbr is not None and found.sbr.value == pytest.approx(1000 / 150)
    assert found.cnr is not None and found.cnr.value == pytest.approx(850 / (50 * math.sqrt(128 / 127)))
    assert found.counts_per_ms is not None and found.counts_per_ms.value == pytest.approx(20.0)
    assert found.counts_per_ms_mw_cm2 is not None and found.counts_per_ms_mw_cm2.value == pytest.approx(0.5)
    assert found.contrast_per_ms_mw_cm2 is not None
    assert found.contrast_per_ms_mw_cm2.value == pytest.approx(850 / 2000)
    # A region of fewer than four blocks: standard deviation over the root of the number of pixels.
    error = 100 * math.sqrt(16 / 15) / 4
    assert found.signal_counts.standard_error == pytest.approx(error)
    assert found.counts_per_ms.standard_error == pytest.approx(error / 50)
    around = found.background_counts.standard_error
    assert found.sbr.standard_error == pytest.approx(math.hypot(error / 150, 1000 / 150**2 * around))
    assert found.contrast_counts.standard_error == pytest.approx(math.hypot(error, around))


def test_ratios_are_those_of_the_plain_functions() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(500, 3000, (60, 80)).astype(np.uint16)
    region = polygon_mask((60, 80), np.array([[10, 10], [50, 12], [30, 45]]))
    found = quantify_region(pixels, region, white_level=WHITE, offset_counts=400.0)
    assert found.sbr is not None and found.cnr is not None
    assert found.sbr.value == pytest.approx(signal_to_background(pixels, region, offset=400.0), rel=1e-5)
    assert found.cnr.value == pytest.approx(contrast_to_noise(pixels, region), rel=1e-5)


def test_without_a_known_offset_only_differences_are_given() -> None:
    pixels, region = by_hand()
    found = quantify_region(pixels, region, white_level=WHITE, exposure_ms=50.0, irradiance_mw_cm2=40.0)
    assert (found.offset, found.sbr, found.counts_per_ms, found.counts_per_ms_mw_cm2) == ("unknown", None, None, None)
    known = quantify_region(
        pixels, region, white_level=WHITE, exposure_ms=50.0, irradiance_mw_cm2=40.0, offset_counts=100.0
    )
    assert found.cnr == known.cnr
    assert found.contrast_per_ms_mw_cm2 == known.contrast_per_ms_mw_cm2


def test_without_exposure_or_irradiance_nothing_is_said_per_light() -> None:
    pixels, region = by_hand()
    found = quantify_region(pixels, region, white_level=WHITE, offset_counts=100.0, exposure_ms=50.0)
    assert found.counts_per_ms is not None
    assert (found.counts_per_ms_mw_cm2, found.contrast_per_ms_mw_cm2) == (None, None)


def test_a_dark_frame_goes_before_the_given_offset_and_is_taken_off_pixel_by_pixel() -> None:
    pixels, region = by_hand()
    dark = np.arange(144, dtype=np.uint16).reshape(12, 12)
    lifted = (pixels + dark).astype(np.uint16)
    found = quantify_region(lifted, region, white_level=WHITE, dark=dark, offset_counts=9999.0)
    assert found.offset == "dark frame"
    assert found.signal_counts.value == pytest.approx(1100.0)
    assert found.background_counts.value == pytest.approx(250.0)


def test_a_flat_frame_takes_the_illumination_off() -> None:
    pixels, region = by_hand()
    shape = np.linspace(0.5, 1.5, 12)[None, :] * np.ones((12, 1))
    shape /= np.median(shape)
    shaded = np.rint(pixels * shape * 10 + 600).astype(np.uint16)
    flat = np.rint(20_000 * shape + 600).astype(np.uint16)
    given = quantify_region(shaded, region, white_level=WHITE, flat=flat, offset_counts=600.0)
    by_frame = quantify_region(shaded, region, white_level=WHITE, flat=flat, dark=np.full_like(flat, 600))
    for found in (given, by_frame):
        assert found.signal_counts.value == pytest.approx(11_000, rel=1e-3)
        assert found.sbr is not None and found.sbr.value == pytest.approx(4.4, rel=1e-3)
    with pytest.raises(InputError, match="needs a dark frame or offset_counts"):
        quantify_region(shaded, region, white_level=WHITE, flat=flat)


@pytest.mark.parametrize("grain_px", [0.0, 3.0])
def test_standard_errors_cover_the_spread_of_repeated_means(grain_px: float) -> None:
    """Means of one region in 300 pictures spread as stated, also where neighbouring pixels are alike."""
    import cv2

    rng = np.random.default_rng(1)
    region = box_mask((96, 96), (16, 16, 64, 64))
    means, errors, ratios, ratio_errors = [], [], [], []
    for _ in range(300):
        noise = rng.standard_normal((96, 96)).astype(np.float32)
        if grain_px:
            noise = cv2.GaussianBlur(noise, (0, 0), grain_px) * 2 * grain_px * math.sqrt(math.pi)
        pixels = np.rint(np.where(region, 3000, 1000) + 100 * noise).astype(np.uint16)
        found = quantify_region(pixels, region, white_level=WHITE, offset_counts=0.0)
        assert found.sbr is not None
        means.append(found.signal_counts.value)
        errors.append(found.signal_counts.standard_error)
        ratios.append(found.sbr.value)
        ratio_errors.append(found.sbr.standard_error)
    low = 0.65 if grain_px else 0.9  # blocks of 16 px are not quite independent at a grain of 3 px
    assert low < np.mean(errors) / np.std(means) < 1.1
    assert low < np.mean(ratio_errors) / np.std(ratios) < 1.15


def test_saturation_is_counted_and_flagged() -> None:
    pixels, region = by_hand()
    assert not quantify_region(pixels, region, white_level=WHITE).saturated
    pixels[5, 5] = 4095
    found = quantify_region(pixels, region, white_level=4095)
    assert (found.saturated_share, found.background_saturated_share, found.saturated) == (1 / 16, 0.0, True)
    pixels[0, 0] = 4095
    assert quantify_region(pixels, region, white_level=4095).background_saturated_share == 1 / 128


def test_a_background_without_light_or_spread_has_no_ratio() -> None:
    pixels, region = by_hand()
    pixels[~region] = 100
    found = quantify_region(pixels, region, white_level=WHITE, offset_counts=100.0)
    assert found.sbr is None
    assert found.cnr is None


def test_what_cannot_be_measured_is_refused() -> None:
    pixels, region = by_hand()
    nothing = np.zeros_like(region)
    with pytest.raises(InputError, match="region has 0 px"):
        quantify_region(pixels, nothing, white_level=WHITE)
    with pytest.raises(InputError, match="background has 0 px"):
        quantify_region(pixels, region, nothing, white_level=WHITE)
    with pytest.raises(InputError, match="share 16 px"):
        quantify_region(pixels, region, np.ones_like(region), white_level=WHITE)
    with pytest.raises(ImageError, match="region is bool"):
        quantify_region(pixels, region[:5], white_level=WHITE)
    with pytest.raises(ImageError, match="uint16"):
        quantify_region(pixels.astype(float), region, white_level=WHITE)
    with pytest.raises(InputError, match="exposure_ms is 0"):
        quantify_region(pixels, region, white_level=WHITE, exposure_ms=0.0)
    with pytest.raises(InputError, match="offset of -1"):
        quantify_region(pixels, region, white_level=WHITE, offset_counts=-1.0)
    with pytest.raises(ImageError, match="dark frame is"):
        quantify_region(pixels, region, white_level=WHITE, dark=pixels[:5])


def test_drawn_regions() -> None:
    assert box_mask((10, 20), (-3, 2, 5, 100)).sum() == 2 * 8
    square = polygon_mask((20, 20), np.array([[3, 3], [10, 3], [10, 10], [3, 10]]))
    assert np.array_equal(square, box_mask((20, 20), (3, 3, 8, 8)))
    with pytest.raises(InputError, match="at least 3 corners"):
        polygon_mask((20, 20), np.array([[1, 1], [2, 2]]))


def picture(level: float) -> SpecimenImages:
    """A round specimen of 4 mm radius with a faint halo, at 0.1 mm/px."""
    y, x = np.mgrid[:128, :160]
    distance = np.hypot(y - 64, x - 80)
    rng = np.random.default_rng(3)
    light = 600 + 300 + np.where(distance < 40, level, 0.5 * level * np.exp(-(distance - 40) / 2))
    pixels = np.rint(light + 20 * rng.standard_normal(light.shape)).astype(np.uint16)
    return SpecimenImages("S1", RawImage(pixels, WHITE), mm_per_px=0.1, fl_exposure_ms=100.0, irradiance_mw_cm2=50.0)


def test_a_specimen_is_found_against_its_plate() -> None:
    images = picture(6000.0)
    assert images.fl is not None
    region, plate = specimen_mask(images.fl.pixels, mm_per_px=0.1, gap_mm=1.0)
    y, x = np.mgrid[:128, :160]
    truth = np.hypot(y - 64, x - 80) < 40
    assert np.count_nonzero(region & truth) / np.count_nonzero(region | truth) > 0.9
    assert not (plate & region).any()
    found = quantify_specimen(images, offset_counts=600.0, gap_mm=1.0)
    assert found.sbr is not None and found.sbr.value == pytest.approx(6300 / 300, rel=0.07)
    assert found.counts_per_ms_mw_cm2 is not None
    assert found.counts_per_ms_mw_cm2.value == pytest.approx(6300 / 5000, rel=0.07)


def test_the_outline_of_a_found_specimen_is_used_where_it_comes_along() -> None:
    images = picture(6000.0)
    outline = box_mask((128, 160), (70, 54, 20, 20))
    assert quantify_specimen(replace(images, mask=outline), offset_counts=600.0).n_pixels == 400


def test_a_specimen_that_cannot_be_measured_is_refused() -> None:
    images = picture(6000.0)
    with pytest.raises(ImageError, match="no fluorescence image"):
        quantify_specimen(SpecimenImages("S1", mm_per_px=0.1))
    with pytest.raises(ImageError, match="no mm_per_px"):
        quantify_specimen(replace(images, mm_per_px=None))
    with pytest.raises(ImageError, match="no specimen stands out"):
        quantify_specimen(picture(0.0))

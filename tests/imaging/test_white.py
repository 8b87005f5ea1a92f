from dataclasses import replace

import numpy as np
import pytest
import tifffile

from glioscope.core import FLPlan, InputError
from glioscope.imaging import (
    RawImage,
    SpecimenSource,
    estimate_offset,
    infer_white,
    infer_white_level,
    specimen_signal,
    white_of_signals,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("top", "level"), [(255, 255), (256, 1023), (1023, 1023), (1024, 4095), (4096, 16383), (16384, 65535)]
)
def test_smallest_range_that_no_pixel_exceeds(top, level):
    pixels = RNG.integers(0, 200, (20, 20)).astype(np.uint16)
    pixels[3, 4] = top
    assert infer_white_level(pixels) == level


def test_eight_bit_arrays_are_eight_bits():
    assert infer_white_level(np.full((4, 4), 3, np.uint8)) == 255


def frames(n: int, peak: float) -> list[RawImage]:
    result = []
    for _ in range(n):
        pixels = RNG.normal(700, 10, (64, 64))
        pixels[16:48, 16:48] += peak * RNG.uniform(0.2, 1.0)
        result.append(RawImage(np.rint(pixels).astype(np.uint16), 65535))
    return result


def test_white_of_a_cohort_ignores_hot_pixels_and_scales_with_light():
    images = frames(40, 5000)
    white = infer_white(images)
    assert 5000 < white < 1.4 * 5000
    spoilt = [RawImage(image.pixels.copy(), 65535) for image in images]
    for image in spoilt:
        image.pixels[0, :3] = 65535
    assert infer_white(spoilt) == white
    assert infer_white(frames(40, 20000)) == pytest.approx(4 * white, rel=0.1)


def test_white_needs_images_and_light():
    with pytest.raises(InputError, match="at least one image"):
        infer_white([])
    with pytest.raises(InputError, match="has light above its offset"):
        infer_white([RawImage(np.full((32, 32), 700, np.uint16), 65535)])


@pytest.mark.parametrize("offset", [100, 600, 900, 32768])
def test_offset_of_a_frame_with_noise_defects_and_padding(offset):
    pixels = RNG.normal(offset, 15, (128, 160))
    pixels[40:90, 40:110] += 4000
    pixels[RNG.integers(0, 128, 30), RNG.integers(0, 160, 30)] = 65535
    pixels[RNG.integers(0, 128, 5), RNG.integers(0, 160, 5)] = 1
    pixels[:, :12] = 0
    assert estimate_offset(np.rint(pixels).astype(np.uint16)) == pytest.approx(offset, abs=25)


def source(folder, number, exposure_ms, flat=None):
    """A full frame with one bright specimen (its region given), exposed for `exposure_ms`."""
    pixels = RNG.normal(100, 3, (64, 96))
    pixels[16:48, 40:80] += 30 * exposure_ms * (1 if flat is None else 0.5)
    pixels[0:8, 0:8] += 20_000  # a lamp in the frame, outside the specimen
    path = folder / f"{number}.tif"
    tifffile.imwrite(path, np.rint(pixels).astype(np.uint16))
    return SpecimenSource(
        str(number),
        fl_image=path,
        framing="full",
        roi=(36, 12, 48, 40),
        fl_exposure_ms=exposure_ms,
        irradiance_mw_cm2=50.0,
        fl_flat=flat,
    )


@pytest.mark.parametrize("exposure_ms", [20.0, 200.0])
def test_white_is_on_the_scale_that_the_plan_normalises(tmp_path, exposure_ms):
    plan = FLPlan(per_exposure=True, offset=100.0)
    white = white_of_signals([specimen_signal(source(tmp_path, i, exposure_ms), plan) for i in range(4)])
    # 30 counts a millisecond are 3000 at the reference of 100 ms, whatever the exposure was; the lamp is cut away.
    assert white == pytest.approx(1.2 * 3000, rel=0.05)


def test_signal_is_divided_by_the_flat_frame(tmp_path):
    field = np.full((64, 96), 1000, np.uint16)
    field[:, 48:] = 3000
    tifffile.imwrite(tmp_path / "flat.tif", field)
    plain, flat = FLPlan(offset=100.0), tmp_path / "flat.tif"
    lit = specimen_signal(source(tmp_path, 0, 100.0, flat), plain)[8:32, 6:42]
    bare = specimen_signal(replace(source(tmp_path, 0, 100.0, flat), fl_flat=None), plain)[8:32, 6:42]
    assert np.median(lit[:, :4]) / np.median(lit[:, 10:]) == pytest.approx(2900 / 900, rel=0.05)
    assert np.median(bare[:, :4]) / np.median(bare[:, 10:]) == pytest.approx(1, rel=0.05)

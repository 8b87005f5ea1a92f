import numpy as np
import pytest

from glioscope.core import InputError
from glioscope.imaging import RawImage, estimate_offset, infer_white, infer_white_level

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

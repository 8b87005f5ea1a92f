"""12 bits in 16, in either alignment, are named; true 16-bit pictures are not."""

import numpy as np
import pytest

from glioscope.core import Frame
from glioscope.devices._bits import BitWatch


def verdict(scale: float, shift: int = 0, white_level: int = 65535, top: int = 65535) -> str:
    rng = np.random.default_rng(3)
    watch = BitWatch(white_level)
    for n in range(30):
        counts = np.clip(rng.normal(scale, 0.2 * scale, (64, 80)), 0, top).astype(np.uint16) << shift
        watch.add(Frame(counts, "fl", n))
    return watch.sentence


@pytest.mark.parametrize("scale", [300, 3000, 30000, 60000])
def test_sixteen_bits_at_any_brightness_are_fine(scale: float) -> None:
    assert verdict(scale) == ""


def test_a_dim_picture_of_twelve_bits_that_says_so_is_fine() -> None:
    assert verdict(3500, white_level=4095, top=4095) == ""


def test_left_aligned_pixels_are_named() -> None:
    assert verdict(800, shift=4).startswith("the 4 low bits of every pixel are 0: the camera puts 12 bits")


def test_a_plateau_at_the_top_of_twelve_bits_is_named() -> None:
    assert verdict(3900, top=4095).startswith("pixels are cut off at 4095: the camera gives 12 bits")


def test_no_verdict_before_a_second_of_frames() -> None:
    watch = BitWatch(65535)
    watch.add(Frame(np.full((4, 4), 16, np.uint16), "fl", 0))
    assert watch.sentence == ""


def test_a_black_picture_says_nothing() -> None:
    watch = BitWatch(65535)
    for n in range(30):
        watch.add(Frame(np.zeros((4, 4), np.uint16), "fl", n))
    assert watch.sentence == ""

"""GenICam pixel formats against bits packed one by one."""

import numpy as np
import pytest

from glioscope.core import InputError
from glioscope.devices._aravis_pixels import pixel_format

ROWS, COLUMNS = 6, 8


@pytest.fixture
def counts(rng):
    return rng.integers(0, 4096, (ROWS, COLUMNS)).astype(np.uint16)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def packed_lsb(values, bits):
    """The values as one long little-endian number, `bits` each: GenICam's "p" formats."""
    whole = sum(int(value) << bits * index for index, value in enumerate(values.ravel()))
    return whole.to_bytes(values.size * bits // 8, "little")


def packed_gige(values):
    """GigE Vision's Mono12Packed: high bits of two pixels around a byte with the low bits of both."""
    pairs = [(int(first), int(second)) for first, second in values.reshape(-1, 2)]
    return b"".join(bytes([a >> 4, (b & 15) << 4 | a & 15, b >> 4]) for a, b in pairs)


def test_mono16_gives_the_counts(counts):
    decoded = pixel_format("Mono16").decode(counts.astype("<u2").tobytes(), ROWS, COLUMNS)
    assert decoded.dtype == np.uint16
    assert decoded.flags.writeable
    np.testing.assert_array_equal(decoded, counts)


def test_twelve_bits_in_sixteen_have_their_own_white(counts):
    mono12 = pixel_format("Mono12")
    assert mono12.white_level == 4095
    np.testing.assert_array_equal(mono12.decode(counts.astype("<u2").tobytes(), ROWS, COLUMNS), counts)


def test_mono12p_is_unpacked(counts):
    np.testing.assert_array_equal(pixel_format("Mono12p").decode(packed_lsb(counts, 12), ROWS, COLUMNS), counts)


def test_mono12packed_is_unpacked(counts):
    np.testing.assert_array_equal(pixel_format("Mono12Packed").decode(packed_gige(counts), ROWS, COLUMNS), counts)


def test_eight_bits_become_sixteen_without_scaling(rng):
    values = rng.integers(0, 256, (ROWS, COLUMNS), dtype=np.uint8)
    decoded = pixel_format("Mono8").decode(values.tobytes(), ROWS, COLUMNS)
    assert (decoded.dtype, pixel_format("Mono8").white_level) == (np.uint16, 255)
    np.testing.assert_array_equal(decoded, values)


def test_bgr_is_turned_into_rgb(rng):
    rgb = rng.integers(0, 256, (ROWS, COLUMNS, 3), dtype=np.uint8)
    np.testing.assert_array_equal(pixel_format("RGB8").decode(rgb.tobytes(), ROWS, COLUMNS), rgb)
    np.testing.assert_array_equal(pixel_format("BGR8").decode(rgb[..., ::-1].tobytes(), ROWS, COLUMNS), rgb)


@pytest.mark.parametrize("order", ["RG", "GR", "GB", "BG"])
def test_a_bayer_mosaic_of_one_colour_gives_that_colour(order):
    colour = {"R": 200, "G": 120, "B": 30}
    tile = {"RG": "RGGB", "GR": "GRBG", "GB": "GBRG", "BG": "BGGR"}[order]
    mosaic = np.tile(np.array([colour[letter] for letter in tile], np.uint8).reshape(2, 2), (8, 8))
    decoded = pixel_format(f"Bayer{order}8").decode(mosaic.tobytes(), 16, 16)
    np.testing.assert_array_equal(decoded, np.broadcast_to([200, 120, 30], (16, 16, 3)))


def test_more_bytes_than_pixels_do_no_harm(counts):
    padded = counts.astype("<u2").tobytes() + b"chunk data"
    np.testing.assert_array_equal(pixel_format("Mono16").decode(padded, ROWS, COLUMNS), counts)


def test_an_unreadable_format_is_named_with_those_that_are_readable():
    with pytest.raises(InputError, match=r"'Mono10Packed' cannot be read; use one of Mono8, .*BayerBG8"):
        pixel_format("Mono10Packed")

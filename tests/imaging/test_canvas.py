import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glioscope.core import Canvas, FLPlan, WLPlan
from glioscope.imaging import cut, network_input, place
from glioscope.imaging._canvas import to_uint8

small = st.integers(-20, 40)


@given(x=small, y=small, w=st.integers(1, 50), h=st.integers(1, 50), colour=st.booleans())
def test_cut_is_a_window_on_an_endless_black_plane(x, y, w, h, colour):
    pixels = np.random.default_rng(0).integers(1, 255, (23, 31, 3) if colour else (23, 31)).astype(np.uint8)
    plane = np.pad(pixels, [(60, 100), (60, 100)] + [(0, 0)] * colour)
    np.testing.assert_array_equal(cut(pixels, (x, y, w, h)), plane[60 + y : 60 + y + h, 60 + x : 60 + x + w])


def test_cut_refuses_empty_boxes():
    with pytest.raises(ValueError, match="0 x 5 px"):
        cut(np.zeros((9, 9)), (0, 0, 0, 5))


@given(height=st.integers(4, 300), width=st.integers(4, 300), size=st.sampled_from([32, 96, 160]))
def test_square_canvas_keeps_everything_and_adds_only_zeros(height, width, size):
    image = np.full((height, width), 200, np.uint8)
    placed = place(image, Canvas(size_px=size))
    assert placed.shape == (size, size)
    assert placed.dtype == np.uint8
    share = placed.sum() / 200 / size**2
    assert share == pytest.approx(min(height, width) / max(height, width), abs=2.5 / min(size, max(height, width)))


def test_square_canvas_without_resize_is_zero_padding():
    image = np.arange(1, 97, dtype=np.uint8).reshape(8, 12).repeat(8, 0).repeat(8, 1)
    np.testing.assert_array_equal(place(image, Canvas(size_px=96)), np.pad(image, [(16, 16), (0, 0)]))


@given(height=st.integers(4, 200), width=st.integers(4, 200))
def test_field_canvas_keeps_the_scale(height, width):
    image = np.full((height, width), 255, np.uint8)
    placed = place(image, Canvas(kind="field", field_px=64, size_px=64))
    assert np.count_nonzero(placed) == min(height, 64) * min(width, 64)


def test_network_input_is_the_formula():
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32)).astype(np.uint8)
    plan = FLPlan()
    values = network_input(images, plan)
    assert values.shape == (3, 3, 32, 32)
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    for c in range(3):
        np.testing.assert_allclose(values[:, c], (images / 255 - plan.mean[c]) / plan.std[c], rtol=1e-5, atol=1e-6)
    colour = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    wl = network_input(colour, WLPlan())
    np.testing.assert_allclose(wl[1, 2], (colour[1, ..., 2] / 255 - 0.406) / 0.225, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("images", [np.zeros((2, 8, 8), np.float32), np.zeros((8, 8), np.uint8)])
def test_network_input_refuses_other_arrays(images):
    with pytest.raises(ValueError, match="uint8"):
        network_input(images, FLPlan())


def test_to_uint8_rounds_to_nearest_and_holds_the_ends():
    image = np.random.default_rng(0).uniform(-0.3, 1.3, (64, 64)).astype(np.float32)
    np.testing.assert_array_equal(to_uint8(image), np.rint(np.clip(image, 0, 1) * np.float32(255)))

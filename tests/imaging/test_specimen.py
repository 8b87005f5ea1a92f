import numpy as np

from glioscope.core import Frame
from glioscope.imaging import specimens_in_frames


def test_a_field_is_cut_round_the_specimen_and_moved_into_the_frame():
    fl = np.full((200, 300), 600, np.uint16)
    fl[:] += np.random.default_rng(0).integers(0, 20, fl.shape).astype(np.uint16)
    fl[2:42, 100:150] += 5000
    frame = Frame(fl, mm_per_px=0.1)
    (tight,) = specimens_in_frames(frame, None)
    (field,) = specimens_in_frames(frame, None, field_mm=(16.0, 12.8))
    assert field.fl.pixels.shape == (128, 160)
    x, y, width, height = field.box
    assert (y, width, height) == (0, 160, 128)
    assert x <= tight.box[0]
    np.testing.assert_array_equal(field.fl.pixels, fl[y : y + height, x : x + width])
    assert np.count_nonzero(field.mask) == np.count_nonzero(tight.mask)
    inside = np.zeros(fl.shape, bool)
    inside[y : y + height, x : x + width] = field.mask
    tx, ty, tw, th = tight.box
    np.testing.assert_array_equal(inside[ty : ty + th, tx : tx + tw], tight.mask)
    np.testing.assert_array_equal(field.outline, tight.outline)


def test_a_specimen_larger_than_the_field_is_cut_whole():
    fl = np.full((200, 300), 600, np.uint16)
    fl[:] += np.random.default_rng(0).integers(0, 20, fl.shape).astype(np.uint16)
    fl[50:150, 100:200] += 5000
    frame = Frame(fl, mm_per_px=0.1)
    (tight,) = specimens_in_frames(frame, None)
    (field,) = specimens_in_frames(frame, None, field_mm=(2.0, 2.0))
    assert field.box == tight.box

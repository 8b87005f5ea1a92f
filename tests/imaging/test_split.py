"""Touching specimens taken apart, and nothing else."""

import cv2
import numpy as np

from glioscope.imaging._split import Piece, split_touching


def discs(*places: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros((120, 160), np.uint8)
    for x, y, radius in places:
        cv2.circle(mask, (x, y), radius, 1, cv2.FILLED)
    return mask


def laid_out(pieces: list[Piece], shape: tuple[int, int]) -> np.ndarray:
    """How many pieces lie on each pixel."""
    total = np.zeros(shape, np.uint8)
    for piece in pieces:
        x, y, w, h = piece.box
        assert piece.mask.shape == (h, w)
        assert cv2.boundingRect(piece.mask) == (0, 0, w, h)
        total[y : y + h, x : x + w] += piece.mask
    return total


def test_touching_discs_are_cut_in_the_neck_and_every_pixel_is_kept_once():
    mask = discs((50, 60, 20), (87, 60, 19), (20, 20, 10))
    pieces = split_touching(mask, min_px=50)
    np.testing.assert_array_equal(laid_out(pieces, mask.shape), mask)
    assert sorted(piece.box[0] for piece in pieces)[:2] == [10, 30]
    assert len(pieces) == 3
    assert abs(max(piece.box[0] for piece in pieces) - 69) <= 2


def test_a_solid_region_stays_whole_and_small_ones_are_dropped():
    mask = cv2.ellipse(discs((20, 20, 3)), (90, 60), (40, 22), 30, 0, 360, 1, cv2.FILLED)
    (piece,) = split_touching(mask, min_px=50)
    assert np.count_nonzero(piece.mask) == np.count_nonzero(mask) - np.count_nonzero(discs((20, 20, 3)))


def test_regions_that_meet_at_a_corner_only_are_two():
    mask = np.zeros((60, 60), np.uint8)
    mask[10:30, 10:30] = mask[30:50, 30:50] = 1
    assert sorted(piece.box for piece in split_touching(mask, min_px=50)) == [(10, 10, 20, 20), (30, 30, 20, 20)]


def test_a_region_within_the_bay_of_another_does_not_count_for_it():
    mask = np.zeros((80, 80), np.uint8)
    mask[10:70, 10:70], mask[20:60, 20:] = 1, 0
    mask[30:50, 35:55] = 1
    np.testing.assert_array_equal(laid_out(split_touching(mask, min_px=50), mask.shape), mask)
    assert (35, 30, 20, 20) in [piece.box for piece in split_touching(mask, min_px=50)]


def test_an_empty_mask_has_no_pieces():
    assert split_touching(np.zeros((32, 40), np.uint8), min_px=4) == []

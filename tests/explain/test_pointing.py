import numpy as np
import pytest

pytest.importorskip("torch", reason="needs glioscope[train]")

from glioscope.core import InputError
from glioscope.explain._pointing import pointing

SIDE = 64
SPECIMEN = np.ones((4, SIDE, SIDE), bool)
TUMOR = np.zeros((4, SIDE, SIDE), bool)
TUMOR[:, :, :16] = True


def peak(column):
    maps = np.full((4, SIDE, SIDE), 0.01, np.float32)
    maps[:, 30, column] = 1
    return maps


def test_a_maximum_in_the_tumour_hits_and_one_far_from_it_misses():
    assert pointing(peak(5), TUMOR, SPECIMEN).accuracy == 1
    assert pointing(peak(40), TUMOR, SPECIMEN).accuracy == 0


def test_the_tolerance_counts_for_the_map_and_for_chance_alike():
    exact, lenient = (pointing(peak(18), TUMOR, SPECIMEN, tolerance) for tolerance in (0.0, 0.05))
    assert (exact.accuracy, lenient.accuracy) == (0, 1)
    assert exact.chance == pytest.approx(16 / 64)
    assert lenient.chance == pytest.approx(19 / 64)


def test_chance_is_what_random_points_reach():
    noise = np.random.default_rng(0).random((400, 32, 32)).astype(np.float32)
    specimen = np.ones(noise.shape, bool)
    tumor = np.zeros(noise.shape, bool)
    tumor[:, 4:20, 4:20] = True
    found = pointing(noise, tumor, specimen)
    assert found.low < found.chance < found.high
    assert found.energy == pytest.approx(found.tumor_share, abs=0.01)


def test_what_lies_outside_the_specimen_does_not_count():
    specimen = SPECIMEN.copy()
    specimen[:, :, 60:] = False
    maps = peak(62)
    maps[:, 10, 3] = 0.5
    found = pointing(maps, TUMOR, specimen)
    assert found.accuracy == 1
    assert found.chance == pytest.approx(18 / 60, abs=0.01)


def test_a_map_with_nothing_in_it_misses():
    found = pointing(np.zeros((4, SIDE, SIDE), np.float32), TUMOR, SPECIMEN)
    assert found.accuracy == 0
    assert found.energy == pytest.approx(found.tumor_share)


def test_colours_are_summed():
    maps = np.zeros((4, SIDE, SIDE, 3), np.float32)
    maps[:, 30, 5] = 1
    maps[:, 30, 40, 0] = 2
    assert pointing(maps, TUMOR, SPECIMEN).accuracy == 1


def test_an_image_without_tumour_is_refused():
    with pytest.raises(InputError, match="0 pixels"):
        pointing(peak(5), np.zeros_like(TUMOR), SPECIMEN)
    with pytest.raises(InputError, match="do not fit"):
        pointing(peak(5), TUMOR[:2], SPECIMEN)

"""Mixed specimens: two tissues on one outline, and masks that say where each is."""

from dataclasses import replace

import numpy as np
import pytest

from glioscope.core import InputError
from glioscope.sim import SimSettings
from glioscope.sim._mixed import draw_mixed_pairs, render_mixed

SETTINGS = SimSettings()
SIZE = (160, 128)


@pytest.fixture(scope="module")
def pairs():
    return draw_mixed_pairs(12, SETTINGS, np.random.default_rng(1))


def mixed(pair, seed=0, **keys):
    return render_mixed(*pair, SIZE, SETTINGS, np.random.default_rng(seed), **keys)


def test_images_and_masks_have_the_kinds_that_cameras_give(pairs):
    made = mixed(pairs[0])
    assert (made.fl.dtype, made.fl.shape) == (np.uint16, (128, 160))
    assert (made.wl.dtype, made.wl.shape) == (np.uint8, (128, 160, 3))
    assert made.tumor.dtype == made.specimen.dtype == bool
    assert not (made.tumor & ~made.specimen).any()
    assert made.mm_per_px == pytest.approx(0.1)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
def test_the_tumour_has_the_share_of_the_specimen_that_was_asked_for(pairs, share):
    made = mixed(pairs[1], tumor_share=share)
    assert made.tumor.sum() / made.specimen.sum() == pytest.approx(share, abs=0.01)


def test_only_the_tissue_differs_between_the_parts(pairs):
    """With the same tissue on both sides the border leaves no trace: the images do not depend on where it runs."""
    normal = pairs[2][1]
    half, tenth = (mixed((normal, normal), tumor_share=share) for share in (0.5, 0.1))
    assert (half.tumor != tenth.tumor).any()
    np.testing.assert_array_equal(half.fl, tenth.fl)
    np.testing.assert_array_equal(half.wl, tenth.wl)


def test_each_part_looks_as_its_own_tissue_far_from_the_border(pairs):
    tumor, normal = pairs[3]
    bright = replace(tumor, fl_log_intensity=normal.fl_log_intensity + 1.5)
    made, plain = mixed((bright, normal)), mixed((normal, normal))
    near = made.specimen & ~made.tumor
    ratio = (made.fl.astype(float) - 700) / (plain.fl.astype(float) - 700)
    assert np.median(ratio[made.tumor]) > 2.0
    assert np.median(ratio[near]) < 1.6, "light of the tumour scatters into the rest, no more"
    outside = ~made.specimen
    assert np.median(made.fl[outside]) == pytest.approx(np.median(plain.fl[outside]), rel=0.25)


def test_on_average_tumour_is_brighter_in_fluorescence_than_normal_tissue_of_the_same_patient(pairs):
    made = [mixed(pair, seed) for seed, pair in enumerate(pairs)]
    ratios = [m.fl[m.tumor].mean() / m.fl[m.specimen & ~m.tumor].mean() for m in made]
    assert np.mean(ratios) > 1.15


def test_the_same_seed_gives_the_same_images_and_another_one_does_not(pairs):
    first, again, other = mixed(pairs[0], 5), mixed(pairs[0], 5), mixed(pairs[0], 6)
    np.testing.assert_array_equal(first.fl, again.fl)
    np.testing.assert_array_equal(first.tumor, again.tumor)
    assert (first.fl != other.fl).any()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_without_two_parts_is_refused(pairs, share):
    with pytest.raises(InputError, match=r"0\.05 to 0\.95"):
        mixed(pairs[0], tumor_share=share)


def test_a_size_out_of_range_and_no_pairs_are_refused(pairs):
    with pytest.raises(InputError, match="16 x 128 px is outside the limits of 32 to 512"):
        render_mixed(*pairs[0], (16, 128), SETTINGS, np.random.default_rng(0))
    with pytest.raises(InputError, match="0 mixed specimens are too few"):
        draw_mixed_pairs(0, SETTINGS, np.random.default_rng(0))

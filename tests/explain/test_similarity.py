import numpy as np
import pytest

pytest.importorskip("torch", reason="needs glioscope[train]")

from scipy.stats import spearmanr
from skimage.metrics import structural_similarity

from glioscope.core import InputError
from glioscope.explain._similarity import Similarity, similarity, unit

SHAPE = (3, 64, 64)
WHOLE = np.ones(SHAPE, bool)


def smooth(seed, shape=SHAPE):
    import cv2

    noise = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return np.stack([np.maximum(cv2.GaussianBlur(one, (0, 0), 4), 0) for one in noise])


def test_a_map_is_like_itself_whatever_its_scale():
    maps = smooth(0)
    found = similarity(maps, 7 * maps, WHOLE)
    assert (found.ssim, found.spearman, found.hog) == pytest.approx((1, 1, 1), abs=1e-5)


def test_unrelated_maps_are_not_alike():
    found = similarity(smooth(0), smooth(1), WHOLE)
    assert max(found.ssim, found.spearman, found.hog) < 0.5


def test_ssim_and_ranks_are_those_of_the_libraries():
    a, b = smooth(2)[:1], smooth(3)[:1]
    found = similarity(a, b, WHOLE[:1])
    keys = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
    local = structural_similarity(unit(a[0]), unit(b[0]), **keys)[1]
    assert found.ssim == pytest.approx(local.mean(), abs=1e-6)
    assert found.spearman == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic, abs=1e-9)


def test_only_the_specimen_counts():
    a, b = smooth(4), smooth(5)
    mask = np.zeros(SHAPE, bool)
    mask[:, 20:40, 20:40] = True
    changed = b.copy()
    changed[:, :8] = 0.5 * b.max()
    assert similarity(a, changed, mask).spearman == similarity(a, b, mask).spearman
    assert similarity(a, changed, WHOLE).spearman != similarity(a, b, WHOLE).spearman


def test_a_map_with_nothing_in_it_has_no_ranks():
    found = similarity(smooth(6), np.zeros(SHAPE, np.float32), WHOLE)
    assert (found.spearman, found.hog, found.empty) == (0, 0, 1)
    assert np.isfinite(found.ssim)


def test_colours_are_compared_channel_by_channel():
    maps = np.stack([smooth(seed) for seed in (8, 9, 10)], axis=3)
    assert similarity(maps, maps[..., ::-1], WHOLE).spearman < 0.7
    assert similarity(maps, maps, WHOLE).ssim == pytest.approx(1)


def test_opposed_draws_do_not_average_out_in_the_size_of_the_correlation():
    maps = smooth(11)[:1] + np.float32(0.01)
    both = Similarity.mean([similarity(maps, other, WHOLE[:1]) for other in (maps, 1 / maps)])
    assert both.spearman == pytest.approx(0, abs=1e-3)
    assert both.abs_spearman == pytest.approx(1)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="cannot be compared"):
        similarity(smooth(0), smooth(0)[:2], WHOLE)
    with pytest.raises(InputError, match="below 0"):
        similarity(smooth(0), -smooth(0), WHOLE)
    with pytest.raises(InputError, match="empty specimen"):
        similarity(smooth(0), smooth(0), np.zeros(SHAPE, bool))
    with pytest.raises(InputError, match="got 0"):
        Similarity.mean([])

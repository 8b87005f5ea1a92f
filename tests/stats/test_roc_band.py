import numpy as np
import pytest
from sklearn.metrics import roc_curve

from glioscope.core import InputError
from glioscope.stats import roc_band


def data(seed=0, n=120, groups=8):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, n)
    y = (rng.random(n) < rng.beta(1, 1, groups)[group]).astype(int)
    return y, (1.5 * y + rng.normal(0, 0.8, groups)[group] + rng.normal(size=n)).round(1), group


def sensitivities(y, score, grid):
    """Of the lowest threshold whose false positive rate is not above each point of the grid, by scikit-learn."""
    fpr, tpr, _ = roc_curve(y, score, drop_intermediate=False)
    return np.array([tpr[fpr <= point + 1e-12].max() for point in grid])


@pytest.mark.parametrize("by_patient", [False, True])
def test_the_band_is_that_of_resamples_drawn_one_by_one(by_patient):
    y, score, group = data()
    rng = np.random.default_rng(5)
    grid = np.linspace(0, 1, 11)
    drawn = []
    for _ in range(1500):
        if by_patient:
            rows = np.concatenate([np.flatnonzero(group == g) for g in rng.choice(8, 8)])
        else:
            rows = np.concatenate([rng.choice(np.flatnonzero(y == k), (y == k).sum()) for k in (0, 1)])
        drawn.append(sensitivities(y[rows], score[rows], grid))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    band = roc_band(y, score, groups=group if by_patient else None, n_resamples=1500, n_points=11, rng=0)
    np.testing.assert_allclose(band.fpr, grid)
    np.testing.assert_allclose(band.low, low, atol=0.06)
    np.testing.assert_allclose(band.high, high, atol=0.06)


def test_the_band_holds_the_curve_rises_and_ends_at_one():
    y, score, _ = data()
    band = roc_band(y, score, n_resamples=400, rng=0)
    curve = sensitivities(y, score, band.fpr)
    assert np.all((band.low <= curve + 1e-12) & (curve <= band.high + 1e-12))
    assert np.all(np.diff(band.low) >= 0)
    assert np.all(np.diff(band.high) >= 0)
    assert band.low[-1] == band.high[-1] == 1
    assert 0 <= band.low[0] < band.high[0] < 1


def test_neither_the_order_nor_the_scale_of_scores_nor_names_of_patients_matter():
    y, score, group = data()
    band = roc_band(y, score, groups=group, n_resamples=100, rng=1)
    renamed = np.array([f"patient {g}" for g in group], object)
    again = roc_band(y, np.exp(score), groups=renamed, n_resamples=100, rng=1)
    np.testing.assert_allclose(again.low, band.low)
    np.testing.assert_allclose(again.high, band.high)


def test_patients_who_differ_and_a_higher_level_widen_it():
    y, score, group = data(n=400)
    narrow = roc_band(y, score, n_resamples=300, rng=0)
    by_patient = roc_band(y, score, groups=group, n_resamples=300, rng=0)
    wide = roc_band(y, score, confidence_level=0.99, n_resamples=300, rng=0)
    width, wider, widest = ((band.high - band.low).mean() for band in (narrow, by_patient, wide))
    assert wider > 1.3 * width
    assert widest > width


def test_a_perfect_score_has_no_width_and_a_constant_one_is_all_or_nothing():
    y, _, group = data()
    perfect = roc_band(y, y, groups=group, n_resamples=50, rng=0)
    assert perfect.low.min() == perfect.high.max() == 1
    constant = roc_band(y, np.zeros(y.size), n_resamples=50, rng=0)
    assert constant.high[:-1].max() == 0
    assert constant.low[-1] == 1


def test_resamples_without_a_class_are_left_out():
    y, group = np.repeat([0, 1], 20), np.repeat([0, 1], 20)
    band = roc_band(y, y + np.linspace(0, 1.5, 40), groups=group, n_resamples=40, rng=0)
    assert np.isfinite(band.low).all()


def test_bad_input_is_refused():
    y, score, _ = data()
    with pytest.raises(InputError, match="both classes are needed"):
        roc_band(np.ones(120), score, rng=0)
    with pytest.raises(InputError, match="confidence_level 1 is not between"):
        roc_band(y, score, confidence_level=1, rng=0)

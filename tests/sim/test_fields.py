"""Random fields and outlines against closed forms."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from glioscope.sim._fields import gaussian_field, outline, patches

SHAPE = (128, 160)


def _moments(elongation: float) -> tuple[float, float, float]:
    rng = np.random.default_rng(0)
    fields = [
        gaussian_field(SHAPE, 3.0, rng, log_elongation=elongation, angle=rng.uniform(0, np.pi)) for _ in range(60)
    ]
    gradient = [float(np.mean(np.square(np.diff(f, axis=0))) + np.mean(np.square(np.diff(f, axis=1)))) for f in fields]
    return float(np.mean(fields)), float(np.mean([f.var() for f in fields])), float(np.mean(gradient))


def test_fields_are_standardised() -> None:
    mean, variance, _ = _moments(0.0)
    assert mean == pytest.approx(0.0, abs=0.02)
    assert variance == pytest.approx(1.0, abs=0.03)


def test_streaks_keep_variance_and_gradient() -> None:
    # The signal that hand-made texture energies must not see.
    _, variance, gradient = _moments(0.0)
    for elongation in (0.6, 1.2):
        _, other_variance, other_gradient = _moments(elongation)
        assert other_variance == pytest.approx(variance, abs=0.05)
        assert other_gradient == pytest.approx(gradient, rel=0.08)


def test_a_field_is_smoothed_noise() -> None:
    # The same noise, filtered in space by SciPy.
    noise = np.random.default_rng(5).standard_normal(SHAPE, dtype=np.float32)
    expected = gaussian_filter(noise - noise.mean(), 3.0, mode="wrap", truncate=6)
    found = gaussian_field(SHAPE, 3.0, np.random.default_rng(5))
    assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.9999


def test_streaks_run_along_their_angle() -> None:
    field = gaussian_field(SHAPE, 3.0, np.random.default_rng(1), log_elongation=1.2, angle=0.0)
    assert np.square(np.diff(field, axis=0)).mean() > 3 * np.square(np.diff(field, axis=1)).mean()


def test_outline_has_the_asked_size() -> None:
    rng = np.random.default_rng(2)
    areas = [float(outline(SHAPE, (64, 80), 30.0, 0.055, rng)[0].sum()) for _ in range(100)]
    assert np.mean(areas) == pytest.approx(np.pi * 30**2, rel=0.03)


def test_circle_without_lobes() -> None:
    coverage, rho = outline(SHAPE, (64, 80), 30.0, 0.0, np.random.default_rng(0))
    assert coverage.sum() == pytest.approx(np.pi * 30**2, rel=0.002)
    assert rho[64, 80] == 0.0
    assert rho[64, 110] == pytest.approx(1.0)


def test_patches_cover_their_share() -> None:
    rng = np.random.default_rng(4)
    shares = [float((patches(gaussian_field(SHAPE, 4.0, rng), 0.1) > 0.5).mean()) for _ in range(80)]
    assert np.mean(shares) == pytest.approx(0.1, abs=0.01)

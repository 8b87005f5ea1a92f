"""The parts of the measurement against closed forms and independent references."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.special import erf

from glioscope.devices._phantom_edge import edge_profiles, mtf50_lp_mm
from glioscope.devices._phantom_locate import Located
from glioscope.devices._phantom_measure import (
    FieldCell,
    WellReading,
    attenuation_depth,
    find_bad_pixels,
    illumination_of,
    level_and_noise,
    sensitivity_of,
    uniformity,
)
from glioscope.devices._phantom_target import Edge

RNG = np.random.default_rng(4)


def slanted_square(sigma_px: float, *, noise: float = 0.0, angle: float = 12.0, hot: int = 0) -> tuple:
    """A square of 60 px with edges blurred by a Gaussian (no pixel area), and where it is: 0.1 mm/px."""
    y, x = np.mgrid[:200, :200] - 99.5 + np.array([0.31, -0.17])[:, None, None]
    a = np.deg2rad(angle)
    u, v = x * np.cos(a) + y * np.sin(a), y * np.cos(a) - x * np.sin(a)
    steps = [0.5 * (erf((30 - w) / (np.sqrt(2) * sigma_px)) + erf((30 + w) / (np.sqrt(2) * sigma_px))) for w in (u, v)]
    picture = 800 + 10_000 * steps[0] * steps[1] + noise * np.random.default_rng(1).standard_normal(x.shape)
    if hot:
        picture.flat[np.random.default_rng(2).choice(x.size, hot, replace=False)] += 20_000
    homography = np.array([[10.0, 0, 99.5 + 0.17], [0, 10.0, 99.5 - 0.31], [0, 0, 1.0]])
    located = Located(homography, np.zeros((5, 2)), 0.1, 0.0, 0.0)
    return picture.astype(np.float32), located, Edge(centre_mm=(0.0, 0.0), side_mm=6.0, angle_deg=angle)


@pytest.mark.parametrize("sigma", [0.6, 1.0, 1.5, 2.5])
@pytest.mark.parametrize("angle", [8.0, 12.0, 16.0])
def test_mtf50_of_a_gaussian_edge_is_the_closed_form(sigma, angle):
    edges = edge_profiles(*slanted_square(sigma, angle=angle))
    expected = np.sqrt(np.log(2) / 2) / (np.pi * sigma) / 0.1
    assert len(edges) == 4
    assert [edge.mtf50_lp_mm for edge in edges] == pytest.approx([expected] * 4, rel=0.03)


def test_noise_and_hot_pixels_hardly_change_the_resolution():
    clean = mtf50_lp_mm(edge_profiles(*slanted_square(0.8)))
    assert mtf50_lp_mm(edge_profiles(*slanted_square(0.8, noise=100, hot=60))) == pytest.approx(clean, rel=0.04)


def test_the_lower_of_the_two_directions_counts():
    picture, located, edge = slanted_square(0.6)
    blurred = gaussian_filter(picture, (0.0, 1.5))
    upright = np.sqrt(np.log(2) / 2) / (np.pi * np.hypot(0.6, 1.5 * np.cos(np.deg2rad(12)))) / 0.1
    edges = edge_profiles(blurred.astype(np.float32), located, edge)
    assert mtf50_lp_mm(edges) == pytest.approx(upright, rel=0.05)


def test_an_edge_without_contrast_is_not_measured():
    picture, located, edge = slanted_square(0.6)
    flat = np.full_like(picture, 800) + RNG.standard_normal(picture.shape).astype(np.float32)
    assert mtf50_lp_mm(edge_profiles(flat, located, edge)) is None


def wells(counts, concentrations=(0, 1, 3, 10, 30, 100, 300, 1000), noise=10.0, saturated=()) -> tuple:
    return tuple(
        WellReading(c, 0.0, float(y), noise, k in saturated)
        for k, (c, y) in enumerate(zip(concentrations, counts, strict=True))
    )


def test_the_line_is_that_of_statsmodels():
    sm = pytest.importorskip("statsmodels.api")
    x = np.array([0, 1, 3, 10, 30, 100, 300, 1000.0])
    y = 3 + 40 * x * (1 + 0.02 * RNG.standard_normal(8)) + RNG.standard_normal(8)
    found = sensitivity_of(wells(y), 500)
    weights = 1 / (10.0**2 / 500 + (0.02 * y) ** 2 + 0.25)
    fit = sm.WLS(y, sm.add_constant(x), weights=weights).fit()
    assert (found.intercept, found.slope) == pytest.approx(tuple(fit.params), rel=1e-6)
    assert found.r2 == pytest.approx(fit.rsquared, rel=1e-6)
    assert found.lod_nm == pytest.approx(3.3 * 10 / fit.params[1])
    assert found.loq_nm == pytest.approx(10 * 10 / fit.params[1])


def test_a_saturated_well_is_left_out():
    x = np.array([0, 1, 3, 10, 30, 100, 300, 1000.0])
    y = np.minimum(40 * x, 20_000)
    found = sensitivity_of(wells(y, saturated=(7,)), 500)
    assert found.slope == pytest.approx(40)
    assert found.nonlinearity == pytest.approx(0, abs=1e-9)
    assert sensitivity_of(wells(y), 500).nonlinearity > 0.2


def test_two_wells_or_a_falling_line_are_no_sensitivity():
    assert sensitivity_of(wells([0, 40, 120], (0, 1, 3)), 500) is None
    assert sensitivity_of(wells([100, 90, 80, 70], (0, 1, 3, 10)), 500) is None


def test_the_attenuation_is_that_of_the_exponential():
    depths = tuple(WellReading(300, d, 9000 * np.exp(-d / 1.7), 5.0, False) for d in (0, 1, 2, 3, 4))
    assert attenuation_depth(depths) == pytest.approx(1.7)
    unseen = (*depths[:3], WellReading(300, 3.0, 5.0, 5.0, False))
    assert attenuation_depth(unseen) == pytest.approx(1.7)
    assert attenuation_depth(depths[:1]) is None


def test_uniformity_and_illumination_of_a_known_slope():
    cells = tuple(FieldCell(float(x), float(y), 1000 + 10.0 * x) for x in (-20, 0, 20) for y in (-12, 0, 12))
    spread, variation = uniformity(cells)
    assert spread == pytest.approx((1200 - 800) / (1200 + 800))
    assert variation == pytest.approx(np.std([800, 1000, 1200]) / 1000)
    light = illumination_of(cells)
    assert light.at(0, 0) == pytest.approx(1)
    assert light.at(10, 5) == pytest.approx(1.1)


def test_the_noise_of_whole_counts_is_not_quantised():
    values = np.rint(600 + 2.3 * RNG.standard_normal(40_000)).astype(np.float32)
    values[:20] = 20_000
    level, noise = level_and_noise(values)
    assert level == pytest.approx(600, abs=0.05)
    assert noise == pytest.approx(np.hypot(2.3, np.sqrt(1 / 12)), rel=0.02)


def test_planted_bad_pixels_are_found_and_no_others():
    y, x = np.mgrid[:300, :400]
    scene = 800 + 8000 * (np.hypot(x - 200, y - 150) < 80)
    pixels = np.rint(scene + np.sqrt(scene) * RNG.standard_normal(scene.shape)).astype(np.uint16)
    places = RNG.choice(pixels.size, 200, replace=False)
    truth = np.zeros(pixels.shape, bool)
    truth.flat[places] = True
    pixels.flat[places[:100]] = 0
    pixels.flat[places[100:]] += 4000
    bad, examined = find_bad_pixels(pixels)
    assert examined.mean() > 0.9
    assert np.array_equal(bad, truth & examined)

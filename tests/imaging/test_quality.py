import numpy as np
import pytest

from glioscope.imaging import contrast_to_noise, signal_to_background


def frame():
    rng = np.random.default_rng(0)
    pixels = rng.normal(800, 20, (100, 100))
    mask = np.zeros((100, 100), bool)
    mask[30:70, 30:70] = True
    pixels[mask] += 1000
    return pixels, mask


def test_ratio_and_contrast_against_known_values():
    pixels, mask = frame()
    assert signal_to_background(pixels, mask, offset=600) == pytest.approx(1200 / 200, rel=0.01)
    assert signal_to_background(pixels, mask) == pytest.approx(1800 / 800, rel=0.01)
    assert contrast_to_noise(pixels, mask) == pytest.approx(50, rel=0.05)


def test_invariances():
    pixels, mask = frame()
    assert signal_to_background(3 * (pixels - 600), mask) == pytest.approx(
        signal_to_background(pixels, mask, offset=600)
    )
    assert contrast_to_noise(5 * pixels + 77, mask) == pytest.approx(contrast_to_noise(pixels, mask))


def test_without_background_light_or_spread():
    pixels, mask = frame()
    flat = np.where(mask, 1000, 600)
    assert signal_to_background(flat, mask, offset=600) == float("inf")
    assert contrast_to_noise(flat, mask) == float("inf")
    assert contrast_to_noise(np.full((100, 100), 5), mask) == 0
    with pytest.raises(ValueError, match="9 each are needed"):
        signal_to_background(pixels, np.zeros((100, 100), bool))
    with pytest.raises(ValueError, match="masks are"):
        contrast_to_noise(pixels, mask[:5])

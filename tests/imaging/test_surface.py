"""What stands out of a smooth background, against backgrounds and noise that are known."""

import cv2
import numpy as np
import pytest

from glioscope.imaging._surface import excess, neighbourhood, signal_mask

SHAPE = (256, 320)
Y, X = (grid.astype(np.float32) for grid in np.mgrid[: SHAPE[0], : SHAPE[1]])
SHADE = 900 - 300 * ((Y / SHAPE[0] - 0.4) ** 2 + (X / SHAPE[1] - 0.6) ** 2) + 40 * X / SHAPE[1]


def frame(noise: float, height: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A shaded plate with one disc, and where the disc is."""
    disc = np.hypot(X - 200, Y - 100) < 25
    pixels = SHADE + height * disc + np.random.default_rng(seed).normal(0, noise, SHAPE)
    return pixels.astype(np.float32), disc


def test_excess_is_in_standard_deviations_of_the_background():
    pixels, disc = frame(noise=12, height=240)
    score = excess(pixels, signed=True)
    assert score[disc].mean() == pytest.approx(240 / 12, rel=0.06)
    # the positive half of a standard normal has a mean square of one half
    assert np.mean(score[~disc] ** 2) == pytest.approx(0.5, rel=0.1)


def test_colour_excess_counts_darker_and_brighter_alike():
    planes = [frame(4, height, seed)[0] / 4 for seed, height in enumerate((-80, 0, 80))]
    disc = frame(4, 0)[1]
    score = excess(np.clip(np.rint(np.stack(planes, -1)), 0, 255).astype(np.uint8), signed=False)
    assert score.dtype == np.float32
    assert score[disc].mean() == pytest.approx(np.sqrt(2 / 3) * 20, rel=0.1)
    assert np.sqrt(np.mean(score[~disc] ** 2)) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_type_of_the_counts_does_not_matter(dtype):
    pixels = np.rint(frame(noise=12, height=240)[0] / 5)
    np.testing.assert_allclose(excess(pixels.astype(dtype), signed=True), excess(pixels, signed=True), atol=1e-5)


def test_a_weak_specimen_keeps_its_own_scale_beside_a_strong_one():
    score = np.zeros(SHAPE, np.float32)
    cv2.circle(score, (80, 128), 20, 400, cv2.FILLED)
    cv2.circle(score, (240, 128), 20, 20, cv2.FILLED)
    found = signal_mask(*neighbourhood(score, 0.2), share=0.5)
    for x in (80, 240):
        truth = cv2.circle(np.zeros(SHAPE, np.uint8), (x, 128), 20, 1, cv2.FILLED)
        own = found[:, x - 60 : x + 60]
        assert np.count_nonzero(own != truth[:, x - 60 : x + 60]) < 0.15 * np.count_nonzero(truth)


def test_noise_alone_is_no_signal():
    score = np.abs(np.random.default_rng(1).standard_normal(SHAPE)).astype(np.float32)
    assert not signal_mask(*neighbourhood(score, 0.2), share=0.06).any()

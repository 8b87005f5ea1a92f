import cv2
import numpy as np
import pytest

from glioscope.imaging import denoise, estimate_noise, repair_hot_pixels

RNG = np.random.default_rng(0)


def tissue(shape=(128, 160)) -> np.ndarray:
    texture = cv2.GaussianBlur(RNG.standard_normal(shape), (0, 0), 4)
    image = np.full(shape, 700.0)
    image[30:100, 40:120] += 3000 * (1 + texture[30:100, 40:120])
    return cv2.GaussianBlur(image, (0, 0), 1.5)


def shot(image: np.ndarray) -> np.ndarray:
    return np.rint(RNG.normal(image, np.sqrt(image / 8 + 225))).astype(np.uint16)


def test_isolated_defects_are_found_and_nothing_else():
    clean = shot(tissue())
    assert repair_hot_pixels(clean)[1] <= 3
    broken = clean.copy()
    places = [(5 + 11 * (k // 12), 6 + 12 * (k % 12)) for k in range(120)]
    for k, (y, x) in enumerate(places):
        broken[y, x] = 0 if k % 4 == 0 else min(int(broken[y, x]) + RNG.integers(1500, 40000), 65535)
    repaired, count = repair_hot_pixels(broken)
    assert 114 <= count <= 123
    error = np.array([abs(int(repaired[p]) - int(clean[p])) for p in places])
    assert np.mean(error < 400) > 0.94
    touched = repaired != broken
    for p in places:
        touched[p] = False
    assert np.count_nonzero(touched) <= 3


@pytest.mark.parametrize("sigma", [0.7, 1.0, 1.5])
@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5])
def test_specks_seen_through_a_lens_stay(sigma, shift):
    y, x = np.mgrid[:64, :64]
    frame = np.full((64, 64), 700.0)
    for cy in range(8, 64, 16):
        for cx in range(8, 64, 16):
            frame += 5000 * np.exp(-((y - cy - shift) ** 2 + (x - cx) ** 2) / (2 * sigma**2))
    pixels = shot(frame)
    repaired, count = repair_hot_pixels(pixels)
    assert count == 0
    assert repaired is pixels


def test_repair_twice_changes_nothing_more_on_a_flat_frame():
    pixels = RNG.normal(1000, 20, (64, 64)).astype(np.uint16)
    pixels[10, 10] = 9000
    once, count = repair_hot_pixels(pixels)
    assert count == 1
    assert repair_hot_pixels(once)[1] == 0


def test_padding_is_no_dead_area():
    pixels = np.zeros((64, 64), np.uint16)
    pixels[16:48, 16:48] = RNG.normal(900, 20, (32, 32))
    assert repair_hot_pixels(pixels)[1] == 0


def haar_sigma(image: np.ndarray) -> float:
    """Donoho and Johnstone's estimate from the finest diagonal Haar coefficients: independent of any Laplacian."""
    a, b, c, d = image[::2, ::2], image[::2, 1::2], image[1::2, ::2], image[1::2, 1::2]
    return float(np.median(np.abs(a - b - c + d) / 2) / 0.6745)


@pytest.mark.parametrize("sigma", [0.005, 0.02, 0.08])
def test_noise_agrees_with_truth_and_with_wavelets(sigma):
    image = (tissue() / 8000).astype(np.float32)
    noisy = (image + RNG.normal(0, sigma, image.shape)).astype(np.float32)
    assert estimate_noise(noisy) == pytest.approx(sigma, rel=0.08)
    assert estimate_noise(noisy) == pytest.approx(haar_sigma(noisy), rel=0.12)


def test_clipped_background_does_not_hide_noise():
    image = np.zeros((128, 128), np.float32)
    image[32:96, 32:96] = 0.5
    noisy = np.clip(image + RNG.normal(0, 0.05, image.shape), 0, 1).astype(np.float32)
    assert estimate_noise(noisy, noisy > 0) == pytest.approx(0.05, rel=0.15)


@pytest.mark.parametrize("sigma", [0.03, 0.06, 0.1])
def test_denoising_gains_decibels(sigma):
    image = (tissue() / 8000).astype(np.float32)
    noisy = (image + RNG.normal(0, sigma, image.shape)).astype(np.float32)
    before, after = np.mean((noisy - image) ** 2), np.mean((denoise(noisy, estimate_noise(noisy)) - image) ** 2)
    assert 10 * np.log10(before / after) > 6


def test_strong_edges_stay():
    image = np.zeros((64, 64), np.float32)
    image[:, 32:] = 1
    noisy = (image + RNG.normal(0, 0.03, image.shape)).astype(np.float32)
    clean = denoise(noisy, 0.03)
    assert np.abs(clean[:, 31].mean()) < 0.05
    assert np.abs(clean[:, 32].mean() - 1) < 0.05

"""The cameras against the photon-transfer relation and the numbers of their settings."""

import numpy as np
import pytest

from glioscope.sim import SimSettings
from glioscope.sim._cameras import CameraPattern, Scene, Window, draw_pattern, photograph_fl, photograph_wl, vignette
from glioscope.sim._trays import plain_light

SETTINGS = SimSettings()
FRAME = (512, 640)
WINDOW = Window(0, 0, FRAME, 0.1, FRAME)
CLEAN = CameraPattern(np.ones(640, dtype=np.float32), np.zeros(FRAME, dtype=np.float32))


def _flat(level: float) -> Scene:
    return Scene(
        np.full(FRAME, level, dtype=np.float32),
        np.full((*FRAME, 3), level, dtype=np.float32),
        np.zeros(FRAME, dtype=np.float32),
    )


def _two_shots(level: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    shots = [
        photograph_fl(_flat(level), WINDOW, plain_light(), CLEAN, SETTINGS, rng)[200:312, 250:390].astype(float)
        for _ in range(2)
    ]
    return shots[0], shots[1]


def test_photon_transfer_gives_back_the_gain() -> None:
    means, variances = [], []
    for level in (0.5, 2.0, 4.0, 8.0):
        first, second = _two_shots(level)
        means.append((first + second).mean() / 2)
        variances.append((first - second).var() / 2)
    slope = np.polyfit(means, variances, 1)[0]
    assert 1 / slope == pytest.approx(SETTINGS.infrared.electrons_per_adu, rel=0.06)


def test_dark_frame_has_offset_dark_current_and_read_noise() -> None:
    camera = SETTINGS.infrared
    first, second = _two_shots(0.0)
    dark = camera.dark_current * camera.exposure_ms / 1000
    assert first.mean() == pytest.approx(camera.offset_adu + dark / camera.electrons_per_adu, abs=0.5)
    expected = np.hypot(camera.read_noise, np.sqrt(dark)) / camera.electrons_per_adu
    assert (first - second).std() / np.sqrt(2) == pytest.approx(expected, rel=0.03)


def test_counts_are_linear_in_light_and_clip_at_16_bits() -> None:
    camera = SETTINGS.infrared
    per_unit = camera.photons_per_unit * camera.quantum_efficiency / camera.electrons_per_adu
    low, high = _two_shots(1.0)[0].mean(), _two_shots(3.0)[0].mean()
    assert high - low == pytest.approx(2 * per_unit, rel=0.03)
    assert _two_shots(1000.0)[0].max() == 65535


def test_vignetting_is_centred_and_reaches_its_value_in_the_corner() -> None:
    transmission = vignette(WINDOW, 0.25)
    assert transmission[256, 320] == pytest.approx(1.0)
    assert transmission[0, 0] == pytest.approx(0.75)
    cut = vignette(Window(100, 200, (128, 160), 0.1, FRAME), 0.25)
    np.testing.assert_allclose(cut, transmission[100:228, 200:360])


def test_pattern_has_the_stated_hot_pixels() -> None:
    pattern = draw_pattern(FRAME, SETTINGS, np.random.default_rng(0))
    assert (pattern.hot_adu > 0).sum() == SETTINGS.infrared.hot_pixels
    assert pattern.column_gain.std() == pytest.approx(SETTINGS.infrared.column_gain_sd, rel=0.15)


def test_a_grey_plate_is_grey_in_white_light() -> None:
    image = photograph_wl(_flat(0.4), WINDOW, plain_light(), SETTINGS, np.random.default_rng(0))
    middle = image[200:312, 250:390].reshape(-1, 3).mean(axis=0)
    linear = 0.4 * SETTINGS.colour_camera.exposure
    assert middle == pytest.approx(np.full(3, 255 * (1.055 * linear ** (1 / 2.4) - 0.055)), abs=2)

"""The exposure rule on a model of a camera: light times exposure, offset, shot noise, 14 bits, delay."""

from collections import deque
from itertools import pairwise

import numpy as np
import pytest

from glioscope.core import CameraInfo, Frame, ImageError, InputError
from glioscope.devices._auto_exposure import AutoExposure, AutoExposureSettings, next_exposure_ms

WHITE, OFFSET = 16383, 300.0
INFO = CameraInfo("model", "1", 96, 128, False, WHITE, (0.1, 400.0), (1.0, 1.0))
SETTINGS = AutoExposureSettings(offset_counts=OFFSET)
IDEAL_MS = 40.0
"""Exposure at which the model's 99.9th percentile is at the default target."""


def scene() -> np.ndarray:
    """Light in counts per ms; a bright disc, with the 99.9th percentile on target at IDEAL_MS."""
    y, x = np.mgrid[:96, :128]
    light = 1.0 + 9.0 * np.exp(-((y - 48) ** 2 + (x - 60) ** 2) / 400)
    return light * (0.6 * (WHITE - OFFSET) / IDEAL_MS) / np.quantile(light, 0.999)


class Model:
    """A camera whose new exposure takes effect `delay` frames later, and which rounds it to 1/64 ms."""

    def __init__(self, exposure_ms: float, *, brightness: float = 1.0, delay: int = 1, seed: int = 0) -> None:
        self.light, self.rng = scene() * brightness, np.random.default_rng(seed)
        self.pipe = deque([exposure_ms] * (delay + 1), maxlen=delay + 1)
        self.number = 0

    def frame(self) -> Frame:
        exposure = self.pipe[0]
        counts = self.light * exposure
        counts = counts + np.sqrt(counts / 2 + 9) * self.rng.standard_normal(counts.shape) + OFFSET
        self.number += 1
        pixels = np.clip(np.rint(counts), 0, WHITE).astype(np.uint16)
        return Frame(pixels, "fl", self.number, 0.04 * self.number, white_level=WHITE, exposure_ms=exposure)

    def set(self, exposure_ms: float | None) -> None:
        self.pipe.append(self.pipe[-1] if exposure_ms is None else round(64 * exposure_ms) / 64)


def run(model: Model, control: AutoExposure, frames: int) -> list[float]:
    exposures = []
    for _ in range(frames):
        frame = model.frame()
        exposures.append(frame.exposure_ms or 0.0)
        model.set(control.add(frame))
    return exposures


@pytest.mark.parametrize("start_ms", [0.1, IDEAL_MS / 10, IDEAL_MS / 2, IDEAL_MS, 2 * IDEAL_MS, 10 * IDEAL_MS])
@pytest.mark.parametrize("delay", [0, 1, 2])
def test_converges_from_too_dark_and_too_bright_and_then_stays(start_ms: float, delay: int) -> None:
    control = AutoExposure(INFO, SETTINGS.model_copy(update={"wait_frames": delay}))
    exposures = run(Model(start_ms, delay=delay), control, 60)
    within = [abs(exposure / IDEAL_MS - 1) < 0.18 for exposure in exposures]
    steps = 5 if start_ms >= IDEAL_MS / 10 else 6
    assert all(within[steps * (delay + 1) :])
    assert len(set(exposures[steps * (delay + 1) :])) == 1


def test_no_step_is_larger_than_the_largest_and_every_one_is_recorded() -> None:
    control = AutoExposure(INFO, SETTINGS)
    exposures = run(Model(0.1), control, 40)
    ratios = [b / a for a, b in pairwise(exposures)]
    assert max(ratios) <= 4.0 * 1.1  # the model rounds 0.4 ms
    assert len(control.changes) == sum(a != b for a, b in pairwise(exposures))
    first = control.changes[0]
    assert (first.old_ms, first.new_ms) == (0.1, 0.4)
    assert "percentile 99.9" in first.reason
    assert first.utc.tzinfo is not None


def test_noise_and_slow_change_inside_the_tolerance_change_nothing() -> None:
    control = AutoExposure(INFO, SETTINGS)
    model = Model(IDEAL_MS)
    for k in range(100):
        model.light = scene() * (1 + 0.1 * np.sin(k / 5))
        model.set(control.add(model.frame()))
    assert control.changes == []


@pytest.mark.parametrize("brightness", np.geomspace(0.5, 8.0, 25))
def test_whole_half_waves_never_go_to_and_fro(brightness: float) -> None:
    control = AutoExposure(INFO, SETTINGS.model_copy(update={"mains_hz": 50.0}))
    exposures = run(Model(100.0, brightness=float(brightness)), control, 40)
    assert len(set(exposures[20:])) == 1
    assert exposures[-1] / 10.0 == pytest.approx(round(exposures[-1] / 10.0))
    assert exposures[-1] == 10.0 or exposures[-1] <= 1.18 * IDEAL_MS / brightness


def test_at_the_camera_s_limit_it_stays() -> None:
    control = AutoExposure(INFO, SETTINGS)
    assert run(Model(100.0, brightness=1e-4), control, 20)[-1] == 400.0
    assert len(control.changes) == 1
    bright = AutoExposure(INFO, SETTINGS)
    assert run(Model(100.0, brightness=1e4), bright, 40)[-1] == pytest.approx(0.1, abs=1 / 64)


def test_the_frame_period_bounds_the_exposure() -> None:
    control = AutoExposure(INFO, SETTINGS.model_copy(update={"mains_hz": 60.0}), frame_period_ms=40.0)
    exposures = run(Model(10.0, brightness=0.2), control, 20)
    assert exposures[-1] == pytest.approx(4 * 1000 / 120, abs=1 / 64)


def test_saturation_beyond_its_share_shortens_the_exposure_even_where_the_percentile_is_right() -> None:
    pixels = np.full((100, 100), 300, np.uint16)
    pixels[:20, :20] = 9950  # the 99.9th percentile of an all-unsaturated frame would be here
    pixels[50:52, 50:52] = WHITE
    frame = Frame(pixels, white_level=WHITE, exposure_ms=10.0)
    lenient = SETTINGS.model_copy(update={"percentile": 99.0})
    assert next_exposure_ms(frame, lenient.model_copy(update={"max_saturated_share": 0.01}), (1.0, 100.0))[1] == ""
    strict = lenient.model_copy(update={"max_saturated_share": 0.0})
    pixels[50:54, 50:54] = WHITE
    wanted, reason = next_exposure_ms(frame, strict, (1.0, 100.0))
    assert wanted < 10.0 / 1.4
    assert "saturated" in reason


def test_hot_pixels_do_not_steer() -> None:
    frame = Model(IDEAL_MS).frame()
    rng = np.random.default_rng(1)
    frame.pixels.flat[rng.choice(frame.pixels.size, 25, replace=False)] = WHITE  # 0.2 %, twice the limit
    assert next_exposure_ms(frame, SETTINGS, (0.1, 400.0)) == (IDEAL_MS, "")


def test_dark_frames_of_a_strobed_camera_change_nothing() -> None:
    control = AutoExposure(INFO, SETTINGS)
    dark = Frame(np.full((96, 128), 300, np.uint16), white_level=WHITE, exposure_ms=10.0, laser_on=False)
    assert control.add(dark) is None
    assert control.changes == []


def test_what_cannot_be_is_refused() -> None:
    frame = Model(IDEAL_MS).frame()
    with pytest.raises(InputError, match="does not say its exposure"):
        next_exposure_ms(Frame(frame.pixels), SETTINGS, (1.0, 100.0))
    with pytest.raises(InputError, match="between the limits of 50 and 20 ms"):
        next_exposure_ms(frame, SETTINGS, (50.0, 100.0), frame_period_ms=20.0)
    with pytest.raises(InputError, match="no whole half wave"):
        next_exposure_ms(frame, SETTINGS.model_copy(update={"mains_hz": 50.0}), (12.0, 18.0))
    with pytest.raises(InputError, match="not below the white level"):
        next_exposure_ms(frame, SETTINGS.model_copy(update={"offset_counts": 20000.0}), (1.0, 100.0))
    with pytest.raises(ImageError, match="uint16"):
        next_exposure_ms(Frame(frame.pixels.astype(np.float32), exposure_ms=1.0), SETTINGS, (1.0, 100.0))

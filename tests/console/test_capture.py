"""Which frames answer a key press, and what they add up to."""

import random
import threading
import time
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

from glioscope.console._capture import CaptureError, Capturer, PairRing, began_after, integrate
from glioscope.console._steady import is_steady
from glioscope.console._theatre_settings import TheatreSettings
from glioscope.core import Exposure, Frame, InputError
from glioscope.devices import FramePair
from glioscope.sim import SimSettings, make_sources

OFFSET = 600.0
SHAPE = (64, 80)


def scene(shift_px: float = 0.0, brightness: float = 8000.0, shape: tuple[int, int] = (512, 640)) -> np.ndarray:
    """Electrons-like counts of a disc on a plate, blurred as a lens does, float32."""
    disc = np.zeros(shape, np.float32)
    centre = (round(16 * (shape[1] / 2 + shift_px)), round(16 * shape[0] / 2))
    cv2.circle(disc, centre, 16 * min(shape) // 6, 1.0, -1, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(disc, (0, 0), 2.0) * brightness + 1000.0)


def seen(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One exposure: shot noise and read noise on an offset, uint16."""
    return np.asarray(np.rint(rng.poisson(picture) + rng.normal(OFFSET, 30, picture.shape)).clip(0, 65535), np.uint16)


def frame(pixels: np.ndarray, **facts: object) -> Frame:
    return Frame(pixels, **{"camera": "fl", "exposure_ms": 20.0, "gain": 1.0, "white_level": 65535, **facts})  # type: ignore[arg-type]


class Unit:
    """Two cameras whose frames are made by hand: 100 pairs a second, exposed for 4 ms, ending when they come."""

    def __init__(self) -> None:
        self.ring = PairRing(5)
        self.rng = np.random.default_rng(0)
        self.scene, self.laser_on, self.number = 5000, True, 0
        self.scenes: dict[int, int] = {}
        self.frozen: np.ndarray | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def pair(self) -> FramePair:
        self.number += 1
        now = time.monotonic()
        fl = np.asarray(self.rng.normal(1000, 10, SHAPE), np.uint16)
        fl[16:48, 20:60] += np.uint16(self.scene)
        if self.frozen is not None:
            fl = self.frozen
        wl = self.rng.integers(0, 255, (*SHAPE, 3), np.uint8)
        self.scenes[self.number] = self.scene
        facts = {"sequence": self.number, "monotonic_s": now, "exposure_ms": 4.0}
        return FramePair(frame(fl, laser_on=self.laser_on, **facts), Frame(wl, "wl", **facts), 0.0)  # type: ignore[arg-type]

    def _run(self) -> None:
        while not self._ending.wait(0.01):
            self.ring.add(self.pair())

    def __enter__(self) -> "Unit":
        self._thread.start()
        time.sleep(0.15)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()


def capturer(unit: Unit, trouble: str = "", shines: bool | None = True, **settings: object) -> Capturer:
    chosen = TheatreSettings(**{"integrate_frames": 5, "fl_offset_counts": OFFSET, "take_timeout_s": 0.5, **settings})  # type: ignore[arg-type]
    return Capturer(unit.ring, chosen, shines=lambda: shines, trouble=lambda: trouble)


def test_frames_add_up_to_one_long_exposure_of_the_same_plate():
    settings = SimSettings()
    source, _ = make_sources(3, settings, n_specimens=1)
    short = [source.render(Exposure(0.04 * n, 20.0, 1.0, 50.0, 300.0)) for n in range(5)]
    long = source.render(Exposure(1.0, 100.0, 1.0, 50.0, 300.0))
    total = integrate([frame(pixels) for pixels in short], settings.infrared.offset_adu)
    assert total.exposure_ms == 100.0
    blocks = [
        cv2.resize(pixels.astype(np.float32), (40, 32), interpolation=cv2.INTER_AREA) for pixels in (total.pixels, long)
    ]
    assert np.abs(blocks[0] - blocks[1]).max() < 0.01 * (blocks[1].max() - settings.infrared.offset_adu)


def test_what_was_saturated_in_any_frame_is_saturated_in_the_sum_and_nothing_wraps_round():
    dark, bright = np.full(SHAPE, 600, np.uint16), np.full(SHAPE, 700, np.uint16)
    bright[0, 0] = 4095
    dark[1, 1], bright[1, 1] = 3000, 3000
    frames = [frame(dark, white_level=4095), frame(bright, white_level=4095)]
    total = integrate(frames, 600.0)
    assert total.pixels[0, 0] == 4095
    assert total.pixels[1, 1] == 4095
    assert total.pixels[5, 5] == 700
    assert integrate([frame(np.zeros(SHAPE, np.uint16))] * 3, 600.0).pixels.max() == 0


def test_the_sum_tells_what_holds_for_all_frames():
    pixels = np.full(SHAPE, 1000, np.uint16)
    frames = [frame(pixels, sequence=n, irradiance_mw_cm2=48.0 + n, distance_mm=300.0 + n) for n in range(3)]
    total = integrate(frames, OFFSET)
    assert (total.sequence, total.irradiance_mw_cm2, total.distance_mm) == (2, 49.0, 302.0)
    assert total.pixels[0, 0] == 1000 * 3 - 2 * 600
    assert integrate(frames[:1], OFFSET) is frames[0]


@pytest.mark.parametrize(
    "other", [{"exposure_ms": 40.0}, {"gain": 2.0}, {"exposure_ms": None}, {"pixels": np.zeros((8, 8), np.uint16)}]
)
def test_frames_that_were_not_taken_alike_are_not_added_up(other):
    first = frame(np.zeros(SHAPE, np.uint16))
    with pytest.raises(InputError):
        integrate([first, replace(first, **other)], OFFSET)
    with pytest.raises(InputError):
        integrate([], OFFSET)


def test_noise_alone_is_never_taken_for_a_moving_specimen():
    rng = np.random.default_rng(1)
    for brightness in (0.0, 300.0, 8000.0, 40000.0):
        frames = [seen(scene(brightness=brightness), rng) for _ in range(8)]
        assert all(is_steady(earlier, newest) for earlier, newest in pairwise(frames))


@pytest.mark.parametrize("brightness", [1000.0, 8000.0, 40000.0])
def test_a_specimen_that_moves_by_a_pixel_is_noticed_and_breathing_by_a_tenth_is_not(brightness):
    rng = np.random.default_rng(2)
    still = seen(scene(brightness=brightness), rng)
    assert not is_steady(still, seen(scene(1.0, brightness), rng))
    assert not is_steady(still, seen(scene(-30.0, brightness), rng))
    assert is_steady(still, seen(scene(0.1, brightness), rng))


def test_other_light_is_another_scene_and_a_glint_is_not():
    rng = np.random.default_rng(3)
    still = seen(scene(), rng)
    assert not is_steady(still, seen(scene(brightness=8000 * 1.1), rng))
    assert is_steady(still, seen(scene(brightness=8000 * 1.01), rng))
    glint = still.copy()
    glint[100:104, 300:304] = 60000
    assert is_steady(glint, seen(scene(), rng))
    with pytest.raises(InputError):
        is_steady(still, still[:100])


def test_whatever_happens_meanwhile_no_frame_is_old_dark_or_of_another_scene():
    rng = random.Random(4)
    with Unit() as unit:
        chosen = capturer(unit, take_timeout_s=2.0)
        for press in range(40):
            if rng.random() < 0.6:
                unit.scene = 3000 + 700 * (press % 8)
            elif rng.random() < 0.5:
                unit.laser_on = False
                time.sleep(0.015)
                unit.laser_on = True
                time.sleep(0.012)
            time.sleep(rng.uniform(0, 0.03))
            pressed_s = time.monotonic()
            pairs = chosen.capture(pressed_s)
            assert began_after(pairs[-1], pressed_s)
            assert len({unit.scenes[pair.fl.sequence] for pair in pairs}) == 1
            assert [pair.fl.sequence for pair in pairs] == list(range(pairs[0].fl.sequence, pairs[-1].fl.sequence + 1))
            assert len(pairs) == 5
            assert all(pair.fl.laser_on for pair in pairs)
            assert time.monotonic() - (pairs[0].fl.monotonic_s or 0) < 1.0


def test_a_still_scene_is_answered_by_the_first_new_pair():
    with Unit() as unit:
        pressed_s = time.monotonic()
        pairs = capturer(unit).capture(pressed_s)
        assert sum(began_after(pair, pressed_s) for pair in pairs) == 1


def test_the_dark_is_told_at_once():
    with Unit() as unit:
        unit.laser_on = False
        time.sleep(0.03)
        with pytest.raises(CaptureError, match="switch the light on"):
            capturer(unit, take_timeout_s=5.0).capture(time.monotonic())


def test_frames_that_do_not_tell_are_dark_unless_the_laser_says_otherwise():
    with Unit() as unit:
        unit.laser_on = None  # type: ignore[assignment]
        time.sleep(0.1)
        with pytest.raises(CaptureError, match="dark"):
            capturer(unit, shines=False).capture(time.monotonic())
        assert len(capturer(unit, shines=True).capture(time.monotonic())) == 5
        assert len(capturer(unit, shines=None).capture(time.monotonic())) == 5


class Restless(Unit):
    """Its scene is another at each look."""

    _looks = 0

    @property
    def scene(self):
        self._looks += 1
        return 3000 + 1000 * (self._looks % 9)

    @scene.setter
    def scene(self, _):
        pass


def test_a_specimen_that_does_not_keep_still_is_told_after_the_wait():
    with Restless() as unit, pytest.raises(CaptureError, match="hold still and take again"):
        capturer(unit).capture(time.monotonic())


def test_cameras_that_give_nothing_are_named():
    unit = Unit()
    for _ in range(6):
        unit.ring.add(unit.pair())
    started_s = time.monotonic()
    with pytest.raises(CaptureError, match="the white-light camera gives no pictures"):
        capturer(unit, trouble="the white-light camera gives no pictures").capture(started_s)
    assert 0.4 < time.monotonic() - started_s < 1.0


def test_the_same_picture_under_a_new_number_is_refused():
    with Unit() as unit:
        unit.frozen = np.asarray(unit.rng.normal(1000, 10, SHAPE), np.uint16)
        time.sleep(0.1)
        with pytest.raises(CaptureError, match="old one again"):
            capturer(unit).capture(time.monotonic())


def test_a_picture_that_was_diagnosed_before_is_refused_at_the_next_key_press():
    with Unit() as unit:
        chosen = capturer(unit, integrate_frames=1)
        unit.frozen = chosen.capture(time.monotonic())[-1].fl.pixels
        time.sleep(0.03)
        with pytest.raises(CaptureError, match="old one again"):
            chosen.capture(time.monotonic())
        unit.frozen = None
        time.sleep(0.03)
        assert chosen.capture(time.monotonic())


def test_frames_cannot_be_added_up_without_knowing_their_offset():
    with pytest.raises(ValueError, match="fl_offset_counts"):
        TheatreSettings(integrate_frames=5)

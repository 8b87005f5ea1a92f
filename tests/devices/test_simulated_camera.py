"""The simulated camera: exact times, gaps instead of latency, the strobe, and every fault on demand."""

import threading
import time

import numpy as np
import pytest
from pydantic import ValidationError

from glioscope.core import Camera, DeviceError, DeviceState, Frame, InputError
from glioscope.devices._simulated_camera import SimulatedCamera, SimulatedCameraSettings
from glioscope.devices._simulated_faults import CameraFault

from .virtual_clock import PlainSource, VirtualClock


def _camera(
    colour: bool = False, start: float | None = 25.0, **options: object
) -> tuple[SimulatedCamera, VirtualClock]:
    clock = VirtualClock()
    camera = SimulatedCamera("fl", PlainSource(colour), clock=clock, wait=clock.wait, **options)  # type: ignore[arg-type]
    camera.stage()
    if start is not None:
        camera.start(start)
    return camera, clock


def _next(camera: SimulatedCamera) -> Frame:
    frame = camera.read(1.0)
    assert frame is not None
    return frame


def test_it_is_a_camera_that_begins_dark_and_closed() -> None:
    camera = SimulatedCamera("fl", PlainSource())
    assert isinstance(camera, Camera)
    assert camera.report().state is DeviceState.OFF
    with pytest.raises(DeviceError, match="fl: is not staged"):
        camera.start(25)
    with pytest.raises(DeviceError, match="not staged"):
        camera.info()
    camera.stage()
    camera.start(50)
    frame = _next(camera)
    assert frame.laser_on is False and frame.irradiance_mw_cm2 == 0
    camera.unstage()
    camera.unstage()


def test_frames_end_on_whole_multiples_of_the_period_and_count_up() -> None:
    camera, _ = _camera()
    frames = [_next(camera) for _ in range(20)]
    ends = np.array([f.monotonic_s for f in frames])
    assert np.diff(ends) == pytest.approx(np.full(19, 0.04))
    assert (ends / 0.04 - np.rint(ends / 0.04)) == pytest.approx(np.zeros(20), abs=1e-6)
    assert [f.sequence for f in frames] == list(range(20))


def test_a_frame_is_given_at_the_end_of_its_exposure_and_not_before() -> None:
    for colour in (False, True):
        camera, clock = _camera(colour)
        for _ in range(10):
            frame = _next(camera)
            assert frame.monotonic_s is not None
            assert 0 <= clock() - frame.monotonic_s < 1e-3


def test_the_first_exposure_begins_after_the_start() -> None:
    camera, clock = _camera(start=None, exposure_ms=35.0)
    began = clock()
    camera.start(25)
    frame = _next(camera)
    assert frame.monotonic_s is not None and frame.monotonic_s - 0.035 >= began


def test_two_cameras_share_the_trigger_unless_one_runs_free() -> None:
    clock = VirtualClock()
    fl, wl, free = (
        SimulatedCamera(name, PlainSource(), clock=clock, wait=clock.wait, offset_ms=offset, jitter_ms=jitter)
        for name, offset, jitter in (("fl", 0.0, 0.0), ("wl", 0.0, 0.0), ("free", 13.0, 1.0))
    )
    for camera in (fl, wl, free):
        camera.stage()
        camera.start(25)
    ends = {c.name: np.array([_next(c).monotonic_s for _ in range(50)]) for c in (fl,)}
    clock.now -= 2.0
    ends |= {c.name: np.array([_next(c).monotonic_s for _ in range(50)]) for c in (wl,)}
    clock.now -= 2.0
    ends |= {c.name: np.array([_next(c).monotonic_s for _ in range(50)]) for c in (free,)}
    assert ends["fl"] == pytest.approx(ends["wl"], abs=1e-9)
    off = ends["free"] / 0.04 % 1 * 40
    assert off.mean() == pytest.approx(13, abs=0.6)
    assert 0.5 < off.std() < 1.6


def test_a_slow_reader_loses_the_oldest_frames_and_latency_does_not_grow() -> None:
    camera, clock = _camera(buffer_frames=4)
    first = _next(camera)
    clock.now += 2.0
    late, latency = [], []
    for _ in range(6):
        late.append(_next(camera))
        latency.append(clock() - late[-1].monotonic_s)  # type: ignore[operator]
    assert late[0].sequence == first.sequence + 50 - 3
    assert [f.sequence for f in late] == list(range(late[0].sequence, late[0].sequence + 6))
    assert max(latency) < 4 * 0.04 + 1e-6 and latency[-1] < 1e-3
    assert camera.report().details["frames_overrun"] == 46


def test_settings_hold_for_exposures_that_begin_after_them() -> None:
    camera, clock = _camera(exposure_ms=20.0)
    _next(camera)
    clock.now += 0.032  # the next exposure has begun
    assert camera.set_exposure_ms(10.0) == 10.0
    assert camera.set_gain(2.0) == 2.0
    frames = [_next(camera) for _ in range(2)]
    assert [(f.exposure_ms, f.gain) for f in frames] == [(20.0, 1.0), (10.0, 2.0)]


def test_light_is_asked_for_over_the_exposure_and_strobed_on_even_frames() -> None:
    asked: list[tuple[float, float, float]] = []

    def light(start_s: float, end_s: float, distance_mm: float) -> float:
        asked.append((start_s, end_s, distance_mm))
        return 50.0

    camera, _ = _camera(irradiance=light, strobe=True, pose=lambda t: (290.0, 45.0), exposure_ms=30.0)
    frames = [_next(camera) for _ in range(6)]
    assert [f.laser_on for f in frames] == [True, False] * 3
    assert [f.irradiance_mw_cm2 for f in frames] == [50.0, 0.0] * 3
    assert all(end - start == pytest.approx(0.03) and distance == 290 for start, end, distance in asked)
    assert frames[0].distance_mm == 290 and frames[0].mm_per_px == pytest.approx(290 / 3000)
    source = camera.source
    assert isinstance(source, PlainSource)
    assert {e.rotation_deg for e in source.exposures} == {45.0}


def test_impossible_settings_are_named_with_their_limit() -> None:
    camera, _ = _camera()
    with pytest.raises(InputError, match=r"exposure 0.5 ms is outside 1 to 40 ms"):
        camera.set_exposure_ms(0.5)
    with pytest.raises(InputError, match=r"exposure 60 ms is outside 1 to 40 ms"):
        camera.set_exposure_ms(60)
    with pytest.raises(InputError, match="gain 5 is outside 1 to 4"):
        camera.set_gain(5)
    with pytest.raises(InputError, match="frames/s"):
        camera.start(0)
    camera.stop()
    camera.set_exposure_ms(60)
    with pytest.raises(InputError, match="exposure 60 ms is over the frame period of 40 ms"):
        camera.start(25)
    with pytest.raises(InputError, match="exposure 900"):
        SimulatedCamera("fl", PlainSource(), exposure_ms=900)


def test_without_a_start_nothing_comes() -> None:
    camera, clock = _camera(start=None)
    began = clock()
    assert camera.read(0.3) is None
    assert clock() - began == pytest.approx(0.3, abs=0.01)


def test_unplugged_it_is_lost_until_plugged_in_and_staged_anew() -> None:
    camera, _ = _camera()
    _next(camera)
    camera.unplug()
    assert camera.report().state is DeviceState.FAULT and "unplugged" in camera.report().faults[0]
    with pytest.raises(DeviceError, match="lost"):
        camera.read(0.1)
    camera.unstage()
    with pytest.raises(DeviceError, match="no camera is found"):
        camera.stage()
    camera.plug()
    camera.stage()
    camera.start(25)
    assert _next(camera).sequence == 0


def test_frozen_gives_the_same_pixels_under_new_numbers() -> None:
    camera, _ = _camera()
    _next(camera)
    camera.inject(CameraFault.FROZEN)
    frames = [_next(camera) for _ in range(4)]
    assert all((f.pixels == frames[0].pixels).all() for f in frames)
    assert [f.sequence for f in frames] == [1, 2, 3, 4]
    frames[0].pixels[:] = 0
    assert _next(camera).pixels.any()
    camera.heal()
    assert (_next(camera).pixels != frames[1].pixels).all()


def test_stuck_gives_no_frame_and_leaves_a_gap() -> None:
    camera, _ = _camera()
    last = _next(camera).sequence
    camera.inject(CameraFault.STUCK)
    assert camera.read(1.0) is None
    camera.heal()
    assert _next(camera).sequence >= last + 25


def test_the_clock_jumps_back_and_the_numbers_do_not() -> None:
    camera, _ = _camera()
    before = _next(camera)
    camera.inject(CameraFault.CLOCK_BACK)
    after = _next(camera)
    assert after.sequence == before.sequence + 1
    assert after.monotonic_s == pytest.approx(before.monotonic_s - 5 + 0.04)  # type: ignore[operator]


def test_dropping_loses_about_one_in_twenty_as_gaps() -> None:
    camera, _ = _camera()
    camera.inject(CameraFault.DROPPING)
    numbers = [_next(camera).sequence for _ in range(2000)]
    lost = numbers[-1] + 1 - len(numbers)
    assert lost / numbers[-1] == pytest.approx(0.05, abs=0.015)
    assert (np.diff(numbers) >= 1).all()


def test_twelve_bits_and_the_wrong_kind_change_the_pixels() -> None:
    camera, _ = _camera()
    first = _next(camera).pixels
    camera.inject(CameraFault.TWELVE_BITS)
    second = _next(camera).pixels
    assert first[0, 0] == 16 and second[0, 0] == 2
    camera.heal()
    camera.inject(CameraFault.WRONG_KIND)
    assert _next(camera).pixels.shape == (4, 6, 3) and _next(camera).pixels.dtype == np.uint8
    colour, _ = _camera(colour=True)
    colour.inject(CameraFault.WRONG_KIND)
    assert _next(colour).pixels.shape == (4, 6) and _next(colour).pixels.dtype == np.uint16


def test_slow_frames_come_late_and_say_when_they_were_taken() -> None:
    camera, clock = _camera(buffer_frames=8)
    camera.inject(CameraFault.SLOW)
    frame = [_next(camera) for _ in range(5)][-1]
    assert clock() - frame.monotonic_s == pytest.approx(0.15, abs=2e-3)  # type: ignore[operator]


def test_stop_from_another_thread_ends_a_read_at_once() -> None:
    camera = SimulatedCamera("fl", PlainSource(), exposure_ms=100)
    camera.stage()
    camera.start(0.2)
    threading.Timer(0.1, camera.stop).start()
    began = time.monotonic()
    assert camera.read(4.0) is None
    assert time.monotonic() - began < 1.0
    assert camera.report().state is DeviceState.READY


def test_in_real_time_frames_come_at_their_rate() -> None:
    camera = SimulatedCamera("fl", PlainSource())
    camera.stage()
    camera.start(50)
    frames = [_next(camera) for _ in range(25)]
    camera.unstage()
    seconds = frames[-1].monotonic_s - frames[0].monotonic_s  # type: ignore[operator]
    assert seconds == pytest.approx(0.02 * (frames[-1].sequence - frames[0].sequence), abs=1e-6)
    utc = frames[-1].utc
    assert utc is not None and abs(time.time() - utc.timestamp()) < 1.0


def test_settings_make_a_camera_and_refuse_a_typo() -> None:
    settings = SimulatedCameraSettings(exposure_ms=30, strobe=True)
    camera = settings.make("fl", PlainSource())
    assert camera.report().details["exposure_ms"] == 30 and camera.report().details["strobe"] is True
    with pytest.raises(ValidationError, match="exposure_mss"):
        SimulatedCameraSettings.model_validate({"backend": "simulated", "exposure_mss": 3})

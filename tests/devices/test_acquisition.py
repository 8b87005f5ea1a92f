"""Two simulated cameras in real time: pairs, faults, recovery; with every fault a named state and no stale frame."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from glioscope.core import DeviceError, DeviceState, Frame, InputError
from glioscope.devices._acquisition import Acquisition, AcquisitionStatus
from glioscope.devices._pairing import FramePair
from glioscope.devices._simulated_camera import SimulatedCamera
from glioscope.devices._simulated_faults import CameraFault
from glioscope.sim._live import FLSource, WLSource, make_sources

RATE = 25.0


@pytest.fixture(scope="module")
def sources() -> tuple[FLSource, WLSource]:
    return make_sources(seed=3)


class Rig:
    """Two staged cameras, an acquisition, and what it said and passed on."""

    def __init__(self, sources: tuple[FLSource, WLSource], **options: float) -> None:
        self.fl = SimulatedCamera("fl", sources[0])
        self.wl = SimulatedCamera("wl", sources[1], **options)  # type: ignore[arg-type]
        self.events: list[tuple[str, dict[str, str | float | int]]] = []
        self.passed: list[tuple[float, Frame]] = []
        for camera in (self.fl, self.wl):
            camera.stage()
        self.acquisition = Acquisition(
            self.fl,
            self.wl,
            frames_per_second=RATE,
            taps=(lambda _slot, frame: self.passed.append((time.monotonic(), frame)),),
            event=lambda kind, facts: self.events.append((kind, facts)),
        )

    @property
    def status(self) -> AcquisitionStatus:
        return self.acquisition.status()

    def take(self, seconds: float) -> list[FramePair]:
        """All pairs that come in this time."""
        end, pairs = time.monotonic() + seconds, []
        while (left := end - time.monotonic()) > 0:
            pair = self.acquisition.next_pair(left)
            if pair is not None:
                pairs.append(pair)
        return pairs

    def until(self, condition: str, seconds: float) -> float:
        """Seconds until an event came; fails after `seconds`."""
        begun = time.monotonic()
        while not any(kind == condition for kind, _ in self.events):
            assert time.monotonic() - begun < seconds, (condition, self.events, self.status)
            time.sleep(0.02)
        return time.monotonic() - begun


@pytest.fixture
def rig(sources: tuple[FLSource, WLSource]) -> Iterator[Rig]:
    made = Rig(sources)
    with made.acquisition:
        yield made


def assert_new_and_in_order(rig: Rig) -> None:
    """Nothing passed on was old, out of order or a repetition."""
    for slot in ("fl", "wl"):
        mine = [(heard, frame) for heard, frame in rig.passed if frame.camera == slot]
        assert all(heard - frame.monotonic_s < 1.0 for heard, frame in mine if frame.monotonic_s is not None)
        numbers = [frame.sequence for _, frame in mine]
        assert numbers == sorted(set(numbers))
        pictures = [frame.pixels.tobytes() for _, frame in mine]
        assert len(set(pictures)) == len(pictures)


def test_every_exposure_becomes_a_pair_within_milliseconds(rig: Rig) -> None:
    rig.take(0.5)
    before = rig.status
    ages, skews, numbers = [], [], []
    end = time.monotonic() + 2.0
    while time.monotonic() < end:
        pair = rig.acquisition.next_pair(0.2)
        assert pair is not None
        assert pair.reasons == ()
        ages.append(time.monotonic() - (pair.wl.monotonic_s or 0.0))
        skews.append(abs(pair.skew_ms))
        numbers.append(pair.fl.sequence)
    status = rig.status
    assert np.diff(numbers).tolist() == [1] * (len(numbers) - 1)
    assert 48 <= len(numbers) <= 52
    assert np.median(ages) < 0.03
    assert max(skews) < 1.0
    assert (status.fl.lost, status.wl.lost, status.unpaired, status.flagged) == (before.fl.lost, before.wl.lost, 0, 0)
    assert status.fl.frames_per_second == pytest.approx(RATE, rel=0.1)
    assert rig.acquisition.streaming
    assert_new_and_in_order(rig)


def test_a_slow_consumer_loses_the_oldest_and_never_gets_old_ones(rig: Rig) -> None:
    rig.take(0.3)
    time.sleep(1.2)
    pair = rig.acquisition.next_pair(0.1)
    assert pair is not None
    assert time.monotonic() - (pair.fl.monotonic_s or 0.0) < 8 / RATE + 0.1
    assert rig.status.dropped >= 15
    newest = rig.acquisition.latest()
    assert newest is not None
    assert newest.fl.sequence > pair.fl.sequence


def test_pairs_from_before_a_loss_are_not_handed_out_after_it(rig: Rig) -> None:
    time.sleep(0.6)
    rig.fl.unplug()
    time.sleep(1.6)
    assert rig.acquisition.next_pair(0.0) is None
    assert rig.status.dropped >= 8


def test_refused_frames_are_not_counted_as_lost_besides(rig: Rig) -> None:
    rig.take(0.3)
    rig.fl.inject(CameraFault.WRONG_KIND)
    rig.take(0.3)
    rig.fl.heal()
    rig.take(0.3)
    status = rig.status.fl
    assert status.refused["frame_kind"] >= 3
    assert status.lost == 0


def test_a_camera_that_stops_is_no_longer_streaming_within_a_third_of_a_second(rig: Rig) -> None:
    rig.take(0.4)
    assert rig.acquisition.streaming
    rig.wl.inject(CameraFault.STUCK)
    time.sleep(0.33)
    assert not rig.acquisition.streaming


def test_a_free_running_camera_is_paired_with_its_constant_skew(sources: tuple[FLSource, WLSource]) -> None:
    rig = Rig(sources, offset_ms=15.0, jitter_ms=0.3)
    with rig.acquisition:
        pairs = rig.take(1.5)
    assert len(pairs) > 30
    assert np.median([pair.skew_ms for pair in pairs]) == pytest.approx(15.0, abs=1.0)
    assert not any(pair.reasons for pair in pairs)


def test_gaps_in_the_cameras_numbers_are_counted(rig: Rig) -> None:
    rig.fl.inject(CameraFault.DROPPING)
    pairs = rig.take(3.0)
    good = [pair for pair in pairs if not pair.reasons]
    flagged = [pair for pair in pairs if pair.reasons]
    assert rig.status.fl.lost > 0
    assert rig.status.wl.lost == 0
    assert all(abs(pair.skew_ms) < 1 for pair in good)
    assert all(pair.reasons[0].name == "pair_apart" and abs(pair.skew_ms) > 20 for pair in flagged)
    assert len(good) + rig.status.fl.lost == pytest.approx(75, abs=6)


def test_an_unplugged_camera_is_named_and_back_within_three_seconds(rig: Rig) -> None:
    rig.take(0.5)
    rig.fl.unplug()
    rig.until("camera_lost", 1.0)
    time.sleep(1.0)
    status = rig.status
    assert status.fl.state is DeviceState.FAULT
    assert "unplugged" in status.fl.sentence
    assert not rig.acquisition.streaming
    assert status.wl.state is DeviceState.RUNNING
    last = max(frame.sequence for _, frame in rig.passed if frame.camera == "fl")
    rig.fl.plug()
    assert rig.until("camera_back", 3.0) < 3.0
    pairs = rig.take(1.0)
    assert len([pair for pair in pairs if not pair.reasons]) > 10
    assert pairs[0].fl.sequence > last  # the camera counts from 0 again, the stream goes on
    assert rig.status.fl.restarts == 1
    assert_new_and_in_order(rig)


def test_frozen_pictures_are_refused_though_their_numbers_rise(rig: Rig) -> None:
    rig.take(0.4)
    rig.fl.inject(CameraFault.FROZEN)
    rig.take(0.3)
    assert rig.status.fl.refused["frame_repeated"] >= 2
    assert "old one again" in rig.status.fl.sentence
    rig.until("camera_lost", 3.0)
    rig.fl.heal()
    rig.until("camera_back", 3.0)
    assert_new_and_in_order(rig)


def test_time_stamps_that_jump_back_are_refused(rig: Rig) -> None:
    rig.take(0.4)
    count = rig.status.wl.frames
    rig.wl.inject(CameraFault.CLOCK_BACK)
    rig.take(0.4)
    refused = rig.status.wl.refused
    assert set(refused) <= {"frame_stale", "frame_backwards"}
    assert sum(refused.values()) >= 5
    assert rig.status.wl.frames <= count + 2
    rig.wl.heal()
    rig.take(0.4)
    assert rig.status.wl.frames > count + 4
    assert_new_and_in_order(rig)


def test_a_camera_without_frames_is_named_silent(rig: Rig) -> None:
    rig.take(0.3)
    rig.wl.inject(CameraFault.STUCK)
    assert rig.until("camera_lost", 2.5) > 0.5
    assert "no new frame for 1.0 s" in str(rig.events[-1][1]["reason"])
    for _ in range(10):
        assert not rig.acquisition.streaming
        time.sleep(0.1)
    assert rig.status.wl.state is DeviceState.FAULT
    rig.wl.heal()
    rig.until("camera_back", 3.0)
    assert len(rig.take(0.6)) > 5


def test_colour_pictures_from_the_fluorescence_camera_are_refused(rig: Rig) -> None:
    rig.take(0.3)
    count = rig.status.fl.frames
    rig.fl.inject(CameraFault.WRONG_KIND)
    rig.take(0.4)
    assert rig.status.fl.refused["frame_kind"] >= 5
    assert rig.status.fl.frames <= count + 2
    assert "pixel format" in rig.status.fl.sentence


def test_a_colour_camera_in_the_fluorescence_slot_does_not_start(sources: tuple[FLSource, WLSource]) -> None:
    fl, wl = SimulatedCamera("a", sources[1]), SimulatedCamera("b", sources[1])
    for camera in (fl, wl):
        camera.stage()
    with pytest.raises(InputError, match="a: a colour camera in the fluorescence slot"):
        Acquisition(fl, wl).start()
    assert fl.report().state is DeviceState.READY
    grey, other = SimulatedCamera("c", sources[0]), SimulatedCamera("d", sources[0])
    grey.stage()
    other.stage()
    with pytest.raises(InputError, match="c: a grey camera in the white-light slot"):
        Acquisition(other, grey).start()


def test_a_camera_that_is_not_staged_does_not_start(sources: tuple[FLSource, WLSource]) -> None:
    with pytest.raises(DeviceError, match="fl: is not staged"):
        Acquisition(SimulatedCamera("fl", sources[0]), SimulatedCamera("wl", sources[1])).start()


def test_stopping_ends_a_waiting_consumer_and_both_threads(sources: tuple[FLSource, WLSource]) -> None:
    rig = Rig(sources)
    rig.acquisition.start()
    rig.take(0.3)
    rig.fl.inject(CameraFault.STUCK)  # so that no pair comes; those on their way are taken first
    while rig.acquisition.next_pair(0.15) is not None:
        pass
    waited: list[FramePair | None] = []
    waiting = threading.Thread(target=lambda: waited.append(rig.acquisition.next_pair(20.0)))
    waiting.start()
    time.sleep(0.2)
    begun = time.monotonic()
    rig.acquisition.stop()
    waiting.join(1.0)
    assert not waiting.is_alive()
    assert waited == [None]
    assert time.monotonic() - begun < 0.5
    assert rig.status.fl.state is DeviceState.OFF
    assert rig.fl.report().state is DeviceState.READY


@pytest.mark.parametrize(("rate", "depth"), [(0.0, 8), (-1.0, 8), (float("nan"), 8), (25.0, 0)])
def test_a_rate_or_depth_out_of_range_is_refused(sources: tuple[FLSource, WLSource], rate: float, depth: int) -> None:
    fl, wl = SimulatedCamera("fl", sources[0]), SimulatedCamera("wl", sources[1])
    with pytest.raises(InputError, match=r"frames_per_second is|depth is"):
        Acquisition(fl, wl, frames_per_second=rate, depth=depth)

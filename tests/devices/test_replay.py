"""A replay gives the recorded frames at the recorded intervals, and says when it cannot."""

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pydantic import ValidationError

from glioscope.core import Camera, DeviceError, DeviceState, Frame, InputError
from glioscope.devices._acquisition import Acquisition
from glioscope.devices._record_images import record_images
from glioscope.devices._record_status import RecorderSettings
from glioscope.devices._recorded_case import open_case
from glioscope.devices._recorder import Recorder
from glioscope.devices._replay import ReplayCamera, ReplayCameraSettings

from .recordings import ROOMY, frame, record, same, wait_for, wl_pixels

SHARED = Path(os.environ.get("GLIOSCOPE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
BRAIN = SHARED / "data" / "brain16"
SWIFT = {"speed": 20.0, "time_source": "recorded"}
FASTEST = {"speed": "fastest", "time_source": "recorded"}


@pytest.fixture
def case(tmp_path) -> Path:
    """Half a second of both cameras; frames 4 and 5 of the fluorescence are missing."""
    frames = [(slot, frame(slot, k)) for k in range(12) for slot in ("fl", "wl") if (slot, k) not in MISSING]
    record(tmp_path / "case", frames)
    return tmp_path / "case"


MISSING = {("fl", 4), ("fl", 5)}


def camera(folder: Path, stream: str = "fl", **settings) -> ReplayCamera:
    one = ReplayCameraSettings(folder=folder, stream=stream, **settings).make(f"{stream} camera")
    one.stage()
    return one


def play(one: ReplayCamera, limit: int = 1000) -> list[Frame]:
    """All frames up to the end."""
    frames: list[Frame] = []
    while len(frames) < limit:
        try:
            found = one.read(1.0)
        except DeviceError as error:
            assert "has ended" in error.reason
            break
        if found is not None:
            frames.append(found)
    return frames


def test_a_replay_is_a_camera_that_shows_nothing_before_it_is_started(case):
    one = ReplayCameraSettings(folder=case).make("fl")
    assert isinstance(one, Camera)
    assert one.report().state is DeviceState.OFF
    for step in (lambda: one.start(25), one.info, lambda: one.read(0.01), lambda: one.set_gain(1.0)):
        with pytest.raises(DeviceError, match=r"is not (staged|started)"):
            step()
    assert one.report().state is DeviceState.OFF
    one.stage()
    assert one.report().state is DeviceState.READY
    assert one.report().details["data_kind"] == "simulated"
    info = one.info()
    assert (info.rows, info.columns, info.colour, info.white_level) == (48, 64, False, 65535)
    assert info.exposure_ms == (20.0, 20.0 + 11 / 7)
    one.unstage()
    one.unstage()
    assert one.report().state is DeviceState.OFF


def test_as_fast_as_read_every_field_and_pixel_is_as_recorded(case):
    one = camera(case, **FASTEST)
    one.start(25)
    found = play(one)
    given = [frame("fl", k) for k in range(12) if ("fl", k) not in MISSING]
    assert len(found) == len(given)
    for a, b in zip(found, given, strict=True):
        same(a, b)


def test_real_frames_come_back_bit_for_bit_through_recorder_and_replay(tmp_path):
    paths = sorted(BRAIN.glob("*.tif"))
    if len(paths) != 8:
        pytest.skip(f"the eight brain16 tiles are not in {BRAIN}")
    begin = datetime(2026, 3, 1, 12, 0, 0, 1, UTC)
    assert record_images(BRAIN, tmp_path / "case", frames_per_second=30, started=begin) == 8
    for settings in (FASTEST, {"speed": 10.0, "time_source": "recorded"}):
        one = camera(tmp_path / "case", **settings)
        one.start(30)
        found = play(one)
        assert len(found) == 8
        for k, (a, path) in enumerate(zip(found, paths, strict=True)):
            np.testing.assert_array_equal(a.pixels, tifffile.imread(path))
            assert a.pixels.dtype == np.uint16
            assert (a.sequence, a.monotonic_s, a.utc) == (k, k / 30, begin + timedelta(seconds=k / 30))
            assert a.mm_per_px == pytest.approx(1 / 387.1, rel=1e-3)


def test_white_light_images_become_a_case_too(tmp_path):
    (tmp_path / "in").mkdir()
    for k in range(3):
        tifffile.imwrite(tmp_path / "in" / f"{k}.tif", wl_pixels(k), photometric="rgb")
    assert record_images(tmp_path / "in", tmp_path / "case", slot="wl", data_kind="simulated") == 3
    found = list(open_case(tmp_path / "case").wl)
    assert all(np.abs(a.pixels.astype(int) - wl_pixels(k)).mean() < 1.5 for k, a in enumerate(found))


def test_a_folder_without_images_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="has no image files"):
            record_images(folder, tmp_path / "case")


@pytest.mark.parametrize("speed", [0.5, 1.0, 4.0])
def test_intervals_are_the_recorded_ones_at_the_speed_that_was_set(case, speed):
    one = camera(case, "wl", speed=speed)
    one.start(25)
    found, late = [], []
    for _ in range(12):
        got = one.read(1.0)
        late.append(time.monotonic() - got.monotonic_s)
        found.append(got)
    np.testing.assert_allclose(np.diff([one.monotonic_s for one in found]), 0.04 / speed, rtol=1e-3)
    assert min(late) >= 0, "no frame comes before its time"
    assert np.median(late) < 0.03
    assert abs((found[-1].utc - datetime.now(UTC)).total_seconds()) < 1.0
    assert all(one.camera == "wl camera" for one in found)
    recorded = list(open_case(case).wl)
    for a, b in zip(found, recorded, strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)
        assert (a.exposure_ms, a.laser_on, a.distance_mm) == (b.exposure_ms, b.laser_on, b.distance_mm)


def test_two_cameras_of_a_case_share_a_clock_so_that_pairs_stay_pairs(case):
    fl, wl = camera(case, "fl"), camera(case, "wl")
    found: dict[str, list[Frame]] = {}

    def run(name: str, one: ReplayCamera) -> None:
        found[name] = play(one)

    fl.start(25)
    time.sleep(0.05)
    wl.start(25)
    threads = [threading.Thread(target=run, args=told) for told in (("fl", fl), ("wl", wl))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    white = {one.sequence: one for one in found["wl"]}
    assert len(found["fl"]) == 10
    assert len(white) == 12
    for one in found["fl"]:
        assert white[one.sequence].monotonic_s - one.monotonic_s == pytest.approx(0.003, abs=1e-6)


def test_a_case_that_is_replayed_through_the_acquisition_and_recorded_again_is_the_same(tmp_path):
    record(tmp_path / "case", [(slot, frame(slot, k)) for k in range(25) for slot in ("fl", "wl")])
    fl, wl = camera(tmp_path / "case", "fl"), camera(tmp_path / "case", "wl")
    settings = RecorderSettings(**ROOMY)
    with Recorder(tmp_path / "again", case_id="again", data_kind="simulated", settings=settings) as recorder:
        acquisition = Acquisition(fl, wl, frames_per_second=25, taps=(recorder.add,), event=recorder.event)
        with acquisition:
            wait_for(lambda: fl.report().details["ended"] and wl.report().details["ended"])
        pairs = acquisition.status().pairs
    again, first = open_case(tmp_path / "again"), open_case(tmp_path / "case")
    given = {one.exposure_ms: one for one in first.fl}
    assert len(again.fl) >= 20, "a busy machine may leave some out, never change one"
    assert pairs >= 18
    for found in again.fl:
        np.testing.assert_array_equal(found.pixels, given[found.exposure_ms].pixels)


def test_frames_that_the_recording_lacks_stay_gaps(case):
    for settings in (SWIFT, {"speed": 1.0}):
        one = camera(case, **settings)
        one.start(25)
        assert [found.sequence for found in play(one)] == [0, 1, 2, 3, 6, 7, 8, 9, 10, 11]


def test_a_reader_that_was_away_gets_new_frames_with_a_gap_and_no_old_ones(tmp_path):
    record(tmp_path / "case", [("fl", frame("fl", k)) for k in range(50)])
    one = camera(tmp_path / "case")
    one.start(25)
    play(one, 5)
    time.sleep(1.0)
    found = one.read(1.0)
    assert found.sequence >= 20
    assert time.monotonic() - found.monotonic_s < 0.5
    assert one.report().details["left_out"] == found.sequence - 5
    one.stop()
    one = camera(tmp_path / "case", time_source="recorded")
    one.start(25)
    play(one, 5)
    time.sleep(0.7)
    assert one.read(1.0).sequence == 5, "as recorded means all of them"


def test_the_end_is_a_fault_with_a_sentence_until_it_is_rewound(case):
    one = camera(case, **SWIFT)
    one.start(25)
    assert len(play(one)) == 10
    report = one.report()
    assert (report.state, report.details["ended"]) == (DeviceState.FAULT, True)
    assert "has ended after 10 frames" in report.faults[0]
    one.unstage()
    one.stage()
    with pytest.raises(DeviceError, match="has ended"):
        one.start(25)
    one.rewind()
    assert one.report().state is DeviceState.READY
    one.start(25)
    assert len(play(one)) == 10


def test_one_camera_rewinds_the_other(case):
    fl, wl = camera(case, "fl", **SWIFT), camera(case, "wl", **SWIFT)
    for one in (fl, wl):
        one.start(25)
    assert (len(play(fl)), len(play(wl))) == (10, 12)
    fl.rewind()
    for one in (fl, wl):
        one.start(25)
    assert (len(play(fl)), len(play(wl))) == (10, 12)


def test_a_new_camera_plays_from_the_start_though_an_old_one_is_kept(case):
    old = camera(case, **SWIFT)
    old.start(25)
    play(old, 5)
    old.stop()
    new = camera(case, **SWIFT)
    new.start(25)
    assert len(play(new)) == 10


def test_a_loop_goes_on_with_rising_numbers_and_times(case):
    one = camera(case, loop=True)
    one.start(25)
    found = play(one, 25)
    assert [a.sequence for a in found[:12]] == [0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13]
    assert np.all(np.diff([a.sequence for a in found]) > 0)
    assert np.all(np.diff([a.monotonic_s for a in found]) > 0)


def test_stop_pauses_and_start_goes_on(case):
    one = camera(case)
    one.start(25)
    first = play(one, 3)
    one.stop()
    with pytest.raises(DeviceError, match="is not started"):
        one.read(0.01)
    time.sleep(0.3)
    one.start(25)
    second = play(one)
    assert [a.exposure_ms for a in first + second] == [frame("fl", k).exposure_ms for k in (0, 1, 2, 3, *range(6, 12))]
    assert second[0].sequence == 0
    assert second[0].monotonic_s > first[-1].monotonic_s + 0.3


def test_stop_from_another_thread_ends_a_waiting_read(case):
    one = camera(case, speed=0.01)
    one.start(25)
    one.read(1.0)
    threading.Timer(0.1, one.stop).start()
    began = time.monotonic()
    assert one.read(30.0) is None
    assert time.monotonic() - began < 5


def test_damage_is_a_fault_or_skipped_if_asked(case):
    movie = case / "wl" / "0000.mjpeg"
    data = bytearray(movie.read_bytes())
    data[open_case(case).wl.rows[3].place + 200] ^= 1
    movie.write_bytes(data)
    one = camera(case, "wl", **SWIFT)
    one.start(25)
    with pytest.raises(DeviceError, match="is damaged"):
        for _ in range(5):
            one.read(1.0)
    assert one.report().state is DeviceState.FAULT
    one = camera(case, "wl", **SWIFT, skip_damaged=True)
    one.start(25)
    assert [found.sequence for found in play(one)] == [0, 1, 2, *range(4, 12)]


def test_frames_without_times_are_played_at_the_rate_that_is_asked_for(tmp_path):
    record(tmp_path / "case", [("fl", frame("fl", k, monotonic_s=None, utc=None)) for k in range(6)])
    one = camera(tmp_path / "case")
    one.start(100)
    np.testing.assert_allclose(np.diff([found.monotonic_s for found in play(one)]), 0.01, rtol=1e-3)


def test_times_that_jump_back_do_not_hold_the_replay_up(tmp_path):
    times = [10.0, 10.04, 10.08, 3.0, 10.12]
    record(tmp_path / "case", [("fl", frame("fl", k, monotonic_s=at)) for k, at in enumerate(times)])
    one = camera(tmp_path / "case", time_source="recorded")
    one.start(25)
    assert [found.monotonic_s for found in play(one)] == times


def test_exposure_and_gain_are_those_of_the_recording(case):
    one = camera(case)
    assert one.set_exposure_ms(21.0) == 20.0
    assert one.set_gain(1.0) == 1.0
    with pytest.raises(InputError, match="outside the recorded 20 to"):
        one.set_exposure_ms(50.0)


def test_a_case_that_is_not_there_or_has_no_such_frames_is_named(tmp_path):
    with pytest.raises(DeviceError, match="is no case folder"):
        camera(tmp_path)
    record(tmp_path / "case", [("wl", frame("wl", 0))])
    one = ReplayCameraSettings(folder=tmp_path / "case").make("fl")
    with pytest.raises(DeviceError, match="has no fl frames"):
        one.stage()
    assert one.report().state is DeviceState.FAULT


@pytest.mark.parametrize(
    "wrong",
    [
        {"speed": 0},
        {"speed": -1},
        {"speed": float("nan")},
        {"speed": "slow"},
        {"speed": "fastest"},
        {"stream": "nir"},
        {"speeed": 1},
        {"time_source": "tomorrow"},
    ],
)
def test_settings_with_a_mistake_are_refused(wrong):
    with pytest.raises(ValidationError):
        ReplayCameraSettings(**{"folder": "case", **wrong})

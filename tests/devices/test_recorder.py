"""What is recorded comes back; what is not is counted and written down; no fault reaches those who bring the frames."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
import pytest
import yaozarrs
import zarr

from glioscope.core import DeviceReport, DeviceState, Frame, ImageError, InputError
from glioscope.devices import _record_wl
from glioscope.devices._record_lane import Lane
from glioscope.devices._record_status import RecorderSettings, RecorderState
from glioscope.devices._recorded_case import RecordedCase, open_case
from glioscope.devices._recorder import Recorder

from .recordings import ROOMY, fl_pixels, frame, record, same, wait_for

SETTINGS = RecorderSettings(**ROOMY)


def recorder(folder: Path, **settings) -> Recorder:
    told = RecorderSettings(**{**ROOMY, **settings})
    return Recorder(folder, case_id="case-1", data_kind="simulated", settings=told)


def events(case: RecordedCase, kind: str) -> list[dict]:
    return [dict(row["data"]) for row in case.events if row["kind"] == kind]


def test_fluorescence_comes_back_bit_for_bit_and_white_light_as_the_jpeg_that_was_stored(tmp_path):
    frames = [(slot, frame(slot, k)) for k in range(60) for slot in ("fl", "wl")]
    status = record(tmp_path / "case", frames)
    assert status.state is RecorderState.CLOSED
    case = open_case(tmp_path / "case")
    assert case.closed
    assert not case.sentence
    assert not case.torn
    assert (len(case.fl), len(case.wl)) == (60, 60)
    for found, (_, given) in zip(case.fl, frames[::2], strict=True):
        same(found, given)
    for found, (_, given) in zip(case.wl, frames[1::2], strict=True):
        same(found, given, pixels=False)
        error = np.abs(found.pixels.astype(int) - given.pixels)
        assert error.mean() < 1.5
        assert found.pixels.shape == given.pixels.shape


def test_zarr_reads_the_same_pixels_and_the_image_is_valid_ome(tmp_path):
    record(tmp_path / "case", [("fl", frame("fl", k)) for k in range(60)])
    path = tmp_path / "case" / "fl" / "0000.ome.zarr"
    yaozarrs.validate_zarr_store(str(path))
    group = yaozarrs.open_group(str(path))
    image = yaozarrs.v05.Image.model_validate(group.attrs["ome"])
    assert [(axis.name, axis.type, axis.unit) for axis in image.multiscales[0].axes] == [
        ("t", "time", "second"),
        ("y", "space", "millimeter"),
        ("x", "space", "millimeter"),
    ]
    assert image.multiscales[0].datasets[0].coordinateTransformations[0].scale == [0.04, 0.1, 0.1]
    array = zarr.open_array(path / "0", mode="r")
    assert array.shape == (60, 48, 64)
    assert array.shards == (25, 48, 64)
    np.testing.assert_array_equal(array[:], np.stack([fl_pixels(k) for k in range(60)]))


def test_the_white_light_stream_plays_in_ordinary_programs_with_full_colour(tmp_path):
    record(tmp_path / "case", [("wl", frame("wl", k)) for k in range(30)])
    case = open_case(tmp_path / "case")
    path = tmp_path / "case" / "wl" / "0000.mjpeg"
    data = path.read_bytes()
    head = data.index(b"\xff\xc0")
    assert data[head + 9] == 3
    assert [data[head + 11 + 3 * i] for i in range(3)] == [0x11] * 3, "4:4:4"
    video, played = cv2.VideoCapture(str(path)), []
    while (found := video.read())[0]:
        played.append(found[1])
    assert len(played) == 30
    row = case.wl.rows[7]
    alone = cv2.imdecode(np.frombuffer(data[row.place : row.place + row.size], np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(cv2.cvtColor(alone, cv2.COLOR_BGR2RGB).astype(int) - case.wl[7].pixels).max() <= 1


def test_twelve_bits_in_sixteen_stay_what_they_are(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 4096, (48, 64)).astype(np.uint16)
    record(tmp_path / "case", [("fl", frame("fl", 0, pixels=pixels, white_level=4095))])
    found = open_case(tmp_path / "case").fl[0]
    assert found.white_level == 4095
    np.testing.assert_array_equal(found.pixels, pixels)


def test_pixels_may_be_a_view_into_a_larger_picture(tmp_path):
    large = np.random.default_rng(0).integers(0, 65536, (100, 200)).astype(np.uint16)
    record(tmp_path / "case", [("fl", frame("fl", 0, pixels=large[::2, 3:99]))])
    np.testing.assert_array_equal(open_case(tmp_path / "case").fl[0].pixels, large[::2, 3:99])


def test_a_new_shape_opens_a_new_array_and_nothing_is_lost(tmp_path):
    shapes = [(48, 64)] * 30 + [(24, 32)] * 7 + [(48, 64)] * 3
    frames = [("fl", frame("fl", k, pixels=fl_pixels(k, shape))) for k, shape in enumerate(shapes)]
    frames += [("wl", frame("wl", k, pixels=np.full((*shape, 3), k, np.uint8))) for k, shape in enumerate(shapes)]
    record(tmp_path / "case", frames)
    case = open_case(tmp_path / "case")
    for k, shape in enumerate(shapes):
        np.testing.assert_array_equal(case.fl[k].pixels, fl_pixels(k, shape))
        assert case.wl[k].pixels.shape == (*shape, 3)
    assert {row.file for row in case.fl.rows} == {f"fl/{i:04d}.ome.zarr" for i in range(3)}
    assert {row.file for row in case.wl.rows} == {f"wl/{i:04d}.mjpeg" for i in range(3)}


def test_a_new_white_light_file_begins_every_minute(tmp_path, monkeypatch):
    monkeypatch.setattr(_record_wl, "SEGMENT_S", 0.1)
    with recorder(tmp_path / "case") as one:
        for k in range(5):
            one.add("wl", frame("wl", k))
            time.sleep(0.07)
    case = open_case(tmp_path / "case")
    assert [row.facts["sequence"] for row in case.wl.rows] == list(range(5))
    assert len({row.file for row in case.wl.rows}) > 1
    assert not list(case.wl.damage())


@pytest.mark.parametrize(
    ("slot", "pixels", "words"),
    [
        ("fl", np.zeros((60, 80, 3), np.uint8), "colour frame; the fluorescence stream takes uint16"),
        ("fl", np.zeros((60, 80), np.uint8), "is not uint16"),
        ("fl", np.zeros((60, 80), np.float32), "is not uint16"),
        ("fl", np.zeros((0, 80), np.uint16), "is not uint16"),
        ("fl", [[1, 2], [3, 4]], "a list is not uint16"),
        ("wl", np.zeros((60, 80), np.uint16), "is not uint8 RGB"),
        ("wl", np.zeros((60, 80, 4), np.uint8), "is not uint8 RGB"),
    ],
)
def test_a_frame_of_the_wrong_kind_is_refused_with_a_sentence_and_counted(tmp_path, slot, pixels, words):
    with recorder(tmp_path / "case") as one:
        one.add(slot, frame(slot, 4, pixels=pixels))
        one.add(slot, frame(slot, 5))
        one.add(slot, frame(slot, 6, pixels=pixels))
        assert "2 " in one.status().sentence
    assert one.status().refused[slot] == 2
    case = open_case(tmp_path / "case")
    assert [row.facts["sequence"] for row in case.streams[slot].rows] == [5]
    (told,) = events(case, "frames_refused")
    assert (told["slot"], told["frames"], told["first"], told["last"]) == (slot, 2, 4, 6)
    assert words in told["reason"]
    assert "2 frames were not recorded" in case.sentence


def test_a_frame_with_a_wrong_field_is_refused_and_the_others_are_recorded(tmp_path):
    with recorder(tmp_path / "case") as one:
        one.add("fl", frame("fl", 0))
        one.add("fl", frame("fl", 1, utc=datetime(2026, 1, 1)))
        one.add("fl", frame("fl", 2, exposure_ms="long"))
        one.add("fl", frame("fl", 3))
    case = open_case(tmp_path / "case")
    assert [row.facts["sequence"] for row in case.fl.rows] == [0, 3]
    assert [told["first"] for told in events(case, "frames_refused")] == [1, 2]


def test_events_devices_and_diagnoses_are_kept_in_order(tmp_path):
    before = time.monotonic()
    with recorder(tmp_path / "case") as one:
        for k in range(30):
            one.event("note", number=k)
        one.event("camera_lost", {"camera": "fl", "kind": "a fact of this name"})
        one.device(
            DeviceReport("fl", DeviceState.FAULT, "m", -20.5, ("too warm",), MappingProxyType({"exposure_ms": 20.0}))
        )
        one.diagnosis({"schema_version": 2, "tasks": [{"task": "tumor", "y_score": 0.1 + 0.2}]})
    case = open_case(tmp_path / "case")
    assert [told["number"] for told in events(case, "note")] == list(range(30))
    assert events(case, "camera_lost") == [{"camera": "fl", "kind": "a fact of this name"}]
    (device,) = case.devices
    assert (device["device"], device["state"], device["temperature_c"]) == ("fl", "fault", -20.5)
    assert device["details"] == {"exposure_ms": 20.0}
    assert case.diagnoses[0]["diagnosis"]["tasks"][0]["y_score"] == 0.1 + 0.2
    times = [row["monotonic_s"] for row in case.events]
    assert times == sorted(times)
    assert before <= times[0] <= time.monotonic()
    assert datetime.fromisoformat(case.events[0]["utc"]).utcoffset() == timedelta(0)


def test_a_clock_that_is_set_back_changes_no_order_and_no_interval(tmp_path):
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    stepped = [now + timedelta(seconds=0.04 * k - (3600 if k >= 20 else 0)) for k in range(40)]
    record(tmp_path / "case", [("fl", frame("fl", k, utc=when)) for k, when in enumerate(stepped)])
    found = list(open_case(tmp_path / "case").fl)
    assert [one.utc for one in found] == stepped
    assert [one.sequence for one in found] == list(range(40))
    assert np.all(np.diff([one.monotonic_s for one in found]) > 0)


class SlowWriter:
    """A writer whose disk takes its time; holds what it was given."""

    def __init__(self, pause_s: float) -> None:
        self.stored, self.oldest_s = 0, None
        self.pending: list[int] = []
        self.taken: list[int] = []
        self.pause_s = pause_s

    def write(self, one: Frame, facts: dict) -> int:
        time.sleep(self.pause_s)
        self.taken.append(one.sequence)
        return 1

    def save(self) -> int:
        return 0

    def abandon(self) -> list[int]:
        return []

    def close(self) -> None:
        pass


def test_when_the_disk_lags_the_newest_are_dropped_counted_and_the_giver_never_waits():
    writer = SlowWriter(0.02)
    lane = Lane("fl", writer, depth=5, save_s=1.0, trouble=lambda *_: None)
    took = []
    for k in range(60):
        began = time.perf_counter()
        lane.offer(frame("fl", k))
        took.append(time.perf_counter() - began)
        time.sleep(0.005)
    assert lane.close(5.0)
    losses = lane.take_losses()
    assert lane.written == len(writer.taken)
    assert lane.written + lane.dropped == 60
    assert lane.dropped == sum(loss.frames for loss in losses) > 20
    assert writer.taken[:5] == [0, 1, 2, 3, 4], "the oldest were kept"
    assert "5 frames were waiting" in losses[0].reason
    assert np.median(took) < 0.002, "with a disk of 20 ms a frame"


def test_a_disk_that_hangs_at_the_end_is_told_of_and_holds_nobody_up():
    lane = Lane("fl", SlowWriter(3.0), depth=5, save_s=1.0, trouble=lambda *_: None)
    for k in range(4):
        lane.offer(frame("fl", k))
    began = time.monotonic()
    assert not lane.close(0.3)
    assert time.monotonic() - began < 1.0
    assert lane.dropped >= 3
    assert "within 0.3 s" in lane.take_losses()[-1].reason


def test_no_frame_is_lost_without_a_row(tmp_path):
    with recorder(tmp_path / "case", queue_frames=2) as one:
        for k in range(400):
            one.add("fl", frame("fl", k))
    case, status = open_case(tmp_path / "case"), one.status()
    told = events(case, "frames_dropped")
    assert status.dropped["fl"] > 0
    assert len(case.fl) + sum(data["frames"] for data in told) == 400
    there = {row.facts["sequence"] for row in case.fl.rows}
    assert case.fl.missing == sum(k not in there for k in range(max(there) + 1))


def test_frames_are_saved_within_the_time_that_was_set_however_few_come(tmp_path):
    with recorder(tmp_path / "case", save_s=0.3) as one:
        one.add("fl", frame("fl", 0))
        wait_for(lambda: len(open_case(tmp_path / "case").fl) == 1, 3)
        one.add("fl", frame("fl", 1))
        one.add("wl", frame("wl", 1))
        wait_for(lambda: one.status().written == {"fl": 2, "wl": 1}, 3)
        case = open_case(tmp_path / "case")
        same(case.fl[1], frame("fl", 1))
        assert not case.closed
        assert "was not closed" in case.sentence
    shards = list((tmp_path / "case" / "fl" / "0000.ome.zarr" / "0" / "c").iterdir())
    assert len(shards) == 1, "a shard that is not full is replaced by a longer one"


def test_status_tells_the_rate_and_the_minutes_that_are_left(tmp_path):
    with recorder(tmp_path / "case", save_s=0.2) as one:
        began = time.monotonic()
        for k in range(50):
            one.add("fl", frame("fl", k, pixels=fl_pixels(k, (256, 320))))
            time.sleep(0.02)
        wait_for(lambda: one.status().written["fl"] == 50)
        time.sleep(0.3)
        status, elapsed = one.status(), time.monotonic() - began
    size = sum(path.stat().st_size for path in (tmp_path / "case").rglob("*") if path.is_file()) / 1e6
    assert status.mb_per_s == pytest.approx(size / elapsed, rel=0.5)
    assert status.minutes_left == pytest.approx((status.free_mb - 1.0) / status.mb_per_s / 60)
    assert status.free_mb == pytest.approx(shutil.disk_usage(tmp_path).free / 1e6, rel=0.05)


def test_no_start_in_a_folder_that_holds_something_or_cannot_be_made(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    (tmp_path / "file").write_text("")
    for folder, words in (("full", "is not empty"), ("file", "is not empty"), ("file/case", "cannot record here")):
        with pytest.raises(InputError, match=words):
            recorder(tmp_path / folder)


def test_no_start_without_room_for_the_minutes_that_were_asked_for(tmp_path):
    minutes = shutil.disk_usage(tmp_path).free / 1e6 / 60 + 60
    with pytest.raises(InputError, match=r"room for .* minutes at 1 MB/s; .* minutes are needed"):
        recorder(tmp_path / "case", expected_mb_per_s=1.0, minimum_minutes=minutes)
    assert not (tmp_path / "case").exists()


@pytest.mark.parametrize("case_id", ["", "A. Patient", "../x", "x" * 65, "Müller"])
def test_a_case_id_that_looks_like_no_pseudonym_is_refused(tmp_path, case_id):
    with pytest.raises(InputError, match="case_id"):
        Recorder(tmp_path / "case", case_id=case_id, data_kind="real", settings=SETTINGS)


def test_a_folder_that_is_gone_is_a_named_state_and_nobody_else_notices(tmp_path):
    one = recorder(tmp_path / "case", save_s=0.2)
    for k in range(30):
        one.add("fl", frame("fl", k))
        one.add("wl", frame("wl", k))
    wait_for(lambda: one.status().written["fl"] >= 25)
    shutil.rmtree(tmp_path / "case")
    wait_for(lambda: one.status().state is RecorderState.FAILED, 3)
    assert "gone" in one.status().sentence or "cannot be written" in one.status().sentence
    for k in range(30, 40):
        one.add("fl", frame("fl", k))
        one.event("note")
    status = one.close(3.0)
    assert status.state is RecorderState.FAILED
    assert status.dropped["fl"] >= 10
    assert not (tmp_path / "case").exists(), "it is not made again behind the operator's back"


def test_a_folder_that_was_replaced_by_another_is_noticed(tmp_path):
    one = recorder(tmp_path / "case")
    (tmp_path / "case").rename(tmp_path / "moved")
    shutil.copytree(tmp_path / "moved", tmp_path / "case")
    wait_for(lambda: one.status().state is RecorderState.FAILED, 3)
    assert "gone" in one.close(3.0).sentence


@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", disk], capture_output=True).returncode:
        pytest.skip("mount is not allowed here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize(
    ("size", "ballast_mb", "reason"),
    [((48, 64), 14, "the recording is full"), ((512, 640), 2, "No space left")],
    ids=["reserve is reached", "no space left while writing"],
)
def test_a_full_disk_stops_the_frames_and_only_them_until_there_is_room(small_disk, size, ballast_mb, reason):
    """Small frames come slowly enough for the watch; a second shard of large ones has no room."""
    pictures = [fl_pixels(k, size) for k in range(7)]
    one = recorder(small_disk / "case", save_s=1.5)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"0" * (ballast_mb * 1_000_000))
    given = 0

    def give(pause_s: float = 0.01) -> None:
        nonlocal given
        one.add("fl", frame("fl", given, pixels=pictures[given % 7]))
        one.add("wl", frame("wl", given))
        given += 1
        time.sleep(pause_s)

    deadline = time.monotonic() + 30
    while one.status().state is RecorderState.RECORDING and time.monotonic() < deadline:
        give()
    assert one.status().state is RecorderState.FULL
    assert "disk" in one.status().sentence
    one.event("note", text="while full")
    for _ in range(20):
        give()
    before = one.status().written["fl"]
    kept = list(open_case(small_disk / "case").fl)
    assert len(kept) >= before >= 25
    for found in kept:
        np.testing.assert_array_equal(found.pixels, pictures[found.sequence % 7])
    ballast.unlink()
    wait_for(lambda: one.status().state is RecorderState.RECORDING, 5)
    first_again = given
    for _ in range(3):
        give(0.05)
    assert one.close().state is RecorderState.CLOSED
    case = open_case(small_disk / "case")
    assert case.closed
    assert [row.facts["sequence"] for row in case.fl.rows][-3:] == [first_again, first_again + 1, first_again + 2]
    for found in case.fl:
        np.testing.assert_array_equal(found.pixels, pictures[found.sequence % 7])
    assert not list(case.wl.damage())
    assert any(reason in data["reason"] for data in events(case, "frames_dropped"))
    assert events(case, "note") == [{"text": "while full"}]
    assert len(events(case, "recording_full")) >= 1
    assert len(events(case, "recording_resumed")) >= 1
    for slot, stream in case.streams.items():
        told = sum(data["frames"] for data in events(case, "frames_dropped") if data["slot"] == slot)
        assert told > 0
        assert len(stream) + told == given


def test_damage_is_named_and_left_out_only_if_asked(tmp_path):
    record(tmp_path / "case", [(slot, frame(slot, k)) for k in range(60) for slot in ("fl", "wl")])
    case = open_case(tmp_path / "case")
    shard = tmp_path / "case" / "fl" / "0000.ome.zarr" / "0" / "c" / "1" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    movie = tmp_path / "case" / "wl" / "0000.mjpeg"
    data = bytearray(movie.read_bytes())
    data[case.wl.rows[10].place + 300] ^= 1
    movie.write_bytes(data[: case.wl.rows[-1].place + 5])
    case = open_case(tmp_path / "case")
    with pytest.raises(ImageError, match=r"c/1/0/0: frame \d+ of this shard is damaged"):
        list(case.fl)
    assert len(list(case.fl.frames(skip_damaged=True))) == 59
    assert len(list(case.fl.damage())) == 1
    problems = [str(error) for error in case.wl.damage()]
    assert len(problems) == 2
    assert "0000.mjpeg: the picture at byte" in problems[0]
    assert "cut off" in problems[1]


@pytest.mark.parametrize("change", ["gone", "short", "other", "shape", "length"])
def test_a_shard_or_array_that_is_not_what_the_table_says_is_named(tmp_path, change):
    record(tmp_path / "case", [("fl", frame("fl", k)) for k in range(60)])
    array = tmp_path / "case" / "fl" / "0000.ome.zarr" / "0"
    shard = array / "c" / "1" / "0" / "0"
    told = json.loads((array / "zarr.json").read_text())
    if change == "gone":
        shard.unlink()
    elif change == "short":
        shard.write_bytes(shard.read_bytes()[:-40])
    elif change == "other":
        shutil.copy(array / "c" / "0" / "0" / "0", shard)
    elif change == "shape":
        told["shape"] = [60, 64, 48]
    else:
        told["shape"][0] = 30
    (array / "zarr.json").write_text(json.dumps(told))
    found = list(open_case(tmp_path / "case").fl.damage())
    assert len(found) == {"gone": 25, "short": 25, "other": 25, "shape": 60, "length": 30}[change]
    assert all("0000.ome.zarr" in str(error) for error in found)


def test_adding_from_many_threads_loses_nothing(tmp_path):
    with recorder(tmp_path / "case", queue_frames=1000) as one:
        threads = [
            threading.Thread(target=lambda n=n: [one.add("fl", frame("fl", 100 * n + k)) for k in range(100)])
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    case = open_case(tmp_path / "case")
    assert sorted(row.facts["sequence"] for row in case.fl.rows) == list(range(400))


def test_closing_twice_and_adding_afterwards_do_no_harm(tmp_path):
    one = recorder(tmp_path / "case")
    one.add("fl", frame("fl", 0))
    assert one.close().state is RecorderState.CLOSED
    one.add("fl", frame("fl", 1))
    one.event("late")
    assert one.close().state is RecorderState.CLOSED
    assert one.status().dropped["fl"] == 1
    assert len(open_case(tmp_path / "case").fl) == 1


RECORD = """
import sys, time
from glioscope.devices._recorder import Recorder
from glioscope.devices._record_status import RecorderSettings
from tests.devices.recordings import ROOMY, frame
one = Recorder(sys.argv[1], case_id="killed", data_kind="simulated", settings=RecorderSettings(**ROOMY))
began = time.monotonic()
for k in range(10_000):
    time.sleep(max(began + k * 0.04 - time.monotonic(), 0))
    one.add("fl", frame("fl", k))
    one.add("wl", frame("wl", k))
    one.event("note", number=k)
    print(k, time.monotonic(), flush=True)
"""


@pytest.mark.slow
def test_a_kill_costs_less_than_two_seconds_and_leaves_nothing_torn(tmp_path):
    """Ten recordings, each killed at a moment of its own."""
    rng = np.random.default_rng()
    root = Path(__file__).resolve().parents[2]
    for batch in range(5):
        folders = [tmp_path / f"{batch}-{i}" for i in range(2)]
        runs = [
            subprocess.Popen([sys.executable, "-c", RECORD, folder], stdout=subprocess.PIPE, text=True, cwd=root)
            for folder in folders
        ]
        heard = [run.stdout.readline() for run in runs]
        time.sleep(rng.uniform(0.2, 3.5))
        killed = []
        for run in runs:
            run.kill()
            killed.append(time.monotonic())
        for folder, run, first, when in zip(folders, runs, heard, killed, strict=True):
            added = [line.split() for line in (first + run.communicate()[0]).splitlines()]
            due = [int(k) for k, at in added if float(at) < when - 2.0]
            case = open_case(folder)
            assert not case.closed
            assert "was not closed" in case.sentence
            for slot, stream in case.streams.items():
                found = list(stream)
                assert len(found) >= len(due)
                for k, one in enumerate(found):
                    same(one, frame(slot, k), pixels=slot == "fl")
            notes = [row["data"]["number"] for row in case.events]
            assert notes == list(range(len(notes)))
            assert len(notes) >= len(due)

"""`glioscope devices` on the SIMULATED unit, and with settings that are wrong."""

import csv
import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from glioscope.cli._devices_record import _Light
from glioscope.core import LaserState
from glioscope.devices import DEMO, make_unit, open_case
from glioscope.sim import make_sources

from ..commands import GLIOSCOPE, refused, run

UNIT = """
name = "bench 2"
frames_per_second = 20
[fl]
backend = "simulated"
[wl]
backend = "simulated"
"""


def unit_file(folder: Path, text: str = UNIT) -> Path:
    path = folder / "unit.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded") / "case"
    ran = run("devices", "record", "--demo", "--out", folder, "--seconds", 4, "--light", "--case-id", "P7")
    assert ran.code == 0, ran.err
    assert "SIMULATED images" in ran.out
    return folder


def test_every_device_of_the_demo_is_alive_and_the_laser_was_seen_to_shine_and_go_dark() -> None:
    ran = run("devices", "check", "--demo", "--seconds", 1, "--json")
    said = json.loads(ran.out)
    assert ran.code == 0, said
    assert set(said["devices"]) == {"rangefinder", "stage", "handle", "fl", "wl", "laser"}
    assert all(device["alive"] for device in said["devices"].values())
    assert said["data_kind"] == "simulated"
    stream = said["acquisition"]
    assert stream["fl_mean_lit"] > stream["fl_mean_dark"] + 20
    assert 45 < stream["irradiance_mw_cm2"] <= 55
    assert "heartbeat" in stream["dark_again"]
    assert stream["pairs"] >= 20


def test_the_table_of_a_check_names_devices_limits_and_what_the_pictures_are(tmp_path: Path) -> None:
    ran = run("devices", "check", "--demo", "--seconds", 0.6)
    assert ran.code == 0, ran.out
    for words in ("rangefinder", "alive", "skin 329", "simulated unit: simulated", "Research use only"):
        assert words in ran.out
    assert "fails" not in ran.out


def test_a_unit_of_two_cameras_is_checked_without_the_rest(tmp_path: Path) -> None:
    ran = run("devices", "check", unit_file(tmp_path), "--seconds", 1, "--json")
    said = json.loads(ran.out)
    assert ran.code == 0, said
    assert said["unit"] == "bench 2"
    assert set(said["devices"]) == {"fl", "wl"}


def test_a_device_that_is_not_there_is_named_and_the_others_are_still_checked(tmp_path: Path) -> None:
    text = UNIT + '[rangefinder]\nbackend = "tf-serial"\nport = "/dev/no-such-port"\n'
    ran = run("devices", "check", unit_file(tmp_path, text), "--seconds", 0.6, "--json")
    said = json.loads(ran.out)
    assert ran.code == 1
    assert "/dev/no-such-port" in said["failed"]["rangefinder"]
    assert said["devices"]["fl"]["alive"]
    assert said["acquisition"]["pairs"] > 5


def test_the_default_laser_of_a_settings_file_cannot_shine(tmp_path: Path) -> None:
    text = UNIT + '[laser]\nbackend = "simulated"\n[handle]\nbackend = "simulated"\n'
    folder = tmp_path / "case"
    ran = run("devices", "record", unit_file(tmp_path, text), "--out", folder, "--seconds", 1.5, "--light")
    assert ran.code == 0, ran.err
    recorded = open_case(folder)
    assert all(frame.laser_on is False for frame in recorded.fl)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("fl: is missing",)),
        (UNIT.replace("frames_per_second", "frames_per_secnd"), ("'frames_per_secnd' is not known", "did you mean")),
        (UNIT.replace('[fl]\nbackend = "simulated"', '[fl]\nbackend = "aravi"'), ("fl.backend: 'aravi'", "'aravis'")),
        (UNIT + '[laser]\nbackend = "obis"\nsetpoint_mw_cm2 = 60\n', ("setpoint 60", "55")),
        (UNIT + '[laser]\nbackend = "obis"\nlimt_mw_cm2 = 60\n', ("'laser.limt_mw_cm2' is not known", "limit_mw_cm2")),
        (UNIT.replace("20", "0"), ("frames_per_second", "greater than 0")),
    ],
)
def test_a_typo_in_the_settings_is_one_sentence_with_its_place(
    tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    path = unit_file(tmp_path, text)
    refused(run("devices", "check", path), str(path), *words)


def test_neither_a_unit_nor_the_demo_or_both_are_refused(tmp_path: Path) -> None:
    refused(run("devices", "check"), "--demo")
    refused(run("devices", "record", unit_file(tmp_path), "--demo"), "--demo")


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), 1e9])
def test_a_time_out_of_range_is_refused(tmp_path: Path, seconds: float) -> None:
    refused(run("devices", "record", "--demo", "--out", tmp_path / "x", "--seconds", seconds), "--seconds", "86400")
    assert not (tmp_path / "x").exists()


def test_a_recording_does_not_write_into_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine", encoding="utf-8")
    refused(run("devices", "record", "--demo", "--out", tmp_path / "full", "--seconds", 1), "full", "not empty")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["notes.txt"]


def test_a_recorded_case_holds_lit_frames_events_and_settings(case: Path) -> None:
    recorded = open_case(case)
    assert recorded.closed
    assert recorded.info.case_id == "P7"
    assert recorded.info.data_kind == "simulated"
    lit = [frame for frame in recorded.fl if frame.laser_on]
    assert len(lit) > 30
    assert all(45 < frame.irradiance_mw_cm2 < 55 for frame in lit[2:-2])
    assert all(290 < frame.distance_mm < 310 for frame in lit)
    assert any(event["kind"] == "laser" and event["data"]["state"] == "emitting" for event in recorded.events)
    assert {row["device"] for row in recorded.devices} == {"rangefinder", "stage", "handle", "fl", "wl", "laser"}
    assert recorded.info.settings["unit"]["laser"]["setpoint_mw_cm2"] == 50.0


def test_a_replay_tells_what_came_through(case: Path) -> None:
    ran = run("devices", "replay", case, "--speed", 4)
    assert ran.code == 0, ran.err
    pairs = int(ran.out.split("pairs")[0].split()[-1])
    assert pairs >= 0.9 * len(open_case(case).wl)


def test_exported_pairs_are_the_recorded_pixels_with_a_manifest(case: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    ran = run("devices", "replay", case, "--export", out, "--every-s", 1, "--unlit")
    assert ran.code == 0, ran.err
    rows = list(csv.DictReader((out / "manifest.csv").open(encoding="utf-8")))
    assert 3 <= len(rows) <= 5
    by_number = {frame.sequence: frame for frame in open_case(case).fl}
    for row in rows:
        frame = by_number[int(row["specimen_id"].rsplit("-", 1)[1])]
        assert np.array_equal(tifffile.imread(out / row["fl_image"]), frame.pixels)
        assert float(row["fl_exposure_ms"]) == frame.exposure_ms
        assert row["data_kind"] == "simulated"
    assert run("check", out / "manifest.csv").code == 0
    refused(run("devices", "replay", case, "--export", out), "not empty")


def test_damage_is_named_by_verify(case: Path, tmp_path: Path) -> None:
    import shutil

    hurt = tmp_path / "hurt"
    shutil.copytree(case, hurt)
    assert run("devices", "replay", hurt, "--verify").code == 0
    shard = next(path for path in sorted((hurt / "fl").rglob("c/*/0/0")) if path.is_file())
    shard.write_bytes(shard.read_bytes()[:1000])
    ran = run("devices", "replay", hurt, "--verify")
    assert ran.code == 1
    assert "damaged" in ran.err
    assert "cannot be read" in ran.out


def test_a_folder_that_is_no_case_is_refused(tmp_path: Path) -> None:
    refused(run("devices", "replay", tmp_path), str(tmp_path), "is no case folder")


def test_control_c_ends_a_recording_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "case"
    words = [str(GLIOSCOPE), "devices", "record", "--demo", "--out", str(folder), "--seconds", "60"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 30
    while not (folder / "wl" / "frames.jsonl").is_file() or not (folder / "wl" / "frames.jsonl").stat().st_size:
        assert time.monotonic() < until
        time.sleep(0.1)
    time.sleep(1.5)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert "Traceback" not in err, err
    recorded = open_case(folder)
    assert recorded.closed, out + err
    assert any(event["kind"] == "interrupted" for event in recorded.events)
    assert len(recorded.fl) > 20


def test_a_scan_of_the_simulated_unit_visits_eight_sectors(tmp_path: Path) -> None:
    folder = tmp_path / "scan"
    ran = run("devices", "scan", "--demo", "--out", folder)
    assert ran.code == 0, ran.out + ran.err
    events = [event["data"] for event in open_case(folder).events if event["kind"] == "sector"]
    assert [event["sector"] for event in events] == list(range(1, 9))
    assert all("fl" in event and not event["reason"] for event in events)


def test_a_scan_with_light_takes_lit_pairs(tmp_path: Path) -> None:
    ran = run("devices", "scan", "--demo", "--out", tmp_path / "scan", "--light")
    assert ran.code == 0, ran.out + ran.err
    assert ran.out.count("taken, lit") >= 6


def test_light_does_not_come_back_by_itself_while_the_button_stays_held() -> None:
    unit = make_unit(DEMO, lambda: make_sources(seed=2))
    lamp, events = _Light(unit, demo=False), []
    with unit, lamp.following(lambda kind, **facts: events.append((kind, facts))):
        unit.start()
        unit.parts.handle.push(True)
        _until(lambda: unit.parts.laser.laser_report().state is LaserState.EMITTING, 5.0)
        unit.parts.fl.unplug()
        _until(lambda: unit.parts.laser.laser_report().state is not LaserState.EMITTING, 2.0)
        unit.parts.fl.plug()
        _until(lambda: unit.acquisition.streaming, 5.0)
        time.sleep(0.5)
        assert unit.parts.laser.laser_report().state is not LaserState.EMITTING
        unit.parts.handle.push(False)
        time.sleep(0.2)
        unit.parts.handle.push(True)
        _until(lambda: unit.parts.laser.laser_report().state is LaserState.EMITTING, 5.0)


def _until(holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_recording_without_light_exports_only_when_asked(tmp_path: Path) -> None:
    assert run("devices", "record", "--demo", "--out", tmp_path / "dark", "--seconds", 1.5).code == 0
    refused(run("devices", "replay", tmp_path / "dark", "--export", tmp_path / "out"), "--unlit")
    assert not (tmp_path / "out").exists()
    assert run("devices", "replay", tmp_path / "dark", "--export", tmp_path / "out", "--unlit").code == 0


def test_light_without_a_handle_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    ran = run("devices", "record", unit_file(tmp_path), "--out", tmp_path / "x", "--light")
    refused(ran, "--light", "handle")
    assert not (tmp_path / "x").exists()


def test_a_scan_without_motors_is_refused(tmp_path: Path) -> None:
    refused(run("devices", "scan", unit_file(tmp_path), "--out", tmp_path / "x"), "bench 2", "stage and a rangefinder")


def test_the_list_shows_what_can_be_written_into_the_settings() -> None:
    ran = run("devices", "list", "--json")
    assert ran.code == 0
    said = json.loads(ran.out)
    assert any(device["settings"] == 'backend = "simulated"' for device in said["devices"])
    assert all(isinstance(note, str) for note in said["notes"])

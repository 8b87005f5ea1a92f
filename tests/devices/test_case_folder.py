"""Rows of the tables come back as they went in; damage is named with file and line."""

import json
import math
import struct
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glioscope.core import DeviceReport, DeviceState, Frame, InputError
from glioscope.devices._case_folder import FrameRow, facts_of, read_case_info, read_frame_table, read_table, to_line
from glioscope.devices._recorded_case import open_case

from .recordings import frame, record

NONE = st.none()
FLOATS = NONE | st.floats()
OFFSETS = st.integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
FACTS = st.fixed_dictionaries(
    {
        "camera": st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        "sequence": st.integers(-(2**70), 2**70),
        "monotonic_s": FLOATS,
        "utc": NONE | st.datetimes(timezones=OFFSETS),
        "white_level": NONE | st.integers(1, 65535),
        "exposure_ms": FLOATS,
        "gain": FLOATS,
        "laser_on": NONE | st.booleans(),
        "irradiance_mw_cm2": FLOATS,
        "distance_mm": FLOATS,
        "mm_per_px": FLOATS,
    }
)
PIXELS = np.zeros((4, 4), np.uint16)


def bits(value):
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    if isinstance(value, datetime):
        return (value, value.utcoffset())
    return value


def row(facts) -> FrameRow:
    return FrameRow("fl/0000.ome.zarr", 3, 100, 2**32 - 1, 4, 4, facts)


@given(st.lists(FACTS, max_size=5))
def test_a_frame_table_gives_back_every_field_bit_for_bit(tmp_path_factory, all_facts):
    path = tmp_path_factory.mktemp("table") / "frames.jsonl"
    path.write_bytes(b"".join(row(facts_of(Frame(PIXELS, **facts))).to_json() for facts in all_facts))
    rows, torn = read_frame_table(path)
    assert not torn
    assert [(r.file, r.place, r.size, r.crc32c, r.rows, r.columns) for r in rows] == [
        ("fl/0000.ome.zarr", 3, 100, 2**32 - 1, 4, 4)
    ] * len(all_facts)
    for found, facts in zip(rows, all_facts, strict=True):
        again = found.frame(PIXELS)
        assert {name: bits(getattr(again, name)) for name in facts} == {n: bits(v) for n, v in facts.items()}


def test_the_table_has_every_field_of_a_frame_but_its_pixels():
    assert set(facts_of(frame("fl", 0))) == {one.name for one in fields(Frame)} - {"pixels"}


def test_numbers_of_numpy_become_plain_ones():
    told = Frame(
        PIXELS, sequence=np.int64(7), exposure_ms=np.float32(0.1), laser_on=np.bool_(True), white_level=np.uint16(4095)
    )
    found = json.loads(row(facts_of(told)).to_json())
    assert (found["sequence"], found["laser_on"], found["white_level"]) == (7, True, 4095)
    assert np.float32(found["exposure_ms"]) == np.float32(0.1)


@pytest.mark.parametrize(
    "facts", [{"utc": datetime(2026, 1, 1)}, {"sequence": 1.5}, {"exposure_ms": "long"}, {"gain": []}]
)
def test_a_field_of_another_kind_is_refused(facts):
    with pytest.raises((ValueError, TypeError)):
        facts_of(Frame(PIXELS, **facts))


def test_a_line_that_is_half_written_is_left_out_and_told(tmp_path):
    path = tmp_path / "events.jsonl"
    whole = to_line({"kind": "a"}) + to_line({"kind": "b"})
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        rows, torn = read_table(path)
        assert [r["kind"] for r in rows] == ["a", "b"][: whole[:cut].count(b"\n")]
        assert torn == (cut > 0 and whole[cut - 1 : cut] != b"\n")


@pytest.mark.parametrize("bad", [b"{]\n", b"\xff\xfe\n", b"3\n", b"\n"])
def test_a_damaged_line_is_named(tmp_path, bad):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"kind":"a"}\n' + bad + b'{"kind":"b"}\n')
    with pytest.raises(InputError, match=r"events\.jsonl: line 2"):
        read_table(path)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"place": None}, "line 1"),
        ({"place": -1}, "negative"),
        ({"utc": "yesterday"}, "line 1"),
        ({"file": "../../etc/passwd"}, "not in fl/"),
        ({"file": "/etc/passwd"}, "not in fl/"),
        ({"file": "wl/0000.mjpeg"}, "not in fl/"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, change, word):
    record(tmp_path / "case", [("fl", frame("fl", 0))])
    path = tmp_path / "case" / "fl" / "frames.jsonl"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}) + "\n")
    with pytest.raises(InputError, match=word):
        open_case(tmp_path / "case")


def test_a_row_that_lacks_a_field_is_named(tmp_path):
    path = tmp_path / "frames.jsonl"
    found = json.loads(row(facts_of(frame("fl", 0))).to_json())
    del found["gain"]
    path.write_text(json.dumps(found) + "\n")
    with pytest.raises(InputError, match="line 1 has no 'gain'"):
        read_frame_table(path)


def test_whatever_an_event_carries_becomes_one_line_of_json():
    loop: dict = {}
    loop["self"] = loop
    for data in (
        {"path": Path("x"), "when": datetime(2026, 1, 1, tzinfo=UTC), "state": DeviceState.FAULT},
        {"float": math.nan, "np": np.float32(2.5), "array": np.arange(3), "odd": object()},
        {"text": "\ud800"},
        loop,
        {1: {2, 3}},
        {"report": DeviceReport("fl", DeviceState.READY)},
    ):
        line = to_line({"monotonic_s": 1.5, "utc": "x", "kind": "k", "data": data})
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        assert json.loads(line)["kind"] == "k"


def test_case_json_of_another_version_or_with_a_typo_is_named(tmp_path):
    record(tmp_path / "case", [])
    path = tmp_path / "case" / "case.json"
    told = json.loads(path.read_text())
    assert told["data_kind"] == "simulated"
    for change, word in (
        ({"schema_version": 2}, "schema_version"),
        ({"data_kind": "fake"}, "data_kind"),
        ({"started": "2026-01-01T00:00:00"}, "started"),
        ({"patient": "A. Name"}, "patient"),
    ):
        path.write_text(json.dumps({**told, **change}))
        with pytest.raises(InputError, match=rf"case\.json: {word}"):
            read_case_info(tmp_path / "case")


def test_a_folder_that_is_no_case_is_named(tmp_path):
    with pytest.raises(InputError, match="is no case folder"):
        open_case(tmp_path)

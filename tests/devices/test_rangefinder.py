"""The rangefinder on its bytes: frames worked out by hand, garbage, and a head on loopback with every fault."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from glioscope.core import DeviceError, DeviceState, Distance, RangeFinder
from glioscope.devices._rangefinder import FrameParser, RangeFrame, SerialRangeFinder, SerialRangeSettings
from glioscope.devices._simulated_range import (
    RangeFault,
    RangeSensor,
    SimulatedRangeFinder,
    SimulatedRangeHead,
    encoded,
)

from .virtual_clock import VirtualClock

BY_HAND = bytes([0x59, 0x59, 0x2C, 0x01, 0xE8, 0x03, 0x18, 0x09, 0xEB])
"""300 mm (0x012C), strength 1000 (0x03E8), 2328 / 8 - 256 = 35 degrees; 0x59 + 0x59 + ... + 0x09 = 0x1EB."""


def test_a_frame_worked_out_by_hand_is_read_and_written() -> None:
    assert FrameParser().feed(BY_HAND) == [RangeFrame(300, 1000, 35.0)]
    assert encoded(300, 1000, 35.0) == BY_HAND


def test_a_wrong_checksum_is_counted_and_the_next_frame_found() -> None:
    parser = FrameParser()
    bad = BY_HAND[:-1] + bytes([BY_HAND[-1] ^ 1])
    assert parser.feed(bad + BY_HAND) == [RangeFrame(300, 1000, 35.0)]
    assert parser.checksum_errors == 1 and parser.skipped_bytes == 9


frames = st.lists(st.tuples(st.integers(1, 65535), st.integers(0, 65535)), min_size=1, max_size=8)


@given(frames, st.data())
def test_frames_come_through_however_the_bytes_are_cut(sent: list[tuple[int, int]], data: st.DataObject) -> None:
    stream = b"".join(encoded(d, s, 30.0) for d, s in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    parser = FrameParser()
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    got = [frame for part in parts for frame in parser.feed(part)]
    assert [(f.distance_mm, f.strength) for f in got] == sent
    assert parser.checksum_errors == parser.skipped_bytes == 0


@given(st.binary(max_size=40))
def test_after_any_garbage_the_parser_finds_its_way_back(garbage: bytes) -> None:
    parser = FrameParser()
    parser.feed(garbage)
    got = parser.feed(BY_HAND * 4)
    assert RangeFrame(300, 1000, 35.0) in got[-2:]


@pytest.fixture
def rig() -> Iterator[tuple[SerialRangeFinder, RangeSensor]]:
    sensor = RangeSensor(lambda t: 300.0)
    with SimulatedRangeHead(sensor) as head:
        finder = SerialRangeFinder("range", head.url)
        finder.stage()
        yield finder, sensor
        finder.unstage()


def _soon(condition: Callable[[], bool], seconds: float = 3.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return False


def _age(finder: SerialRangeFinder) -> float:
    reading = finder.read()
    return float("inf") if reading is None else time.monotonic() - reading.monotonic_s


def test_over_a_port_it_reads_the_true_distance_in_time(rig: tuple[SerialRangeFinder, RangeSensor]) -> None:
    finder, _ = rig
    assert isinstance(finder, RangeFinder)
    assert _soon(lambda: finder.read() is not None)
    values = []
    for _ in range(60):
        reading = finder.read()
        assert reading is not None
        values.append(reading.distance_mm)
        time.sleep(0.01)
    assert np.mean(values) == pytest.approx(300, abs=0.7)
    assert _soon(lambda: _age(finder) < 0.03)
    report = finder.report()
    assert report.state is DeviceState.RUNNING and report.faults == () and report.temperature_c == 35.0
    assert report.details["checksum_errors"] == 0


@pytest.mark.parametrize(
    ("fault", "said"),
    [(RangeFault.SILENT, "silent"), (RangeFault.GARBAGE, "silent"), (RangeFault.WEAK, "signal strength 20")],
)
def test_a_head_that_gives_nothing_lets_its_reading_age_and_is_named(
    rig: tuple[SerialRangeFinder, RangeSensor], fault: RangeFault, said: str
) -> None:
    finder, sensor = rig
    assert _soon(lambda: finder.read() is not None)
    sensor.fault = fault
    assert _soon(lambda: any(said in f for f in finder.report().faults))
    assert _age(finder) > 0.2
    sensor.fault = None
    assert _soon(lambda: _age(finder) < 0.1 and finder.report().faults == ())


def test_garbage_is_never_a_reading(rig: tuple[SerialRangeFinder, RangeSensor]) -> None:
    finder, sensor = rig
    assert _soon(lambda: finder.read() is not None)
    sensor.fault = RangeFault.GARBAGE
    time.sleep(0.5)
    reading = finder.read()
    assert reading is not None and abs(reading.distance_mm - 300) < 10


def test_a_jump_is_passed_on_and_flagged(rig: tuple[SerialRangeFinder, RangeSensor]) -> None:
    finder, sensor = rig
    assert _soon(lambda: finder.read() is not None)
    sensor.fault = RangeFault.JUMP
    assert _soon(lambda: any("jumped by 1" in f for f in finder.report().faults))
    reading = finder.read()
    assert reading is not None and reading.distance_mm == pytest.approx(450, abs=10)


def test_a_blinded_head_gives_no_reading() -> None:
    finder = SerialRangeFinder("range", "socket://127.0.0.1:1")
    finder._take(RangeFrame(300, 65535, 30.0), 1.0)
    finder._take(RangeFrame(300, 99, 30.0), 1.0)
    assert finder._newest is None
    finder._take(RangeFrame(300, 100, 30.0), 1.0)
    assert finder._newest is not None


def test_after_a_delay_only_the_newest_of_what_waited_counts() -> None:
    finder = SerialRangeFinder("range", "socket://127.0.0.1:1", clock=lambda: 5.0)

    class Port:
        in_waiting = 27

        def read(self, size: int) -> bytes:
            finder._ending.set()
            return b"".join(encoded(mm, 1000, 30.0) for mm in (300, 310, 320))[:size]

        def close(self) -> None:
            pass

    finder._listen(Port())
    assert finder._newest == Distance(320.0, 5.0)
    assert finder.report().details["readings"] == 1


def test_a_head_that_goes_away_is_lost_and_can_be_staged_again() -> None:
    sensor = RangeSensor(lambda t: 300.0)
    with SimulatedRangeHead(sensor) as head:
        finder = SerialRangeFinder("range", head.url)
        finder.stage()
        assert _soon(lambda: finder.read() is not None)
    assert _soon(lambda: finder.report().state is DeviceState.FAULT)
    with pytest.raises(DeviceError, match="is lost"):
        finder.read()
    finder.stop()
    with pytest.raises(DeviceError, match="does not open"):
        finder.stage()
    finder.unstage()
    finder.unstage()
    assert finder.report().state is DeviceState.OFF


def test_a_port_that_is_not_there_is_named() -> None:
    with pytest.raises(DeviceError, match="range: port /dev/nothing-here does not open"):
        SerialRangeFinder("range", "/dev/nothing-here").stage()
    with pytest.raises(DeviceError, match="not staged"):
        SerialRangeFinder("range", "/dev/nothing-here").read()


def test_settings_make_it_and_refuse_a_typo() -> None:
    finder = SerialRangeSettings(backend="tf-serial", port="/dev/ttyUSB0").make("range")
    assert finder.report().details["port"] == "/dev/ttyUSB0"
    with pytest.raises(ValidationError, match="bauds"):
        SerialRangeSettings.model_validate({"backend": "tf-serial", "port": "x", "bauds": 9600})


def test_the_simulated_finder_ages_under_faults_and_is_lost_unplugged() -> None:
    clock = VirtualClock()
    finder = SimulatedRangeFinder("range", RangeSensor(lambda t: 300.0), clock=clock)
    assert isinstance(finder, RangeFinder)
    with pytest.raises(DeviceError, match="not staged"):
        finder.read()
    finder.stage()
    first = finder.read()
    assert first is not None and clock() - first.monotonic_s <= 0.01
    finder.inject(RangeFault.SILENT)
    clock.wait(1)
    assert finder.read() == first and "silent: no reading for 1.0 s" in finder.report().faults[0]
    finder.heal()
    assert finder.read() != first and finder.report().faults == ()
    finder.inject(RangeFault.JUMP)
    jumped = finder.read()
    assert jumped is not None and jumped.distance_mm > 440
    finder.unplug()
    with pytest.raises(DeviceError, match="lost"):
        finder.read()
    assert finder.report().state is DeviceState.FAULT
    finder.unstage()
    with pytest.raises(DeviceError, match="no rangefinder"):
        finder.stage()
    finder.plug()
    finder.stage()
    assert finder.read() is not None

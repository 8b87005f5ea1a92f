"""The keeper's parts without a process: what it does with its driver and with its owner's lines."""

import json
import subprocess
import sys
import time

import pytest

from glioscope.laser import Beam, DriverError, HeadReading, Limits, State
from glioscope.laser._keeper import Keeper, OwnerError, read_message

LIMITS = Limits(
    power_mw=500, nearest_mm=150, working_mm=200, farthest_mm=220, beam=Beam(10, 100, profile="flat"), lease_ms=200
)


class FakeDriver:
    """Keeps what it was told; `broken` calls raise."""

    def __init__(self):
        self.told = []
        self.broken = set()
        self.power_mw = 0.0

    def _do(self, name):
        self.told.append(name)
        if name in self.broken:
            raise DriverError(f"{name} failed")

    def open(self):
        self._do("open")

    def dark(self):
        self._do("dark")
        self.power_mw = 0.0

    def light(self, power_mw):
        self._do("light")
        self.power_mw = power_mw

    def poll(self):
        self._do("poll")
        return HeadReading(self.power_mw, self.power_mw > 0, True, "", 25.0, time.monotonic())

    def close(self):
        self._do("close")


def line(request="", number=0, **words):
    now = time.monotonic()
    good = {"sent_s": now, "beat_s": now, "streaming": True, "distance_mm": 200.0, "distance_s": now}
    return json.dumps({**good, "request": request, "number": number, **words})


@pytest.fixture
def keeper():
    made = Keeper(FakeDriver(), LIMITS)
    made.begin()
    return made


def emit(keeper):
    keeper.hear(read_message(line("arm", 1)))
    keeper.hear(read_message(line("emit", 2)))


def test_it_goes_dark_before_anything_else(keeper):
    assert keeper._driver.told[:2] == ["dark", "poll"]


def test_light_is_commanded_once_and_dark_at_the_end(keeper):
    emit(keeper)
    keeper.hear(read_message(line()))
    keeper.look()
    assert keeper.machine.state is State.EMITTING
    assert keeper._driver.told.count("light") == 1
    assert keeper.words()["irradiance_mw_cm2"] == pytest.approx(50)
    keeper.end()
    assert keeper._driver.told[-2:] == ["dark", "close"]


def test_a_refusal_answers_its_request(keeper):
    keeper.hear(read_message(line("emit", 7)))
    keeper.hear(read_message(line("", 7)))
    words = keeper.words()
    assert (words["answered"], words["refusal"], words["state"]) == (7, "not armed", "off")


@pytest.mark.parametrize("broken", ["light", "poll"])
def test_a_driver_that_fails_is_a_fault_and_dark_at_once(keeper, broken):
    emit(keeper)
    keeper.hear(read_message(line("hold", 3)))
    keeper._driver.broken = {broken}
    keeper.hear(read_message(line("emit", 4)))
    keeper.look()
    assert keeper.machine.state is State.FAULT and broken in keeper.machine.reason
    assert keeper._driver.power_mw == 0


def test_dark_is_told_again_while_it_shines(keeper):
    emit(keeper)
    keeper.look()
    keeper._driver.broken = {"dark"}
    keeper.hear(read_message(line("off", 3)))
    for _ in range(5):
        time.sleep(0.021)
        keeper.hear(read_message(line()))
    assert keeper._driver.told.count("dark") >= 4
    keeper._driver.broken = set()
    time.sleep(0.021)
    keeper.look()
    assert keeper._driver.power_mw == 0


def test_at_the_end_dark_is_tried_more_than_once(keeper):
    keeper._driver.broken = {"dark"}
    keeper._driver.told.clear()
    with pytest.raises(DriverError):
        keeper.end()
    assert keeper._driver.told == ["dark"] * 5 + ["close"]


def test_lines_that_waited_do_not_permit(keeper):
    old = time.monotonic() - 1
    keeper.hear(read_message(line("arm", 1, sent_s=old)))
    assert keeper.machine.state is State.OFF and "lease" in keeper.machine.refusal


@pytest.mark.parametrize(
    "bad",
    [
        "", "{", "[]", "5", line(streaming=1), line(number=1.5), line(number=True), line(request="shine"),
        line(beat_s="now"), line(distance_mm=True), line(sent_s=None), json.dumps({"sent_s": 1}),
    ],
)  # fmt: skip
def test_lines_that_make_no_sense_are_refused(bad):
    with pytest.raises(OwnerError):
        read_message(bad)


def test_numbers_that_are_none_reach_the_machine_which_refuses_them(keeper):
    keeper.hear(read_message(line("arm", 1)))
    keeper.hear(read_message(line("emit", 2, distance_mm=float("nan"))))
    assert keeper.machine.state is State.ARMED and keeper.words()["irradiance_mw_cm2"] is None


def test_the_keeper_needs_nothing_but_the_standard_library_and_starts_fast():
    code = "import sys, glioscope.laser._keeper; print(' '.join(sorted({m.split('.')[0] for m in sys.modules})))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "pydantic", "scipy", "serial", "cv2"} & set(loaded)


@pytest.mark.parametrize("arguments", [["--help"], ["--light"]])
def test_an_unknown_argument_ends_with_usage(arguments):
    words = [sys.executable, "-m", "glioscope.laser", *arguments]
    ended = subprocess.run(words, input="", capture_output=True, text=True, timeout=20)
    assert ended.returncode == 2 and "usage" in ended.stderr

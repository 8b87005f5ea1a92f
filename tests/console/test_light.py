"""The light from a page: on by its beats, dark without them, and dark for whoever asks."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from glioscope.cases import NotAllowed
from glioscope.cli._serve_demo import DemoPlate
from glioscope.console._light import Light
from glioscope.core import DeviceError, LaserState
from glioscope.devices import ImagingUnit

from .theatres import OPERATOR, PATHOLOGIST, SURGEON, patient_unit

DARK_WITHIN_S = 0.6
"""After the last beat: half a second of the keeper's own limit, and one turn of everything."""

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@pytest.fixture(scope="module")
def unit() -> Iterator[ImagingUnit]:
    with patient_unit(DemoPlate()) as made:
        made.start()
        wait_for(lambda: made.acquisition is not None and made.acquisition.streaming and made.distance() is not None)
        yield made


@pytest.fixture
def light(unit) -> Iterator[Light]:
    told: list[tuple[str, dict]] = []
    make_off(unit)
    made = Light(unit.name, unit.parts.laser, lambda kind, **facts: told.append((kind, facts)))
    made.told = told  # type: ignore[attr-defined]
    yield made
    made.off(OPERATOR)


def wait_for(condition, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def make_off(unit: ImagingUnit) -> None:
    """Off and without a fault, whatever the test before left."""

    def off() -> bool:
        laser = unit.parts.laser
        if laser.laser_report().state is LaserState.FAULT:
            with suppress(DeviceError):
                laser.clear()
        laser.stop()
        return laser.laser_report().state is LaserState.OFF

    wait_for(off)


def shine(unit: ImagingUnit, light: Light, owner: str = "page") -> None:
    """Light on; what a busy machine holds up for a moment is asked again."""
    for _ in range(20):
        try:
            light.on(OPERATOR, owner)
            return
        except DeviceError:
            time.sleep(0.3)
            make_off(unit)
    light.on(OPERATOR, owner)


@contextmanager
def beating(light: Light, owner: str) -> Iterator[None]:
    ending = threading.Event()

    def beat() -> None:
        while not ending.wait(0.05):
            light.beat(owner)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def power_mw(unit: ImagingUnit) -> float:
    return unit.parts.laser.light.power_mw(time.monotonic())


def test_light_stays_on_while_the_page_beats_and_goes_out_when_it_stops(unit, light):
    with beating(light, "page"):
        for _ in range(5):  # a busy machine may make the keeper go dark by itself
            shine(unit, light)
            time.sleep(1.5)
            if light.shines():
                break
        assert light.shines()
        assert power_mw(unit) > 500
    last_beat_s = time.monotonic()
    wait_for(lambda: power_mw(unit) < 1, 2.0)
    went_dark_s = unit.parts.laser.light.changes()[-1].monotonic_s
    assert went_dark_s - last_beat_s < DARK_WITHIN_S
    assert "heartbeat" in unit.parts.laser.laser_report().reason
    light.follow()
    assert not light.kept


def test_beats_of_another_page_do_not_keep_it_on(unit, light):
    shine(unit, light)
    asked_s = time.monotonic()
    with beating(light, "other page"):
        wait_for(lambda: power_mw(unit) < 1, 2.0)
    assert time.monotonic() - asked_s < DARK_WITHIN_S + 0.1


def test_beats_that_come_back_do_not_bring_the_light_back(unit, light):
    shine(unit, light)
    wait_for(lambda: not light.shines(), 2.0)
    with beating(light, "page"):
        time.sleep(0.5)
        assert power_mw(unit) < 1
        shine(unit, light)
        assert light.shines()


def test_a_second_page_takes_the_light_over(unit, light):
    shine(unit, light)
    light.on(OPERATOR, "second page")
    with beating(light, "second page"):
        time.sleep(0.8)
        assert light.shines()


def test_a_surgeon_may_make_it_dark_but_not_bright_and_a_pathologist_neither(unit, light):
    with beating(light, "page"):
        shine(unit, light)
        with pytest.raises(NotAllowed):
            light.off(PATHOLOGIST)
        light.off(SURGEON)
        wait_for(lambda: power_mw(unit) < 1, 0.5)
        with pytest.raises(NotAllowed):
            light.on(SURGEON, "page")
        time.sleep(0.2)
        assert power_mw(unit) < 1
    assert [kind for kind, _ in light.told if kind != "light_refused"] == ["light_on", "light_off"]


def test_what_the_keeper_refuses_is_told_and_it_is_off_not_armed(unit, light):
    unit.parts.laser.head.change(key=False)
    try:
        wait_for(lambda: not unit.parts.laser.report().details["key"])
        with beating(light, "page"), pytest.raises(DeviceError, match="key switch"):
            light.on(OPERATOR, "page")
        assert not light.kept
    finally:
        unit.parts.laser.head.change(key=True)
        wait_for(lambda: unit.parts.laser.report().details["key"])


def test_without_streaming_cameras_it_is_refused_and_off(unit, light):
    unit.stop_cameras()
    try:
        with beating(light, "page"), pytest.raises(DeviceError, match="cameras stream"):
            light.on(OPERATOR, "page")
        wait_for(lambda: unit.parts.laser.laser_report().state is LaserState.OFF)
    finally:
        unit.start()
        wait_for(lambda: unit.acquisition is not None and unit.acquisition.streaming)


def test_a_fault_is_latched_until_it_was_cleared(unit, light):
    unit.parts.laser.head.change(hot=True)
    wait_for(lambda: unit.parts.laser.laser_report().state is LaserState.FAULT)
    unit.parts.laser.head.change(hot=False)
    with beating(light, "page"):
        with pytest.raises(DeviceError, match=r"fault|too hot"):
            light.on(OPERATOR, "page")
        with pytest.raises(NotAllowed):
            light.clear(SURGEON)
        time.sleep(0.5)
        light.clear(OPERATOR)
        shine(unit, light)
        assert light.shines()


def test_a_unit_without_a_laser_says_so():
    light = Light("bare unit", None, lambda _kind, **_facts: None)
    with pytest.raises(DeviceError, match="bare unit: has no laser"):
        light.on(OPERATOR, "page")
    light.beat("page")
    light.follow()
    light.off(OPERATOR)
    assert light.shines() is None

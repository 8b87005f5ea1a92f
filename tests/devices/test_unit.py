"""The simulated unit as a whole: what the unit tells the keeper, what it adds to frames, how it ends."""

import time
from collections.abc import Iterator

import pytest

from glioscope.core import DeviceError, DeviceState, InputError, LaserState
from glioscope.devices import DEMO, ImagingUnit, UnitSettings, make_unit
from glioscope.sim import make_sources


def made(settings: UnitSettings = DEMO) -> ImagingUnit:
    return make_unit(settings, lambda: make_sources(seed=4))


@pytest.fixture
def unit() -> Iterator[ImagingUnit]:
    with made() as staged:
        yield staged


def until(unit: ImagingUnit, state: LaserState, seconds: float = 3.0) -> None:
    end = time.monotonic() + seconds
    while unit.parts.laser.laser_report().state is not state:
        assert time.monotonic() < end, unit.parts.laser.laser_report()
        time.sleep(0.01)


def shine(unit: ImagingUnit) -> None:
    """Button held, cameras streaming, armed, emitting. A busy machine may trip the keeper first: clear, try again."""
    unit.parts.handle.push(True)
    unit.start()
    end = time.monotonic() + 10
    while unit.parts.laser.laser_report().state is not LaserState.EMITTING:
        assert time.monotonic() < end, unit.parts.laser.laser_report()
        time.sleep(0.1)
        state = unit.parts.laser.laser_report().state
        try:
            if state is LaserState.FAULT:
                unit.parts.laser.clear()
            elif state is LaserState.OFF:
                unit.parts.laser.arm()
            else:
                unit.parts.laser.emit()
        except DeviceError:
            continue


def test_nothing_is_open_before_stage_and_after_unstage() -> None:
    unit = made()
    assert all(report.state is DeviceState.OFF for report in unit.report().values())
    with unit:
        assert all(report.state is not DeviceState.OFF for report in unit.report().values())
    assert all(report.state is DeviceState.OFF for report in unit.report().values())
    unit.unstage()  # twice does no harm


def test_a_staged_unit_is_dark_and_stands_still(unit: ImagingUnit) -> None:
    before = unit.parts.stage.position("distance")
    acquisition = unit.start()
    pair = acquisition.next_pair(2.0)
    assert pair is not None
    assert pair.fl.laser_on is False
    assert unit.parts.laser.laser_report().state is LaserState.OFF
    time.sleep(0.3)
    assert unit.parts.stage.position("distance") == pytest.approx(before, abs=0.01)


def test_light_brightens_fluorescence_and_frames_say_so(unit: ImagingUnit) -> None:
    shine(unit)
    time.sleep(0.3)
    lit = unit.acquisition.latest().fl
    unit.parts.laser.hold()
    time.sleep(0.3)
    dark = unit.acquisition.latest().fl
    assert lit.laser_on is True
    assert dark.laser_on is False
    assert lit.pixels.mean() > dark.pixels.mean() + 20
    assert 45 < lit.irradiance_mw_cm2 < 55
    assert 290 < lit.distance_mm < 310


def test_letting_go_of_the_handle_makes_it_dark(unit: ImagingUnit) -> None:
    shine(unit)
    unit.parts.handle.push(False)
    until(unit, LaserState.OFF, 1.5)
    assert "heartbeat" in unit.parts.laser.laser_report().reason


def test_stopping_the_cameras_makes_it_dark(unit: ImagingUnit) -> None:
    shine(unit)
    unit.stop_cameras()
    until(unit, LaserState.OFF, 0.5)
    assert "cameras" in unit.parts.laser.laser_report().reason


def test_a_lost_camera_makes_it_dark(unit: ImagingUnit) -> None:
    shine(unit)
    unit.parts.fl.unplug()
    until(unit, LaserState.OFF, 1.5)
    assert "cameras" in unit.parts.laser.laser_report().reason


def test_a_silent_rangefinder_makes_it_dark(unit: ImagingUnit) -> None:
    shine(unit)
    unit.parts.rangefinder.unstage()
    until(unit, LaserState.OFF, 1.0)
    assert "rangefinder" in unit.parts.laser.laser_report().reason


def test_stop_ends_light_motion_and_streaming(unit: ImagingUnit) -> None:
    shine(unit)
    unit.parts.handle.push(False)
    unit.motion.move_to("rotation", 90.0)
    time.sleep(0.2)
    unit.stop()
    until(unit, LaserState.OFF, 0.5)
    assert unit.acquisition is None
    time.sleep(0.3)  # it brakes
    assert not unit.parts.stage.moving("rotation")
    with pytest.raises(DeviceError, match="stopped"):
        unit.motion.move_to("rotation", 0.0)


def test_when_one_device_fails_to_open_all_are_closed_again() -> None:
    unit = made()
    unit.parts.wl.unplug()
    with pytest.raises(DeviceError, match="wl"):
        unit.stage()
    assert all(report.state is not DeviceState.RUNNING for report in unit.report().values())
    assert unit.report()["fl"].state is DeviceState.OFF
    assert unit.report()["laser"].state is DeviceState.OFF


def test_simulated_devices_need_something_to_see() -> None:
    with pytest.raises(InputError, match="simulated devices"):
        make_unit(DEMO)


def test_a_demo_camera_of_a_driver_is_not_called_real() -> None:
    demo = {"backend": "micromanager", "library": "DemoCamera", "device": "DCam"}
    fake = {"backend": "aravis", "interface": "fake"}
    real = {"backend": "aravis", "address": "192.0.2.7"}
    for fl, kind in ((demo, "simulated"), (fake, "simulated"), (real, "real")):
        settings = UnitSettings.model_validate({"fl": fl, "wl": real | {"pixel_format": "RGB8"}})
        assert settings.data_kind() == kind


def test_the_default_laser_of_every_backend_can_give_no_power() -> None:
    for backend in ("obis", "simulated"):
        settings = UnitSettings.model_validate(
            {"fl": {"backend": "simulated"}, "wl": {"backend": "simulated"}, "laser": {"backend": backend}}
        )
        assert settings.laser.make("laser").settings.limits.commanded_mw == 0.0

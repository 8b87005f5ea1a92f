"""The simulated unit as a whole: what the unit tells the keeper, what it adds to frames, how it ends."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glioscope.core import DeviceError, DeviceState, Frame, InputError, LaserState
from glioscope.devices import (
    DEMO,
    AutoExposureSettings,
    FramePair,
    ImagingUnit,
    Scale,
    SimulatedCamera,
    UnitSettings,
    make_unit,
    measure_calibration,
    write_calibration,
)
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


def shine(unit: ImagingUnit, events: list[str] | None = None) -> None:
    """Button held, cameras streaming, armed, emitting. A busy machine may trip the keeper first: clear, try again."""
    unit.parts.handle.push(True)
    unit.start(event=lambda kind, _facts: (events if events is not None else []).append(kind))
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


class PlainCamera:
    """The simulated camera as a real one is: it knows nothing of laser, distance and scale."""

    def __init__(self, camera: SimulatedCamera) -> None:
        self._camera = camera

    def __getattr__(self, name: str) -> object:
        return getattr(self._camera, name)

    def read(self, timeout_s: float) -> Frame | None:
        frame = self._camera.read(timeout_s)
        unknown = {"laser_on": None, "irradiance_mw_cm2": None, "distance_mm": None, "mm_per_px": None}
        return None if frame is None else replace(frame, **unknown)  # type: ignore[arg-type]


def plain(unit: ImagingUnit, **options: object) -> ImagingUnit:
    parts = replace(unit.parts, fl=PlainCamera(unit.parts.fl))
    return ImagingUnit(parts, name="plain", data_kind="simulated", **options)  # type: ignore[arg-type]


def test_frames_of_a_camera_that_knows_nothing_get_light_distance_and_scale() -> None:
    with plain(made(), scales={"fl": Scale(0.1, 300.0)}) as unit:
        shine(unit)
        time.sleep(0.3)
        lit = unit.acquisition.latest().fl
        unit.parts.laser.hold()
        frames, end = [], time.monotonic() + 0.5
        while time.monotonic() < end:
            pair = unit.acquisition.next_pair(0.1)
            frames += [] if pair is None else [pair.fl]
    assert lit.laser_on is True
    assert 45 < lit.irradiance_mw_cm2 < 55
    assert lit.mm_per_px == pytest.approx(0.1 * lit.distance_mm / 300.0)
    # Lit for a part of the exposure is neither, but for the last few ms, of which the keeper's word comes too late.
    dark, light = frames[-1].pixels.mean(), lit.pixels.mean()
    shares = [(frame.laser_on, (frame.pixels.mean() - dark) / (light - dark)) for frame in frames]
    assert all(share < 0.05 for on, share in shares if on is False)
    assert all(share > 0.6 for on, share in shares if on is True)
    assert frames[-1].laser_on is False


def test_a_laser_that_hardware_gates_leaves_frames_unlabelled() -> None:
    with plain(made(), gated=True) as unit:
        shine(unit)
        time.sleep(0.3)
        assert unit.acquisition.latest().fl.laser_on is None


def test_a_calibration_is_checked_at_the_start_and_corrects(tmp_path: Path) -> None:
    settings = DEMO.model_copy(update={"fl_calibration": tmp_path / "none"})
    with pytest.raises(InputError, match="none"):
        made(settings).stage()
    with made() as unit:
        darks = [pair.fl for pair in taken(unit, 10)]
        write_calibration(tmp_path / "dark", measure_calibration(darks, info=unit.parts.fl.info()))
    with made(DEMO.model_copy(update={"fl_calibration": tmp_path / "dark"})) as unit:
        frame = taken(unit, 1)[0].fl
        corrected = unit.correct(frame)
        assert corrected.pixels.std() < frame.pixels.std()


def taken(unit: ImagingUnit, count: int) -> list[FramePair]:
    acquisition = unit.start()
    pairs = [acquisition.next_pair(3.0) for _ in range(count)]
    unit.stop_cameras()
    assert all(pair is not None for pair in pairs)
    return pairs  # type: ignore[return-value]


def test_auto_exposure_sets_the_camera_and_says_so() -> None:
    events: list[str] = []
    with made(DEMO.model_copy(update={"auto_exposure": AutoExposureSettings(target_share=0.1)})) as unit:
        shine(unit, events)
        time.sleep(1.0)
        assert unit.acquisition.latest().fl.exposure_ms > 20.0
    assert "exposure" in events


def test_an_error_of_auto_exposure_ends_it_and_no_frames(unit: ImagingUnit) -> None:
    events: list[tuple[str, dict[str, str | float | int]]] = []
    tap = unit._exposure_tap(AutoExposureSettings(), lambda kind, facts: events.append((kind, facts)))
    for sequence in range(3):
        tap("fl", Frame(np.full((512, 640), 60_000, np.uint16), "fl", sequence))  # without an exposure
    assert [kind for kind, _ in events] == ["auto_exposure_ended"]
    assert "exposure" in str(events[0][1]["reason"])


def test_a_check_without_motion_does_not_follow_the_handle() -> None:
    unit = made()
    try:
        assert unit.try_stage(moving=False) == {}
        unit.parts.handle.push(False)
        time.sleep(0.1)
        unit.parts.handle.push(True, rotation=1.0)
        time.sleep(0.4)
        assert unit.parts.stage.position("rotation") == pytest.approx(0.0, abs=0.01)
    finally:
        unit.unstage()


def test_a_unit_that_was_closed_can_be_opened_again_and_move() -> None:
    unit = made()
    for _ in range(2):
        with unit:
            unit.motion.move_to("rotation", 5.0)


def test_a_replay_with_old_times_is_refused_in_a_unit() -> None:
    old = {"backend": "replay", "folder": "case", "time_source": "recorded"}
    with pytest.raises(ValueError, match="refuses frames that are old"):
        UnitSettings.model_validate({"fl": old, "wl": old | {"stream": "wl"}})


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

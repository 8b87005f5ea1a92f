"""The simulated stage: profiles obey speed and acceleration, limits hold, the watchdog stops, faults are as told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glioscope.core import Axis, DeviceError, DeviceState, InputError, MotionStage
from glioscope.devices._simulated_stage import DISTANCE, Profile, SimulatedStage

from .virtual_clock import VirtualClock


def _stage() -> tuple[SimulatedStage, VirtualClock]:
    clock = VirtualClock()
    stage = SimulatedStage("stage", clock=clock)
    stage.stage()
    return stage, clock


@settings(max_examples=200, deadline=None)
@given(
    position=st.floats(-50, 50),
    speed=st.floats(-20, 20),
    target=st.floats(-50, 50),
    top=st.floats(0.5, 20),
    acceleration=st.floats(10, 200),
)
def test_a_move_ends_at_its_target_and_never_breaks_speed_or_acceleration(
    position: float, speed: float, target: float, top: float, acceleration: float
) -> None:
    profile = Profile.move(0.0, position, speed, target, top, acceleration)
    times = np.linspace(0, profile.legs[-1].start_s + 0.1, 4000)
    states = np.array([profile.at(t) for t in times])
    assert states[0] == pytest.approx([position, speed], abs=2e-6)
    assert states[-1] == pytest.approx([target, 0.0], abs=1e-6)
    assert np.abs(states[:, 1]).max() <= max(top, abs(speed)) + 1e-6
    step = times[1] - times[0]
    assert np.abs(np.diff(states[:, 1])).max() <= acceleration * step + 1e-6
    travelled = position + np.cumsum((states[1:, 1] + states[:-1, 1]) / 2 * step)
    assert np.abs(travelled - states[1:, 0]).max() < 0.5 * acceleration * step**2 * 8 + 1e-6


def test_a_long_move_is_a_trapezoid_of_the_textbook_duration() -> None:
    profile = Profile.move(0.0, 300.0, 0.0, 400.0, 20.0, 100.0)
    assert profile.legs[-1].start_s == pytest.approx(100 / 20 + 20 / 100)
    assert profile.at(2.6) == pytest.approx((350.0, 20.0))


def test_it_is_a_stage_that_stands_still_at_first() -> None:
    stage, clock = _stage()
    assert isinstance(stage, MotionStage)
    clock.wait(1.0)
    assert stage.position("distance") == pytest.approx(300) and not stage.moving("distance")


def test_a_move_arrives_and_tells_that_it_moves() -> None:
    stage, clock = _stage()
    stage.move_to("distance", 320)
    stage.move_to("rotation", 90)
    clock.wait(0.5)
    assert stage.moving("distance") and stage.report().state is DeviceState.RUNNING
    clock.wait(5)
    assert stage.position("distance") == pytest.approx(320) and stage.position("rotation") == pytest.approx(90)
    assert not stage.moving("distance") and stage.report().state is DeviceState.READY


def test_soft_limits_refuse_moves_and_end_jogs() -> None:
    stage, clock = _stage()
    with pytest.raises(InputError, match="distance 451 mm is outside the soft limits of 200 to 450 mm"):
        stage.move_to("distance", 451)
    with pytest.raises(InputError, match="no axis 'tilt'"):
        stage.move_to("tilt", 0)
    for _ in range(200):
        stage.jog("distance", 20)
        clock.wait(0.1)
    assert stage.position("distance") == pytest.approx(DISTANCE.high, abs=0.01)
    stage.move_to("distance", 449.9)
    stage.jog("distance", 1e6)
    clock.wait(0.1)
    assert stage.position("distance") <= DISTANCE.high + 0.01


def test_a_jog_ends_by_itself_after_its_watchdog() -> None:
    stage, clock = _stage()
    stage.jog("distance", 10)
    clock.wait(0.19)
    assert stage.moving("distance")
    clock.wait(0.2 + 10 / 100)
    assert not stage.moving("distance")
    travelled = stage.position("distance") - 300
    clock.wait(1)
    assert stage.position("distance") - 300 == pytest.approx(travelled)
    assert travelled == pytest.approx(10 * 0.2, abs=0.02)


def test_stop_brakes_at_once_and_a_jog_of_zero_too() -> None:
    stage, clock = _stage()
    for halt in (stage.stop, lambda: stage.jog("distance", 0.0)):
        stage.move_to("distance", 400)
        clock.wait(1.0)
        before = stage.position("distance")
        halt()
        clock.wait(0.25)
        assert not stage.moving("distance")
        assert 0 < stage.position("distance") - before <= 20**2 / 200 + 0.02
        stage.move_to("distance", 300)
        clock.wait(10)


def test_the_past_is_kept_for_frames_that_are_rendered_late() -> None:
    stage, clock = _stage()
    stage.move_to("distance", 310)
    seen = []
    for _ in range(10):
        clock.wait(0.1)
        seen.append((clock(), stage.true_position("distance", clock())))
    stage.stop()
    stage.move_to("distance", 290)
    clock.wait(0.3)
    for when_s, position in seen:
        assert stage.true_position("distance", when_s) == pytest.approx(position)


def test_stalled_the_encoder_stands_while_the_controller_believes() -> None:
    stage, clock = _stage()
    stage.move_to("distance", 400)
    clock.wait(1)
    stage.stall("distance")
    stuck = stage.position("distance")
    clock.wait(1)
    assert stage.moving("distance") and stage.position("distance") == stuck
    stage.free("distance")
    clock.wait(1)
    assert stage.position("distance") == stuck
    stage.move_to("distance", 300)
    clock.wait(10)
    assert stage.position("distance") == pytest.approx(300)


def test_a_limit_switch_stops_its_axis_and_lets_it_go_away_only() -> None:
    stage, clock = _stage()
    stage.move_to("distance", 400)
    clock.wait(1)
    stage.press_switch("distance", "high")
    clock.wait(0.1)
    where = stage.position("distance")
    assert not stage.moving("distance")
    assert stage.report().state is DeviceState.FAULT and "limit switch high of distance" in stage.report().faults[0]
    with pytest.raises(DeviceError, match="limit switch high"):
        stage.jog("distance", 1)
    with pytest.raises(DeviceError, match="limit switch high"):
        stage.move_to("distance", 440)
    stage.move_to("distance", 290)
    clock.wait(10)
    assert stage.position("distance") == pytest.approx(290) and where > 300
    stage.release_switches()
    stage.jog("distance", 1)


def test_unplugged_it_brakes_and_is_lost_until_staged_anew() -> None:
    stage, clock = _stage()
    stage.move_to("distance", 400)
    clock.wait(1)
    stage.unplug()
    for lost in (
        lambda: stage.position("distance"),
        lambda: stage.jog("distance", 1),
        lambda: stage.moving("distance"),
    ):
        with pytest.raises(DeviceError, match="lost"):
            lost()
    assert stage.report().state is DeviceState.FAULT
    stage.stop()
    stage.unstage()
    with pytest.raises(DeviceError, match="no stage is found"):
        stage.stage()
    stage.plug()
    stage.stage()
    clock.wait(2)
    assert not stage.moving("distance")


def test_other_axes_can_be_fitted() -> None:
    clock = VirtualClock()
    stage = SimulatedStage("stage", axes=(Axis("distance", "mm", 0, 50, 5),), clock=clock)
    assert set(stage.axes) == {"distance"}
    with pytest.raises(DeviceError, match="not staged"):
        stage.position("distance")
    stage.stage()
    assert stage.position("distance") == 50

"""Motion on a simulated bench: it keeps its distance, never comes too near, follows the hand, and always stops.

In virtual time: the clock runs the loop's step every 20 ms. What is judged is the true distance of the bench.
"""

import random
import threading
import time
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from glioscope.core import DeviceError, InputError
from glioscope.devices._motion import Motion, MotionState
from glioscope.devices._motion_control import MotionSettings, RangeView, approach_refused, hold_speed
from glioscope.devices._simulated_bench import SimulatedBench, SimulatedBenchSettings
from glioscope.devices._simulated_range import RangeFault
from glioscope.devices._simulated_stage import ROTATION, SimulatedStage

from .virtual_clock import PlainSource, VirtualClock

LIMITS = MotionSettings()


@dataclass
class Rig:
    bench: SimulatedBench
    motion: Motion
    clock: VirtualClock
    distances: list[float] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        self.clock.wait(seconds)

    @property
    def distance(self) -> float:
        return self.bench.distance_mm(self.clock())

    @property
    def state(self) -> MotionState:
        return self.motion.report().state

    @property
    def reason(self) -> str:
        return self.motion.report().reason

    def still(self) -> bool:
        return not any(self.bench.stage.moving(axis) for axis in self.bench.stage.axes)

    def step(self) -> None:
        self.motion.step()
        self.distances.append(self.distance)


def rig(**bench_settings: float) -> Rig:
    clock = VirtualClock()
    bench = SimulatedBench(
        PlainSource(),
        PlainSource(colour=True),
        settings=SimulatedBenchSettings.model_validate(bench_settings),
        clock=clock,
        wait=clock.wait,
    )
    for device in (bench.rangefinder, bench.stage, bench.handle):
        device.stage()
    motion = Motion(bench.stage, bench.rangefinder, bench.handle, clock=clock)
    made = Rig(bench, motion, clock)
    clock.each = made.step
    made.run(0.1)
    return made


def test_nothing_moves_until_it_is_told_to() -> None:
    r = rig()
    r.run(5)
    assert r.state is MotionState.IDLE and r.bench.stage.position("distance") == pytest.approx(300)


def test_it_reaches_a_distance_and_says_settled() -> None:
    r = rig()
    r.motion.hold(290)
    r.run(8)
    report = r.motion.report()
    assert report.state is MotionState.HOLDING and report.settled and report.target_mm == 290
    assert r.distance == pytest.approx(290, abs=1)
    assert report.distance_mm == pytest.approx(r.distance, abs=0.7)


@settings(max_examples=15, deadline=None)
@given(
    first=st.floats(225, 420),
    second=st.floats(225, 420),
    tissue_step=st.floats(-7, 7),
    breathing=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_a_step_settles_within_a_millimetre_and_never_comes_too_near(
    first: float, second: float, tissue_step: float, breathing: float, seed: int
) -> None:
    r = rig(breathing_mm=breathing, seed=seed)
    for target in (first, second):
        r.motion.hold(target)
        r.run(2 + abs(r.distance - target) / LIMITS.approach_mm_s + 3)
        assert r.state is MotionState.HOLDING, r.reason
        r.run(2)
        assert max(abs(d - target) for d in r.distances[-50:]) < 1.0 + breathing / 2
    assert min(r.distances) > LIMITS.min_distance_mm
    r.bench.jump(tissue_step)  # may itself come too near: then the unit goes away only
    r.distances, jumped_to = [], r.distance
    r.run(6)
    assert r.distance == pytest.approx(second, abs=1.0 + breathing / 2)
    assert min(r.distances) > min(LIMITS.min_distance_mm, jumped_to - breathing) - 0.01


def test_it_never_overshoots_towards_the_tissue() -> None:
    r = rig(breathing_mm=0)
    r.motion.hold(260)
    r.run(20)
    assert min(r.distances) > 260 - LIMITS.dead_band_mm


def test_approach_is_slower_than_retreat() -> None:
    r = rig(breathing_mm=0, range_noise_mm=0)
    r.motion.hold(250)
    r.run(1.5)
    approach = (r.distances[-40] - r.distances[-1]) / (39 * 0.02)
    r.motion.hold(400)
    r.run(1.5)
    retreat = (r.distances[-1] - r.distances[-40]) / (39 * 0.02)
    assert approach == pytest.approx(LIMITS.approach_mm_s, rel=0.03)
    assert retreat == pytest.approx(LIMITS.retreat_mm_s, rel=0.03)


def test_it_holds_still_within_the_dead_band() -> None:
    r = rig(breathing_mm=0.2)
    r.motion.hold(300)
    r.run(3)
    before = r.bench.stage.position("distance")
    r.run(20)
    assert r.bench.stage.position("distance") == pytest.approx(before, abs=0.5)
    assert hold_speed(0.3, False, LIMITS) == 0 and hold_speed(0.3, True, LIMITS) < 0


@pytest.mark.parametrize("fault", [RangeFault.SILENT, RangeFault.JUMP, RangeFault.GARBAGE, RangeFault.WEAK])
def test_a_rangefinder_that_cannot_be_believed_stops_it_with_a_reason(fault: RangeFault) -> None:
    r = rig()
    r.motion.hold(250)
    r.run(1)
    r.bench.rangefinder.inject(fault)
    r.run(LIMITS.stale_s + 0.1)
    assert r.state is MotionState.FAULT and r.still()
    assert ("jumped by" if fault is RangeFault.JUMP else "s old") in r.reason
    r.bench.rangefinder.heal()
    r.run(2)
    assert r.state is MotionState.FAULT and r.still()
    with pytest.raises(DeviceError, match="resume first"):
        r.motion.hold(250)
    r.motion.resume()
    r.run(0.1)
    r.motion.hold(280)
    r.run(10)
    assert r.distance == pytest.approx(280, abs=1.3)


def test_a_rangefinder_that_is_lost_stops_it() -> None:
    r = rig()
    r.motion.hold(250)
    r.run(1)
    r.bench.rangefinder.unplug()
    r.run(0.15)
    assert r.state is MotionState.FAULT and "rangefinder: is lost" in r.reason and r.still()


@pytest.mark.parametrize("axis", ["distance", "rotation"])
def test_a_stalled_axis_is_named_within_half_a_second(axis: str) -> None:
    for after_s in (0.0, 0.02, 0.5, 0.61, 0.73, 0.85, 1.0):
        r = rig()
        if axis == "distance":
            r.motion.hold(400)
        else:
            r.motion.move_to("rotation", 200)
        r.run(after_s)
        r.bench.stage.stall(axis)
        r.run(0.5)
        assert r.state is MotionState.FAULT, after_s
        assert f"{axis} stalled: its encoder has moved by" in r.reason and r.still()


def test_a_slow_movement_is_not_taken_for_a_stall() -> None:
    r = rig(breathing_mm=2.0, breathing_hz=0.1)
    r.motion.hold(300)
    r.run(60)
    assert r.state is MotionState.HOLDING, r.reason


def test_at_the_stages_limit_it_stops_and_says_so() -> None:
    r = rig(breathing_mm=0)
    for _ in range(16):
        r.bench.jump(8)
        r.run(1)
    r.motion.resume()
    r.run(0.5)
    r.motion.hold(440)
    r.run(60)
    assert r.state is MotionState.FAULT and "distance is at its limit of 450 mm" in r.reason and r.still()


def test_a_limit_switch_is_a_fault_with_its_name() -> None:
    r = rig()
    r.motion.hold(400)
    r.run(1)
    r.bench.stage.press_switch("distance", "high")
    r.run(0.1)
    assert r.state is MotionState.FAULT and "limit switch high of distance" in r.reason


def test_a_lost_stage_is_a_fault() -> None:
    r = rig()
    r.motion.hold(400)
    r.run(1)
    r.bench.stage.unplug()
    r.run(0.1)
    assert r.state is MotionState.FAULT and "stage: is lost" in r.reason


def test_distances_and_axes_out_of_range_are_refused() -> None:
    r = rig()
    with pytest.raises(InputError, match=r"distance 200 mm is outside 222 to 450 mm"):
        r.motion.hold(200)
    with pytest.raises(InputError, match="rotation 340 deg is outside the soft limits of -10 to 330"):
        r.motion.move_to("rotation", 340)
    with pytest.raises(InputError, match="no axis 'tilt'"):
        r.motion.move_to("tilt", 0)


def test_a_move_arrives_while_the_distance_is_kept() -> None:
    r = rig(breathing_mm=0)
    r.motion.hold(290)
    r.run(6)
    r.motion.move_to("rotation", 135)
    r.run(0.2)
    assert r.state is MotionState.MOVING
    r.bench.jump(3)
    r.run(12)
    assert r.state is MotionState.HOLDING
    assert r.bench.stage.position("rotation") == pytest.approx(135, abs=0.06)
    assert r.distance == pytest.approx(290, abs=1)


def test_the_guard_ends_a_move_that_would_come_too_near() -> None:
    r = rig(breathing_mm=0)
    for _ in range(5):
        r.bench.jump(8)
        r.run(1)
    r.motion.move_to("distance", 210)
    r.run(30)
    assert r.state is MotionState.FAULT and "least distance is 220 mm" in r.reason
    assert min(r.distances) > 220


def test_the_guard_allows_for_what_the_unit_still_travels() -> None:
    near = RangeView(222.0, 222.0)
    assert approach_refused(near, 0.5, LIMITS) == ""
    assert "least distance" in approach_refused(near, 20.0, LIMITS)
    assert "no way towards the tissue" in approach_refused(RangeView(None, None, "silent"), 0.1, LIMITS)


def test_the_hand_moves_it_only_while_the_button_is_held_and_release_stops_it() -> None:
    r = rig()
    r.bench.handle.push(False, distance=1.0)
    r.run(1)
    assert r.state is MotionState.IDLE and r.still()
    r.bench.handle.push(True, distance=1.0)
    r.run(1)
    assert r.state is MotionState.JOGGING
    moved = r.bench.stage.position("distance") - 300
    assert moved == pytest.approx(LIMITS.jog_mm_s, rel=0.1)
    r.bench.handle.push(False, distance=1.0)
    r.run(0.1)
    assert r.still() and r.state is MotionState.IDLE


def test_the_hand_takes_over_from_keeping_a_distance_which_does_not_come_back() -> None:
    r = rig()
    r.motion.hold(300)
    r.run(3)
    r.bench.handle.push(True, distance=0.5)
    r.run(3)
    with pytest.raises(DeviceError, match="handle moves it"):
        r.motion.hold(300)
    r.bench.handle.push(False)
    r.run(3)
    assert r.state is MotionState.IDLE and r.distance > 304


def test_a_handle_unplugged_while_jogging_stops_it_at_once() -> None:
    r = rig()
    r.bench.handle.push(True, rotation=1.0)
    r.run(1)
    r.bench.handle.unplug()
    r.run(0.12)
    assert r.state is MotionState.FAULT and "handle" in r.reason and r.still()
    r.bench.handle.plug()
    r.motion.resume()
    r.run(1)
    assert r.still() and r.state is MotionState.IDLE  # still pressed: has to be let go first
    r.bench.handle.push(False)
    r.run(0.1)
    r.bench.handle.push(True, rotation=1.0)
    r.run(0.5)
    assert r.state is MotionState.JOGGING and not r.still()


def test_a_handle_unplugged_while_nobody_jogs_leaves_the_distance_kept() -> None:
    r = rig()
    r.motion.hold(300)
    r.run(1)
    r.bench.handle.unplug()
    r.run(1)
    assert r.state is MotionState.HOLDING


def test_the_hand_cannot_bring_it_too_near_nor_blindly_forward() -> None:
    r = rig()
    r.bench.handle.push(True, distance=-1.0)
    r.run(60)
    assert min(r.distances) > LIMITS.min_distance_mm
    assert r.state is MotionState.JOGGING and "least distance" in r.reason
    r.bench.handle.push(True, distance=1.0)
    r.run(3)
    assert r.distance > 228
    r.bench.rangefinder.inject(RangeFault.SILENT)
    r.run(0.5)
    before = r.bench.stage.position("distance")
    r.bench.handle.push(True, distance=-1.0)
    r.run(2)
    assert r.bench.stage.position("distance") >= before and "no way towards" in r.reason
    r.bench.handle.push(True, distance=1.0)
    r.run(2)
    assert r.bench.stage.position("distance") > before + 5


def test_after_a_jump_that_lasts_the_new_place_is_believed_but_what_stopped_stays_so() -> None:
    r = rig()
    r.motion.hold(300)
    r.run(2)
    r.bench.jump(25)
    r.run(2)
    assert r.state is MotionState.FAULT
    assert r.motion.report().distance_mm == pytest.approx(r.distance, abs=1)


def test_stop_lasts_until_resume() -> None:
    r = rig()
    r.motion.hold(400)
    r.run(1)
    r.motion.stop("foot switch")
    assert r.state is MotionState.STOPPED
    r.run(0.15)
    assert r.still() and r.reason == "foot switch"
    where = r.bench.stage.position("distance")
    r.bench.handle.push(False)
    r.run(0.1)
    r.bench.handle.push(True, distance=1.0)
    r.run(2)
    assert r.bench.stage.position("distance") == where
    with pytest.raises(DeviceError, match="stopped: foot switch; resume first"):
        r.motion.move_to("rotation", 90)
    r.bench.handle.push(False)
    r.motion.resume()
    r.run(1)
    assert r.state is MotionState.IDLE and r.still()


def test_release_stands_still() -> None:
    r = rig()
    r.motion.hold(400)
    r.run(1)
    r.motion.release()
    r.run(0.2)
    assert r.still() and r.state is MotionState.IDLE


def test_stop_from_another_thread_at_random_moments_always_stands() -> None:
    bench = SimulatedBench(PlainSource(), PlainSource(colour=True))
    for device in (bench.rangefinder, bench.stage, bench.handle):
        device.stage()
    motion = Motion(bench.stage, bench.rangefinder, bench.handle, settings=MotionSettings(period_s=0.002))
    motion.start()
    rng = random.Random(0)
    targets = [280.0, 330.0]
    for turn in range(15):
        motion.hold(targets[turn % 2])
        motion.move_to("rotation", 300.0 if turn % 2 else 0.0)
        stopper = threading.Thread(target=lambda: (time.sleep(rng.uniform(0.005, 0.06)), motion.stop()))
        stopper.start()
        stopper.join()
        time.sleep(0.25)  # full speed takes 0.17 s to brake
        assert not bench.stage.moving("distance") and not bench.stage.moving("rotation")
        assert motion.report().state is MotionState.STOPPED
        motion.resume()
    motion.close()


def test_a_stop_in_the_middle_of_a_step_is_not_undone_by_its_jog() -> None:
    r = rig(breathing_mm=0)
    r.motion.hold(400)
    r.run(1)
    jog = r.bench.stage.jog

    def stopped_before(axis: str, speed: float) -> None:
        r.motion.stop()
        jog(axis, speed)

    r.bench.stage.jog = stopped_before  # type: ignore[method-assign]
    r.motion.step()
    r.clock.each = lambda: None
    r.run(LIMITS.retreat_mm_s / 100 + 0.02)
    assert r.still() and r.state is MotionState.STOPPED


def test_when_the_loop_dies_the_unit_stands() -> None:
    r = rig()
    r.motion.hold(400)
    r.run(1)
    r.clock.each = lambda: None
    r.run(0.35)
    assert r.still()


def test_in_its_own_thread_it_ends_still() -> None:
    bench = SimulatedBench(PlainSource(), PlainSource(colour=True))
    for device in (bench.rangefinder, bench.stage, bench.handle):
        device.stage()
    motion = Motion(bench.stage, bench.rangefinder)
    motion.start()
    motion.start()
    time.sleep(0.1)
    motion.hold(310)
    time.sleep(0.5)
    assert bench.stage.position("distance") > 301
    motion.close()
    motion.close()
    time.sleep(0.15)
    assert not bench.stage.moving("distance")


def test_a_stage_that_only_turns_keeps_no_distance() -> None:
    r = rig()
    turntable = SimulatedStage("stage", axes=(ROTATION,), clock=r.clock)
    turntable.stage()
    motion = Motion(turntable, r.bench.rangefinder, clock=r.clock)
    r.clock.each = motion.step
    with pytest.raises(InputError, match="the stage has rotation only"):
        motion.hold(300)
    motion.move_to("rotation", 30)
    r.run(4)
    assert turntable.position("rotation") == pytest.approx(30, abs=0.06)


def test_settings_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ValidationError, match="faster than retreat"):
        MotionSettings(approach_mm_s=20)
    with pytest.raises(ValidationError, match="dead band"):
        MotionSettings(settled_mm=0.6)
    with pytest.raises(ValidationError, match="nearest target"):
        MotionSettings(min_distance_mm=500)
    with pytest.raises(ValidationError, match="speed"):
        MotionSettings.model_validate({"speed": 3})

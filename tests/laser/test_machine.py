import math
from dataclasses import replace

import pytest

from glioscope.laser import Beam, Inputs, Limits, Machine, Request, State, power_mw, step

BEAM = Beam(diameter_mm=10, divergence_mrad=100, profile="flat")
LIMITS = Limits(power_mw=5000, nearest_mm=150, working_mm=200, farthest_mm=215, beam=BEAM)
FULL_MW = power_mw(50, 200, BEAM)
NOW = 100.0
GOOD = Inputs(99.99, 99.9, True, 200.0, 99.98, True, False, 0.0, "", 99.99)
LIT = replace(GOOD, power_mw=FULL_MW, emission=True)
EMITTING = Machine(State.EMITTING, "", "", 90.0, NOW, -math.inf, 200.0, 99.95)
ARMED = replace(EMITTING, state=State.ARMED, reason="armed")


def test_arm_and_emit_and_hold_and_off():
    machine = Machine()
    for request, state in (("emit", "off"), ("arm", "armed"), ("emit", "emitting"), ("hold", "armed"), ("off", "off")):
        machine = step(machine, replace(GOOD, request=Request(request)), LIMITS, NOW)
        assert machine.state == state
    assert step(EMITTING, LIT, LIMITS, NOW).state is State.EMITTING


LAPSES = {
    "key": {"key": False},
    "lease": {"lease_s": 99.91},
    "no lease": {"lease_s": None},
    "heartbeat": {"beat_s": 99.49},
    "heartbeat at no time": {"beat_s": math.nan},
    "cameras": {"streaming": False},
    "no reading": {"distance_mm": None, "distance_s": None},
    "a time but no reading": {"distance_mm": None},
    "stale reading": {"distance_s": 99.79},
    "reading at no time": {"distance_s": math.nan},
    "reading that is no number": {"distance_mm": math.nan},
    "too strong in the window": {"distance_mm": 185.0},
    "too far": {"distance_mm": 216.0},
}


@pytest.mark.parametrize("change", LAPSES.values(), ids=LAPSES)
def test_whatever_is_missing_ends_emission_and_says_so(change):
    after = step(EMITTING, replace(LIT, **change), LIMITS, NOW)
    assert after.state is State.OFF and after.reason
    refused = step(ARMED, replace(GOOD, request=Request.EMIT, **change), LIMITS, NOW)
    assert refused.state is not State.EMITTING and refused.refusal
    assert step(after, LIT, LIMITS, NOW).state is not State.EMITTING


FAULTS = {
    "lease from the future": {"lease_s": 100.01},
    "heartbeat from the future": {"beat_s": 101.0},
    "reading from the future": {"distance_s": 100.01},
    "reading from the end of time": {"distance_s": math.inf},
    "fault of the head": {"head_fault": "too hot"},
    "silent head": {"head_s": 99.9},
    "head from the future": {"head_s": 100.1},
    "power is no number": {"power_mw": math.nan},
    "power is infinite": {"power_mw": math.inf},
    "negative power": {"power_mw": -1.0},
    "too much power": {"power_mw": FULL_MW * 1.1},
    "jump": {"distance_mm": 160.0},
    "infinitely far": {"distance_mm": math.inf},
    "behind": {"distance_mm": -200.0},
}


@pytest.mark.parametrize("change", FAULTS.values(), ids=FAULTS)
def test_faults_latch_until_they_are_gone_and_seen(change):
    after = step(EMITTING, replace(LIT, **change), LIMITS, NOW)
    assert after.state is State.FAULT and after.reason

    def later(machine, seconds, request):
        moved = replace(GOOD, **dict.fromkeys(("lease_s", "beat_s", "distance_s", "head_s"), NOW + seconds - 0.01))
        return step(machine, replace(moved, request=Request(request)), LIMITS, NOW + seconds)

    assert later(after, 0.1, "clear").state is State.FAULT
    assert later(after, 10, "").state is State.FAULT
    assert later(after, 10, "arm").refusal.startswith("a fault is latched")
    cleared = later(after, 10, "clear")
    assert cleared.state is State.OFF
    assert later(cleared, 10, "emit").state is State.OFF
    assert later(cleared, 10, "arm").state is State.ARMED


def test_light_while_dark_is_a_stuck_driver_and_has_its_own_words():
    dark = replace(ARMED, changed_s=99.9)
    for change in ({"power_mw": 5.0}, {"emission": True}):
        after = step(dark, replace(GOOD, **change), LIMITS, NOW)
        assert after.state is State.FAULT and "stuck" in after.reason and "interlock" in after.reason
    just_off = replace(ARMED, changed_s=99.985)
    assert step(just_off, replace(GOOD, power_mw=5.0), LIMITS, NOW).state is State.ARMED


def test_power_that_stays_low_is_a_fault_unless_hardware_gates_it():
    weak = replace(EMITTING, full_s=99.85)
    low = replace(LIT, power_mw=FULL_MW / 2)
    assert step(weak, low, LIMITS, NOW).state is State.FAULT
    assert step(weak, low, replace(LIMITS, gated=True), NOW).state is State.EMITTING
    assert step(replace(weak, full_s=99.95), low, LIMITS, NOW).state is State.EMITTING


def test_power_that_never_comes_is_a_fault_after_a_while():
    machine, states = step(ARMED, replace(GOOD, request=Request.EMIT), LIMITS, NOW), []
    for turn in range(1, 40):
        now = NOW + turn * 0.005
        fresh = dict.fromkeys(("lease_s", "beat_s", "distance_s", "head_s"), now)
        machine = step(machine, replace(GOOD, **fresh), LIMITS, now)
        states.append(machine.state)
    assert states[18] is State.EMITTING and states[22] is State.FAULT


def test_what_the_rangefinder_does_while_off_is_no_fault():
    off = replace(ARMED, state=State.OFF, reason="off")
    assert step(off, replace(GOOD, distance_mm=160.0), LIMITS, NOW).state is State.OFF
    assert step(ARMED, replace(GOOD, distance_mm=160.0), LIMITS, NOW).state is State.FAULT


def test_a_fault_is_not_cleared_by_an_owner_whose_lease_has_lapsed():
    broken = replace(ARMED, state=State.FAULT, reason="too hot", trouble_s=90.0)
    assert step(broken, replace(GOOD, request=Request.CLEAR, lease_s=99.0), LIMITS, NOW).state is State.FAULT
    assert step(broken, replace(GOOD, request=Request.CLEAR), LIMITS, NOW).state is State.OFF


def test_armed_needs_key_heartbeat_and_lease_all_the_time():
    off = replace(ARMED, state=State.OFF, reason="off")
    for missing in ({"key": False}, {"beat_s": 99.4}, {"lease_s": 99.9}):
        assert step(ARMED, replace(GOOD, **missing), LIMITS, NOW).state is State.OFF
        refused = step(off, replace(GOOD, request=Request.ARM, **missing), LIMITS, NOW)
        assert refused.state is State.OFF and refused.refusal


def test_the_worse_of_commanded_and_read_back_power_counts():
    near = replace(LIT, distance_mm=191.0)  # commanded: 53.9 mW/cm2, under the limit of 55
    assert step(replace(EMITTING, distance_mm=191.0), near, LIMITS, NOW).state is State.EMITTING
    after = step(replace(EMITTING, distance_mm=191.0), replace(near, power_mw=FULL_MW * 1.05), LIMITS, NOW)
    assert after.state is State.OFF and "over the limit" in after.reason
    low = replace(LIT, distance_mm=185.0, power_mw=0.0)  # read-back says dark, yet 55.4 are commanded
    assert step(replace(EMITTING, distance_mm=185.0), low, LIMITS, NOW).state is State.OFF


def test_nearer_than_the_window_is_dark_however_weak_the_beam():
    limits = replace(LIMITS, nearest_mm=199.0)
    after = step(EMITTING, replace(LIT, distance_mm=195.0), limits, NOW)
    assert after.state is State.OFF and "window" in after.reason


def test_a_slow_approach_is_no_jump_and_jitter_is_none():
    machine = EMITTING
    for turn in range(100):
        now = NOW + turn * 0.02
        fresh = dict.fromkeys(("lease_s", "beat_s", "distance_s", "head_s"), now)
        distance = 200 + 3 * math.sin(turn)
        machine = step(machine, replace(LIT, distance_mm=distance, **fresh), LIMITS, now)
        assert machine.state is State.EMITTING


def test_a_setpoint_of_no_power_cannot_emit():
    for limits in (
        replace(LIMITS, power_mw=0.0),
        replace(LIMITS, setpoint_mw_cm2=0.0),
        replace(LIMITS, nearest_mm=0.0),
    ):
        machine = step(ARMED, replace(GOOD, request=Request.EMIT), limits, NOW)
        assert machine.state is State.ARMED and machine.refusal


def test_the_power_is_capped_and_does_not_follow_the_rangefinder():
    assert replace(LIMITS, power_mw=100.0).commanded_mw == 100.0
    assert LIMITS.commanded_mw == pytest.approx(FULL_MW)

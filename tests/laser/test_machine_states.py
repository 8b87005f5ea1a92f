"""Every state of the machine that discrete inputs can reach, judged by `judge`, which knows nothing of the machine."""

import math
from dataclasses import replace
from itertools import product

import pytest

from glioscope.laser import Beam, Inputs, Limits, Machine, Request, State, power_mw, step

from .judge import Rules, Truth, against

BEAM = Beam(diameter_mm=10, divergence_mrad=100, profile="flat")
LIMITS = Limits(
    power_mw=5000, nearest_mm=150, working_mm=200, farthest_mm=220, beam=BEAM, settle_ms=10, weak_ms=20, calm_ms=12,
    speed_mm_s=5000, jitter_mm=5,
)  # fmt: skip
FULL_MW = power_mw(50, 200, BEAM)
RULES = Rules(0.08, 0.5, 0.2, 150, 220, 55, FULL_MW, 10, 100)
NOW, TICK = 1000.0, 0.006
NAN = math.nan
# 185 mm is in the window but too strong, 225 outside it, 162 a jump from 200 within one tick but not within two.
READINGS = [(200.0, 0.01), (185.0, 0.01), (225.0, 0.01), (162.0, 0.01), (NAN, 0.01), (200.0, 0.3), (200.0, -0.05)]
WORLDS = list(
    product([True, False], [0.02, 0.1], [0.1, 0.6, -0.2], [True, False], READINGS, [0.0, FULL_MW, FULL_MW * 1.2, NAN])
)
HEADS = [("", 0.01), ("broken", 0.01), ("", 0.2)]


def truth_of(world, head):
    key, lease, beat, streaming, (distance, age), power = world
    return Truth(key, lease, beat, streaming, distance, age, not head[0] and head[1] <= 0.08, power)


def inputs_of(world, head, request):
    key, lease, beat, streaming, (distance, age), power = world
    return Inputs(
        NOW - lease, NOW - beat, streaming, distance, NOW - age, key, False, power, head[0], NOW - head[1], request
    )


def aged(machine):
    """The machine one tick later, in the fewest words: what can no longer matter is forgotten."""

    def older(when, most):
        age = round(NOW - when + TICK, 4) if math.isfinite(when) else math.inf
        return NOW - age if age <= most else -math.inf

    state = machine.state
    known = machine.distance_s is not None and NOW - machine.distance_s < 0.012
    return replace(
        machine,
        reason="" if state is State.EMITTING else "dark",
        refusal="",
        changed_s=-math.inf if state is State.EMITTING else older(machine.changed_s, 0.024),
        full_s=older(machine.full_s, 0.024) if state is State.EMITTING else -math.inf,
        trouble_s=older(machine.trouble_s, 0.018) if state is State.FAULT else -math.inf,
        distance_mm=machine.distance_mm if known else None,
        distance_s=machine.distance_s - TICK if known else None,
    )


def complaint(was, now, request, truth, found, broken):
    """What the judge finds wrong in one step from `was` to `now`; empty if nothing."""
    jump = (
        was.state is not State.OFF
        and was.distance_mm is not None
        and math.isfinite(truth.distance_mm)
        and truth.distance_age == 0.01
        and abs(truth.distance_mm - was.distance_mm) > 35
    )
    lit, was_lit = now.state is State.EMITTING, was.state is State.EMITTING
    if lit and found:
        return f"light against {found}"
    if lit and truth.power_mw > FULL_MW * 1.08 + 0.5:
        return "light though the power is over what is commanded"
    if lit and not was_lit and not (was.state is State.ARMED and request is Request.EMIT):
        return "light that nobody asked for"
    if now.state is State.ARMED and was.state is State.OFF and request is not Request.ARM:
        return "armed by itself"
    if now.state is State.ARMED and {"key", "lease", "heartbeat"} & found:
        return "armed without key, lease or heartbeat"
    if was.state is State.FAULT and now.state not in (State.FAULT, State.OFF):
        return "out of a fault other than to off"
    if was.state is State.FAULT and now.state is State.OFF:
        if request is not Request.CLEAR:
            return "a fault went without its being seen"
        if NOW - was.trouble_s < 0.012 - 1e-9 or broken:
            return "a fault was cleared while its cause stood"
    if (broken or jump) and now.state is not State.FAULT:
        return "a fault was not noticed"
    dark_for = NOW - 0.01 - was.changed_s
    if not was_lit and not broken and dark_for > 0.0101 and truth.power_mw > 0.5 and now.state is not State.FAULT:
        return "a stuck driver was not noticed"
    if not lit and not now.reason:
        return "dark without a reason"
    return ""


def explore(limits, inputs):
    """All states that are reachable, and what the judge says."""
    seen, waiting, complaints, steps = set(), [aged(Machine())], [], 0
    seen.add(waiting[0])
    while waiting:
        was = waiting.pop()
        for given, truth, against_it, broken in inputs:
            steps += 1
            now = step(was, given, limits, NOW)
            wrong = complaint(was, now, given.request, truth, against_it, broken)
            if wrong:
                complaints.append((wrong, was, given))
            after = aged(now)
            if after not in seen:
                seen.add(after)
                waiting.append(after)
        if complaints:
            break
    return seen, complaints, steps


def all_inputs():
    for world, head, request in product(WORLDS, HEADS, Request):
        ahead = world[2] < 0 or world[4][1] < 0
        broken = bool(head[0]) or head[1] > 0.08 or math.isnan(world[5]) or ahead
        truth = truth_of(world, head)
        yield inputs_of(world, head, request), truth, against(truth, RULES), broken


@pytest.mark.slow
def test_no_reachable_state_has_light_against_the_truth():
    seen, complaints, steps = explore(LIMITS, list(all_inputs()))
    assert not complaints, complaints[0]
    assert {each.state for each in seen} == set(State)
    assert len(seen) > 100 and steps > 1_000_000


def test_default_limits_reach_no_light():
    inputs = [each for each in all_inputs() if each[0].power_mw == 0.0]
    seen, _, _ = explore(Limits(), inputs)
    assert State.ARMED in {each.state for each in seen}
    assert State.EMITTING not in {each.state for each in seen}

"""The safety machine of the laser: a pure function of what was, what is known, the limits and the time.

off -> armed -> emitting, and fault from anywhere. Light is commanded in `EMITTING` and nowhere else. Anything missing
sends the machine to `OFF`, from where the operator arms again. A fault latches. Every condition is written so that a
value which is absent, NaN, infinite or dated in the future does not permit.
"""

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum

from ._beam import Beam, irradiance_mw_cm2, power_mw

FUTURE_S = 0.001
"""A time may lie this far ahead of the keeper's own and still count as now: rounding, for all have one clock."""


class State(StrEnum):
    """States of the machine; the same words as `core.LaserState`."""

    OFF = "off"
    ARMED = "armed"
    EMITTING = "emitting"
    FAULT = "fault"


class Request(StrEnum):
    """What the operator asks for; most of the time nothing."""

    NONE = ""
    ARM = "arm"
    EMIT = "emit"
    HOLD = "hold"
    CLEAR = "clear"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Limits:
    """What is allowed. With the values that stand here nothing can ever be emitted.

    Attributes
    ----------
    power_mw : the highest that may be commanded; 0: none.
    setpoint_mw_cm2 : irradiance wanted at `working_mm`; the power is fixed by it, and never follows the rangefinder.
    limit_mw_cm2 : irradiance at the measured distance that must not be exceeded; above the setpoint.
    nearest_mm, working_mm, farthest_mm : the window of distances and the one within it that the power is meant for.
    beam : geometry.
    heartbeat_ms, range_ms, lease_ms, head_ms : how old the operator's heartbeat, the range reading, the owner's last
        renewal and the oldest answer of the laser head may be.
    speed_mm_s, jitter_mm : two range readings may differ by the jitter and this speed; more is a jump.
    power_share, dark_mw : share by which the read-back may differ from what is commanded; read-back that still is dark.
    settle_ms : after light is switched off, time until the read-back must be dark.
    weak_ms : time that a read-back may stay below what is commanded.
    gated : light is also gated by hardware, so that a low read-back is no fault.
    calm_ms : time that the cause of a fault must be gone before it can be cleared.
    """

    power_mw: float = 0.0
    setpoint_mw_cm2: float = 50.0
    limit_mw_cm2: float = 55.0
    nearest_mm: float = 0.0
    working_mm: float = 0.0
    farthest_mm: float = 0.0
    beam: Beam = field(default_factory=Beam)
    heartbeat_ms: float = 500.0
    range_ms: float = 200.0
    lease_ms: float = 80.0
    head_ms: float = 80.0
    speed_mm_s: float = 500.0
    jitter_mm: float = 5.0
    power_share: float = 0.08
    dark_mw: float = 0.5
    settle_ms: float = 10.0
    weak_ms: float = 100.0
    gated: bool = False
    calm_ms: float = 300.0

    @property
    def commanded_mw(self) -> float:
        """Power that is commanded while emitting."""
        return min(self.power_mw, power_mw(self.setpoint_mw_cm2, self.working_mm, self.beam))


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that the keeper knows. Times are `time.monotonic()`; None: never.

    Attributes
    ----------
    lease_s : when the owner renewed. beat_s : the operator's last heartbeat. streaming : both cameras stream.
    distance_mm, distance_s : newest range reading and when it was taken.
    key, emission, power_mw, head_fault : what the laser head says: key and interlock closed, light on, optical power,
        its faults or what is wrong with its answers.
    head_s : when the oldest of the head's answers was asked for.
    request : of the operator.
    """

    lease_s: float | None = None
    beat_s: float | None = None
    streaming: bool = False
    distance_mm: float | None = None
    distance_s: float | None = None
    key: bool = False
    emission: bool = False
    power_mw: float = 0.0
    head_fault: str = ""
    head_s: float | None = None
    request: Request = Request.NONE


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the machine stands.

    Attributes
    ----------
    state, reason : and why there is no light; empty while there is.
    refusal : why the request of this step was refused, empty if it was not.
    changed_s : when light was last commanded on or off. full_s : when the power was last as commanded.
    trouble_s : when the cause of a fault was last seen.
    distance_mm, distance_s : the last range reading that was one.
    """

    state: State = State.OFF
    reason: str = "not armed"
    refusal: str = ""
    changed_s: float = -math.inf
    full_s: float = -math.inf
    trouble_s: float = -math.inf
    distance_mm: float | None = None
    distance_s: float | None = None


def step(was: Machine, inputs: Inputs, limits: Limits, now: float) -> Machine:
    """The machine after these inputs at this time."""
    trouble = why_fault(was, inputs, limits, now)
    unarmed = why_not_armed(inputs, limits, now)
    dark = unarmed or why_dark(inputs, limits, now)
    state, reason, refusal = was.state, was.reason, ""
    if trouble:
        state, reason = State.FAULT, trouble
        refusal = trouble if inputs.request in (Request.ARM, Request.EMIT, Request.CLEAR) else ""
    elif state is State.FAULT:
        calm = (now - was.trouble_s) * 1000 >= limits.calm_ms
        if inputs.request is Request.CLEAR and calm and not _late(inputs.lease_s, limits.lease_ms, now):
            state, reason = State.OFF, "the fault was cleared; not armed"
        elif inputs.request in (Request.ARM, Request.EMIT, Request.CLEAR):
            refusal = f"a fault is latched: {reason}" + ("" if calm else "; its cause is not gone for long enough")
    elif inputs.request is Request.OFF:
        state, reason = State.OFF, "switched off"
    elif state is State.OFF:
        if inputs.request is Request.ARM:
            state, reason, refusal = (State.OFF, reason, unarmed) if unarmed else (State.ARMED, "armed, dark", "")
        elif inputs.request is Request.EMIT:
            refusal = "not armed"
    elif unarmed or (state is State.EMITTING and dark):
        state, reason = State.OFF, unarmed or dark
        refusal = reason if inputs.request in (Request.ARM, Request.EMIT) else ""
    elif state is State.ARMED and inputs.request is Request.EMIT:
        state, reason, refusal = (State.ARMED, f"armed, dark: {dark}", dark) if dark else (State.EMITTING, "", "")
    elif state is State.EMITTING and inputs.request is Request.HOLD:
        state, reason = State.ARMED, "armed, held dark"
    return _remember(was, replace(was, state=state, reason=reason, refusal=refusal), inputs, limits, now, bool(trouble))


def why_not_armed(inputs: Inputs, limits: Limits, now: float) -> str:
    """Why the machine may not be armed, one sentence; empty if it may."""
    if _late(inputs.lease_s, limits.lease_ms, now):
        return f"the program that owns the laser did not renew its lease within {limits.lease_ms:g} ms"
    if not inputs.key:
        return "the key switch or the interlock of the laser head is open"
    if _late(inputs.beat_s, limits.heartbeat_ms, now):
        return f"the operator's heartbeat is more than {limits.heartbeat_ms:g} ms late"
    return ""


def why_dark(inputs: Inputs, limits: Limits, now: float) -> str:
    """Why an armed machine may not emit, one sentence; empty if it may."""
    if not inputs.streaming:
        return "not both cameras stream"
    if inputs.distance_mm is None or _late(inputs.distance_s, limits.range_ms, now):
        return f"no reading of the rangefinder within {limits.range_ms:g} ms"
    if not limits.nearest_mm <= inputs.distance_mm <= limits.farthest_mm or not limits.nearest_mm > 0:
        window = f"{limits.nearest_mm:g} to {limits.farthest_mm:g} mm"
        return f"the distance {inputs.distance_mm:.1f} mm is outside the window of {window}"
    irradiance = irradiance_mw_cm2(max(limits.commanded_mw, inputs.power_mw), inputs.distance_mm, limits.beam)
    if not irradiance <= limits.limit_mw_cm2:
        return f"{irradiance:.1f} mW/cm2 at {inputs.distance_mm:.1f} mm is over the limit of {limits.limit_mw_cm2:g}"
    if not limits.commanded_mw > 0:
        return "the power is set to 0 mW"
    return ""


def why_fault(was: Machine, inputs: Inputs, limits: Limits, now: float) -> str:
    """What is broken, one sentence; empty if nothing is."""
    if inputs.head_fault:
        return inputs.head_fault
    if _late(inputs.head_s, limits.head_ms, now):
        return f"the laser head has not told how it is within {limits.head_ms:g} ms"
    if not 0 <= inputs.power_mw < math.inf:
        return f"the laser head reads back {inputs.power_mw} mW, which is no power"
    settled = inputs.head_s is not None and (inputs.head_s - was.changed_s) * 1000 > limits.settle_ms
    if was.state is not State.EMITTING and settled and (inputs.power_mw > limits.dark_mw or inputs.emission):
        return (
            f"the laser shines with {inputs.power_mw:.1f} mW though it is told to be dark: its driver is stuck, "
            "open the interlock by hand"
        )
    if inputs.power_mw > limits.commanded_mw * (1 + limits.power_share) + limits.dark_mw:
        return f"the laser head reads back {inputs.power_mw:.1f} mW where {limits.commanded_mw:.1f} mW are commanded"
    if was.state is State.EMITTING and not limits.gated and (now - was.full_s) * 1000 > limits.weak_ms:
        return f"the laser gives {inputs.power_mw:.1f} mW where {limits.commanded_mw:.1f} mW are commanded"
    for what, when_s in (("lease", inputs.lease_s), ("heartbeat", inputs.beat_s), ("range reading", inputs.distance_s)):
        if when_s is not None and when_s > now + FUTURE_S:  # it would count as fresh a little later
            return f"the {what} is dated {1000 * (when_s - now):.0f} ms in the future: a clock is wrong"
    if was.state is not State.OFF and _jumped(was, inputs, limits):
        return f"the rangefinder jumped from {was.distance_mm:.1f} to {inputs.distance_mm:.1f} mm"
    return ""


def _late(when_s: float | None, late_ms: float, now: float) -> bool:
    return when_s is None or not -FUTURE_S <= now - when_s <= late_ms / 1000


def _is_reading(inputs: Inputs, now: float) -> bool:
    if inputs.distance_mm is None or inputs.distance_s is None:
        return False
    return 0 < inputs.distance_mm < math.inf and inputs.distance_s <= now + FUTURE_S


def _jumped(was: Machine, inputs: Inputs, limits: Limits) -> bool:
    if was.distance_mm is None or was.distance_s is None or inputs.distance_mm is None or inputs.distance_s is None:
        return False
    moved = abs(inputs.distance_mm - was.distance_mm)
    return moved > limits.jitter_mm + limits.speed_mm_s * abs(inputs.distance_s - was.distance_s)


def _remember(was: Machine, new: Machine, inputs: Inputs, limits: Limits, now: float, trouble: bool) -> Machine:
    changed = (new.state is State.EMITTING) != (was.state is State.EMITTING)
    full = inputs.power_mw >= limits.commanded_mw * (1 - limits.power_share) - limits.dark_mw
    reading = _is_reading(inputs, now)
    return replace(
        new,
        changed_s=now if changed else was.changed_s,
        full_s=now if changed or full else was.full_s,
        trouble_s=now if trouble else was.trouble_s,
        distance_mm=inputs.distance_mm if reading else was.distance_mm,
        distance_s=inputs.distance_s if reading else was.distance_s,
    )

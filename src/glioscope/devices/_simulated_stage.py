"""A simulated stage: motors with trapezoidal speed profiles, encoders, limit switches and faults."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from glioscope.core import Axis, DeviceError, DeviceReport, DeviceState, InputError

DISTANCE = Axis("distance", "mm", 200.0, 450.0, 20.0)
ROTATION = Axis("rotation", "deg", -10.0, 330.0, 30.0)
_ACCELERATION = {"distance": 100.0, "rotation": 120.0}
_HOME = {"distance": 300.0, "rotation": 0.0}
_ENCODER_STEP = 0.01
_WATCHDOG_S = 0.2
_HISTORY_S = 5.0
_STILL = 1e-6


@dataclass(frozen=True, slots=True)
class _Leg:
    """From `start_s` on: position, speed and constant acceleration."""

    start_s: float
    position: float
    speed: float
    acceleration: float = 0.0

    def at(self, now: float) -> tuple[float, float]:
        t = max(now - self.start_s, 0.0)
        return (
            self.position + self.speed * t + self.acceleration * t * t / 2,
            self.speed + self.acceleration * t,
        )


class Profile:
    """Where an axis is at any time: legs of constant acceleration, at rest after the last."""

    def __init__(self, legs: tuple[_Leg, ...]) -> None:
        self.legs = legs

    @classmethod
    def rest(cls, start_s: float, position: float) -> "Profile":
        """Stand still."""
        return cls((_Leg(start_s, position, 0.0),))

    @classmethod
    def brake(cls, start_s: float, position: float, speed: float, acceleration: float) -> "Profile":
        """Come to rest at constant deceleration."""
        seconds = abs(speed) / acceleration
        leg = _Leg(start_s, position, speed, -float(np.sign(speed)) * acceleration)
        end, _ = leg.at(start_s + seconds)
        return cls((leg, _Leg(start_s + seconds, end, 0.0)))

    @classmethod
    def move(
        cls, start_s: float, position: float, speed: float, target: float, top_speed: float, acceleration: float
    ) -> "Profile":
        """Trapezoid to `target` from any state; one that cannot brake in time goes past and comes back."""
        speed = 0.0 if abs(speed) < _STILL else speed
        way = target - position
        direction = float(np.sign(way))
        stopping = speed**2 / (2 * acceleration)
        if speed * direction < 0 or stopping > abs(way) + _STILL or direction == 0:
            if speed == 0:
                return cls.rest(start_s, position)
            braked = cls.brake(start_s, position, speed, acceleration)
            rest = braked.legs[-1]
            onward = cls.move(rest.start_s, rest.position, 0.0, target, top_speed, acceleration)
            return cls((*braked.legs[:-1], *onward.legs))
        entry = abs(speed)
        peak = min(top_speed, float(np.sqrt(acceleration * abs(way) + entry**2 / 2)))
        peak = max(peak, min(entry, top_speed))
        change = peak - entry
        first, last = abs(change) / acceleration, peak / acceleration
        ways = abs(peak**2 - entry**2) / (2 * acceleration), peak**2 / (2 * acceleration)
        cruise = max((abs(way) - sum(ways)) / peak, 0.0)
        steps = ((first, np.sign(change) * acceleration), (cruise, 0.0), (last, -acceleration))
        legs, now, at, pace = [], start_s, position, speed
        for seconds, rate in steps:
            leg = _Leg(now, at, pace, direction * float(rate))
            legs.append(leg)
            now += seconds
            at, pace = leg.at(now)
        return cls((*legs, _Leg(now, target, 0.0)))

    def until(self, end_s: float, acceleration: float) -> "Profile":
        """The same up to `end_s`, then brake."""
        if end_s >= self.legs[-1].start_s:
            return self
        kept = tuple(leg for leg in self.legs if leg.start_s < end_s)
        return Profile((*kept, *self.brake(end_s, *self.at(end_s), acceleration).legs))

    def at(self, now: float) -> tuple[float, float]:
        """Position and speed."""
        leg = next((leg for leg in reversed(self.legs) if leg.start_s <= now), self.legs[0])
        return leg.at(now)


class SimulatedStage:
    """`core.MotionStage`. Stands still at 300 mm and 0 degrees at first.

    A stalled axis does not move while its controller believes it does: only the encoder (`position`) tells. A limit
    switch that is pressed stops its axis at once and lets it move away only.
    """

    def __init__(
        self,
        name: str,
        *,
        axes: tuple[Axis, ...] = (DISTANCE, ROTATION),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._clock = name, clock
        self._axes = {axis.name: axis for axis in axes}
        self._lock = threading.RLock()
        self._staged, self._plugged = False, True
        now = clock()
        homes = {n: min(max(_HOME.get(n, a.low), a.low), a.high) for n, a in self._axes.items()}
        self._told = {n: Profile.rest(now, home) for n, home in homes.items()}
        self._true: dict[str, tuple[tuple[float, Profile], ...]] = {n: ((now, p),) for n, p in self._told.items()}
        self._stalled: set[str] = set()
        self._pressed: dict[str, Literal["low", "high"]] = {}

    @property
    def name(self) -> str:
        """Name in this unit."""
        return self._name

    @property
    def axes(self) -> Mapping[str, Axis]:
        """By name."""
        return self._axes

    def stage(self) -> None:
        """Switch the drives on; nothing moves. Raises DeviceError while it is unplugged."""
        with self._lock:
            if not self._plugged:
                raise DeviceError(self._name, "no stage is found: unplugged; look at the cable")
            if not self._staged:
                for axis in self._axes:
                    self._set(axis, Profile.rest(self._clock(), self.true_position(axis, self._clock())))
            self._staged = True

    def position(self, axis: str) -> float:
        """The encoder, in steps of 0.01. Raises DeviceError when lost, InputError for an axis that is not fitted."""
        self._ready(axis)
        return round(self.true_position(axis, self._clock()) / _ENCODER_STEP) * _ENCODER_STEP

    def move_to(self, axis: str, position: float) -> None:
        """Start a trapezoidal move.

        Raises
        ------
        InputError : outside the soft limits, or no such axis.
        DeviceError : lost, or towards a limit switch that is pressed.
        """
        with self._lock:
            fitted = self._ready(axis)
            if not fitted.low <= position <= fitted.high:
                raise InputError(
                    f"{self._name}: {axis} {position:g} {fitted.unit} is outside the soft limits of {fitted.low:g} to "
                    f"{fitted.high:g} {fitted.unit}"
                )
            now = self._clock()
            at, speed = self._state(axis, now)
            self._check_switch(axis, position - at)
            self._set(axis, Profile.move(now, at, speed, position, fitted.speed, self._acceleration(axis)))

    def jog(self, axis: str, speed: float) -> None:
        """Go at this speed, at most the axis's own, until the soft limit or 0.2 s without another `jog`."""
        with self._lock:
            fitted = self._ready(axis)
            if not np.isfinite(speed):
                raise InputError(f"{self._name}: a speed of {speed} {fitted.unit}/s is no speed")
            self._check_switch(axis, speed)
            now, acceleration = self._clock(), self._acceleration(axis)
            at, pace = self._state(axis, now)
            if speed == 0:
                self._set(axis, Profile.brake(now, at, pace, acceleration))
                return
            end = fitted.high if speed > 0 else fitted.low
            profile = Profile.move(now, at, pace, end, min(abs(speed), fitted.speed), acceleration)
            self._set(axis, profile.until(now + _WATCHDOG_S, acceleration))

    def moving(self, axis: str) -> bool:
        """Whether the controller believes that the axis moves. Raises DeviceError when lost."""
        self._ready(axis)
        return abs(self._told[axis].at(self._clock())[1]) > _STILL

    def stop(self) -> None:
        """Brake all axes at their full deceleration."""
        with self._lock:
            now = self._clock()
            for axis in self._axes:
                self._set(axis, Profile.brake(now, *self._state(axis, now), self._acceleration(axis)))

    def unstage(self) -> None:
        """Stop and switch the drives off."""
        self.stop()
        self._staged = False

    def report(self) -> DeviceReport:
        """State, encoders and limit switches."""
        now = self._clock()
        details: dict[str, float | int | str | bool] = {"simulated": True}
        details |= {f"{n}_{a.unit}": round(self.true_position(n, now), 2) for n, a in self._axes.items()}
        model = "simulated stage"
        if not self._staged:
            return DeviceReport(self._name, DeviceState.OFF, model, details=details)
        if not self._plugged:
            faults: tuple[str, ...] = ("unplugged: look at the cable",)
            return DeviceReport(self._name, DeviceState.FAULT, model, faults=faults, details=details)
        faults = tuple(f"limit switch {end} of {axis} is pressed" for axis, end in dict(self._pressed).items())
        moving = any(abs(p.at(now)[1]) > _STILL for p in self._told.values())
        state = DeviceState.FAULT if faults else DeviceState.RUNNING if moving else DeviceState.READY
        return DeviceReport(self._name, state, model, None, faults, details)

    def true_position(self, axis: str, when_s: float) -> float:
        """Where the axis truly was or is, for times of the last 5 s. For those who simulate the rest of the bench."""
        past = self._true[axis]
        profile = next((p for since_s, p in reversed(past) if since_s <= when_s), past[0][1])
        return profile.at(when_s)[0]

    def stall(self, axis: str) -> None:
        """Block the motor where it is."""
        with self._lock:
            now = self._clock()
            self._keep(axis, Profile.rest(now, self.true_position(axis, now)))
            self._stalled.add(axis)

    def free(self, axis: str) -> None:
        """Unblock it: it stands until it is told to move."""
        with self._lock:
            self._stalled.discard(axis)
            now = self._clock()
            self._set(axis, Profile.rest(now, self.true_position(axis, now)))

    def press_switch(self, axis: str, end: Literal["low", "high"]) -> None:
        """Press the limit switch at one end of an axis."""
        with self._lock:
            now = self._clock()
            self._pressed[axis] = end
            self._set(axis, Profile.rest(now, self.true_position(axis, now)))

    def release_switches(self) -> None:
        """Let go of all limit switches."""
        self._pressed.clear()

    def unplug(self) -> None:
        """Pull the cable: the drives brake."""
        self.stop()
        self._plugged = False

    def plug(self) -> None:
        """Put the cable back; it has to be staged anew."""
        with self._lock:
            self._plugged, self._staged = True, False

    def _ready(self, axis: str) -> Axis:
        if axis not in self._axes:
            raise InputError(f"{self._name}: no axis {axis!r}; fitted: {', '.join(self._axes)}")
        if not self._staged:
            raise DeviceError(self._name, "is not staged")
        if not self._plugged:
            raise DeviceError(self._name, "is lost: unplugged; look at the cable, then stage it anew")
        return self._axes[axis]

    def _acceleration(self, axis: str) -> float:
        return _ACCELERATION.get(axis, 100.0)

    def _check_switch(self, axis: str, direction: float) -> None:
        end = self._pressed.get(axis)
        if end is not None and (direction > 0) == (end == "high") and direction != 0:
            raise DeviceError(self._name, f"limit switch {end} of {axis} is pressed: move it away from there only")

    def _state(self, axis: str, now: float) -> tuple[float, float]:
        """Position and speed that a new move begins with."""
        if axis in self._stalled:
            return self.true_position(axis, now), 0.0
        return self._told[axis].at(now)

    def _set(self, axis: str, profile: Profile) -> None:
        self._told[axis] = profile
        if axis not in self._stalled:
            self._keep(axis, profile)

    def _keep(self, axis: str, profile: Profile) -> None:
        """Add what the axis truly does from now on, and forget what is long past."""
        now, past = self._clock(), self._true[axis]
        recent = tuple(entry for entry in past if entry[0] > now - _HISTORY_S)
        self._true[axis] = (*(recent or past[-1:]), (now, profile))

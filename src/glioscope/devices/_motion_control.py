"""The pure parts of motion: settings, what to believe of the rangefinder, how fast to go, when an axis is stalled."""

from collections import deque
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, model_validator

from glioscope.core import Distance

_AHEAD_S = 0.05
_FELT, _FOLLOWED = 0.05, 0.25
"""A stalled axis was told to go by this much at least, and has gone by this share at most."""


class MotionSettings(BaseModel):
    """How the unit moves. Speeds are limits; the stage's own limits hold besides."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    period_s: float = Field(default=0.02, gt=0, le=0.05)
    """Time between two looks at rangefinder, handle and encoders."""
    gain_per_s: float = Field(default=2.0, gt=0, le=5)
    """Speed for each mm off the target."""
    dead_band_mm: float = Field(default=0.5, gt=0)
    """Off the target by less than this, it does not begin to move."""
    settled_mm: float = Field(default=0.2, gt=0)
    """Once it moves, it goes on until it is as near as this."""
    filter_s: float = Field(default=0.3, gt=0)
    """Over this time the place of the tissue is averaged; the unit's own movement is not."""
    approach_mm_s: float = Field(default=4.0, gt=0)
    """Fastest towards the tissue; slower than away from it."""
    retreat_mm_s: float = Field(default=10.0, gt=0)
    """Fastest away from the tissue."""
    rotate_deg_s: float = Field(default=20.0, gt=0)
    """Fastest turn."""
    jog_mm_s: float = Field(default=4.0, gt=0)
    """At full deflection of the handle."""
    jog_deg_s: float = Field(default=10.0, gt=0)
    """At full deflection of the handle."""
    min_distance_mm: float = Field(default=220.0, gt=0)
    """Nothing may bring the unit nearer to the tissue."""
    margin_mm: float = Field(default=1.5, ge=0)
    """Kept from the least distance besides, for noise and breathing: a unit that stands can be approached too."""
    max_distance_mm: float = Field(default=450.0, gt=0)
    """A reading beyond this is not believed."""
    stale_s: float = Field(default=0.15, gt=0)
    """A reading older than this is none."""
    jump_mm: float = Field(default=10.0, gt=0)
    """A reading that is off the one expected by more than this is a jump."""
    accept_s: float = Field(default=0.5, gt=0)
    """After a jump, readings that agree for this long are believed again; what had been stopped stays so."""
    handle_stale_s: float = Field(default=0.08, gt=0)
    """A position of the handle older than this is not held."""
    stall_s: float = Field(default=0.3, gt=0)
    """An axis that has not followed for this long is stalled."""
    braking_mm_s2: float = Field(default=100.0, gt=0)
    """Deceleration that the stage surely reaches."""
    reaction_s: float = Field(default=0.1, gt=0)
    """From a reading to the beginning of the braking, at worst."""

    @property
    def nearest_target_mm(self) -> float:
        """The nearest distance that can be kept without the guard's interference."""
        return self.min_distance_mm + self.margin_mm + self.dead_band_mm

    @model_validator(mode="after")
    def _ordered(self) -> "MotionSettings":
        if self.approach_mm_s > self.retreat_mm_s:
            raise ValueError(f"approach {self.approach_mm_s} mm/s is faster than retreat {self.retreat_mm_s} mm/s")
        if self.settled_mm >= self.dead_band_mm:
            raise ValueError(f"settled within {self.settled_mm} mm is not under the dead band, {self.dead_band_mm} mm")
        if self.nearest_target_mm >= self.max_distance_mm:
            raise ValueError(f"nearest target {self.nearest_target_mm} mm is not under {self.max_distance_mm} mm")
        return self


@dataclass(frozen=True, slots=True)
class RangeView:
    """What the rangefinder is believed: mm, or None and the reason. `nearest_mm` counts for the guard."""

    distance_mm: float | None
    nearest_mm: float | None
    reason: str = ""


class RangeWatch:
    """Judges readings and averages them.

    The stage's encoder tells how the unit moves, so only the tissue's place (encoder minus reading) is averaged: noise
    falls, and the control loop does not lag behind its own movement.
    """

    def __init__(self, settings: MotionSettings) -> None:
        self._settings = settings
        self.forget()

    def forget(self) -> None:
        """Begin anew, with the next reading."""
        self._tissue: float | None = None
        self._after: tuple[float, float] | None = None
        self._last_s, self._count = float("-inf"), 0

    def look(self, reading: Distance | None, position_mm: float, now: float) -> RangeView:
        """Judge the newest reading; `position_mm` is the encoder's."""
        s = self._settings
        reason = self._doubt(reading, now)
        if reading is None or reason:
            return RangeView(None, None, reason)
        seen = position_mm - reading.distance_mm
        if self._tissue is not None and abs(seen - self._tissue) > s.jump_mm and not self._lasts(seen, now):
            jump = abs(seen - self._tissue)
            return RangeView(None, None, f"the rangefinder jumped by {jump:.0f} mm, limit {s.jump_mm:g} mm")
        if self._tissue is None or abs(seen - self._tissue) > s.jump_mm:
            self._tissue, self._count = seen, 1
        elif reading.monotonic_s > self._last_s:
            self._count += 1
            # At first the plain mean, so that one noisy reading does not weigh for long.
            weight = max((reading.monotonic_s - self._last_s) / s.filter_s, 1 / self._count)
            self._tissue += min(weight, 1.0) * (seen - self._tissue)
        self._last_s, self._after = reading.monotonic_s, None
        distance = position_mm - self._tissue
        return RangeView(distance, min(distance, reading.distance_mm))

    def _lasts(self, seen: float, now: float) -> bool:
        """Whether the place after a jump has stayed for so long that it is where the tissue is."""
        if self._after is None or abs(seen - self._after[0]) > self._settings.jump_mm:
            self._after = seen, now
        return now - self._after[1] >= self._settings.accept_s

    def _doubt(self, reading: Distance | None, now: float) -> str:
        s = self._settings
        if reading is None:
            return "the rangefinder has given no reading yet"
        age = now - reading.monotonic_s
        if not -_AHEAD_S <= age <= s.stale_s:
            return f"the rangefinder's reading is {age:.2f} s old, limit {s.stale_s:g} s"
        if not 0 < reading.distance_mm <= s.max_distance_mm:
            return f"the rangefinder reads {reading.distance_mm:g} mm, outside 0 to {s.max_distance_mm:g} mm"
        return ""


def hold_speed(error_mm: float, moving: bool, settings: MotionSettings) -> float:
    """Speed along the distance axis that brings the error (distance minus target) down; 0 inside the dead band."""
    if abs(error_mm) < (settings.settled_mm if moving else settings.dead_band_mm):
        return 0.0
    return min(max(-settings.gain_per_s * error_mm, -settings.approach_mm_s), settings.retreat_mm_s)


def approach_refused(view: RangeView, speed_mm_s: float, settings: MotionSettings) -> str:
    """Why the unit may not go towards the tissue at this speed (mm/s, above 0), or "".

    The guard of the least distance. It knows nothing of targets and states: what the unit still travels until it
    stands must leave the least distance and its margin.
    """
    if view.nearest_mm is None:
        return f"no way towards the tissue: {view.reason}"
    travel = speed_mm_s * settings.reaction_s + speed_mm_s**2 / (2 * settings.braking_mm_s2)
    if view.nearest_mm - travel < settings.min_distance_mm + settings.margin_mm:
        return (
            f"at {view.nearest_mm:.0f} mm it may not go nearer: the least distance is {settings.min_distance_mm:g} mm"
        )
    return ""


class Follower:
    """Compares what an axis was told with what its encoder shows, over the last `stall_s`."""

    def __init__(self, unit: str, stall_s: float) -> None:
        self._unit, self._stall_s = unit, stall_s
        self._speed, self._told = 0.0, 0.0
        self._past: deque[tuple[float, float, float]] = deque()

    def stalled(self, speed: float, position: float, now: float) -> str:
        """A sentence when the axis, told to go at `speed` since the last call, has not followed; else ""."""
        if self._speed * speed <= 0:
            self._past.clear()
        else:
            self._told += abs(self._speed) * (now - self._past[-1][0])
        self._speed = speed
        self._past.append((now, self._told, position))
        while len(self._past) > 2 and now - self._past[1][0] >= self._stall_s:
            self._past.popleft()
        since_s, told, then = self._past[0]
        seconds, expected, moved = now - since_s, self._told - told, abs(position - then)
        if seconds < self._stall_s or expected < _FELT or moved > _FOLLOWED * expected:
            return ""
        return f"stalled: its encoder has moved by {moved:.2f} of {expected:.2f} {self._unit} in {seconds:.1f} s"

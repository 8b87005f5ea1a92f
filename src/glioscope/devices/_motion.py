"""Motion of the unit: keeps the working distance, turns, and follows the handle while its button is held.

Every movement is a jog, renewed each period; a stage stops by itself 0.2 s after the last one. So when this loop dies,
the unit stands.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from glioscope.core import (
    DeviceError,
    GlioscopeError,
    Handle,
    HandlePosition,
    InputError,
    MotionStage,
    RangeFinder,
)

from ._motion_control import Follower, MotionSettings, RangeView, RangeWatch, approach_refused, hold_speed

_THERE = 0.05
_AT_LIMIT = 0.02
_TURN_GAIN_PER_S = 4.0
_CREEP = 0.2
_DISTANCE = "distance"
_MOTION = "motion"


class MotionState(StrEnum):
    """What the unit does. `STOPPED` and `FAULT` last until `resume`."""

    IDLE = "idle"
    HOLDING = "holding"
    MOVING = "moving"
    JOGGING = "jogging"
    STOPPED = "stopped"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class MotionReport:
    """What the unit does now.

    Attributes
    ----------
    reason : why it is stopped or in a fault, or why it does not go where it is asked to; else empty.
    distance_mm : from the tissue, averaged; None without a reading that can be believed.
    target_mm : the distance that it keeps; None when it keeps none.
    settled : it keeps its distance within the dead band and no axis moves.
    """

    state: MotionState
    reason: str = ""
    distance_mm: float | None = None
    target_mm: float | None = None
    settled: bool = False
    monotonic_s: float = 0.0


class Motion:
    """The control loop over stage, rangefinder and handle, which are staged by their owner.

    `start` runs it in a thread of its own; tests call `step` in virtual time instead. `stop` works from any thread at
    any moment and lasts until `resume`.

    Parameters
    ----------
    handle : None if there is none: then nothing is jogged.
    """

    def __init__(
        self,
        stage: MotionStage,
        rangefinder: RangeFinder,
        handle: Handle | None = None,
        *,
        settings: MotionSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stage, self._rangefinder, self._handle = stage, rangefinder, handle
        self.settings = settings or MotionSettings()
        self._clock = clock
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._watch = RangeWatch(self.settings)
        self._followers = {n: Follower(a.unit, self.settings.stall_s) for n, a in stage.axes.items()}
        self._speeds = dict.fromkeys(stage.axes, 0.0)
        self._target_mm: float | None = None
        self._moves: dict[str, float] = {}
        self._jogging, self._let_go = False, False
        self._fault, self._stop_reason = "", ""
        self._report = MotionReport(MotionState.IDLE, monotonic_s=clock())

    def start(self) -> None:
        """Run the loop in a thread; nothing moves until it is told to."""
        if self._thread is None or not self._thread.is_alive():
            self._ending.clear()
            self._thread = threading.Thread(target=self._run, name="motion", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop all axes and end the loop."""
        self._ending.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(timeout=2)
        self._stage.stop()

    def hold(self, distance_mm: float) -> None:
        """Keep this distance from the tissue.

        Raises
        ------
        InputError : no such axis, nearer than the guard allows, or beyond what the rangefinder is believed.
        DeviceError : stopped, in a fault, or jogging.
        """
        if _DISTANCE not in self._stage.axes:
            raise InputError(f"no distance can be kept: the stage has {', '.join(self._stage.axes)} only")
        low, high = self.settings.nearest_target_mm, self.settings.max_distance_mm
        if not low <= distance_mm <= high:
            raise InputError(f"distance {distance_mm:g} mm is outside {low:g} to {high:g} mm")
        with self._lock:
            self._raise_unless_free()
            self._moves.pop(_DISTANCE, None)
            self._target_mm = distance_mm

    def move_to(self, axis: str, position: float) -> None:
        """Start a move of one axis by its encoder; on "distance" it ends keeping the distance.

        Raises
        ------
        InputError : no such axis, or outside its soft limits.
        DeviceError : stopped, in a fault, or jogging.
        """
        fitted = self._stage.axes.get(axis)
        if fitted is None:
            raise InputError(f"no axis {axis!r} is fitted: {', '.join(self._stage.axes)}")
        if not fitted.low <= position <= fitted.high:
            raise InputError(
                f"{axis} {position:g} {fitted.unit} is outside the soft limits of {fitted.low:g} to {fitted.high:g}"
            )
        with self._lock:
            self._raise_unless_free()
            if axis == _DISTANCE:
                self._target_mm = None
            self._moves[axis] = position

    def release(self) -> None:
        """Keep no distance and end all moves; the unit stands."""
        with self._lock:
            self._target_mm, self._moves = None, {}

    def stop(self, reason: str = "stopped by the operator") -> None:
        """Stop all axes, from any thread, at any moment; lasts until `resume`. Never raises."""
        self._stop_reason = reason
        self._stopped.set()
        # No lock: a step under way may hold it. It looks at `_stopped` after its last jog and stops again.
        self._stage.stop()

    def resume(self) -> None:
        """Leave `STOPPED` or `FAULT`, idle: nothing moves until it is told to. The handle has to be let go first."""
        with self._lock:
            self._target_mm, self._moves = None, {}
            self._fault, self._jogging, self._let_go = "", False, False
            self._watch.forget()
            self._stopped.clear()
            self._report = MotionReport(MotionState.IDLE, monotonic_s=self._clock())
        if self._thread is not None:
            self.start()  # a loop that has ended begins anew

    def report(self) -> MotionReport:
        """As of the last step; `stop` shows at once."""
        newest = self._report
        if self._stopped.is_set() and newest.state is not MotionState.STOPPED:
            return MotionReport(MotionState.STOPPED, self._stop_reason, newest.distance_mm, None, False, self._clock())
        return newest

    def step(self) -> None:
        """One period of the loop: look, decide, drive. Device trouble ends in `FAULT`."""
        with self._lock:
            now = self._clock()
            view = RangeView(None, None, "")
            try:
                positions = {axis: self._stage.position(axis) for axis in self._stage.axes}
                view = self._look(positions, now)
                hand = self._hand(now)
                if self._stopped.is_set() or self._fault:
                    self._speeds = dict.fromkeys(self._speeds, 0.0)
                    reason = ""
                else:
                    reason = self._act(hand, view, positions, now)
            except GlioscopeError as error:
                ours = isinstance(error, DeviceError) and error.device == _MOTION
                self._fail(error.reason if ours else str(error))  # type: ignore[attr-defined]
                reason = ""
            if self._stopped.is_set():
                self._stage.stop()
            self._tell(view, reason, now)

    def _run(self) -> None:
        ending = "the motion loop has ended"
        try:
            while not self._ending.wait(self.settings.period_s):
                self.step()
            ending = ""
        finally:
            self._stage.stop()
            if ending:
                self._fault = ending
                self._report = MotionReport(MotionState.FAULT, ending, monotonic_s=self._clock())

    def _raise_unless_free(self) -> None:
        report = self.report()
        if report.state in (MotionState.STOPPED, MotionState.FAULT):
            raise DeviceError(_MOTION, f"is in {report.state}: {report.reason}; resume first")
        if self._jogging:
            raise DeviceError(_MOTION, "the handle moves it; let it go first")

    def _look(self, positions: dict[str, float], now: float) -> RangeView:
        try:
            reading = self._rangefinder.read()
        except DeviceError as error:
            return RangeView(None, None, str(error))
        return self._watch.look(reading, positions.get(_DISTANCE, 0.0), now)

    def _hand(self, now: float) -> HandlePosition | None:
        """The handle while it is held; after `resume` it has to be let go once."""
        if self._handle is None:
            return None
        try:
            position = self._handle.read()
        except DeviceError as error:
            if self._jogging:
                raise DeviceError(_MOTION, f"stopped jogging: {error}") from error
            return None
        if position is None or now - position.monotonic_s > self.settings.handle_stale_s:
            return None
        self._let_go = self._let_go or not position.held
        return position if position.held and self._let_go else None

    def _act(self, hand: HandlePosition | None, view: RangeView, positions: dict[str, float], now: float) -> str:
        """Drive the axes; gives why one does not go where it is asked to, or ""."""
        if hand is not None and any(hand.deflection.values()):
            self._jogging, self._target_mm, self._moves = True, None, {}
            wanted = self._jog_speeds(hand)
        else:
            self._jogging = False
            wanted = self._loop_speeds(view, positions)
        reasons = [self._drive(axis, wanted.get(axis, 0.0), view, positions, now) for axis in self._stage.axes]
        return "; ".join(reason for reason in reasons if reason)

    def _jog_speeds(self, hand: HandlePosition) -> dict[str, float]:
        top = {_DISTANCE: self.settings.jog_mm_s}
        return {
            axis: min(max(hand.deflection.get(axis, 0.0), -1.0), 1.0) * top.get(axis, self.settings.jog_deg_s)
            for axis in self._stage.axes
        }

    def _loop_speeds(self, view: RangeView, positions: dict[str, float]) -> dict[str, float]:
        s, speeds = self.settings, dict[str, float]()
        for axis, target in list(self._moves.items()):
            left = target - positions[axis]
            if abs(left) <= _THERE:
                del self._moves[axis]
                continue
            low, high = (-s.approach_mm_s, s.retreat_mm_s) if axis == _DISTANCE else (-s.rotate_deg_s, s.rotate_deg_s)
            creep = _CREEP if left > 0 else -_CREEP
            speeds[axis] = min(max(_TURN_GAIN_PER_S * left + creep, low), high)
        if self._target_mm is not None:
            if view.distance_mm is None:
                raise DeviceError(_MOTION, f"stopped keeping the distance: {view.reason}")
            error = view.distance_mm - self._target_mm
            speeds[_DISTANCE] = hold_speed(error, self._speeds[_DISTANCE] != 0, s)
        return speeds

    def _drive(self, axis: str, speed: float, view: RangeView, positions: dict[str, float], now: float) -> str:
        """Jog one axis within its limits and the least distance; gives why it does not, or ""."""
        limit = self._at_limit(axis, speed, positions[axis])
        approaching = axis == _DISTANCE and speed < 0
        guard = approach_refused(view, -speed, self.settings) if approaching and not limit else ""
        if limit or guard:
            speed = 0.0
            # Keeping the distance waits for the tissue to make room; everything else cannot go on by itself.
            if not self._jogging and (limit or axis in self._moves):
                raise DeviceError(_MOTION, limit or guard)
        stalled = self._followers[axis].stalled(speed, positions[axis], now)
        if stalled:
            raise DeviceError(_MOTION, f"{axis} {stalled}")
        if speed != 0 or self._speeds[axis] != 0:
            fastest = self._stage.axes[axis].speed
            self._stage.jog(axis, min(max(speed, -fastest), fastest))
        self._speeds[axis] = speed
        return limit or guard

    def _at_limit(self, axis: str, speed: float, position: float) -> str:
        fitted = self._stage.axes[axis]
        end = fitted.high if speed > 0 else fitted.low
        if speed == 0 or abs(position - end) > _AT_LIMIT:
            return ""
        return f"{axis} is at its limit of {end:g} {fitted.unit}"

    def _fail(self, reason: str) -> None:
        self._stage.stop()
        self._fault, self._target_mm, self._moves, self._jogging = reason, None, {}, False
        self._speeds = dict.fromkeys(self._speeds, 0.0)

    def _tell(self, view: RangeView, reason: str, now: float) -> None:
        target = self._target_mm
        if self._stopped.is_set():
            state, reason = MotionState.STOPPED, self._stop_reason
            self._target_mm, self._moves, self._jogging, target = None, {}, False, None
        elif self._fault:
            state, reason = MotionState.FAULT, self._fault
        elif self._jogging:
            state = MotionState.JOGGING
        elif self._moves:
            state = MotionState.MOVING
        else:
            state = MotionState.HOLDING if target is not None else MotionState.IDLE
        near = target is not None and view.distance_mm is not None
        settled = near and abs((view.distance_mm or 0.0) - (target or 0.0)) <= self.settings.dead_band_mm
        still = not self._moves and not any(self._speeds.values())
        self._report = MotionReport(state, reason, view.distance_mm, target, settled and still, now)

"""The unit's motors through single-axis stages of Micro-Manager."""

import threading
import time
from collections.abc import Mapping
from typing import Any

from glioscope.core import Axis, DeviceError, DeviceReport, DeviceState, InputError

from ._micromanager_core import STAGE, core_calls, load_device, new_core, quietly
from ._micromanager_settings import MicroManagerAxisSettings, MicroManagerStageSettings

_JOG_S = 0.2
_GUARD_S = 0.02
_UNITS = {"distance": "mm", "rotation": "deg"}


class MicroManagerStage:
    """A `MotionStage` through Micro-Manager.

    Its stages know no speed: a jog is a row of short moves to at most 0.2 s ahead, and a thread stops the motor when
    the next jog is late. Every move obeys the soft limits.

    Parameters
    ----------
    name : in this unit.
    settings : which adapters and limits.
    """

    def __init__(self, name: str, settings: MicroManagerStageSettings) -> None:
        self._name, self._settings = name, settings
        fitted = {"distance": settings.distance, "rotation": settings.rotation}
        self._fitted: dict[str, MicroManagerAxisSettings] = {
            axis: wanted for axis, wanted in fitted.items() if wanted is not None
        }
        self._axes = {
            axis: Axis(axis, _UNITS[axis], wanted.low, wanted.high, wanted.speed)
            for axis, wanted in self._fitted.items()
        }
        self._lock = threading.RLock()
        self._cores: dict[str, Any] = {}
        self._state: DeviceState = DeviceState.OFF
        self._fault = ""
        self._jogs: dict[str, tuple[float, float]] = {}
        self._guard: threading.Thread | None = None

    @property
    def name(self) -> str:
        """Name in this unit."""
        return self._name

    @property
    def axes(self) -> Mapping[str, Axis]:
        """By name: "distance" (mm) and "rotation" (deg), those that are fitted."""
        return self._axes

    def stage(self) -> None:
        """Load the adapters; moves nothing of itself, though an adapter may home its motor. Raises DeviceError."""
        with self._lock:
            self.unstage()
            try:
                for axis, wanted in self._fitted.items():
                    core = self._cores[axis] = new_core(self._name, self._settings.adapter_path, wanted.library)
                    load_device(self._name, core, axis, wanted.library, wanted.device, STAGE, wanted.properties)
            except BaseException as error:
                self.unstage()
                self._state, self._fault = DeviceState.FAULT, str(error)
                raise
            self._state = DeviceState.READY

    def position(self, axis: str) -> float:
        """Read-back in mm or degrees. Raises InputError for an axis that is not fitted, DeviceError when lost."""
        with self._lock:
            core, wanted = self._at(axis)
            with core_calls(self._name, f"{axis} does not tell its position"):
                return wanted.zero + wanted.per_um * float(core.getPosition(axis))

    def move_to(self, axis: str, position: float) -> None:
        """Start a move. Raises InputError outside the soft limits, DeviceError when the motor refuses."""
        with self._lock:
            _, wanted = self._at(axis)
            if not wanted.low <= position <= wanted.high:
                unit = _UNITS[axis]
                limits = f"{wanted.low:g} to {wanted.high:g} {unit}"
                raise InputError(f"{self._name}: {axis} {position:g} {unit} is outside its soft limits, {limits}")
            self._jogs.pop(axis, None)
            self._go(axis, position)

    def jog(self, axis: str, speed: float) -> None:
        """Go on at a signed speed for at most 0.2 s, not beyond a soft limit. Raises InputError, DeviceError."""
        with self._lock:
            _, wanted = self._at(axis)
            if not abs(speed) <= wanted.speed:
                asked, unit = f"{speed:g} {_UNITS[axis]}/s", f"{wanted.speed:g} {_UNITS[axis]}/s"
                raise InputError(f"{self._name}: {axis} jog at {asked} is over its highest speed, {unit}")
            if speed == 0:
                self._halt(axis)
                return
            target = self._jog_target(axis, speed, wanted)
            if (target - self.position(axis)) * speed > 0:
                self._go(axis, target)
            self._jogs[axis] = (time.monotonic(), target)
            if self._guard is None:
                self._guard = threading.Thread(target=self._end_jogs, name=f"jogs of {self._name}", daemon=True)
                self._guard.start()

    def _jog_target(self, axis: str, speed: float, wanted: MicroManagerAxisSettings) -> float:
        """A fast motor waits at its last target, which moves on at the speed asked for; a slow one never trails it."""
        here, now = self.position(axis), time.monotonic()
        since_s, last = self._jogs.get(axis, (now - _JOG_S, here))
        target = last + speed * min(now - since_s, _JOG_S)
        reach = abs(speed) * _JOG_S
        return min(max(target, here - reach, wanted.low), here + reach, wanted.high)

    def _end_jogs(self) -> None:
        """Stop an axis whose last jog is 0.2 s old; ends when none jogs."""
        while True:
            with self._lock:
                now = time.monotonic()
                for axis, (since_s, _) in tuple(self._jogs.items()):
                    if now - since_s >= _JOG_S:
                        self._halt(axis)
                if not self._jogs:
                    self._guard = None
                    return
            time.sleep(_GUARD_S)

    def moving(self, axis: str) -> bool:
        """Whether the axis moves now. Raises InputError, DeviceError."""
        with self._lock:
            core, _ = self._at(axis)
            with core_calls(self._name, f"{axis} does not tell whether it moves"):
                return bool(core.deviceBusy(axis))

    def stop(self) -> None:
        """Stop every axis; from any thread, never raising. An adapter that knows no stop is sent to where it is."""
        for axis in tuple(self._cores):  # without the lock: another axis may be in a call that takes its time
            self._halt(axis)

    def _halt(self, axis: str) -> None:
        core = self._cores.get(axis)
        self._jogs.pop(axis, None)
        if core is None:
            return
        if quietly(lambda: core.stop(axis)):
            problem = quietly(lambda: core.setPosition(axis, core.getPosition(axis)))
            if problem:
                self._fault = f"{axis} does not stop: {problem}"

    def unstage(self) -> None:
        """Stop and unload the adapters."""
        with self._lock:
            self.stop()
            for core in self._cores.values():
                quietly(core.unloadAllDevices)
            self._cores.clear()
            self._state, self._fault = DeviceState.OFF, ""

    def report(self) -> DeviceReport:
        """State, faults and positions; never raising."""
        with self._lock:
            details: dict[str, float | int | str | bool] = {}
            faults = [self._fault] if self._fault else []
            for axis in self._cores:
                try:
                    details[f"{axis}_{_UNITS[axis]}"] = self.position(axis)
                except DeviceError as error:
                    faults.append(error.reason)
            state = DeviceState.FAULT if faults else self._state
            model = ", ".join(f"{wanted.device} ({wanted.library})" for wanted in self._fitted.values())
            return DeviceReport(self._name, state, model, None, tuple(faults), details)

    def _at(self, axis: str) -> tuple[Any, MicroManagerAxisSettings]:
        if axis not in self._fitted:
            raise InputError(f"{self._name}: no axis {axis!r} is fitted; there are: {', '.join(self._fitted)}")
        if axis not in self._cores:
            raise DeviceError(self._name, self._fault or "is not staged")
        return self._cores[axis], self._fitted[axis]

    def _go(self, axis: str, position: float) -> None:
        core, wanted = self._at(axis)
        with core_calls(self._name, f"{axis} does not move to {position:g} {_UNITS[axis]}"):
            core.setPosition(axis, (position - wanted.zero) / wanted.per_um)

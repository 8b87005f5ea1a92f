"""The imaging unit as a whole: stages its devices, streams both cameras, and keeps the laser's keeper informed."""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

from glioscope.core import (
    Camera,
    Device,
    DeviceError,
    DeviceReport,
    DeviceState,
    Distance,
    Frame,
    GlioscopeError,
    Handle,
    Laser,
    LaserReport,
    LaserState,
    MotionStage,
    RangeFinder,
)

from ._acquisition import Acquisition, Tap
from ._auto_exposure import AutoExposure, AutoExposureSettings
from ._motion import Motion
from ._pairing import Slot
from ._stream import Event

_WATCH_S = 0.02
_FRESH_S = 0.5
_REPORTS = 64
_DEMO_MODELS = ("Aravis Fake", "DemoCamera")
"""Cameras that drivers bring to be tried with; what they give is not real, however they were reached."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The devices of a unit; only the two cameras must be there."""

    fl: Camera
    wl: Camera
    laser: Laser | None = None
    rangefinder: RangeFinder | None = None
    stage: MotionStage | None = None
    handle: Handle | None = None

    def all(self) -> dict[str, Device]:
        """Those that are fitted, by the name of their slot, in the order in which they are staged."""
        slots: dict[str, Device | None] = {
            "rangefinder": self.rangefinder,
            "stage": self.stage,
            "handle": self.handle,
            "fl": self.fl,
            "wl": self.wl,
            "laser": self.laser,
        }
        return {name: device for name, device in slots.items() if device is not None}


class ImagingUnit:
    """Devices that work together. After `__init__` nothing is open; `with` stages and unstages.

    While it is staged, a thread hands every reading of the rangefinder, and whether both cameras stream, to the
    laser's keeper, and a heartbeat while the operator holds the handle's dead-man button; if that thread dies, the
    readings grow old and the keeper goes dark. The laser is staged last and unstaged first.

    Parameters
    ----------
    parts : the devices.
    name : of the unit, as recordings and phantom checks keep it.
    data_kind : "real" or "simulated".
    frames_per_second : of both cameras.
    auto_exposure : how the FL camera sets its exposure by itself; None: it does not.

    Attributes
    ----------
    acquisition : while the cameras stream, else None.
    motion : keeps the distance and turns the unit; None without a stage and a rangefinder.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        name: str,
        data_kind: Literal["real", "simulated"],
        frames_per_second: float = 25.0,
        auto_exposure: AutoExposureSettings | None = None,
    ) -> None:
        self.parts, self.name = parts, name
        self.data_kind: Literal["real", "simulated"] = data_kind
        self.frames_per_second, self._auto_exposure = frames_per_second, auto_exposure
        self.acquisition: Acquisition | None = None
        self.motion = (
            Motion(parts.stage, parts.rangefinder, parts.handle) if parts.stage and parts.rangefinder else None
        )
        self._history = LaserHistory()
        self._distance: Distance | None = None
        self._ending = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def devices(self) -> Mapping[str, Device]:
        """All that are fitted, by slot."""
        return self.parts.all()

    def stage(self) -> None:
        """Stage every device; when one fails, all are unstaged again. Raises DeviceError, InputError."""
        failed = self.try_stage()
        if failed:
            self.unstage()
            raise next(iter(failed.values()))

    def try_stage(self) -> dict[str, GlioscopeError]:
        """Stage every device that can be; what the others said, by slot. Call `unstage` in any case."""
        failed: dict[str, GlioscopeError] = {}
        for slot, device in self.devices.items():
            try:
                device.stage()
            except GlioscopeError as error:
                failed[slot] = error
        staged = [self.devices[slot] for slot in ("fl", "wl") if slot not in failed]
        if any(name in camera.report().model for camera in staged for name in _DEMO_MODELS):
            self.data_kind = "simulated"
        if self.motion is not None and not failed.keys() & {"stage", "rangefinder"}:
            self.motion.start()
        self._ending.clear()
        self._watcher = threading.Thread(target=self._watch, name=f"unit {self.name}", daemon=True)
        self._watcher.start()
        return failed

    def start(
        self, *, depth: int = 8, taps: Sequence[Tap] = (), event: Event = lambda _kind, _facts: None
    ) -> Acquisition:
        """Stream both staged cameras. Raises DeviceError, InputError."""
        self.stop_cameras()
        if self._auto_exposure is not None:
            taps = (*taps, self._exposure_tap(self._auto_exposure, event))
        acquisition = Acquisition(
            self.parts.fl,
            self.parts.wl,
            frames_per_second=self.frames_per_second,
            depth=depth,
            annotate=self.annotate,
            taps=taps,
            event=event,
        )
        acquisition.start()
        self.acquisition = acquisition
        return acquisition

    def stop_cameras(self) -> None:
        """End streaming; the keeper learns it and goes dark."""
        if self.acquisition is not None:
            acquisition, self.acquisition = self.acquisition, None
            if self.parts.laser is not None:
                self.parts.laser.set_streaming(False)
            acquisition.stop()

    def stop(self) -> None:
        """Light off, motors still (until `motion.resume`), then cameras off; from any thread."""
        if self.parts.laser is not None:
            self.parts.laser.stop()
        if self.motion is not None:
            self.motion.stop()
        if self.parts.stage is not None:
            self.parts.stage.stop()
        self.stop_cameras()
        for device in self.devices.values():
            device.stop()

    def unstage(self) -> None:
        """Stop and release everything, the laser first."""
        self.stop()
        if self._watcher is not None:
            self._ending.set()
            self._watcher.join()
            self._watcher = None
        if self.motion is not None:
            self.motion.close()
        for device in reversed(list(self.devices.values())):
            device.unstage()

    def __enter__(self) -> Self:
        self.stage()
        return self

    def __exit__(self, *_: object) -> None:
        self.unstage()

    def report(self) -> dict[str, DeviceReport]:
        """What every device says of itself, by slot."""
        return {slot: device.report() for slot, device in self.devices.items()}

    def distance(self) -> Distance | None:
        """The newest reading of the rangefinder if it is at most half a second old."""
        newest = self._distance
        return newest if newest is not None and time.monotonic() - newest.monotonic_s <= _FRESH_S else None

    def annotate(self, slot: Slot, frame: Frame) -> Frame:
        """Add what the camera does not know: distance for both, excitation for fluorescence."""
        facts: dict[str, float | bool] = {}
        distance = self.distance()
        if frame.distance_mm is None and distance is not None:
            facts["distance_mm"] = distance.distance_mm
        if slot == "fl" and frame.laser_on is None and frame.monotonic_s is not None and self.parts.laser is not None:
            facts |= self._history.during(frame.monotonic_s - (frame.exposure_ms or 0.0) / 1000, frame.monotonic_s)
        return replace(frame, **facts) if facts else frame  # type: ignore[arg-type]

    def _exposure_tap(self, settings: AutoExposureSettings, event: Event) -> Tap:
        """Sets the FL camera's exposure from its own frames, and tells what it did."""
        camera = self.parts.fl
        controller = AutoExposure(camera.info(), settings, 1000.0 / self.frames_per_second)

        def follow(slot: Slot, frame: Frame) -> None:
            wanted = controller.add(frame) if slot == "fl" else None
            if wanted is None:
                return
            change = controller.changes[-1]
            try:
                real_ms = camera.set_exposure_ms(wanted)
            except GlioscopeError as error:
                event("exposure_refused", {"wanted_ms": wanted, "reason": str(error)})
                return
            event("exposure", {"old_ms": change.old_ms, "new_ms": real_ms, "reason": change.reason})

        return follow

    def _watch(self) -> None:
        while not self._ending.wait(_WATCH_S):
            self._distance = self._read_distance()
            laser = self.parts.laser
            if laser is None:
                continue
            laser.observe(self._distance)
            if self._held():
                laser.beat()
            laser.set_streaming(self.acquisition is not None and self.acquisition.streaming)
            self._history.add(laser.laser_report())

    def _held(self) -> bool:
        try:
            position = self.parts.handle.read() if self.parts.handle is not None else None
        except DeviceError:  # a lost handle is not held
            return False
        return position is not None and position.held and time.monotonic() - position.monotonic_s < _FRESH_S

    def _read_distance(self) -> Distance | None:
        if self.parts.rangefinder is None:
            return None
        try:
            return self.parts.rangefinder.read()
        except DeviceError:  # its report carries the fault; the keeper hears of no reading
            return None


class LaserHistory:
    """What the laser did over the last second or so, to tell of an exposure whether the light was on."""

    def __init__(self) -> None:
        self._reports: deque[LaserReport] = deque(maxlen=_REPORTS)
        self._lock = threading.Lock()

    def add(self, report: LaserReport) -> None:
        """Keep a word of the keeper."""
        with self._lock:
            self._reports.append(report)

    def during(self, start_s: float, end_s: float) -> dict[str, float | bool]:
        """`laser_on` and `irradiance_mw_cm2` of a frame exposed from `start_s` to `end_s`; empty when it changed."""
        with self._lock:
            reports = list(self._reports)
        before = [report for report in reports if report.monotonic_s <= start_s][-1:]
        within = [report for report in reports if start_s < report.monotonic_s <= end_s]
        if not before:
            return {}
        lit = {report.state == LaserState.EMITTING for report in (*before, *within)}
        if lit == {False}:
            return {"laser_on": False, "irradiance_mw_cm2": 0.0}
        known = [r.irradiance_mw_cm2 for r in (*before, *within) if r.irradiance_mw_cm2 is not None]
        if lit == {True}:
            return {"laser_on": True} | ({"irradiance_mw_cm2": sum(known) / len(known)} if known else {})
        return {}


def alive(report: DeviceReport) -> bool:
    """Whether a staged device works: not off, no fault."""
    return report.state in (DeviceState.READY, DeviceState.RUNNING) and not report.faults

"""The imaging unit as a whole: stages its devices, streams both cameras, and keeps the laser's keeper informed."""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from glioscope.core import (
    Camera,
    Device,
    DeviceError,
    DeviceReport,
    DeviceState,
    Distance,
    Frame,
    Handle,
    Laser,
    LaserReport,
    LaserState,
    MotionStage,
    RangeFinder,
)

from ._acquisition import Acquisition, Tap
from ._pairing import Slot
from ._stream import Event

_WATCH_S = 0.02
_FRESH_S = 0.5
_REPORTS = 64


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
    laser's keeper; if that thread dies, the readings grow old and the keeper goes dark. The laser is staged last and
    unstaged first.

    Parameters
    ----------
    parts : the devices.
    name : of the unit, as recordings and phantom checks keep it.
    data_kind : "real" or "simulated".
    frames_per_second : of both cameras.
    """

    def __init__(self, parts: Parts, *, name: str, data_kind: str, frames_per_second: float = 25.0) -> None:
        self.parts, self.name, self.data_kind = parts, name, data_kind
        self.frames_per_second = frames_per_second
        self.acquisition: Acquisition | None = None
        self._history = LaserHistory()
        self._distance: Distance | None = None
        self._range_fault = ""
        self._ending = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def devices(self) -> Mapping[str, Device]:
        """All that are fitted, by slot."""
        return self.parts.all()

    def stage(self) -> None:
        """Stage every device; when one fails, those before it are unstaged again. Raises DeviceError, InputError."""
        staged: list[Device] = []
        try:
            for device in self.devices.values():
                staged.append(device)
                device.stage()
        except BaseException:
            for device in reversed(staged):
                device.unstage()
            raise
        self._ending.clear()
        self._watcher = threading.Thread(target=self._watch, name=f"unit {self.name}", daemon=True)
        self._watcher.start()

    def start(
        self, *, depth: int = 8, taps: Sequence[Tap] = (), event: Event = lambda _kind, _facts: None
    ) -> Acquisition:
        """Stream both staged cameras. Raises DeviceError, InputError."""
        self.stop_cameras()
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
        """Light off, motors still, cameras off; from any thread."""
        for device in reversed(list(self.devices.values())):
            device.stop()
        self.stop_cameras()

    def unstage(self) -> None:
        """Stop and release everything, the laser first."""
        self.stop()
        if self._watcher is not None:
            self._ending.set()
            self._watcher.join()
            self._watcher = None
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

    def _watch(self) -> None:
        while not self._ending.wait(_WATCH_S):
            self._distance = self._read_distance()
            laser = self.parts.laser
            if laser is None:
                continue
            laser.observe(self._distance)
            laser.set_streaming(self.acquisition is not None and self.acquisition.streaming)
            self._history.add(laser.laser_report())

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

"""The imaging unit as a whole: stages its devices, streams both cameras, and keeps the laser's keeper informed."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
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
    MotionStage,
    RangeFinder,
)

from ._acquisition import Acquisition, Tap
from ._auto_exposure import AutoExposure, AutoExposureSettings
from ._calibration import Calibration
from ._calibration_folder import read_calibration
from ._laser_history import LaserHistory
from ._motion import Motion
from ._motion_control import MotionSettings
from ._pairing import Slot
from ._stream import Event

_WATCH_S = 0.02
_FRESH_S = 0.5
_HELD_S = 0.08
"""A position of the handle older than this is not held, as for the motors."""
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


@dataclass(frozen=True, slots=True)
class Scale:
    """Size of a pixel at a distance; a camera that does not know its own is scaled as a pinhole is."""

    mm_per_px: float
    distance_mm: float


class ImagingUnit:
    """Devices that work together. After `__init__` nothing is open; `with` stages and unstages.

    While it is staged, a thread hands the laser's keeper, 50 times a second, the newest reading of the rangefinder and
    whether both cameras stream, and a heartbeat while the operator holds the handle's dead-man button; if that thread
    dies, the readings grow old and the keeper goes dark. The laser is staged last and unstaged first.

    Parameters
    ----------
    parts : the devices.
    name : of the unit, as recordings and phantom checks keep it.
    data_kind : "real" or "simulated".
    frames_per_second : of both cameras.
    auto_exposure : how the FL camera sets its exposure by itself; None: it does not.
    motion_settings : of the loop that moves the unit.
    scales : of cameras that do not tell the size of a pixel.
    calibration : folder of the FL camera's calibration; checked when the unit is staged, applied by `correct`.
    gated : the laser is gated by hardware as well, so that the keeper does not know which frames are lit.

    Attributes
    ----------
    acquisition : while the cameras stream, else None.
    fault : why readings do not reach the laser any more, which stays dark then; empty when all is well.
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
        motion_settings: MotionSettings | None = None,
        scales: Mapping[Slot, Scale] = MappingProxyType({}),
        calibration: Path | None = None,
        gated: bool = False,
    ) -> None:
        self.parts, self.name = parts, name
        self.data_kind: Literal["real", "simulated"] = data_kind
        self.frames_per_second, self._auto_exposure = frames_per_second, auto_exposure
        self.acquisition: Acquisition | None = None
        self._scales, self._calibration_folder, self._gated = dict(scales), calibration, gated
        self._calibration: Calibration | None = None
        self.fault = ""
        self.motion = (
            Motion(parts.stage, parts.rangefinder, parts.handle, settings=motion_settings)
            if parts.stage and parts.rangefinder
            else None
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

    def try_stage(self, *, moving: bool = True) -> dict[str, GlioscopeError]:
        """Stage every device that can be; what the others said, by slot. Call `unstage` in any case.

        Without `moving` the loop that follows handle and rangefinder is not started.
        """
        failed: dict[str, GlioscopeError] = {}
        for slot, device in self.devices.items():
            try:
                device.stage()
            except GlioscopeError as error:
                failed[slot] = error
        if "fl" not in failed and self._calibration_folder is not None:
            try:
                self._calibration = read_calibration(self._calibration_folder, self.parts.fl.info())
            except GlioscopeError as error:
                failed["fl"] = error
        staged = [self.devices[slot] for slot in ("fl", "wl") if slot not in failed]
        if any(name in camera.report().model for camera in staged for name in _DEMO_MODELS):
            self.data_kind = "simulated"
        if moving and self.motion is not None and not failed.keys() & {"stage", "rangefinder"}:
            self.motion.resume()
            self.motion.start()
        self.fault = ""
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
        """Add what the camera does not know: distance and scale for both, excitation for fluorescence.

        What hardware gates, or what changed during the exposure, stays unknown.
        """
        facts: dict[str, float | bool] = {}
        newest = self.distance()
        distance_mm = frame.distance_mm or (newest.distance_mm if newest is not None else None)
        scale = self._scales.get(slot)
        if frame.distance_mm is None and distance_mm is not None:
            facts["distance_mm"] = distance_mm
        if frame.mm_per_px is None and scale is not None and (distance_mm or self.parts.rangefinder is None):
            facts["mm_per_px"] = scale.mm_per_px * (distance_mm / scale.distance_mm if distance_mm else 1.0)
        if slot == "fl" and frame.laser_on is None:
            facts |= self._excitation(frame)
        return replace(frame, **facts) if facts else frame  # type: ignore[arg-type]

    def correct(self, frame: Frame) -> Frame:
        """A fluorescence frame with dark, flat and bad pixels corrected; as it is where no calibration is set.

        Recordings and pairs hold frames as the camera gave them.

        Raises
        ------
        InputError, ImageError : the calibration is for another exposure, gain or size.
        """
        return frame if self._calibration is None else self._calibration.apply(frame)

    def _excitation(self, frame: Frame) -> dict[str, float | bool]:
        laser = self.parts.laser
        if laser is None or self._gated or frame.monotonic_s is None:
            return {}
        self._history.add(laser.laser_report())  # the watch may not have come round since the exposure
        return self._history.during(frame.monotonic_s - (frame.exposure_ms or 0.0) / 1000, frame.monotonic_s)

    def _exposure_tap(self, settings: AutoExposureSettings, event: Event) -> Tap:
        """Sets the FL camera's exposure from its own frames, and tells what it did."""
        camera = self.parts.fl
        controller: AutoExposure | None = AutoExposure(camera.info(), settings, 1000.0 / self.frames_per_second)

        def follow(slot: Slot, frame: Frame) -> None:
            nonlocal controller
            if slot != "fl" or controller is None:
                return
            try:
                wanted = controller.add(frame)
                if wanted is None:
                    return
                change, real_ms = controller.changes[-1], camera.set_exposure_ms(wanted)
            except GlioscopeError as error:  # frames go on, at the exposure that they have
                controller = None
                event("auto_exposure_ended", {"reason": str(error)})
                return
            event("exposure", {"old_ms": change.old_ms, "new_ms": real_ms, "reason": change.reason})

        return follow

    def _watch(self) -> None:
        try:
            while not self._ending.wait(_WATCH_S):
                self._look()
        except BaseException as error:
            self.fault = f"{self.name}: the laser is not informed any more: {error!r}"
            raise

    def _look(self) -> None:
        self._distance = self._read_distance()
        laser, acquisition = self.parts.laser, self.acquisition
        if laser is None:
            return
        laser.observe(self._distance)
        if self._held():
            laser.beat()
        laser.set_streaming(acquisition is not None and acquisition.streaming)
        self._history.add(laser.laser_report())

    def _held(self) -> bool:
        try:
            position = self.parts.handle.read() if self.parts.handle is not None else None
        except DeviceError:  # a lost handle is not held
            return False
        return position is not None and position.held and time.monotonic() - position.monotonic_s < _HELD_S

    def _read_distance(self) -> Distance | None:
        if self.parts.rangefinder is None:
            return None
        try:
            return self.parts.rangefinder.read()
        except DeviceError:  # its report carries the fault; the keeper hears of no reading
            return None


def alive(report: DeviceReport) -> bool:
    """Whether a staged device works: not off, no fault."""
    return report.state in (DeviceState.READY, DeviceState.RUNNING) and not report.faults

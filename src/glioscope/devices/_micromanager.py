"""Cameras behind Micro-Manager's device adapters."""

import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

from glioscope.core import CameraInfo, DeviceError, DeviceReport, DeviceState, Frame, InputError

from ._camera_clock import CameraClock
from ._closest import closest_first
from ._micromanager_core import (
    CAMERA,
    CORE_ERRORS,
    core_calls,
    load_device,
    load_pymmcore,
    new_core,
    number,
    quietly,
    set_property,
)
from ._micromanager_frames import Numbering, info_of, to_pixels
from ._micromanager_settings import MicroManagerCameraSettings
from ._within import check_within

_POLL_S = 0.001
_DOUBT_S = 0.2


class MicroManagerCamera:
    """A `Camera` through Micro-Manager, with a core of its own: two cameras of different size share no buffer.

    Frame numbers are the core's: frames that overflow its buffer leave a gap, frames that the adapter itself lost do
    not. A frame's time is that at which the core received it. While it streams, a change of exposure or gain stops
    and starts the sequence, since most adapters refuse it otherwise.

    Parameters
    ----------
    name : in this unit.
    settings : which adapter and how.
    """

    def __init__(self, name: str, settings: MicroManagerCameraSettings) -> None:
        self._name, self._settings = name, settings
        self._lock = threading.RLock()
        self._state: DeviceState = DeviceState.OFF
        self._fault = ""
        self._core: Any = None
        self._label = ""
        self._info: CameraInfo | None = None
        self._exposure_ms = self._gain = 0.0
        self._period_s = self._heard_s = 0.0
        self._clock = CameraClock(settings.delay_ms / 1000)
        self._numbering = Numbering(None)
        self._dropped = 0
        self._pending: deque[Frame] = deque()
        self._metadata: Any = None

    @property
    def name(self) -> str:
        """Name in this unit."""
        return self._name

    def stage(self) -> None:
        """Load the adapter and set the camera up. Raises DeviceError, InputError."""
        with self._lock:
            self.unstage()
            try:
                self._open()
            except BaseException as error:
                self.unstage()
                self._state, self._fault = DeviceState.FAULT, str(error)
                raise
            self._state = DeviceState.READY

    def _open(self) -> None:
        wanted = self._settings
        self._metadata = load_pymmcore(self._name).Metadata
        core = self._core = new_core(self._name, wanted.adapter_path, wanted.library)
        self._label = wanted.device if wanted.config_file is not None else "camera"
        if wanted.library is not None:
            load_device(self._name, core, self._label, wanted.library, wanted.device, CAMERA, wanted.properties)
        else:
            self._load_configuration(core)
        with core_calls(self._name, "cannot be set up"):
            core.setCameraDevice(self._label)
            core.setCircularBufferMemoryFootprint(wanted.buffer_mb)
            self._info = info_of(self._name, core, self._label, wanted)
            self._gain = number(core, self._label, wanted.gain_property) or 0.0
        self.set_exposure_ms(wanted.exposure_ms)
        if wanted.gain is not None:
            self.set_gain(wanted.gain)

    def _load_configuration(self, core: Any) -> None:
        with core_calls(self._name, f"{self._settings.config_file} cannot be loaded"):
            core.loadSystemConfiguration(str(self._settings.config_file))
            cameras = core.getLoadedDevicesOfType(CAMERA)
        if self._label not in cameras:
            have = closest_first(self._label, cameras)
            raise DeviceError(self._name, f"{self._settings.config_file} has no camera {self._label!r}; it has: {have}")
        for key, value in self._settings.properties.items():
            set_property(self._name, core, self._label, key, value)

    def info(self) -> CameraInfo:
        """What the staged camera can do. Raises DeviceError before `stage`."""
        if self._info is None:
            raise DeviceError(self._name, "is not staged")
        return self._info

    def set_exposure_ms(self, exposure_ms: float) -> float:
        """Set the exposure of the frames that follow; gives the read-back. Raises InputError, DeviceError."""
        check_within(self._name, "exposure", exposure_ms, self.info().exposure_ms, "ms")
        with self._lock:
            self._change("does not take an exposure", lambda core: core.setExposure(self._label, exposure_ms))
            with core_calls(self._name, "does not tell its exposure"):
                self._exposure_ms = float(self._core.getExposure(self._label))
            return self._exposure_ms

    def set_gain(self, gain: float) -> float:
        """Set the gain of the frames that follow; gives the read-back. Raises InputError, DeviceError."""
        key = self._settings.gain_property
        low, high = self.info().gain
        check_within(self._name, "gain", gain, (low, high))
        with self._lock:
            if high > low:
                self._change(
                    "does not take a gain", lambda core: set_property(self._name, core, self._label, key, f"{gain:g}")
                )
                self._gain = number(self._core, self._label, key) or 0.0
            return self._gain

    def _change(self, otherwise: str, action: Callable[[Any], None]) -> None:
        if self._core is None:
            raise DeviceError(self._name, self._fault or "is not staged")
        running = self._state == DeviceState.RUNNING
        with core_calls(self._name, otherwise):
            if running:
                self._core.stopSequenceAcquisition()
                while (frame := self._pop()) is not None:  # taken with the old setting, and labelled so
                    self._pending.append(frame)
            try:
                action(self._core)
            finally:
                if running:
                    self._run(lost=0)

    def start(self, frames_per_second: float) -> None:
        """Begin to stream at this rate; `sequence` starts at 0. Raises DeviceError, InputError."""
        if not 0 < frames_per_second <= 10_000:
            raise InputError(f"{self._name}: {frames_per_second:g} frames/s is outside 0 to 10000")
        with self._lock:
            self.info()
            self.stop()
            self._period_s = 1 / frames_per_second
            key = self._settings.frame_rate_property
            if key is not None:
                set_property(self._name, self._core, self._label, key, f"{frames_per_second:g}")
            self._numbering = Numbering(self._period_s if key is None else None)
            self._dropped = 0
            self._pending.clear()
            with core_calls(self._name, "does not stream"):
                self._run(lost=0)
            self._state = DeviceState.RUNNING

    def _run(self, lost: int) -> None:
        self._numbering.resume(lost)
        self._clock.restart()
        self._core.startContinuousSequenceAcquisition(0)
        self._heard_s = time.monotonic()

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, or None when none came in time. Raises DeviceError when the camera is lost."""
        deadline = time.monotonic() + timeout_s
        while True:
            with self._lock:
                if self._state == DeviceState.FAULT:
                    raise DeviceError(self._name, self._fault)
                frame = self._next() if self._state == DeviceState.RUNNING else None
            if frame is not None:
                return frame
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return None
            # The core has no way to wait for an image.
            time.sleep(min(_POLL_S, left_s))

    def _next(self) -> Frame | None:
        if self._pending:
            return self._pending.popleft()
        try:
            frame = self._pop()
            if frame is None:
                self._judge_silence()
            return frame
        except CORE_ERRORS as error:
            self._lose(f"the driver says: {error}")

    def _pop(self) -> Frame | None:
        """The oldest frame that waits and is wanted; all that wait are dropped when they are too many."""
        core = self._core
        waiting = core.getRemainingImageCount()
        if waiting:
            self._heard_s = time.monotonic()
        if waiting > self._settings.max_waiting:
            self._dropped += waiting
            for _ in range(waiting):
                core.popNextImage()
            return None
        for _ in range(waiting):
            metadata = self._metadata()
            frame = self._frame(core.popNextImageMD(metadata), metadata)
            if frame is not None:
                return frame
        return None

    def _frame(self, image: Any, metadata: Any) -> Frame | None:
        elapsed_ms = float(metadata.GetSingleTag("ElapsedTime-ms").GetValue())
        received = datetime.fromisoformat(metadata.GetSingleTag("TimeReceivedByCore").GetValue())
        end_s = self._clock.stamp(elapsed_ms / 1000, received.timestamp())
        sequence = self._numbering.take(int(metadata.GetSingleTag("ImageNumber").GetValue()), end_s)
        if sequence is None:
            return None
        return Frame(
            pixels=to_pixels(image),
            camera=self._name,
            sequence=sequence,
            monotonic_s=end_s,
            utc=self._clock.utc(end_s),
            white_level=self.info().white_level,
            exposure_ms=self._exposure_ms,
            gain=self._gain,
        )

    def _judge_silence(self) -> None:
        silent_s = time.monotonic() - self._heard_s
        limit_s = self._settings.silent_s + self._exposure_ms / 1000 + 3 * self._period_s
        if silent_s < _DOUBT_S:
            return
        if not self._core.isSequenceRunning():
            if self._core.isBufferOverflowed():
                self._run(lost=1)
            else:
                self._lose("stopped streaming by itself: unplugged, or the adapter failed")
        elif silent_s > limit_s:
            self._lose(f"no frame for {limit_s:.1f} s: unplugged, or waiting for a trigger")

    def _lose(self, reason: str) -> NoReturn:
        self._state, self._fault = DeviceState.FAULT, reason
        raise DeviceError(self._name, reason)

    def stop(self) -> None:
        """Stop streaming; from any thread, never raising. Takes up to one exposure."""
        with self._lock:
            if self._state == DeviceState.RUNNING:
                self._state = DeviceState.READY
                self._fault = quietly(self._core.stopSequenceAcquisition)

    def unstage(self) -> None:
        """Stop and unload the adapter."""
        with self._lock:
            core, self._core, self._info = self._core, None, None
            if core is not None:
                quietly(core.stopSequenceAcquisition)
                quietly(core.unloadAllDevices)
            self._state, self._fault = DeviceState.OFF, ""

    def report(self) -> DeviceReport:
        """State, temperature, faults, and frames dropped since the start; never raising."""
        with self._lock:
            info, core = self._info, self._core
            details: dict[str, float | int | str | bool] = {}
            temperature_c = None
            if info is not None and core is not None:
                details = {
                    "serial": info.serial,
                    "exposure_ms": self._exposure_ms,
                    "gain": self._gain,
                    "frames_dropped": self._dropped,
                }
                temperature_c = self._temperature_c(core)
            faults = (self._fault,) if self._fault else ()
            return DeviceReport(
                self._name, self._state, info.model if info is not None else "", temperature_c, faults, details
            )

    def _temperature_c(self, core: Any) -> float | None:
        try:
            return number(core, self._label, self._settings.temperature_property)
        except CORE_ERRORS:
            return None  # whether the camera is lost is for `read` to say

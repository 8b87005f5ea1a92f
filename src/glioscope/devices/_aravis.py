"""Cameras that speak GigE Vision or USB3 Vision, through Aravis."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from glioscope.core import CameraInfo, DeviceError, DeviceReport, DeviceState, Frame, GlioscopeError, InputError

from ._aravis_driver import driver_error, let_go, load_aravis, open_camera, text_of
from ._aravis_pixels import pixel_format
from ._aravis_settings import AravisCameraSettings
from ._aravis_setup import info_of, open_stream, set_up
from ._aravis_stream import AravisStream, Whole
from ._camera_clock import CameraClock, Timed
from ._within import check_within

_TEMPERATURE = "DeviceTemperature"


class AravisCamera:
    """A `Camera` through Aravis.

    Frame numbers are the camera's own; a frame that lost packets is never handed on and leaves a gap. The time of a
    frame is the camera's time stamp laid onto the monotonic clock by the reception of its first packet.

    Parameters
    ----------
    name : in this unit.
    settings : which camera and how.

    Raises
    ------
    InputError : an unreadable pixel format, or `max_waiting` not below `buffers`.
    """

    def __init__(self, name: str, settings: AravisCameraSettings) -> None:
        if settings.max_waiting >= settings.buffers:
            raise InputError(f"max_waiting is {settings.max_waiting}, it must be below buffers ({settings.buffers})")
        self._name, self._settings = name, settings
        self._format = pixel_format(settings.pixel_format)
        self._lock = threading.RLock()
        self._state: DeviceState = DeviceState.OFF
        self._fault = ""
        self._control_lost = threading.Event()
        self._camera: Any = None
        self._signal: int | None = None
        self._stream: AravisStream | None = None
        self._info: CameraInfo | None = None
        self._exposure, self._gain = Timed(0.0), Timed(0.0)
        self._period_s = 0.0

    @property
    def name(self) -> str:
        """Name in this unit."""
        return self._name

    def stage(self) -> None:
        """Open the camera and set it up. Raises DeviceError, InputError."""
        with self._lock:
            self.unstage()
            aravis = load_aravis(self._name)
            wanted = self._settings
            self._camera = open_camera(self._name, aravis, wanted.interface, wanted.camera_id, wanted.address)
            problem = self._set_up(aravis)
            if problem is not None:
                # Let go before the next try: a camera obeys one connection at a time.
                self._lose(str(problem), wait_s=2.0)
                raise problem
            self._state, self._fault = DeviceState.READY, ""

    def _set_up(self, aravis: Any) -> GlioscopeError | None:
        """Give the problem back instead of raising it: a traceback would keep the driver's objects alive."""
        try:
            set_up(self._name, aravis, self._camera, self._settings)
            self._info = info_of(self._camera, self._format, self._settings.white_level)
            shape = (self._info.rows, self._info.columns)
            stream, payload = open_stream(aravis, self._camera, self._settings), self._camera.get_payload()
            self._stream = AravisStream(aravis, stream, payload, self._format.decode, shape, self._settings)
            self._watch_control()
            if self._info.exposure_ms[1] > 0:  # some cameras have neither
                self.set_exposure_ms(self._settings.exposure_ms)
            if self._info.gain[1] > self._info.gain[0]:
                self.set_gain(self._camera.get_gain() if self._settings.gain is None else self._settings.gain)
            self._exposure, self._gain = Timed(self._exposure.value), Timed(self._gain.value)
        except driver_error() as error:
            return DeviceError(self._name, f"cannot be set up: {text_of(error)}")
        except GlioscopeError as error:
            return error.with_traceback(None)
        return None

    def _watch_control(self) -> None:
        # The signal comes in Aravis's own heartbeat thread, after five seconds; silence in `read` mostly tells sooner.
        self._control_lost = lost = threading.Event()
        self._signal = self._camera.get_device().connect("control-lost", lambda _device: lost.set())

    def info(self) -> CameraInfo:
        """What the staged camera can do. Raises DeviceError before `stage`."""
        if self._info is None:
            raise DeviceError(self._name, "is not staged")
        return self._info

    def set_exposure_ms(self, exposure_ms: float) -> float:
        """Set the exposure of the frames that follow; gives the read-back. Raises InputError, DeviceError."""
        check_within(self._name, "exposure", exposure_ms, self.info().exposure_ms, "ms")
        with self._asking("does not take an exposure") as camera:
            before_ms = self._exposure.value
            camera.set_exposure_time(exposure_ms * 1000)
            self._exposure.change(camera.get_exposure_time() / 1000)
            if self._stream is not None:  # from a stamp at the start of exposure, its end is now elsewhere
                self._stream.clock.restart((before_ms + self._exposure.value) / 1000 + 3 * self._period_s)
        return self._exposure.value

    def set_gain(self, gain: float) -> float:
        """Set the gain of the frames that follow; gives the read-back. Raises InputError, DeviceError."""
        check_within(self._name, "gain", gain, self.info().gain)
        with self._asking("does not take a gain") as camera:
            camera.set_gain(gain)
            self._gain.change(camera.get_gain())
        return self._gain.value

    @contextmanager
    def _asking(self, otherwise: str) -> Iterator[Any]:
        """The open camera, alone; errors of the driver become a DeviceError."""
        with self._lock:
            if self._camera is None:
                raise DeviceError(self._name, self._fault or "is not staged")
            try:
                yield self._camera
            except driver_error() as error:
                raise DeviceError(self._name, f"{otherwise}: {text_of(error)}") from error

    def start(self, frames_per_second: float) -> None:
        """Begin to stream at this rate; `sequence` starts at 0. Raises DeviceError, InputError."""
        if not 0 < frames_per_second <= 10_000:
            raise InputError(f"{self._name}: {frames_per_second:g} frames/s is outside 0 to 10000")
        self.stop()
        with self._asking("does not stream") as camera:
            if self._stream is None:
                raise DeviceError(self._name, "is not staged")
            if camera.is_frame_rate_available():
                low, high = camera.get_frame_rate_bounds()
                if not low <= frames_per_second <= high:
                    raise InputError(f"{self._name}: {frames_per_second:g} frames/s is outside {low:g} to {high:g}")
                camera.set_frame_rate(frames_per_second)
            self._stream.begin()
            camera.start_acquisition()
            self._period_s = 1 / frames_per_second
            self._state = DeviceState.RUNNING

    def read(self, timeout_s: float) -> Frame | None:
        """The next whole frame, or None when none came in time. Raises DeviceError when the camera is lost."""
        deadline = time.monotonic() + timeout_s
        while True:
            if self._state == DeviceState.FAULT:
                raise DeviceError(self._name, self._fault)
            left_s = deadline - time.monotonic()
            info, stream = self._info, self._stream
            if info is None or stream is None or self._state != DeviceState.RUNNING:
                time.sleep(max(left_s, 0.0))
                return None
            whole = stream.next(min(max(left_s, 0.0), 0.1))
            if whole is not None:
                return self._frame(whole, info, stream.clock)
            self._judge_silence()
            if left_s <= 0:
                return None

    def _judge_silence(self) -> None:
        stream = self._stream
        if stream is None or self._state != DeviceState.RUNNING:
            return
        limit_s = self._settings.silent_s + self._exposure.value / 1000 + 3 * self._period_s
        if self._control_lost.is_set():
            self._lose("control over the camera is lost: unplugged, switched off or taken over by another program")
        elif time.monotonic() - stream.heard_s > limit_s:
            self._lose(f"nothing came for {limit_s:.1f} s: unplugged, switched off, or its link is down")
        else:
            return
        raise DeviceError(self._name, self._fault)

    def _frame(self, whole: Whole, info: CameraInfo, clock: CameraClock) -> Frame:
        began_s = whole.end_s - self._exposure.value / 1000
        return Frame(
            pixels=whole.pixels,
            camera=self._name,
            sequence=whole.sequence,
            monotonic_s=whole.end_s,
            utc=clock.utc(whole.end_s),
            white_level=info.white_level,
            exposure_ms=self._exposure.at(began_s),
            gain=self._gain.at(began_s),
        )

    def stop(self) -> None:
        """Stop streaming; from any thread, never raising."""
        with self._lock:
            if self._state != DeviceState.RUNNING:
                return
            self._state = DeviceState.READY
            try:
                self._camera.stop_acquisition()
            except driver_error() as error:
                self._lose(f"does not stop: {text_of(error)}")

    def unstage(self) -> None:
        """Stop and release the camera; a camera that is gone is released in the background."""
        with self._lock:
            self.stop()
            self._release(wait_s=1.0)
            self._state, self._fault = DeviceState.OFF, ""

    def _lose(self, reason: str, wait_s: float = 0.0) -> None:
        with self._lock:
            self._state, self._fault = DeviceState.FAULT, reason
            self._release(wait_s)

    def _release(self, wait_s: float) -> None:
        if self._camera is None:
            return
        if self._signal is not None:
            self._camera.get_device().disconnect(self._signal)
        parts = [self._stream.release() if self._stream is not None else None, self._camera]
        self._camera = self._stream = self._info = self._signal = None
        let_go(parts, wait_s)

    def report(self) -> DeviceReport:
        """State, temperature, faults, and frames broken and dropped since the start; never raising."""
        info, stream = self._info, self._stream
        details: dict[str, float | int | str | bool] = {}
        if info is not None and stream is not None:
            details = {
                "serial": info.serial,
                "pixel_format": self._settings.pixel_format,
                "exposure_ms": self._exposure.value,
                "gain": self._gain.value,
                "frames_broken": stream.counts.broken,
                "frames_dropped": stream.counts.dropped,
            }
        faults = (self._fault,) if self._fault else ()
        model = info.model if info is not None else ""
        return DeviceReport(self._name, self._state, model, self._temperature_c(), faults, details)

    def _temperature_c(self) -> float | None:
        with self._lock:
            if self._camera is None:
                return None
            try:
                if not self._camera.is_feature_available(_TEMPERATURE):
                    return None
                return float(self._camera.get_float(_TEMPERATURE))
            except driver_error():
                return None  # whether the camera is lost is for `read` to say

"""A camera that renders what it would see from a frame source, on time, and fails when told to."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from glioscope.core import CameraInfo, DeviceError, DeviceReport, DeviceState, Exposure, Frame, FrameSource, InputError

from ._simulated_faults import CameraFault, damaged
from ._within import check_within

MeanIrradiance = Callable[[float, float, float], float]
"""(start_s, end_s, distance_mm) -> mean excitation over an exposure, mW/cm2."""
Pose = Callable[[float], tuple[float, float]]
"""monotonic_s -> (distance_mm, rotation_deg) of the unit at that time; recent times are asked for too."""

_DROPPED_SHARE = 0.05
_BACK_S = 5.0
_LATE_S = 0.15
_LOOK_S = 0.1
_EARLY_S = 0.012
"""What does not depend on the laser is rendered this long before the exposure ends: all of a colour picture."""
_MAX_RATE = 1000.0
_SETTINGS_KEPT = 32
_LIT_MW_CM2 = 0.01
"""Less than this is the tail of a laser that was switched off."""


@dataclass(frozen=True, slots=True)
class _Stream:
    """Frame n ends at `first_s` + n * `period_s`."""

    first_s: float
    period_s: float


@dataclass(frozen=True, slots=True)
class _Setting:
    """Holds for exposures that begin at `from_s` or later."""

    from_s: float
    exposure_ms: float
    gain: float


def dark(start_s: float, end_s: float, distance_mm: float) -> float:
    """No excitation: the default, so that a simulated camera never pretends light."""
    return 0.0


def at_300_mm(monotonic_s: float) -> tuple[float, float]:
    """The unit stands still, 300 mm from the tissue."""
    return 300.0, 0.0


class SimulatedCamera:
    """`core.Camera` on a frame source.

    Exposures end at whole multiples of the frame period on the monotonic clock, so that cameras of one rate share a
    trigger; `offset_ms` and `jitter_ms` make one run free. A frame is rendered by the thread that reads, when its
    exposure has ended; what does not depend on the laser, in colour all of it, just before. The newest `buffer_frames`
    wait for a slow reader; older ones are lost and leave a gap in `sequence`, and latency does not grow.

    Parameters
    ----------
    source : what it sees.
    irradiance, pose : excitation and place, see `MeanIrradiance` and `Pose`; dark and still unless given.
    strobe : the exposure line divided by two gates the laser, so that it lights frames of even `sequence` only.
    exposure_ms, gain : at first.
    seed : of jitter and dropped frames.
    clock, wait : for tests in virtual time; `wait(seconds)` passes time and may return early.
    """

    def __init__(
        self,
        name: str,
        source: FrameSource,
        *,
        irradiance: MeanIrradiance = dark,
        pose: Pose = at_300_mm,
        strobe: bool = False,
        exposure_ms: float = 20.0,
        gain: float = 1.0,
        buffer_frames: int = 8,
        offset_ms: float = 0.0,
        jitter_ms: float = 0.0,
        temperature_c: float = 15.0,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        if buffer_frames < 1 or jitter_ms < 0:
            raise InputError(f"{name}: {buffer_frames} buffered frames or {jitter_ms} ms of jitter are too few")
        self._name, self._source, self._irradiance, self._pose = name, source, irradiance, pose
        self._strobe, self._buffer_frames, self._seed = strobe, buffer_frames, seed
        self._offset_s, self._jitter_s = offset_ms / 1000, jitter_ms / 1000
        self._temperature_c = temperature_c
        self._woken = threading.Event()
        self._clock, self._wait = clock, wait or self._doze
        self._lock = threading.Lock()
        self._state, self._plugged = DeviceState.OFF, True
        self._stream: _Stream | None = None
        self._next, self._overrun = 0, 0
        self._faults: frozenset[CameraFault] = frozenset()
        self._last: NDArray[Any] | None = None
        self._early: tuple[int, NDArray[Any] | None] = -1, None
        info = source.info
        check_within(name, "exposure", exposure_ms, info.exposure_ms, "ms")
        check_within(name, "gain", gain, info.gain)
        self._settings: tuple[_Setting, ...] = (_Setting(-np.inf, exposure_ms, gain),)

    @property
    def name(self) -> str:
        """Name in this unit."""
        return self._name

    @property
    def source(self) -> FrameSource:
        """What it looks at."""
        return self._source

    def stage(self) -> None:
        """Open it. Raises DeviceError while it is unplugged."""
        with self._lock:
            if not self._plugged:
                raise DeviceError(self._name, "no camera is found: unplugged; look at the cable")
            if self._state in (DeviceState.OFF, DeviceState.FAULT):
                self._state, self._stream = DeviceState.READY, None

    def info(self) -> CameraInfo:
        """What it can do. Raises DeviceError before `stage`."""
        if self._state is DeviceState.OFF:
            raise DeviceError(self._name, "is not staged")
        return self._source.info

    def set_exposure_ms(self, exposure_ms: float) -> float:
        """Set the exposure of frames that begin from now on.

        Raises
        ------
        InputError : outside the camera's range, or longer than the period of the frames that stream.
        """
        low, high = self._source.info.exposure_ms
        stream = self._stream
        if stream is not None:
            high = min(high, stream.period_s * 1000)
        check_within(self._name, "exposure", exposure_ms, (low, high), "ms")
        self._set(exposure_ms, self._settings[-1].gain)
        return exposure_ms

    def set_gain(self, gain: float) -> float:
        """Set the gain of frames that begin from now on. Raises InputError outside the range."""
        check_within(self._name, "gain", gain, self._source.info.gain)
        self._set(self._settings[-1].exposure_ms, gain)
        return gain

    def start(self, frames_per_second: float) -> None:
        """Stream; the first frame is the first whose exposure can begin now.

        Raises
        ------
        DeviceError : not staged, or lost.
        InputError : the exposure does not fit into the frame period.
        """
        if not 0 < frames_per_second <= _MAX_RATE:
            raise InputError(f"{self._name}: {frames_per_second} frames/s is outside 0 to {_MAX_RATE:g}")
        exposure_s, period_s = self._settings[-1].exposure_ms / 1000, 1 / frames_per_second
        if exposure_s > period_s * (1 + 1e-9):
            raise InputError(
                f"{self._name}: exposure {exposure_s * 1000:g} ms is over the frame period of {period_s * 1000:g} ms"
            )
        with self._lock:
            self._raise_if_lost()
            if self._state is DeviceState.OFF:
                raise DeviceError(self._name, "is not staged")
            tick = np.ceil((self._clock() + exposure_s - self._offset_s) / period_s)
            self._stream = _Stream(float(tick * period_s + self._offset_s), period_s)
            self._next, self._overrun, self._last, self._early = 0, 0, None, (-1, None)
            self._state = DeviceState.RUNNING
            self._woken.clear()

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, rendered when its exposure ends; None when none came in time or the camera was stopped."""
        deadline = self._clock() + timeout_s
        streaming = self._stream is not None
        while True:
            self._raise_if_lost()
            stream, now = self._stream, self._clock()
            until = np.inf
            if stream is not None:
                number = self._due_number(stream, now)
                end_s = self._end_s(stream, number)
                until = self._due_s(end_s)
                if now >= until:
                    self._next = number + 1
                    return self._frame(number, end_s)
                if self._early[0] != number:
                    until -= _EARLY_S
                    if now >= until:
                        self._early = number, self._ahead(self._exposure(number, end_s))
                        continue
            if now >= deadline or (streaming and stream is None):
                return None
            self._wait(max(min(until, deadline, now + _LOOK_S) - now, 1e-4))

    def stop(self) -> None:
        """Stop streaming; a `read` under way ends with None."""
        with self._lock:
            self._stream = None
            if self._state is DeviceState.RUNNING:
                self._state = DeviceState.READY
        self._woken.set()

    def unstage(self) -> None:
        """Stop and close."""
        self.stop()
        with self._lock:
            self._state = DeviceState.OFF

    def report(self) -> DeviceReport:
        """State, settings and lost frames."""
        setting, stream = self._settings[-1], self._stream
        lost = ("unplugged: look at the cable",) if self._state is DeviceState.FAULT else ()
        details: dict[str, float | int | str | bool] = {
            "simulated": True,
            "exposure_ms": setting.exposure_ms,
            "gain": setting.gain,
            "frames_per_second": 0.0 if stream is None else 1 / stream.period_s,
            "frames_overrun": self._overrun,
            "strobe": self._strobe,
        }
        staged = self._state is not DeviceState.OFF
        return DeviceReport(
            self._name, self._state, self._source.info.model, self._temperature_c if staged else None, lost, details
        )

    def unplug(self) -> None:
        """Pull the cable: reading and starting raise DeviceError until it is plugged in and staged anew."""
        with self._lock:
            self._plugged, self._stream = False, None
            if self._state is not DeviceState.OFF:
                self._state = DeviceState.FAULT
        self._woken.set()

    def plug(self) -> None:
        """Put the cable back; the camera has to be staged anew."""
        with self._lock:
            self._plugged = True

    def inject(self, fault: CameraFault) -> None:
        """Begin a fault; several may hold at once."""
        self._faults |= {fault}

    def heal(self) -> None:
        """End all faults but unplugging."""
        self._faults = frozenset()

    def _doze(self, seconds: float) -> None:
        """Until a frame is due, or `stop` or `unplug` ends the stream."""
        if self._stream is None:
            time.sleep(seconds)
        else:
            self._woken.wait(seconds)

    def _raise_if_lost(self) -> None:
        if self._state is DeviceState.FAULT:
            raise DeviceError(self._name, "is lost: unplugged; look at the cable, then stage it anew")

    def _set(self, exposure_ms: float, gain: float) -> None:
        with self._lock:
            setting = _Setting(self._clock(), exposure_ms, gain)
            self._settings = (*self._settings[-_SETTINGS_KEPT:], setting)

    def _due_number(self, stream: _Stream, now: float) -> int:
        """Number of the next frame to give: the next in order that is still in the buffer and did not get lost."""
        newest = int(np.floor((now - stream.first_s) / stream.period_s))
        if CameraFault.STUCK in self._faults:
            self._next = max(self._next, newest + 1)
        oldest = newest - self._buffer_frames + 1
        self._overrun += max(oldest - self._next, 0)
        number = max(self._next, oldest)
        if CameraFault.DROPPING in self._faults:
            while self._draw(number)[1] < _DROPPED_SHARE:
                number += 1
        self._next = number
        return number

    def _due_s(self, end_s: float) -> float:
        """When the frame whose exposure ends at `end_s` is handed over; never, while the camera is stuck."""
        if CameraFault.STUCK in self._faults:
            return np.inf
        return end_s + (_LATE_S if CameraFault.SLOW in self._faults else 0.0)

    def _draw(self, number: int) -> tuple[float, float]:
        """Jitter in s and luck of a frame, the same whenever they are asked for."""
        rng = np.random.default_rng((self._seed, number))
        return self._jitter_s * float(rng.standard_normal()), float(rng.random())

    def _end_s(self, stream: _Stream, number: int) -> float:
        end_s = stream.first_s + number * stream.period_s
        return end_s + self._draw(number)[0] if self._jitter_s else end_s

    def _exposure(self, number: int, end_s: float) -> Exposure:
        setting = next(
            (s for s in reversed(self._settings) if s.from_s <= end_s - s.exposure_ms / 1000 + 1e-9), self._settings[0]
        )
        start_s = end_s - setting.exposure_ms / 1000
        distance_mm, rotation_deg = self._pose((start_s + end_s) / 2)
        gated = self._strobe and number % 2 == 1
        irradiance = 0.0 if gated else self._irradiance(start_s, end_s, distance_mm)
        return Exposure(end_s, setting.exposure_ms, setting.gain, irradiance, distance_mm, rotation_deg)

    def _frame(self, number: int, end_s: float) -> Frame:
        exposure = self._exposure(number, end_s)
        early = self._early[1] if self._early[0] == number else None
        pixels = self._pixels(exposure) if early is None else early
        self._early = -1, None
        stated_s = end_s - (_BACK_S if CameraFault.CLOCK_BACK in self._faults else 0.0)
        return Frame(
            pixels,
            camera=self._name,
            sequence=number,
            monotonic_s=stated_s,
            utc=datetime.now(UTC) - timedelta(seconds=self._clock() - stated_s),
            white_level=self._source.info.white_level,
            exposure_ms=exposure.exposure_ms,
            gain=exposure.gain,
            laser_on=exposure.irradiance_mw_cm2 > _LIT_MW_CM2,
            irradiance_mw_cm2=exposure.irradiance_mw_cm2,
            distance_mm=exposure.distance_mm,
            mm_per_px=self._source.mm_per_px(exposure.distance_mm),
        )

    def _ahead(self, exposure: Exposure) -> NDArray[Any] | None:
        """Before the exposure ends: a colour picture, which does not show the laser; else what is not light."""
        if self._source.info.colour:
            return self._pixels(exposure)
        self._source.prepare(exposure)
        return None

    def _pixels(self, exposure: Exposure) -> NDArray[Any]:
        if CameraFault.FROZEN in self._faults and self._last is not None:
            return self._last.copy()
        pixels = damaged(self._source.render(exposure), self._faults)
        # Only a camera that may freeze keeps what it gave; the caller may write into the frame.
        self._last = pixels.copy() if CameraFault.FROZEN in self._faults else None
        return pixels


class SimulatedCameraSettings(BaseModel):
    """A simulated camera in the unit's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Literal["simulated"] = "simulated"
    exposure_ms: float = Field(default=20.0, gt=0)
    """Exposure at the start."""
    gain: float = Field(default=1.0, gt=0)
    """Gain at the start."""
    buffer_frames: int = Field(default=8, ge=1, le=1000)
    """Frames that wait for a slow reader."""
    strobe: bool = False
    """Light on even frames only."""
    offset_ms: float = 0.0
    """Off the common trigger by this much."""
    jitter_ms: float = Field(default=0.0, ge=0)
    """Standard deviation of the end of an exposure."""
    seed: int = Field(default=0, ge=0)
    """Of jitter and dropped frames."""

    def make(self, name: str, source: FrameSource, **world: Any) -> SimulatedCamera:
        """The camera, not yet open. Its source comes from the caller: room `sim` renders, and is above this one.

        `world`: irradiance, pose, clock and wait of `SimulatedCamera`.
        """
        return SimulatedCamera(name, source, **self.model_dump(exclude={"backend"}), **world)

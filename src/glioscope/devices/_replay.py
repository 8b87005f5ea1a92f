"""Replays the streams of a recorded case as cameras, at any speed."""

import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from glioscope.core import (
    CameraInfo,
    DeviceError,
    DeviceReport,
    DeviceState,
    Frame,
    GlioscopeError,
    ImageError,
    InputError,
)

from ._pairing import Slot
from ._recorded_case import RecordedCase, RecordedStream, open_case
from ._replay_clock import ReplayClock

_LATE_S = 0.5


class ReplayCameraSettings(BaseModel):
    """A camera that plays one stream of a recorded case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Literal["replay"] = "replay"
    """Names this backend."""
    folder: Path
    """The case folder."""
    stream: Slot = "fl"
    """Which of its cameras."""
    speed: float | Literal["fastest"] = Field(1.0, union_mode="left_to_right")
    """1 is as recorded, 0.25 four times slower; "fastest": as fast as it is read, for `time_source` "recorded"."""
    loop: bool = False
    """Start over at the end; else the camera ends with a fault that says so."""
    time_source: Literal["now", "recorded"] = "now"
    """"now": each frame carries the time at which it is played, for live use, where old frames are refused; what a
    slow reader did not take for half a second is left out. "recorded": every frame, times and numbers as recorded."""
    skip_damaged: bool = False
    """Leave out frames that cannot be read; else they are a fault."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.speed == "fastest" and self.time_source == "now":
            raise ValueError('speed "fastest" has no times of its own: set time_source = "recorded"')
        if self.speed != "fastest" and not 0 < float(self.speed) <= 1000:
            raise ValueError(f'speed is {self.speed}, it must be above 0 and at most 1000, or "fastest"')
        return self

    def make(self, name: str) -> "ReplayCamera":
        """The camera, not opened. Cameras of one folder and speed share a clock."""
        return ReplayCamera(name, self)


class ReplayCamera:
    """Plays one stream of a recorded case (`core.Camera`).

    Frames are read ahead of their time. Those that the recording lacks stay lacking: `sequence` has the same gaps.
    `stop` pauses and `start` goes on from there (numbers begin anew, as with any camera); `rewind` starts over. At the
    end `read` and `start` raise DeviceError, and `report` says so. Exposure and gain are as recorded: the setters
    check and give back what the recording has.

    Parameters
    ----------
    name : of the device.
    settings : what to play, and how.
    """

    def __init__(self, name: str, settings: ReplayCameraSettings) -> None:
        self._name, self._settings = name, settings
        self._lock = threading.RLock()
        self._state, self._fault = DeviceState.OFF, ""
        self._case: RecordedCase | None = None
        self._clock = ReplayClock.of(settings.folder, None if settings.speed == "fastest" else float(settings.speed))
        self._offsets: tuple[float, ...] = ()
        self._length_s = 0.0
        self._next = self._base = 0
        self._read_ahead: tuple[int, Frame] | None = None
        self._left_out = 0
        self._rewinds: int | None = None
        self._stopped = threading.Event()

    @property
    def name(self) -> str:
        """Name in this unit."""
        return self._name

    def stage(self) -> None:
        """Open the case. Raises DeviceError if it cannot be read or has no frames of this camera."""
        with self._lock:
            if self._case is not None:
                return
            try:
                case = open_case(self._settings.folder)
            except GlioscopeError as error:
                raise self._failed(str(error)) from error
            if not len(case.streams[self._settings.stream]):
                raise self._failed(f"{case.folder} has no {self._settings.stream} frames")
            self._case, self._state, self._fault = case, DeviceState.READY, ""
            self._lay_out(case.info.frames_per_second or 25.0)
            if self._ended:
                self._state, self._fault = DeviceState.FAULT, self._end_sentence()
            else:
                self._ahead(self._next)  # loads the decoder, which can take a second, before anything is due

    def start(self, frames_per_second: float) -> None:
        """Play. The recorded intervals hold; the rate is only for recordings whose frames have no times.

        Raises
        ------
        DeviceError : not staged, or the recording has ended. InputError : a rate out of range.
        """
        if not 0 < frames_per_second <= 1000:
            raise InputError(f"{self._name}: {frames_per_second:g} frames/s, it must be above 0 and at most 1000")
        with self._lock:
            if self._case is None:
                raise DeviceError(self._name, self._fault or "is not staged")
            self._follow()
            if self._ended:
                raise self._failed(self._end_sentence())
            if self._untimed:
                self._lay_out(frames_per_second)
            if self._state is not DeviceState.RUNNING:
                self._clock.run(self, first_time=self._rewinds is None)
                self._rewinds = self._clock.rewinds if self._rewinds is None else self._rewinds
                self._catch_up()
            self._base = self._number(self._next)
            self._stopped.clear()
            self._state, self._fault = DeviceState.RUNNING, ""

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, when its time has come; None when it has not within `timeout_s`.

        Raises
        ------
        DeviceError : not started, a damaged frame, or the recording has ended.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            with self._lock:
                if self._state is not DeviceState.RUNNING:
                    raise DeviceError(self._name, self._fault or "is not started")
                self._follow()
                if self._ended:
                    raise self._failed(self._end_sentence())
                self._keep_up()
                i, due = self._next, self._due_s(self._next)
            frame = self._ahead(i)  # before its time, so that decoding does not make it late
            if frame is not None and not self._wait_until(due, deadline):
                return None
            with self._lock:
                if self._next == i:
                    self._next, self._read_ahead = i + 1, None
                    if frame is not None:
                        return self._stamped(frame, i, due)

    def stop(self) -> None:
        """Pause."""
        with self._lock:
            self._clock.pause(self)
            self._stopped.set()
            if self._state is DeviceState.RUNNING:
                self._state = DeviceState.READY

    def unstage(self) -> None:
        """Pause and close the case; where the replay stands is kept."""
        with self._lock:
            self.stop()
            self._case, self._read_ahead = None, None
            if self._state is not DeviceState.FAULT:
                self._state = DeviceState.OFF

    def rewind(self) -> None:
        """Back to the first frame, for every camera of this case and speed."""
        with self._lock:
            self._clock.rewind()
            self._follow()
            self._fault = ""
            if self._state is DeviceState.FAULT:
                self._state = DeviceState.OFF if self._case is None else DeviceState.READY

    def report(self) -> DeviceReport:
        """State, how far the replay is, and what is wrong."""
        with self._lock:
            case, count = self._case, len(self._offsets)
            details: dict[str, float | int | str | bool] = {
                "folder": str(self._settings.folder),
                "frame": self._next,
                "frames": count,
                "position_s": self._clock.position_s,
                "ended": bool(count) and self._ended,
                "left_out": self._left_out,
            }
            if case is not None:
                details |= {"data_kind": case.info.data_kind, "recording_closed": case.closed}
            model = f"replay of {case.info.case_id}" if case is not None else "replay"
            return DeviceReport(self._name, self._state, model, None, (self._fault,) if self._fault else (), details)

    def info(self) -> CameraInfo:
        """What the recorded camera was; ranges are those that the recording has. Raises DeviceError before `stage`."""
        stream = self._stream()
        first, colour = stream.rows[0], self._settings.stream == "wl"
        return CameraInfo(
            model=f"replay of {self._staged().info.case_id}",
            serial=str(first.facts["camera"]),
            rows=first.rows,
            columns=first.columns,
            colour=colour,
            white_level=max(row.facts["white_level"] or (255 if colour else 65535) for row in stream.rows),
            exposure_ms=_range(stream, "exposure_ms"),
            gain=_range(stream, "gain"),
        )

    def set_exposure_ms(self, exposure_ms: float) -> float:
        """Give the recorded exposure of the next frame, in ms. Raises InputError outside the recorded range."""
        return self._recorded("exposure_ms", exposure_ms)

    def set_gain(self, gain: float) -> float:
        """Give the recorded gain of the next frame. Raises InputError outside the recorded range."""
        return self._recorded("gain", gain)

    def _follow(self) -> None:
        """Go back to the first frame if another camera rewound the clock."""
        if self._rewinds is not None and self._rewinds != self._clock.rewinds:
            self._rewinds, self._next = self._clock.rewinds, 0
            self._base = self._number(0) if self._case is not None else 0

    def _recorded(self, name: str, value: float) -> float:
        stream = self._stream()
        low, high = _range(stream, name)
        if not low <= value <= high:
            raise InputError(f"{self._name}: {name} {value:g} is outside the recorded {low:g} to {high:g}")
        found = stream.rows[min(self._next, len(stream) - 1)].facts[name]
        return low if found is None else float(found)

    def _staged(self) -> RecordedCase:
        case = self._case
        if case is None:
            raise DeviceError(self._name, self._fault or "is not staged")
        return case

    def _stream(self) -> RecordedStream:
        return self._staged().streams[self._settings.stream]

    def _failed(self, reason: str) -> DeviceError:
        self._clock.pause(self)
        self._state, self._fault = DeviceState.FAULT, reason
        return DeviceError(self._name, reason)

    @property
    def _ended(self) -> bool:
        return self._next >= len(self._offsets) and not self._settings.loop

    def _end_sentence(self) -> str:
        return f"the recording has ended after {len(self._offsets)} frames; rewind it, or set loop = true"

    @property
    def _untimed(self) -> bool:
        return any(row.facts["monotonic_s"] is None for row in self._stream().rows)

    def _lay_out(self, frames_per_second: float) -> None:
        """When each frame is due, in seconds after the first frame of either camera; time never runs back."""
        case, rows = self._staged(), self._stream().rows
        period = 1.0 / frames_per_second
        if self._untimed:
            offsets: Sequence[float] = [i * period for i in range(len(rows))]
        else:
            begin = _begin_s(case)
            offsets = list(itertools.accumulate((row.facts["monotonic_s"] - begin for row in rows), max))
        self._offsets = tuple(offsets)
        ends = [row.facts["monotonic_s"] for stream in case.streams.values() for row in stream.rows[-1:]]
        last = offsets[-1] if self._untimed or None in ends else max(ends) - _begin_s(case)
        self._length_s = max(last, offsets[-1]) + period

    def _place(self, i: int) -> float:
        """Position of the `i`-th frame on the clock, loops counted."""
        turn, within = divmod(i, len(self._offsets))
        return turn * self._length_s + self._offsets[within]

    def _due_s(self, i: int) -> float:
        return self._clock.due_s(self._place(i)) if self._clock.speed is not None else time.monotonic()

    def _catch_up(self) -> None:
        """A camera that joins a running replay begins where the replay is."""
        if self._clock.speed is None:
            return
        now = self._clock.position_s
        while not self._ended and self._place(self._next) < now:
            self._next += 1

    def _keep_up(self) -> None:
        """Leave out what is long overdue, as a camera does that nobody reads: live frames must not grow old."""
        if self._settings.time_source == "now" and time.monotonic() - self._due_s(self._next) > _LATE_S:
            before = self._next
            self._catch_up()
            if self._ended:  # the last frame is shown, however late
                self._next = len(self._offsets) - 1
            self._left_out += max(self._next - before, 0)

    def _number(self, i: int) -> int:
        rows = self._stream().rows
        turn, within = divmod(i, len(rows))
        first, last = int(rows[0].facts["sequence"]), int(rows[-1].facts["sequence"])
        return int(rows[within].facts["sequence"]) + turn * (last - first + 1)

    def _wait_until(self, due: float, deadline: float) -> bool:
        """Sleep until `due`; False when the deadline or `stop` comes first."""
        now = time.monotonic()
        if due > now:
            self._stopped.wait(max(min(due, deadline) - now, 0.0))
        return time.monotonic() >= due and not self._stopped.is_set()

    def _ahead(self, i: int) -> Frame | None:
        """Frame `i` as recorded; None if it is damaged and to be skipped."""
        if self._read_ahead is not None and self._read_ahead[0] == i:
            return self._read_ahead[1]
        stream = self._stream()
        try:
            frame = stream[i % len(stream)]
        except ImageError as error:
            if self._settings.skip_damaged:
                return None
            with self._lock:
                raise self._failed(str(error)) from error
        self._read_ahead = (i, frame)
        return frame

    def _stamped(self, frame: Frame, i: int, due: float) -> Frame:
        if self._settings.time_source == "recorded":
            return frame
        utc = datetime.now(UTC) - timedelta(seconds=time.monotonic() - due)
        return replace(frame, camera=self._name, sequence=self._number(i) - self._base, monotonic_s=due, utc=utc)


def _begin_s(case: RecordedCase) -> float:
    """The earliest time of any frame."""
    times = (row.facts["monotonic_s"] for stream in case.streams.values() for row in stream.rows[:1])
    return float(min(when for when in times if when is not None))


def _range(stream: RecordedStream, name: str) -> tuple[float, float]:
    values: list[Any] = [row.facts[name] for row in stream.rows if row.facts[name] is not None]
    return (float(min(values)), float(max(values))) if values else (0.0, float("inf"))

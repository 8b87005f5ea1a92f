"""One camera, one thread: reads, lets only new frames of the right kind pass, and brings a lost camera back."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from glioscope.core import Camera, CameraInfo, DeviceError, DeviceState, Frame, GlioscopeError, InputError, Reason
from glioscope.imaging import FrameWatch

from ._bits import BitWatch
from ._pairing import Slot

_READ_S = 0.1
_RETRY_S = 0.5
_STREAMING_S = 0.25
_RATE_FRAMES = 50

Event = Callable[[str, dict[str, str | float | int]], None]


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """How a camera does.

    Attributes
    ----------
    state : running; fault while it is being brought back; off.
    sentence : what is wrong now, or a warning; empty when all is well.
    frames : passed on.
    lost : gaps in the camera's own numbers.
    refused : frames that were not passed on, by the name of the reason ("frame_repeated", "frame_backwards", ...).
    restarts : times that the camera was brought back.
    frames_per_second : over the last two seconds or so; 0 while nothing comes.
    """

    state: DeviceState
    sentence: str = ""
    frames: int = 0
    lost: int = 0
    refused: MappingProxyType[str, int] = field(default_factory=lambda: MappingProxyType({}))
    restarts: int = 0
    frames_per_second: float = 0.0


class CameraStream:
    """Reads a staged camera in a thread of its own and hands every new frame to `take`.

    A frame that is old, a repetition, out of order, without a time or of the wrong kind is counted and goes no
    further. Numbers go on rising when the camera is started anew. A camera that is lost, or silent for
    `silent_s`, is unstaged and staged every half second until it is back.

    Parameters
    ----------
    camera, slot : staged; "fl" must give uint16 (H, W), "wl" uint8 RGB.
    frames_per_second : above 0.
    take : called in the thread of this stream; must be quick.
    event : told what happened ("camera_lost", "camera_back", "frame_refused"), with the facts.
    """

    def __init__(
        self,
        camera: Camera,
        slot: Slot,
        frames_per_second: float,
        take: Callable[[Frame], None],
        event: Event,
        *,
        silent_s: float = 1.0,
    ) -> None:
        self._camera, self._slot, self._rate = camera, slot, frames_per_second
        self._take, self._event = take, event
        self._silent_s = max(silent_s, 5 / frames_per_second)
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._state: DeviceState = DeviceState.OFF
        self._sentence = ""
        self._frames = self._lost = self._restarts = 0
        self._refused: Counter[str] = Counter()
        self._times: deque[float] = deque(maxlen=_RATE_FRAMES)
        self._base = 0
        self._last: int | None = None
        self._waited_s = self._lost_s = 0.0
        self._new_s = -1e9
        self._watch = FrameWatch()
        self._bits: BitWatch | None = None

    def start(self) -> None:
        """Check the camera against its slot and stream. Raises DeviceError, InputError."""
        self._open()
        self._state = DeviceState.RUNNING
        self._thread = threading.Thread(target=self._run, name=f"camera {self._camera.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and the camera's streaming."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        self._camera.stop()
        self._state = DeviceState.OFF

    @property
    def streaming(self) -> bool:
        """Whether new frames come now: the last a quarter of a second or four periods ago at most."""
        return self._state == DeviceState.RUNNING and time.monotonic() - self._new_s < max(_STREAMING_S, 4 / self._rate)

    def status(self) -> StreamStatus:
        """Counts so far and what is wrong now; from any thread."""
        with self._lock:
            bits = self._bits.sentence if self._bits is not None else ""
            return StreamStatus(
                self._state,
                self._sentence or bits,
                self._frames,
                self._lost,
                MappingProxyType(dict(self._refused)),
                self._restarts,
                self._measured_rate(),
            )

    def _measured_rate(self) -> float:
        now = time.monotonic()
        if len(self._times) < 2 or now - self._times[-1] > self._silent_s:
            return 0.0
        return (len(self._times) - 1) / max(self._times[-1] - self._times[0], 1e-9)

    def _open(self) -> None:
        info = self._camera.info()
        check_slot(self._camera.name, self._slot, info)
        self._bits = BitWatch(info.white_level) if self._slot == "fl" else None
        self._base = self._base if self._last is None else self._last + 1
        self._camera.start(self._rate)
        self._waited_s = time.monotonic()

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                self._step()
        except BaseException as error:
            # Not foreseen: the thread ends with a traceback, and the status must not go on saying "running".
            with self._lock:
                self._state, self._sentence = DeviceState.FAULT, f"{self._camera.name}: reading ended: {error!r}"
            raise

    def _step(self) -> None:
        try:
            frame = self._camera.read(_READ_S)
            if frame is not None:
                self._judge(frame)
            elif time.monotonic() - self._waited_s > self._silent_s:
                raise DeviceError(self._camera.name, f"no new frame for {self._silent_s:.1f} s: check its cable")
        except DeviceError as error:
            self._bring_back(error)

    def _judge(self, frame: Frame) -> None:
        now = time.monotonic()
        frame = replace(frame, sequence=frame.sequence + self._base)
        reasons = (*_kind(frame, self._slot), *self._watch.check(frame, now))
        if reasons:
            with self._lock:
                self._refused[reasons[0].name] += 1
                self._sentence = reasons[0].sentence
                if self._last is not None:
                    self._last = max(self._last, frame.sequence)  # refused is not lost
                first = self._refused[reasons[0].name] == 1
            if first or self._refused.total() % max(1, round(self._rate)) == 0:
                self._event("frame_refused", {"camera": self._camera.name, "reason": reasons[0].name})
            if now - self._waited_s > self._silent_s:
                raise DeviceError(self._camera.name, reasons[0].sentence)
            return
        self._note(frame, now)
        if self._bits is not None:
            self._bits.add(frame)
        self._take(frame)

    def _note(self, frame: Frame, now: float) -> None:
        """A new frame came; the first after a loss ends the fault."""
        with self._lock:
            gap = 0 if self._last is None else frame.sequence - self._last - 1
            self._lost += max(gap, 0)
            self._last = frame.sequence
            self._frames += 1
            self._sentence = ""
            self._times.append(now)
            self._waited_s = self._new_s = now
            back = self._state is DeviceState.FAULT
            if back:
                self._state = DeviceState.RUNNING
                self._restarts += 1
        if back:
            self._event("camera_back", {"camera": self._camera.name, "after_s": now - self._lost_s})

    def _bring_back(self, error: DeviceError) -> None:
        """Try until the camera can be opened or the stream is stopped; its first new frame will end the fault."""
        with self._lock:
            first = self._state is not DeviceState.FAULT
            self._state, self._sentence = DeviceState.FAULT, str(error)
        if first:
            self._lost_s = time.monotonic()
            self._event("camera_lost", {"camera": self._camera.name, "reason": error.reason})
        while not self._ending.is_set():
            self._camera.unstage()
            try:
                self._camera.stage()
                self._open()
            except GlioscopeError as again:
                with self._lock:
                    self._sentence = str(again)
                self._ending.wait(_RETRY_S)
            else:
                return


def check_slot(name: str, slot: Slot, info: CameraInfo) -> None:
    """Raise InputError when the camera's kind of picture does not belong into the slot."""
    if slot == "fl" and info.colour:
        raise InputError(f"{name}: a colour camera in the fluorescence slot; it needs one with 16-bit grey pixels")
    if slot == "wl" and not info.colour:
        raise InputError(f"{name}: a grey camera in the white-light slot; it needs one with RGB pixels")


def _kind(frame: Frame, slot: Literal["fl", "wl"]) -> tuple[Reason, ...]:
    """What the pixels themselves are: a driver can change its format while it runs."""
    want = ("uint16", 2) if slot == "fl" else ("uint8", 3)
    if (frame.pixels.dtype.name, frame.pixels.ndim) != want:
        found = f"{frame.pixels.dtype.name} {frame.pixels.shape}"
        sentence = f"the camera gives {found} pixels: it belongs into another slot, or its pixel format was changed"
        return (Reason("frame_kind", sentence, slot),)
    if frame.monotonic_s is None:
        return (Reason("frame_undated", "the frame has no time", slot),)
    return ()

"""Both cameras together: frames in pairs, the newest at hand, nothing waiting longer than a few periods."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from glioscope.core import Camera, Frame, InputError

from ._pairing import FramePair, Pairer, Slot
from ._stream import CameraStream, Event, StreamStatus

_OLDEST_S = 1.0
Annotate = Callable[[Slot, Frame], Frame]
Tap = Callable[[Slot, Frame], None]


@dataclass(frozen=True, slots=True)
class AcquisitionStatus:
    """How the acquisition does.

    Attributes
    ----------
    fl, wl : the two cameras.
    pairs : good ones so far.
    flagged : pairs whose frames are over half a period apart.
    unpaired : frames that found no partner at all.
    dropped : pairs that a slow consumer left lying until they fell off the end of the ring.
    """

    fl: StreamStatus
    wl: StreamStatus
    pairs: int
    flagged: int
    unpaired: int
    dropped: int


class Acquisition:
    """Streams two staged cameras and pairs their frames.

    The ring holds the last `depth` pairs. `next_pair` gives the oldest of them and `latest` the newest; when the
    ring is full the oldest pair is dropped and counted, so that a slow consumer sees fewer pairs, never old ones.

    Parameters
    ----------
    fl, wl : staged cameras.
    frames_per_second : of both, above 0.
    depth : pairs in the ring, at least 1.
    annotate : adds what the cameras do not know (laser, distance) to a frame; called in the camera's thread.
    taps : called with every new frame in the camera's thread, such as a recorder's; must not block or raise.
    event : told of cameras lost and back, and of refused frames.

    Raises
    ------
    InputError : a rate or depth out of range.
    """

    def __init__(
        self,
        fl: Camera,
        wl: Camera,
        *,
        frames_per_second: float = 25.0,
        depth: int = 8,
        annotate: Annotate | None = None,
        taps: Sequence[Tap] = (),
        event: Event = lambda _kind, _facts: None,
    ) -> None:
        if not 0 < frames_per_second <= 1000:
            raise InputError(f"frames_per_second is {frames_per_second:g}, it must be above 0 and at most 1000")
        if depth < 1:
            raise InputError(f"depth is {depth}, at least 1 pair is needed")
        self._annotate, self._taps, self._event = annotate, tuple(taps), event
        self._pairer = Pairer(1000.0 / frames_per_second)
        self._ring: deque[FramePair] = deque()
        self._depth = depth
        self._newest: FramePair | None = None
        self._pairs = self._flagged = self._dropped = 0
        self._changed = threading.Condition()
        self._ended = False
        self._oldest_s = max(_OLDEST_S, (depth + 1) / frames_per_second)
        self._streams = {
            "fl": CameraStream(fl, "fl", frames_per_second, lambda frame: self._take("fl", frame), self._happened),
            "wl": CameraStream(wl, "wl", frames_per_second, lambda frame: self._take("wl", frame), self._happened),
        }

    def start(self) -> None:
        """Stream both cameras. Raises DeviceError, InputError; then neither streams."""
        self._ended = False
        try:
            for stream in self._streams.values():
                stream.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop both cameras; waiting consumers get None."""
        self._ended = True
        for stream in self._streams.values():
            stream.stop()
        with self._changed:
            self._changed.notify_all()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def next_pair(self, timeout_s: float) -> FramePair | None:
        """The oldest pair that was not taken yet, good or flagged; None when none came in time, or after `stop`.

        Pairs that are over a second old are dropped and counted: after a camera was lost, the ring holds such.
        """
        with self._changed:
            self._changed.wait_for(lambda: bool(self._ring) or self._ended, timeout_s)
            now = time.monotonic()
            while self._ring and not self._ended:
                pair = self._ring.popleft()
                if now - max(pair.fl.monotonic_s or 0.0, pair.wl.monotonic_s or 0.0) <= self._oldest_s:
                    return pair
                self._dropped += 1
            return None

    def latest(self) -> FramePair | None:
        """The newest good pair, taken or not; None before the first. How old it is, its times tell."""
        return self._newest

    @property
    def streaming(self) -> bool:
        """Whether both cameras give new frames now."""
        return all(stream.streaming for stream in self._streams.values())

    def status(self) -> AcquisitionStatus:
        """Counts so far; from any thread."""
        with self._changed:
            unpaired = sum(self._pairer.unpaired.values())
            counts = (self._pairs, self._flagged, unpaired, self._dropped)
        return AcquisitionStatus(self._streams["fl"].status(), self._streams["wl"].status(), *counts)

    def _take(self, slot: Slot, frame: Frame) -> None:
        if self._annotate is not None:
            frame = self._annotate(slot, frame)
        with self._changed:
            for pair in self._pairer.add(slot, frame):
                self._store(pair)
            self._changed.notify_all()
        for tap in self._taps:
            tap(slot, frame)

    def _store(self, pair: FramePair) -> None:
        if pair.reasons:
            self._flagged += 1
        else:
            self._pairs += 1
            self._newest = pair
        if len(self._ring) == self._depth:
            self._ring.popleft()
            self._dropped += 1
        self._ring.append(pair)

    def _happened(self, kind: str, facts: dict[str, str | float | int]) -> None:
        if kind == "camera_back":
            with self._changed:
                self._pairer.forget()
        self._event(kind, facts)

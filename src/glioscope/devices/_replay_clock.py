"""Where a replay stands: one clock for all cameras of a case, so that pairs stay pairs."""

import threading
import time
import weakref
from pathlib import Path

_LEAD_S = 0.2


class ReplayClock:
    """Runs while a camera runs and pauses with the last of them, like a tape. For any thread.

    Parameters
    ----------
    speed : seconds of the recording a second; None: as fast as the frames are read.

    Attributes
    ----------
    rewinds : how often it went back to the start; a camera that sees another number than last time follows.
    """

    def __init__(self, speed: float | None) -> None:
        self.speed = speed
        self.rewinds = 0
        self._lock = threading.Lock()
        self._running: set[int] = set()
        self._position_s = 0.0
        self._began_s = 0.0

    @classmethod
    def of(cls, folder: Path, speed: float | None) -> "ReplayClock":
        """The clock that every camera of this case shares at this speed, as long as there is one."""
        key = (folder.resolve(), speed)
        with _SHARED_LOCK:
            clock = _SHARED.get(key)
            if clock is None:
                _SHARED[key] = clock = cls(speed)
            return clock

    def run(self, camera: object, *, first_time: bool) -> None:
        """A camera runs. The first to do so sets the clock going, a moment later, so that no other comes too late.

        A camera that never ran before, while none runs, starts from the beginning.
        """
        with self._lock:
            if not self._running:
                if first_time:
                    self._rewind()
                self._began_s = time.monotonic() + _LEAD_S
            self._running.add(id(camera))

    def pause(self, camera: object) -> None:
        """A camera runs no longer; the last one stops the clock where it is."""
        with self._lock:
            if id(camera) in self._running:
                position = self._at(time.monotonic())
                self._running.discard(id(camera))
                if not self._running:
                    self._position_s = position

    def rewind(self) -> None:
        """Back to the start of the recording."""
        with self._lock:
            self._rewind()
            self._began_s = time.monotonic() + _LEAD_S

    @property
    def position_s(self) -> float:
        """Seconds into the recording, now."""
        with self._lock:
            return self._at(time.monotonic()) if self._running else self._position_s

    def due_s(self, position_s: float) -> float:
        """When, on the monotonic clock, the recording comes to a position, while the clock runs."""
        with self._lock:
            return self._began_s + (position_s - self._position_s) / (self.speed or 1.0)

    def _at(self, now_s: float) -> float:
        return self._position_s + max(now_s - self._began_s, 0.0) * (self.speed or 1.0)

    def _rewind(self) -> None:
        self._position_s = 0.0
        self.rewinds += 1


_SHARED: weakref.WeakValueDictionary[tuple[Path, float | None], ReplayClock] = weakref.WeakValueDictionary()
_SHARED_LOCK = threading.Lock()

"""How well the pictures reach the screens: measured on the server's own clock, kept in constant memory."""

import threading
import time
from collections import deque
from dataclasses import dataclass

import numpy as np

_LONGEST_MS = 4000
_WINDOW_S = 2.0


@dataclass(frozen=True, slots=True)
class LiveStats:
    """Of all pictures that were painted since the start.

    Attributes
    ----------
    painted : pictures that a viewer has acknowledged after painting.
    p50_ms, p95_ms, p99_ms : from the end of the exposure to the acknowledgement, which is an upper bound of the time
        to the paint, to 1 ms; None before the first.
    """

    painted: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class PaintTimes:
    """Times from exposure to paint, counted in bins of 1 ms; what takes over 4 s is in the last. For all threads."""

    def __init__(self) -> None:
        self._bins = np.zeros(_LONGEST_MS + 1, np.int64)
        self._lock = threading.Lock()

    def add(self, milliseconds: float) -> None:
        """One picture."""
        with self._lock:
            self._bins[int(min(max(np.ceil(milliseconds), 0), _LONGEST_MS))] += 1

    def stats(self) -> LiveStats:
        """Percentiles so far; each is the top of its bin."""
        with self._lock:
            total = np.cumsum(self._bins)
        n = int(total[-1])
        if n == 0:
            return LiveStats(0, None, None, None)
        p50, p95, p99 = (float(np.searchsorted(total, share * n)) for share in (0.50, 0.95, 0.99))
        return LiveStats(n, p50, p95, p99)


class Rate:
    """Events a second over the last two seconds. For one thread."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def add(self) -> None:
        """One event, now."""
        self._times.append(time.monotonic())
        self._forget()

    def per_second(self) -> float:
        """Events a second; 0 while nothing comes."""
        self._forget()
        return len(self._times) / _WINDOW_S

    def _forget(self) -> None:
        oldest = time.monotonic() - _WINDOW_S
        while self._times and self._times[0] < oldest:
            self._times.popleft()

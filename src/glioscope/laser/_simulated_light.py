"""The light of a SIMULATED laser: a small file that the head writes and everybody else reads without asking it.

Layout: magic (8 bytes), count of changes (uint64), then a ring of `RING` changes of three doubles: time (monotonic s),
power then, power that it goes to (mW); between changes the power follows an exponential of time constant `TAU_S`.
"""

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

RING = 4096
TAU_S = 0.0004
"""10 to 90 % in 0.9 ms, as a diode head does with its slow start."""
MAGIC = b"gslight1"
COUNT = struct.Struct("=Q")
CHANGE = struct.Struct("=3d")
HEADER = len(MAGIC) + COUNT.size
SIZE = HEADER + RING * CHANGE.size


@dataclass(frozen=True, slots=True)
class LightChange:
    """From `monotonic_s` on the power goes from `start_mw` to `target_mw`."""

    monotonic_s: float
    start_mw: float
    target_mw: float

    def power_mw(self, when_s: float) -> float:
        """Power at a time after this change and before the next."""
        rest = self.start_mw - self.target_mw
        return self.target_mw + rest * math.exp(-max(0.0, when_s - self.monotonic_s) / TAU_S)

    def energy_mj(self, start_s: float, end_s: float) -> float:
        """Energy in millijoule (mW s) between two times after this change and before the next."""
        early, late = (math.exp(-(when - self.monotonic_s) / TAU_S) for when in (start_s, end_s))
        return self.target_mw * (end_s - start_s) + (self.start_mw - self.target_mw) * TAU_S * (early - late)


class LightFile:
    """The writer's side; one process, one thread at a time."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(MAGIC + bytes(SIZE - len(MAGIC)))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), SIZE)
        self._count = 0
        self._last = LightChange(0.0, 0.0, 0.0)

    def power_mw(self, now: float) -> float:
        """Power now."""
        return self._last.power_mw(now)

    def go_to(self, target_mw: float, now: float) -> None:
        """The power goes elsewhere from now on."""
        self._last = LightChange(now, self._last.power_mw(now), target_mw)
        CHANGE.pack_into(self._map, HEADER + self._count % RING * CHANGE.size, now, self._last.start_mw, target_mw)
        self._count += 1
        COUNT.pack_into(self._map, len(MAGIC), self._count)  # after the change itself: a reader never sees half of one

    def close(self) -> None:
        """Let go of the file; it stays."""
        self._map.close()

"""Reads the light of a SIMULATED laser head from its file (`glioscope.laser._simulated_light` has the layout)."""

import math
import mmap
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from glioscope.core import InputError
from glioscope.laser._simulated_light import CHANGE, COUNT, HEADER, MAGIC, RING, SIZE, TAU_S, LightChange, LightFile

__all__ = ["RING", "TAU_S", "LightChange", "LightFile", "LightWatch"]


class LightWatch:
    """Reads the light of a simulated laser head, also after its end. Raises InputError when `path` is no such file."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            with self.path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), SIZE, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: the light of the simulated laser cannot be read: {error}") from error
        if self._map[: len(MAGIC)] != MAGIC:
            raise InputError(f"{path}: not the light of a simulated laser")

    def power_mw(self, now: float) -> float:
        """Optical power at a time; 0 before the first change."""
        change = next((each for each in reversed(self.changes(now - 1)) if each.monotonic_s <= now), None)
        return change.power_mw(now) if change else 0.0

    def mean_power_mw(self, start_s: float, end_s: float) -> float:
        """Mean optical power between two times, for example over an exposure."""
        if end_s <= start_s:
            return self.power_mw(end_s)
        energy = 0.0
        changes = self.changes(start_s)
        for change, following in zip_longest(changes, changes[1:]):
            begin = max(start_s, change.monotonic_s)
            end = end_s if following is None else min(end_s, following.monotonic_s)
            if end > begin:
                energy += change.energy_mj(begin, end)
        return energy / (end_s - start_s)

    def changes(self, since_s: float = -math.inf) -> Sequence[LightChange]:
        """Changes in order of time, as far as the ring holds them: the last one before `since_s` and all later ones."""
        count = self._count()
        found: list[LightChange] = []
        for index in range(count - 1, max(-1, count - RING), -1):
            found.append(LightChange(*CHANGE.unpack_from(self._map, HEADER + index % RING * CHANGE.size)))
            if found[-1].monotonic_s <= since_s:
                break
        if self._count() - count + len(found) >= RING:
            return self.changes(since_s)  # the writer came round while this was read
        return found[::-1]

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()

    def _count(self) -> int:
        return int(COUNT.unpack_from(self._map, len(MAGIC))[0])

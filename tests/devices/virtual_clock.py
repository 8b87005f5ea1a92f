"""Time that passes only when it is told to, and a camera's view that costs nothing: for fast and exact tests."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glioscope.core import CameraInfo, Exposure


class VirtualClock:
    """`clock` and `wait` of simulated devices; `each` is called after every wait, at most 20 ms apart."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.each: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now = min(self.now + 0.02, end)
            self.each()


class PlainSource:
    """Frames of one value, a new one for each, and a record of all exposures."""

    def __init__(self, colour: bool = False) -> None:
        self.colour = colour
        self.exposures: list[Exposure] = []

    @property
    def info(self) -> CameraInfo:
        return CameraInfo("plain", "1", 4, 6, self.colour, 255 if self.colour else 65535, (1.0, 200.0), (1.0, 4.0))

    def mm_per_px(self, distance_mm: float) -> float:
        return distance_mm / 3000

    def prepare(self, exposure: Exposure) -> None:
        """Nothing to do before."""

    def render(self, exposure: Exposure) -> NDArray[Any]:
        self.exposures.append(exposure)
        value = len(self.exposures)
        return np.full((4, 6, 3), value, np.uint8) if self.colour else np.full((4, 6), 16 * value, np.uint16)

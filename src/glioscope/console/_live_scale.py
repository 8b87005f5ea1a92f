"""From counts to what the screen shows: one scale for all pictures, never stretched to a single one."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import InputError

LEVELS: Final = 240
"""Indices of the scale are 0 to 239."""
SATURATED: Final = 255
"""Index of a pixel at the top of the camera's range; the gap below keeps JPEG's errors from reaching it."""
SATURATED_FROM: Final = 248
"""A decoded index from here on is a saturated pixel."""
_WARNING: Final = (0, 229, 255)
"""Cyan: inferno has nothing near it, whatever a person's colour vision."""
_COUNTS: Final = 65536


@dataclass(frozen=True, slots=True)
class LiveScale:
    """Which counts are black and which are brightest.

    Attributes
    ----------
    low, high : counts, 0 to 65535, low below high.
    gamma : shown = ((counts - low) / (high - low)) ** gamma, 0.2 to 5; below 1 lifts dim tissue.

    Raises
    ------
    InputError : a number out of range.
    """

    low: int
    high: int
    gamma: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high < _COUNTS:
            raise InputError(f"the scale is {self.low} to {self.high} counts; give two numbers of 0 to 65535, rising")
        if not 0.2 <= self.gamma <= 5:
            raise InputError(f"gamma is {self.gamma:g}, it must be 0.2 to 5")

    def table(self, white_level: int) -> NDArray[np.uint8]:
        """Index of every count, uint8 (65536,): 0 to 239, and 255 from `white_level` on."""
        share = (np.arange(_COUNTS) - self.low) / (self.high - self.low)
        index = np.rint((LEVELS - 1) * np.clip(share, 0, 1) ** self.gamma).astype(np.uint8)
        index[white_level:] = SATURATED
        return index

    def as_json(self) -> dict[str, float]:
        """For the page."""
        return {"low": self.low, "high": self.high, "gamma": self.gamma}


def default_scale(white_level: int, offset_counts: float | None) -> LiveScale:
    """From the counts without light to an eighth of the camera's range: bright tissue at video exposures."""
    low = int(offset_counts or 0)
    return LiveScale(low, max(white_level // 8, low + 1))


def colours() -> NDArray[np.uint8]:
    """RGB of every index, uint8 (256, 3): inferno, which is even in lightness and safe for colour-blind eyes.

    References
    ----------
    Nuñez, Anderton, Renslow, PLoS ONE 13(7) e0199239, 2018 (perceptually even colour maps).
    """
    ramp = np.rint(np.linspace(0, 255, LEVELS)).astype(np.uint8)
    bgr = cv2.applyColorMap(ramp[:, None], cv2.COLORMAP_INFERNO)[:, 0]
    table = np.empty((256, 3), np.uint8)
    table[:LEVELS] = bgr[:, ::-1]
    table[LEVELS:SATURATED_FROM] = table[LEVELS - 1]
    table[SATURATED_FROM:] = _WARNING
    return table

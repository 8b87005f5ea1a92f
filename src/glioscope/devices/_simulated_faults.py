"""What can be wrong with a simulated camera, and what it does to the pixels."""

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class CameraFault(StrEnum):
    """What can be wrong with a simulated camera, besides being unplugged.

    `FROZEN` the same pixels again under new numbers; `STUCK` no frames; `CLOCK_BACK` time stamps 5 s too early;
    `DROPPING` 5 % of the frames are lost; `TWELVE_BITS` 12 real bits where the camera says 16; `WRONG_KIND` colour
    frames from a monochrome camera and the reverse; `SLOW` frames arrive 150 ms late.
    """

    FROZEN = "frozen"
    STUCK = "stuck"
    CLOCK_BACK = "clock back"
    DROPPING = "dropping"
    TWELVE_BITS = "twelve bits"
    WRONG_KIND = "wrong kind"
    SLOW = "slow"


def damaged(pixels: NDArray[Any], faults: frozenset[CameraFault]) -> NDArray[Any]:
    """Pixels as a camera with these faults gives them; may change `pixels` in place."""
    if CameraFault.TWELVE_BITS in faults and pixels.ndim == 2:
        pixels >>= 4
    return _other_kind(pixels) if CameraFault.WRONG_KIND in faults else pixels


def _other_kind(pixels: NDArray[Any]) -> NDArray[Any]:
    if pixels.ndim == 3:
        return np.asarray(pixels[..., 1], np.uint16) * np.uint16(257)
    return np.repeat(np.asarray(pixels >> 8, np.uint8)[..., None], 3, axis=2)

"""What a camera gives (contract 5)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame of one camera.

    Attributes
    ----------
    pixels : fluorescence: uint16 (H, W) counts; white light: uint8 (H, W, 3) RGB.
    camera : identifier of the device.
    sequence : number that the camera gives, rising by one a frame.
    monotonic_s : end of exposure on this machine's monotonic clock, in seconds; None if unknown.
    utc : end of exposure, timezone-aware; None if unknown.
    white_level : top of the real bit range in counts; None: 65535 for uint16, 255 for uint8.
    laser_on : state of the excitation light; None if unknown.
    irradiance_mw_cm2 : on the specimen.
    distance_mm : from the unit to the specimen.
    mm_per_px : size of a pixel at the specimen.
    """

    pixels: NDArray[Any]
    camera: str = ""
    sequence: int = 0
    monotonic_s: float | None = None
    utc: datetime | None = None
    white_level: int | None = None
    exposure_ms: float | None = None
    gain: float | None = None
    laser_on: bool | None = None
    irradiance_mw_cm2: float | None = None
    distance_mm: float | None = None
    mm_per_px: float | None = None

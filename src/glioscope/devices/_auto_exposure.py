"""The exposure of the next fluorescence frame, from the frame that came: a pure rule, and a record of what it did.

An exposure that changes breaks the comparison of counts, so frames always say theirs and quantities are per ms.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from glioscope.core import CameraInfo, Frame, ImageError, InputError

from ._flicker import flicker_free_exposure_ms

_ROUNDED = 0.02
"""Of a half wave: what a camera's own rounding may take from a whole number of them."""


class AutoExposureSettings(BaseModel):
    """Target, limits and steps of the rule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target_share: float = Field(default=0.6, gt=0.05, le=0.9)
    """Where the bright percentile is to lie, as a share of the range from offset to white level."""
    percentile: float = Field(default=99.9, ge=90, lt=100)
    tolerance: float = Field(default=0.15, gt=0.02, le=0.5)
    """Nothing changes while the bright percentile is within this share of its target (hysteresis)."""
    max_saturated_share: float = Field(default=0.001, ge=0, le=0.05)
    """More pixels at the white level always shorten the exposure."""
    max_step: float = Field(default=4.0, gt=1.1, le=16)
    """Largest factor of one change."""
    offset_counts: float = Field(default=0.0, ge=0)
    """Counts without light."""
    mains_hz: float | None = Field(default=None, ge=45, le=65)
    """Keep to multiples of half waves of the mains; None: any exposure."""
    wait_frames: int = Field(default=1, ge=0, le=20)
    """Frames with the old exposure that may still come after a change; nothing is changed by what they show."""


@dataclass(frozen=True, slots=True)
class ExposureChange:
    """One change: when (end of the frame that caused it), from and to in ms, and why."""

    sequence: int
    monotonic_s: float | None
    utc: datetime
    old_ms: float
    new_ms: float
    reason: str


def next_exposure_ms(
    frame: Frame, settings: AutoExposureSettings, limits_ms: tuple[float, float], frame_period_ms: float | None = None
) -> tuple[float, str]:
    """The exposure that the next frame should have, and why; the present one and "" where it may stay.

    Counts above the offset are proportional to the exposure, so the wanted factor is target over measured, held to
    one step. A percentile at the white level says only "too bright": the step then grows with the share of saturated
    pixels, up to the largest one. Below a hundredth of the range noise would steer, so the largest step is taken.

    Parameters
    ----------
    frame : uint16 (H, W) with `exposure_ms`.
    limits_ms : of the camera.
    frame_period_ms : the exposure stays below it.

    Raises
    ------
    InputError : no exposure in the frame, limits out of order, or no flicker-free exposure within the limits.
    ImageError : the pixels are not uint16 (H, W).
    """
    present = _present(frame)
    low, high = _limits(settings, limits_ms, frame_period_ms)
    level, saturated = _measured(frame, settings)
    factor, reason = _factor(level, saturated, settings)
    wanted = _allowed(present * factor, settings, low, high)
    if math.isclose(wanted, present, rel_tol=0.01):
        return present, ""
    if not reason:
        # Even where the light is right: the camera may stand at an exposure that flickers or is out of limits.
        reason = f"exposure of {present:g} ms is outside what is allowed ({low:g} to {high:g} ms, whole half waves)"
    return wanted, reason


class AutoExposure:
    """Keeps count of frames that still carry the old exposure, and records the changes. Not for several threads."""

    def __init__(
        self, info: CameraInfo, settings: AutoExposureSettings | None = None, frame_period_ms: float | None = None
    ) -> None:
        self.settings = settings or AutoExposureSettings()
        self.changes: list[ExposureChange] = []
        self._limits = info.exposure_ms
        self._period = frame_period_ms
        self._asked: float | None = None
        self._waited = 0

    def add(self, frame: Frame) -> float | None:
        """The next frame; gives the exposure to set, or None.

        Dark frames of a strobed camera (`laser_on` False) show no fluorescence and change nothing.

        Raises
        ------
        InputError, ImageError : as `next_exposure_ms`.
        """
        if frame.laser_on is False or self._is_old(frame):
            return None
        present = _present(frame)
        wanted, reason = next_exposure_ms(frame, self.settings, self._limits, self._period)
        if not reason:
            return None
        when = frame.utc or datetime.now(UTC)
        self.changes.append(ExposureChange(frame.sequence, frame.monotonic_s, when, present, wanted, reason))
        self._asked, self._waited = wanted, 0
        return wanted

    def _is_old(self, frame: Frame) -> bool:
        """Whether the frame was exposed before the last change took effect; waits a bounded number of frames."""
        if self._asked is None or frame.exposure_ms is None:
            return False
        # Cameras round: a read-back within 2 % is the exposure that was asked for.
        if math.isclose(frame.exposure_ms, self._asked, rel_tol=0.02) or self._waited >= self.settings.wait_frames:
            self._asked = None
            return False
        self._waited += 1
        return True


def _present(frame: Frame) -> float:
    if frame.exposure_ms is None or not 0 < frame.exposure_ms < math.inf:
        raise InputError(f"frame {frame.sequence} of {frame.camera or 'the camera'} does not say its exposure in ms")
    return frame.exposure_ms


def _limits(
    settings: AutoExposureSettings, limits_ms: tuple[float, float], frame_period_ms: float | None
) -> tuple[float, float]:
    low, high = limits_ms
    if frame_period_ms is not None:
        high = min(high, frame_period_ms)
    if not 0 < low <= high:
        raise InputError(f"no exposure is left between the limits of {low:g} and {high:g} ms")
    if settings.mains_hz is not None:
        step = _half_wave_ms(settings.mains_hz)
        low, high = max(1, math.ceil(low / step - _ROUNDED)) * step, math.floor(high / step + _ROUNDED) * step
        if low > high:
            raise InputError(f"no whole half wave of the mains fits between {limits_ms[0]:g} and {limits_ms[1]:g} ms")
    return low, high


def _measured(frame: Frame, settings: AutoExposureSettings) -> tuple[float, float]:
    """Bright percentile as a share of the range, and share of saturated pixels; single hot pixels do not count."""
    pixels = frame.pixels
    if pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise ImageError(None, f"frame is {pixels.dtype} {pixels.shape}, uint16 (H, W) is needed")
    pixels = cv2.medianBlur(np.ascontiguousarray(pixels), 3)
    white = frame.white_level or 65535
    if not settings.offset_counts < white:
        raise InputError(f"offset of {settings.offset_counts:g} counts is not below the white level of {white}")
    rank = min(int(pixels.size * settings.percentile / 100), pixels.size - 1)
    bright = float(np.partition(pixels, rank, axis=None)[rank])
    level = (bright - settings.offset_counts) / (white - settings.offset_counts)
    return level, float(np.count_nonzero(pixels >= white)) / pixels.size


def _factor(level: float, saturated: float, settings: AutoExposureSettings) -> tuple[float, str]:
    largest, target = settings.max_step, settings.target_share
    if saturated > settings.max_saturated_share:
        reason = (
            f"{100 * saturated:.2g} % of the pixels are saturated, limit {100 * settings.max_saturated_share:.2g} %"
        )
        # How far above white the light is cannot be seen; the more of the frame is white, the farther it probably is.
        return 1 / min(largest, 1.5 + (largest - 1.5) * min(saturated / 0.2, 1.0)), reason
    if abs(level / target - 1) <= settings.tolerance:
        return 1.0, ""
    reason = f"percentile {settings.percentile:g} is at {100 * level:.2g} % of the range, target {100 * target:.2g} %"
    if level < 0.01:
        return largest, reason
    return min(max(target / level, 1 / largest), largest), reason


def _allowed(wanted: float, settings: AutoExposureSettings, low: float, high: float) -> float:
    """Within the limits; of flicker-free exposures the next one down: rounding up could go to and fro for ever."""
    if settings.mains_hz is not None:
        step = _half_wave_ms(settings.mains_hz)
        wanted = math.floor(wanted / step + _ROUNDED) * step
    return min(max(wanted, low), high)


def _half_wave_ms(mains_hz: float) -> float:
    return flicker_free_exposure_ms(1.0, mains_hz)

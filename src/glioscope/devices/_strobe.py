"""Ambient light strobed away: the laser is on in every second fluorescence frame, and the dark ones are subtracted.

The gating itself is hardware (the camera's exposure line divided by two, AND the permission of the laser's keeper);
here only frames are read, each of which says whether the laser was on.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from glioscope.core import Frame, ImageError, InputError
from glioscope.imaging import estimate_noise

from ._image_shift import find_shift, saturated_areas, scene_of, shift_image

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Unpaired(StrEnum):
    """Why a frame gave no pair."""

    GAP = "gap"
    """The sequence number did not rise by one."""
    TWO_ON = "two_on"
    TWO_OFF = "two_off"
    CHANGED = "changed"
    """Camera, size, exposure, gain or white level differ from the frame before."""
    LASER_UNKNOWN = "laser_unknown"
    NO_DARK = "no_dark"
    """A lit frame without a dark one before it, as the first of a stream may be."""


class StrobeSettings(BaseModel):
    """How pairs are subtracted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    neighbours: Literal[1, 2] = 2
    """2: the dark frames before and after, interpolated to the time of the lit one (linear drift cancels, less noise,
    one frame later); 1: the one before."""
    register_dark: bool = True
    """Shift the dark frame's scene onto the lit one's."""
    max_shift_px: float = Field(default=4.0, gt=0, le=32)
    """A larger shift is not believed."""
    pedestal_counts: int = Field(default=600, ge=0, le=20_000)
    """Added to the difference, so that noise round zero survives in uint16. Give the camera's own offset: then limits
    that were fitted on plain frames fit strobed ones too, and the noise is computed from counts above it."""
    electrons_per_count: float | None = Field(default=None, gt=0)
    """Of the camera at this gain (`PhotonTransfer`); None: the noise is estimated from the frames."""
    read_noise_counts: float = Field(default=0.0, ge=0)


@dataclass(frozen=True, slots=True, eq=False)
class StrobedFrame:
    """Lit minus dark.

    Attributes
    ----------
    frame : the lit frame with the difference plus pedestal as pixels, uint16 (H, W). `white_level` is the camera's plus
        the pedestal, at most 65535; pixels of `saturated` have exactly that, the others stay below.
    saturated : bool (H, W), at the camera's white level in the lit or a dark frame: the difference means nothing there.
    clipped_fraction : share of pixels whose difference plus pedestal was below 0.
    noise_counts : standard deviation of one pixel of the difference (root of the mean variance over the frame).
    plain_noise_counts : the same of the lit frame alone.
    drift_counts : median change of the ambient light between the two dark frames next to each other; None with one.
    shift_px : x and y by which each dark frame was shifted, in the order of `dark_sequences`; (0, 0) where it was not.
    unregistered : why a dark frame was not registered, one sentence; empty if all were or none was to be.
    dark_sequences : sequence numbers of the dark frames.
    """

    frame: Frame
    saturated: Mask
    clipped_fraction: float
    noise_counts: float
    plain_noise_counts: float
    drift_counts: float | None
    shift_px: tuple[tuple[float, float], ...]
    unregistered: str
    dark_sequences: tuple[int, ...]

    @property
    def noise_ratio(self) -> float:
        """By how much the subtraction raised the noise of a pixel."""
        return self.noise_counts / self.plain_noise_counts if self.plain_noise_counts > 0 else 1.0


class Strobe:
    """Takes the fluorescence frames of one camera in order, and gives a `StrobedFrame` for every lit one that it can.

    Half the camera's rate comes out. Not for several threads.
    """

    def __init__(self, settings: StrobeSettings | None = None) -> None:
        self.settings = settings or StrobeSettings()
        self.pairs = 0
        self._unpaired: Counter[Unpaired] = Counter()
        self._last: Frame | None = None
        self._darks: list[Frame] = []
        self._lit: Frame | None = None

    @property
    def unpaired(self) -> Mapping[Unpaired, int]:
        """How often a pair was not to be had, by reason."""
        return dict(self._unpaired)

    def add(self, frame: Frame) -> StrobedFrame | None:
        """The next frame; gives the difference that it completes, or None.

        Raises
        ------
        ImageError : the pixels are not uint16 (H, W).
        """
        _check(frame)
        reason = self._break(frame)
        if reason is not None:
            self._unpaired[reason] += 1
            self._darks, self._lit = [], None
        self._last = frame
        if frame.laser_on is None:
            return None
        return self._add_lit(frame) if frame.laser_on else self._add_dark(frame)

    def _break(self, frame: Frame) -> Unpaired | None:
        """Why this frame does not continue what came before."""
        last = self._last
        if frame.laser_on is None:
            return Unpaired.LASER_UNKNOWN
        if last is None:
            return None
        if frame.sequence != last.sequence + 1 or _earlier(frame, last):
            return Unpaired.GAP
        if _setup(frame) != _setup(last):
            return Unpaired.CHANGED
        if frame.laser_on == last.laser_on:
            return Unpaired.TWO_ON if frame.laser_on else Unpaired.TWO_OFF
        return None

    def _add_lit(self, frame: Frame) -> StrobedFrame | None:
        if not self._darks:
            self._unpaired[Unpaired.NO_DARK] += 1
            return None
        if self.settings.neighbours == 1:
            return self._difference(frame, self._darks[-1:], self._darks)
        self._lit = frame
        return None

    def _add_dark(self, frame: Frame) -> StrobedFrame | None:
        self._darks = [*self._darks[-1:], frame]
        lit, self._lit = self._lit, None
        return None if lit is None else self._difference(lit, self._darks, self._darks)

    def _difference(self, lit: Frame, darks: Sequence[Frame], known: Sequence[Frame]) -> StrobedFrame:
        self.pairs += 1
        strobed = subtract_ambient(lit, darks, self.settings)
        return replace(strobed, drift_counts=_drift(known)) if len(known) > len(darks) else strobed


def subtract_ambient(lit: Frame, darks: Sequence[Frame], settings: StrobeSettings | None = None) -> StrobedFrame:
    """One lit frame minus its one or two dark neighbours.

    Parameters
    ----------
    lit, darks : uint16 (H, W), same size, exposure and gain; two dark frames in order of time.

    Raises
    ------
    InputError : none or more than two dark frames.
    ImageError : pixels of another type, or another size than the lit frame's.
    """
    settings = settings or StrobeSettings()
    if not 1 <= len(darks) <= 2:
        raise InputError(f"{len(darks)} dark frames are given, 1 or 2 are needed")
    for frame in (lit, *darks):
        _check(frame, lit.pixels.shape)
    white = lit.white_level or 65535
    shifts, reasons, scenes = _registered(lit, darks, settings)
    ambient = _combine(scenes, _weights(lit, darks))
    difference = lit.pixels.astype(np.float32)
    difference -= ambient
    noise, plain = _noise(lit, darks, difference, settings)
    saturated = _saturated(lit, darks, white, shifts)
    top = min(white + settings.pedestal_counts, 65535)
    pixels, clipped = _with_pedestal(difference, saturated, settings.pedestal_counts, top)
    return StrobedFrame(
        frame=replace(lit, pixels=pixels, white_level=top),
        saturated=saturated,
        clipped_fraction=clipped,
        noise_counts=noise,
        plain_noise_counts=plain,
        drift_counts=_drift(darks),
        shift_px=shifts,
        unregistered=next((reason for reason in reasons if reason), ""),
        dark_sequences=tuple(dark.sequence for dark in darks),
    )


def _check(frame: Frame, shape: tuple[int, ...] | None = None) -> None:
    pixels = frame.pixels
    if pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise ImageError(None, f"strobed frame is {pixels.dtype} {pixels.shape}, uint16 (H, W) is needed")
    if shape is not None and pixels.shape != shape:
        raise ImageError(None, f"dark frame is {pixels.shape}, the lit one is {shape}")


def _earlier(frame: Frame, last: Frame) -> bool:
    known = frame.monotonic_s is not None and last.monotonic_s is not None
    return known and (frame.monotonic_s or 0.0) <= (last.monotonic_s or 0.0)


def _setup(frame: Frame) -> tuple[object, ...]:
    return frame.camera, frame.pixels.shape, frame.exposure_ms, frame.gain, frame.white_level


def _weights(lit: Frame, darks: Sequence[Frame]) -> tuple[float, ...]:
    """Linear interpolation to the time of the lit frame; halves where the times do not tell."""
    if len(darks) == 1:
        return (1.0,)
    before, at, after = darks[0].monotonic_s, lit.monotonic_s, darks[1].monotonic_s
    if before is None or at is None or after is None or not before < at < after:
        return 0.5, 0.5
    late = (at - before) / (after - before)
    return 1 - late, late


def _combine(scenes: Sequence[Image], weights: Sequence[float]) -> Image:
    if len(scenes) == 1:
        return scenes[0]
    return np.asarray(cv2.addWeighted(scenes[0], weights[0], scenes[1], weights[1], 0.0), np.float32)


def _registered(
    lit: Frame, darks: Sequence[Frame], settings: StrobeSettings
) -> tuple[tuple[tuple[float, float], ...], list[str], list[Image]]:
    """Of each dark frame: shift applied, why there is none, and the counts to subtract."""
    scene = scene_of(lit.pixels) if settings.register_dark else None
    shifts, reasons, counts = [], [], []
    for dark in darks:
        shift, reason, moved = (0.0, 0.0), "", dark.pixels.astype(np.float32)
        if scene is not None:
            own = scene_of(dark.pixels)
            shift, reason = find_shift(scene, own, settings.max_shift_px, saturated_areas(lit, dark))
            if shift != (0.0, 0.0):
                # Only the scene moves; what is fixed in the sensor (hot pixels, columns) stays in place.
                moved += shift_image(own, shift) - own
        shifts.append(shift)
        reasons.append(reason)
        counts.append(moved)
    return tuple(shifts), reasons, counts


def _saturated(lit: Frame, darks: Sequence[Frame], white: int, shifts: Sequence[tuple[float, float]]) -> Mask:
    found = lit.pixels >= white
    for dark, shift in zip(darks, shifts, strict=True):
        full = dark.pixels >= white
        found = found | full
        if shift != (0.0, 0.0) and full.any():
            # A saturated area moves with the scene; single hot pixels do not.
            areas = cv2.medianBlur(full.view(np.uint8), 3)
            side = 2 * (math.ceil(math.hypot(*shift)) + 1) + 1
            found = found | (cv2.dilate(areas, np.ones((side, side), np.uint8)) != 0)
    return found


def _with_pedestal(difference: Image, saturated: Mask, pedestal: int, top: int) -> tuple[NDArray[np.uint16], float]:
    counts = np.rint(difference + np.float32(pedestal))
    clipped = float(np.count_nonzero(counts < 0)) / counts.size
    pixels = np.clip(counts, 0, top - 1).astype(np.uint16)
    pixels[saturated] = top
    return pixels, clipped


def _drift(darks: Sequence[Frame]) -> float | None:
    if len(darks) < 2:
        return None
    change = cv2.subtract(darks[1].pixels[::2, ::2], darks[0].pixels[::2, ::2], dtype=cv2.CV_32F)
    return float(np.median(change))


def _noise(lit: Frame, darks: Sequence[Frame], difference: Image, settings: StrobeSettings) -> tuple[float, float]:
    """Standard deviation of a pixel of the difference and of the lit frame, in counts."""
    if settings.electrons_per_count is None:
        return estimate_noise(difference), estimate_noise(lit.pixels.astype(np.float32))

    def variance(frame: Frame) -> float:
        light = max(float(cv2.mean(frame.pixels)[0]) - settings.pedestal_counts, 0.0)
        return light / (settings.electrons_per_count or 1.0) + settings.read_noise_counts**2

    weights = _weights(lit, darks)
    added = sum(weight**2 * variance(dark) for weight, dark in zip(weights, darks, strict=True))
    return math.sqrt(variance(lit) + added), math.sqrt(variance(lit))

"""Calibration frames of a fluorescence camera: dark, flat, bad pixels; measured, stored with their date, and applied.

The formula is the one that `imaging` has for files: (counts - dark) / flat, the flat at a median of 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from glioscope.core import CameraInfo, Frame, ImageError, InputError
from glioscope.imaging import divide_flat, subtract_dark

from ._bad_pixels import fill_bad_pixels, find_bad_pixels
from ._photon_transfer import PhotonTransfer

MIN_DARKS, MIN_FLATS = 8, 8
FLAT_LEVELS = (0.1, 0.9)
"""Lowest and highest median of a flat frame above dark, as a share of the range."""
_MAX_SATURATED = 0.001
_SMOOTH_PX = 12.0
_BLOCK_PX = 32

FlatKind = Literal["all", "illumination", "pixels"]
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


class CalibrationInfo(BaseModel):
    """What calibration.json says: of which camera, under which settings, when, from how much."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    camera: str
    model: str
    serial: str
    rows: int
    columns: int
    white_level: int
    exposure_ms: float
    gain: float
    temperature_c: float | None = None
    """Of the sensor, where the camera tells."""
    utc: datetime
    n_darks: int
    n_flats: int
    flat_kind: FlatKind
    """all: as measured; illumination: only its smooth part; pixels: without its smooth part, so that the picture keeps
    the vignetting that a network was trained on."""
    dark_counts: float
    """Median of the dark frame: it stays in corrected frames as their offset."""
    dark_noise_counts: float
    """Median over pixels of the standard deviation from frame to frame."""
    hot_pixels: int
    dead_pixels: int
    noisy_pixels: int
    photon_transfer: PhotonTransfer | None = None
    sha256: dict[str, str] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Frames of one camera at one exposure and gain.

    Attributes
    ----------
    dark : float32 (H, W), mean counts without light.
    flat : float32 (H, W), response with a median of 1; all 1 where no flat frames were taken.
    bad : bool (H, W), hot, dead or noisy pixels.
    """

    info: CalibrationInfo
    dark: Image
    flat: Image
    bad: Mask

    def apply(self, frame: Frame) -> Frame:
        """The frame with dark and flat taken off, and bad pixels as the median of their good neighbours.

        The median of the dark frame is added again, so that offset and white level stay those of the camera. Saturated
        pixels stay at the white level, and no other pixel reaches it.

        Raises
        ------
        ImageError : pixels of another type or size.
        InputError : another exposure (by over 1 %), gain or white level than calibrated, where the frame says it.
        """
        _check_pixels(frame, (self.info.rows, self.info.columns))
        check_setting(self.info, frame)
        white = self.info.white_level
        saturated = (frame.pixels >= white) & ~self.bad
        counts = divide_flat(None, subtract_dark(None, frame.pixels, self.dark), self.flat)
        counts += np.float32(self.info.dark_counts)
        fill_bad_pixels(counts, self.bad)
        pixels = np.clip(np.rint(counts), 0, white - 1).astype(np.uint16)
        pixels[saturated] = white
        return replace(frame, pixels=pixels)


def measure_calibration(
    darks: Sequence[Frame],
    flats: Sequence[Frame] = (),
    *,
    info: CameraInfo,
    flat_kind: FlatKind = "all",
    temperature_c: float | None = None,
    photon_transfer: PhotonTransfer | None = None,
    utc: datetime | None = None,
) -> Calibration:
    """Dark frame, flat field and bad pixels from frames of one camera at one exposure and gain.

    Parameters
    ----------
    darks : at least 8 frames, lens covered.
    flats : none, or at least 8 frames of an even, steady light between 10 and 90 % of the range.
    info : of the staged camera.
    utc : of the measurement; now if None.

    Raises
    ------
    InputError : too few frames, different settings, light in the dark frames, too little or too much light in the flat
        frames, light that changed, or more than 5 % bad pixels.
    ImageError : pixels of another type or size.
    """
    shape = (info.rows, info.columns)
    dark, dark_noise = _stacked(darks, MIN_DARKS, "dark", shape)
    _check_same(darks, flats)
    _check_dark(dark, dark_noise, info.white_level)
    flat, response = np.ones(shape, np.float32), np.ones(shape, np.float32)
    if flats:
        mean, _ = _stacked(flats, MIN_FLATS, "flat", shape)
        _check_flat(flats, mean - dark, info.white_level)
        flat, response = _flat(mean - dark, flat_kind)
    hot, noisy, dead = find_bad_pixels(dark, dark_noise, response)
    bad = hot | noisy | dead
    first = darks[0]
    known = CalibrationInfo(
        camera=first.camera,
        model=info.model,
        serial=info.serial,
        rows=info.rows,
        columns=info.columns,
        white_level=info.white_level,
        exposure_ms=first.exposure_ms or 0.0,
        gain=first.gain if first.gain is not None else 1.0,
        temperature_c=temperature_c,
        utc=utc or datetime.now(UTC),
        n_darks=len(darks),
        n_flats=len(flats),
        flat_kind=flat_kind,
        dark_counts=float(np.median(dark)),
        dark_noise_counts=float(np.median(dark_noise)),
        hot_pixels=int(hot.sum()),
        dead_pixels=int(dead.sum()),
        noisy_pixels=int(noisy.sum()),
        photon_transfer=photon_transfer,
    )
    return Calibration(known, dark, flat, bad)


def check_setting(info: CalibrationInfo, frame: Frame) -> None:
    if frame.exposure_ms is not None and not math.isclose(frame.exposure_ms, info.exposure_ms, rel_tol=0.01):
        raise InputError(f"calibration is for {info.exposure_ms:g} ms, the exposure is {frame.exposure_ms:g} ms")
    if frame.gain is not None and not math.isclose(frame.gain, info.gain, rel_tol=0.01):
        raise InputError(f"calibration is for gain {info.gain:g}, the gain is {frame.gain:g}")
    if frame.white_level is not None and frame.white_level != info.white_level:
        raise InputError(f"calibration is for white level {info.white_level}, the frame has {frame.white_level}")


def _check_pixels(frame: Frame, shape: tuple[int, int]) -> None:
    if frame.pixels.dtype != np.uint16 or frame.pixels.shape != shape:
        found = f"{frame.pixels.dtype} {frame.pixels.shape}"
        raise ImageError(None, f"frame {frame.sequence} is {found}, uint16 {shape} is needed")


def _stacked(frames: Sequence[Frame], least: int, kind: str, shape: tuple[int, int]) -> tuple[Image, Image]:
    """Mean and standard deviation of each pixel over the frames."""
    if len(frames) < least:
        raise InputError(f"{len(frames)} {kind} frames are given, at least {least} are needed")
    total, squares, levels = np.zeros(shape), np.zeros(shape), []
    for frame in frames:
        _check_pixels(frame, shape)
        away = frame.pixels.astype(np.float64) - frames[0].pixels
        total += away
        squares += away * away
        levels.append(float(np.median(frame.pixels)))
    mean = total / len(frames)
    variance = np.maximum(squares / len(frames) - mean**2, 0) * len(frames) / (len(frames) - 1)
    noise = np.sqrt(variance)
    change, limit = max(levels) - min(levels), max(1.0, float(np.median(noise)), 0.02 * float(np.median(levels)))
    if change > limit:
        raise InputError(
            f"{kind} frames change by {change:.0f} counts, over the limit of {limit:.0f}: is the light steady?"
        )
    return (frames[0].pixels + mean).astype(np.float32), noise.astype(np.float32)


def _check_same(darks: Sequence[Frame], flats: Sequence[Frame]) -> None:
    if darks[0].exposure_ms is None:
        raise InputError("dark frames do not say their exposure in ms")
    first = (darks[0].camera, darks[0].exposure_ms, darks[0].gain)
    for frame in (*darks, *flats):
        found = (frame.camera, frame.exposure_ms, frame.gain)
        if found != first:
            raise InputError(f"frame {frame.sequence} has camera, exposure, gain {found}, the first has {first}")
    if any(frame.laser_on for frame in darks):
        raise InputError("the laser was on in a dark frame")


def _check_dark(dark: Image, noise: Image, white: int) -> None:
    level = float(np.median(dark))
    if level > 0.25 * white:
        raise InputError(f"dark frames have {level:.0f} counts, over the limit of {0.25 * white:.0f}: is there light?")
    blocks = cv2.medianBlur(dark, 5)
    rows, columns = (max(1, side // _BLOCK_PX) for side in dark.shape)
    small = cv2.resize(blocks, (columns, rows), interpolation=cv2.INTER_AREA)
    spread, limit = float(np.ptp(small)), max(3.0 * float(np.median(noise)), 3.0)
    if spread > limit:
        raise InputError(
            f"dark frames differ by {spread:.0f} counts across the sensor, limit {limit:.0f}: is there light?"
        )


def _check_flat(flats: Sequence[Frame], light: Image, white: int) -> None:
    share = max(float(np.count_nonzero(frame.pixels >= white)) / frame.pixels.size for frame in flats)
    if share > _MAX_SATURATED:
        raise InputError(
            f"flat frames are saturated in {100 * share:.1f} % of the pixels, limit {100 * _MAX_SATURATED:g} %"
        )
    level = float(np.median(light)) / white
    if not FLAT_LEVELS[0] <= level <= FLAT_LEVELS[1]:
        low, high = (100 * share for share in FLAT_LEVELS)
        raise InputError(f"flat frames lie at {100 * level:.1f} % of the range, {low:g} to {high:g} % is needed")


def _flat(light: Image, kind: FlatKind) -> tuple[Image, Image]:
    """The flat field of this kind with a median of 1, and the response of each pixel to its own surroundings."""
    smooth = cv2.GaussianBlur(cv2.medianBlur(light, 5), (0, 0), _SMOOTH_PX, borderType=cv2.BORDER_REPLICATE)
    smooth = np.maximum(np.asarray(smooth, np.float32), np.float32(1e-3))
    response = np.asarray(light / smooth, np.float32)
    chosen = {"all": light, "illumination": smooth, "pixels": response}[kind]
    return np.asarray(chosen / np.median(chosen), np.float32), response

"""What a file says of its picture, and the picture as stored; the limits that every reader holds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glioscope.core import ImageError

Pixels = NDArray[Any]

MIN_SIDE_PX = 4
MAX_SIDE_PX = 16_384
MAX_PIXELS = 200_000_000
BLANK_FRACTION = 0.995
WHITE_LEVELS = (255, 1023, 4095, 16383, 65535)

PRINTER_DPI = (72.0, 96.0, 100.0, 150.0, 200.0, 300.0, 600.0)
"""Resolutions that programs write when they know none: not believed as a pixel size."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a file says of its picture before any pixel is decoded.

    `bits` counts the bits a sample takes in the file (8, 12, 16); `white_level` is the top of the real range where the
    file states one, else None; `mm_per_px` likewise.
    """

    path: Path
    kind: str
    """"tiff", "png", "jpeg" or "dicom"."""
    height: int
    width: int
    channels: int
    """1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha."""
    dtype: str
    bits: int
    white_level: int | None = None
    mm_per_px: float | None = None
    lossy: bool = False
    """Whether the pixels went through a lossy codec (JPEG)."""


@dataclass(frozen=True, slots=True)
class RawImage:
    """One image as stored, never rescaled.

    `pixels`: FL uint16 (H, W) in counts (8-bit files too: 0..255); WL uint8 (H, W, 3) RGB. `white_level`: top of the
    real bit range in these counts (255, 1023, 4095, 16383 or 65535, or what the file states); `white_stated` says
    whether the file states it or it was inferred from the brightest pixel (see `infer_white_level`).
    """

    pixels: Pixels
    white_level: int
    path: Path | None = None
    mm_per_px: float | None = None
    white_stated: bool = False


def check_size(path: Path | None, height: int, width: int) -> None:
    """Refuse a picture that is too small or too large, before it is decoded.

    Raises
    ------
    ImageError : a side under `MIN_SIDE_PX` or over `MAX_SIDE_PX`, or more than `MAX_PIXELS` pixels.
    """
    if height < MIN_SIDE_PX or width < MIN_SIDE_PX:
        raise ImageError(path, f"image of {width} x {height} px is under the limit of {MIN_SIDE_PX} px a side")
    if height > MAX_SIDE_PX or width > MAX_SIDE_PX:
        raise ImageError(path, f"image of {width} x {height} px is over the limit of {MAX_SIDE_PX} px a side")
    if height * width > MAX_PIXELS:
        raise ImageError(path, f"image of {height * width / 1e6:.0f} MP is over the limit of {MAX_PIXELS / 1e6:.0f} MP")


def check_not_blank(path: Path | None, pixels: Pixels, white_level: int) -> None:
    """Refuse a frame that carries no picture: nearly all pixels 0, nearly all saturated, or all the same.

    Raises
    ------
    ImageError : with the share of pixels and the limit.
    """
    limit = f"{100 * BLANK_FRACTION:.1f} %"
    zero = 1.0 - np.count_nonzero(pixels) / pixels.size
    if zero > BLANK_FRACTION:
        raise ImageError(path, f"blank frame: {100 * zero:.1f} % of the pixels are 0, the limit is {limit}")
    full = float(np.count_nonzero(pixels >= white_level)) / pixels.size
    if full > BLANK_FRACTION:
        reason = f"{100 * full:.1f} % of the pixels are saturated at {white_level}, the limit is {limit}"
        raise ImageError(path, f"blank frame: {reason}")
    if pixels.min() == pixels.max():
        raise ImageError(path, f"blank frame: every pixel is {int(pixels.flat[0])}, at least two values are needed")


def mm_per_px_from_dpi(dpi: float) -> float | None:
    """Pixel size in mm of a resolution in dots per inch; None for a printer's default or nothing positive."""
    if not np.isfinite(dpi) or dpi <= 0 or any(abs(dpi - default) < 0.05 for default in PRINTER_DPI):
        return None
    return 25.4 / dpi

"""Counts without light: the camera's offset, dark frames, flat frames."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import ImageError, InputError

from ._images import Pixels

OFFSET_PERCENTILE = 1.0
FLAT_FLOOR = 0.05


def estimate_offset(pixels: Pixels) -> float:
    """Counts of the background: the 1st percentile of the 3 x 3 median, without pixels that are exactly 0.

    The median takes noise, hot and dead pixels out, so that the percentile is not biased by them; zeros are padding.
    Ambient light on the whole frame is part of the answer. An image without any background (tissue up to every edge)
    gives the darkest tissue instead: give such data a fixed offset.

    Parameters
    ----------
    pixels : uint8, uint16 or float32 (H, W).
    """
    smooth = cv2.medianBlur(np.ascontiguousarray(pixels), 3)
    lit = smooth[smooth != 0] if not smooth.all() else smooth.ravel()
    if lit.size == 0:
        return 0.0
    rank = int((lit.size - 1) * OFFSET_PERCENTILE / 100.0)
    return float(np.partition(lit, rank)[rank])


def subtract_dark(path: Path | None, pixels: Pixels, dark: Pixels) -> NDArray[np.float32]:
    """Counts above the dark frame, float32, may be below 0.

    Raises
    ------
    ImageError : the dark frame has another size.
    """
    _same_shape(path, pixels, dark, "dark")
    return pixels.astype(np.float32) - dark.astype(np.float32)


def divide_flat(path: Path | None, counts: NDArray[np.float32], flat: Pixels) -> NDArray[np.float32]:
    """Counts divided by the flat frame (counts above its own offset) after scaling that to a median of 1.

    The flat is held at 0.05 of its median at least, so that dark corners are not blown up without limit.

    Raises
    ------
    ImageError : another size, or a flat frame without light.
    """
    _same_shape(path, counts, flat, "flat")
    middle = float(np.median(flat))
    if not middle > 0:
        raise ImageError(path, f"flat frame has a median of {middle:g} counts above its offset, more than 0 is needed")
    shape = np.maximum(flat.astype(np.float32) / np.float32(middle), np.float32(FLAT_FLOOR))
    return np.asarray(counts / shape, np.float32)


def estimate_flat(frames: Sequence[Pixels], *, offset: float = 0.0, smooth_fraction: float = 0.15) -> Pixels:
    """Shape of the illumination from frames with different contents, scaled to a median of 1.

    Each frame above `offset` is divided by its own median, the median over frames is taken pixel by pixel (contents
    change, illumination stays) and smoothed by a Gaussian with a sigma of `smooth_fraction` of the longer side. With
    few frames it is a rough estimate; a measured flat frame is better.

    Parameters
    ----------
    frames : at least three arrays (H, W) of one size.
    offset : camera counts without light.

    Returns
    -------
    float32 (H, W).
    """
    if len(frames) < 3:
        raise InputError(f"a flat frame needs at least 3 frames, got {len(frames)}")
    if any(frame.shape != frames[0].shape for frame in frames):
        raise InputError(f"frames of different sizes: {sorted({frame.shape for frame in frames})}")
    scaled = []
    for frame in frames:
        counts = np.maximum(cv2.medianBlur(np.ascontiguousarray(frame), 3).astype(np.float32) - np.float32(offset), 1)
        scaled.append(counts / np.median(counts))
    stack = np.median(np.stack(scaled), axis=0).astype(np.float32)
    sigma = smooth_fraction * max(stack.shape)
    flat = cv2.GaussianBlur(stack, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(flat / np.median(flat), np.float32)


def _same_shape(path: Path | None, pixels: Pixels, other: Pixels, name: str) -> None:
    if pixels.shape != other.shape:
        height, width = pixels.shape[:2]
        raise ImageError(
            path, f"{name} frame is {other.shape[1]} x {other.shape[0]} px, the image is {width} x {height} px"
        )

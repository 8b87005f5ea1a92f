"""The top of the real bit range, where a file does not state it, and the white of a whole cohort."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from glioscope.core import InputError

from ._images import WHITE_LEVELS, Pixels, RawImage
from ._offset import estimate_offset

SIGNED_DARK_LIMIT = 1024
"""Signed pixels down to -1024 are noise round a subtracted dark level; below, the zero was moved by half the range."""

WHITE_PERCENTILE = 99.9
WHITE_COHORT_PERCENTILE = 98.0
WHITE_HEADROOM = 1.2


def infer_white_level(pixels: Pixels) -> int:
    """Smallest of 255, 1023, 4095, 16383, 65535 that no pixel exceeds; 8-bit arrays always 255.

    Counts shifted up by whole bits (12 bits in the upper part of 16) fill the container, so they give 65535. A dim
    frame of a 16-bit camera gives less than a bright one: the file cannot tell. Fix the scale of a cohort by
    `infer_white` and carry it in the plan, as the training does.

    Parameters
    ----------
    pixels : uint8 or uint16 array.
    """
    if pixels.dtype == np.uint8:
        return 255
    top = int(pixels.max(initial=0))
    if top > 255 and shifted_bits(pixels) >= 4:
        return 65535
    return next(level for level in WHITE_LEVELS if top <= level)


def shifted_bits(pixels: Pixels) -> int:
    """Number of low bits that are 0 in every pixel (4 for 12-bit counts stored in the upper bits of 16)."""
    union = int(np.bitwise_or.reduce(pixels, axis=None))
    return (union & -union).bit_length() - 1 if union else 0


def unsigned_counts(pixels: Pixels, bits: int = 16) -> tuple[Pixels, bool]:
    """Counts of a signed image as uint16, and whether half the range was added.

    Cameras and converters that store unsigned counts as signed ones move them by 2^(bits-1): then the dark level is
    far below zero, and the move is undone. Values between -1024 and -1 are noise round a dark level that was already
    subtracted: they become 0, as every normalisation would make them.

    Parameters
    ----------
    pixels : int16 (or int8) array.
    bits : bits stored, for the size of the move.
    """
    lowest = int(pixels.min(initial=0))
    if lowest < -min(SIGNED_DARK_LIMIT, 1 << (bits - 2)):
        return (pixels.astype(np.int32) + (1 << (bits - 1))).astype(np.uint16), True
    return np.maximum(pixels, 0).astype(np.uint16), False


def infer_white(images: Iterable[RawImage]) -> float:
    """One white for images that need no dark or flat frame and are not scaled: see `white_of_signals`."""
    return white_of_signals(image.pixels.astype(np.float32) - estimate_offset(image.pixels) for image in images)


def white_of_signals(signals: Iterable[NDArray[np.float32]]) -> float:
    """One white for a cohort, in counts above the offset: what `FLPlan.normalisation.white` should carry.

    For each image the 99.9th percentile of its signal (so that hot and saturated pixels do not decide), over the
    images the 98th percentile, times 1.2 for brighter ones to come, rounded to two digits. Use training images only.

    Parameters
    ----------
    signals : float32 (H, W) each, as the plan computes them (`specimen_signal`).

    Raises
    ------
    InputError : no image, or none with light above its offset.
    """
    tops = [float(np.percentile(signal, WHITE_PERCENTILE)) for signal in signals]
    if not tops:
        raise InputError("the white level of a cohort needs at least one image, got 0")
    white = WHITE_HEADROOM * float(np.percentile(tops, WHITE_COHORT_PERCENTILE))
    if white <= 0:
        raise InputError(f"no image of the {len(tops)} has light above its offset, so there is no white level")
    return float(f"{white:.2g}")

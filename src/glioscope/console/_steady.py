"""Whether a scene stood still between two frames of one camera."""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import InputError

BLOCK_PX: Final = 8
"""Side of the blocks whose means are compared."""
NOISE_SIGMAS: Final = 6.0
"""A mean that differs by more standard errors has changed: of 5120 blocks, chance alone gives one in 10^5 pairs."""
CONTRAST_SHARE: Final = 0.03
"""A change of less than this share of the picture's contrast is none: tissue that breathes by 0.1 px, a laser that
flickers by 1 %."""
ALLOWED_BLOCKS: Final = 4
"""So many blocks may change: a glint, a hot pixel. The rim of a specimen of 8 mm has 30."""
_BRIGHTNESSES: Final = 16


def is_steady(earlier: NDArray[Any], newest: NDArray[Any]) -> bool:
    """Whether two frames show the same scene up to noise.

    The means of blocks of 8 x 8 px are compared. One has changed when it differs by over 6 of its standard errors and
    by over 3 % of the newest frame's contrast (99.5th less 5th percentile of its block means). The noise is measured in
    the difference itself: the median variance within blocks of like brightness, which a few moving edges do not raise.

    Parameters
    ----------
    earlier, newest : uint16 (H, W) of one camera at one setting, at least 8 px high and wide.

    Raises
    ------
    InputError : other shapes, or too small.
    """
    if earlier.shape != newest.shape or newest.ndim != 2 or min(newest.shape) < BLOCK_PX:
        raise InputError(f"frames of {earlier.shape} and {newest.shape} px cannot be compared")
    rows, columns = (side - side % BLOCK_PX for side in newest.shape)
    now = newest[:rows, :columns].astype(np.float32)
    difference = now - earlier[:rows, :columns]
    level, mean = _block_means(now), _block_means(difference)
    variance = _block_means(difference * difference) - mean * mean
    low, high = np.percentile(level, (5.0, 99.5))
    limit = np.maximum(NOISE_SIGMAS * _standard_errors(level, variance), CONTRAST_SHARE * (high - low))
    return int(np.count_nonzero(np.abs(mean) > limit)) <= ALLOWED_BLOCKS


def _block_means(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Flat float32 (N,): mean of each block."""
    size = (pixels.shape[1] // BLOCK_PX, pixels.shape[0] // BLOCK_PX)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.float32).ravel()


def _standard_errors(level: NDArray[np.float32], variance: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each block's mean difference: noise grows with brightness, so it is measured among blocks as bright."""
    errors = np.empty(level.size)
    for alike in np.array_split(np.argsort(level), min(_BRIGHTNESSES, level.size)):
        errors[alike] = np.sqrt(max(float(np.median(variance[alike])), 0.0)) / BLOCK_PX
    return errors

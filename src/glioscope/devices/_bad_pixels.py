"""Pixels of a sensor that are hot, dead or noisy: found in calibration frames, and filled from their neighbours."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import InputError

MAX_BAD_SHARE = 0.05
_SIGMAS = 8.0
_LEAST_HOT_COUNTS = 5.0
_LEAST_NOISE_RATIO = 2.0
_DEAD_RESPONSE = 0.5
_NEAR = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))
_FAR = tuple((dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if (dy, dx) != (0, 0))

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


def find_bad_pixels(dark: Image, dark_noise: Image, response: Image) -> tuple[Mask, Mask, Mask]:
    """Hot, noisy and dead pixels, bool (H, W) each.

    Hot: the dark frame stands out of its 5 x 5 median by over 8 robust standard deviations of all such differences, and
    by 5 counts. Noisy: the same of the logarithm of the noise from frame to frame, and twice its surroundings at least.
    Dead: under half the response of its surroundings.

    Parameters
    ----------
    dark, dark_noise, response : float32 (H, W); counts, counts, 1 for an ordinary pixel.

    Raises
    ------
    InputError : over 5 % of the pixels are bad, or a cluster of them is too wide to be filled.
    """
    noise = np.log(np.maximum(dark_noise, np.float32(1e-3)))
    hot, noisy = _high(dark, _LEAST_HOT_COUNTS), _high(noise, float(np.log(_LEAST_NOISE_RATIO)))
    dead = np.asarray(response < _DEAD_RESPONSE, np.bool_)
    _check(hot | noisy | dead)
    return hot, noisy, dead


def _high(values: Image, least: float) -> Mask:
    """Where values stand out of their 5 x 5 surroundings, by the robust spread of all such differences."""
    away = values - cv2.medianBlur(values.astype(np.float32), 5)
    spread = 1.4826 * float(np.median(np.abs(away)))
    return np.asarray(away > max(_SIGMAS * spread, least), np.bool_)


def _check(bad: Mask) -> None:
    share = float(bad.mean())
    if share > MAX_BAD_SHARE:
        raise InputError(f"{100 * share:.1f} % of the pixels are bad, over the limit of {100 * MAX_BAD_SHARE:g} %")
    counts = np.ones(bad.shape, np.float32)
    if not np.isfinite(_neighbours(counts, bad, np.argwhere(bad), _FAR)).any(axis=1).all():
        raise InputError("a cluster of bad pixels is 5 px wide or more: it cannot be filled from its neighbours")


def fill_bad_pixels(counts: Image, bad: Mask) -> None:
    """Fill bad pixels in place: median of the good ones among 8 neighbours, else among 24."""
    places = np.argwhere(bad)
    if not len(places):
        return
    around = _neighbours(counts, bad, places, _NEAR)
    alone = ~np.isfinite(around).any(axis=1)
    filled = np.empty(len(places), np.float32)
    filled[~alone] = np.nanmedian(around[~alone], axis=1)
    if alone.any():
        filled[alone] = np.nanmedian(_neighbours(counts, bad, places[alone], _FAR), axis=1)
    counts[places[:, 0], places[:, 1]] = filled


def _neighbours(
    counts: Image, bad: Mask, places: NDArray[np.intp], offsets: Sequence[tuple[int, int]]
) -> NDArray[np.float32]:
    """Values at these offsets from each place, (n, len(offsets)); NaN where bad or outside."""
    y, x = (places[:, k, None] + np.array([offset[k] for offset in offsets]) for k in (0, 1))
    inside = (y >= 0) & (y < counts.shape[0]) & (x >= 0) & (x < counts.shape[1])
    y, x = np.clip(y, 0, counts.shape[0] - 1), np.clip(x, 0, counts.shape[1] - 1)
    return np.where(inside & ~bad[y, x], counts[y, x], np.float32(np.nan)).astype(np.float32)

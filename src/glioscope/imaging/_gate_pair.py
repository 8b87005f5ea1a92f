"""Whether two pictures of one specimen belong together: how far it moved between them, and how alike they are."""

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
Float = NDArray[np.float32]

_GRID = 64
"""Sides are reduced to about this many px before the search."""
_REACH = 0.3
"""Shifts are searched up to this share of the longer side."""
_GAIN = 1.1
_MIN_PIXELS = 25
_EPSILON = 1e-6


def shift(smooth: Float, signal: float, outline: Mask) -> float:
    """How far the white-light outline has to be moved to lie on the edges of the fluorescence, in px.

    Texture has edges in both directions, an outline has them all inwards: the outline's correlation with the
    Laplacian of the (logarithmic) difference from the rim is highest where they coincide. Small shifts are favoured,
    and 0 is said unless the outline fits a tenth better where it would have to go: a faint specimen with strong
    texture fits nearly as well in several places.

    Parameters
    ----------
    smooth : float32 (h, w).
    signal : counts of the specimen above the background.
    outline : uint8 (h, w), 255 inside.
    """
    factor = max(1, round(max(smooth.shape) / _GRID))
    size = (max(smooth.shape[1] // factor, 1), max(smooth.shape[0] // factor, 1))
    small = np.asarray(cv2.resize(smooth, size, interpolation=cv2.INTER_AREA), np.float32)
    inside = cv2.resize(outline, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    rim = np.sort(np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]]))
    apart = np.log(np.abs(small - rim[rim.size // 2]) + np.float32(0.1 * max(signal, 1.0)))
    edges = np.asarray(-cv2.Laplacian(apart, cv2.CV_32F, ksize=3, borderType=cv2.BORDER_REPLICATE), np.float32)
    reach = max(1, round(_REACH * max(size)))
    score = _correlation(edges, inside, reach)
    row, column = divmod(int(np.argmax(score * _favour(reach))), 2 * reach + 1)
    unmoved = score[reach - 1 : reach + 2, reach - 1 : reach + 2].max()
    if score[row, column] < _GAIN * unmoved:
        return 0.0
    return float(factor * math.hypot(row - reach, column - reach))


def _correlation(image: Float, template: Float, reach: int) -> Float:
    """Sum over the image of image times template, for every shift of the template by up to `reach` px."""
    rows, columns = (cv2.getOptimalDFTSize(side + reach) for side in image.shape)
    padded = np.zeros((2, rows, columns), np.float32)
    padded[0, : image.shape[0], : image.shape[1]] = image
    padded[1, : image.shape[0], : image.shape[1]] = template
    first, second = (cv2.dft(part, nonzeroRows=image.shape[0]) for part in padded)
    circular = cv2.idft(cv2.mulSpectrums(first, second, 0, conjB=True), flags=cv2.DFT_SCALE)
    lags = np.arange(-reach, reach + 1)
    return np.asarray(circular[np.ix_(lags % rows, lags % columns)], np.float32)


@lru_cache(maxsize=64)
def _favour(reach: int) -> Float:
    """Weight of a shift: 1 at none, a half at `reach`."""
    step = np.arange(-reach, reach + 1, dtype=np.float32) / np.float32(reach)
    weight = np.maximum(1 - 0.5 * (step[:, None] ** 2 + step[None, :] ** 2), 0)
    weight.setflags(write=False)
    return np.asarray(weight)


def similarity(fl: Float, wl: Float, mask: Mask) -> float:
    """Correlation of the two pictures' detail inside the specimen, -1 to 1; 1 where both slots hold one picture."""
    inside = cv2.erode(mask, np.ones((7, 7), np.uint8)) != 0
    if np.count_nonzero(inside) < _MIN_PIXELS:
        return 0.0
    a, b = (image[inside] - cv2.mean(image, inside.astype(np.uint8))[0] for image in (fl, wl))
    # einsum, unlike BLAS, gives the same bits on any number of threads
    ab, aa, bb = (float(np.einsum("i,i->", first, second)) for first, second in ((a, b), (a, a), (b, b)))
    return ab / max(math.sqrt(aa * bb), _EPSILON)

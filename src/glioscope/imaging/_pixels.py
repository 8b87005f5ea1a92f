"""Hot and dead pixels, and the noise of a frame."""

import cv2
import numpy as np
from numpy.typing import NDArray

from ._images import Pixels

HOT_SIGMAS = 8.0
"""A defect stands out of its surroundings by this many standard deviations of the local noise."""
HOT_SHARPNESS = 0.7
"""...and at least this share of its height is above every neighbour. A speck seen through a lens (sigma 0.7 px or more)
gives its nearest neighbours 36 % or more of its height, so it stays."""
_WINDOW = 15
_RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)
_LAPLACIAN = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def repair_hot_pixels(pixels: Pixels) -> tuple[Pixels, int]:
    """Replace isolated hot and dead pixels by the median of their 3 x 3 neighbourhood.

    A pixel is a defect if it differs from that median by more than 8 standard deviations of the noise around it, and
    if 70 % of its height over the 5 x 5 median separates it from all its eight neighbours. Two defects side by side
    are not repaired: they cannot be told from a small bright structure.

    Parameters
    ----------
    pixels : uint8, uint16 or float32 (H, W).

    Returns
    -------
    The repaired array (the same object where there is nothing to repair) and the number of defects.
    """
    pixels = np.ascontiguousarray(pixels)
    median = cv2.medianBlur(pixels, 3)
    difference = cv2.subtract(pixels, median, dtype=cv2.CV_32F)
    magnitude = np.abs(difference)
    suspicious = magnitude > np.float32(HOT_SIGMAS) * _local_noise(magnitude)
    if not suspicious.any():
        return pixels, 0
    above = cv2.subtract(pixels, cv2.dilate(pixels, _RING), dtype=cv2.CV_32F)
    below = cv2.subtract(pixels, cv2.erode(pixels, _RING), dtype=cv2.CV_32F)
    # the height is taken over 5 x 5, where a speck of sigma 1 px no longer lifts the median
    share = np.float32(HOT_SHARPNESS) * cv2.subtract(pixels, cv2.medianBlur(pixels, 5), dtype=cv2.CV_32F)
    defect = suspicious & (((share > 0) & (above >= share)) | ((share < 0) & (below <= share)))
    count = int(np.count_nonzero(defect))
    return (np.where(defect, median, pixels), count) if count else (pixels, 0)


def _local_noise(magnitude: NDArray[np.float32]) -> NDArray[np.float32]:
    """Local standard deviation from |pixel - median| averaged over 15 x 15 px, each held at 6 times the mean.

    For Gaussian noise the pixel differs from the 3 x 3 median by 0.70 sigma on average (measured), hence the 1 / 0.70.
    The floor of one count keeps a noiseless frame from calling its smallest step a defect.
    """
    held = np.minimum(magnitude, np.float32(6) * magnitude.mean() + np.float32(1))
    mean = cv2.blur(held, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REFLECT)
    return np.asarray(np.maximum(mean / np.float32(0.70), np.float32(1.0)), np.float32)


def estimate_noise(image: NDArray[np.float32], valid: NDArray[np.bool_] | None = None) -> float:
    """Standard deviation of the pixel noise, in the image's units.

    Immerkaer's Laplacian difference mask, which cancels planes and edges along the axes, with the median of magnitudes
    in place of their mean, so that structure weighs little.

    Parameters
    ----------
    image : float32 (H, W).
    valid : bool (H, W); only pixels whose whole 3 x 3 neighbourhood is valid count. Where fewer than 100 do, all count.

    References
    ----------
    J. Immerkaer, "Fast noise variance estimation", CVIU 64(2), 300-302, 1996.
    """
    response = np.abs(cv2.filter2D(image, cv2.CV_32F, _LAPLACIAN, borderType=cv2.BORDER_REFLECT_101)[1:-1, 1:-1])
    if valid is not None:
        inside = cv2.erode(valid.astype(np.uint8), np.ones((3, 3), np.uint8))[1:-1, 1:-1] != 0
        chosen = response[inside]
        response = chosen if chosen.size >= 100 else response
    # np.median without its checks, which cost as much as the median itself
    middle = [(response.size - 1) // 2, response.size // 2]
    return float(np.partition(response.ravel(), middle)[middle].mean() / np.float32(0.6745 * 6.0))


def denoise(image: NDArray[np.float32], noise: float, strength: float = 1.0, window: int = 7) -> NDArray[np.float32]:
    """Adaptive Wiener filter: flat areas become their local mean, structure above the noise stays.

    Parameters
    ----------
    image : float32 (H, W).
    noise : standard deviation of the noise, same units.
    strength : factor on `noise`.
    window : side of the neighbourhood in pixels.

    References
    ----------
    J. S. Lee, "Digital image enhancement and noise filtering by use of local statistics", IEEE PAMI 2, 165-168, 1980.
    """
    size = (window, window)
    mean = cv2.blur(image, size, borderType=cv2.BORDER_REFLECT_101)
    centred = image - mean
    variance = cv2.blur(centred * centred, size, borderType=cv2.BORDER_REFLECT_101)
    power = np.float32((noise * strength) ** 2)
    share = np.maximum(variance - power, 0) / np.maximum(variance, np.float32(1e-12))
    share = cv2.blur(share, (3, 3), borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(mean + share * centred, np.float32)

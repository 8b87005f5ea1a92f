"""How sharp a picture is, whatever it shows, and its pixel noise."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ._images import Pixels

Float = NDArray[np.float32]

FINE_PX = 0.7
"""Detail between blurs of 0.7 and 1.4 px is compared with that between 1.4 and 2.8 px: scattering and the grain of
tissue leave the first, a lens out of focus takes it first. Chosen on simulated seed 301 and both real sets, among
0.5 to 2 px."""
_COARSE_FLOOR = 0.001
_NOISE_EXCESS = 1.3
"""Shot noise differs within the picture: its mean power is about 1.3 times that of the median noise (seed 301)."""
_EPSILON = 1e-6
_LAPLACIAN = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def detail(clean: Float, noise: float) -> tuple[float, Float]:
    """Sharpness: energy of fine detail over that of detail of twice the size, and the image smoothed by 1.4 px.

    The noise's share is taken from both, so that neither brightness, offset nor exposure decide; content hardly does.
    A thousandth of the whole variance stands beside the coarser detail: where that is gone too, the ratio is small
    and not one of two noises.

    Parameters
    ----------
    clean : float32 (h, w) after a median of 3 x 3.
    noise : standard deviation of the pixel noise before that median.
    """
    layers = _layers(clean)
    power = _NOISE_EXCESS * noise * noise
    fine, coarse = (
        max(cv2.norm(layers[k], layers[k + 1], cv2.NORM_L2SQR) / clean.size - share * power, 0.0)
        for k, share in enumerate(_noise_shares())
    )
    spread = float(cv2.meanStdDev(layers[1])[1][0, 0])
    return fine / max(coarse + _COARSE_FLOOR * spread * spread, _EPSILON), layers[1]


def _layers(image: Float) -> tuple[Float, Float, Float]:
    first = cv2.GaussianBlur(image, (0, 0), FINE_PX)
    step = FINE_PX * 3**0.5
    second = cv2.GaussianBlur(first, (0, 0), step)
    third = cv2.GaussianBlur(second, (0, 0), 2 * step)
    return np.asarray(first, np.float32), np.asarray(second, np.float32), np.asarray(third, np.float32)


@lru_cache(maxsize=1)
def _noise_shares() -> tuple[float, float]:
    """Energy that white noise of variance 1 has in both bands after the median: measured once, fixed seed."""
    noise = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    first, second, third = _layers(np.asarray(cv2.medianBlur(noise, 3), np.float32))
    return float(np.mean((first - second) ** 2)), float(np.mean((second - third) ** 2))


def pixel_noise(pixels: Pixels) -> float:
    """Standard deviation of the pixel noise: `estimate_noise` on every other pixel of every other row."""
    response = cv2.filter2D(pixels, cv2.CV_32F, _LAPLACIAN, borderType=cv2.BORDER_REFLECT_101)[::2, ::2]
    values = np.abs(response).ravel()
    middle = values.size // 2
    return float(np.partition(values, middle)[middle]) / (0.6745 * 6.0)

"""The smooth background of a frame, and what stands out of it."""

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ._images import Pixels

_GRID = 24
_ROUNDS = 5
_NOISE_SIGMAS = 6.0
_TERMS = 6

Floats = NDArray[np.float64]


def excess(image: Pixels, *, signed: bool) -> NDArray[np.float32]:
    """How far each pixel is from the fitted background, in standard deviations of the background.

    Parameters
    ----------
    image : uint8, uint16 or float32 (H, W) or (H, W, C).
    signed : True: brighter only (fluorescence); False: distance over all channels (white light).

    Returns
    -------
    float32 (H, W), 0 and up.
    """
    planes = [image] if image.ndim == 2 else cv2.split(image)
    height, width = image.shape[:2]
    step = max(1, min(height, width) // _GRID)
    sampled = np.stack([plane[::step, ::step] for plane in planes]).astype(np.float64)
    surface, spread = _background(sampled, dark_is_background=signed)
    # sample (i, j) of the fit is pixel (i * step, j * step)
    y = (np.arange(height) / step / sampled.shape[1] - 0.5)[:, None]
    x = np.arange(width) / step / sampled.shape[2] - 0.5
    squares = np.zeros((height, width), np.float32)
    for plane, coefficients, sigma in zip(planes, surface, spread, strict=True):
        residual = _residual(plane, coefficients, y, x)
        residual *= np.float32(1 / sigma)
        if signed:
            return np.maximum(residual, 0, out=residual)
        cv2.accumulateSquare(residual, squares)
    squares *= np.float32(1 / len(planes))
    return np.asarray(cv2.sqrt(squares), np.float32)


def _background(sampled: Floats, *, dark_is_background: bool) -> tuple[Floats, Floats]:
    """A robust quadratic surface to each of C channels, and the standard deviation of the background round it.

    The fit starts from the darkest third (fluorescence) or from the frame's rim (white light) and takes in, round by
    round, what lies within three standard deviations of it in every channel.

    Parameters
    ----------
    sampled : (C, rows, columns).

    Returns
    -------
    Coefficients (C, 6) and standard deviations (C,).
    """
    design, products = _quadratic((sampled.shape[1], sampled.shape[2]))
    values = sampled.reshape(len(sampled), -1)
    chosen = _start(sampled, dark_is_background)
    coefficients, spread = np.zeros((len(values), _TERMS)), np.ones(len(values))
    for _ in range(_ROUNDS):
        coefficients = _fit(design, products, values, chosen)
        error = np.abs(values - np.einsum("ck,ki->ci", coefficients, design))
        spread = np.maximum(1.4826 * _upper_median(np.compress(chosen, error, axis=1)), 0.5)
        before, chosen = chosen, (error < 3.0 * spread[:, None]).all(axis=0)
        if np.count_nonzero(chosen) < 4 * _TERMS or np.array_equal(before, chosen):
            break
    return coefficients, spread


def _fit(design: Floats, products: Floats, values: Floats, chosen: NDArray[np.bool_]) -> Floats:
    """Least squares by the normal equations; einsum, unlike BLAS, gives the same bits on any number of threads."""
    weight = chosen.astype(np.float64)
    gram = np.empty((_TERMS, _TERMS))
    rows, columns = _TRIANGLE
    gram[rows, columns] = gram[columns, rows] = np.einsum("pi,i->p", products, weight)
    gram.flat[:: _TERMS + 1] += 1e-9
    right = np.einsum("ki,ci->kc", design, values * weight)
    return np.asarray(np.linalg.solve(gram, right).T)


_TRIANGLE = np.triu_indices(_TERMS)


def _upper_median(values: Floats) -> Floats:
    """Upper median of each row of (C, n)."""
    middle = values.shape[1] // 2
    return np.asarray(np.partition(values, middle, axis=1)[:, middle])


def _start(sampled: Floats, dark_is_background: bool) -> NDArray[np.bool_]:
    if dark_is_background:
        values = sampled[0].ravel()
        third = int(0.35 * (values.size - 1))
        return np.asarray(values <= np.partition(values, third)[third])
    rim = np.zeros(sampled.shape[1:], bool)
    edge = max(1, min(rim.shape) // 12)
    rim[:edge] = rim[-edge:] = True
    rim[:, :edge] = rim[:, -edge:] = True
    middle = _upper_median(sampled[:, rim])
    distance = np.abs(sampled - middle[:, None, None])
    spread = _upper_median(distance[:, rim]) + 1.0
    return np.asarray((rim & (distance <= 4 * spread[:, None, None]).all(axis=0)).ravel())


@lru_cache(maxsize=8)
def _quadratic(shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """The six terms of a quadratic surface, (6, H * W), on coordinates from -0.5 to 0.5, and their 21 products."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float64)
    x, y = x.ravel() / shape[1] - 0.5, y.ravel() / shape[0] - 0.5
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y])
    products = np.stack([terms[i] * terms[j] for i, j in zip(*_TRIANGLE, strict=True)])
    terms.setflags(write=False)
    products.setflags(write=False)
    return terms, products


def _residual(plane: Pixels, c: Floats, y: Floats, x: Floats) -> NDArray[np.float32]:
    """The plane minus the surface of coefficients `c` at rows `y` (H, 1) and columns `x` (W,)."""
    surface = np.multiply((c[2] + c[4] * x).astype(np.float32), y.astype(np.float32))
    surface += (c[0] + c[1] * x + c[3] * x * x).astype(np.float32)
    surface += (c[5] * y * y).astype(np.float32)
    above: NDArray[np.float32] = np.subtract(plane.astype(np.float32, copy=False), surface, out=surface)
    return above


def neighbourhood(score: NDArray[np.float32], mm_per_px: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A score, smoothed, and the top of each pixel's neighbourhood, which is about a specimen wide.

    The top is sought at half the resolution, in a quarter of the pixels with a quarter of the neighbours.
    """
    sigma = max(1.0, 0.15 / mm_per_px)
    side = 2 * math.ceil(2 * sigma) + 1
    smooth = np.asarray(cv2.GaussianBlur(score, (side, side), sigma), np.float32)
    height, width = score.shape
    half = cv2.resize(smooth, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    reach = 2 * max(1, round(0.75 / mm_per_px)) + 1
    top = cv2.dilate(cv2.blur(half, (3, 3)), np.ones((reach, reach), np.uint8))
    return smooth, np.asarray(cv2.resize(top, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def signal_mask(smooth: NDArray[np.float32], top: NDArray[np.float32], *, share: float) -> NDArray[np.uint8]:
    """Pixels above the noise and above `share` of the brightness of their own neighbourhood; uint8 0 or 1.

    With the scale of its own neighbourhood a weak specimen beside a strong one counts, and the halo of scattered light
    round a strong one does not.
    """
    floor = np.float32(share) * top
    np.maximum(floor, np.float32(_NOISE_SIGMAS), out=floor)
    return (smooth > floor).view(np.uint8)

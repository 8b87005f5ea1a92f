"""The smooth background of a frame, and what stands out of it."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

_GRID = 32
_ROUNDS = 5
_NOISE_SIGMAS = 6.0


def excess(image: NDArray[np.float32], *, signed: bool) -> NDArray[np.float32]:
    """How far each pixel is from the fitted background, in standard deviations of the background.

    Parameters
    ----------
    image : float32 (H, W) or (H, W, C).
    signed : True: brighter only (fluorescence); False: distance over all channels (white light).

    Returns
    -------
    float32 (H, W), 0 and up.
    """
    planes = image[..., None] if image.ndim == 2 else image
    total = np.zeros(planes.shape[:2], np.float32)
    for channel in range(planes.shape[2]):
        plane = np.ascontiguousarray(planes[..., channel])
        residual, spread = _residual(plane, dark_is_background=signed)
        scaled = residual / np.float32(spread)
        total = np.maximum(scaled, 0) if signed else total + scaled * scaled
    return total if signed else np.sqrt(total / planes.shape[2])


def _residual(plane: NDArray[np.float32], *, dark_is_background: bool) -> tuple[NDArray[np.float32], float]:
    """Image minus a robust quadratic surface, and the standard deviation of the background.

    The fit starts from the darkest third (fluorescence) or from the frame's rim (white light) and takes in, round by
    round, what lies within three standard deviations of it.
    """
    height, width = plane.shape
    step = max(1, min(height, width) // _GRID)
    sampled = plane[::step, ::step].astype(np.float64)
    design = _quadratic((sampled.shape[0], sampled.shape[1]))
    values = np.asarray(sampled.reshape(-1), np.float64)
    chosen = _start(sampled, dark_is_background)
    coefficients, spread = np.zeros(design.shape[0]), 1.0
    for _ in range(_ROUNDS):
        coefficients = _fit(design, values, chosen)
        error = values - np.einsum("ki,k->i", design, coefficients)
        spread = max(1.4826 * float(np.median(np.abs(error[chosen]))), 0.5)
        chosen = np.abs(error) < 3.0 * spread
        if np.count_nonzero(chosen) < 4 * design.shape[0]:
            break
    return plane - _evaluate(coefficients, plane.shape, step, sampled.shape), spread


def _fit(design: NDArray[np.float64], values: NDArray[np.float64], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Least squares by the normal equations; einsum, unlike BLAS, gives the same bits on any number of threads."""
    part = np.ascontiguousarray(design[:, chosen])
    gram = np.einsum("ki,li->kl", part, part) + 1e-9 * np.eye(design.shape[0])
    return np.asarray(np.linalg.solve(gram, np.einsum("ki,i->k", part, values[chosen])))


def _start(sampled: NDArray[np.float64], dark_is_background: bool) -> NDArray[np.bool_]:
    if dark_is_background:
        return np.asarray(sampled.ravel() <= np.percentile(sampled, 35))
    rim = np.zeros(sampled.shape, bool)
    edge = max(1, min(sampled.shape) // 12)
    rim[:edge] = rim[-edge:] = True
    rim[:, :edge] = rim[:, -edge:] = True
    middle = np.median(sampled[rim])
    spread = np.median(np.abs(sampled[rim] - middle)) + 1.0
    return np.asarray((rim & (np.abs(sampled - middle) <= 4 * spread)).ravel())


@lru_cache(maxsize=8)
def _quadratic(shape: tuple[int, int]) -> NDArray[np.float64]:
    """The six terms of a quadratic surface, (6, H * W), on coordinates from -0.5 to 0.5."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float64)
    x, y = x.ravel() / shape[1] - 0.5, y.ravel() / shape[0] - 0.5
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y])
    terms.setflags(write=False)
    return terms


def _evaluate(
    coefficients: NDArray[np.float64], shape: tuple[int, ...], step: int, sampled: tuple[int, ...]
) -> NDArray[np.float32]:
    """The fitted surface on the full grid; sample (i, j) of the fit is pixel (i * step, j * step)."""
    y = (np.arange(shape[0]) / step / sampled[0] - 0.5)[:, None].astype(np.float32)
    x = (np.arange(shape[1]) / step / sampled[1] - 0.5)[None, :].astype(np.float32)
    c = coefficients.astype(np.float32)
    return np.asarray(c[0] + c[1] * x + c[3] * x * x + y * (c[2] + c[4] * x) + c[5] * y * y, np.float32)


def signal_mask(score: NDArray[np.float32], mm_per_px: float, *, share: float) -> NDArray[np.uint8]:
    """Pixels above the noise and above `share` of the brightness of their own neighbourhood; uint8 0 or 1.

    The neighbourhood is about a specimen wide, so that a weak specimen beside a strong one keeps its own scale and
    the halo of scattered light round a strong one does not count.
    """
    sigma = max(1.0, 0.15 / mm_per_px)
    smooth = cv2.GaussianBlur(score, (0, 0), sigma)
    reach = 2 * max(2, round(1.5 / mm_per_px)) + 1
    top = cv2.dilate(cv2.blur(smooth, (5, 5)), np.ones((1, reach), np.uint8))
    top = cv2.dilate(top, np.ones((reach, 1), np.uint8))
    floor = np.maximum(np.float32(share) * top, np.float32(_NOISE_SIGMAS))
    return np.asarray(smooth > floor, np.uint8)

"""The smooth background of a frame, and what stands out of it."""

import cv2
import numpy as np
from numpy.typing import NDArray

_GRID = 48
_ROUNDS = 6
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
    design = _quadratic(sampled.shape)
    values: NDArray[np.float64] = sampled.reshape(-1)
    chosen = _start(sampled, dark_is_background)
    coefficients = np.zeros(design.shape[1])
    spread = 1.0
    for _ in range(_ROUNDS):
        coefficients = np.linalg.lstsq(design[chosen], values[chosen], rcond=None)[0]
        error = values - design @ coefficients
        spread = max(1.4826 * float(np.median(np.abs(error[chosen]))), 0.5)
        chosen = np.abs(error) < 3.0 * spread
        if np.count_nonzero(chosen) < 4 * design.shape[1]:
            break
    small = (design @ coefficients).reshape(sampled.shape).astype(np.float32)
    surface = _evaluate(coefficients, plane.shape, step, sampled.shape) if step > 1 else small
    return plane - surface, spread


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


def _quadratic(shape: tuple[int, ...]) -> NDArray[np.float64]:
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float64)
    x, y = x.ravel() / shape[1] - 0.5, y.ravel() / shape[0] - 0.5
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


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

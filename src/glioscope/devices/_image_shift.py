"""By how much a scene moved between two frames of one camera, to a fraction of a pixel, and moving it back."""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import Frame

_EDGE_PX = 2.0
"""Registration looks at structure finer than this: scattered fluorescence, which only one frame has, is coarser."""
_MIN_CORRELATION = 0.2
"""Frames that share nothing but noise stay under it."""
_MIN_SHIFT_PX = 0.05
_MAX_REFINED_PX = 1.0
_ROUNDS = 2

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


def find_shift(
    reference: Image, moved: Image, max_shift_px: float, ignored: Mask | None = None
) -> tuple[tuple[float, float], str]:
    """By how much `moved` must be shifted (x, y in px) to lie on `reference`; (0, 0) and a sentence where unclear.

    The highest correlation coefficient of all whole shifts within the limit, refined by least squares (Lucas and Kanade
    1981, with the ratio of the two frames as a third unknown). Believed only if the coefficient stands out of what
    noise gives, and if the shift brings the two pictures nearer to each other. (Phase correlation, tried first, weighs
    frequencies that hold only noise as much as the others: smooth structure was missed, and errors at little ambient
    light were larger.)

    Parameters
    ----------
    reference, moved : float32 (H, W) counts, one size.
    ignored : bool (H, W), places that say nothing; None: nowhere.
    """
    margin = math.ceil(max_shift_px) + 1
    first, second = _fine(reference), _fine(moved)
    if ignored is not None:
        first[ignored] = second[ignored] = 0
    inner = first[margin:-margin, margin:-margin]
    if min(first.shape) < 4 * margin:
        return (0.0, 0.0), f"frames of {first.shape} px are too small to look for shifts of {max_shift_px:g} px"
    if not (cv2.norm(inner) > 0 and cv2.norm(second) > 0):
        return (0.0, 0.0), "nothing to register on: a frame has one value all over"
    _, found, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(second, inner, cv2.TM_CCOEFF_NORMED))
    if not found >= _MIN_CORRELATION:
        return (0.0, 0.0), f"nothing to register on: correlation {found:.2f}, at least {_MIN_CORRELATION} is needed"
    start = (float(margin - x), float(margin - y))
    if math.hypot(*start) > max_shift_px:
        return (0.0, 0.0), f"shift of {math.hypot(*start):.0f} px or more is over the limit of {max_shift_px:g} px"
    shift = _refined(first, second, start)
    if math.hypot(*shift) < _MIN_SHIFT_PX:
        return (0.0, 0.0), ""
    if cv2.norm(first, shift_image(second, shift)) >= cv2.norm(first, second):
        return (0.0, 0.0), f"shift of {math.hypot(*shift):.1f} px does not bring the frames nearer to each other"
    return shift, ""


def saturated_areas(*frames: Frame) -> Mask | None:
    """Saturated areas and what their edges reach; single hot pixels are repaired in `scene_of`."""
    full = np.logical_or.reduce([frame.pixels >= (frame.white_level or 65535) for frame in frames])
    areas = cv2.medianBlur(full.view(np.uint8), 3) if full.any() else None
    return cv2.dilate(areas, np.ones((11, 11), np.uint8)) != 0 if areas is not None and areas.any() else None


def _refined(reference: Image, moved: Image, start: tuple[float, float]) -> tuple[float, float]:
    """`start` after a few steps of least squares; `start` itself where they lead away."""
    height, width = reference.shape
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    target = cv2.multiply(reference, window).ravel()
    x, y = start
    for _ in range(_ROUNDS):
        shifted = shift_image(moved, (x, y))
        slopes = (cv2.Sobel(shifted, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1)))
        design = np.stack([cv2.multiply(part, window).ravel() for part in (shifted, *slopes)])
        normal, right = design @ design.T, design @ target
        if not np.linalg.cond(normal.astype(np.float64)) < 1e8:
            return start
        ratio, step_x, step_y = np.linalg.solve(normal.astype(np.float64), right.astype(np.float64))
        if not ratio > 0:
            return start
        x, y = x - float(step_x / ratio), y - float(step_y / ratio)
        if not math.hypot(x - start[0], y - start[1]) <= _MAX_REFINED_PX:
            return start
    return x, y


def _fine(image: Image) -> Image:
    """What is finer than `_EDGE_PX`, float32; a box of the variance of a Gaussian, which is ten times as fast."""
    side = 2 * round(_EDGE_PX * math.sqrt(3)) + 1
    return np.asarray(cv2.subtract(image, cv2.blur(image, (side, side))), np.float32)


def scene_of(pixels: NDArray[Any]) -> Image:
    """Counts without single bad pixels, float32."""
    return np.asarray(cv2.medianBlur(np.ascontiguousarray(pixels), 3), np.float32)


def shift_image(image: Image, by: tuple[float, float]) -> Image:
    matrix = np.array([[1, 0, by[0]], [0, 1, by[1]]], np.float32)
    size = (image.shape[1], image.shape[0])
    moved = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)

"""From a specimen of any size to the square that the network sees."""

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import Canvas, FLPlan, WLPlan

from ._images import Pixels

Box = tuple[int, int, int, int]


def cut(pixels: Pixels, box: Box) -> Pixels:
    """Cut `box` (x, y, width, height in px) out of (H, W) or (H, W, C); zeros where it leaves the frame.

    Always returns a contiguous copy of the box's size, same dtype.
    """
    x, y, width, height = box
    if width < 1 or height < 1:
        raise ValueError(f"box is {width} x {height} px, at least 1 x 1 is needed")
    result = np.zeros((height, width, *pixels.shape[2:]), pixels.dtype)
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + width, pixels.shape[1]), min(y + height, pixels.shape[0])
    if x1 > x0 and y1 > y0:
        result[y0 - y : y1 - y, x0 - x : x1 - x] = pixels[y0:y1, x0:x1]
    return result


def place(pixels: Pixels, canvas: Canvas) -> Pixels:
    """Zero-pad (or, for `field`, crop) round the centre to a square, then resize to `size_px`.

    Shrinking averages areas, enlarging interpolates linearly. Keeps the dtype and the channels.
    """
    height, width = pixels.shape[:2]
    side = max(height, width) if canvas.kind == "square" or canvas.field_px is None else canvas.field_px
    square = pixels
    if (height, width) != (side, side):
        square = cut(pixels, ((width - side) // 2, (height - side) // 2, side, side))
    if side == canvas.size_px:
        return square
    method = cv2.INTER_AREA if side > canvas.size_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (canvas.size_px, canvas.size_px), interpolation=method))


def unplace(values: NDArray[np.float32], canvas: Canvas, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Bring a map on the canvas back to the specimen's pixels: the inverse of `place`.

    Parameters
    ----------
    values : float32 (h, w) or (h, w, C) that covers the whole canvas, at any resolution.
    canvas : the plan's.
    shape : height and width of the specimen's image in px.

    Returns
    -------
    float32 of `shape` (and C): linear interpolation; padding is cut off, and what a `field` canvas cropped is 0.
    """
    height, width = shape
    side = max(shape) if canvas.kind == "square" or canvas.field_px is None else canvas.field_px
    method = cv2.INTER_AREA if side < values.shape[0] else cv2.INTER_LINEAR
    square = np.asarray(cv2.resize(values, (side, side), interpolation=method), np.float32)
    return cut(square, (-((width - side) // 2), -((height - side) // 2), width, height))


def network_input(images: Pixels, plan: FLPlan | WLPlan) -> NDArray[np.float32]:
    """What the network reads: (value / 255 - mean) / std, three channels first.

    Parameters
    ----------
    images : uint8 (N, S, S) or (N, S, S, 3), as `apply_fl_plan` and `apply_wl_plan` give them, stacked.
    plan : carries mean and std.

    Returns
    -------
    float32 (N, 3, S, S), contiguous. Grey images are repeated in the three channels.
    """
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise ValueError(f"images are {images.dtype} {images.shape}, uint8 (N, S, S) or (N, S, S, 3) is needed")
    result = np.empty((images.shape[0], 3, *images.shape[1:3]), np.float32)
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    tables = [(levels - np.float32(mean)) / np.float32(std) for mean, std in zip(plan.mean, plan.std, strict=True)]
    for image, planes in zip(images, result, strict=True):
        for channel, table in enumerate(tables):
            cv2.LUT(image if image.ndim == 2 else cv2.extractChannel(image, channel), table, dst=planes[channel])
    return result


def to_uint8(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[0, 1] to 0..255, rounded to nearest; what is below or above is held at the ends."""
    scaled = image * np.float32(255)
    return np.asarray(cv2.convertScaleAbs(np.maximum(scaled, 0, out=scaled)))

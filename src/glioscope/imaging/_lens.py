"""From one camera's pixels to another's: a homography between two pictures of a plane, each lens bent by one number.

The one-parameter division model (Fitzgibbon, "Simultaneous linear estimation of multiple view geometry and lens
distortion", CVPR 2001) has a closed form both ways.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import ImageError

MAX_DISTORTION = 0.4

Points = NDArray[np.float64]


def fit_mapping(
    wl_px: Points, fl_px: Points, wl_size: tuple[int, int], fl_size: tuple[int, int], *, bent: bool
) -> tuple[Points, float, float]:
    """Homography and distortions of WL and FL with the least squared error in FL px."""
    first, _ = cv2.findHomography(wl_px, fl_px)
    if first is None:
        raise ImageError(None, "the points of the target lie on a line: no mapping of a plane can be fitted")
    if not bent:
        return np.asarray(first, np.float64), 0.0, 0.0
    from scipy.optimize import least_squares

    # Normalised to about -1 to 1, so that all ten parameters are of one size.
    to_unit, from_unit = _unit(wl_size), np.linalg.inv(_unit(fl_size))
    start = np.linalg.inv(from_unit) @ first @ np.linalg.inv(to_unit)

    def unpacked(values: Points) -> tuple[Points, float, float]:
        return from_unit @ np.append(values[:8], 1.0).reshape(3, 3) @ to_unit, float(values[8]), float(values[9])

    def errors(values: Points) -> Points:
        homography, bend_wl, bend_fl = unpacked(values)
        plane = projected(undistorted(wl_px, wl_size, bend_wl), homography)
        off = np.nan_to_num(distorted(plane, fl_size, bend_fl) - fl_px, nan=1e3)
        # Equal distortion of like lenses cancels: a weak pull to 0 keeps both from growing together.
        return np.append(off.ravel(), 0.5 * values[8:])

    start_values = np.append((start / start[2, 2]).ravel()[:8], [0.0, 0.0])
    bounds = np.append(np.full(8, np.inf), [MAX_DISTORTION] * 2)
    found = least_squares(errors, start_values, bounds=(-bounds, bounds), x_scale="jac")
    return unpacked(np.asarray(found.x))


def _unit(size: tuple[int, int]) -> Points:
    """Pixels to coordinates with the frame's middle as origin and half its diagonal as unit."""
    half = np.hypot(*size) / 2
    matrix = np.array([[1, 0, -(size[0] - 1) / 2], [0, 1, -(size[1] - 1) / 2], [0, 0, half]])
    return np.asarray(matrix / half, np.float64)


def undistorted(px: Points, size: tuple[int, int], distortion: float) -> Points:
    centre, half = (np.array(size) - 1) / 2, np.hypot(*size) / 2
    unit = (px - centre) / half
    return np.asarray(centre + half * unit / (1 + distortion * (unit**2).sum(axis=1, keepdims=True)))


def distorted(px: Points, size: tuple[int, int], distortion: float) -> Points:
    centre, half = (np.array(size) - 1) / 2, np.hypot(*size) / 2
    unit = (px - centre) / half
    root = 1 - 4 * distortion * (unit**2).sum(axis=1, keepdims=True)
    root = np.sqrt(np.where(root < 0, np.nan, root))
    return np.asarray(centre + half * 2 * unit / (1 + root))


def projected(px: Points, homography: Points) -> Points:
    image = px @ homography[:, :2].T + homography[:, 2]
    return np.asarray(image[:, :2] / image[:, 2:])


def scale_mm_per_px(mm: Points, fl_px: Points, fl_size: tuple[int, int]) -> float:
    """Millimetres a pixel in the middle of the FL frame, of the best plane through the points."""
    homography, _ = cv2.findHomography(fl_px, mm)
    middle = (np.array(fl_size) - 1) / 2
    ends = middle + np.array([[-0.5, 0], [0.5, 0], [0, -0.5], [0, 0.5]])
    left, right, top, bottom = projected(ends, np.asarray(homography))
    (a, b), (c, d) = right - left, bottom - top
    return float(np.sqrt(abs(a * d - b * c)))


def root_mean_square(errors: Points) -> float:
    return float(np.sqrt(np.mean(errors**2)))

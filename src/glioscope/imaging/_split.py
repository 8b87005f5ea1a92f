"""Specimens that touch each other, taken apart along their necks."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ._canvas import Box

_SOLID = 0.95
_LEVELS = (0.45, 0.55, 0.65, 0.75, 0.85)
_CORE_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Piece:
    """One specimen of a mask. `box`: x, y, width, height around it; `mask`: uint8 (height, width), 0 or 1."""

    box: Box
    mask: NDArray[np.uint8]


def split_touching(mask: NDArray[np.uint8], *, min_px: int) -> list[Piece]:
    """The specimens of a mask; those under `min_px` pixels are dropped.

    A region that fills its convex hull is one specimen. Another is cut in its necks if the distance transform has
    several cores; each pixel goes to the nearest core.

    Parameters
    ----------
    mask : uint8 (H, W), 0 or 1.
    """
    # Contours first: labelling the whole frame costs ten times as much as labelling the few regions in it.
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    pieces: list[Piece] = []
    for contour in contours:
        x, y, w, h = cv2.boundingRect(contour)
        if w * h < min_px:
            continue
        own = np.zeros((h, w), np.uint8)
        cv2.drawContours(own, [contour], -1, 1, cv2.FILLED, offset=(-x, -y))
        # A contour runs through pixels that touch by a corner only; those are different specimens.
        count, parts, stats, _ = cv2.connectedComponentsWithStats(own & mask[y : y + h, x : x + w], connectivity=4)
        for k in range(1, count):
            area = int(stats[k, cv2.CC_STAT_AREA])
            if area >= min_px:
                pieces += _cut_out(_pieces((parts == k).view(np.uint8), area, min_px), x, y)
    return [piece for piece in pieces if cv2.countNonZero(piece.mask) >= min_px]


def _cut_out(labels: NDArray[np.int32], x: int, y: int) -> list[Piece]:
    """The pieces 1 and up of an array whose corner is at x, y of the mask."""
    found = []
    for k in range(1, int(labels.max()) + 1):
        own = (labels == k).view(np.uint8)
        left, top, width, height = cv2.boundingRect(own)
        inside = np.ascontiguousarray(own[top : top + height, left : left + width])
        found.append(Piece((x + left, y + top, width, height), inside))
    return found


def _pieces(part: NDArray[np.uint8], area: int, min_px: int) -> NDArray[np.int32]:
    whole = part.astype(np.int32)
    contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = max(float(cv2.contourArea(cv2.convexHull(np.concatenate(contours)))), 1.0)
    if area / hull >= _SOLID or area < 2 * min_px:
        return whole
    padded = cv2.copyMakeBorder(part, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    exact = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    distance = np.asarray(cv2.GaussianBlur(exact, (0, 0), 1.0), np.float32)
    markers, cores = _cores(distance, area)
    if cores < 2:
        return whole
    return np.where(part > 0, _nearest(markers), 0).astype(np.int32)


def _cores(distance: NDArray[np.float32], area: int) -> tuple[NDArray[np.int32], int]:
    """Connected parts of the distance transform above a share of its top; the share that gives the most parts wins."""
    best, most = np.zeros(distance.shape, np.int32), 1
    for level in _LEVELS:
        count, found, stats, _ = cv2.connectedComponentsWithStats(
            (distance > level * distance.max()).astype(np.uint8), connectivity=8
        )
        large = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= _CORE_SHARE * area]
        if len(large) > most:
            most = len(large)
            best = np.zeros(distance.shape, np.int32)
            for index, k in enumerate(large, start=1):
                best[found == k] = index
    return best, most


def _nearest(markers: NDArray[np.int32]) -> NDArray[np.int32]:
    """Every pixel to its nearest core: all cores are eroded by the same depth, so the border lies in the neck."""
    far = [
        cv2.distanceTransform((markers != k).astype(np.uint8), cv2.DIST_L2, 5) for k in range(1, int(markers.max()) + 1)
    ]
    return np.asarray(np.argmin(np.stack(far), axis=0) + 1, np.int32)

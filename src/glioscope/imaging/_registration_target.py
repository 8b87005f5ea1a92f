"""A printed target that both cameras see: what it looks like, and finding its points in a frame."""

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import ImageError, InputError

from ._images import Pixels
from ._lens import Points, projected, root_mean_square

MIN_POINTS = 12
_MAX_BOARD_ERROR = 0.15
_MARKER_SHARE = 0.6
"""Side of a marker over that of its square: leaves a clear window of five pixels round corners of 25 px squares."""
_MAX_MARKERS = 250


@dataclass(frozen=True, slots=True)
class Target:
    """A printed target: a ChArUco board, or an asymmetric grid of circles (every other row shifted by half a step).

    `columns` x `rows`: squares of the board, or circles of a row and rows of the grid. `square_mm`: side of a square,
    or distance between two rows of circles (circles of one row are two apart). A grid with an odd number of rows looks
    different upside down, an even or a plain one does not: it could be matched the wrong way round.
    """

    kind: Literal["charuco", "circles"]
    columns: int
    rows: int
    square_mm: float

    def __post_init__(self) -> None:
        size = f"{self.columns} x {self.rows}"
        if self.kind not in ("charuco", "circles"):
            raise InputError(f"target {self.kind!r} is neither 'charuco' nor 'circles'")
        if not (3 <= self.columns <= 60 and 3 <= self.rows <= 60):
            raise InputError(f"a target of {size} is outside the limits of 3 to 60 a side")
        if not 0 < self.square_mm < 1000:
            raise InputError(f"square of {self.square_mm:g} mm is out of range; give more than 0 and less than 1000 mm")
        if self.kind == "charuco" and self.columns * self.rows // 2 > _MAX_MARKERS:
            raise InputError(f"a board of {size} needs {self.columns * self.rows // 2} markers, over {_MAX_MARKERS}")
        if self.kind == "circles" and self.rows % 2 == 0:
            raise InputError(f"{self.rows} rows of circles look the same upside down; use an odd number of rows")

    @property
    def points_mm(self) -> Points:
        """Inner corners or circle centres on the target, float64 (N, 2), x and y in mm, in the order of detection."""
        if self.kind == "charuco":
            y, x = np.mgrid[1 : self.rows, 1 : self.columns]
        else:
            y, x = np.mgrid[: self.rows, : self.columns]
            x = 2 * x + y % 2
        return np.stack([x.ravel(), y.ravel()], axis=1) * self.square_mm

    @property
    def margin_squares(self) -> float:
        """White rim of `picture`, in squares; (0, 0) of `points_mm` lies this far in from its corner."""
        return 0.5 if self.kind == "charuco" else 1.0

    def picture(self, px_per_square: int) -> NDArray[np.uint8]:
        """The target as it is printed, uint8 (H, W), black on white, `px_per_square` even."""
        n = px_per_square
        if self.kind == "charuco":
            size = ((self.columns + 1) * n, (self.rows + 1) * n)
            return np.asarray(_board(self).generateImage(size, None, n // 2, 1), np.uint8)
        picture = np.full(((self.rows + 1) * n, (2 * self.columns + 1) * n), 255, np.uint8)
        for x, y in (self.points_mm / self.square_mm + 1.0) * n - 0.5:
            centre = (round(16 * x), round(16 * y))
            cv2.circle(picture, centre, round(16 * 0.45 * n), 0, cv2.FILLED, cv2.LINE_AA, shift=4)
        return picture


def matched_points(fl: Pixels, wl: Pixels, target: Target) -> tuple[Points, Points, Points]:
    """Points seen in both frames: FL px, WL px, mm on the target; (N, 2) each."""
    if fl.ndim != 2 or fl.dtype not in (np.uint8, np.uint16):
        raise ImageError(None, f"fluorescence frame is {fl.dtype} {fl.shape}, uint16 or uint8 (H, W) is needed")
    if wl.ndim != 3 or wl.shape[2] != 3 or wl.dtype != np.uint8:
        raise ImageError(None, f"white-light frame is {wl.dtype} {wl.shape}, uint8 (H, W, 3) is needed")
    fl_ids, fl_px = _found(_stretched(fl), target, "fluorescence")
    wl_ids, wl_px = _found(
        _stretched(cv2.cvtColor(np.ascontiguousarray(wl), cv2.COLOR_RGB2GRAY)), target, "white-light"
    )
    ids, in_fl, in_wl = np.intersect1d(fl_ids, wl_ids, return_indices=True)
    if len(ids) < MIN_POINTS:
        raise ImageError(None, f"{len(ids)} points of the target are in both frames, at least {MIN_POINTS} are needed")
    return fl_px[in_fl], wl_px[in_wl], target.points_mm[ids]


def _stretched(image: Pixels) -> NDArray[np.uint8]:
    """The frame in 8 bits for detection only: hot pixels off, 1st to 99th percentile to 0 to 255."""
    clean = cv2.medianBlur(np.ascontiguousarray(image), 3).astype(np.float32)
    low, high = np.percentile(clean[::4, ::4], [1, 99])
    return np.asarray(np.clip((clean - low) * (255 / max(high - low, 1.0)), 0, 255), np.uint8)


def _found(image: NDArray[np.uint8], target: Target, name: str) -> tuple[NDArray[np.int64], Points]:
    """Indices into `points_mm` and px of the target's points in a frame, whichever of ink and paper is brighter."""
    detect = _charuco_points if target.kind == "charuco" else _circle_points
    best = max((detect(shown, target) for shown in (image, 255 - image)), key=lambda found: len(found[0]))
    described = f"{target.columns} x {target.rows} {target.kind} target"
    if len(best[0]) < MIN_POINTS:
        count = f"{len(best[0])} of {len(target.points_mm)} points of the {described} found"
        raise ImageError(None, f"{name} frame: {count}, at least {MIN_POINTS} are needed: check focus, light and size")
    error = _board_error(target.points_mm[best[0]], best[1], target.square_mm)
    if error > _MAX_BOARD_ERROR:
        reason = f"points are {error:.2f} squares off a {described}, the limit is {_MAX_BOARD_ERROR}"
        raise ImageError(None, f"{name} frame: {reason}: is it another target?")
    return best


def _board(target: Target) -> Any:
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_250)
    side = target.square_mm
    return cv2.aruco.CharucoBoard((target.columns, target.rows), side, _MARKER_SHARE * side, dictionary)


def _charuco_points(image: NDArray[np.uint8], target: Target) -> tuple[NDArray[np.int64], Points]:
    found: Any = cv2.aruco.CharucoDetector(_board(target)).detectBoard(image)  # None, whatever its stub says
    corners, ids = found[:2]
    if ids is None:
        return np.empty(0, np.int64), np.empty((0, 2))
    # A wider window on a smoothed frame: a third of the error in 16-bit frames with noise.
    smooth = cv2.GaussianBlur(image, (0, 0), 1.0)
    until = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 50, 1e-3)
    fine = cv2.cornerSubPix(smooth, np.asarray(corners, np.float32).reshape(-1, 1, 2), (5, 5), (-1, -1), until)
    return np.asarray(ids, np.int64).ravel(), np.asarray(fine, np.float64).reshape(-1, 2)


def _circle_points(image: NDArray[np.uint8], target: Target) -> tuple[NDArray[np.int64], Points]:
    module: Any = cv2  # names that its stubs lack
    settings = module.SimpleBlobDetector_Params()
    settings.maxArea = image.size / 50
    detector = module.SimpleBlobDetector_create(settings)
    size, kind = (target.columns, target.rows), cv2.CALIB_CB_ASYMMETRIC_GRID
    found, centres = module.findCirclesGrid(image, size, flags=kind, blobDetector=detector)
    if not found:
        return np.empty(0, np.int64), np.empty((0, 2))
    return np.arange(target.columns * target.rows), np.asarray(centres, np.float64).reshape(-1, 2)


def _board_error(mm: Points, px: Points, square_mm: float) -> float:
    """RMS distance from the flat target seen without distortion, in squares: a wrong layout is off by whole squares."""
    homography: Any = cv2.findHomography(px, mm)[0]  # None, whatever its stub says
    if homography is None:
        return np.inf
    return root_mean_square(np.hypot(*(projected(px, homography) - mm).T)) / square_mm

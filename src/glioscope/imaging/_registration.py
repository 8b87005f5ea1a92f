"""Bringing white light into the geometry of fluorescence: two cameras, two lenses, one plate.

A target that both cameras see (`_registration_target`) gives pairs of points. The plate is a plane, so a homography
takes one picture to the other once the radial distortion of each lens is taken off (`_lens`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import ImageError, InputError, read_sealed, write_sealed

from ._find import MAX_MM_PER_PX, MIN_MM_PER_PX
from ._images import Pixels
from ._lens import (
    MAX_DISTORTION,
    Points,
    distorted,
    fit_mapping,
    projected,
    root_mean_square,
    scale_mm_per_px,
    undistorted,
)
from ._registration_target import Target, matched_points

REGISTRATION_SCHEMA = 1
DEFAULT_MAX_RMS_PX = 1.0
MIN_POINTS_FOR_DISTORTION = 24
MIN_SPREAD = 0.35
"""Share of the FL frame that the target's points must span: the mapping is not known far outside of them."""
"""Share of the FL frame that the target's points must span: the mapping is not known far outside of them."""
MAX_SCALE_CHANGE = 0.02
_WORST_TO_RMS = 3.0
_FOLDS = 5

Matrix = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class Residual:
    """Distance in FL pixels between where white-light points land and where FL sees them.

    Of a new registration: over points left out of the fit in turn (5 folds). Of a check: over all points.
    """

    rms_px: float
    worst_px: float
    n_points: int


@dataclass(frozen=True, slots=True)
class Registration:
    """How pixels of the white-light camera lie in the frame of the fluorescence camera.

    Attributes
    ----------
    fl_size, wl_size : width and height of the frames in px.
    homography : 3 x 3, takes undistorted WL pixels to undistorted FL pixels.
    fl_distortion, wl_distortion : of the division model, with the frame's middle as centre and half its diagonal as
        unit: undistorted = distorted / (1 + distortion * r^2). 0: none.
    residual : over points left out of the fit.
    mm_per_px : of FL at the target, from the stated size of its squares.
    created : UTC, ISO 8601.

    Raises
    ------
    InputError : a number that is not finite or out of range, or a mapping that is not defined all over the FL frame.
    """

    fl_size: tuple[int, int]
    wl_size: tuple[int, int]
    homography: Matrix
    fl_distortion: float
    wl_distortion: float
    residual: Residual
    target: Target
    mm_per_px: float
    created: str

    def __post_init__(self) -> None:
        if not all(4 <= side <= 16_384 for side in (*self.fl_size, *self.wl_size)):
            raise InputError(f"frames of {self.fl_size} and {self.wl_size} px are outside the limits of 4 to 16384 px")
        if not np.isfinite([*self.homography[0], *self.homography[1], *self.homography[2]]).all():
            raise InputError("the homography holds a number that is not finite")
        for name, value in (("FL", self.fl_distortion), ("WL", self.wl_distortion)):
            if not abs(value) <= MAX_DISTORTION:
                raise InputError(f"distortion of the {name} lens is {value:g}, at most {MAX_DISTORTION} is accepted")
        if not MIN_MM_PER_PX <= self.mm_per_px <= MAX_MM_PER_PX:
            raise InputError(f"mm_per_px is {self.mm_per_px:g}, {MIN_MM_PER_PX} to {MAX_MM_PER_PX} is needed")
        if not (0 <= self.residual.rms_px <= self.residual.worst_px < np.inf):
            raise InputError(
                f"residual of {self.residual.rms_px:g} px (worst {self.residual.worst_px:g}) is impossible"
            )
        if not _is_defined(self):
            raise InputError("the homography does not map the whole FL frame into the plane of the WL frame")

    def to_fl(self, points: Points) -> Points:
        """WL pixels to FL pixels; float (N, 2), x and y, pixel centres at whole numbers. NaN beyond the lens model."""
        flat = undistorted(np.asarray(points, np.float64), self.wl_size, self.wl_distortion)
        return distorted(projected(flat, np.asarray(self.homography)), self.fl_size, self.fl_distortion)

    def to_wl(self, points: Points) -> Points:
        """FL pixels to WL pixels, the inverse of `to_fl`."""
        flat = undistorted(np.asarray(points, np.float64), self.fl_size, self.fl_distortion)
        plane = projected(flat, np.linalg.inv(np.asarray(self.homography)))
        return distorted(plane, self.wl_size, self.wl_distortion)

    def apply(self, wl: Pixels) -> NDArray[np.uint8]:
        """A white-light frame in the geometry of the FL camera.

        Parameters
        ----------
        wl : uint8 (H, W, 3) of `wl_size`.

        Returns
        -------
        uint8 (H, W, 3) of `fl_size`, bilinear; 0 where the white-light camera does not look.

        Raises
        ------
        ImageError : another type or size.
        """
        if wl.dtype != np.uint8 or wl.ndim != 3 or wl.shape[2] != 3:
            raise ImageError(None, f"white-light frame is {wl.dtype} {wl.shape}, uint8 (H, W, 3) is needed")
        size = (wl.shape[1], wl.shape[0])
        if size != self.wl_size:
            needed = f"{self.wl_size[0]} x {self.wl_size[1]} px"
            raise ImageError(None, f"white-light frame is {size[0]} x {size[1]} px, the registration is for {needed}")
        coarse, fine, _ = _tables(self)
        return np.asarray(cv2.remap(wl, coarse, fine, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.uint8)

    @property
    def seen_share(self) -> float:
        """Share of the FL frame that the white-light camera sees too, 0 to 1."""
        return _tables(self)[2]


def register_cameras(fl: Pixels, wl: Pixels, target: Target, *, max_rms_px: float = DEFAULT_MAX_RMS_PX) -> Registration:
    """Register the white-light camera to the fluorescence camera from one picture each of a target on the plate.

    The target is found in both frames (in FL also with black and white exchanged). Radial distortion is fitted where
    there are points enough and it lowers the error on points that are left out of the fit.

    Parameters
    ----------
    fl : uint16 or uint8 (H, W), counts.
    wl : uint8 (H, W, 3) RGB, of its own size.
    target : what was laid on the plate.
    max_rms_px : limit of the residual over left-out points, in FL px; the worst point may have three times as much.

    Raises
    ------
    ImageError : a frame of the wrong type, a target that is not found, too few points in both frames, points that span
        too little of the FL frame, another target than stated, or a residual above the limit.
    """
    fl_px, wl_px, mm = matched_points(fl, wl, target)
    fl_size, wl_size = (fl.shape[1], fl.shape[0]), (wl.shape[1], wl.shape[0])
    spread = cv2.contourArea(cv2.convexHull(fl_px.astype(np.float32))) / (fl_size[0] * fl_size[1])
    if spread < MIN_SPREAD:
        reason = f"the {len(fl_px)} points seen in both frames span {100 * spread:.0f} % of the fluorescence frame"
        raise ImageError(None, f"{reason}, at least {100 * MIN_SPREAD:.0f} % is needed: use a larger target")
    plain = _held_out(wl_px, fl_px, wl_size, fl_size, bent=False)
    errors, curved = plain, False
    if len(fl_px) >= MIN_POINTS_FOR_DISTORTION:
        with_bend = _held_out(wl_px, fl_px, wl_size, fl_size, bent=True)
        if root_mean_square(with_bend) < 0.95 * root_mean_square(plain):
            errors, curved = with_bend, True
    residual = _accepted(errors, max_rms_px)
    homography, wl_distortion, fl_distortion = fit_mapping(wl_px, fl_px, wl_size, fl_size, bent=curved)
    return Registration(
        fl_size=fl_size,
        wl_size=wl_size,
        homography=_as_tuples(homography),
        fl_distortion=fl_distortion,
        wl_distortion=wl_distortion,
        residual=residual,
        target=target,
        mm_per_px=scale_mm_per_px(mm, fl_px, fl_size),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def check_registration(
    registration: Registration, fl: Pixels, wl: Pixels, *, max_rms_px: float = DEFAULT_MAX_RMS_PX
) -> Residual:
    """Hold a stored registration against a new pair of pictures of its target: has a camera moved since?

    Raises
    ------
    ImageError : as `register_cameras`; also frames of another size, or a scale that differs by over 2 %.
    """
    for name, frame, size in (("fluorescence", fl, registration.fl_size), ("white-light", wl, registration.wl_size)):
        if frame.shape[1::-1] != size:
            shown = f"{frame.shape[1]} x {frame.shape[0]} px, the registration is for {size[0]} x {size[1]} px"
            raise ImageError(None, f"{name} frame is {shown}")
    fl_px, wl_px, mm = matched_points(fl, wl, registration.target)
    residual = _accepted(np.hypot(*(registration.to_fl(wl_px) - fl_px).T), max_rms_px)
    scale = scale_mm_per_px(mm, fl_px, registration.fl_size)
    if abs(scale / registration.mm_per_px - 1) > MAX_SCALE_CHANGE:
        change = f"{scale:.4f} mm/px, {registration.mm_per_px:.4f} when registered"
        raise ImageError(
            None, f"the scale is {change}, over the limit of {100 * MAX_SCALE_CHANGE:.0f} %: register again"
        )
    return residual


def write_registration(path: Path | str, registration: Registration) -> None:
    """Write a registration as JSON with its schema version and a hash of its content, whole or not at all."""
    write_sealed(path, "registration", registration, REGISTRATION_SCHEMA)


def read_registration(path: Path | str) -> Registration:
    """Read a registration.

    Raises
    ------
    InputError : missing, no JSON, another schema, changed since it was written, or a number that cannot be.
    """
    return read_sealed(path, "registration", Registration, REGISTRATION_SCHEMA, mend="register again")


def _as_tuples(matrix: Points) -> Matrix:
    a, b, c = ((float(x), float(y), float(z)) for x, y, z in matrix)
    return a, b, c


def _accepted(errors: Points, max_rms_px: float) -> Residual:
    rms, worst = root_mean_square(errors), float(errors.max())
    # Written so that NaN is refused too.
    if not rms <= max_rms_px:
        raise ImageError(
            None, f"residual is {rms:.2f} px RMS over {len(errors)} points, the limit is {max_rms_px:g} px"
        )
    if not worst <= _WORST_TO_RMS * max_rms_px:
        reason = f"the worst of {len(errors)} points is {worst:.2f} px off"
        raise ImageError(None, f"{reason}, the limit is {_WORST_TO_RMS * max_rms_px:g} px")
    return Residual(round(rms, 4), round(worst, 4), len(errors))


def _held_out(
    wl_px: Points, fl_px: Points, wl_size: tuple[int, int], fl_size: tuple[int, int], *, bent: bool
) -> Points:
    """Error of every point, in FL px, under a fit without it and every fifth other."""
    fold, errors = np.arange(len(wl_px)) % _FOLDS, np.empty(len(wl_px))
    for k in range(_FOLDS):
        kept, out = fold != k, fold == k
        homography, bend_wl, bend_fl = fit_mapping(wl_px[kept], fl_px[kept], wl_size, fl_size, bent=bent)
        plane = projected(undistorted(wl_px[out], wl_size, bend_wl), homography)
        errors[out] = np.hypot(*(distorted(plane, fl_size, bend_fl) - fl_px[out]).T)
    return errors


def _is_defined(registration: Registration) -> bool:
    """Whether the rim of the FL frame maps to finite WL pixels, all on the same side of the horizon."""
    matrix = np.asarray(registration.homography)
    if not abs(np.linalg.det(matrix)) > 1e-12:
        return False
    width, height = registration.fl_size
    rim = np.array([[x, y] for x in (0, width - 1) for y in (0, height - 1)], np.float64)
    flat = undistorted(rim, registration.fl_size, registration.fl_distortion)
    depth = flat @ np.linalg.inv(matrix)[2, :2] + np.linalg.inv(matrix)[2, 2]
    return bool((depth > 0).all() or (depth < 0).all()) and bool(np.isfinite(registration.to_wl(rim)).all())


@lru_cache(maxsize=4)
def _tables(registration: Registration) -> tuple[NDArray[np.int16], NDArray[np.uint16], float]:
    """Where each FL pixel looks in the WL frame, as the fixed-point tables of `cv2.remap`, and the share it sees."""
    (width, height), (wl_width, wl_height) = registration.fl_size, registration.wl_size
    y, x = np.mgrid[:height, :width]
    wl = registration.to_wl(np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64))
    # cv2.remap takes 16-bit whole pixels: what lies far outside stays outside.
    places = np.clip(np.nan_to_num(wl, nan=-9.0), -9.0, 20_000.0).astype(np.float32).reshape(height, width, 2)
    seen = (places >= 0).all(axis=2) & (places[..., 0] <= wl_width - 1) & (places[..., 1] <= wl_height - 1)
    coarse, fine = cv2.convertMaps(places[..., 0], places[..., 1], cv2.CV_16SC2)
    return np.asarray(coarse), np.asarray(fine), float(seen.mean())

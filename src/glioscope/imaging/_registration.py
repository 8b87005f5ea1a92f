"""Bringing white light into the geometry of fluorescence: two cameras, two lenses, one plate.

A target that both cameras see gives pairs of points. The plate is a plane, so a homography takes one picture to the
other once the radial distortion of each lens is taken off; the one-parameter division model (Fitzgibbon, "Simultaneous
linear estimation of multiple view geometry and lens distortion", CVPR 2001) has a closed form both ways.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from glioscope.core import ImageError, InputError, write_text

from ._find import MAX_MM_PER_PX, MIN_MM_PER_PX
from ._images import Pixels

REGISTRATION_SCHEMA = 1
DEFAULT_MAX_RMS_PX = 1.0
MIN_POINTS = 12
MIN_POINTS_FOR_DISTORTION = 24
MIN_SPREAD = 0.35
"""Share of the FL frame that the target's points must span: the mapping is not known far outside of them."""
MAX_SCALE_CHANGE = 0.02
_WORST_TO_RMS = 3.0
_FOLDS = 5
_MAX_BOARD_ERROR = 0.15
_MAX_DISTORTION = 0.4
_MARKER_SHARE = 0.6
"""Side of a marker over that of its square: leaves a clear window of five pixels round corners of 25 px squares."""
_MAX_MARKERS = 250

Points = NDArray[np.float64]
Matrix = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]


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
            if not abs(value) <= _MAX_DISTORTION:
                raise InputError(f"distortion of the {name} lens is {value:g}, at most {_MAX_DISTORTION} is accepted")
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
        flat = _undistorted(np.asarray(points, np.float64), self.wl_size, self.wl_distortion)
        return _distorted(_projected(flat, np.asarray(self.homography)), self.fl_size, self.fl_distortion)

    def to_wl(self, points: Points) -> Points:
        """FL pixels to WL pixels, the inverse of `to_fl`."""
        flat = _undistorted(np.asarray(points, np.float64), self.fl_size, self.fl_distortion)
        plane = _projected(flat, np.linalg.inv(np.asarray(self.homography)))
        return _distorted(plane, self.wl_size, self.wl_distortion)

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
    fl_px, wl_px, mm = _matched_points(fl, wl, target)
    fl_size, wl_size = (fl.shape[1], fl.shape[0]), (wl.shape[1], wl.shape[0])
    spread = cv2.contourArea(cv2.convexHull(fl_px.astype(np.float32))) / (fl_size[0] * fl_size[1])
    if spread < MIN_SPREAD:
        reason = f"the {len(fl_px)} points seen in both frames span {100 * spread:.0f} % of the fluorescence frame"
        raise ImageError(None, f"{reason}, at least {100 * MIN_SPREAD:.0f} % is needed: use a larger target")
    plain = _held_out(wl_px, fl_px, wl_size, fl_size, distorted=False)
    errors, distorted = plain, False
    if len(fl_px) >= MIN_POINTS_FOR_DISTORTION:
        bent = _held_out(wl_px, fl_px, wl_size, fl_size, distorted=True)
        if _rms(bent) < 0.95 * _rms(plain):
            errors, distorted = bent, True
    residual = _accepted(errors, max_rms_px)
    homography, wl_distortion, fl_distortion = _fit(wl_px, fl_px, wl_size, fl_size, distorted=distorted)
    return Registration(
        fl_size=fl_size,
        wl_size=wl_size,
        homography=_as_tuples(homography),
        fl_distortion=fl_distortion,
        wl_distortion=wl_distortion,
        residual=residual,
        target=target,
        mm_per_px=_scale(mm, fl_px, fl_size),
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
    fl_px, wl_px, mm = _matched_points(fl, wl, registration.target)
    residual = _accepted(np.hypot(*(registration.to_fl(wl_px) - fl_px).T), max_rms_px)
    scale = _scale(mm, fl_px, registration.fl_size)
    if abs(scale / registration.mm_per_px - 1) > MAX_SCALE_CHANGE:
        change = f"{scale:.4f} mm/px, {registration.mm_per_px:.4f} when registered"
        raise ImageError(
            None, f"the scale is {change}, over the limit of {100 * MAX_SCALE_CHANGE:.0f} %: register again"
        )
    return residual


def write_registration(path: Path | str, registration: Registration) -> None:
    """Write a registration as JSON with its schema version and a hash of its content, whole or not at all."""
    content = json.loads(json.dumps(asdict(registration)))
    document = {"schema_version": REGISTRATION_SCHEMA, "sha256": _hash(content), "registration": content}
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def read_registration(path: Path | str) -> Registration:
    """Read a registration.

    Raises
    ------
    InputError : missing, no JSON, another schema, changed since it was written, or a number that cannot be.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: does not exist") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not a registration file: {error}") from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != REGISTRATION_SCHEMA:
        raise InputError(f"{path}: schema_version is {version!r}, {REGISTRATION_SCHEMA} is needed")
    content = document.get("registration")
    if document.get("sha256") != _hash(content):
        raise InputError(f"{path}: was changed after it was written (its sha256 does not fit); register again")
    try:
        return TypeAdapter(Registration).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise InputError(f"{path}: {where}: {first['msg']}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _as_tuples(matrix: Points) -> Matrix:
    a, b, c = ((float(x), float(y), float(z)) for x, y, z in matrix)
    return a, b, c


def _matched_points(fl: Pixels, wl: Pixels, target: Target) -> tuple[Points, Points, Points]:
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
    return _rms(np.hypot(*(_projected(px, homography) - mm).T)) / square_mm


def _accepted(errors: Points, max_rms_px: float) -> Residual:
    rms, worst = _rms(errors), float(errors.max())
    # Written so that NaN is refused too.
    if not rms <= max_rms_px:
        raise ImageError(
            None, f"residual is {rms:.2f} px RMS over {len(errors)} points, the limit is {max_rms_px:g} px"
        )
    if not worst <= _WORST_TO_RMS * max_rms_px:
        reason = f"the worst of {len(errors)} points is {worst:.2f} px off"
        raise ImageError(None, f"{reason}, the limit is {_WORST_TO_RMS * max_rms_px:g} px")
    return Residual(round(rms, 4), round(worst, 4), len(errors))


def _rms(errors: Points) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def _held_out(
    wl_px: Points, fl_px: Points, wl_size: tuple[int, int], fl_size: tuple[int, int], *, distorted: bool
) -> Points:
    """Error of every point, in FL px, under a fit without it and every fifth other."""
    fold, errors = np.arange(len(wl_px)) % _FOLDS, np.empty(len(wl_px))
    for k in range(_FOLDS):
        kept, out = fold != k, fold == k
        homography, bend_wl, bend_fl = _fit(wl_px[kept], fl_px[kept], wl_size, fl_size, distorted=distorted)
        plane = _projected(_undistorted(wl_px[out], wl_size, bend_wl), homography)
        errors[out] = np.hypot(*(_distorted(plane, fl_size, bend_fl) - fl_px[out]).T)
    return errors


def _fit(
    wl_px: Points, fl_px: Points, wl_size: tuple[int, int], fl_size: tuple[int, int], *, distorted: bool
) -> tuple[Points, float, float]:
    """Homography and distortions of WL and FL with the least squared error in FL px."""
    first, _ = cv2.findHomography(wl_px, fl_px)
    if first is None:
        raise ImageError(None, "the points of the target lie on a line: no mapping of a plane can be fitted")
    if not distorted:
        return np.asarray(first, np.float64), 0.0, 0.0
    from scipy.optimize import least_squares

    # Normalised to about -1 to 1, so that all ten parameters are of one size.
    to_unit, from_unit = _unit(wl_size), np.linalg.inv(_unit(fl_size))
    start = np.linalg.inv(from_unit) @ first @ np.linalg.inv(to_unit)

    def unpacked(values: Points) -> tuple[Points, float, float]:
        return from_unit @ np.append(values[:8], 1.0).reshape(3, 3) @ to_unit, float(values[8]), float(values[9])

    def errors(values: Points) -> Points:
        homography, bend_wl, bend_fl = unpacked(values)
        plane = _projected(_undistorted(wl_px, wl_size, bend_wl), homography)
        off = np.nan_to_num(_distorted(plane, fl_size, bend_fl) - fl_px, nan=1e3)
        # Equal distortion of like lenses cancels: a weak pull to 0 keeps both from growing together.
        return np.append(off.ravel(), 0.5 * values[8:])

    start_values = np.append((start / start[2, 2]).ravel()[:8], [0.0, 0.0])
    bounds = np.append(np.full(8, np.inf), [_MAX_DISTORTION] * 2)
    found = least_squares(errors, start_values, bounds=(-bounds, bounds), x_scale="jac")
    return unpacked(np.asarray(found.x))


def _unit(size: tuple[int, int]) -> Points:
    """Pixels to coordinates with the frame's middle as origin and half its diagonal as unit."""
    half = np.hypot(*size) / 2
    matrix = np.array([[1, 0, -(size[0] - 1) / 2], [0, 1, -(size[1] - 1) / 2], [0, 0, half]])
    return np.asarray(matrix / half, np.float64)


def _undistorted(px: Points, size: tuple[int, int], distortion: float) -> Points:
    centre, half = (np.array(size) - 1) / 2, np.hypot(*size) / 2
    unit = (px - centre) / half
    return np.asarray(centre + half * unit / (1 + distortion * (unit**2).sum(axis=1, keepdims=True)))


def _distorted(px: Points, size: tuple[int, int], distortion: float) -> Points:
    centre, half = (np.array(size) - 1) / 2, np.hypot(*size) / 2
    unit = (px - centre) / half
    root = 1 - 4 * distortion * (unit**2).sum(axis=1, keepdims=True)
    root = np.sqrt(np.where(root < 0, np.nan, root))
    return np.asarray(centre + half * 2 * unit / (1 + root))


def _projected(px: Points, homography: Points) -> Points:
    image = px @ homography[:, :2].T + homography[:, 2]
    return np.asarray(image[:, :2] / image[:, 2:])


def _scale(mm: Points, fl_px: Points, fl_size: tuple[int, int]) -> float:
    """Millimetres a pixel in the middle of the FL frame, of the best plane through the points."""
    homography, _ = cv2.findHomography(fl_px, mm)
    middle = (np.array(fl_size) - 1) / 2
    ends = middle + np.array([[-0.5, 0], [0.5, 0], [0, -0.5], [0, 0.5]])
    left, right, top, bottom = _projected(ends, np.asarray(homography))
    (a, b), (c, d) = right - left, bottom - top
    return float(np.sqrt(abs(a * d - b * c)))


def _is_defined(registration: Registration) -> bool:
    """Whether the rim of the FL frame maps to finite WL pixels, all on the same side of the horizon."""
    matrix = np.asarray(registration.homography)
    if not abs(np.linalg.det(matrix)) > 1e-12:
        return False
    width, height = registration.fl_size
    rim = np.array([[x, y] for x in (0, width - 1) for y in (0, height - 1)], np.float64)
    flat = _undistorted(rim, registration.fl_size, registration.fl_distortion)
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

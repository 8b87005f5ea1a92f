"""A calibration target on the plate, photographed by both cameras through lenses whose mapping is known exactly."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from ..imaging import Target
from ._cameras import Scene, Window, draw_pattern, photograph_fl, photograph_wl
from ._settings import SimSettings
from ._trays import plain_light

Points = npt.NDArray[np.float64]

_PX_PER_SQUARE = 128
_OVERSAMPLING = 2
_STEP = 4
_PAPER, _INK = 4.0, 0.3
"""Uptake units in FL: bright paper, dark ink; exchanged where the target is inverted."""


@dataclass(frozen=True, slots=True)
class Lens:
    """A camera that looks at the plate: size of its frame, pose, and radial distortion of its lens.

    The plate is the plane z = 0, in mm. The camera stands `distance_mm` above `looks_at_mm`, off the vertical by
    `tilt_deg` about the plate's x and y axes and turned by `roll_deg`. Distortion is Brown's: r (1 + k1 r^2 + k2 r^4)
    with r in units of the focal length. It is another model than the one that registration fits, on purpose.
    """

    size: tuple[int, int]
    focal_px: float
    distance_mm: float = 300.0
    looks_at_mm: tuple[float, float] = (0.0, 0.0)
    tilt_deg: tuple[float, float] = (0.0, 0.0)
    roll_deg: float = 0.0
    k1: float = 0.0
    k2: float = 0.0
    centre_off_px: tuple[float, float] = (0.0, 0.0)
    blur_px: float = 0.6

    def to_px(self, plate_mm: Points) -> Points:
        """Where points of the plate, float (N, 2) in mm, are in the frame: float (N, 2) px, pixel centres whole."""
        rotation, shift = self._pose()
        camera = np.column_stack([plate_mm, np.zeros(len(plate_mm))]) @ rotation.T + shift
        flat = camera[:, :2] / camera[:, 2:]
        r2 = (flat**2).sum(axis=1, keepdims=True)
        return np.asarray(self._middle() + self.focal_px * flat * (1 + self.k1 * r2 + self.k2 * r2**2))

    def to_plate(self, px: Points) -> Points:
        """The inverse of `to_px`, to 1e-9 px."""
        bent = (np.asarray(px, np.float64) - self._middle()) / self.focal_px
        flat = bent.copy()
        for _ in range(20):
            r2 = (flat**2).sum(axis=1, keepdims=True)
            flat = bent / (1 + self.k1 * r2 + self.k2 * r2**2)
        rotation, shift = self._pose()
        # A ray meets the plate where x and y of the plate solve [r1 r2 t] (x, y, 1) = depth * ray.
        homography = np.column_stack([rotation[:, :2], shift])
        plane = np.column_stack([flat, np.ones(len(flat))]) @ np.linalg.inv(homography).T
        return np.asarray(plane[:, :2] / plane[:, 2:])

    def _middle(self) -> Points:
        return np.array(
            [(side - 1) / 2 + off for side, off in zip(self.size, self.centre_off_px, strict=True)], np.float64
        )

    def _pose(self) -> tuple[Points, Points]:
        a, b, c = np.deg2rad([*self.tilt_deg, self.roll_deg])
        about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
        rotation = about_z @ about_y @ about_x
        return rotation, np.array([0, 0, self.distance_mm]) - rotation @ np.array([*self.looks_at_mm, 0.0])


FL_LENS = Lens((640, 512), 3000.0, tilt_deg=(2.0, -3.0), roll_deg=0.8, k1=0.55, k2=-2.0, centre_off_px=(4.0, -3.0))
"""About 0.1 mm/px, pincushion of about 1 % in the corners."""
WL_LENS = Lens(
    (1280, 720),
    3900.0,
    looks_at_mm=(0.8, -0.6),
    tilt_deg=(-2.5, 5.0),
    roll_deg=-1.5,
    k1=-0.7,
    k2=3.0,
    centre_off_px=(-9.0, 6.0),
    blur_px=0.7,
)
"""About 0.077 mm/px, from the side, barrel of about 2 % in the corners."""


@dataclass(frozen=True, slots=True)
class TargetPair:
    """Both photographs of a target, and the truth. SIMULATED."""

    fl: npt.NDArray[np.uint16]
    wl: npt.NDArray[np.uint8]
    fl_lens: Lens
    wl_lens: Lens

    def true_to_fl(self, wl_px: Points) -> Points:
        """Where pixels of the white-light frame lie in the FL frame, float (N, 2), without error."""
        return self.fl_lens.to_px(self.wl_lens.to_plate(wl_px))


def photograph_target(
    target: Target,
    rng: np.random.Generator,
    *,
    fl_lens: Lens = FL_LENS,
    wl_lens: Lens = WL_LENS,
    inverted_in_fl: bool = True,
    shift_mm: tuple[float, float] = (0.0, 0.0),
    turned_deg: float = 0.0,
    settings: SimSettings | None = None,
) -> TargetPair:
    """Photograph a target that lies on the plate.

    Noise, vignetting, hot pixels, offset and bit ranges are those of the simulator's cameras; a print does not scatter
    light as tissue does, so that part is off.

    Parameters
    ----------
    target : what is printed.
    inverted_in_fl : the ink is brighter than the paper in FL (a fluorescing print).
    shift_mm, turned_deg : the target's middle from the middle of the plate, and its turn.
    """
    settings = settings or SimSettings()
    picture = np.asarray(target.picture(_PX_PER_SQUARE) / 255, np.float32)
    ink, paper = (_PAPER, _INK) if inverted_in_fl else (_INK, _PAPER)
    in_fl = _seen(picture, target, fl_lens, shift_mm, turned_deg)
    in_wl = _seen(picture, target, wl_lens, shift_mm, turned_deg)
    emission = np.where(np.isnan(in_fl), settings.optics.plate_emission, ink + (paper - ink) * in_fl)
    plate = np.asarray(settings.colour.plate, np.float32)
    reflectance = np.where(np.isnan(in_wl)[..., None], plate, 0.04 + 0.76 * in_wl[..., None])
    fl_rng, wl_rng = rng.spawn(2)
    fl = _fl_photograph(np.asarray(emission, np.float32), fl_lens, settings, fl_rng)
    wl = _wl_photograph(np.asarray(reflectance, np.float32), wl_lens, settings, wl_rng)
    return TargetPair(fl, wl, fl_lens, wl_lens)


def _seen(
    picture: npt.NDArray[np.float32],
    target: Target,
    lens: Lens,
    shift_mm: tuple[float, float],
    turned_deg: float,
) -> npt.NDArray[np.float32]:
    """The print as it falls on the sensor before blur, 0 to 1, NaN off the sheet; each pixel is an average."""
    width, height = lens.size
    # Exact on a coarse grid, linear between: the lenses bend so gently that 4 px make an error of under 0.001 px.
    y, x = np.mgrid[-1 : height // _STEP + 1, -1 : width // _STEP + 1].astype(np.float64) * _STEP + (_STEP - 1) / 2
    px = np.stack([x.ravel(), y.ravel()], axis=1)
    angle = np.deg2rad(turned_deg)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    mm = (lens.to_plate(px) - shift_mm) @ turn.T
    middle = np.array([picture.shape[1], picture.shape[0]]) / 2
    # Row 0 of the picture has its centre half a pixel below the sheet's edge.
    coarse = (mm * (_PX_PER_SQUARE / target.square_mm) + middle - 0.5).astype(np.float32).reshape(*x.shape, 2)
    n = _STEP * _OVERSAMPLING
    places = cv2.resize(coarse, None, fx=n, fy=n, interpolation=cv2.INTER_LINEAR)[n:-n, n:-n]
    x_map, y_map = places[..., 0], places[..., 1]
    seen = cv2.remap(picture, x_map, y_map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=np.nan)
    return np.asarray(cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _fl_photograph(
    emission: npt.NDArray[np.float32], lens: Lens, settings: SimSettings, rng: np.random.Generator
) -> npt.NDArray[np.uint16]:
    shape = emission.shape[0], emission.shape[1]
    window = Window(0, 0, shape, 0.1, shape)
    optics = {"lens_blur_px": lens.blur_px, "far_share": 0.0, "near_blur_mm": 0.001}
    printed = settings.model_copy(update={"optics": settings.optics.model_copy(update=optics)})
    scene = Scene(emission, np.empty((0, 0, 3), np.float32), emission)
    light = replace(plain_light(), ambient=settings.optics.ambient)
    return photograph_fl(scene, window, light, draw_pattern(shape, settings, rng), printed, rng)


def _wl_photograph(
    reflectance: npt.NDArray[np.float32], lens: Lens, settings: SimSettings, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    shape = reflectance.shape[0], reflectance.shape[1]
    camera = settings.colour_camera.model_copy(update={"blur_px": lens.blur_px})
    sharp = settings.model_copy(update={"colour_camera": camera})
    scene = Scene(reflectance[..., 0], reflectance, reflectance[..., 0])
    return photograph_wl(scene, Window(0, 0, shape, 0.1, shape), plain_light(), sharp, rng)

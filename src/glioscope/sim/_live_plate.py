"""What simulated cameras look at: a plate with specimens, the truth about it, and the light in the room. SIMULATED."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from glioscope.core import InputError

from ._cameras import Window, _scatter, compose
from ._settings import SimSettings
from ._trays import TraySpecimen, _draw_specimens, _labels, _painted, _settled, _truth

_PATCH_MM = 14.0
_PLATE_PX, _PLATE_MM_PER_PX = 1500, 0.08
"""120 mm: what both cameras see at 300 mm, however the unit is turned. Farther out, plain plate goes on."""
_LAID_MM = (48.0, 60.0)
"""Rows and columns where specimens lie: in the FL frame at 300 mm."""
_MAX_SPECIMENS = 12

_F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Plate:
    """A plate with specimens, before any lens, and the truth. SIMULATED.

    Attributes
    ----------
    emission : float32 (N, N), uptake units, light scattered in the tissue.
    reflectance : float32 (N, N, 3), linear RGB.
    labels : uint16 (N, N), 0 plate, else `TraySpecimen.label` of the specimen on top.
    specimens : truth of each; boxes in px of the plate.
    """

    emission: _F32
    reflectance: _F32
    labels: npt.NDArray[np.uint16]
    specimens: tuple[TraySpecimen, ...]
    mm_per_px: float


@dataclass(frozen=True, slots=True)
class Ambient:
    """Room light that the FL camera sees on the plate.

    Attributes
    ----------
    level : mean, in uptake units: what tissue of that uptake emits at 50 mW/cm2. The room's usual is 0.15.
    gradient : it rises by this share from the middle to the right edge and falls by it to the left; 0 to 1.
    drift, drift_period_s : share by which it slowly swings, and how slowly.
    flicker, mains_hz : share by which it swings at twice the mains frequency.
    """

    level: float = 0.15
    gradient: float = 0.0
    drift: float = 0.0
    drift_period_s: float = 60.0
    flicker: float = 0.0
    mains_hz: float = 50.0

    def __post_init__(self) -> None:
        shares = (self.gradient, self.drift, self.flicker)
        if not self.level >= 0 or not all(0 <= share <= 1 for share in shares):
            raise InputError(f"ambient light of level {self.level} and shares {shares} is outside 0.. and 0 to 1")
        if not (self.drift_period_s > 0 and self.mains_hz > 0):
            raise InputError(f"ambient periods of {self.drift_period_s} s and {self.mains_hz} Hz must be above 0")

    def mean(self, end_s: float, exposure_ms: float) -> float:
        """Mean level over an exposure: the swings are integrated, so whole periods of the flicker cancel."""
        seconds = exposure_ms / 1000
        middle = end_s - seconds / 2
        swings = ((self.drift, 1 / self.drift_period_s), (self.flicker, 2 * self.mains_hz))
        swing = sum(share * np.sinc(hz * seconds) * np.cos(2 * np.pi * hz * middle) for share, hz in swings)
        return float(self.level * max(1 + swing, 0.0))


class LiveScene:
    """The plate that both cameras look at; `show` may be called while they stream."""

    def __init__(self, plate: Plate) -> None:
        self._empty = lay_plate(0, SimSettings(), np.random.default_rng(0))
        self.plate = plate

    def show(self, plate: Plate | None) -> None:
        """Change the plate; None is an empty one."""
        self.plate = plate if plate is not None else self._empty


def lay_plate(
    n_specimens: int, settings: SimSettings, rng: np.random.Generator, *, touching_share: float = 0.0
) -> Plate:
    """Lay specimens of a simulated cohort of its own on a plate of 120 mm, in its middle 60 x 48 mm.

    Raises
    ------
    InputError : a number out of range.
    """
    if not 0 <= n_specimens <= _MAX_SPECIMENS or not 0 <= touching_share <= 1:
        raise InputError(
            f"{n_specimens} specimens, {touching_share} of them touching, are outside 0 to {_MAX_SPECIMENS} and 0 to 1"
        )
    layout, painting, composing = rng.spawn(3)
    appearances, tumor = _draw_specimens(n_specimens, settings, layout)
    scale = _PLATE_MM_PER_PX
    frame = (round(_LAID_MM[0] / scale), round(_LAID_MM[1] / scale))
    radii = np.array([a.radius_mm for a in appearances]) / scale
    places = _settled(radii, frame, round(touching_share * n_specimens / 2), layout)
    places += (_PLATE_PX - np.array(frame)) / 2
    side = 2 * round(_PATCH_MM / scale / 2)
    placed = _painted(appearances, places, (side, side), scale, settings, painting)
    shape = (_PLATE_PX, _PLATE_PX)
    scene = compose(Window(0, 0, shape, scale, shape), placed, settings, composing)
    labels = _labels(placed, shape)
    return Plate(_scatter(scene.emission, scale, settings), scene.reflectance, labels, _truth(labels, tumor), scale)


def plate_mapping(
    mm_per_px: float, rotation_deg: float, shape: Sequence[int], plate_mm_per_px: float
) -> npt.NDArray[np.float64]:
    """From a pixel of a frame to the plate, (2, 3): about the middle of both, turned with the unit."""
    scale, angle = mm_per_px / plate_mm_per_px, np.deg2rad(rotation_deg)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([shape[1] - 1, shape[0] - 1]) / 2
    return np.column_stack([turn, (_PLATE_PX - 1) / 2 - turn @ middle])


def seen_labels(plate: Plate, mm_per_px: float, rotation_deg: float, shape: tuple[int, int]) -> npt.NDArray[np.uint16]:
    mapping = plate_mapping(mm_per_px, rotation_deg, shape, plate.mm_per_px)
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(plate.labels, mapping, shape[::-1], flags=flags), np.uint16)

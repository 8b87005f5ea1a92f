"""Trays: full frames with many specimens, some touching, and where each one is.

`write_trays` lays 5 to 10 specimens at random and writes files, whose bytes a seed fixes since the first version.
`render_tray` gives up to a hundred in memory; random laying finds no room for so many, so it pushes them apart instead.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ..core import InputError
from ._cameras import CameraPattern, Window, compose, draw_pattern, photograph_fl, photograph_wl
from ._design import draw_design
from ._fields import outline
from ._latents import Appearance, draw_appearance, draw_tissue
from ._render import Specimen, paint
from ._settings import SimSettings

_PATCH = (128, 160)
_TRIES = 200
_PATCH_MM = 14.0
_MAX_SPECIMENS = 500
_ROUNDS = 3000
_APART = 1.2
"""Least distance of two centres over the sum of their radii; lobes reach about 1.15 radii. Touching ones: `_TOUCH`."""
_TOUCH = 0.97
_TOUCH_PX = 2
_BLOOD_RADIUS_MM, _DIRT_RADIUS_MM = (0.8, 2.5), (0.1, 0.5)
_BLOOD, _DIRT = (0.20, 0.02, 0.015), (0.55, 0.55, 0.50)
"""Linear RGB of a drop of blood and of lint. Blood emits as little as the plate, lint about as weak tissue: assumed."""
_DIRT_EMISSION = 1.5
_COLUMNS = ("tray_id", "fl_image", "wl_image", "mm_per_px", "specimen_id", "x", "y", "w", "h", "touching", "data_kind")


_Placed = tuple[Specimen, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Place:
    row: float
    column: float
    radius: float
    touching: bool


@dataclass(frozen=True, slots=True)
class TraySpecimen:
    """Truth of one specimen: `box` x, y, w, h in px around what is seen of it, and whether another is within 2 px."""

    name: str
    label: int
    """Its value in `Tray.labels`."""
    box: tuple[int, int, int, int]
    touching: bool
    tumor: bool
    """True class of the tissue, not the label of pathology."""


@dataclass(frozen=True, slots=True)
class Tray:
    """A pair of full frames and the truth. SIMULATED."""

    fl: npt.NDArray[np.uint16]
    wl: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint16]
    """(rows, columns): 0 plate, else the label of the specimen on top (coverage above one half)."""
    specimens: tuple[TraySpecimen, ...]
    mm_per_px: float


def render_tray(
    n_specimens: int,
    frame: tuple[int, int],
    mm_per_px: float,
    settings: SimSettings,
    rng: np.random.Generator,
    *,
    touching_share: float = 0.25,
    n_blood: int = 0,
    n_dirt: int = 0,
) -> Tray:
    """Photograph one plate with many specimens of a simulated cohort of its own.

    Parameters
    ----------
    n_specimens : 0 (an empty plate) to 500.
    frame : rows and columns of both cameras, registered.
    mm_per_px : scale.
    touching_share : of the specimens, laid as pairs that touch; others may come to touch where lobes meet.
    n_blood, n_dirt : drops of blood (white light only) and specks of lint (both), of under 1 mm2, under the specimens.

    Returns
    -------
    FL uint16 and WL uint8 RGB of `frame`, label image, and the truth of every specimen.

    Raises
    ------
    InputError : a number out of range, or more specimens than the plate has room for.
    """
    if not 0 <= n_specimens <= _MAX_SPECIMENS:
        raise InputError(f"{n_specimens} specimens on a tray are outside the limits of 0 to {_MAX_SPECIMENS}")
    if not 0 <= touching_share <= 1 or min(n_blood, n_dirt) < 0:
        raise InputError(f"touching share {touching_share} is outside 0 to 1, or {n_blood} / {n_dirt} spots below 0")
    if min(frame) < 64 or not 0.01 <= mm_per_px <= 1:
        raise InputError(f"a frame of {frame} px at {mm_per_px} mm/px is outside 64 px a side and 0.01 to 1 mm/px")
    layout, painting, spotting, camera = rng.spawn(4)
    appearances, tumor = _draw_specimens(n_specimens, settings, layout)
    radii = np.array([a.radius_mm for a in appearances]) / mm_per_px
    places = _settled(radii, frame, round(touching_share * n_specimens / 2), layout)
    side = 2 * round(_PATCH_MM / mm_per_px / 2)
    placed = _painted(appearances, places, (side, side), mm_per_px, settings, painting)
    spots = _spots(n_blood, n_dirt, frame, mm_per_px, settings, spotting)
    pattern = draw_pattern(frame, settings, camera)
    fl, wl = _photographed(appearances, [*spots, *placed], pattern, frame, mm_per_px, settings, camera)
    labels = _labels(placed, frame)
    return Tray(fl, wl, labels, _truth(labels, tumor), mm_per_px)


def write_trays(
    folder: Path,
    n_trays: int,
    names: Sequence[str],
    appearances: Sequence[Appearance],
    frame: tuple[int, int],
    mm_per_px: float,
    settings: SimSettings,
    rng: np.random.Generator,
) -> None:
    """Write `n_trays` pairs of full frames and `trays.csv`; of two trays or more, the last plate is empty.

    `trays.csv` has one row a specimen: box `x, y, w, h` in pixels around its outline (coverage above one half), and
    whether it touches another. An empty plate has one row with a blank `specimen_id`.
    """
    from ._write import write_fl, write_wl

    pattern = draw_pattern(frame, settings, rng)
    (folder / "trays").mkdir()
    rows: list[dict[str, object]] = []
    for tray in range(n_trays):
        count = 0 if n_trays > 1 and tray == n_trays - 1 else int(rng.integers(5, 11))
        chosen = rng.choice(len(names), min(count, len(names)), replace=False)
        tray_id = f"T{tray + 1:03d}"
        paths = {"fl_image": f"trays/{tray_id}-fl.tif", "wl_image": f"trays/{tray_id}-wl.png"}
        fl, wl, boxes = _photograph([appearances[i] for i in chosen], pattern, frame, mm_per_px, settings, rng)
        write_fl(folder / paths["fl_image"], fl)
        write_wl(folder / paths["wl_image"], wl, level=1)
        shared = {"tray_id": tray_id, **paths, "mm_per_px": mm_per_px, "data_kind": "simulated"}
        rows += [{**shared, "specimen_id": names[i], **box} for i, box in zip(chosen, boxes, strict=False)]
        if not boxes:
            rows.append(shared)
    with (folder / "trays.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=_COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _photograph(
    appearances: Sequence[Appearance],
    pattern: CameraPattern,
    frame: tuple[int, int],
    mm_per_px: float,
    settings: SimSettings,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint8], list[dict[str, object]]]:
    places = _arrange([a.radius_mm / mm_per_px for a in appearances], frame, rng)
    centres = np.array([(place.row, place.column) for place in places]).reshape(-1, 2)
    laid = appearances[: len(places)]
    placed = _painted(laid, centres, _PATCH, mm_per_px, settings, rng)
    boxes = [
        {**_box(specimen, corner), "touching": int(place.touching)}
        for (specimen, corner), place in zip(placed, places, strict=True)
    ]
    return *_photographed(appearances, placed, pattern, frame, mm_per_px, settings, rng), boxes


def _painted(
    appearances: Sequence[Appearance],
    centres: npt.NDArray[np.float64],
    patch: tuple[int, int],
    mm_per_px: float,
    settings: SimSettings,
    rng: np.random.Generator,
) -> list[_Placed]:
    """Specimens on patches of their own, each with the (row, column) of its patch's corner in the frame."""
    middle = (patch[0] / 2, patch[1] / 2)
    return [
        (
            paint(appearance, patch, middle, mm_per_px, settings, rng.spawn(1)[0]),
            (round(row) - patch[0] // 2, round(column) - patch[1] // 2),
        )
        for appearance, (row, column) in zip(appearances, centres, strict=True)
    ]


def _photographed(
    appearances: Sequence[Appearance],
    placed: Sequence[_Placed],
    pattern: CameraPattern,
    frame: tuple[int, int],
    mm_per_px: float,
    settings: SimSettings,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint8]]:
    window = Window(0, 0, frame, mm_per_px, frame)
    # One exposure for the whole plate, so one ambient light and one lamp.
    lamp = replace(appearances[0] if appearances else plain_light(), ambient=settings.optics.ambient, light=1.0)
    scene = compose(window, placed, settings, rng)
    fl = photograph_fl(scene, window, lamp, pattern, settings, rng)
    return fl, photograph_wl(scene, window, lamp, settings, rng)


def _arrange(radii: Sequence[float], frame: tuple[int, int], rng: np.random.Generator) -> list[_Place]:
    """Places apart from each other, about every fourth pushed against its neighbour; drops what finds no room."""
    places: list[_Place] = []
    for radius in radii:
        margin = 1.35 * radius
        for _ in range(_TRIES):
            row, column = rng.uniform(margin, frame[0] - margin), rng.uniform(margin, frame[1] - margin)
            touching = bool(places) and bool(rng.random() < 0.25)
            if touching:
                other = places[-1]
                angle = rng.uniform(0, 2 * np.pi)
                reach = 0.97 * (radius + other.radius)
                row, column = other.row + reach * np.sin(angle), other.column + reach * np.cos(angle)
            inside = margin <= row <= frame[0] - margin and margin <= column <= frame[1] - margin
            rest = places[:-1] if touching else places
            if inside and all(np.hypot(row - p.row, column - p.column) > 1.3 * (radius + p.radius) for p in rest):
                if touching:
                    places[-1] = replace(places[-1], touching=True)
                places.append(_Place(float(row), float(column), radius, touching))
                break
    return places


def _box(specimen: Specimen, corner: tuple[int, int]) -> dict[str, object]:
    rows, columns = np.nonzero(specimen.coverage > 0.5)
    return {
        "x": int(columns.min()) + corner[1],
        "y": int(rows.min()) + corner[0],
        "w": int(np.ptp(columns)) + 1,
        "h": int(np.ptp(rows)) + 1,
    }


def _draw_specimens(
    n_specimens: int, settings: SimSettings, rng: np.random.Generator
) -> tuple[list[Appearance], npt.NDArray[np.bool_]]:
    """Appearances and true classes of specimens drawn from a cohort of four patients or more."""
    n_patients = max(4, n_specimens // 40)
    design = draw_design(n_patients, max(10 * n_patients, n_specimens), settings, rng)
    columns = draw_appearance(design, draw_tissue(design, settings, rng), settings, rng)
    chosen = rng.choice(len(design.patient), n_specimens, replace=False)
    drawn = [Appearance(**{name: float(values[i]) for name, values in columns.items()}) for i in chosen]
    return drawn, design.true_tumor[chosen]


def _settled(
    radii: npt.NDArray[np.float64], frame: tuple[int, int], n_pairs: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Centres (row, column), px: from random places, discs push each other apart; those of a pair hold together.

    The first `2 * n_pairs` are pairs.
    """
    n, bounds = len(radii), np.array(frame, np.float64)
    wall = 1.25 * radii[:, None]  # lobes and blur keep off the rim
    if n and (2 * wall.max() >= bounds.min()):
        raise InputError(f"a specimen of {2 * radii.max():.0f} px does not fit a frame of {frame[1]} x {frame[0]} px")
    centres = wall + rng.random((n, 2)) * (bounds - 2 * wall)
    reach = _APART * (radii[:, None] + radii)
    pair = np.zeros((n, n), np.bool_)
    first = np.arange(0, 2 * n_pairs, 2)
    centres[first + 1] = centres[first] + rng.uniform(-1.0, 1.0, (n_pairs, 2))
    pair[first, first + 1] = pair[first + 1, first] = True
    reach[pair] *= _TOUCH / _APART
    np.fill_diagonal(reach, 0.0)
    overlap = np.zeros((n, n))
    for _ in range(_ROUNDS):
        gap = centres[:, None] - centres
        distance = np.hypot(gap[..., 0], gap[..., 1]) + 1e-6
        overlap = np.where(pair, reach - distance, np.maximum(reach - distance, 0.0))
        if np.abs(overlap).max(initial=0.0) < 1.0:
            return centres
        centres += 0.3 * (gap * (overlap / distance)[..., None]).sum(axis=1)
        centres = np.clip(centres, wall, bounds - wall)
    left = np.abs(overlap).max()
    raise InputError(f"{n} specimens find no room on {frame[1]} x {frame[0]} px: they still overlap by {left:.0f} px")


def _spots(
    n_blood: int,
    n_dirt: int,
    frame: tuple[int, int],
    mm_per_px: float,
    settings: SimSettings,
    rng: np.random.Generator,
) -> list[_Placed]:
    """Drops of blood and specks of lint at random places of the plate."""
    kinds = [(_BLOOD_RADIUS_MM, settings.optics.plate_emission, _BLOOD)] * n_blood
    kinds += [(_DIRT_RADIUS_MM, _DIRT_EMISSION, _DIRT)] * n_dirt
    spots: list[_Placed] = []
    for radii, emission, colour in kinds:
        radius = rng.uniform(*radii) / mm_per_px
        side = 2 * round(1.5 * radius) + 4
        coverage, _ = outline((side, side), (side / 2, side / 2), radius, 0.1, rng)
        painted = np.full((side, side), emission, np.float32)
        reflectance = np.broadcast_to(np.asarray(colour, np.float32), (side, side, 3))
        corner = (int(rng.integers(-side // 2, frame[0])), int(rng.integers(-side // 2, frame[1])))
        spots.append((Specimen(coverage, painted, np.asarray(reflectance)), corner))
    return spots


def _labels(placed: Sequence[_Placed], frame: tuple[int, int]) -> npt.NDArray[np.uint16]:
    """Which specimen is on top of each pixel: 1, 2, ... in the order they were laid; 0 for plate."""
    labels = np.zeros(frame, np.uint16)
    for number, (specimen, (row, column)) in enumerate(placed, start=1):
        rows, columns = np.nonzero(specimen.coverage > 0.5)
        rows, columns = rows + row, columns + column
        inside = (rows >= 0) & (rows < frame[0]) & (columns >= 0) & (columns < frame[1])
        labels[rows[inside], columns[inside]] = number
    return labels


def _truth(labels: npt.NDArray[np.uint16], tumor: npt.NDArray[np.bool_]) -> tuple[TraySpecimen, ...]:
    near = np.ones((2 * _TOUCH_PX + 1, 2 * _TOUCH_PX + 1), np.uint8)
    truth: list[TraySpecimen] = []
    for label, is_tumor in enumerate(tumor, start=1):
        mask = np.asarray(labels == label, np.uint8)
        x, y, w, h = cv2.boundingRect(mask)
        around = (slice(max(y - _TOUCH_PX, 0), y + h + _TOUCH_PX), slice(max(x - _TOUCH_PX, 0), x + w + _TOUCH_PX))
        rim = labels[around][cv2.dilate(mask[around], near) > 0]
        touching = bool(((rim != 0) & (rim != label)).any())
        truth.append(TraySpecimen(f"S{label:03d}", label, (x, y, w, h), touching, bool(is_tumor)))
    return tuple(truth)


def plain_light() -> Appearance:
    """An appearance of which only the light counts, for a plate without specimens."""
    values = dict.fromkeys(Appearance.__slots__, 0.0)
    return Appearance(**{**values, "light": 1.0, "cast_red": 1.0, "cast_green": 1.0, "cast_blue": 1.0})

"""Trays: full frames with many specimens, some touching, and where each one is."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ._cameras import CameraPattern, Window, compose, draw_pattern, photograph_fl, photograph_wl
from ._latents import Appearance
from ._render import Specimen, paint
from ._settings import SimSettings

_PATCH = (128, 160)
_TRIES = 200
_COLUMNS = ("tray_id", "fl_image", "wl_image", "mm_per_px", "specimen_id", "x", "y", "w", "h", "touching", "data_kind")


@dataclass(frozen=True, slots=True)
class _Place:
    row: float
    column: float
    radius: float
    touching: bool


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
    window = Window(0, 0, frame, mm_per_px, frame)
    places = _arrange([a.radius_mm / mm_per_px for a in appearances], frame, rng)
    placed: list[tuple[Specimen, tuple[int, int]]] = []
    boxes: list[dict[str, object]] = []
    for appearance, place in zip(appearances, places, strict=False):
        corner = (round(place.row) - _PATCH[0] // 2, round(place.column) - _PATCH[1] // 2)
        centre = (_PATCH[0] / 2, _PATCH[1] / 2)
        specimen = paint(appearance, _PATCH, centre, mm_per_px, settings, rng.spawn(1)[0])
        placed.append((specimen, corner))
        boxes.append({**_box(specimen, corner), "touching": int(place.touching)})
    # One exposure for the whole plate, so one ambient light and one lamp.
    lamp = replace(appearances[0] if appearances else _lamp(), ambient=settings.optics.ambient, light=1.0)
    scene = compose(window, placed, settings, rng)
    fl = photograph_fl(scene, window, lamp, pattern, settings, rng)
    return fl, photograph_wl(scene, window, lamp, settings, rng), boxes


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


def _lamp() -> Appearance:
    """An appearance of which only the light counts, for an empty plate."""
    values = dict.fromkeys(Appearance.__slots__, 0.0)
    return Appearance(**{**values, "light": 1.0, "cast_red": 1.0, "cast_green": 1.0, "cast_blue": 1.0})

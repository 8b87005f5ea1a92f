"""Specimens of which one part is tumour and the rest normal brain: the truth that a map of evidence is judged by.

`simulate` draws one tissue a specimen, as pathology labels one; here two appearances of one patient are painted on the
same outline, joined along a smooth border, and photographed as `simulate` does. Nothing is written.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from ..core import InputError
from ._cameras import Window, compose, draw_pattern, photograph_fl, photograph_wl
from ._design import draw_design
from ._fields import Image, gaussian_field
from ._latents import CARRIED, Appearance, draw_appearance, draw_tissue
from ._render import Specimen, paint
from ._settings import SimSettings

_BORDER_MM = 0.15
"""Width of the border: how far infiltration fades."""
_WAVE_MM = 1.2
_WAVE = 0.35
"""Amplitude of the border's waves over the specimen's radius."""
_SHARES = (0.05, 0.95)
_TISSUE = frozenset({*CARRIED["fusion"], "fl_texture"})
"""What differs between the two parts; outline, thickness, light and lamp are the specimen's."""


@dataclass(frozen=True, slots=True, eq=False)
class MixedSpecimen:
    """A pair of images and where the tumour is, (rows, columns) each. SIMULATED."""

    fl: npt.NDArray[np.uint16]
    wl: npt.NDArray[np.uint8]
    """(rows, columns, 3) RGB."""
    tumor: npt.NDArray[np.bool_]
    specimen: npt.NDArray[np.bool_]
    """Coverage above one half; holds `tumor`."""
    mm_per_px: float


def draw_mixed_pairs(
    n_pairs: int, settings: SimSettings, rng: np.random.Generator
) -> list[tuple[Appearance, Appearance]]:
    """Tumour and normal tissue of the same patient, `n_pairs` times, from a simulated cohort drawn for it.

    True classes count, not the labels of pathology.

    Raises
    ------
    InputError : fewer than one pair.
    """
    if n_pairs < 1:
        raise InputError(f"{n_pairs} mixed specimens are too few: at least 1")
    n_patients = max(4, n_pairs // 10)
    design = draw_design(n_patients, max(40 * n_patients, 4 * n_pairs), settings, rng)
    columns = draw_appearance(design, draw_tissue(design, settings, rng), settings, rng)
    kinds = (design.true_tumor, ~design.true_tumor)
    both = [p for p in range(n_patients) if all((kind & (design.patient == p)).any() for kind in kinds)]
    pairs = []
    for number in range(n_pairs):
        patient = both[number % len(both)]
        chosen = [int(rng.choice(np.flatnonzero(kind & (design.patient == patient)))) for kind in kinds]
        tumor, normal = (Appearance(**{name: float(c[i]) for name, c in columns.items()}) for i in chosen)
        pairs.append((tumor, normal))
    return pairs


def render_mixed(
    tumor: Appearance,
    normal: Appearance,
    size: tuple[int, int],
    settings: SimSettings,
    rng: np.random.Generator,
    *,
    tumor_share: float = 0.4,
) -> MixedSpecimen:
    """Photograph one specimen that is `tumor` in a part of it and `normal` in the rest.

    Parameters
    ----------
    tumor, normal : tissue of the two parts; outline, thickness and light are those of `normal`.
    size : width and height in px, 32 to 512; the scale is as `simulate` chooses it for this size.
    tumor_share : of the specimen's area, 0.05 to 0.95.

    Returns
    -------
    FL uint16, WL uint8 RGB, tumour and specimen masks.

    Raises
    ------
    InputError : size or share out of range.
    """
    if not all(32 <= side <= 512 for side in size):
        raise InputError(f"image size {size[0]} x {size[1]} px is outside the limits of 32 to 512 px a side")
    if not _SHARES[0] <= tumor_share <= _SHARES[1]:
        raise InputError(f"a tumour share of {tumor_share} is outside the limits of {_SHARES[0]} to {_SHARES[1]}")
    tumor = replace(normal, **{f.name: getattr(tumor, f.name) for f in fields(Appearance) if f.name in _TISSUE})
    window = _window(size, settings)
    painting, border, sensor, plate, fl_noise, wl_noise = rng.spawn(6)
    # One seed for both paintings: one outline, one course of vessels and light across the border.
    seed = int(painting.integers(2**63))
    middle = (window.shape[0] / 2, window.shape[1] / 2)
    first, second = (
        paint(a, window.shape, middle, window.mm_per_px, settings, np.random.default_rng(seed)) for a in (tumor, normal)
    )
    weight = _tumor_weight(first.coverage, normal.radius_mm, window.mm_per_px, tumor_share, border)
    scene = compose(window, [(_joined(first, second, weight), (0, 0))], settings, plate)
    pattern = draw_pattern(window.frame, settings, sensor)
    fl = photograph_fl(scene, window, normal, pattern, settings, fl_noise)
    wl = photograph_wl(scene, window, normal, settings, wl_noise)
    inside = first.coverage > 0.5
    return MixedSpecimen(fl, wl, inside & (weight > 0.5), inside, window.mm_per_px)


def _window(size: tuple[int, int], settings: SimSettings) -> Window:
    """The middle of the full frame at the scale that `simulate` uses for images of this size."""
    from ._write import _scale

    frame, shape, mm_per_px = _scale(size, "cut", settings)
    return Window((frame[0] - shape[0]) // 2, (frame[1] - shape[1]) // 2, shape, mm_per_px, frame)


def _tumor_weight(
    coverage: Image, radius_mm: float, mm_per_px: float, share: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """1 in the tumour, 0 in normal tissue: a waved line across the specimen that leaves `share` of it on one side."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[: coverage.shape[0], : coverage.shape[1]].astype(np.float32)
    along = (x * np.cos(angle) + y * np.sin(angle)) * mm_per_px / radius_mm
    level = along + _WAVE * gaussian_field((coverage.shape[0], coverage.shape[1]), _WAVE_MM / mm_per_px, rng)
    cut = np.quantile(level[coverage > 0.5], 1 - share)
    distance = np.clip((level - cut) * radius_mm / _BORDER_MM, -30, 30)
    return np.asarray(1 / (1 + np.exp(-distance)), np.float32)


def _joined(tumor: Specimen, normal: Specimen, weight: npt.NDArray[np.float32]) -> Specimen:
    emission = normal.emission + weight * (tumor.emission - normal.emission)
    reflectance = normal.reflectance + weight[..., None] * (tumor.reflectance - normal.reflectance)
    return Specimen(normal.coverage, emission, reflectance)

"""Light on the plate, lens, and the two cameras: from emission and reflectance to counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ._latents import Appearance
from ._render import Specimen
from ._settings import SimSettings


@dataclass(frozen=True, slots=True)
class CameraPattern:
    """What is fixed in one InGaAs sensor: column gains and hot pixels of the full frame."""

    column_gain: npt.NDArray[np.float32]
    hot_adu: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Window:
    """Part of the full frame: row and column of its corner, its shape, and the scale."""

    row: int
    column: int
    shape: tuple[int, int]
    mm_per_px: float
    frame: tuple[int, int]
    """Rows and columns of the full frame at this scale."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A plate with painted specimens, before the lens; arrays of the window's shape."""

    emission: npt.NDArray[np.float32]
    reflectance: npt.NDArray[np.float32]
    coverage: npt.NDArray[np.float32]


def draw_pattern(frame: tuple[int, int], settings: SimSettings, rng: np.random.Generator) -> CameraPattern:
    """Draw the fixed pattern of a sensor of `frame` (rows, columns)."""
    camera = settings.infrared
    rows, columns = frame
    gain = 1 + camera.column_gain_sd * rng.standard_normal(columns)
    hot = np.zeros(frame, dtype=np.float32)
    density = camera.hot_pixels / (camera.rows * camera.columns)
    count = round(density * rows * columns)
    places = rng.choice(rows * columns, count, replace=False)
    hot.flat[places] = rng.uniform(*camera.hot_pixel_adu, count)
    return CameraPattern(gain.astype(np.float32), hot)


def compose(
    window: Window, placed: Sequence[tuple[Specimen, tuple[int, int]]], settings: SimSettings, rng: np.random.Generator
) -> Scene:
    """Lay specimens on an empty plate; each comes with the (row, column) of its patch's corner in the window."""
    rows, columns = window.shape
    emission = np.full(window.shape, settings.optics.plate_emission, dtype=np.float32)
    reflectance = np.empty((rows, columns, 3), dtype=np.float32)
    reflectance[:] = np.asarray(settings.colour.plate, dtype=np.float32)
    grain = rng.standard_normal(window.shape, dtype=np.float32)
    reflectance *= (1 + 0.08 * cv2.GaussianBlur(grain, (0, 0), 0.8))[..., None]
    coverage = np.zeros(window.shape, dtype=np.float32)
    for specimen, (row, column) in placed:
        height, width = specimen.coverage.shape
        top, left = max(row, 0), max(column, 0)
        bottom, right = min(row + height, rows), min(column + width, columns)
        if bottom <= top or right <= left:
            continue
        inside = (slice(top, bottom), slice(left, right))
        patch = (slice(top - row, bottom - row), slice(left - column, right - column))
        share = specimen.coverage[patch]
        emission[inside] += share * (specimen.emission[patch] - emission[inside])
        reflectance[inside] += share[..., None] * (specimen.reflectance[patch] - reflectance[inside])
        coverage[inside] = np.maximum(coverage[inside], share)
    return Scene(emission, reflectance, coverage)


def photograph_fl(
    scene: Scene,
    window: Window,
    appearance: Appearance,
    pattern: CameraPattern,
    settings: SimSettings,
    rng: np.random.Generator,
) -> npt.NDArray[np.uint16]:
    """What the InGaAs camera gives: (rows, columns) uint16 counts."""
    optics, camera = settings.optics, settings.infrared
    focused = _scatter(scene.emission, window.mm_per_px, settings)
    focused = np.asarray(cv2.GaussianBlur(focused, (0, 0), optics.lens_blur_px), dtype=np.float32)
    light = (focused + appearance.ambient) * vignette(window, optics.vignetting)
    photons = camera.photons_per_unit * camera.exposure_ms / 100.0 * light
    columns = slice(window.column, window.column + window.shape[1])
    rows = slice(window.row, window.row + window.shape[0])
    electrons = camera.quantum_efficiency * photons * pattern.column_gain[columns]
    electrons += camera.dark_current * camera.exposure_ms / 1000.0
    # Shot noise of thousands of electrons is normal to a part in a hundred, and much faster drawn so.
    noise = np.sqrt(electrons + camera.read_noise**2) * rng.standard_normal(window.shape, dtype=np.float32)
    counts = (electrons + noise) / camera.electrons_per_adu + camera.offset_adu + pattern.hot_adu[rows, columns]
    return np.asarray(np.clip(np.rint(counts), 0, 2**camera.bits - 1), dtype=np.uint16)


def photograph_wl(
    scene: Scene, window: Window, appearance: Appearance, settings: SimSettings, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """What the colour camera gives: (rows, columns, 3) uint8 sRGB."""
    camera = settings.colour_camera
    cast = np.asarray([appearance.cast_red, appearance.cast_green, appearance.cast_blue], dtype=np.float32)
    linear = cv2.GaussianBlur(scene.reflectance, (0, 0), camera.blur_px)
    linear = linear * (camera.exposure * appearance.light) * cast
    linear *= vignette(window, 0.5 * settings.optics.vignetting)[..., None]
    electrons = camera.full_scale_electrons * linear
    variance = np.maximum(electrons, 0) + camera.read_noise**2
    electrons += np.sqrt(variance) * rng.standard_normal(linear.shape, dtype=np.float32)
    linear = np.clip(electrons / camera.full_scale_electrons, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(255 * encoded), dtype=np.uint8)


def vignette(window: Window, loss: float) -> npt.NDArray[np.float32]:
    """Transmission of the lens over the window: 1 in the middle of the full frame, 1 - `loss` at its corners."""
    rows, columns = window.frame
    y = (np.arange(window.row, window.row + window.shape[0], dtype=np.float32) - rows / 2)[:, None]
    x = (np.arange(window.column, window.column + window.shape[1], dtype=np.float32) - columns / 2)[None, :]
    return np.asarray(1 - loss * (y**2 + x**2) / ((rows / 2) ** 2 + (columns / 2) ** 2), dtype=np.float32)


def _scatter(emission: npt.NDArray[np.float32], mm_per_px: float, settings: SimSettings) -> npt.NDArray[np.float32]:
    optics = settings.optics
    near = cv2.GaussianBlur(emission, (0, 0), optics.near_blur_mm / mm_per_px)
    far = cv2.GaussianBlur(emission, (0, 0), optics.far_blur_mm / mm_per_px)
    return np.asarray((1 - optics.far_share) * near + optics.far_share * far, dtype=np.float32)

"""From the appearance of a specimen to what it emits (fluorescence) and reflects (white light)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ._fields import Image, gaussian_field, outline, patches
from ._latents import Appearance
from ._settings import SimSettings


@dataclass(frozen=True, slots=True)
class Specimen:
    """One painted specimen on its own patch of pixels, before optics and sensor."""

    coverage: Image
    """(rows, columns) float32 in [0, 1]."""
    emission: Image
    """(rows, columns) float32, uptake units."""
    reflectance: npt.NDArray[np.float32]
    """(rows, columns, 3) float32 linear RGB."""


def paint(
    appearance: Appearance,
    shape: tuple[int, int],
    centre: tuple[float, float],
    mm_per_px: float,
    settings: SimSettings,
    rng: np.random.Generator,
) -> Specimen:
    """Paint one specimen; `centre` is (row, column) of its middle within the patch of `shape`."""
    # Separate streams, so that a change in one picture leaves the others as they were.
    streams = rng.spawn(4)
    coverage, rho = outline(shape, centre, appearance.radius_mm / mm_per_px, settings.geometry.lobes_sd, streams[0])
    thickness = appearance.thickness_mm * np.sqrt(np.clip(1 - 0.9 * rho**2, 0.02, 1))
    # Dead tissue sits in the same places in both pictures; how much of it each shows is its own.
    dead = gaussian_field(shape, 0.55 / mm_per_px, streams[1])
    emission = _emission(appearance, dead, thickness, mm_per_px, settings, streams[2])
    reflectance = _reflectance(appearance, dead, rho, mm_per_px, settings, streams[3])
    return Specimen(coverage, emission, reflectance)


def _emission(
    appearance: Appearance,
    dead: Image,
    thickness: npt.NDArray[np.float32],
    mm_per_px: float,
    settings: SimSettings,
    rng: np.random.Generator,
) -> Image:
    fl = settings.fl
    texture = gaussian_field(
        dead.shape,
        float(np.exp(appearance.fl_log_grain)) / mm_per_px,
        rng,
        log_elongation=softplus(appearance.fl_streak),
        angle=rng.uniform(0, np.pi),
    )
    amplitude = appearance.fl_texture
    uptake = np.exp(appearance.fl_log_intensity + amplitude * texture - amplitude**2 / 2)
    alive = 1 - fl.necrosis_darkness * patches(dead, sigmoid(appearance.fl_necrosis))
    depth = settings.optics.depth_mm
    reached = (1 - np.exp(-thickness / depth)) / (1 - np.exp(-3.0 / depth))
    return np.asarray(uptake * alive * reached, dtype=np.float32)


def _reflectance(
    appearance: Appearance,
    dead: Image,
    rho: Image,
    mm_per_px: float,
    settings: SimSettings,
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    colour = settings.colour
    shape = dead.shape
    # Lamination: bands of white and grey matter, which tumour effaces.
    bands = gaussian_field(shape, 0.5 / mm_per_px, rng, log_elongation=0.7, angle=rng.uniform(0, np.pi))
    grey = sigmoid_image(1.0 * rng.standard_normal() * 0.8 + float(np.exp(appearance.wl_lamination)) * 2.2 * bands)
    base = _mix(colour.white_matter, colour.grey_matter, grey)
    cloud = gaussian_field(shape, 0.9 / mm_per_px, rng)
    greying = sigmoid_image(appearance.wl_greying + 0.5 * cloud)
    base += greying[..., None] * (np.asarray(colour.tumor, dtype=np.float32) - base)
    yellow = patches(dead, sigmoid(appearance.wl_necrosis), softness=0.5)
    base += 0.9 * yellow[..., None] * (np.asarray(colour.necrosis, dtype=np.float32) - base)
    blood = _blood(appearance, yellow, mm_per_px, rng)
    mu = np.asarray(colour.blood_absorption_per_mm, dtype=np.float32) * np.asarray(colour.path_mm, dtype=np.float32)
    base *= np.exp(-mu * blood[..., None])
    relief = 0.86 + 0.14 * np.sqrt(np.clip(1 - 0.9 * rho**2, 0, 1))
    base *= relief[..., None]
    base += _highlights(rho, mm_per_px, rng)[..., None]
    return np.clip(base, 0, 1).astype(np.float32)


def _blood(appearance: Appearance, yellow: Image, mm_per_px: float, rng: np.random.Generator) -> Image:
    """Volume fraction of blood: capillaries, vessels and small bleedings."""
    shape = yellow.shape
    pools = gaussian_field(shape, 0.7 / mm_per_px, rng)
    blood = np.exp(appearance.wl_log_blood + 0.35 * pools - 0.06) * (1 - 0.5 * yellow)
    # Vessels lie where a smooth field changes sign; branching makes the field finer.
    scale = 0.75 * float(np.exp(-0.28 * np.clip(appearance.wl_branching, -2.5, 2.5)))
    tree = gaussian_field(shape, scale / mm_per_px, rng)
    width = np.float32(0.055 / scale * 0.75)
    presence = sigmoid_image(2.0 * gaussian_field(shape, 1.1 / mm_per_px, rng) + 1.2 * appearance.wl_log_vessels - 1.5)
    blood += 0.07 * presence * np.exp(-0.5 * (tree / width) ** 2)
    # Mottle: fine dots, more and stronger with proliferation.
    dots = patches(gaussian_field(shape, 0.13 / mm_per_px, rng), 0.06, softness=0.5)
    blood += 0.028 * float(np.exp(0.55 * np.clip(appearance.wl_mottle, -3, 3))) * dots
    return np.asarray(blood, dtype=np.float32)


def _highlights(rho: Image, mm_per_px: float, rng: np.random.Generator) -> Image:
    """Reflections of the lamp on the moist surface."""
    waves = gaussian_field(rho.shape, 0.16 / mm_per_px, rng)
    lamp = np.exp(-(((rho - rng.uniform(0.3, 0.6)) / 0.25) ** 2))
    return np.asarray(0.55 * patches(waves, 0.012, softness=0.3) * lamp, dtype=np.float32)


def _mix(
    first: tuple[float, float, float], second: tuple[float, float, float], share: Image
) -> npt.NDArray[np.float32]:
    a, b = np.asarray(first, dtype=np.float32), np.asarray(second, dtype=np.float32)
    return np.asarray(a + share[..., None] * (b - a), dtype=np.float32)


def softplus(value: float) -> float:
    """log(1 + exp(4 v)) / 4: v above zero, nearly none below."""
    return float(np.logaddexp(0.0, 4.0 * value) / 4.0)


def sigmoid(value: float) -> float:
    """1 / (1 + exp(-v))."""
    return float(1 / (1 + np.exp(-value)))


def sigmoid_image(value: npt.NDArray[np.float32]) -> Image:
    """1 / (1 + exp(-v)) of an array."""
    return np.asarray(1 / (1 + np.exp(-value)), dtype=np.float32)

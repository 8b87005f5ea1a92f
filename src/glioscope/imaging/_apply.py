"""A plan applied to an image: the one place where the order of steps is written down."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import FLPlan, ImageError, PlanRecord, WLPlan

from ._canvas import place, to_uint8
from ._images import Pixels, RawImage
from ._normalise import autocontrast, normalise
from ._offset import divide_flat, estimate_offset, subtract_dark
from ._pixels import denoise, estimate_noise, repair_hot_pixels

REFERENCE_EXPOSURE_MS = 100.0
REFERENCE_IRRADIANCE_MW_CM2 = 50.0
"""Scaled counts are counts as at 100 ms and 50 mW/cm2 (the paper's irradiance), so that one white fits both."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image ready to be stacked for the network, and what the plan measured and decided on it.

    `image`: uint8 (S, S) for FL, (S, S, 3) RGB for WL.
    """

    image: NDArray[np.uint8]
    record: PlanRecord


def apply_fl_plan(
    plan: FLPlan,
    image: RawImage,
    *,
    exposure_ms: float | None = None,
    irradiance_mw_cm2: float | None = None,
    dark: Pixels | None = None,
    flat: Pixels | None = None,
) -> Prepared:
    """Apply a fluorescence plan; the same image and plan give the same bytes, whatever the number of threads.

    Parameters
    ----------
    plan : the settings; see `FLPlan` for the order of steps.
    image : uint16 (H, W).
    exposure_ms, irradiance_mw_cm2 : needed if `plan.per_exposure`, ignored otherwise.
    dark, flat : frames of the image's size in counts. With a dark frame the offset left is ambient light.

    Raises
    ------
    ImageError : exposure or irradiance missing or not positive where needed; dark or flat frame of another size.
    """
    counts, offset, hot = fl_signal(
        plan, image, exposure_ms=exposure_ms, irradiance_mw_cm2=irradiance_mw_cm2, dark=dark, flat=flat
    )
    values = normalise(counts, plan.normalisation, _white(plan, image, offset))
    noise = 0.0
    denoised = False
    if plan.denoise.mode != "off":
        noise = estimate_noise(values, values > 0)
        denoised = plan.denoise.mode == "always" or noise > plan.denoise.needed_above
        if denoised:
            values = denoise(values, noise, plan.denoise.strength)
    values, contrast, gain = autocontrast(values, plan.autocontrast)
    record = PlanRecord(
        offset=offset,
        hot_pixels=hot,
        noise=noise,
        contrast=contrast,
        denoised=denoised,
        autocontrast_gain=gain,
        saturated_fraction=float(np.count_nonzero(image.pixels >= image.white_level)) / image.pixels.size,
    )
    return Prepared(to_uint8(place(values, plan.canvas)), record)


def apply_wl_plan(plan: WLPlan, image: RawImage) -> Prepared:
    """Apply a white-light plan: the canvas only. `image`: uint8 (H, W, 3) RGB."""
    white = cv2.inRange(image.pixels, (image.white_level,) * 3, (255, 255, 255))
    saturated = cv2.countNonZero(white) / white.size
    placed = np.ascontiguousarray(place(image.pixels, plan.canvas))
    return Prepared(placed, PlanRecord(saturated_fraction=saturated))


def fl_signal(
    plan: FLPlan,
    image: RawImage,
    *,
    exposure_ms: float | None = None,
    irradiance_mw_cm2: float | None = None,
    dark: Pixels | None = None,
    flat: Pixels | None = None,
) -> tuple[NDArray[np.float32], float, int]:
    """The counts that a plan normalises: it is their scale that `FLPlan.normalisation.white` is on.

    Parameters and errors are those of `apply_fl_plan`.

    Returns
    -------
    float32 (H, W) counts above the offset (scaled to 100 ms and 50 mW/cm2 if `plan.per_exposure`), the offset in
    stored counts, and the number of repaired pixels.
    """
    counts, offset, hot = _above_offset(plan, image, dark, flat)
    if plan.per_exposure:
        counts = counts * np.float32(_exposure_factor(image, exposure_ms, irradiance_mw_cm2))
    return counts, offset, hot


def _above_offset(
    plan: FLPlan, image: RawImage, dark: Pixels | None, flat: Pixels | None
) -> tuple[NDArray[np.float32], float, int]:
    pixels, hot = repair_hot_pixels(image.pixels) if plan.repair_hot_pixels else (image.pixels, 0)
    if dark is None:
        offset = estimate_offset(pixels) if plan.offset == "auto" else float(plan.offset)
        counts = pixels.astype(np.float32) - np.float32(offset)
        if flat is not None:
            # an "auto" offset holds ambient light of this image, which the flat frame does not have
            own = 0.0 if plan.offset == "auto" else float(plan.offset)
            counts = divide_flat(image.path, counts, flat.astype(np.float32) - np.float32(own))
        return counts, offset, hot
    counts = subtract_dark(image.path, pixels, dark)
    offset = float(np.median(dark))
    if flat is not None:
        counts = divide_flat(image.path, counts, subtract_dark(image.path, flat, dark))
    if plan.offset == "auto":
        ambient = estimate_offset(np.maximum(counts, 0))
        counts, offset = counts - np.float32(ambient), offset + ambient
    return counts, offset, hot


def _white(plan: FLPlan, image: RawImage, offset: float) -> float:
    """Counts above the offset that map to 1.

    An offset of half the range or more is that of signed counts stored as unsigned: only the other half is real.
    """
    if plan.normalisation.white != "type":
        return float(plan.normalisation.white)
    half = (image.white_level + 1) // 2
    return float(image.white_level - half if offset >= half and image.white_level > 255 else image.white_level)


def _exposure_factor(image: RawImage, exposure_ms: float | None, irradiance_mw_cm2: float | None) -> float:
    exposure = _positive(image, "fl_exposure_ms", exposure_ms, "ms")
    irradiance = _positive(image, "irradiance_mw_cm2", irradiance_mw_cm2, "mW/cm2")
    return (REFERENCE_EXPOSURE_MS / exposure) * (REFERENCE_IRRADIANCE_MW_CM2 / irradiance)


def _positive(image: RawImage, name: str, value: float | None, unit: str) -> float:
    if value is None:
        raise ImageError(image.path, f"the plan scales to exposure and irradiance, but {name} is missing")
    if not 0 < value < float("inf"):
        raise ImageError(image.path, f"{name} is {value:g} {unit}, more than 0 is needed")
    return value

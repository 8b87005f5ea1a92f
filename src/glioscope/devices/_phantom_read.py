"""Taking every measure of a phantom check from one pair of pictures."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import ImageError, InputError
from glioscope.imaging import Registration

from ._phantom_edge import EdgeProfile, edge_profiles, mtf50_lp_mm
from ._phantom_locate import Image, Located, check_turn, locate_target, projected
from ._phantom_measure import (
    FieldCell,
    PhantomPicture,
    Sensitivity,
    WellReading,
    attenuation_depth,
    dark_of,
    field_cells,
    illumination_of,
    level_and_noise,
    picture_of,
    read_well,
    sensitivity_of,
    uniformity,
)
from ._phantom_result import PhantomResult
from ._phantom_target import PhantomTarget

_WELL_SHARE, _DEPTH_SHARE = 0.7, 0.4
"""Of a well's radius that is read: layers blur the rims."""
_MIN_FIELD_SIGMAS = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class PhantomReading:
    """Everything that one pair of pictures says.

    Attributes
    ----------
    values : measure -> value; a measure that could not be taken is not in it.
    fl, wl : where the target lies in the two pictures.
    picture : the FL picture on the target's axes.
    sensitivity : None where the target has no wells, or too few are under saturation.
    edges : of the FL picture.
    """

    target: PhantomTarget
    exposure_ms: float
    values: dict[str, float]
    fl: Located
    wl: Located
    picture: PhantomPicture
    wells: tuple[WellReading, ...]
    depths: tuple[WellReading, ...]
    cells: tuple[FieldCell, ...]
    sensitivity: Sensitivity | None
    edges: tuple[EdgeProfile, ...]
    dark_source: str
    registration_source: str


def measure_phantom(
    fl: NDArray[Any],
    wl: NDArray[Any],
    target: PhantomTarget,
    exposure_ms: float,
    *,
    white_level: int = 65535,
    dark: NDArray[Any] | None = None,
    registration: Registration | None = None,
    baseline: PhantomResult | None = None,
) -> PhantomReading:
    """Find the target in both pictures and take every measure that it allows.

    Parameters
    ----------
    fl : uint16 (H, W), counts. wl : uint8 (H, W, 3), RGB.
    exposure_ms : of `fl`.
    white_level : top of the bit range of `fl`, in counts.
    dark : uint16 (H, W), a frame of the same exposure without any light.
    registration : of the two cameras, to be held against the target.
    baseline : an earlier check: without a registration it tells whether a camera has moved since.

    Raises
    ------
    InputError : an exposure that cannot be, or a baseline of another target.
    ImageError : a picture of the wrong type or size, or no (whole, straight, upright) target in it.
    """
    if not 0 < exposure_ms < 1e6:
        raise InputError(f"exposure of {exposure_ms:g} ms is out of range; give more than 0 and less than 1e6 ms")
    _check_pictures(fl, wl, dark)
    if baseline is not None and baseline.target_sha256 != target.sha256:
        raise InputError(f"the baseline is of target {baseline.target!r}, not of this {target.name!r}")
    in_fl = locate_target(cv2.medianBlur(fl, 3).astype(np.float32), target, bright=True, name="fluorescence")
    check_turn(in_fl, target)
    grey = _linear_grey(wl)
    in_wl = locate_target(grey, target, bright=target.fiducials.white_light == "bright", name="white-light")
    picture = picture_of(fl, in_fl, white_level, None if dark is None else dark.astype(np.float32))
    background, background_noise = dark_of(picture, target)
    cells = field_cells(picture, target, background)
    if not np.median([cell.counts for cell in cells]) > _MIN_FIELD_SIGMAS * background_noise:
        raise ImageError(None, "fluorescence picture: the target's field is no brighter than its dark area")
    light = illumination_of(cells)
    wells = tuple(read_well(picture, well, light, _WELL_SHARE) for well in target.wells)
    depths = tuple(read_well(picture, well, light, _DEPTH_SHARE) for well in target.depths)
    sensitivity = _sensitivity(wells, target, in_fl.mm_per_px)
    edges = edge_profiles(picture.counts, in_fl, target.edge)
    residual, source = _registration_mm(in_fl, in_wl, fl.shape, wl.shape, registration, baseline)
    level, noise = (background, background_noise) if dark is None else level_and_noise(dark.astype(np.float32).ravel())
    known = {
        **_sensitivity_values(sensitivity, wells, exposure_ms),
        "fl_mtf50_lp_mm": mtf50_lp_mm(edges),
        "wl_mtf50_lp_mm": mtf50_lp_mm(edge_profiles(grey, in_wl, target.edge)),
        "depth_1e_mm": attenuation_depth(depths),
        "background_counts": background,
        "dark_counts": level,
        "dark_noise_counts": noise,
        "registration_mm": residual,
        **_picture_values(picture, cells),
        **_place_values(in_fl, in_wl),
    }
    return PhantomReading(
        target=target,
        exposure_ms=exposure_ms,
        values={name: value for name, value in known.items() if value is not None},
        fl=in_fl,
        wl=in_wl,
        picture=picture,
        wells=wells,
        depths=depths,
        cells=cells,
        sensitivity=sensitivity,
        edges=edges,
        dark_source="dark area of the target" if dark is None else "dark frame",
        registration_source=source,
    )


def _picture_values(picture: PhantomPicture, cells: tuple[FieldCell, ...]) -> dict[str, float]:
    spread, variation = uniformity(cells)
    bad = int(np.count_nonzero(picture.bad))
    return {
        "uniformity": spread,
        "field_cv": variation,
        "bad_pixels": float(bad),
        "bad_share": bad / max(int(np.count_nonzero(picture.examined)), 1),
        "examined_share": float(picture.examined.mean()),
    }


def _place_values(in_fl: Located, in_wl: Located) -> dict[str, float]:
    return {
        "mm_per_px": in_fl.mm_per_px,
        "wl_mm_per_px": in_wl.mm_per_px,
        "turned_deg": in_fl.turned_deg,
        "fl_fit_mm": in_fl.fit_mm,
        "wl_fit_mm": in_wl.fit_mm,
    }


def _check_pictures(fl: NDArray[Any], wl: NDArray[Any], dark: NDArray[Any] | None) -> None:
    if fl.ndim != 2 or fl.dtype != np.uint16:
        raise ImageError(None, f"fluorescence picture is {fl.dtype} {fl.shape}, uint16 (H, W) is needed")
    if wl.ndim != 3 or wl.shape[2] != 3 or wl.dtype != np.uint8:
        raise ImageError(None, f"white-light picture is {wl.dtype} {wl.shape}, uint8 (H, W, 3) is needed")
    for name, picture in (("fluorescence", fl), ("white-light", wl)):
        if min(picture.shape[:2]) < 64:
            raise ImageError(None, f"{name} picture is {picture.shape[1]} x {picture.shape[0]} px, 64 is the least")
        if int(picture.max()) == int(picture.min()):
            raise ImageError(None, f"{name} picture is {int(picture.max())} everywhere: check lens cap, laser and lamp")
    if dark is not None and (dark.shape != fl.shape or dark.dtype != np.uint16):
        raise ImageError(None, f"dark frame is {dark.dtype} {dark.shape}, uint16 {fl.shape} is needed")


def _linear_grey(wl: NDArray[Any]) -> Image:
    """Mean of the channels in linear light, 0 to 1 (the inverse of sRGB's transfer)."""
    level = np.arange(256) / 255
    table = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4).astype(np.float32)
    return np.asarray(table[wl].mean(axis=2), np.float32)


def _sensitivity(wells: tuple[WellReading, ...], target: PhantomTarget, mm_per_px: float) -> Sensitivity | None:
    if not wells:
        return None
    radius = _WELL_SHARE * min(well.diameter_mm for well in target.wells) / 2 / mm_per_px
    return sensitivity_of(wells, max(int(np.pi * radius**2), 1))


def _sensitivity_values(
    found: Sensitivity | None, wells: tuple[WellReading, ...], exposure_ms: float
) -> dict[str, float]:
    values = {"saturated_wells": float(sum(well.saturated for well in wells))} if wells else {}
    if found is not None:
        values |= {
            "slope_counts_per_nm_ms": found.slope / exposure_ms,
            "r2": found.r2,
            "nonlinearity": found.nonlinearity,
            "lod_nm": found.lod_nm,
            "loq_nm": found.loq_nm,
        }
    return values


def _registration_mm(
    in_fl: Located,
    in_wl: Located,
    fl_shape: tuple[int, ...],
    wl_shape: tuple[int, ...],
    registration: Registration | None,
    baseline: PhantomResult | None,
) -> tuple[float | None, str]:
    """RMS distance between fiducials of WL, brought into FL, and those of FL; and what brought them."""
    if registration is not None:
        for name, shape, size in (
            ("fluorescence", fl_shape, registration.fl_size),
            ("white-light", wl_shape, registration.wl_size),
        ):
            if (shape[1], shape[0]) != size:
                shown = f"{shape[1]} x {shape[0]} px, the registration is for {size[0]} x {size[1]} px"
                raise ImageError(None, f"{name} picture is {shown}")
        landed, source = registration.to_fl(in_wl.fiducials_px), "registration"
    elif baseline is not None:
        wl_then, fl_then = (np.asarray(p, np.float64) for p in (baseline.wl_fiducials_px, baseline.fl_fiducials_px))
        mapping = np.asarray(cv2.findHomography(wl_then, fl_then, 0)[0], np.float64)
        landed, source = projected(mapping, in_wl.fiducials_px), "baseline"
    else:
        return None, ""
    if not np.isfinite(landed).all():
        raise ImageError(None, "a fiducial lies beyond the registration's lens model: lay the target in the middle")
    off = np.hypot(*(landed - in_fl.fiducials_px).T) * in_fl.mm_per_px
    return float(np.sqrt(np.mean(off**2))), source

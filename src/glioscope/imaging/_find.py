"""Finding specimens in full frames: one rule for training frames, single specimens in theatre, and trays."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import ImageError

from ._canvas import Box, cut
from ._images import Pixels
from ._split import Piece, split_touching
from ._surface import excess, neighbourhood, signal_mask

DEFAULT_MARGIN_MM = 0.5
DEFAULT_MIN_AREA_MM2 = 2.0
MIN_MM_PER_PX, MAX_MM_PER_PX = 0.001, 5.0
_WORK_MM_PER_PX = 0.2
_WHITE_LIGHT_SHARE = 0.45
_EMITTING_SHARE = 0.06
_OPEN_MM, _CLOSE_MM = 0.3, 0.3
_CLOSE_FL_MM = 1.0
"""Fluorescence alone: dim tissue within a specimen must not take it apart; white light bridges it otherwise."""
_NO_FRAME = "finding specimens needs a fluorescence or a white-light frame"


@dataclass(frozen=True, slots=True)
class SpecimenRegion:
    """One specimen in a frame.

    `box`: x, y, width, height in px, outline and margin, inside the frame. `mask`: bool (height, width), the specimen
    within the box. `outline`: int32 (K, 2), x and y in the frame. `touching_border`: part of it may be outside.
    """

    box: Box
    mask: NDArray[np.bool_]
    outline: NDArray[np.int32]
    area_mm2: float
    touching_border: bool


def find_specimens(
    fl: Pixels | None,
    wl: Pixels | None,
    *,
    mm_per_px: float,
    margin_mm: float = DEFAULT_MARGIN_MM,
    min_area_mm2: float = DEFAULT_MIN_AREA_MM2,
) -> list[SpecimenRegion]:
    """Find all specimens of a frame, in reading order (rows from the top, in a row from the left).

    A smooth background (vignetting, ambient light) is fitted to each modality and subtracted; what stands out of the
    noise is tissue. With both modalities the white-light outline counts, as it is not blurred by scattering, where the
    fluorescence agrees that something emits (blood on the tray does not).

    Parameters
    ----------
    fl : uint16 or uint8 (H, W), or None.
    wl : uint8 (H, W, 3) RGB, registered to `fl`, or None.
    mm_per_px : size of a pixel at the specimen, 0.001 to 5.
    margin_mm : background kept around the outline.
    min_area_mm2 : smaller regions are dirt.

    Returns
    -------
    Empty for an empty plate.

    Raises
    ------
    ImageError : neither image given, sizes differ, or `mm_per_px` out of range.
    """
    height, width = _check(fl, wl, mm_per_px)
    factor = max(1, round(_WORK_MM_PER_PX / mm_per_px))
    factor = max(1, min(factor, min(height, width) // 32))
    mask = _tissue(_shrink(fl, factor), _shrink(wl, factor), mm_per_px * factor)
    pieces = split_touching(mask, min_px=max(4, round(min_area_mm2 / (mm_per_px * factor) ** 2)))
    regions = [_region(piece, factor, (height, width), mm_per_px, margin_mm) for piece in pieces]
    return _reading_order([region for region in regions if region.area_mm2 >= min_area_mm2])


def _check(fl: Pixels | None, wl: Pixels | None, mm_per_px: float) -> tuple[int, int]:
    if not MIN_MM_PER_PX <= mm_per_px <= MAX_MM_PER_PX:
        raise ImageError(None, f"mm_per_px is {mm_per_px:g}, {MIN_MM_PER_PX} to {MAX_MM_PER_PX} is needed")
    shapes = [image.shape[:2] for image in (fl, wl) if image is not None]
    if not shapes:
        raise ImageError(None, _NO_FRAME)
    if len(set(shapes)) > 1:
        (h0, w0), (h1, w1) = shapes
        raise ImageError(None, f"FL frame is {w0} x {h0} px and WL frame {w1} x {h1} px: they must be registered")
    return int(shapes[0][0]), int(shapes[0][1])


def _shrink(image: Pixels | None, factor: int) -> Pixels | None:
    """Median against hot pixels and glints, then area average; edge pixels are repeated to fill the last blocks."""
    if image is None:
        return None
    clean = cv2.medianBlur(np.ascontiguousarray(image), 3)
    if factor == 1:
        return np.asarray(clean)
    height, width = (-(-side // factor) for side in image.shape[:2])
    bottom, right = height * factor - image.shape[0], width * factor - image.shape[1]
    if bottom or right:
        clean = cv2.copyMakeBorder(clean, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(clean, (width, height), interpolation=cv2.INTER_AREA))


def _tissue(fl: Pixels | None, wl: Pixels | None, mm_per_px: float) -> NDArray[np.uint8]:
    """Where tissue is, uint8 0 or 1, at working resolution."""
    close_mm = _CLOSE_MM
    light = neighbourhood(excess(fl, signed=True), mm_per_px) if fl is not None else None
    colour = neighbourhood(excess(wl, signed=False), mm_per_px) if wl is not None else None
    if light is not None and colour is not None:
        seen, emitting = signal_mask(*colour, share=_WHITE_LIGHT_SHARE), signal_mask(*light, share=_EMITTING_SHARE)
        # the last: tissue that hardly differs from the plate in white light
        mask = (seen & emitting) | signal_mask(*light, share=0.5)
    elif light is not None:
        mask, close_mm = signal_mask(*light, share=0.35), _CLOSE_FL_MM
    elif colour is not None:
        mask = signal_mask(*colour, share=_WHITE_LIGHT_SHARE)
    else:
        raise ImageError(None, _NO_FRAME)
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _disc(close_mm / mm_per_px))
    filled = _fill_holes(np.asarray(closed, np.uint8))
    return np.asarray(cv2.morphologyEx(filled, cv2.MORPH_OPEN, _disc(_OPEN_MM / mm_per_px)), np.uint8)


def _disc(radius: float) -> NDArray[np.uint8]:
    side = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def _fill_holes(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros_like(mask), contours, -1, 1, cv2.FILLED), np.uint8)


def _region(piece: Piece, factor: int, shape: tuple[int, int], mm_per_px: float, margin_mm: float) -> SpecimenRegion:
    height, width = shape
    x, y, w, h = piece.box
    margin = round(margin_mm / mm_per_px)
    left, top = max(x * factor - margin, 0), max(y * factor - margin, 0)
    right, bottom = min((x + w) * factor + margin, width), min((y + h) * factor + margin, height)
    mask = _enlarged(piece, factor, (left, top, right - left, bottom - top))
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline = max(contours, key=cv2.contourArea).reshape(-1, 2).astype(np.int32) + np.array([left, top], np.int32)
    return SpecimenRegion(
        box=(left, top, right - left, bottom - top),
        mask=mask,
        outline=outline,
        area_mm2=float(np.count_nonzero(mask)) * mm_per_px**2,
        touching_border=x == 0 or y == 0 or (x + w) * factor >= width or (y + h) * factor >= height,
    )


def _enlarged(piece: Piece, factor: int, box: Box) -> NDArray[np.bool_]:
    """The piece at full resolution within `box`, its outline smoothed over one working pixel."""
    x, y, width, height = box
    small = cv2.copyMakeBorder(piece.mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0).astype(np.float32)
    big = cv2.resize(small, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR) > 0.5
    corner = (piece.box[0] - 1) * factor, (piece.box[1] - 1) * factor
    return cut(big, (x - corner[0], y - corner[1], width, height))


def _reading_order(regions: list[SpecimenRegion]) -> list[SpecimenRegion]:
    """Rows from the top: a region joins the row whose first region's middle third its centre falls into."""
    left = sorted(regions, key=lambda region: (region.box[1] + region.box[3] / 2, region.box[0]))
    ordered: list[SpecimenRegion] = []
    while left:
        limit = left[0].box[1] + left[0].box[3]
        row = [region for region in left if region.box[1] + region.box[3] / 2 < limit]
        ordered += sorted(row, key=lambda region: (region.box[0], region.box[1]))
        left = [region for region in left if region.box[1] + region.box[3] / 2 >= limit]
    return ordered

"""What is measured in the live view, from the real counts: under the cursor, in drawn regions, and on a tray."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from glioscope.core import Frame, InputError
from glioscope.imaging import Pixels, box_mask, find_specimens, polygon_mask, quantify_region

MOST_REGIONS = 8
_WHITE_LEVEL = 65535
_OUTLINE_PX = 1.0
Coordinate = Annotated[float, Field(ge=-65536, le=65536, allow_inf_nan=False)]
Outline = list[list[int]]


class DrawnRegion(BaseModel):
    """A region that somebody drew, in pixels of the fluorescence frame."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9]{1,4}$")
    kind: Literal["box", "polygon"]
    points: tuple[tuple[Coordinate, Coordinate], ...] = Field(min_length=2, max_length=64)
    """Two opposite corners of a box, or the corners of a polygon."""
    background: bool = False
    """The others are held against it; without one, against everything outside them."""


@dataclass(frozen=True, slots=True)
class RegionReading:
    """What a region shows; everything in counts but the ratio.

    Attributes
    ----------
    name : of the region.
    sbr, sbr_error : signal-to-background ratio and its standard error; None where the counts without light are unknown.
    signal, contrast, contrast_error : mean of the region, and what it has over its background.
    cnr : contrast-to-noise ratio.
    saturated : pixels at the top of the range lie in it, so that its mean is too low.
    sentence : why there are no numbers; empty when there are.
    """

    name: str
    sbr: float | None = None
    sbr_error: float | None = None
    signal: float | None = None
    contrast: float | None = None
    contrast_error: float | None = None
    cnr: float | None = None
    saturated: bool = False
    sentence: str = ""


def counts_at(frame: Frame, x: int, y: int) -> dict[str, Any] | None:
    """Counts of one pixel and whether it is saturated; None outside the frame."""
    height, width = frame.pixels.shape[:2]
    if not (0 <= x < width and 0 <= y < height):
        return None
    counts = int(frame.pixels[y, x])
    return {"x": x, "y": y, "counts": counts, "saturated": counts >= (frame.white_level or _WHITE_LEVEL)}


def read_regions(frame: Frame, drawn: Sequence[DrawnRegion], offset_counts: float | None) -> list[RegionReading]:
    """Signal of every region that is no background, against the background.

    Parameters
    ----------
    frame : fluorescence, uint16 (H, W).
    drawn : regions; what they share with the background belongs to the region.
    offset_counts : counts without light; None: unknown, no ratio then.
    """
    shape = (int(frame.pixels.shape[0]), int(frame.pixels.shape[1]))
    try:
        masks = [_mask(region, shape) for region in drawn]
    except InputError as error:
        return [RegionReading(region.name, sentence=str(error)) for region in drawn]
    inside = np.zeros(shape, np.bool_)
    around = np.zeros(shape, np.bool_)
    for region, mask in zip(drawn, masks, strict=True):
        chosen = around if region.background else inside
        chosen |= mask
    outside = around & ~inside if around.any() else ~inside
    pairs = [(region.name, mask) for region, mask in zip(drawn, masks, strict=True) if not region.background]
    return [_read(frame, name, mask, outside, offset_counts) for name, mask in pairs]


def _mask(region: DrawnRegion, shape: tuple[int, int]) -> NDArray[np.bool_]:
    corners = np.asarray(region.points, np.float64)
    if region.kind == "polygon":
        return polygon_mask(shape, corners)
    (left, top), (right, bottom) = corners.min(axis=0).round(), corners.max(axis=0).round()
    return box_mask(shape, (int(left), int(top), int(right - left) + 1, int(bottom - top) + 1))


def _read(
    frame: Frame, name: str, mask: NDArray[np.bool_], outside: NDArray[np.bool_], offset_counts: float | None
) -> RegionReading:
    try:
        found = quantify_region(
            frame.pixels,
            mask,
            outside,
            white_level=frame.white_level or _WHITE_LEVEL,
            offset_counts=offset_counts,
        )
    except InputError as error:
        return RegionReading(name, sentence=str(error))
    return RegionReading(
        name,
        sbr=found.sbr.value if found.sbr else None,
        sbr_error=found.sbr.standard_error if found.sbr else None,
        signal=found.signal_counts.value,
        contrast=found.contrast_counts.value,
        contrast_error=found.contrast_counts.standard_error,
        cnr=found.cnr.value if found.cnr else None,
        saturated=found.saturated,
    )


class TrayFinder:
    """Outlines of the specimens in view, found at most twice a second for all who ask. For all threads."""

    def __init__(self, every_s: float = 0.5) -> None:
        self._every_s = every_s
        self._lock = threading.Lock()
        self._found: tuple[float, object, list[Outline]] = (-np.inf, None, [])

    def outlines(self, fl: Frame, wl: Pixels) -> list[Outline]:
        """Corners (x, y) of every outline in px, in the order in which a tray is numbered.

        Raises
        ------
        ImageError : a frame without the size of its pixels.
        """
        with self._lock:
            when, of, found = self._found
            if of is fl or time.monotonic() - when < self._every_s:
                return found
            regions = find_specimens(fl.pixels, wl, mm_per_px=fl.mm_per_px or 0.0)
            found = [_simple(region.outline) for region in regions]
            self._found = time.monotonic(), fl, found
            return found


def _simple(outline: NDArray[np.int32]) -> Outline:
    corners = cv2.approxPolyDP(outline, _OUTLINE_PX, True).reshape(-1, 2)
    return [[int(x), int(y)] for x, y in corners]

"""How bright a region is, against its background and against the light that excites it, each with its uncertainty.

The same numbers for console, manifest and statistics: `quantify_region` for a mask, `quantify_specimen` for a specimen
that is found against the plate.
"""

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import ImageError, InputError

from ._canvas import Box
from ._find import find_specimens
from ._images import Pixels, RawImage
from ._offset import divide_flat, subtract_dark
from ._pixels import repair_hot_pixels
from ._specimen import SpecimenImages

DEFAULT_GAP_MM = 0.5
"""Plate this near to the specimen is not background: scattered light lies on it."""
_MIN_PIXELS = 9
_BLOCK_PX = 16
_MIN_BLOCKS = 4

Mask = NDArray[np.bool_]
OffsetSource = Literal["dark frame", "given", "unknown"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value with its standard error."""

    value: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class RegionQuantities:
    """What `quantify_region` finds.

    What needs the counts without light is None where they are unknown; what needs exposure or irradiance likewise.

    Attributes
    ----------
    n_pixels, n_background : in the region and its background.
    offset : how the counts without light were taken off: by a dark frame, by a given number, or not at all.
    signal_counts, background_counts : means above the offset; as stored where it is unknown.
    contrast_counts : signal minus background, whatever the offset.
    sbr : signal over background (the field's TBR); None also for a background without light.
    cnr : contrast over the standard deviation of the background, whatever the offset.
    counts_per_ms : signal over exposure.
    counts_per_ms_mw_cm2 : signal over exposure and irradiance.
    contrast_per_ms_mw_cm2 : the same of the contrast, whatever the offset.
    saturated_share, background_saturated_share : of the pixels.
    """

    n_pixels: int
    n_background: int
    offset: OffsetSource
    signal_counts: Quantity
    background_counts: Quantity
    contrast_counts: Quantity
    sbr: Quantity | None
    cnr: Quantity | None
    counts_per_ms: Quantity | None
    counts_per_ms_mw_cm2: Quantity | None
    contrast_per_ms_mw_cm2: Quantity | None
    saturated_share: float
    background_saturated_share: float

    @property
    def saturated(self) -> bool:
        """Whether a pixel of the region or its background is saturated: means are then too low, ratios unsure."""
        return self.saturated_share > 0 or self.background_saturated_share > 0


def box_mask(shape: tuple[int, int], box: Box) -> Mask:
    """Pixels of a box (x, y, width, height), bool of `shape`; what is outside the image is left away."""
    x, y, width, height = box
    mask = np.zeros(shape, np.bool_)
    mask[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)] = True
    return mask


def polygon_mask(shape: tuple[int, int], points: NDArray[np.float64]) -> Mask:
    """Pixels of a polygon with corners (N, 2), x and y in px, bool of `shape`; its rim belongs to it.

    Raises
    ------
    InputError : fewer than three corners, or a corner that is no number.
    """
    corners = np.asarray(points, np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.isfinite(corners).all():
        raise InputError(f"a polygon needs at least 3 corners of x and y, got an array of {corners.shape}")
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], (1,))
    return np.asarray(mask != 0, np.bool_)


def specimen_mask(
    fl: Pixels, wl: Pixels | None = None, *, mm_per_px: float, gap_mm: float = DEFAULT_GAP_MM
) -> tuple[Mask, Mask]:
    """The largest specimen of a picture, and the plate around: outside every specimen by `gap_mm`.

    Parameters
    ----------
    fl : uint16 (H, W).
    wl : uint8 (H, W, 3), registered, or None.

    Raises
    ------
    ImageError : nothing stands out, or the frames do not fit together.
    """
    regions = find_specimens(fl, wl, mm_per_px=mm_per_px)
    if not regions:
        raise ImageError(None, "no specimen stands out of the plate; draw the region by hand")
    masks = [_whole(region.mask, region.box, (fl.shape[0], fl.shape[1])) for region in regions]
    largest = masks[int(np.argmax([np.count_nonzero(mask) for mask in masks]))]
    return largest, _plate(np.logical_or.reduce(masks), mm_per_px, gap_mm)


def quantify_specimen(
    images: SpecimenImages, *, offset_counts: float | None = None, gap_mm: float = DEFAULT_GAP_MM
) -> RegionQuantities:
    """The specimen of a cut image or frame against the plate around it, after its dark and flat frame.

    Hot pixels are repaired as for a network. `offset_counts`: counts without light, where there is no dark frame.

    Raises
    ------
    ImageError : no fluorescence image, no `mm_per_px`, or no specimen that stands out.
    InputError : too little specimen or plate.
    """
    if images.fl is None:
        raise ImageError(None, f"specimen {images.specimen_id} has no fluorescence image")
    if images.mm_per_px is None:
        raise ImageError(images.fl.path, "has no mm_per_px, which is needed to tell specimen from plate")
    pixels, _ = repair_hot_pixels(images.fl.pixels)
    if images.mask is not None:
        region, background = images.mask, _plate(images.mask, images.mm_per_px, gap_mm)
    else:
        wl = images.wl.pixels if images.wl is not None and _fits(images.wl, images.fl) else None
        region, background = specimen_mask(pixels, wl, mm_per_px=images.mm_per_px, gap_mm=gap_mm)
    return quantify_region(
        pixels,
        region,
        background,
        white_level=images.fl.white_level,
        dark=images.dark,
        flat=images.flat,
        offset_counts=offset_counts,
        exposure_ms=images.fl_exposure_ms,
        irradiance_mw_cm2=images.irradiance_mw_cm2,
    )


def quantify_region(
    pixels: Pixels,
    region: Mask,
    background: Mask | None = None,
    *,
    white_level: int,
    dark: Pixels | None = None,
    flat: Pixels | None = None,
    offset_counts: float | None = None,
    exposure_ms: float | None = None,
    irradiance_mw_cm2: float | None = None,
) -> RegionQuantities:
    """Brightness of a region and its background.

    Standard errors allow for neighbouring pixels that are alike: they come from the means of blocks of 16 x 16 px (from
    pixels, as if independent, in regions of under 4 blocks), and of ratios by propagation. They say how well a region
    of this texture and noise is known, not how specimens differ.

    Parameters
    ----------
    pixels : uint16 (H, W) counts as stored.
    region, background : bool (H, W) without common pixels; no background: everything outside the region.
    white_level : top of the real range.
    dark : frame of the same size; takes precedence over `offset_counts`.
    flat : frame of the same size, with its own dark level as stored; needs `dark` or `offset_counts`.
    offset_counts : counts without light (of a strobed frame: its pedestal).
    exposure_ms, irradiance_mw_cm2 : above 0; None: unknown.

    Raises
    ------
    InputError : under 9 px, regions that share pixels, a number that is not positive, or a flat without dark level.
    ImageError : another type, or masks or frames of another size.

    References
    ----------
    SBR: Tichauer et al., Phys. Med. Biol. 60, R239, 2015. CNR: Bushberg et al., The Essential Physics of Medical
    Imaging, 3rd ed., 2012, section 4.8.
    """
    outside = ~region if background is None else background
    _check(pixels, region, outside)
    for name, value in (("exposure_ms", exposure_ms), ("irradiance_mw_cm2", irradiance_mw_cm2)):
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{name} is {value:g}, more than 0 is needed")
    counts, offset = _counts(pixels, dark, flat, offset_counts)
    signal, around = _mean(counts, region), _mean(counts, outside)
    contrast = Quantity(signal.value - around.value, math.hypot(signal.standard_error, around.standard_error))
    full = pixels >= white_level
    known = offset != "unknown"
    light = None if exposure_ms is None or irradiance_mw_cm2 is None else exposure_ms * irradiance_mw_cm2
    return RegionQuantities(
        n_pixels=int(np.count_nonzero(region)),
        n_background=int(np.count_nonzero(outside)),
        offset=offset,
        signal_counts=signal,
        background_counts=around,
        contrast_counts=contrast,
        sbr=_ratio(signal, around) if known else None,
        cnr=_cnr(contrast, counts[outside]),
        counts_per_ms=_per(signal, exposure_ms) if known else None,
        counts_per_ms_mw_cm2=_per(signal, light) if known else None,
        contrast_per_ms_mw_cm2=_per(contrast, light),
        saturated_share=float(full[region].mean()),
        background_saturated_share=float(full[outside].mean()),
    )


def _check(pixels: Pixels, region: Mask, background: Mask) -> None:
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(None, f"image is {pixels.dtype} {pixels.shape}, uint16 (H, W) is needed")
    for name, mask in (("region", region), ("background", background)):
        if mask.dtype != np.bool_ or mask.shape != pixels.shape:
            raise ImageError(None, f"{name} is {mask.dtype} {mask.shape}, bool {pixels.shape} is needed")
        count = int(np.count_nonzero(mask))
        if count < _MIN_PIXELS:
            raise InputError(f"{name} has {count} px, at least {_MIN_PIXELS} are needed")
    shared = int(np.count_nonzero(region & background))
    if shared:
        raise InputError(f"region and background share {shared} px")


def _counts(
    pixels: Pixels, dark: Pixels | None, flat: Pixels | None, offset_counts: float | None
) -> tuple[NDArray[np.float32], OffsetSource]:
    if dark is not None:
        counts = subtract_dark(None, pixels, dark)
        return (counts if flat is None else divide_flat(None, counts, subtract_dark(None, flat, dark))), "dark frame"
    if offset_counts is None:
        if flat is not None:
            raise InputError("a flat frame needs a dark frame or offset_counts")
        return pixels.astype(np.float32), "unknown"
    if not 0 <= offset_counts < 65536:
        raise InputError(f"offset of {offset_counts:g} counts is out of range; give 0 to 65535")
    counts = pixels.astype(np.float32) - np.float32(offset_counts)
    if flat is not None:
        counts = divide_flat(None, counts, flat.astype(np.float32) - np.float32(offset_counts))
    return counts, "given"


def _mean(counts: NDArray[np.float32], mask: Mask) -> Quantity:
    """Mean over the mask; its standard error from the means of blocks, each weighed by its pixels."""
    values = counts[mask].astype(np.float64)
    mean = float(values.mean())
    y, x = np.nonzero(mask)
    columns = -(-mask.shape[1] // _BLOCK_PX)
    block = (y // _BLOCK_PX) * columns + x // _BLOCK_PX
    sizes = np.bincount(block)
    used = sizes > 0
    n_blocks = int(np.count_nonzero(used))
    if n_blocks < _MIN_BLOCKS:
        return Quantity(mean, float(values.std(ddof=1)) / math.sqrt(len(values)))
    away = np.bincount(block, weights=values - mean)[used]
    return Quantity(mean, math.sqrt(n_blocks / (n_blocks - 1) * float(away @ away)) / len(values))


def _ratio(signal: Quantity, background: Quantity) -> Quantity | None:
    if not background.value > 0:
        return None
    ratio = signal.value / background.value
    error = math.hypot(signal.standard_error, ratio * background.standard_error) / background.value
    return Quantity(ratio, error)


def _cnr(contrast: Quantity, background: NDArray[np.float32]) -> Quantity | None:
    """None for a background of one value. The spread's own error counts as of independent pixels."""
    spread = float(background.std(ddof=1, dtype=np.float64))
    if not spread > 0:
        return None
    value = contrast.value / spread
    of_spread = value / math.sqrt(2 * (background.size - 1))
    return Quantity(value, math.hypot(contrast.standard_error / spread, of_spread))


def _per(quantity: Quantity, amount: float | None) -> Quantity | None:
    return None if amount is None else Quantity(quantity.value / amount, quantity.standard_error / amount)


def _whole(mask: Mask, box: Box, shape: tuple[int, int]) -> Mask:
    x, y, width, height = box
    whole = np.zeros(shape, np.bool_)
    whole[y : y + height, x : x + width] = mask
    return whole


def _plate(specimens: Mask, mm_per_px: float, gap_mm: float) -> Mask:
    radius = math.ceil(gap_mm / mm_per_px)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(specimens.view(np.uint8), disc) == 0, np.bool_)


def _fits(wl: RawImage, fl: RawImage) -> bool:
    return wl.pixels.shape[:2] == fl.pixels.shape

"""What can be measured of the quality of one specimen's images; `_gate` judges it."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ._gate_pair import shift, similarity
from ._gate_sharpness import detail, pixel_noise
from ._images import Pixels, RawImage
from ._white import shifted_bits

Mask = NDArray[np.uint8]
Float = NDArray[np.float32]

NEAR_WHITE = 0.98
"""Counts from here up are the plateau of a clipped image, whose top may be under the container's (12 bits in 16)."""
WL_WHITE = 250
"""Grey level from which a channel counts as white: JPEG leaves some below 255."""
_SPECIMEN_SHARE = 0.35
_WL_SHARE = 0.45
_MEAN_OF_CHANNELS = np.full((1, 3), 1 / 3, np.float32)
_BACKGROUND_PERCENTILE = 2.0
_TOP_PERCENTILE = 99.0
_EPSILON = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Measures of one image; the image smoothed by 1.4 px, float32 (h, w); its specimen, uint8 (h, w), 255 inside."""

    measures: dict[str, float]
    smooth: Float
    specimen: Mask


def measure_fl(image: RawImage, mask: Mask | None) -> Measured:
    """Measures of a fluorescence image.

    Parameters
    ----------
    image : uint16 or uint8 (h, w), raw counts.
    mask : uint8 (h, w), 255 on the specimen; None: found here.
    """
    pixels = image.pixels
    median = cv2.medianBlur(pixels, 3)
    clean = median.astype(np.float32)
    noise = pixel_noise(pixels)
    sharpness, smooth = detail(clean, noise)
    dark, top = percentiles(median)
    specimen = _mask(smooth > dark + _SPECIMEN_SHARE * (top - dark)) if mask is None else mask
    level = cv2.mean(smooth, specimen)[0]
    measures = {
        "fl_saturated": _share_at_top(median, image.white_level, specimen),
        "fl_background": dark,
        "fl_signal": level - dark,
        "fl_contrast": (level - dark) / max(noise, 0.5),
        "fl_sharpness": sharpness,
        "fl_bits": float(np.log2(1 + max(top, 0.0))),
        "fl_zero_bits": float(shifted_bits(pixels)),
        "fl_byte_order": _byte_order(pixels),
    }
    return Measured(measures, smooth, specimen)


def measure_wl(image: RawImage, mask: Mask | None) -> Measured:
    """Measures of a white-light image, uint8 (h, w, 3) RGB; its `specimen` is always found in this image alone."""
    pixels = image.pixels
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    noise = pixel_noise(grey)
    sharpness, smooth = detail(cv2.medianBlur(grey, 3).astype(np.float32), noise)
    own, top = standing_out(pixels)
    specimen = own if mask is None else mask
    red, green, blue, _ = (max(value, 1.0) for value in cv2.mean(pixels, specimen))
    planes = cv2.split(pixels)
    low, high = (choose(choose(planes[0], planes[1]), planes[2]) for choose in (cv2.min, cv2.max))
    white = cv2.bitwise_and(_mask(low >= WL_WHITE), specimen)
    area = max(cv2.countNonZero(specimen), 1)
    measures = {
        "wl_saturated": cv2.countNonZero(white) / area,
        "wl_brightness": cv2.mean(grey, specimen)[0],
        "wl_contrast": top / max(noise, 1.0),
        "wl_sharpness": sharpness,
        "wl_colour": float(cv2.mean(high)[0] - cv2.mean(low)[0]),
        "wl_red_green": float(np.log2(red / green)),
        "wl_blue_green": float(np.log2(blue / green)),
    }
    return Measured(measures, smooth, own)


def measure_pair(fl: Measured, wl: Measured) -> dict[str, float]:
    """How far the specimen is moved between the two images, and how alike the two pictures are inside."""
    return {
        "pair_shift_px": shift(fl.smooth, fl.measures["fl_signal"], wl.specimen),
        "pair_similarity": similarity(fl.smooth, wl.smooth, wl.specimen),
    }


def percentiles(pixels: Pixels) -> tuple[float, float]:
    """2nd and 99th percentile of every other pixel of every other row; padding (exactly 0) is left out."""
    values = pixels[::2, ::2].ravel()
    values = values[values != 0] if not values.all() else values
    if values.size == 0:
        return 0.0, 0.0
    low, high = (int((values.size - 1) * share / 100) for share in (_BACKGROUND_PERCENTILE, _TOP_PERCENTILE))
    ordered = np.partition(values, (low, high))
    return float(ordered[low]), float(ordered[high])


def standing_out(pixels: Pixels) -> tuple[Mask, float]:
    """Where the colour is far from that of the picture's rim, uint8 0 or 255, and how far at most, in grey levels."""
    small = cv2.blur(pixels, (3, 3))
    rim = np.sort(np.concatenate([small[0, ::2], small[-1, ::2], small[::2, 0], small[::2, -1]]), axis=0)
    away = cv2.absdiff(small, _scalar(*rim[len(rim) // 2]))
    far = np.asarray(cv2.transform(away, _MEAN_OF_CHANNELS), np.uint8)
    top = percentiles(far)[1]
    return _mask(far > _WL_SHARE * top), top


def _mask(inside: NDArray[np.bool_]) -> Mask:
    return inside.view(np.uint8) * np.uint8(255)


def _scalar(*values: float) -> NDArray[np.float64]:
    """A value a channel, as OpenCV takes them in place of an image."""
    return np.array([*values, 0.0, 0.0, 0.0][:4], np.float64)


def _share_at_top(median: Pixels, white_level: int, specimen: Mask) -> float:
    top = int(median.max(initial=0))
    level = min(top, white_level) if top >= NEAR_WHITE * white_level else white_level
    full = cv2.bitwise_and(_mask(median >= level), specimen)
    return cv2.countNonZero(full) / max(cv2.countNonZero(specimen), 1)


def _byte_order(pixels: Pixels) -> float:
    """Roughness as stored over roughness with the bytes of each pixel swapped; above 1 where they came swapped."""
    if pixels.dtype != np.uint16:
        return 0.0
    part = pixels[: pixels.shape[0] // 2 * 2 : 2]
    return _roughness(part) / max(_roughness(part.byteswap()), _EPSILON)


def _roughness(pixels: Pixels) -> float:
    """Mean step between neighbours in a row as a share of the spread."""
    step = cv2.norm(pixels[:, 1:], pixels[:, :-1], cv2.NORM_L1) / max(pixels[:, 1:].size, 1)
    spread = float(cv2.meanStdDev(pixels)[1][0, 0])
    return step / spread if spread > 0 else 1.0

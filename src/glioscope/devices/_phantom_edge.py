"""Resolution from the slanted edges of a target.

The edge is slanted so that its rows cross the pixel grid in all phases: brought together by their distance from the
edge they make a profile four times finer than the pixels, and the spectrum of its slope is the modulation transfer
function (ISO 12233:2017, annex D; P. D. Burns, "Slanted-edge MTF for digital camera and scanner analysis", PICS 2000).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._phantom_locate import Image, Located
from ._phantom_target import Edge, Points, edge_corners

_REACH_MM = 1.2
"""On both sides of the edge."""
_USED_SHARE = 0.68
"""Of the edge's length: its corners are left out."""
_BINS_PER_PX = 4
_MIN_SLANT_DEG, _MAX_SLANT_DEG = 2.0, 25.0
_ROUNDS = 4


@dataclass(frozen=True, slots=True, eq=False)
class EdgeProfile:
    """One edge of the slanted square.

    Attributes
    ----------
    side : "left", "top", "right" or "bottom" on the target.
    distance_px : float64 (B,), across the edge, from dark to bright.
    level : float64 (B,), 0 on the dark and 1 on the bright side.
    frequency_lp_mm, mtf : float64 (F,).
    mtf50_lp_mm : frequency at which the contrast is halved.
    """

    side: str
    distance_px: Points
    level: Points
    frequency_lp_mm: Points
    mtf: Points
    mtf50_lp_mm: float


def edge_profiles(picture: Image, located: Located, edge: Edge) -> tuple[EdgeProfile, ...]:
    """Profiles and MTF of the four edges of a target's slanted square.

    Parameters
    ----------
    picture : float32 (H, W), linear in light, hot and dead pixels repaired.
    located : where the target lies in it.

    Returns
    -------
    Up to four profiles; edges that lie along the pixels, or show too little contrast to be measured, are left out.
    """
    corners = located.to_px(edge_corners(edge))
    middle = corners.mean(axis=0)
    reach = _REACH_MM / located.mm_per_px
    found = []
    for side, start, end in zip(("top", "right", "bottom", "left"), corners, np.roll(corners, -1, axis=0), strict=True):
        profile = _profile(picture, start, end, middle, reach)
        if profile is None:
            continue
        distance, level = profile
        frequency, mtf = _transfer(level, 1 / _BINS_PER_PX)
        half = _halved(frequency, mtf)
        if half is not None:
            per_mm = 1 / located.mm_per_px
            found.append(EdgeProfile(side, distance, level, frequency * per_mm, mtf, half * per_mm))
    return tuple(found)


def _profile(picture: Image, start: Points, end: Points, middle: Points, reach: float) -> tuple[Points, Points] | None:
    """The edge spread function: distance from the edge in px in steps of 1/4, and level from 0 to 1."""
    x, y, value = _pixels_near(picture, start, end, reach)
    along = (end - start) / np.hypot(*(end - start))
    normal = np.array([-along[1], along[0]])
    normal *= np.sign(normal @ (middle - start))
    slant = np.rad2deg(np.arcsin(np.abs(along).min()))
    if not _MIN_SLANT_DEG < slant < _MAX_SLANT_DEG or value.size < 400:
        return None
    position = (x - start[0]) * along[0] + (y - start[1]) * along[1]
    across = (x - start[0]) * normal[0] + (y - start[1]) * normal[1]
    dark, bright = np.median(value[across < -0.6 * reach]), np.median(value[across > 0.6 * reach])
    if not bright > dark:
        return None
    level = (value - dark) / (bright - dark)
    if np.std(level[across < -0.6 * reach]) > 0.2:
        return None
    for _ in range(_ROUNDS):
        tilt, offset = _off_line(position, across, level, reach)
        across = across - (offset + tilt * position)
        # A hot or dead pixel on the edge itself could not be told from the edge before.
        bins, profile = _bin_means(across, level, reach, 1)
        off = np.abs(level - np.interp(across, bins, profile))
        kept = off < max(0.3, 6 * float(np.median(off)))
        position, across, level = position[kept], across[kept], level[kept]
    return _bin_means(across, level, 0.85 * reach, _BINS_PER_PX)


def _pixels_near(picture: Image, start: Points, end: Points, reach: float) -> tuple[Points, Points, Points]:
    """Pixels round the middle part of an edge: x, y and value, each (N,)."""
    height, width = picture.shape
    low = np.floor(np.minimum(start, end) - reach - 1).astype(int)
    high = np.ceil(np.maximum(start, end) + reach + 2).astype(int)
    rows = slice(max(low[1], 0), min(high[1], height))
    columns = slice(max(low[0], 0), min(high[0], width))
    y, x = np.mgrid[rows, columns].astype(np.float64)
    length = np.hypot(*(end - start))
    along = (end - start) / length
    position = (x - start[0]) * along[0] + (y - start[1]) * along[1]
    across = np.abs((x - start[0]) * along[1] - (y - start[1]) * along[0])
    near = (np.abs(position - length / 2) < _USED_SHARE * length / 2) & (across < reach)
    return x[near], y[near], picture[rows, columns][near].astype(np.float64)


def _off_line(position: Points, across: Points, level: Points, reach: float) -> tuple[float, float]:
    """How the true edge lies off the line of `across` 0: slope and offset, from where slices of it reach one half."""
    edges = np.linspace(position.min(), position.max() + 1e-6, 7)
    slice_of = np.digitize(position, edges) - 1
    centres, places = [], []
    for k in range(6):
        inside = (slice_of == k) & (np.abs(across) < 0.9 * reach)
        # The area under a profile from 0 to 1 gives the place of its step, however blurred it is.
        bins, profile = _bin_means(across[inside], level[inside], 0.9 * reach, 2)
        area = float(profile.sum() * (bins[1] - bins[0]))
        centres.append(float(position[inside].mean()))
        places.append(float(bins[-1] + 0.5 * (bins[1] - bins[0]) - area))
    slope, offset = np.polyfit(centres, places, 1)
    return float(slope), float(offset)


def _bin_means(across: Points, level: Points, reach: float, per_px: int) -> tuple[Points, Points]:
    """Mean level in bins of 1 / `per_px` px from -reach to reach; empty bins are filled from their neighbours."""
    count = 2 * int(reach * per_px)
    index = np.floor(across * per_px).astype(int) + count // 2
    inside = (index >= 0) & (index < count)
    number = np.bincount(index[inside], minlength=count)
    total = np.bincount(index[inside], weights=level[inside], minlength=count)
    bins = np.asarray((np.arange(count) - count // 2 + 0.5) / per_px, np.float64)
    seen = number > 0
    return bins, np.asarray(np.interp(bins, bins[seen], total[seen] / number[seen]))


def _transfer(level: Points, step_px: float) -> tuple[Points, Points]:
    """Modulation transfer function up to 1 cycle/px: frequency in cycles/px, and contrast."""
    slope = np.diff(level)
    places = np.arange(len(slope))
    strength = np.clip(slope, 0, None) ** 2
    centre = float((places * strength).sum() / max(strength.sum(), 1e-12))
    # ISO 12233 has Hamming's window, which narrows a wide slope (3 % at sigma 1.2 px); this one is flat in its middle.
    off = np.clip(2 * np.abs(places - centre) / (len(slope) / 2) - 1, 0, 1)
    window = 0.5 + 0.5 * np.cos(np.pi * off)
    spectrum = np.abs(np.fft.rfft(slope * window, 16 * len(slope)))
    frequency = np.fft.rfftfreq(16 * len(slope), step_px)
    # Binning and the difference of neighbours each damp high frequencies as a box of one step does.
    mtf = spectrum / spectrum[0] / np.clip(np.sinc(frequency * step_px) ** 2, 0.1, None)
    shown = frequency <= 1.0
    return np.asarray(frequency[shown], np.float64), np.asarray(mtf[shown], np.float64)


def _halved(frequency: Points, mtf: Points) -> float | None:
    below = np.flatnonzero(mtf < 0.5)
    if not len(below) or below[0] == 0:
        return None
    k = int(below[0])
    share = (mtf[k - 1] - 0.5) / (mtf[k - 1] - mtf[k])
    return float(frequency[k - 1] + share * (frequency[k] - frequency[k - 1]))


def mtf50_lp_mm(profiles: tuple[EdgeProfile, ...]) -> float | None:
    """The lower of two means: over the upright edges, and over the level ones; None where none was measured."""
    values: NDArray[np.float64]
    means = []
    for sides in (("left", "right"), ("top", "bottom")):
        values = np.array([each.mtf50_lp_mm for each in profiles if each.side in sides])
        if values.size:
            means.append(float(values.mean()))
    return min(means) if means else None

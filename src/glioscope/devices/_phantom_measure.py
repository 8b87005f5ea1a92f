"""What a picture of a fluorescence target says of the unit: field, sensitivity, depth, dark level and bad pixels.

The measures are those of AAPM Task Group Report 311 (Pogue et al., "Guidance for performance evaluation of
fluorescence-guided surgery systems", Med. Phys. 51, 740-771, 2024) as far as one picture of one target gives them.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ._phantom_locate import Image, Located
from ._phantom_target import PhantomTarget, Points, Rectangle, Well

BLANK_SIGMAS_LOD, BLANK_SIGMAS_LOQ = 3.3, 10.0
"""ICH Q2(R1): limits of detection and of quantification over the blank's standard deviation."""
KNOWN_TO = 0.02
"""Relative uncertainty that the fit grants every well besides its noise: filling and local gain."""
_BAD_SIGMAS = 8.0
_LEVEL_BINS = 16
_SATURATED_SHARE = 0.02
_CELL_MM = 1.5

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class PhantomPicture:
    """The FL picture on the target's own axes.

    Attributes
    ----------
    counts : float32 (H, W), bad pixels replaced by the median round them.
    bad : bool (H, W), hot and dead pixels. examined : bool (H, W), where they could be told from structure.
    x_mm, y_mm : float32 (H, W), place on the target.
    white_level : top of the bit range in counts.
    """

    counts: Image
    bad: Mask
    examined: Mask
    x_mm: Image
    y_mm: Image
    white_level: int

    def within(self, centre_mm: tuple[float, float], low_mm: float, high_mm: float) -> Mask:
        """Pixels between two distances from a place."""
        r2 = (self.x_mm - centre_mm[0]) ** 2 + (self.y_mm - centre_mm[1]) ** 2
        return np.asarray((r2 >= low_mm**2) & (r2 < high_mm**2) & ~self.bad)

    def rectangle(self, rectangle: Rectangle, margin_mm: float) -> Mask:
        """Pixels of a rectangle without its rim."""
        x, y = self.x_mm - rectangle.centre_mm[0], self.y_mm - rectangle.centre_mm[1]
        half = [side / 2 - margin_mm for side in rectangle.size_mm]
        return np.asarray((np.abs(x) < half[0]) & (np.abs(y) < half[1]) & ~self.bad)


@dataclass(frozen=True, slots=True)
class WellReading:
    """One well: counts above the plate round it, corrected for illumination, and what it should hold.

    `noise_counts` is the standard deviation of one pixel. `saturated`: part of it is at full scale or on a plateau;
    it is left out of the fit.
    """

    concentration_nm: float
    depth_mm: float
    counts: float
    noise_counts: float
    saturated: bool


@dataclass(frozen=True, slots=True)
class FieldCell:
    """Mean of a small piece of the uniform field, above the dark area."""

    x_mm: float
    y_mm: float
    counts: float


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Line through the wells, weighted by 1 / variance: counts = intercept + slope x concentration."""

    slope: float
    intercept: float
    r2: float
    nonlinearity: float
    """Largest distance from the line as a share of it, of wells over the limit of quantification."""
    lod_nm: float
    loq_nm: float


def picture_of(pixels: NDArray[np.uint16], located: Located, white_level: int, dark: Image | None) -> PhantomPicture:
    """Lay the target's axes over a picture and find its bad pixels.

    Parameters
    ----------
    pixels : uint16 (H, W).
    dark : float32 (H, W), a dark frame, in which hot pixels show best.
    """
    counts = pixels.astype(np.float32)
    bad, examined = find_bad_pixels(pixels)
    if dark is not None:
        bad |= find_bad_pixels(np.asarray(np.rint(dark), np.uint16))[0]
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    mm = located.to_mm(np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64))
    x_mm, y_mm = (np.asarray(mm[:, k].reshape(pixels.shape), np.float32) for k in (0, 1))
    repaired = np.where(bad, cv2.medianBlur(pixels, 5).astype(np.float32), counts)
    return PhantomPicture(np.asarray(repaired, np.float32), bad, examined | bad, x_mm, y_mm, white_level)


def find_bad_pixels(pixels: NDArray[np.uint16]) -> tuple[Mask, Mask]:
    """Pixels that differ from the median of their 5 x 5 neighbours by over 8 standard deviations of such differences.

    The standard deviation is taken at the pixel's own level, since shot noise and column gains grow with it. Where the
    medians themselves change (edges of the target) nothing is examined.

    Returns
    -------
    bad, examined : bool (H, W).
    """
    median = cv2.medianBlur(pixels, 5).astype(np.float32)
    difference = pixels.astype(np.float32) - median
    kernel = np.ones((5, 5), np.uint8)
    span = cv2.dilate(median, kernel) - cv2.erode(median, kernel)
    edges = np.quantile(median, np.linspace(0, 1, _LEVEL_BINS + 1))
    level = np.clip(np.searchsorted(edges, median, side="right") - 1, 0, _LEVEL_BINS - 1)
    sigma = np.ones(_LEVEL_BINS, np.float32)
    for k in range(_LEVEL_BINS):
        inside = np.abs(difference[level == k])
        if inside.size:
            sigma[k] = max(1.4826 * float(np.median(inside)), 1.0)
    local = sigma[level]
    examined = span < 3 * local
    return (np.abs(difference) > _BAD_SIGMAS * local) & examined, examined


def dark_of(picture: PhantomPicture, target: PhantomTarget) -> tuple[float, float]:
    """Median and robust standard deviation of the target's dark area, in counts."""
    return level_and_noise(picture.counts[picture.rectangle(target.dark, 0.4)])


def level_and_noise(values: Image) -> tuple[float, float]:
    """Median, and the standard deviation from the interquartile range, free of what sticks out.

    Counts are whole numbers: the quartiles step by one, and so does this estimate by 0.74; the trimmed standard
    deviation does not.
    """
    middle = float(np.median(values))
    rough = 1.4826 * float(np.median(np.abs(values - middle))) + 1.0
    kept = values[np.abs(values - middle) < 5 * rough].astype(np.float64)
    return float(kept.mean()), float(kept.std())


def field_cells(picture: PhantomPicture, target: PhantomTarget, dark_counts: float) -> tuple[FieldCell, ...]:
    """The uniform field in pieces of about 1.5 mm."""
    cells = []
    for field in target.fields:
        mask = picture.rectangle(field, 0.5)
        x, y, values = picture.x_mm[mask], picture.y_mm[mask], picture.counts[mask]
        # Three cells by two on a field of 6 x 4.4 mm.
        counts = [max(round((side - 1.0) / _CELL_MM), 1) for side in field.size_mm]
        low = [c - side / 2 + 0.5 for c, side in zip(field.centre_mm, field.size_mm, strict=True)]
        column, row = (
            np.clip(((v - lo) / (side - 1.0) * n).astype(int), 0, n - 1)
            for v, lo, side, n in zip((x, y), low, field.size_mm, counts, strict=True)
        )
        for k in range(counts[0] * counts[1]):
            inside = (column == k % counts[0]) & (row == k // counts[0])
            if np.count_nonzero(inside) >= 20:
                level = level_and_noise(values[inside])[0] - dark_counts
                cells.append(FieldCell(float(x[inside].mean()), float(y[inside].mean()), level))
    return tuple(cells)


def uniformity(cells: tuple[FieldCell, ...]) -> tuple[float, float]:
    """(max - min) / (max + min) of the cells, and their coefficient of variation; both 0 where all are equal."""
    values = np.array([cell.counts for cell in cells])
    high, low = float(values.max()), float(values.min())
    return (high - low) / max(high + low, 1e-9), float(values.std() / max(values.mean(), 1e-9))


@dataclass(frozen=True, slots=True, eq=False)
class Illumination:
    """Surface of second order through the field's cells; `at` is 1 at the middle of the target."""

    terms: Points

    def at(self, x_mm: float, y_mm: float) -> float:
        """Excitation and lens at a place, over that in the middle."""
        return float(_surface(np.array([x_mm]), np.array([y_mm]))[0] @ self.terms) / float(self.terms[0])


def illumination_of(cells: tuple[FieldCell, ...]) -> Illumination:
    """Fit a surface of second order to the field's cells."""
    x, y, counts = (np.array([getattr(cell, name) for cell in cells]) for name in ("x_mm", "y_mm", "counts"))
    return Illumination(np.linalg.lstsq(_surface(x, y), counts, rcond=None)[0])


def _surface(x: Points, y: Points) -> Points:
    x, y = x / 20, y / 20
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


def read_well(picture: PhantomPicture, well: Well, light: Illumination, inner: float = 0.7) -> WellReading:
    """Counts of a well above the plate round it, at the illumination of the target's middle.

    Parameters
    ----------
    inner : share of the radius that is read; the rim is blurred by lens and layers.
    """
    radius = well.diameter_mm / 2
    values = picture.counts[picture.within(well.centre_mm, 0, inner * radius)]
    ring = picture.counts[picture.within(well.centre_mm, 1.25 * radius, 1.65 * radius)]
    level, noise = level_and_noise(values)
    top = values.max()
    at_top = float(np.mean(values >= 0.995 * picture.white_level))
    # On a plateau far below full scale many pixels share the highest count; noise leaves it to a few.
    plateau = float(np.mean(values == top)) if noise > 0.2 else 1.0
    saturated = at_top > _SATURATED_SHARE or (plateau > 0.1 and level > 255)
    gain = light.at(*well.centre_mm)
    counts = (level - level_and_noise(ring)[0]) / gain
    return WellReading(well.concentration_nm, getattr(well, "depth_mm", 0.0), counts, noise / gain, saturated)


def sensitivity_of(wells: tuple[WellReading, ...], n_pixels: int) -> Sensitivity | None:
    """Fit the line of counts against concentration; None where fewer than three wells with dye are under saturation.

    Parameters
    ----------
    n_pixels : pixels of one well, for the variance of its mean.

    Notes
    -----
    Limits of detection and quantification are 3.3 and 10 standard deviations of the blank over the slope (ICH Q2(R1));
    the standard deviation is that of one pixel, so they hold for a structure of one pixel and do not depend on how
    large the wells are.
    """
    used = [well for well in wells if not well.saturated]
    if sum(well.concentration_nm > 0 for well in used) < 3:
        return None
    x = np.array([well.concentration_nm for well in used])
    y = np.array([well.counts for well in used])
    noise = np.array([well.noise_counts for well in used])
    weight = 1 / (noise**2 / n_pixels + (KNOWN_TO * y) ** 2 + 0.25)
    mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
    slope = float((weight * (x - mean_x) * (y - mean_y)).sum() / (weight * (x - mean_x) ** 2).sum())
    intercept = float(mean_y - slope * mean_x)
    if slope <= 0:
        return None
    line = intercept + slope * x
    r2 = 1 - float((weight * (y - line) ** 2).sum() / (weight * (y - mean_y) ** 2).sum())
    blank = float(np.median(noise[x == 0])) if (x == 0).any() else float(noise.min())
    lod, loq = (k * blank / slope for k in (BLANK_SIGMAS_LOD, BLANK_SIGMAS_LOQ))
    sure = x > max(loq, 0)
    off = float(np.max(np.abs(y[sure] / line[sure] - 1))) if sure.any() else 0.0
    return Sensitivity(slope, intercept, r2, off, lod, loq)


def attenuation_depth(depths: tuple[WellReading, ...]) -> float | None:
    """Depth in mm over which a layer takes the signal to 1/e, from a line through its logarithm; None: not measured.

    Wells that saturate, or are not seen (under 3.3 standard deviations of a pixel), are left out.
    """
    used = [d for d in depths if not d.saturated and d.counts > BLANK_SIGMAS_LOD * d.noise_counts]
    if len({d.depth_mm for d in used}) < 2:
        return None
    slope = float(np.polyfit([d.depth_mm for d in used], np.log([d.counts for d in used]), 1)[0])
    return -1 / slope if slope < 0 else None

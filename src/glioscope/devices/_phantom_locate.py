"""Where a fluorescence target lies in a picture, from its fiducial discs."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import ImageError

from ._phantom_target import PhantomTarget, Points

Image = NDArray[np.float32]
MAX_TURN_DEG = 6.0
"""Of the FL picture; beyond it the slanted edge may lie along the pixels, and results are not comparable."""
MAX_FIT_MM = 0.6
"""RMS distance of fiducials from where the plane that was fitted puts them; lens distortion leaves 0.1 mm."""
_LEVELS = 16
_MAX_CANDIDATES = 80
_MIN_AREA_PX = 30
_MAX_AREA_SHARE = 0.02
_TOLERANCE_MM = 1.2
"""How far tilt and lens may move a disc from where a mere turn, shift and scale put it."""


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """A target that was found.

    Attributes
    ----------
    homography : float64 (3, 3), takes mm on the target to pixels.
    fiducials_px : float64 (N, 2), x and y of the discs in the order of the target.
    mm_per_px : size of a pixel at the middle of the target.
    turned_deg : clockwise in the picture.
    fit_mm : RMS distance between the discs and where the homography puts them.
    """

    homography: Points
    fiducials_px: Points
    mm_per_px: float
    turned_deg: float
    fit_mm: float

    def to_px(self, points_mm: Points) -> Points:
        """Millimetres on the target to pixels, float64 (N, 2)."""
        return projected(self.homography, points_mm)

    def to_mm(self, points_px: Points) -> Points:
        """Pixels to millimetres on the target, float64 (N, 2)."""
        return projected(np.asarray(np.linalg.inv(self.homography), np.float64), points_px)


@dataclass(frozen=True, slots=True)
class _Discs:
    """What could be a fiducial: centres as complex numbers x + iy in px, and diameters in px."""

    centre: NDArray[np.complex128]
    diameter: NDArray[np.float64]


def locate_target(picture: Image, target: PhantomTarget, *, bright: bool, name: str) -> Located:
    """Find the fiducials of a target, wherever and however it lies.

    Parameters
    ----------
    picture : float32 (H, W), linear in light, without isolated hot pixels.
    target : what to look for.
    bright : its discs are brighter than the plate here.
    name : of the picture, for the sentence of an error.

    Raises
    ------
    ImageError : no target in the picture, another one, part of it outside, or seen in a mirror.
    """
    image = np.ascontiguousarray(picture if bright else picture.max() - picture)
    discs = _round_spots(image)
    places = np.asarray(target.fiducials_mm @ np.array([1, 1j]), np.complex128)
    order, seen = _matched(discs, places, target.fiducials.diameter_mm)
    if order is None:
        mirrored, _ = _matched(discs, places.conj(), target.fiducials.diameter_mm)
        raise ImageError(None, _not_found(name, target, seen, mirrored is not None))
    found = np.stack([discs.centre[order].real, discs.centre[order].imag], axis=1)
    for _ in range(3):
        located = _located(found, target)
        found = _centred(image, found, target.fiducials.diameter_mm / 2 / located.mm_per_px)
    located = _located(found, target)
    if not located.fit_mm <= MAX_FIT_MM:
        raise ImageError(
            None,
            f"{name} picture: the fiducials are {located.fit_mm:.2f} mm off those of target {target.name!r}, "
            f"{MAX_FIT_MM:g} mm is the limit: is it another target, or is it bent?",
        )
    _check_inside(located, target, (picture.shape[1], picture.shape[0]), name)
    return located


def projected(matrix: Points, points: Points) -> Points:
    """Points through a homography, float64 (N, 2)."""
    there = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.asarray(there[:, :2] / there[:, 2:])


def _round_spots(image: Image) -> _Discs:
    """Bright discs at any of several thresholds; one each, at the threshold nearest to half of its height."""
    smooth = np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0), np.float32)
    low, high = (float(value) for value in np.percentile(smooth, (20, 99.9)))
    found: list[tuple[float, float, float, float]] = []
    if high > low:
        for level in low + (high - low) * np.geomspace(0.008, 0.9, _LEVELS):
            found += _spots_above(smooth, float(level), low)
    kept: list[tuple[float, float, float]] = []
    for off_half, x, y, diameter in sorted(found):
        if off_half < 1 and all(np.hypot(x - a, y - b) > 0.3 * wide for a, b, wide in kept):
            kept.append((x, y, diameter))
    table = np.array(kept[:_MAX_CANDIDATES]).reshape(-1, 3)
    return _Discs(table[:, 0] + 1j * table[:, 1], table[:, 2])


def _spots_above(smooth: Image, level: float, low: float) -> list[tuple[float, float, float, float]]:
    """Of each round spot: how far the threshold is from half of its height (in powers of 2), x, y, diameter in px."""
    _, _, stats, centres = cv2.connectedComponentsWithStats((smooth > level).astype(np.uint8), connectivity=4)
    spots = []
    for (_, _, width, height, area), (x, y) in zip(stats[1:], centres[1:], strict=True):
        if not _MIN_AREA_PX <= area <= _MAX_AREA_SHARE * smooth.size:
            continue
        # A disc fills pi / 4 of its box, a square all of it, and one that is slanted by 12 degrees 0.71.
        if 0.8 < width / height < 1.25 and 0.74 < area / (width * height) < 0.84:
            top = float(smooth[round(y), round(x)])
            off_half = abs(np.log2(max(top - low, 1e-9) / (2 * (level - low))))
            spots.append((float(off_half), float(x), float(y), float(np.sqrt(4 * area / np.pi))))
    return spots


def _matched(discs: _Discs, places: NDArray[np.complex128], diameter_mm: float) -> tuple[NDArray[np.int64] | None, int]:
    """For each fiducial the number of its disc, and how many fit at best; None where not all do.

    Every pair of discs is tried as the two fiducials that are farthest apart: it gives turn, scale and shift, and so
    says where the others must be.
    """
    apart = np.abs(places[:, None] - places[None])
    first, second = np.unravel_index(int(apart.argmax()), apart.shape)
    a, b = (index.ravel() for index in np.meshgrid(*[np.arange(len(discs.centre))] * 2))
    a, b = a[a != b], b[a != b]
    step = (discs.centre[b] - discs.centre[a]) / (places[second] - places[first])
    scale = np.abs(step)
    fits = [np.abs(np.log(discs.diameter[k] / (scale * diameter_mm))) < np.log(1.5) for k in (a, b)]
    a, b, step, scale = (values[fits[0] & fits[1]] for values in (a, b, step, scale))
    if not len(a):
        return None, 0
    expected = discs.centre[a, None] + step[:, None] * (places - places[first])
    distance = np.abs(expected[:, :, None] - discs.centre) / scale[:, None, None]
    nearest = distance.argmin(axis=2)
    away = distance.min(axis=2)
    size = np.abs(np.log(discs.diameter[nearest] / (scale[:, None] * diameter_mm)))
    good = (away < _TOLERANCE_MM) & (size < np.log(1.5))
    count = good.sum(axis=1)
    best = int(np.lexsort((away.sum(axis=1), -count))[0])
    if count[best] < len(places) or len(set(nearest[best].tolist())) < len(places):
        return None, int(count[best])
    return nearest[best], len(places)


def _not_found(name: str, target: PhantomTarget, seen: int, mirrored: bool) -> str:
    total = len(target.fiducials.places_mm)
    if mirrored:
        return f"{name} picture: target {target.name!r} is seen in a mirror: lay it face up, or mirror this camera back"
    return (
        f"{name} picture: target {target.name!r} is not found ({seen if seen > 2 else 0} of {total} fiducials): lay it "
        "flat in the middle with nothing on it, and check the light, the lens cap and which camera is which"
    )


def _located(found: Points, target: PhantomTarget) -> Located:
    points = target.fiducials_mm
    homography = np.asarray(cv2.findHomography(points, found, 0)[0], np.float64)
    middle, right, down = projected(homography, np.array([[0.0, 0.0], [0.5, 0.0], [0.0, 0.5]]))
    across, along = 2 * (right - middle), 2 * (down - middle)
    scale = float(np.sqrt(abs(across[0] * along[1] - across[1] * along[0])))
    fit = np.hypot(*(projected(homography, points) - found).T) / scale
    turned = float(np.rad2deg(np.arctan2(across[1], across[0])))
    return Located(homography, found, 1 / scale, turned, float(np.sqrt(np.mean(fit**2))))


def _centred(image: Image, found: Points, radius: float) -> Points:
    """Centres of light of the discs, each in a window round where it was last seen."""
    centres = []
    reach = int(np.ceil(1.7 * radius)) + 1
    for x, y in found:
        left, top = round(x) - reach, round(y) - reach
        part = image[max(top, 0) : top + 2 * reach + 1, max(left, 0) : left + 2 * reach + 1]
        rows, columns = np.mgrid[: part.shape[0], : part.shape[1]]
        dx, dy = columns + max(left, 0) - x, rows + max(top, 0) - y
        r = np.hypot(dx, dy)
        ring = part[(r > 1.35 * radius) & (r < 1.7 * radius)]
        inner = part[r < 0.5 * radius]
        if not (ring.size and inner.size):
            centres.append((x, y))
            continue
        dark, top_level = float(np.median(ring)), float(np.median(inner))
        # What is under a tenth of the disc's height is noise or stray light, which would pull to the window's middle.
        weight = np.clip(part - (dark + 0.1 * (top_level - dark)), 0, None) * (r < 1.35 * radius)
        total = max(float(weight.sum()), 1e-9)
        centres.append((x + float((weight * dx).sum()) / total, y + float((weight * dy).sum()) / total))
    return np.asarray(centres)


def _check_inside(located: Located, target: PhantomTarget, size: tuple[int, int], name: str) -> None:
    for region, outline in target.regions_mm().items():
        px = located.to_px(outline)
        if (px < 2).any() or (px > np.asarray(size) - 3).any():
            raise ImageError(
                None, f"{name} picture: {region} of target {target.name!r} lies outside: lay the target in the middle"
            )


def check_turn(located: Located, target: PhantomTarget) -> None:
    """Refuse a target that lies turned in the FL picture.

    Raises
    ------
    ImageError : it is turned by more than `MAX_TURN_DEG`.
    """
    if abs(located.turned_deg) > MAX_TURN_DEG:
        raise ImageError(
            None,
            f"fluorescence picture: target {target.name!r} lies turned by {located.turned_deg:.0f} degrees, "
            f"{MAX_TURN_DEG:g} is the limit: lay it straight, its odd disc at the upper left",
        )

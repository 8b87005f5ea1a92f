"""One specimen's images in memory, whether they came from files or from two cameras."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from glioscope.core import Frame, ImageError

from ._canvas import Box, cut
from ._find import SpecimenRegion, find_specimens
from ._images import Pixels, RawImage, check_size
from ._read import read_fl, read_wl
from ._white import infer_white_level


@dataclass(frozen=True, slots=True)
class SpecimenSource:
    """Where the images of one specimen are, and what the manifest says of them.

    `framing` "cut": the images are one specimen already; "full": full frames, in which `roi` (x, y, width, height in
    px) is the specimen, or, without `roi`, the only one that `find_specimens` finds (needs `mm_per_px`, here or in
    the file).
    """

    specimen_id: str
    fl_image: Path | None = None
    wl_image: Path | None = None
    framing: Literal["cut", "full"] = "cut"
    roi: Box | None = None
    mm_per_px: float | None = None
    fl_exposure_ms: float | None = None
    fl_gain: float | None = None
    distance_mm: float | None = None
    irradiance_mw_cm2: float | None = None
    fl_dark: Path | None = None
    fl_flat: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SpecimenImages:
    """One specimen, cut, with what is known of how it was taken.

    Attributes
    ----------
    fl, wl : the cut images; None where there is none.
    dark, flat : frames of the size of `fl`, uint16 (h, w), or None.
    mask : bool (h, w), where the specimen is within the cut; None for images that came cut.
    box, outline : where it was cut in a full frame, see `SpecimenRegion`; None for images that came cut.
    """

    specimen_id: str
    fl: RawImage | None = None
    wl: RawImage | None = None
    fl_exposure_ms: float | None = None
    fl_gain: float | None = None
    distance_mm: float | None = None
    irradiance_mw_cm2: float | None = None
    mm_per_px: float | None = None
    dark: Pixels | None = None
    flat: Pixels | None = None
    mask: NDArray[np.bool_] | None = None
    box: Box | None = None
    outline: NDArray[np.int32] | None = None
    touching_border: bool = False

    @property
    def has(self) -> tuple[str, ...]:
        """Which images there are: some of "fl", "wl"."""
        return tuple(name for name, image in (("fl", self.fl), ("wl", self.wl)) if image is not None)


def open_specimen(source: SpecimenSource, *, want_fl: bool = True, want_wl: bool = True) -> SpecimenImages:
    """Read the images of a specimen, find and cut it if the frames are full.

    An image that is not wanted is read only where it is needed to find the specimen.

    Raises
    ------
    ImageError : an image of the source cannot be used; none or several specimens in a full frame without `roi`.
    """
    find = source.framing == "full" and source.roi is None
    fl = read_fl(source.fl_image) if source.fl_image is not None and (want_fl or find) else None
    wl = read_wl(source.wl_image) if source.wl_image is not None and (want_wl or find) else None
    sizes = [raw.mm_per_px for raw in (fl, wl) if raw is not None and raw.mm_per_px is not None]
    mm_per_px = source.mm_per_px or (sizes[0] if sizes else None)
    dark = _calibration_frame(source.fl_dark, fl) if want_fl else None
    flat = _calibration_frame(source.fl_flat, fl) if want_fl else None
    whole = SpecimenImages(
        source.specimen_id,
        fl,
        wl,
        source.fl_exposure_ms,
        source.fl_gain,
        source.distance_mm,
        source.irradiance_mw_cm2,
        mm_per_px,
        dark,
        flat,
    )
    if source.framing == "full":
        whole = _only_specimen(whole, source)
    return replace(whole, fl=whole.fl if want_fl else None, wl=whole.wl if want_wl else None)


def specimens_in_frames(
    fl: Frame | None,
    wl: Frame | None,
    *,
    dark: Pixels | None = None,
    flat: Pixels | None = None,
    name: str = "frame",
    field_mm: tuple[float, float] | None = None,
) -> list[SpecimenImages]:
    """Find and cut every specimen of one frame pair, in reading order; named NAME-1, NAME-2 ...

    Parameters
    ----------
    fl : uint16 (H, W); `mm_per_px` of it or of `wl` is needed.
    wl : uint8 (H, W, 3), registered to `fl`.
    dark, flat : frames of the size of `fl`.
    field_mm : width and height of what is cut, with the specimen in its middle, moved into the frame at the rim; a
        larger specimen is cut whole. None: outline and margin.

    Returns
    -------
    Empty for an empty plate.

    Raises
    ------
    ImageError : pixels of another type or shape, frames of different sizes, or no `mm_per_px`.
    """
    whole = _whole(fl, wl, dark, flat, name)
    if whole.mm_per_px is None:
        raise ImageError(None, "the frames do not say mm_per_px, which is needed to find a specimen")
    regions = _regions(whole)
    if field_mm is not None:
        shape = (fl or wl).pixels.shape  # type: ignore[union-attr]  # `_whole` refused a pair without frames
        size_px = (round(field_mm[0] / whole.mm_per_px), round(field_mm[1] / whole.mm_per_px))
        regions = [_in_field(region, size_px, (shape[0], shape[1])) for region in regions]
    return [_within(whole, region, f"{name}-{k}") for k, region in enumerate(regions, start=1)]


def read_frame(path: Path) -> RawImage:
    """Read a dark or flat frame: as `read_fl`, but a blank one is allowed (a perfect dark frame is blank)."""
    return read_fl(path, allow_blank=True)


def _calibration_frame(path: Path | None, image: RawImage | None) -> Pixels | None:
    """A dark or flat frame of the size of the image that it corrects."""
    if path is None or image is None:
        return None
    frame = read_frame(path)
    if frame.pixels.shape != image.pixels.shape:
        (h0, w0), (h1, w1) = frame.pixels.shape, image.pixels.shape
        raise ImageError(path, f"is {w0} x {h0} px, the frame it corrects ({image.path}) is {w1} x {h1} px")
    return frame.pixels


def _whole(fl: Frame | None, wl: Frame | None, dark: Pixels | None, flat: Pixels | None, name: str) -> SpecimenImages:
    for slot, frame in (("FL", fl), ("WL", wl)):
        if frame is not None:
            _check_pixels(slot, frame.pixels)
    known = [frame for frame in (fl, wl) if frame is not None]
    if not known:
        raise ImageError(None, "neither a fluorescence nor a white-light frame is given")
    for kind, pixels in (("dark", dark), ("flat", flat)):
        if fl is not None and pixels is not None and pixels.shape != fl.pixels.shape:
            raise ImageError(None, f"the {kind} frame is {pixels.shape}, the FL frame is {fl.pixels.shape}")
    first = known[0]
    scales = [frame.mm_per_px for frame in known if frame.mm_per_px is not None]
    return SpecimenImages(
        name,
        _raw(fl) if fl is not None else None,
        _raw(wl) if wl is not None else None,
        fl.exposure_ms if fl is not None else None,
        fl.gain if fl is not None else None,
        first.distance_mm,
        first.irradiance_mw_cm2,
        scales[0] if scales else None,
        dark,
        flat,
    )


def _check_pixels(slot: str, pixels: Pixels) -> None:
    kinds, axes, wanted = ((np.uint16,), 2, "uint16 (H, W)") if slot == "FL" else ((np.uint8,), 3, "uint8 (H, W, 3)")
    fits = pixels.dtype.type in kinds and pixels.ndim == axes and (slot == "FL" or pixels.shape[2] == 3)
    if not fits:
        raise ImageError(None, f"the {slot} frame is {pixels.dtype} {pixels.shape}, {wanted} is needed")
    check_size(None, *pixels.shape[:2])


def _raw(frame: Frame) -> RawImage:
    white = frame.white_level or infer_white_level(frame.pixels)
    return RawImage(frame.pixels, white, None, frame.mm_per_px, white_stated=frame.white_level is not None)


def _regions(whole: SpecimenImages) -> list[SpecimenRegion]:
    return find_specimens(
        whole.fl.pixels if whole.fl is not None else None,
        whole.wl.pixels if whole.wl is not None else None,
        mm_per_px=whole.mm_per_px or 0.0,
    )


def _only_specimen(whole: SpecimenImages, source: SpecimenSource) -> SpecimenImages:
    image = whole.fl if whole.fl is not None else whole.wl
    if image is None:
        raise ImageError(None, f"specimen {source.specimen_id} has no image")
    if source.roi is not None:
        return _cut(whole, _checked_roi(source.roi, image))
    if whole.mm_per_px is None:
        raise ImageError(image.path, "is a full frame without roi, so mm_per_px is needed to find the specimen")
    found = _regions(whole)
    if len(found) != 1:
        raise ImageError(image.path, f"has {len(found)} specimens in the frame, exactly 1 is needed without roi")
    return _within(whole, found[0], source.specimen_id)


def _within(whole: SpecimenImages, region: SpecimenRegion, name: str) -> SpecimenImages:
    return replace(
        _cut(whole, region.box),
        specimen_id=name,
        mask=region.mask,
        outline=region.outline,
        touching_border=region.touching_border,
    )


def _in_field(region: SpecimenRegion, size_px: tuple[int, int], shape: tuple[int, int]) -> SpecimenRegion:
    """The region with a box of `size_px` (width, height) round its middle."""
    x, y, width, height = region.box
    left, wide = _span(x, width, size_px[0], shape[1])
    top, high = _span(y, height, size_px[1], shape[0])
    mask = cut(region.mask, (left - x, top - y, wide, high))
    return replace(region, box=(left, top, wide, high), mask=mask)


def _span(start: int, length: int, wanted: int, available: int) -> tuple[int, int]:
    """Start and length of `wanted` pixels round the middle of a span, moved into what is available."""
    size = min(max(wanted, length), available)
    return min(max(start + length // 2 - size // 2, 0), available - size), size


def _cut(whole: SpecimenImages, box: Box) -> SpecimenImages:
    def part(image: RawImage | None) -> RawImage | None:
        return None if image is None else replace(image, pixels=cut(image.pixels, box))

    return replace(
        whole,
        fl=part(whole.fl),
        wl=part(whole.wl),
        dark=None if whole.dark is None else cut(whole.dark, box),
        flat=None if whole.flat is None else cut(whole.flat, box),
        box=box,
    )


def _checked_roi(roi: Box, image: RawImage) -> Box:
    x, y, width, height = roi
    rows, columns = image.pixels.shape[:2]
    if width < 1 or height < 1 or x >= columns or y >= rows or x + width <= 0 or y + height <= 0:
        raise ImageError(image.path, f"roi {x},{y},{width},{height} is outside the frame of {columns} x {rows} px")
    return roi

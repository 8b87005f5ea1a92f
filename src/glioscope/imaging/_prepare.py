"""The one path from files to network images, for training and theatre alike."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from glioscope.core import FLPlan, ImageError, WLPlan

from ._apply import Prepared, apply_fl_plan, apply_wl_plan, fl_signal
from ._canvas import Box, cut
from ._find import find_specimens
from ._images import Pixels, RawImage
from ._read import read_fl, read_wl


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
    irradiance_mw_cm2: float | None = None
    fl_dark: Path | None = None
    fl_flat: Path | None = None


@dataclass(frozen=True, slots=True)
class PreparedSpecimen:
    """What the networks read of one specimen; None where no image or no plan was given. `box`: where it was cut."""

    specimen_id: str
    fl: Prepared | None
    wl: Prepared | None
    box: Box | None = None


def prepare_specimen(
    source: SpecimenSource, *, fl_plan: FLPlan | None = None, wl_plan: WLPlan | None = None
) -> PreparedSpecimen:
    """Read, find and cut if the frames are full, and apply the plans.

    An image without a plan is read only where it is needed to find the specimen.

    Raises
    ------
    ImageError : an image of the source cannot be used; none or several specimens in a full frame without `roi`.
    """
    fl, wl, box = _open(source, want_fl=fl_plan is not None, want_wl=wl_plan is not None)
    return PreparedSpecimen(
        source.specimen_id,
        apply_fl_plan(fl_plan, _cut(fl, box), **_conditions(source, fl, box)) if fl and fl_plan else None,
        apply_wl_plan(wl_plan, _cut(wl, box)) if wl and wl_plan else None,
        box,
    )


def specimen_signal(source: SpecimenSource, plan: FLPlan) -> NDArray[np.float32]:
    """Counts (h, w) of the cut specimen as `plan` normalises them, see `fl_signal`; for `white_of_signals`.

    Raises
    ------
    ImageError : as `prepare_specimen`, and where the source has no fluorescence image.
    """
    fl, _, box = _open(source, want_fl=True, want_wl=False)
    if fl is None:
        raise ImageError(None, f"specimen {source.specimen_id} has no FL image")
    return fl_signal(plan, _cut(fl, box), **_conditions(source, fl, box))[0]


def _open(
    source: SpecimenSource, *, want_fl: bool, want_wl: bool
) -> tuple[RawImage | None, RawImage | None, Box | None]:
    """The FL and WL image as far as wanted or needed to find the specimen, and where it is in a full frame."""
    find = source.framing == "full" and source.roi is None
    fl = read_fl(source.fl_image) if source.fl_image is not None and (want_fl or find) else None
    wl = read_wl(source.wl_image) if source.wl_image is not None and (want_wl or find) else None
    return fl, wl, _box(source, fl, wl) if source.framing == "full" else None


class _Conditions(TypedDict):
    """What the manifest says of a fluorescence image, as `apply_fl_plan` takes it."""

    exposure_ms: float | None
    irradiance_mw_cm2: float | None
    dark: Pixels | None
    flat: Pixels | None


def _conditions(source: SpecimenSource, image: RawImage, box: Box | None) -> _Conditions:
    return {
        "exposure_ms": source.fl_exposure_ms,
        "irradiance_mw_cm2": source.irradiance_mw_cm2,
        "dark": _frame(source.fl_dark, image, box),
        "flat": _frame(source.fl_flat, image, box),
    }


def _frame(path: Path | None, image: RawImage, box: Box | None) -> Pixels | None:
    """A dark or flat frame, cut as the image is."""
    if path is None:
        return None
    frame = read_frame(path)
    if frame.pixels.shape != image.pixels.shape:
        (h0, w0), (h1, w1) = frame.pixels.shape, image.pixels.shape
        raise ImageError(path, f"is {w0} x {h0} px, the frame it corrects ({image.path}) is {w1} x {h1} px")
    return _cut(frame, box).pixels


def read_frame(path: Path) -> RawImage:
    """Read a dark or flat frame: as `read_fl`, but a blank one is allowed (a perfect dark frame is blank)."""
    return read_fl(path, allow_blank=True)


def _cut(image: RawImage, box: Box | None) -> RawImage:
    return image if box is None else replace(image, pixels=cut(image.pixels, box))


def _box(source: SpecimenSource, fl: RawImage | None, wl: RawImage | None) -> Box:
    image = fl if fl is not None else wl
    if image is None:
        raise ImageError(None, f"specimen {source.specimen_id} has no image")
    if source.roi is not None:
        return _checked_roi(source.roi, image)
    sizes = [raw.mm_per_px for raw in (fl, wl) if raw is not None and raw.mm_per_px is not None]
    mm_per_px = source.mm_per_px or (sizes[0] if sizes else None)
    if mm_per_px is None:
        raise ImageError(image.path, "is a full frame without roi, so mm_per_px is needed to find the specimen")
    found = find_specimens(
        fl.pixels if fl is not None else None, wl.pixels if wl is not None else None, mm_per_px=mm_per_px
    )
    if len(found) != 1:
        raise ImageError(image.path, f"has {len(found)} specimens in the frame, exactly 1 is needed without roi")
    return found[0].box


def _checked_roi(roi: Box, image: RawImage) -> Box:
    x, y, width, height = roi
    rows, columns = image.pixels.shape[:2]
    if width < 1 or height < 1 or x >= columns or y >= rows or x + width <= 0 or y + height <= 0:
        raise ImageError(image.path, f"roi {x},{y},{width},{height} is outside the frame of {columns} x {rows} px")
    return roi

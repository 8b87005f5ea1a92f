"""Small pictures of a case's specimens for paper, the fluorescence of all of them on one scale."""

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import InputError

from ._live_scale import LiveScale, colours

if TYPE_CHECKING:
    from glioscope.cases import Case, CaseStore, Specimen

_SIDE_PX: Final = 160
_BRIGHTEST, _DARKEST = 99.8, 1.0
"""Percentiles of the pixels that become the ends of the scale."""
_NO_END: Final = 65536
"""No count is shown as saturated: what is kept was summed from several frames."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Small pictures of all specimens of a case.

    Attributes
    ----------
    shown : (specimen_id, slot) -> `data:` URI.
    missing : (specimen_id, slot) -> why there is none, one sentence.
    low, high : counts at the ends of the fluorescence scale; 0 where there is no picture.
    """

    shown: dict[tuple[str, str], str] = field(default_factory=dict)
    missing: dict[tuple[str, str], str] = field(default_factory=dict)
    low: int = 0
    high: int = 0


def small_pictures(case: "Case", store: "CaseStore") -> Pictures:
    """Read and shrink the pictures of a case; one that is damaged is named in `missing`, the others are shown."""
    small: dict[tuple[str, str], NDArray[Any]] = {}
    missing: dict[tuple[str, str], str] = {}
    for specimen in case.specimens:
        for slot in specimen.record.images:
            try:
                small[specimen.specimen_id, slot] = _small(specimen, slot, store)
            except InputError as error:
                missing[specimen.specimen_id, slot] = str(error)
    counts = [pixels for (_, slot), pixels in small.items() if slot == "fl"]
    if not counts:
        return Pictures({key: _jpeg(pixels) for key, pixels in small.items()}, missing)
    low = int(min(np.percentile(pixels, _DARKEST) for pixels in counts))
    high = max(int(max(np.percentile(pixels, _BRIGHTEST) for pixels in counts)), low + 1)
    rgb = colours()[LiveScale(low, min(high, _NO_END - 1)).table(_NO_END)]
    shown = {key: _jpeg(rgb[pixels][:, :, ::-1] if key[1] == "fl" else pixels) for key, pixels in small.items()}
    return Pictures(shown, missing, low, high)


def _small(specimen: "Specimen", slot: str, store: "CaseStore") -> NDArray[Any]:
    """At most 160 px a side: uint16 (h, w) for fluorescence, uint8 BGR (h, w, 3) for white light."""
    data = store.image(specimen.case_id, specimen.record.images[slot])
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED if slot == "fl" else cv2.IMREAD_COLOR)
    if pixels is None or (slot == "fl" and pixels.ndim != 2):
        raise InputError(f"the {slot.upper()} picture of specimen {specimen.number} cannot be decoded")
    if slot == "fl":
        pixels = pixels.astype(np.uint16)
    share = min(1.0, _SIDE_PX / max(pixels.shape[:2]))
    size = max(1, round(pixels.shape[1] * share)), max(1, round(pixels.shape[0] * share))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def _jpeg(bgr: NDArray[Any]) -> str:
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(bgr), [cv2.IMWRITE_JPEG_QUALITY, 88])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")

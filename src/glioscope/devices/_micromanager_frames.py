"""From Micro-Manager's images to frames: pixels, numbers, and what the camera can do."""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import CameraInfo, DeviceError

from ._micromanager_core import number_range
from ._micromanager_settings import MicroManagerCameraSettings

_EXPOSURES_MS = (0.001, 60_000.0)
_EARLY = 0.25


def to_pixels(image: NDArray[Any]) -> NDArray[Any]:
    """Uint8 RGB from Micro-Manager's RGB32 (uint32, bytes B G R A); uint16 from 8 or 16 bits of grey."""
    if image.dtype == np.uint32:
        return np.asarray(cv2.cvtColor(image.view(np.uint8).reshape(*image.shape, 4), cv2.COLOR_BGRA2RGB))
    return image.astype(np.uint16, copy=False)


class Numbering:
    """Frame numbers that rise by one, leave a gap where frames were lost, and go on when the core counts anew.

    Parameters
    ----------
    period_s : of the wanted rate: frames that come earlier are left out, without a gap; None: all are kept. Frames are
        wanted at whole multiples of it on the monotonic clock, so that two fast cameras without a common trigger give
        frames that belong together.
    """

    def __init__(self, period_s: float | None) -> None:
        self._period_s = period_s
        self._base = self._left_out = 0
        self._last = -1
        self._due_s = float("-inf")

    def resume(self, lost: int) -> None:
        """The core counts from 0 again; so many frames were lost on the way."""
        self._base = self._last + 1 + lost

    def take(self, image_number: int, end_s: float) -> int | None:
        """The frame's number since the start; None when it is to be left out.

        Parameters
        ----------
        image_number : the core's count, from 0.
        end_s : end of exposure.
        """
        if self._base + image_number <= self._last:  # cores before 12 count anew when their buffer overflows
            self._base = self._last + 2 - image_number
        self._last = self._base + image_number
        if self._period_s is not None:
            if end_s < self._due_s - _EARLY * self._period_s:
                self._left_out += 1
                return None
            late = end_s - self._due_s > self._period_s
            self._due_s = (
                self._period_s * (math.floor(end_s / self._period_s) + 1) if late else self._due_s + self._period_s
            )
        return self._last - self._left_out


def info_of(device: str, core: Any, label: str, settings: MicroManagerCameraSettings) -> CameraInfo:
    """What the camera can do, as it is set up now. Raises DeviceError when its pixels are of no use here."""
    components, width, bits = core.getNumberOfComponents(), core.getBytesPerPixel(), core.getImageBitDepth()
    colour = (components, width) == (4, 4)
    if not colour and (components != 1 or width not in (1, 2)):
        what = f"{components} components, {width} bytes a pixel"
        raise DeviceError(
            device, f"gives pixels that cannot be used ({what}): 8 or 16 bits of grey or RGB32 are needed"
        )
    if colour != settings.colour:
        given, asked = ("RGB", "grey") if colour else ("grey", "RGB")
        raise DeviceError(
            device, f"gives {given} frames where {asked} ones were asked for: see colour and its PixelType"
        )
    low, high = number_range(core, label, "Exposure") or _EXPOSURES_MS
    return CameraInfo(
        model=f"{_text(core, label, 'CameraName') or core.getDeviceName(label)} ({core.getDeviceLibrary(label)})",
        serial=_text(core, label, "SerialNumber") or _text(core, label, "CameraID"),
        rows=core.getImageHeight(),
        columns=core.getImageWidth(),
        colour=colour,
        white_level=settings.white_level or (255 if colour or width == 1 else 2 ** min(bits, 16) - 1),
        exposure_ms=(max(low, _EXPOSURES_MS[0]), high),
        gain=number_range(core, label, settings.gain_property) or (0.0, 0.0),
    )


def _text(core: Any, label: str, key: str) -> str:
    return str(core.getProperty(label, key)) if core.hasProperty(label, key) else ""

"""What is diagnosed of a few pairs: fluorescence corrected and added up, white light laid over it."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import Frame
from glioscope.devices import FramePair, ImagingUnit
from glioscope.imaging import Registration

from ._capture import integrate


def frames_to_diagnose(
    pairs: Sequence[FramePair], unit: ImagingUnit, offset_counts: float | None, registration: Registration | None
) -> tuple[Frame, Frame | None]:
    """Fluorescence of all pairs added up, and the newest white light in its geometry.

    White light is None where it cannot be laid over: the cameras are not registered and give other sizes.

    Raises
    ------
    InputError, ImageError : frames that cannot be added up, or a calibration or registration of another setting.
    """
    fl = integrate([unit.correct(pair.fl) for pair in pairs], offset_counts or 0.0)
    wl = pairs[-1].wl
    if registration is None:
        return fl, (wl if wl.pixels.shape[:2] == fl.pixels.shape else None)
    return fl, replace(wl, pixels=registration.apply(wl.pixels), mm_per_px=fl.mm_per_px)


def wl_over_fl(wl: Frame, fl_shape: tuple[int, ...] | None, registration: Registration | None) -> NDArray[np.uint8]:
    """White light in the geometry of fluorescence, uint8 (H, W, 3); without a registration only scaled to its size.

    Parameters
    ----------
    fl_shape : (H, W) of fluorescence; None: not known yet, the picture stays as it is.

    Raises
    ------
    ImageError : of another size than was registered.
    """
    if registration is not None:
        return registration.apply(wl.pixels)
    if fl_shape is None or wl.pixels.shape[:2] == fl_shape:
        return np.asarray(wl.pixels, np.uint8)
    size = (fl_shape[1], fl_shape[0])
    return np.asarray(cv2.resize(wl.pixels, size, interpolation=cv2.INTER_AREA), np.uint8)

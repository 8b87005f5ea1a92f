"""GenICam pixel formats: bytes of a buffer to uint16 counts or uint8 RGB."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import InputError

Decode = Callable[[bytes, int, int], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How a GenICam format becomes a frame.

    Attributes
    ----------
    colour : gives uint8 RGB (rows, columns, 3); else uint16 (rows, columns).
    white_level : highest count.
    decode : from bytes, rows and columns; new memory.
    """

    colour: bool
    white_level: int
    decode: Decode


def pixel_format(name: str) -> PixelFormat:
    """The format of this GenICam name. Raises InputError for one that cannot be read here, naming those that can."""
    found = _FORMATS.get(name)
    if found is None:
        raise InputError(f"pixel_format {name!r} cannot be read; use one of {', '.join(_FORMATS)}")
    return found


PACKED = frozenset({"Mono12p", "Mono12Packed"})
"""Formats whose frames need an even number of pixels."""


def _mono8(data: bytes, rows: int, columns: int) -> NDArray[Any]:
    return np.frombuffer(data, np.uint8, rows * columns).reshape(rows, columns).astype(np.uint16)


def _mono16(data: bytes, rows: int, columns: int) -> NDArray[Any]:
    return np.frombuffer(data, "<u2", rows * columns).reshape(rows, columns).astype(np.uint16)


def _triples(data: bytes, rows: int, columns: int) -> NDArray[np.uint16]:
    """Three bytes hold two pixels, so their number is even (checked when the camera is set up)."""
    return np.frombuffer(data, np.uint8, rows * columns * 3 // 2).reshape(-1, 3).astype(np.uint16)


def _mono12p(data: bytes, rows: int, columns: int) -> NDArray[Any]:
    low, middle, high = _triples(data, rows, columns).T
    return np.stack([low | (middle & 15) << 8, middle >> 4 | high << 4], axis=1).reshape(rows, columns)


def _mono12packed(data: bytes, rows: int, columns: int) -> NDArray[Any]:
    first, middle, second = _triples(data, rows, columns).T
    return np.stack([first << 4 | middle & 15, second << 4 | middle >> 4], axis=1).reshape(rows, columns)


def _rgb8(data: bytes, rows: int, columns: int) -> NDArray[Any]:
    return np.frombuffer(data, np.uint8, rows * columns * 3).reshape(rows, columns, 3).copy()


def _bgr8(data: bytes, rows: int, columns: int) -> NDArray[Any]:
    pixels = np.frombuffer(data, np.uint8, rows * columns * 3).reshape(rows, columns, 3)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def _bayer(code: int) -> Decode:
    def decode(data: bytes, rows: int, columns: int) -> NDArray[Any]:
        mosaic = np.frombuffer(data, np.uint8, rows * columns).reshape(rows, columns)
        return np.asarray(cv2.cvtColor(mosaic, code))

    return decode


_FORMATS = {
    "Mono8": PixelFormat(False, 255, _mono8),
    "Mono10": PixelFormat(False, 1023, _mono16),
    "Mono12": PixelFormat(False, 4095, _mono16),
    "Mono14": PixelFormat(False, 16383, _mono16),
    "Mono16": PixelFormat(False, 65535, _mono16),
    "Mono12p": PixelFormat(False, 4095, _mono12p),
    "Mono12Packed": PixelFormat(False, 4095, _mono12packed),
    "RGB8": PixelFormat(True, 255, _rgb8),
    "BGR8": PixelFormat(True, 255, _bgr8),
    "BayerRG8": PixelFormat(True, 255, _bayer(cv2.COLOR_BayerRGGB2RGB)),
    "BayerGR8": PixelFormat(True, 255, _bayer(cv2.COLOR_BayerGRBG2RGB)),
    "BayerGB8": PixelFormat(True, 255, _bayer(cv2.COLOR_BayerGBRG2RGB)),
    "BayerBG8": PixelFormat(True, 255, _bayer(cv2.COLOR_BayerBGGR2RGB)),
}

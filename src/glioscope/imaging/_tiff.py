"""TIFF and OME-TIFF: one grey or RGB page, any compression that tifffile and imagecodecs know."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from glioscope.core import ImageError

from ._images import ImageHeader, Pixels, check_size, mm_per_px_from_dpi

_MICROMETRES = {"µm": 1e-3, "um": 1e-3, "micron": 1e-3, "\\u00b5m": 1e-3, "mm": 1.0, "cm": 10.0, "nm": 1e-6}


def tiff_header(path: Path) -> ImageHeader:
    """Header of a TIFF; see `probe_image`."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        return _header(path, file)


def tiff_pixels(path: Path) -> tuple[ImageHeader, Pixels]:
    """Header and pixels (H, W) or (H, W, C) of a TIFF, white-is-zero pages inverted."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        header = _header(path, file)
        page = file.pages.first
        pixels = page.asarray()
        if page.planarconfig == 2 and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        if page.photometric == 0:
            pixels = np.asarray((1 << header.bits) - 1 - pixels, pixels.dtype)
    return header, np.ascontiguousarray(
        pixels.reshape(header.height, header.width, -1).squeeze(-1) if header.channels == 1 else pixels
    )


def _header(path: Path, file: Any) -> ImageHeader:
    pages = len(file.pages)
    if pages != 1 and sum(not page.is_reduced for page in file.pages) != 1:
        raise ImageError(path, f"has {pages} pages, one image a file is needed")
    page = file.pages.first
    _refuse_kind(path, page)
    height, width = int(page.imagelength), int(page.imagewidth)
    check_size(path, height, width)
    if page.is_tiled:  # a tile is decoded whole, however little of it is picture
        check_size(path, int(page.tilelength), int(page.tilewidth))
    if page.imagedepth != 1:
        raise ImageError(path, f"is a volume of {page.imagedepth} planes, one image a file is needed")
    _refuse_truncated(path, file, page)
    return ImageHeader(
        path=path,
        kind="tiff",
        height=height,
        width=width,
        channels=int(page.samplesperpixel),
        dtype=str(page.dtype),
        bits=int(page.bitspersample),
        white_level=_stated_white(file, page),
        mm_per_px=_mm_per_px(file, page),
        lossy=int(page.compression) in (6, 7),
    )


def _refuse_kind(path: Path, page: Any) -> None:
    if page.photometric == 3:
        raise ImageError(path, "is a palette image, grey or RGB pixels are needed")
    if page.photometric not in (0, 1, 2, 6):
        name = getattr(page.photometric, "name", page.photometric)
        raise ImageError(path, f"has the colour model {name}, grey or RGB pixels are needed")
    if page.dtype is None or page.dtype.kind == "f":
        raise ImageError(path, f"has {page.bitspersample}-bit floating-point pixels, 8 or 16-bit integers are needed")
    if page.dtype.kind not in "ui" or page.dtype.itemsize > 2 or page.bitspersample < 8:
        raise ImageError(path, f"has {page.bitspersample}-bit {page.dtype} pixels, 8 or 16-bit integers are needed")


def _refuse_truncated(path: Path, file: Any, page: Any) -> None:
    pairs = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    end = max((offset + count for offset, count in pairs), default=0)
    size = int(file.filehandle.size)
    if end > size:
        raise ImageError(path, f"is truncated: {size} bytes, its pixels end at byte {end}")
    if not pairs or not any(count for _, count in pairs):
        raise ImageError(path, "is truncated: it holds no pixel data")


def _stated_white(file: Any, page: Any) -> int | None:
    """Top of the range that the file states: odd sample sizes, OME SignificantBits, the SampleValue tags.

    The tags hold the brightest value used as often as the range, so only 2^n - 1 with n = 8 to 16 is believed.
    """
    if page.bitspersample not in (8, 16):
        return int((1 << page.bitspersample) - 1)
    if page.bitspersample == 8:
        return 255
    if file.is_ome and (match := re.search(r'SignificantBits="(\d+)"', file.ome_metadata or "")):
        bits = int(match[1])
        return (1 << bits) - 1 if 8 <= bits <= 16 else None
    for code in (341, 281):
        tag = page.tags.get(code)
        value = np.ravel(tag.value)[0] if tag is not None else 0
        if value in [(1 << n) - 1 for n in range(8, 17)]:
            return int(value)
    return None


def _mm_per_px(file: Any, page: Any) -> float | None:
    if file.is_ome:
        text = file.ome_metadata or ""
        size = re.search(r'PhysicalSizeX="([0-9.eE+-]+)"', text)
        unit = re.search(r'PhysicalSizeXUnit="([^"]+)"', text)
        mm_per_px = float(size[1]) * _MICROMETRES.get(unit[1] if unit else "µm", np.nan) if size else np.nan
        return mm_per_px if 0 < mm_per_px < np.inf else None
    tag = page.tags.get("XResolution")
    if tag is None or not tag.value[0] or not tag.value[1]:
        return None
    per_unit = tag.value[0] / tag.value[1]
    if file.is_imagej:
        unit_mm = _MICROMETRES.get(str((file.imagej_metadata or {}).get("unit", "")).lower())
        return unit_mm / per_unit if unit_mm else None
    resolution_unit = page.tags.get("ResolutionUnit")
    code = int(resolution_unit.value) if resolution_unit is not None else 1
    if code not in (2, 3):
        return None
    return mm_per_px_from_dpi(per_unit if code == 2 else per_unit * 2.54)

"""PNG and JPEG: headers read by hand (palette, alpha, truncation), pixels by OpenCV."""

import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from glioscope.core import ImageError

from ._images import ImageHeader, Pixels, check_size, mm_per_px_from_dpi

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


def png_header(path: Path, data: bytes) -> ImageHeader:
    """Header of a PNG from its bytes; walks all chunks, so a truncated file is found."""
    chunks = dict(_png_chunks(path, data))
    if "IHDR" not in chunks or len(chunks["IHDR"]) != 13:
        raise ImageError(path, "is a PNG without an image header")
    width, height, bits, colour = struct.unpack(">IIBB", chunks["IHDR"][:10])
    check_size(path, height, width)
    if colour == 3:
        raise ImageError(path, "is a palette image, grey or RGB pixels are needed")
    if colour not in _PNG_CHANNELS or bits not in (8, 16):
        raise ImageError(path, f"has {bits}-bit pixels, 8 or 16 bits are needed")
    if "acTL" in chunks:
        raise ImageError(path, "is an animated PNG, one image a file is needed")
    if "IDAT" not in chunks or "IEND" not in chunks:
        raise ImageError(path, f"is truncated: {len(data)} bytes without the end of the image")
    transparent = "tRNS" in chunks
    return ImageHeader(
        path=path,
        kind="png",
        height=height,
        width=width,
        channels=_PNG_CHANNELS[colour] + transparent,
        dtype=f"uint{bits}",
        bits=bits,
        white_level=255 if bits == 8 else _png_white(chunks.get("sBIT", b""), bits),
        mm_per_px=_png_mm_per_px(chunks.get("pHYs", b"")),
    )


def jpeg_header(path: Path, data: bytes) -> ImageHeader:
    """Header of a JPEG from its bytes; a file without the end-of-image marker is truncated."""
    height, width, channels, bits = _jpeg_frame(path, data)
    check_size(path, height, width)
    if bits != 8 or channels not in (1, 3):
        raise ImageError(path, f"is a JPEG of {channels} channels and {bits} bits, 1 or 3 channels of 8 are needed")
    if data.rstrip(b"\x00\r\n")[-2:] != b"\xff\xd9" and data.rfind(b"\xff\xd9") < len(data) // 2:
        raise ImageError(path, f"is truncated: {len(data)} bytes without the end of the image")
    # Huffman coding spends at least one bit on a block of 8 x 8; a decoder fills what is missing with grey.
    if height * width > 512 * len(data):
        raise ImageError(path, f"is truncated: {len(data)} bytes cannot hold {width} x {height} px")
    return ImageHeader(path, "jpeg", height, width, channels, "uint8", 8, 255, None, lossy=True)


def raster_pixels(path: Path, data: bytes) -> Pixels:
    """Pixels of a PNG or JPEG as stored: (H, W) grey or (H, W, 3 or 4) in RGB(A) order; uint8 or uint16."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ImageError(path, "cannot be decoded: its image data are damaged")
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        order = [2, 1, 0, 3][: pixels.shape[2]]
        return np.ascontiguousarray(pixels[:, :, order])
    return pixels


def _png_chunks(path: Path, data: bytes) -> Iterator[tuple[str, bytes]]:
    position = len(PNG_MAGIC)
    while position < len(data):
        head = data[position : position + 8]
        end = position + 12 + struct.unpack(">I", head[:4])[0] if len(head) == 8 else len(data) + 1
        if end > len(data):
            raise ImageError(path, f"is truncated: {len(data)} bytes, more are announced in its chunks")
        name = head[4:].decode("latin-1")
        yield name, data[position + 8 : end - 4] if name != "IDAT" else b""
        if name == "IEND":
            return
        position = end


def _png_white(significant: bytes, bits: int) -> int | None:
    """Top of the range from the sBIT chunk, in the stored counts (PNG keeps significant bits at the top)."""
    return None if not significant or significant[0] > bits else 65535


def _png_mm_per_px(physical: bytes) -> float | None:
    if len(physical) != 9 or physical[8] != 1:
        return None
    per_metre = struct.unpack(">I", physical[:4])[0]
    return mm_per_px_from_dpi(round(per_metre * 0.0254, 2))


def _jpeg_frame(path: Path, data: bytes) -> tuple[int, int, int, int]:
    """Height, width, channels and bits from the frame header (SOF0 to SOF15)."""
    position = 2
    while position + 9 < len(data):
        if data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, width, channels = struct.unpack(">BHHB", data[position + 4 : position + 10])
            return height, width, channels, bits
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 2
            continue
        position += 2 + struct.unpack(">H", data[position + 2 : position + 4])[0]
    raise ImageError(path, f"is truncated: {len(data)} bytes of JPEG without a frame header")

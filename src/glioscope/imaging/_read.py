"""The two readers: fluorescence as counts, white light as RGB. Everything else is refused in one sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from glioscope.core import ImageError

from ._images import ImageHeader, Pixels, RawImage, check_not_blank
from ._raster import JPEG_MAGIC, PNG_MAGIC, jpeg_header, png_header, raster_pixels
from ._white import infer_white_level, unsigned_counts

_TIFF_MAGICS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_T = TypeVar("_T")


def read_fl(path: Path | str, *, allow_blank: bool = False) -> RawImage:
    """Read a fluorescence image as counts.

    TIFF, OME-TIFF, PNG, JPEG (grey, 8 bits) or DICOM, recognised by content, not by name. Three channels that are
    equal everywhere are taken as grey; an opaque alpha channel is dropped. `allow_blank`: for dark frames.

    Returns
    -------
    RawImage with uint16 (H, W) pixels, values as stored.

    Raises
    ------
    ImageError : missing, unreadable, truncated, colour, palette, floating point, several pages, under 4 px or over
        16,384 px a side or over 200 MP, blank (see `check_not_blank`).
    """
    header, pixels = _load(Path(path))
    grey = _as_grey(header, pixels)
    moved = False
    if grey.dtype.kind == "i":
        grey, moved = unsigned_counts(grey, 8 * grey.dtype.itemsize)
    counts = np.ascontiguousarray(grey, dtype=np.uint16)
    stated = None if pixels.dtype.kind == "i" else header.white_level
    if stated is not None and int(counts.max()) > stated:
        stated = None
    white = stated or (65535 if moved else infer_white_level(grey))
    if not allow_blank:
        check_not_blank(header.path, counts, white)
    return RawImage(counts, white, header.path, header.mm_per_px, white_stated=stated is not None)


def read_wl(path: Path | str) -> RawImage:
    """Read a white-light image as RGB of 8 bits.

    Returns
    -------
    RawImage with uint8 (H, W, 3) pixels in RGB order.

    Raises
    ------
    ImageError : as `read_fl`; also grey pixels, 16 bits a channel, or an alpha channel that is not opaque.
    """
    header, pixels = _load(Path(path))
    if pixels.ndim == 2 or pixels.shape[2] < 3:
        raise ImageError(header.path, "is grey, a white-light image needs three colour channels")
    if pixels.dtype != np.uint8:
        raise ImageError(header.path, f"has {header.bits} bits a channel, a white-light image needs 8")
    rgb = np.ascontiguousarray(_without_alpha(header, pixels))
    check_not_blank(header.path, rgb, 255)
    return RawImage(rgb, 255, header.path, header.mm_per_px, white_stated=True)


def probe_image(path: Path | str) -> ImageHeader:
    """What a file says of its picture, and whether the file is whole, without decoding pixels.

    Raises
    ------
    ImageError : as the readers, as far as the header shows. Damage inside compressed data and blank frames only show
        on reading.
    """
    path = Path(path)
    kind = _sniff(path)
    if kind == "tiff":
        from ._tiff import tiff_header

        return _decoded(path, lambda: tiff_header(path))
    if kind == "dicom":
        from ._dicom import dicom_header

        return _decoded(path, lambda: dicom_header(path))
    return (png_header if kind == "png" else jpeg_header)(path, path.read_bytes())


def _load(path: Path) -> tuple[ImageHeader, Pixels]:
    kind = _sniff(path)
    if kind == "tiff":
        from ._tiff import tiff_pixels

        return _decoded(path, lambda: tiff_pixels(path))
    if kind == "dicom":
        from ._dicom import dicom_pixels

        return _decoded(path, lambda: dicom_pixels(path))
    data = path.read_bytes()
    header = (png_header if kind == "png" else jpeg_header)(path, data)
    return header, raster_pixels(path, data)


def _sniff(path: Path) -> str:
    """Kind of file by its first bytes."""
    try:
        with path.open("rb") as stream:
            head = stream.read(132)
    except FileNotFoundError as error:
        raise ImageError(path, "does not exist") from error
    except OSError as error:
        raise ImageError(path, f"cannot be opened: {error.strerror}") from error
    if not head:
        raise ImageError(path, "is empty (0 bytes)")
    if head[:4] in _TIFF_MAGICS:
        return "tiff"
    if head.startswith(PNG_MAGIC):
        return "png"
    if head.startswith(JPEG_MAGIC):
        return "jpeg"
    if head[128:132] == b"DICM":
        return "dicom"
    raise ImageError(path, "is not a TIFF, PNG, JPEG or DICOM file, whatever its name says")


def _decoded(path: Path, load: Callable[[], _T]) -> _T:
    """Run a decoder; whatever it raises on damaged bytes becomes one sentence that names the file."""
    try:
        return load()
    except (ImageError, MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # decoders raise anything from struct.error to their own classes
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ImageError(path, f"cannot be decoded, it is damaged or truncated: {reason[:160]}") from error


def _without_alpha(header: ImageHeader, pixels: Pixels) -> Pixels:
    if pixels.ndim == 2 or pixels.shape[2] in (1, 3):
        return pixels
    alpha = pixels[:, :, -1]
    opaque = np.iinfo(pixels.dtype).max
    if int(alpha.min()) != opaque:
        reason = f"has an alpha channel down to {int(alpha.min())}, only opaque ({opaque}) is accepted"
        raise ImageError(header.path, reason)
    return pixels[:, :, :-1]


def _as_grey(header: ImageHeader, pixels: Pixels) -> Pixels:
    pixels = _without_alpha(header, pixels)
    if pixels.ndim == 2:
        return pixels
    first = pixels[:, :, 0]
    if all(np.array_equal(first, pixels[:, :, k]) for k in range(1, pixels.shape[2])):
        return first
    raise ImageError(header.path, f"has {pixels.shape[2]} different colour channels, a fluorescence image needs grey")

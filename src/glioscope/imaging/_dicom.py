"""DICOM pixels: grey of 8 to 16 bits stored, RGB of 8, native, RLE, JPEG, JPEG-LS and JPEG 2000."""

from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from glioscope.core import ImageError

from ._images import ImageHeader, Pixels, check_size
from ._raster import jpeg_header
from ._white import unsigned_counts

_JPEG_BASELINE = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
_JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_RLE = "1.2.840.10008.1.2.5"


def dicom_header(path: Path) -> ImageHeader:
    """Header of a DICOM image; see `probe_image`."""
    return _header(path, _dataset(path))


def dicom_pixels(path: Path) -> tuple[ImageHeader, Pixels]:
    """Header and pixels of a DICOM image: grey counts uint16 (H, W), or RGB uint8 (H, W, 3).

    Grey: signed counts are made unsigned, MONOCHROME1 is inverted, an integer rescale slope and intercept are applied.

    Raises
    ------
    ImageError : a rescale that does not give integers of 16 bits, so the camera's counts cannot be had.
    """
    dataset = _dataset(path)
    header = _header(path, dataset)
    pixels = _decode(path, dataset)
    if pixels.shape[:2] != (header.height, header.width):
        found = f"{pixels.shape[1]} x {pixels.shape[0]} px"
        raise ImageError(path, f"holds {found}, its header says {header.width} x {header.height}")
    if header.channels == 3:
        return header, np.ascontiguousarray(pixels)
    bits = int(dataset.BitsStored)
    signed = int(dataset.PixelRepresentation) == 1
    slope, intercept = _rescale(path, dataset)
    counts = pixels.astype(np.int64)
    top = (1 << (bits - signed)) - 1
    if str(dataset.PhotometricInterpretation) == "MONOCHROME1":
        counts = (-1 - counts) if signed else (top - counts)
    counts, top = counts * slope + intercept, top * slope + intercept
    if signed and counts.min() < 0:
        unsigned, moved = unsigned_counts(counts, bits)
        return _with_white(header, top + (1 << (bits - 1)) if moved else top), unsigned
    if counts.min() < 0 or counts.max() > 65535:
        raise ImageError(path, f"has counts from {counts.min()} to {counts.max()} after rescale, 0 to 65535 are needed")
    return _with_white(header, top), counts.astype(np.uint16)


def _with_white(header: ImageHeader, white_level: int) -> ImageHeader:
    from dataclasses import replace

    return replace(header, white_level=int(min(max(white_level, 1), 65535)))


def _dataset(path: Path) -> Any:
    import pydicom

    # From memory: of a file, pydicom would ask for as many bytes as a damaged length announces, up to 4 GB.
    dataset = pydicom.dcmread(BytesIO(path.read_bytes()))
    if "PixelData" not in dataset or len(dataset.PixelData) == 0:
        raise ImageError(path, "is a DICOM file without pixels")
    return dataset


def _header(path: Path, dataset: Any) -> ImageHeader:
    height, width, channels = int(dataset.Rows), int(dataset.Columns), int(dataset.get("SamplesPerPixel", 1))
    check_size(path, height, width)
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if frames != 1:
        raise ImageError(path, f"has {frames} frames, one image a file is needed")
    photometric = str(dataset.PhotometricInterpretation)
    if photometric.startswith("PALETTE"):
        raise ImageError(path, "is a palette image, grey or RGB pixels are needed")
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    if allocated not in (8, 16) or not 8 <= stored <= allocated:
        raise ImageError(path, f"has {stored} bits in {allocated}, 8 to 16 bits in 8 or 16 are needed")
    compressed = dataset.file_meta.TransferSyntaxUID.is_compressed
    wanted = height * width * channels * allocated // 8
    if not compressed and photometric != "YBR_FULL_422" and len(dataset.PixelData) < wanted:
        raise ImageError(path, f"is truncated: {len(dataset.PixelData)} bytes of pixels, {wanted} are needed")
    signed = int(dataset.get("PixelRepresentation", 0)) == 1
    spacing = dataset.get("PixelSpacing") or dataset.get("ImagerPixelSpacing")
    mm_per_px = float(spacing[0]) if spacing else 0.0
    return ImageHeader(
        path=path,
        kind="dicom",
        height=height,
        width=width,
        channels=channels,
        dtype=f"{'int' if signed else 'uint'}{allocated}",
        bits=stored,
        white_level=(1 << stored) - 1,
        mm_per_px=mm_per_px if 0 < mm_per_px < np.inf else None,
        lossy=str(dataset.get("LossyImageCompression", "00")) == "01",
    )


def _rescale(path: Path, dataset: Any) -> tuple[int, int]:
    slope, intercept = float(dataset.get("RescaleSlope", 1) or 1), float(dataset.get("RescaleIntercept", 0) or 0)
    if slope != round(slope) or slope < 1 or intercept != round(intercept):
        raise ImageError(path, f"has a rescale of {slope:g} x + {intercept:g}, whole counts need whole numbers")
    return int(slope), int(intercept)


def _decode(path: Path, dataset: Any) -> Pixels:
    """Pixels of the one frame; never through Pillow, which clips 16 bits."""
    from pydicom.encaps import get_frame
    from pydicom.pixels.utils import pixel_array

    syntax = str(dataset.file_meta.TransferSyntaxUID)
    if syntax in _JPEG_BASELINE:
        frame = get_frame(dataset.PixelData, 0)
        jpeg_header(path, frame)  # refuses a picture that is larger than its bytes can hold
        pixels = cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None:
            raise ValueError("damaged JPEG data")
        return pixels if pixels.ndim == 2 else pixels[:, :, ::-1]
    import imagecodecs

    for syntaxes, decode in (
        (_JPEG_LOSSLESS, imagecodecs.jpeg8_decode),
        (_JPEG_LS, imagecodecs.jpegls_decode),
        (_JPEG_2000, imagecodecs.jpeg2k_decode),
    ):
        if syntax in syntaxes:
            return np.asarray(decode(get_frame(dataset.PixelData, 0)))
    return np.asarray(pixel_array(dataset, decoding_plugin="pydicom" if syntax == _RLE else ""))

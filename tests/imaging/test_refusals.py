"""Every bad input gives one sentence that names the file, the value and the limit."""

import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile

from glioscope.core import ImageError
from glioscope.imaging import probe_image, read_fl, read_wl

from .dicoms import write_dicom

RNG = np.random.default_rng(0)
GREY = RNG.integers(100, 60000, (64, 80)).astype(np.uint16)
RGB = RNG.integers(0, 256, (64, 80, 3)).astype(np.uint8)


def png(width: int, height: int, bits: int, colour: int, extra: bytes = b"", raw: bytes = b"") -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def refused(read, path, words):
    with pytest.raises(ImageError, match=words) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert caught.value.path == path


def tiff(tmp_path, pixels, **kwargs):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, **kwargs)
    return path


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"hello, this is text\n" * 50, "is not a TIFF, PNG, JPEG or DICOM"),
        (b"GIF89a" + b"\0" * 200, "is not a TIFF"),
        (b"II*\0", "cannot be decoded"),
        (b"\x89PNG\r\n\x1a\n", "PNG without an image header"),
        (b"\xff\xd8\xff\xe0", "is truncated"),
    ],
)
def test_not_an_image(tmp_path, data, words):
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    for read in (read_fl, read_wl, probe_image):
        refused(read, path, words)


def test_missing_and_folder(tmp_path):
    refused(read_fl, tmp_path / "none.tif", "does not exist")
    refused(read_fl, tmp_path, "cannot be opened")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floating_point_and_nan(tmp_path, dtype):
    pixels = np.full((16, 16), np.nan, dtype)
    refused(read_fl, tiff(tmp_path, pixels), "floating-point")


@pytest.mark.parametrize(("dtype", "words"), [(np.uint32, "32-bit"), (bool, "1-bit"), (np.complex64, "64-bit|decoded")])
def test_other_sample_types(tmp_path, dtype, words):
    refused(read_fl, tiff(tmp_path, np.ones((16, 16), dtype)), words)


def test_wrong_slot(tmp_path):
    refused(read_fl, tiff(tmp_path, RGB, photometric="rgb"), "3 different colour channels")
    refused(read_wl, tiff(tmp_path, GREY), "is grey")
    refused(read_wl, tiff(tmp_path, RGB.astype(np.uint16), photometric="rgb"), "16 bits a channel")


def test_alpha(tmp_path):
    rgba = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    rgba[3, 3, 3] = 17
    cv2.imwrite(str(tmp_path / "a.png"), rgba)
    refused(read_wl, tmp_path / "a.png", "alpha channel down to 17")
    refused(read_wl, tiff(tmp_path, rgba, photometric="rgb", extrasamples=["unassalpha"]), "alpha channel down to 17")


def test_palette(tmp_path):
    table = np.zeros((3, 256), np.uint16)
    refused(read_fl, tiff(tmp_path, RGB[..., 0], photometric="palette", colormap=table), "palette")
    (tmp_path / "a.png").write_bytes(png(8, 8, 8, 3))
    refused(read_wl, tmp_path / "a.png", "palette")
    path = write_dicom(tmp_path / "a.dcm", RGB[..., 0], photometric="PALETTE COLOR")
    refused(read_fl, path, "palette")


def test_several_pages(tmp_path):
    refused(read_fl, tiff(tmp_path, np.stack([GREY] * 3), photometric="minisblack"), "has 3 pages")
    path = write_dicom(tmp_path / "a.dcm", GREY, NumberOfFrames=2)
    refused(read_fl, path, "has 2 frames")
    control = struct.pack(">I", 8) + b"acTL" + struct.pack(">II", 2, 0)
    (tmp_path / "a.png").write_bytes(png(8, 8, 8, 0, control + struct.pack(">I", zlib.crc32(control[4:]))))
    refused(read_fl, tmp_path / "a.png", "animated")


def test_one_page_with_a_thumbnail_is_one_image(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(GREY, metadata=None)
        writer.write(GREY[::4, ::4], subfiletype=1, metadata=None)
    np.testing.assert_array_equal(read_fl(tmp_path / "a.tif").pixels, GREY)


@pytest.mark.parametrize(
    ("width", "height", "words"),
    [(1, 1, "under the limit of 4 px"), (20_000, 20_000, "over the limit of 16384 px"), (16_000, 16_000, "256 MP")],
)
def test_sizes_are_refused_before_decoding(tmp_path, width, height, words):
    (tmp_path / "a.png").write_bytes(png(width, height, 16, 0))
    refused(read_fl, tmp_path / "a.png", words)
    page = np.broadcast_to(np.uint8(7), (height, width))
    tifffile.imwrite(tmp_path / "a.tif", page, compression="zlib", tile=None if width == 1 else (4096, 4096))
    refused(read_fl, tmp_path / "a.tif", words)
    refused(probe_image, tmp_path / "a.tif", words)


@pytest.mark.parametrize("kwargs", [{}, {"compression": "lzw"}, {"compression": "zlib"}, {"tile": (32, 32)}])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
def test_truncated_tiff(tmp_path, kwargs, share):
    path = tiff(tmp_path, GREY, **kwargs)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(read_fl, path, "truncated")
    refused(probe_image, path, "truncated")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.dcm"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated_others(tmp_path, name, share):
    path = tmp_path / name
    if name == "a.dcm":
        write_dicom(path, RGB, photometric="RGB")
    else:
        cv2.imwrite(str(path), RGB)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(read_wl, path, "truncated")
    refused(probe_image, path, "truncated")


@pytest.mark.parametrize("compression", ["zlib", "lzw"])
def test_damaged_bytes_inside(tmp_path, compression):
    path = tiff(tmp_path, GREY, compression=compression, metadata=None)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        start = file.pages.first.dataoffsets[0]
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(bytes(data))
    refused(read_fl, path, "cannot be decoded")


@pytest.mark.parametrize(
    ("value", "dtype", "words"),
    [
        (0, np.uint16, "100.0 % of the pixels are 0, the limit is 99.5 %"),
        (65535, np.uint16, "saturated at 65535"),
        (4095, np.uint16, "saturated at 4095"),
        (255, np.uint8, "saturated at 255"),
        (700, np.uint16, "every pixel is 700"),
    ],
)
def test_blank_frames(tmp_path, value, dtype, words):
    refused(read_fl, tiff(tmp_path, np.full((32, 32), value, dtype)), words)
    if dtype == np.uint8:
        refused(read_wl, tiff(tmp_path, np.full((32, 32, 3), value, dtype), photometric="rgb"), words)


def test_black_frame_with_one_hot_pixel_is_still_blank(tmp_path):
    pixels = np.zeros((64, 64), np.uint16)
    pixels[5, 5] = 60000
    refused(read_fl, tiff(tmp_path, pixels), "are 0")

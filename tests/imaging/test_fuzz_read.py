"""Damaged files of every format: only `ImageError` may come out, or an image within the limits, in bounded memory.

The files are read in a process of their own: a decoder in C that goes wrong takes its process with it, and the limit on
memory must not hold for the other tests. `python -m tests.imaging.test_fuzz_read FOLDER SEED COUNT` reads COUNT files;
the one that it is reading is FOLDER/damaged.
"""

import contextlib
import json
import logging
import os
import resource
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from glioscope.core import ImageError
from glioscope.imaging import probe_image, read_fl, read_wl

from .dicoms import write_dicom

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 65536, (12, 20)).astype(np.uint16)
EIGHT = (GREY >> 8).astype(np.uint8)
RGB = RNG.integers(0, 256, (12, 20, 3)).astype(np.uint8)
MAX_PIXELS, MAX_SIDE_PX = 200_000_000, 16_384
ROOM_MB = 700
"""A picture of 200 MP and 16 bits takes 400 MB; these files of a few kB hold 240 pixels."""
COUNT = 720
JPEG_BASELINE, JPEG_LOSSLESS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"


def _rle(path: Path) -> None:
    dataset = dcmread(write_dicom(path, GREY))
    dataset.compress(RLELossless)
    dataset.save_as(path)


def _tiff(pixels: Any, **options: Any) -> Callable[[Path], object]:
    return lambda path: tifffile.imwrite(path, pixels, **options)


def _dicom(pixels: Any, **options: Any) -> Callable[[Path], object]:
    return lambda path: write_dicom(path, pixels, **options)


def _raster(kind: str, pixels: Any, *options: int) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(cv2.imencode(kind, pixels, list(options))[1].tobytes())


WHOLE: dict[str, Callable[[Path], object]] = {
    "png 16": _raster(".png", GREY),
    "png 8": _raster(".png", EIGHT),
    "png rgb": _raster(".png", RGB),
    "jpeg": _raster(".jpg", RGB),
    "jpeg grey": _raster(".jpg", EIGHT),
    "jpeg progressive": _raster(".jpg", RGB, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "tiff": _tiff(GREY),
    "tiff rgb": _tiff(RGB, photometric="rgb"),
    "tiff big": _tiff(GREY, bigtiff=True, byteorder=">"),
    "tiff lzw": _tiff(GREY, compression="lzw"),
    "tiff deflate": _tiff(GREY, compression="zlib"),
    "tiff zstd": _tiff(GREY, compression="zstd"),
    "tiff packbits": _tiff(GREY, compression="packbits"),
    "tiff tiles": _tiff(GREY, tile=(16, 16), compression="zlib", predictor=True),
    "ome-tiff": _tiff(GREY >> 4, ome=True, metadata={"PhysicalSizeX": 100.0, "SignificantBits": 12}),
    "imagej": _tiff(GREY, imagej=True, resolution=(10, 10), metadata={"unit": "mm"}),
    "dicom": _dicom(GREY, RescaleSlope="1", RescaleIntercept="0", PixelSpacing=["0.1", "0.1"]),
    "dicom rgb": _dicom(RGB, photometric="RGB"),
    "dicom signed": _dicom((GREY.astype(np.int32) - 32768).astype(np.int16)),
    "dicom rle": _rle,
    "dicom jpeg": _dicom(EIGHT, syntax=JPEG_BASELINE, encoded=cv2.imencode(".jpg", EIGHT)[1].tobytes()),
    "dicom jpeg lossless": _dicom(GREY, syntax=JPEG_LOSSLESS, encoded=imagecodecs.ljpeg_encode(GREY)),
    "dicom jpeg-ls": _dicom(GREY, syntax=JPEGLSLossless, encoded=imagecodecs.jpegls_encode(GREY)),
    "dicom jpeg 2000": _dicom(
        GREY, syntax=JPEG2000Lossless, encoded=imagecodecs.jpeg2k_encode(GREY, level=0, codecformat="j2k")
    ),
}


def damaged(whole: bytes, rng: np.random.Generator) -> bytes:
    """The file with one to three faults; every second one in its first 400 bytes, where headers are."""
    content = bytearray(whole)
    for _ in range(int(rng.integers(1, 4))):
        end = len(content) if rng.random() < 0.5 else min(len(content), 400)
        at = int(rng.integers(end))
        kind = int(rng.integers(7))
        if kind == 0:
            content[at] = int(rng.integers(256))
        elif kind == 1:
            content[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            content[at : at + 2] = struct.pack(str(rng.choice(["<H", ">H"])), rng.choice([0, 1, 255, 16384, 65535]))
        elif kind == 3:
            wide = rng.choice([0, 1, 16384, 1 << 20, 2**31 - 1, 2**32 - 1])
            content[at : at + 4] = struct.pack(str(rng.choice(["<I", ">I"])), wide)
        elif kind == 4:
            content[at:at] = rng.bytes(int(rng.integers(1, 9)))
        elif kind == 5:
            del content[at : at + int(rng.integers(1, 9))]
        else:
            del content[max(at, 1) :]
    return bytes(content)


def judge(path: Path) -> list[str]:
    """What is wrong with how a file is read: nothing, if only `ImageError` comes out, or an image in the limits."""
    faults = []
    for read, kind, ndim in ((read_fl, np.uint16, 2), (read_wl, np.uint8, 3)):
        try:
            image = read(path)
        except ImageError as error:
            if "\n" in str(error):
                faults.append(f"{read.__name__}: a sentence of several lines")
            continue
        except BaseException as error:
            faults.append(f"{read.__name__}: {type(error).__name__}: {str(error)[:80]}")
            continue
        height, width = image.pixels.shape[:2]
        if image.pixels.dtype != kind or image.pixels.ndim != ndim or not 0 < image.white_level <= 65535:
            faults.append(
                f"{read.__name__}: gives {image.pixels.dtype} {image.pixels.shape}, white {image.white_level}"
            )
        if min(height, width) < 4 or max(height, width) > MAX_SIDE_PX or height * width > MAX_PIXELS:
            faults.append(f"{read.__name__}: gives {image.pixels.shape}, outside the limits")
        if image.mm_per_px is not None and not 0 < image.mm_per_px < np.inf:
            faults.append(f"{read.__name__}: gives {image.mm_per_px} mm per px")
    try:
        probe_image(path)
    except ImageError:
        pass
    except BaseException as error:
        faults.append(f"probe_image: {type(error).__name__}: {str(error)[:80]}")
    return faults


def main(folder: Path, seed: int, count: int) -> dict[str, Any]:
    logging.disable(logging.CRITICAL)
    contents = {}
    for name, write in WHOLE.items():
        write(folder / "whole")
        contents[name] = (folder / "whole").read_bytes()
        faults = judge(folder / "whole")
        assert not faults, (name, faults)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rng = np.random.default_rng(seed)
    found: dict[str, str] = {}
    names = list(contents)
    for number in range(count):
        name = names[number % len(names)]
        content = damaged(contents[name], rng)
        (folder / "damaged").write_bytes(content)
        (folder / "name").write_text(name)
        for fault in judge(folder / "damaged"):
            found.setdefault(f"{name}: {fault}", content.hex())
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"found": found, "grown_mb": grown, "count": count}


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kB on Linux")
def test_damaged_files_give_an_image_error_or_an_image_within_the_limits(tmp_path):
    command = [sys.executable, "-W", "ignore", "-m", "tests.imaging.test_fuzz_read", str(tmp_path), "0", str(COUNT)]
    root = Path(__file__).parents[2]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=200, check=False)
    last = (tmp_path / "damaged").read_bytes().hex() if (tmp_path / "damaged").exists() else ""
    assert ran.returncode == 0, (ran.returncode, (tmp_path / "name").read_text(), last, ran.stderr[-2000:])
    result = json.loads(ran.stdout.splitlines()[-1])
    assert result["count"] == COUNT
    assert not result["found"]
    assert result["grown_mb"] < ROOM_MB


def test_a_small_jpeg_that_announces_a_huge_picture_is_not_decoded(tmp_path, monkeypatch):
    for name, pixels in (("jpeg", RGB), ("grey", EIGHT)):
        content = bytearray(cv2.imencode(".jpg", pixels)[1].tobytes())
        at = content.index(b"\xff\xc0")
        content[at + 5 : at + 9] = struct.pack(">HH", 12_000, 16_000)
        path = tmp_path / name
        path.write_bytes(bytes(content))
        write_dicom(tmp_path / f"{name}.dcm", EIGHT, syntax=JPEG_BASELINE, encoded=bytes(content))
        monkeypatch.setattr(cv2, "imdecode", None)
        for read in (read_fl, read_wl):
            for announced in (path, tmp_path / f"{name}.dcm"):
                with pytest.raises(ImageError, match=r"bytes cannot hold 16000 x 12000 px"):
                    read(announced)
        monkeypatch.undo()


def test_a_small_tiff_with_a_huge_tile_is_not_decoded(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, tile=(16, 16), compression="zlib", metadata=None)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        for code in (322, 323):
            at = file.pages.first.tags[code].valueoffset
            content[at : at + 2] = struct.pack("<H", 65_520)
    path.write_bytes(bytes(content))
    for read in (read_fl, probe_image):
        with pytest.raises(ImageError, match="over the limit of 16384 px a side"):
            read(path)


def test_a_compressed_dicom_that_holds_another_size_than_it_says(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", GREY[:8], syntax=JPEGLSLossless, encoded=imagecodecs.jpegls_encode(GREY))
    with pytest.raises(ImageError, match="holds 20 x 12 px, its header says 20 x 8"):
        read_fl(path)


@pytest.mark.parametrize("size", ["0", "-5", "1e999", "nan"])
def test_a_pixel_size_that_is_none_is_not_believed(tmp_path, size):
    tifffile.imwrite(tmp_path / "a.tif", GREY, description=f'<OME PhysicalSizeX="{size}"></OME>', metadata=None)
    write_dicom(tmp_path / "a.dcm", GREY, PixelSpacing=[size.replace("1e999", "0"), "1"] if size != "nan" else None)
    assert read_fl(tmp_path / "a.tif").mm_per_px is None
    assert read_fl(tmp_path / "a.dcm").mm_per_px is None


if __name__ == "__main__":
    folder, seed, count = sys.argv[1:]
    with contextlib.suppress(ValueError):  # where a stricter limit is set already
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    os.environ["OMP_NUM_THREADS"] = "1"
    print(json.dumps(main(Path(folder), int(seed), int(count))))  # noqa: T201

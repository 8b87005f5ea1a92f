"""Small hand-made cohorts, and pictures that must be refused."""

import csv
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import tifffile


def write_images(folder: Path, name: str, seed: int) -> dict[str, str]:
    """A readable FL / WL pair; gives the manifest's cells."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(folder / f"{name}.tif", rng.integers(500, 9000, (48, 64)).astype(np.uint16))
    cv2.imwrite(str(folder / f"{name}.png"), rng.integers(0, 256, (48, 64, 3)).astype(np.uint8))
    return {"fl_image": f"{name}.tif", "wl_image": f"{name}.png"}


def rows(folder: Path, specimens: list[tuple[str, str]]) -> list[dict[str, str]]:
    """Rows of (patient, pathology) with images in `folder`."""
    return [
        {
            "patient_id": patient,
            "specimen_id": f"S{i}",
            **write_images(folder, f"image{i}", i),
            "pathology": pathology,
        }
        for i, (patient, pathology) in enumerate(specimens)
    ]


def write_manifest(folder: Path, table: list[dict[str, str]], name: str = "manifest.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, table[0])
        writer.writeheader()
        writer.writerows(table)
    return folder / name


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def tiff_header(width: int, height: int) -> bytes:
    """A grey 16-bit TIFF of one strip that announces a size and ends after its header."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 200), (277, 3, 1)]
    tags += [(278, 4, height), (279, 4, min(2 * width * height, 2**32 - 1))]
    entries = b"".join(struct.pack("<HHII", code, kind, 1, value) for code, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)


def bad_image(path: Path, kind: str) -> str:
    """Write the picture `kind` to `path` (.tif); gives words that its refusal must have."""
    grey = np.random.default_rng(0).integers(500, 9000, (48, 64)).astype(np.uint16)
    if kind in ("nan", "float"):
        tifffile.imwrite(path, np.full((48, 64), np.nan) if kind == "nan" else grey.astype(np.float32))
        return "floating-point"
    if kind in ("zero", "saturated"):
        tifffile.imwrite(path, np.full((48, 64), 0 if kind == "zero" else 65535, np.uint16))
        return "100.0 % of the pixels"
    if kind in ("1x1", "20000x20000"):
        width, height = map(int, kind.split("x"))
        path.write_bytes(tiff_header(width, height))
        return "limit of 4 px" if width == 1 else "limit of 16384 px"
    if kind == "png 20000x20000":
        path.write_bytes(png_header(20_000, 20_000))
        return "limit of 16384 px"
    if kind == "rgba":
        rgba = np.random.default_rng(0).integers(0, 255, (48, 64, 4)).astype(np.uint8)
        tifffile.imwrite(path, rgba, photometric="rgb", extrasamples=["unassalpha"])
        return "alpha channel"
    if kind == "palette":
        tifffile.imwrite(path, grey.astype(np.uint8), photometric="palette", colormap=np.zeros((3, 256), np.uint16))
        return "palette"
    if kind == "truncated":
        tifffile.imwrite(path, grey)
        path.write_bytes(path.read_bytes()[:3000])
        return "is truncated"
    if kind == "text":
        path.write_text("not a picture\n" * 20)
        return "is not a TIFF, PNG, JPEG or DICOM file"
    if kind == "empty":
        path.write_bytes(b"")
        return "is empty"
    raise ValueError(kind)


BAD_IMAGES = (
    *("nan", "float", "zero", "saturated", "1x1", "20000x20000", "png 20000x20000"),
    *("rgba", "palette", "truncated", "text", "empty"),
)

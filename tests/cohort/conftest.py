import csv
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile


def picture(seed, shape=(12, 16)):
    return np.random.default_rng(seed).integers(400, 3000, shape, dtype=np.uint16)


@pytest.fixture
def folder(tmp_path):
    """A folder for a manifest with an image store: `fl(seed)` and `wl(seed)` write an image and give its name."""
    return Folder(tmp_path)


class Folder:
    def __init__(self, root):
        self.root = root
        (root / "images").mkdir()

    def fl(self, seed, name=None, shape=(12, 16), dtype=np.uint16):
        name = name or f"images/fl{seed}.tif"
        tifffile.imwrite(self.root / name, picture(seed, shape).astype(dtype), photometric="minisblack")
        return name

    def wl(self, seed, name=None, shape=(12, 16), dtype=np.uint8):
        name = name or f"images/wl{seed}.tif"
        pixels = np.random.default_rng(seed + 10_000).integers(0, 200, (*shape, 3)).astype(dtype)
        tifffile.imwrite(self.root / name, pixels, photometric="rgb")
        return name

    def manifest(self, rows, name="manifest.csv", encoding="utf-8"):
        """Write rows (dicts) as CSV; patient, specimen and FL image are filled in where a row lacks them."""
        whole = []
        for number, row in enumerate(rows):
            base = {"patient_id": f"p{number}", "specimen_id": f"s{number}"}
            if "fl_image" not in row and "wl_image" not in row:
                base["fl_image"] = self.fl(number)
            whole.append(base | row)
        columns = list(dict.fromkeys(key for row in whole for key in row))
        path = self.root / name
        with path.open("w", encoding=encoding, newline="") as stream:
            writer = csv.DictWriter(stream, columns, restval="")
            writer.writeheader()
            writer.writerows(whole)
        return path


@pytest.fixture(scope="session")
def shared():
    """The folder of real data, beside the checkout or where GLIOSCOPE_SHARED says."""
    path = Path(os.environ.get("GLIOSCOPE_SHARED", Path(__file__).parents[3] / "shared"))
    if not (path / "data" / "tcell" / "manifest.csv").is_file():
        pytest.skip(f"real data not found in {path}; set GLIOSCOPE_SHARED")
    return path

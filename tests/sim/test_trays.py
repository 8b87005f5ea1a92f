"""Trays: the boxes are where the specimens are."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from glioscope.sim import simulate


@pytest.fixture(scope="module")
def trays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trays") / "cohort"
    simulate(folder, n_patients=2, n_specimens=60, seed=3, trays=5, n_jobs=1)
    return folder


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "trays.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_last_plate_is_empty_and_the_others_are_not(trays: Path) -> None:
    rows = _rows(trays)
    ids = [row["specimen_id"] for row in rows if row["tray_id"] == "T005"]
    assert ids == [""]
    for tray in ("T001", "T002", "T003", "T004"):
        assert sum(row["tray_id"] == tray for row in rows) >= 4


def test_boxes_hold_tissue_and_nothing_lies_outside(trays: Path) -> None:
    for tray in sorted({row["tray_id"] for row in _rows(trays)}):
        mine = [row for row in _rows(trays) if row["tray_id"] == tray]
        wl = cv2.imread(str(trays / mine[0]["wl_image"])).astype(np.int16)
        assert wl.shape == (512, 640, 3)
        # Tissue is redder than the plate.
        tissue = cv2.GaussianBlur((wl[..., 2] - wl[..., 0]).astype(np.float32), (0, 0), 1.5) > 0
        boxes = np.zeros((512, 640), dtype=bool)
        for row in mine:
            if row["specimen_id"]:
                x, y, w, h = (int(row[name]) for name in "xywh")
                assert tissue[y : y + h, x : x + w].mean() > 0.6
                boxes[y - 3 : y + h + 3, x - 3 : x + w + 3] = True
        assert not (tissue & ~boxes).any()


def test_some_specimens_touch(trays: Path) -> None:
    assert any(row["touching"] == "1" for row in _rows(trays))

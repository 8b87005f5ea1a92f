"""Trays: the boxes and masks are where the specimens are."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from glioscope.core import InputError
from glioscope.sim import SimSettings, Tray, render_tray, simulate

SETTINGS = SimSettings()


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


@pytest.fixture(scope="module")
def full_plate() -> Tray:
    return render_tray(100, (1024, 1280), 0.1, SETTINGS, np.random.default_rng(5), n_blood=5, n_dirt=15)


def test_a_hundred_specimens_find_room_and_each_has_its_truth(full_plate: Tray) -> None:
    tray = full_plate
    assert tray.fl.shape == tray.labels.shape == tray.wl.shape[:2] == (1024, 1280)
    assert (tray.fl.dtype, tray.wl.dtype, tray.labels.dtype) == (np.uint16, np.uint8, np.uint16)
    assert [specimen.label for specimen in tray.specimens] == list(range(1, 101))
    assert len({specimen.name for specimen in tray.specimens}) == 100
    assert 0.5 < np.mean([specimen.tumor for specimen in tray.specimens]) < 0.9
    for specimen in tray.specimens:
        rows, columns = np.nonzero(tray.labels == specimen.label)
        x, y, w, h = specimen.box
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (x, y, x + w, y + h)
        assert 15 < len(rows) * tray.mm_per_px**2 < 110


def test_labels_lie_on_what_both_cameras_see(full_plate: Tray) -> None:
    tissue, plate = full_plate.labels > 0, cv2.erode((full_plate.labels == 0).astype(np.uint8), np.ones((31, 31))) > 0
    redness = full_plate.wl[..., 0].astype(int) - full_plate.wl[..., 2]
    assert np.median(redness[tissue]) > 20 > 0 > np.median(redness[plate])
    assert np.median(full_plate.fl[tissue]) > 2 * np.median(full_plate.fl[plate])


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_as_many_touch_as_were_asked_for(share: float) -> None:
    touching: list[bool] = []
    for seed in range(3):
        tray = render_tray(20, (512, 640), 0.1, SETTINGS, np.random.default_rng(seed), touching_share=share)
        touching += [specimen.touching for specimen in tray.specimens]
        near = cv2.dilate(tray.labels, np.ones((5, 5), np.uint8))  # the highest label within 2 px
        for specimen in tray.specimens:
            mask = tray.labels == specimen.label
            higher = bool((near[mask] != specimen.label).any())
            assert specimen.touching or not higher
    assert np.mean(touching) == pytest.approx(share, abs=0.12)


def test_an_empty_plate_has_no_truth_and_may_be_dirty() -> None:
    bare = render_tray(0, (512, 640), 0.1, SETTINGS, np.random.default_rng(1))
    dirty = render_tray(0, (512, 640), 0.1, SETTINGS, np.random.default_rng(1), n_blood=6, n_dirt=20)
    for tray in (bare, dirty):
        assert tray.specimens == ()
        assert not tray.labels.any()
    red = [int((tray.wl[..., 0].astype(int) - tray.wl[..., 2] > 40).sum()) for tray in (bare, dirty)]
    assert red[0] == 0
    assert red[1] > 6 * np.pi * 8**2 / 2
    # Lint shows in fluorescence, blood does not.
    change = np.abs(cv2.medianBlur(dirty.fl, 5).astype(int) - cv2.medianBlur(bare.fl, 5))
    assert 0 < np.mean(change > 500) < 0.02


def test_the_same_seed_gives_the_same_tray_and_spots_leave_the_specimens_alone() -> None:
    first, again = (render_tray(8, (512, 640), 0.1, SETTINGS, np.random.default_rng(2)) for _ in range(2))
    np.testing.assert_array_equal(first.fl, again.fl)
    np.testing.assert_array_equal(first.wl, again.wl)
    dirty = render_tray(8, (512, 640), 0.1, SETTINGS, np.random.default_rng(2), n_blood=4, n_dirt=8)
    np.testing.assert_array_equal(first.labels, dirty.labels)
    assert (first.wl != dirty.wl).any()


def test_scale_changes_pixels_and_not_millimetres() -> None:
    fine, coarse = (
        render_tray(6, frame, scale, SETTINGS, np.random.default_rng(3), touching_share=0.0)
        for frame, scale in (((1024, 1280), 0.05), ((256, 320), 0.2))
    )
    areas = [[np.sum(tray.labels == s.label) * tray.mm_per_px**2 for s in tray.specimens] for tray in (fine, coarse)]
    assert np.mean(areas[0]) == pytest.approx(np.mean(areas[1]), rel=0.15)


@pytest.mark.parametrize(
    ("count", "frame", "scale", "words"),
    [
        (-1, (512, 640), 0.1, "-1 specimens on a tray are outside the limits of 0 to 500"),
        (501, (512, 640), 0.1, "501 specimens"),
        (60, (512, 640), 0.1, "60 specimens find no room on 640 x 512 px"),
        (1, (64, 64), 0.05, "does not fit a frame of 64 x 64 px"),
        (1, (512, 640), float("nan"), "nan mm/px is outside"),
    ],
)
def test_plates_that_cannot_be_are_refused(count: int, frame: tuple[int, int], scale: float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        render_tray(count, frame, scale, SETTINGS, np.random.default_rng(0))


def test_written_trays_are_what_they_always_were(trays: Path) -> None:
    """Boxes and mean counts of seed 3, as the simulator wrote them before `render_tray` was there."""
    boxes = [tuple(int(row[name]) for name in "xywh") for row in _rows(trays) if row["tray_id"] == "T001"]
    assert boxes == [(209, 355, 88, 97), (125, 82, 89, 87), (35, 425, 73, 71), (378, 212, 72, 66), (306, 196, 79, 78)]
    for tray, mean in (("T001", 1454.64654), ("T005", 1168.92504)):
        assert tifffile.imread(trays / "trays" / f"{tray}-fl.tif").mean() == pytest.approx(mean, abs=0.001)

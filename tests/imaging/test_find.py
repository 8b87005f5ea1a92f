"""Specimens found in drawn frames, scored against the truth at an overlap (IoU) of 0.5."""

import cv2
import numpy as np
import pytest

from glioscope.core import ImageError
from glioscope.imaging import SpecimenRegion, find_specimens

from .scenes import MM_PER_PX, Scene, box_of, draw, iou, tray


def placed(region: SpecimenRegion, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    x, y, w, h = region.box
    mask[y : y + h, x : x + w] = region.mask
    return mask


def score(scene: Scene, regions: list[SpecimenRegion]) -> tuple[int, int, int]:
    """True positives, false positives, misses; each truth is used once."""
    open_truths, hits = list(scene.masks), 0
    for region in regions:
        found = placed(region, scene.fl.shape)
        best = max(open_truths, key=lambda truth: iou(found, truth), default=None)
        if best is not None and iou(found, best) >= 0.5:
            open_truths = [truth for truth in open_truths if truth is not best]
            hits += 1
    return hits, len(regions) - hits, len(open_truths)


@pytest.mark.parametrize(("use_fl", "use_wl"), [(True, True), (True, False)], ids=["both", "fl"])
def test_trays_with_touching_specimens_blood_glare_and_hot_pixels(use_fl, use_wl):
    totals = np.zeros(3, int)
    for seed in range(8):
        scene = tray(seed)
        regions = find_specimens(scene.fl if use_fl else None, scene.wl if use_wl else None, mm_per_px=MM_PER_PX)
        totals += score(scene, regions)
    hits, false, missed = totals
    assert hits / (hits + missed) >= 0.98
    assert hits / (hits + false) >= 0.98


def test_white_light_alone_finds_specimens():
    scene = draw([(150, 150, 40, 3000), (400, 300, 35, 900)], glints=15)
    assert score(scene, find_specimens(None, scene.wl, mm_per_px=MM_PER_PX)) == (2, 0, 0)


@pytest.mark.parametrize("ambient", [0.0, 300.0, 5000.0])
@pytest.mark.parametrize("vignetting", [0.0, 0.25, 0.6])
def test_empty_plate(ambient, vignetting):
    scene = draw([], ambient=ambient, vignetting=vignetting, hot=300, seed=2)
    assert find_specimens(scene.fl, scene.wl, mm_per_px=MM_PER_PX) == []
    assert find_specimens(scene.fl, None, mm_per_px=MM_PER_PX) == []
    assert find_specimens(None, scene.wl, mm_per_px=MM_PER_PX) == []


@pytest.mark.parametrize("ambient", [0.0, 4000.0])
def test_weak_specimen_under_ambient_light_and_vignetting(ambient):
    scene = draw([(520, 400, 38, 700)], ambient=ambient, vignetting=0.5, seed=3)
    assert score(scene, find_specimens(scene.fl, scene.wl, mm_per_px=MM_PER_PX)) == (1, 0, 0)


def test_region_is_consistent():
    scene = draw([(320, 256, 40, 4000)], seed=4)
    (region,) = find_specimens(scene.fl, scene.wl, mm_per_px=MM_PER_PX, margin_mm=0.5)
    x, y, w, h = box_of(scene.masks[0])
    left, top, width, height = region.box
    assert abs(left + 5 - x) <= 3
    assert abs(top + 5 - y) <= 3
    assert abs(width - 10 - w) <= 4
    assert abs(height - 10 - h) <= 4
    assert region.mask.shape == (height, width)
    assert region.area_mm2 == pytest.approx(np.count_nonzero(scene.masks[0]) * MM_PER_PX**2, rel=0.06)
    assert not region.touching_border
    assert region.outline.shape[1] == 2
    assert (region.outline.min(axis=0) >= [left, top]).all()
    assert (region.outline.max(axis=0) < [left + width, top + height]).all()
    assert iou(placed(region, scene.fl.shape), scene.masks[0]) > 0.9


def test_margin_is_fixed_in_millimetres():
    scene = draw([(320, 256, 40, 4000)], seed=4)
    (narrow,) = find_specimens(scene.fl, scene.wl, mm_per_px=MM_PER_PX, margin_mm=0.0)
    (wide,) = find_specimens(scene.fl, scene.wl, mm_per_px=MM_PER_PX, margin_mm=2.0)
    assert wide.box == (narrow.box[0] - 20, narrow.box[1] - 20, narrow.box[2] + 40, narrow.box[3] + 40)


def test_specimen_at_the_edge_is_marked_and_its_box_stays_inside():
    scene = draw([(5, 256, 40, 4000)], seed=5)
    (region,) = find_specimens(scene.fl, scene.wl, mm_per_px=MM_PER_PX)
    assert region.touching_border
    assert region.box[0] == 0


def test_reading_order_and_the_same_answer_twice():
    places = [
        (100, 120, 35, 3000),
        (300, 105, 35, 3000),
        (500, 130, 35, 900),
        (120, 380, 35, 3000),
        (420, 370, 35, 900),
    ]
    scene = draw([places[k] for k in (3, 1, 4, 0, 2)], seed=6)
    regions = find_specimens(scene.fl, scene.wl, mm_per_px=MM_PER_PX)
    centres = [(r.box[0] + r.box[2] / 2, r.box[1] + r.box[3] / 2) for r in regions]
    np.testing.assert_allclose(centres, [p[:2] for p in places], atol=6)
    again = find_specimens(scene.fl, scene.wl, mm_per_px=MM_PER_PX)
    assert [r.box for r in again] == [r.box for r in regions]


@pytest.mark.parametrize("use_wl", [True, False])
def test_the_same_answer_on_any_number_of_threads(use_wl):
    scene = tray(1)
    found, threads = [], cv2.getNumThreads()
    try:
        for number in (1, 2, 4):
            cv2.setNumThreads(number)
            found.append(find_specimens(scene.fl, scene.wl if use_wl else None, mm_per_px=MM_PER_PX))
    finally:
        cv2.setNumThreads(threads)
    for other in found[1:]:
        assert [r.box for r in other] == [r.box for r in found[0]]
        assert all(a.mask.tobytes() == b.mask.tobytes() for a, b in zip(other, found[0], strict=True))


@pytest.mark.parametrize("use_wl", [True, False])
def test_a_dark_band_within_a_specimen_does_not_take_it_apart(use_wl):
    scene = draw([(320, 256, 42, 6000)], seed=8)
    band = np.abs(np.arange(scene.fl.shape[1]) - 320) < 5
    scene.fl[:, band] = np.minimum(scene.fl[:, band], 1500)
    assert score(scene, find_specimens(scene.fl, scene.wl if use_wl else None, mm_per_px=MM_PER_PX)) == (1, 0, 0)


@pytest.mark.parametrize("mm_per_px", [0.03, 0.07, 0.1, 0.4])
def test_frames_of_any_scale_and_size_are_searched(mm_per_px):
    radius = 4 / mm_per_px
    shape = (round(14.7 / mm_per_px), round(19.3 / mm_per_px))
    scene = draw([(shape[1] * 0.45, shape[0] * 0.55, radius, 5000)], seed=9, shape=shape)
    assert score(scene, find_specimens(scene.fl, scene.wl, mm_per_px=mm_per_px)) == (1, 0, 0)


def test_small_dirt_is_dropped():
    scene = draw([(320, 256, 40, 4000), (100, 100, 6, 4000)], seed=7)
    assert len(find_specimens(scene.fl, scene.wl, mm_per_px=MM_PER_PX)) == 1


def test_refusals():
    scene = draw([], shape=(64, 80))
    with pytest.raises(ImageError, match="needs a fluorescence or a white-light frame"):
        find_specimens(None, None, mm_per_px=0.1)
    with pytest.raises(ImageError, match="mm_per_px is 0,"):
        find_specimens(scene.fl, None, mm_per_px=0)
    with pytest.raises(ImageError, match="must be registered"):
        find_specimens(scene.fl, scene.wl[:32], mm_per_px=0.1)

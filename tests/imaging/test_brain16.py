"""Real 16-bit frames: eight tiles of a brain section. The whole measurement is `make bench-brain16`."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from glioscope.core import FLPlan, Normalisation
from glioscope.imaging import (
    RawImage,
    apply_fl_plan,
    denoise,
    estimate_noise,
    estimate_offset,
    infer_white,
    normalise,
    read_fl,
    repair_hot_pixels,
)

SHARED = Path(os.environ.get("GLIOSCOPE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
FOLDER = SHARED / "data" / "brain16"
PATHS = sorted(FOLDER.glob("*.tif"))
pytestmark = pytest.mark.skipif(len(PATHS) != 8, reason=f"the eight brain16 tiles are not in {FOLDER}")


@pytest.fixture(scope="module")
def images() -> list[RawImage]:
    return [read_fl(path) for path in PATHS]


def test_read_bit_for_bit(images):
    for image in images:
        np.testing.assert_array_equal(image.pixels, tifffile.imread(image.path))
        assert image.mm_per_px == pytest.approx(1 / 387.1, rel=1e-3)


def test_offset_of_the_camera(images):
    offsets = [estimate_offset(image.pixels) for image in images]
    assert sum(600 <= offset <= 900 for offset in offsets) >= 7
    assert 600 <= min(offsets) <= 900


def test_one_white_for_all_whatever_the_brightest_pixel(images):
    assert len({image.white_level for image in images}) > 1
    assert 6000 < infer_white(images) < 12000


@pytest.mark.parametrize("kind", ["linear", "gamma", "asinh", "anscombe"])
def test_order_kept_and_twice_the_same(images, kind):
    plan = FLPlan(normalisation=Normalisation(kind=kind, white=9000))
    for image in images:
        levels = np.unique(image.pixels).astype(np.float32) - np.float32(estimate_offset(image.pixels))
        assert np.all(np.diff(normalise(levels, plan.normalisation, 9000)) >= 0)
        assert apply_fl_plan(plan, image).image.tobytes() == apply_fl_plan(plan, image).image.tobytes()


def test_specks_stay_and_planted_hot_pixels_go(images):
    rng = np.random.default_rng(0)
    for image in images:
        clean, own = repair_hot_pixels(image.pixels)
        assert own < 20
        broken = clean.copy()
        rows, columns = (side.ravel() + rng.integers(-3, 4, side.size) for side in np.mgrid[10:500:23, 10:500:23])
        broken[rows, columns] = np.minimum(clean[rows, columns] + rng.uniform(3000, 30000, rows.size), 65535)
        repaired, _ = repair_hot_pixels(broken)
        assert np.mean(repaired[rows, columns] != broken[rows, columns]) > 0.97


def test_denoised_only_with_added_noise_and_then_better(images):
    rng = np.random.default_rng(0)
    plan = FLPlan(normalisation=Normalisation(white=9000))
    for image in images:
        assert not apply_fl_plan(plan, image).record.denoised
        added = np.clip(image.pixels + rng.normal(0, 1000, image.pixels.shape), 0, 65535).astype(np.uint16)
        assert apply_fl_plan(plan, RawImage(added, image.white_level)).record.denoised
        counts = image.pixels.astype(np.float32) - np.float32(estimate_offset(image.pixels))
        truth = normalise(counts, plan.normalisation, 9000)
        noisy = (truth + rng.normal(0, 0.06, truth.shape)).astype(np.float32)
        assert estimate_noise(noisy) == pytest.approx(0.06, rel=0.03)
        error = [np.mean((x - truth) ** 2) for x in (noisy, denoise(noisy, estimate_noise(noisy)))]
        assert 10 * np.log10(error[0] / error[1]) > 10

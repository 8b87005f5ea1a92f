"""What the preprocessing does to real 16-bit frames: eight tiles of a brain section (shared data `brain16`).

    python benchmarks/brain16.py [--data FOLDER] [--out SHEET.png]

Prints one JSON object as its last line; `ok` is true if every check holds. No labels, no diagnosis: only pixels.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from glioscope.core import Canvas, FLPlan, Normalisation, atomic_file
from glioscope.imaging import (
    RawImage,
    apply_fl_plan,
    denoise,
    estimate_flat,
    estimate_noise,
    estimate_offset,
    infer_white,
    normalise,
    read_fl,
    repair_hot_pixels,
)

DATA = Path(os.environ.get("GLIOSCOPE_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data" / "brain16"
KINDS = ("linear", "gamma", "asinh", "anscombe")
SIGMA = 0.06
Float = NDArray[np.float32]


def load(folder: Path) -> list[RawImage]:
    paths = sorted(folder.glob("*.tif"))
    if len(paths) != 8:
        raise SystemExit(f"{folder} holds {len(paths)} tiles, 8 are needed (set GLIOSCOPE_SHARED or --data)")
    return [read_fl(path) for path in paths]


def haar_sigma(image: Float) -> float:
    """Noise from the finest diagonal Haar coefficients (Donoho and Johnstone): no Laplacian in it."""
    a, b, c, d = image[::2, ::2], image[::2, 1::2], image[1::2, ::2], image[1::2, 1::2]
    return float(np.median(np.abs(a - b - c + d) / 2) / 0.6745)


def decibels(image: Float, truth: Float) -> float:
    return float(-10 * np.log10(np.mean((image - truth) ** 2)))


def reading(images: list[RawImage]) -> dict[str, Any]:
    exact = all(np.array_equal(image.pixels, tifffile.imread(image.path)) for image in images)
    offsets = [estimate_offset(image.pixels) for image in images]
    return {
        "reads_bit_exact": exact,
        "offsets": offsets,
        "offsets_in_600_900": sum(600 <= offset <= 900 for offset in offsets),
        "cohort_offset": min(offsets),
        "white_levels_inferred_one_by_one": sorted({image.white_level for image in images}),
        "cohort_white": infer_white(images),
        "saturated_fraction": [float(np.mean(image.pixels >= image.white_level)) for image in images],
    }


def defects(images: list[RawImage], rng: np.random.Generator) -> dict[str, Any]:
    """Hot pixels planted on a grid in the real tiles: share found, and how much else is touched."""
    own, found, planted, error = [], 0, 0, []
    for image in images:
        clean, count = repair_hot_pixels(image.pixels)
        own.append(count)
        broken = clean.copy()
        rows, columns = (side.ravel() + rng.integers(-3, 4, side.size) for side in np.mgrid[10:500:23, 10:500:23])
        broken[rows, columns] = np.minimum(clean[rows, columns] + rng.uniform(3000, 30000, rows.size), 65535)
        repaired, _ = repair_hot_pixels(broken)
        found += int(np.count_nonzero(repaired[rows, columns] != broken[rows, columns]))
        planted += rows.size
        error.append(np.abs(repaired[rows, columns].astype(float) - clean[rows, columns]) / clean[rows, columns])
    return {
        "outliers_in_the_tiles": own,
        "outliers_share": float(np.sum(own) / (len(images) * images[0].pixels.size)),
        "planted_found": found / planted,
        "planted_median_relative_error": float(np.median(np.concatenate(error))),
    }


def shading(images: list[RawImage]) -> dict[str, Any]:
    """A flat frame from seven tiles must even out the background of the eighth: ratio of unevenness after to before."""
    offset = min(estimate_offset(image.pixels) for image in images)
    ratios = []
    for held_out, image in enumerate(images):
        others = [other.pixels for k, other in enumerate(images) if k != held_out]
        counts = np.maximum(image.pixels.astype(np.float32) - np.float32(offset), 1)
        background = _block_medians(counts) < 2 * offset
        after = _unevenness(counts / estimate_flat(others, offset=offset), background)
        ratios.append(after / _unevenness(counts, background))
    return {"flat_unevenness_ratio_held_out": ratios, "flat_helps": sum(ratio < 1 for ratio in ratios)}


def _block_medians(counts: Float) -> Float:
    return np.median(counts.reshape(16, 32, 16, 32).transpose(0, 2, 1, 3).reshape(16, 16, -1), axis=2)


def _unevenness(counts: Float, background: NDArray[np.bool_]) -> float:
    """Spread of a quadratic surface fitted to the log of the background's block medians (tissue is not shading)."""
    y, x = np.mgrid[-1:1:16j, -1:1:16j]
    design = np.stack([np.ones((16, 16)), x, y, x * x, x * y, y * y], axis=-1)[background]
    surface = design @ np.linalg.lstsq(design, np.log(_block_medians(counts))[background], rcond=None)[0]
    return float(surface.std())


def curves(images: list[RawImage], white: float) -> dict[str, Any]:
    """Rank order is kept by every curve; every plan gives the same bytes twice, on 1 and 4 threads."""
    order, same = True, True
    for image in images:
        counts = (image.pixels - np.float32(estimate_offset(image.pixels))).astype(np.float32)
        levels = np.unique(counts)
        for kind in KINDS:
            order &= bool(np.all(np.diff(normalise(levels, Normalisation(kind=kind), white)) >= 0))
            plan = FLPlan(normalisation=Normalisation(kind=kind, white=white), canvas=Canvas(size_px=224))
            cv2.setNumThreads(1)
            first = apply_fl_plan(plan, image)
            cv2.setNumThreads(4)
            second = apply_fl_plan(plan, image)
            same &= first.image.tobytes() == second.image.tobytes() and first.record == second.record
    return {"rank_order_kept": order, "twice_same_bytes": same}


def noise(images: list[RawImage], white: float, rng: np.random.Generator) -> dict[str, Any]:
    """Noise estimate against an independent one, and the when-needed rule with and without added noise."""
    plan = FLPlan(normalisation=Normalisation(white=white))
    ratio, added_ratio, gain, plain, noisy_decisions = [], [], [], [], []
    for image in images:
        counts = repair_hot_pixels(image.pixels)[0].astype(np.float32) - np.float32(estimate_offset(image.pixels))
        values = normalise(counts, plan.normalisation, white)
        ratio.append(estimate_noise(values) / max(haar_sigma(values), 1e-9))
        spoilt = (values + rng.normal(0, SIGMA, values.shape)).astype(np.float32)
        estimated = estimate_noise(spoilt)
        added_ratio.append(estimated / SIGMA)
        gain.append(decibels(denoise(spoilt, estimated), values) - decibels(spoilt, values))
        plain.append(apply_fl_plan(plan, image).record.denoised)
        noisy_counts = np.clip(image.pixels + rng.normal(0, 0.12 * white, values.shape), 0, 65535).astype(np.uint16)
        noisy_decisions.append(apply_fl_plan(plan, RawImage(noisy_counts, image.white_level)).record.denoised)
    return {
        "noise_to_haar": ratio,
        "noise_to_added": added_ratio,
        "denoise_gain_db": gain,
        "denoised_as_they_are": sum(plain),
        "denoised_with_added_noise": sum(noisy_decisions),
    }


def sheet(path: Path, images: list[RawImage], white: float) -> None:
    """Before (linear over the container's range, and over the cohort's) and after (the plan), one row a tile."""
    rows = []
    for image in images:
        raw = np.rint(image.pixels / 65535.0 * 255).astype(np.uint8)
        linear = np.clip(image.pixels / (white + 600) * 255, 0, 255).astype(np.uint8)
        plan = FLPlan(normalisation=Normalisation(white=white), canvas=Canvas(size_px=224))
        after = apply_fl_plan(plan, image).image
        rows.append(np.hstack([cv2.resize(raw, (224, 224)), cv2.resize(linear, (224, 224)), after]))
    with atomic_file(path) as temporary:
        cv2.imwrite(str(temporary), np.hstack([np.vstack(rows[:4]), np.vstack(rows[4:])]))


def passed(result: dict[str, Any]) -> bool:
    return bool(
        result["reads_bit_exact"]
        and result["offsets_in_600_900"] >= 7
        and 600 <= result["cohort_offset"] <= 900
        and result["planted_found"] > 0.95
        and result["outliers_share"] < 1e-4
        and result["flat_helps"] >= 6
        and result["rank_order_kept"]
        and result["twice_same_bytes"]
        and all(0.75 < ratio < 1.25 for ratio in result["noise_to_haar"])  # the tiles' own noise is not white
        and all(0.97 < ratio < 1.03 for ratio in result["noise_to_added"])
        and min(result["denoise_gain_db"]) > 3
        and result["denoised_as_they_are"] == 0
        and result["denoised_with_added_noise"] == 8
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, help="write a contact sheet of before and after to this PNG")
    arguments = parser.parse_args()
    started, rng = time.perf_counter(), np.random.default_rng(0)
    images = load(arguments.data)
    result = reading(images)
    white = float(result["cohort_white"])
    result |= defects(images, rng) | shading(images) | curves(images, white) | noise(images, white, rng)
    if arguments.out:
        sheet(arguments.out, images, white)
    result["ok"] = passed(result)
    result["seconds"] = time.perf_counter() - started
    print(json.dumps({"benchmark": "brain16", **rounded(result)}))


def rounded(result: dict[str, Any]) -> dict[str, Any]:
    def short(value: object) -> object:
        if isinstance(value, list):
            return [short(item) for item in value]
        return float(f"{value:.4g}") if isinstance(value, float) else value

    return {name: short(value) for name, value in result.items()}


if __name__ == "__main__":
    main()

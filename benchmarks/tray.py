"""bench-tray: finding on SIMULATED trays of seeds not used before, registration, and the time for 100 specimens.

Finding is scored by masks at an overlap (IoU) of 0.5, each true specimen matched once. Every plate has drops of blood
and specks of lint; plates of a second set have nothing else on them.
"""

import json
import statistics
import time
import warnings
from collections import Counter

import numpy as np

from common import finish, parser
from glioscope.core import Frame
from glioscope.imaging import Target, find_specimens, register_cameras
from glioscope.sim import SimSettings, photograph_target, render_tray

FIRST_SEED = 70_000
"""No test and no setting of finding has seen trays of these seeds."""
FRAME, MM_PER_PX = (1024, 1280), 0.1
LAYOUTS = {"20 specimens": (20, 0.3), "60 specimens": (60, 0.3), "100 specimens": (100, 0.25)}
IOU = 0.5
TARGETS = {
    "charuco 11 x 8, 5 mm": Target("charuco", 11, 8, 5.0),
    "charuco 17 x 13, 5 mm, larger than the frame": Target("charuco", 17, 13, 5.0),
    "circles 5 x 9, 4.8 mm": Target("circles", 5, 9, 4.8),
}


def overlaps(labels, regions):
    """IoU of every true specimen (row) with every region (column)."""
    true_area = np.bincount(labels.ravel(), minlength=int(labels.max()) + 1)
    table = np.zeros((len(true_area) - 1, len(regions)))
    for column, region in enumerate(regions):
        x, y, w, h = region.box
        common = np.bincount(labels[y : y + h, x : x + w][region.mask], minlength=len(true_area))[1:]
        table[:, column] = common / (true_area[1:] + np.count_nonzero(region.mask) - common)
    return table


def score(tray, regions):
    """Which true specimens were found, and how many regions are none; matches are one to one above an IoU of 0.5."""
    table = overlaps(tray.labels, regions) if regions else np.zeros((len(tray.specimens), 0))
    hits = table > IOU  # above one half, a match is unique on both sides
    return hits.any(axis=1), int((~hits.any(axis=0)).sum()), table.max(axis=1, initial=0.0)


def finding(seeds: range, layouts: dict = LAYOUTS, *, use_fl: bool = True, use_wl: bool = True) -> dict:
    result = {}
    for name, (count, share) in layouts.items():
        found = {True: [], False: []}
        false, regions_seen, ious, seconds = 0, 0, [], []
        for seed in seeds:
            rng = np.random.default_rng([seed, count])
            tray = render_tray(count, FRAME, MM_PER_PX, SimSettings(), rng, touching_share=share, n_blood=6, n_dirt=20)
            started = time.perf_counter()
            regions = find_specimens(tray.fl if use_fl else None, tray.wl if use_wl else None, mm_per_px=MM_PER_PX)
            seconds.append(time.perf_counter() - started)
            hit, wrong, overlap = score(tray, regions)
            for specimen, ok in zip(tray.specimens, hit, strict=True):
                found[specimen.touching].append(bool(ok))
            false += wrong
            regions_seen += len(regions)
            ious += [float(value) for value, ok in zip(overlap, hit, strict=True) if ok]
        both = found[True] + found[False]
        result[name] = {
            "n_specimens": len(both),
            "n_touching": len(found[True]),
            "recall": round(statistics.mean(both), 4),
            "recall_touching": round(statistics.mean(found[True]), 4),
            "recall_apart": round(statistics.mean(found[False]), 4),
            "precision": round(1 - false / max(regions_seen, 1), 4),
            "false_finds": false,
            "median_iou": round(statistics.median(ious), 3),
            "find_ms": round(1e3 * statistics.median(seconds), 1),
        }
    return result


def empty_plates(seeds: range) -> dict:
    """False finds on plates without specimens: bare, and with blood and lint."""
    counts = {}
    for name, spots in (("bare", (0, 0)), ("blood and lint", (8, 30))):
        counts[name] = 0
        for seed in seeds:
            rng = np.random.default_rng([seed, 0])
            tray = render_tray(0, FRAME, MM_PER_PX, SimSettings(), rng, n_blood=spots[0], n_dirt=spots[1])
            counts[name] += len(find_specimens(tray.fl, tray.wl, mm_per_px=MM_PER_PX))
    return {"n_plates": len(seeds), "false_finds": counts}


def registration(seeds: range) -> dict:
    """Residual as reported, and true error at points all over the FL frame, of SIMULATED targets; time of `apply`."""
    y, x = np.mgrid[:512:16, :640:16]
    points = np.stack([x.ravel(), y.ravel()], axis=1).astype(float)
    result = {}
    for name, target in TARGETS.items():
        residuals, true, corner, milliseconds = [], [], [], []
        for seed in seeds:
            pair = photograph_target(target, np.random.default_rng(seed), turned_deg=float(seed % 5 - 2))
            found = register_cameras(pair.fl, pair.wl, target)
            residuals.append(found.residual.rms_px)
            off = np.hypot(*(found.to_fl(pair.wl_lens.to_px(pair.fl_lens.to_plate(points))) - points).T)
            true.append(float(np.sqrt(np.mean(off**2))))
            corner.append(float(off.max()))
            found.apply(pair.wl)
            for _ in range(200):
                started = time.perf_counter()
                found.apply(pair.wl)
                milliseconds.append(1e3 * (time.perf_counter() - started))
        result[name] = {
            "residual_rms_px": [round(min(residuals), 3), round(max(residuals), 3)],
            "true_rms_px": [round(min(true), 3), round(max(true), 3)],
            "true_worst_px": round(max(corner), 3),
            "apply_p50_ms": round(statistics.median(milliseconds), 3),
            "apply_min_ms": round(min(milliseconds), 3),
        }
    return result


def seconds_for_100(runs: int) -> dict:
    """Tray mode from frames in memory to all answers: `runs` other trays after one warm-up, every task asked."""
    from glioscope.cli._measure import asking_everything
    from glioscope.runtime import Cascade
    from suites import B0, LITE0, speed_suite

    result = {"asked_s": 3.0}
    for backbone in (B0, LITE0):
        cascade = asking_everything(Cascade.load(speed_suite(backbone)))
        seconds, decisions = [], Counter()
        for run in range(runs + 1):
            rng = np.random.default_rng([FIRST_SEED - 1 - run, 100])
            tray = render_tray(100, FRAME, MM_PER_PX, SimSettings(), rng)
            fl, wl = (Frame(pixels, mm_per_px=MM_PER_PX, distance_mm=300.0) for pixels in (tray.fl, tray.wl))
            started = time.perf_counter()
            answers = cascade.diagnose_tray(fl, wl)
            seconds.append(time.perf_counter() - started)
            decisions.update(answer.decision.value for answer in answers)
        result[backbone] = {
            "p50_s": round(statistics.median(seconds[1:]), 3),
            "worst_s": round(max(seconds[1:]), 3),
            "met": max(seconds[1:]) < 3.0,
            "decisions": dict(decisions),
        }
    return result


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--trays", type=int, default=10, help="of each layout")
    arguments.add_argument("--runs", type=int, default=10, help="timed runs of tray mode; 0 leaves it out")
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    seeds = range(FIRST_SEED, FIRST_SEED + options.trays)
    found = finding(seeds)
    print(f"finding: {json.dumps(found)}", flush=True)
    sparse = {"20 specimens": LAYOUTS["20 specimens"]}
    alone = {name: finding(seeds, sparse, use_fl=name == "fl", use_wl=name == "wl") for name in ("fl", "wl")}
    empty = empty_plates(seeds)
    print(f"empty plates: {json.dumps(empty)}", flush=True)
    result = {"data": "simulated", "frame_px": [FRAME[1], FRAME[0]], "mm_per_px": MM_PER_PX, "trays": options.trays}
    result["registration"] = registration(seeds)
    result |= {"finding": found, "fl_alone": alone["fl"], "wl_alone": alone["wl"], "empty_plates": empty}
    if options.runs:
        result["tray_mode_100_specimens"] = seconds_for_100(options.runs)
    finish("bench-tray", result, record=options.record)


if __name__ == "__main__":
    main()

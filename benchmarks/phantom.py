"""bench-phantom: does the phantom check see each fault of the unit, and does it leave a good unit alone?

SIMULATED pictures of the castable target, laid anew for every check (up to 1.5 mm off, up to 3 degrees turned), on
five cameras with a baseline each; neither seeds nor cameras took part in setting the limits. Each fault is dialled at
the size that the limits are meant to catch ("full") and at half of it. `seen`: share of checks whose own line fails;
`alone`: of those, share in which no other line fails; `warned`: share that fails or warns of it.
"""

import time
from functools import cache

import numpy as np

from common import finish, parser
from glioscope.devices._phantom import judge_phantom
from glioscope.devices._phantom_judge import Verdict
from glioscope.devices._phantom_read import PhantomReading, measure_phantom
from glioscope.devices._phantom_result import PhantomResult
from glioscope.devices._phantom_target import read_target
from glioscope.sim._phantom import PhantomFaults, PhantomTruth, render_phantom

TARGET = read_target("glioscope-cast")
FIRST_SEED, FIRST_UNIT, N_UNITS = 50_000, 500, 5
FAULTS: dict[str, tuple[str, PhantomFaults, PhantomFaults]] = {
    "lens dirt, FL": ("fl_mtf50_lp_mm", PhantomFaults(blur_px=0.8), PhantomFaults(blur_px=0.4)),
    "lens dirt, WL": ("wl_mtf50_lp_mm", PhantomFaults(wl_blur_px=1.0), PhantomFaults(wl_blur_px=0.5)),
    "uneven light": ("uniformity", PhantomFaults(uneven=0.15), PhantomFaults(uneven=0.075)),
    "bad pixels": (
        "bad_share",
        PhantomFaults(dead_pixels=150, hot_pixels=150),
        PhantomFaults(dead_pixels=75, hot_pixels=75),
    ),
    "light leak": ("dark_counts", PhantomFaults(leak=0.15), PhantomFaults(leak=0.075)),
    "laser at half power": ("slope_counts_per_nm_ms", PhantomFaults(laser=0.5), PhantomFaults(laser=0.75)),
    "camera moved": ("registration_mm", PhantomFaults(moved_px=5.0), PhantomFaults(moved_px=2.5)),
    "not linear": ("nonlinearity", PhantomFaults(compression=0.25), PhantomFaults(compression=0.125)),
    "clipped": ("saturated_wells", PhantomFaults(clipped_at=30_000), PhantomFaults(clipped_at=40_000)),
    "noisy camera": ("dark_noise_counts", PhantomFaults(noise=1.8), PhantomFaults(noise=1.4)),
}


def taken(
    seed: int, faults: PhantomFaults, baseline: PhantomResult | None
) -> tuple[PhantomReading, PhantomTruth, float]:
    """A reading of a target laid anew, the truth, and the seconds that reading took."""
    rng = np.random.default_rng([FIRST_SEED, seed])
    x, y = rng.uniform(-1.5, 1.5, 2)
    unit, turned = FIRST_UNIT + seed % N_UNITS, float(rng.uniform(-3, 3))
    pair = render_phantom(TARGET, rng, faults=faults, shift_mm=(float(x), float(y)), turned_deg=turned, unit=unit)
    start = time.perf_counter()
    reading = measure_phantom(pair.fl, pair.wl, TARGET, pair.exposure_ms, baseline=baseline)
    return reading, pair.truth, time.perf_counter() - start


@cache
def baseline_of(unit: int) -> PhantomResult:
    return judge_phantom(taken(10_000 * N_UNITS + unit, PhantomFaults(), None)[0], data_kind="simulated")


def checked(seed: int, faults: PhantomFaults) -> tuple[PhantomResult, PhantomTruth, float]:
    baseline = baseline_of(seed % N_UNITS)
    reading, truth, seconds = taken(seed, faults, baseline)
    start = time.perf_counter()
    result = judge_phantom(reading, data_kind="simulated", baseline=baseline)
    return result, truth, seconds + time.perf_counter() - start


def seen(measure: str, faults: PhantomFaults, seeds: range) -> dict[str, float]:
    failed, warned, alone = 0, 0, 0
    for seed in seeds:
        verdicts = {line.name: line.verdict for line in checked(seed, faults)[0].lines}
        fails = [name for name, verdict in verdicts.items() if verdict is Verdict.FAIL]
        failed += measure in fails
        alone += fails == [measure]
        warned += verdicts[measure] in (Verdict.FAIL, Verdict.WARN)
    shares = {"seen": failed / len(seeds), "alone": alone / max(failed, 1), "warned": warned / len(seeds)}
    return {name: round(value, 3) for name, value in shares.items()}


def good_units(seeds: range) -> dict:
    """False alarms, how far the measures are from the truth, and seconds a check."""
    fails, warns, seconds, slope, mtf = 0, 0, [], [], []
    for seed in seeds:
        result, truth, took = checked(seed, PhantomFaults())
        fails += result.verdict is Verdict.FAIL
        warns += result.verdict is Verdict.WARN
        seconds.append(took)
        slope.append(result.values["slope_counts_per_nm_ms"] / truth.slope - 1)
        mtf.append(result.values["fl_mtf50_lp_mm"] / truth.mtf50_lp_mm - 1)
    return {
        "n_good": len(seeds),
        "false_fail": fails,
        "false_warn": warns,
        "slope_error_worst": round(float(np.abs(slope).max()), 4),
        "mtf50_error_worst": round(float(np.abs(mtf).max()), 4),
        "check_s_median": round(float(np.median(seconds)), 3),
        "check_s_worst": round(max(seconds), 3),
    }


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--seeds", type=int, default=20, help="checks for each fault at full size")
    arguments.add_argument("--half", type=int, default=10, help="checks for each fault at half size")
    arguments.add_argument("--good", type=int, default=100, help="checks of good units")
    options = arguments.parse_args()
    good = good_units(range(1000, 1000 + options.good))
    faults = {
        name: {
            "full": seen(measure, full, range(options.seeds)),
            "half": seen(measure, half, range(500, 500 + options.half)),
        }
        for name, (measure, full, half) in FAULTS.items()
    }
    result = {
        "data_kind": "simulated",
        "seen_least": min(each["full"]["seen"] for each in faults.values()),
        "alone_least": min(each["full"]["alone"] for each in faults.values()),
        **good,
        "n_full": options.seeds,
        "n_half": options.half,
        "faults": faults,
    }
    finish("bench-phantom", result, record=options.record)


if __name__ == "__main__":
    main()

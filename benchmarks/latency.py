"""bench-latency: a frame pair in memory to three answers and the heatmap, in turn with the stock way.

640 x 512 uint16 and RGB, one specimen, noisy enough to need denoising. Ours: finding, gate, preparation, three networks
(every specimen is taken for tumour), envelope, calibration, decisions, heatmap in the specimen's pixels. Stock: see
`stock.py`. Blocks of both alternate, so that what else the machine does falls on both.
"""

import warnings

import numpy as np

from common import finish, parser
from glioscope.cli._measure import asking_everything, durations_ms, require_answers, simulated_frames
from glioscope.runtime import Cascade, RuntimeSettings, draw_heatmap
from suites import B0, LITE0, speed_suite

BLOCKS = 20


def ours(backbone: str, threads: int):
    """A function that answers one frame pair, heatmap included."""
    fl, wl = simulated_frames()
    cascade = asking_everything(Cascade.load(speed_suite(backbone), RuntimeSettings(threads=threads)))
    first = cascade.diagnose(fl, wl)
    require_answers([first])
    if not first.preparation["fl"][0]["denoised"]:
        raise SystemExit("the frame did not need denoising")

    def run() -> None:
        answer = cascade.diagnose(fl, wl)
        draw_heatmap(answer.tasks[0], "fl", answer, cascade)

    def steps() -> dict[str, float]:
        found = [cascade.diagnose(fl, wl).timings_ms for _ in range(50)]
        return {name: float(np.median([each[name] for each in found])) for name in found[0]}

    return run, steps


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--runs", type=int, default=2000)
    arguments.add_argument("--stock-runs", type=int, default=200)
    arguments.add_argument("--threads", type=int, default=2)
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    from stock import StockPipeline

    fl, wl = simulated_frames()
    stock = StockPipeline(B0)
    b0, steps = ours(B0, options.threads)
    lite0, _ = ours(LITE0, options.threads)
    times: dict[str, list] = {"b0": [], "lite0": [], "stock": []}
    for _ in range(BLOCKS):
        times["b0"].append(durations_ms(b0, options.runs // BLOCKS, warm=3))
        times["stock"].append(
            durations_ms(lambda: stock.diagnose(fl.pixels, wl.pixels), options.stock_runs // BLOCKS, warm=1)
        )
        times["lite0"].append(durations_ms(lite0, options.runs // BLOCKS, warm=3))
    found = {name: np.concatenate(blocks) for name, blocks in times.items()}
    p50 = {name: float(np.median(values)) for name, values in found.items()}
    p99 = {name: float(np.percentile(values, 99)) for name, values in found.items()}
    finish(
        "bench-latency",
        {
            "p50_ms": round(p50["b0"], 2),
            "p99_ms": round(p99["b0"], 2),
            "stock_p50_ms": round(p50["stock"], 2),
            "ratio": round(p50["stock"] / p50["b0"], 2),
            "lite0_p50_ms": round(p50["lite0"], 2),
            "lite0_p99_ms": round(p99["lite0"], 2),
            "lite0_ratio": round(p50["stock"] / p50["lite0"], 2),
            "p99_over_p50": round(p99["b0"] / p50["b0"], 2),
            "steps_ms": {name: round(value, 2) for name, value in steps().items()},
            "runs": len(found["b0"]),
            "stock_runs": len(found["stock"]),
            "threads": options.threads,
            "frames": "simulated",
        },
        record=options.record,
    )


if __name__ == "__main__":
    main()

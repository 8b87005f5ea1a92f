"""`bench`: this machine's figures for a suite."""

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from glioscope._terminal import out, print_table, progress

from ._app import app


@app.command()
def bench(
    suite: Annotated[Path, typer.Argument(help="Folder of a locked suite, as `train` writes it.")],
    runs: Annotated[int, typer.Option(help="Frame pairs that are timed.", min=20)] = 300,
    images: Annotated[int, typer.Option(help="Image pairs from disk that are timed.", min=8)] = 200,
    threads: Annotated[int | None, typer.Option(help="Threads; the default is all cores.", min=1)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record instead of the table.")] = False,
) -> None:
    """Measure on this machine how fast a suite answers, from a frame pair in memory and from a cold shell.

    The frames are simulated, and nothing is refused: every one goes through finding, gate, all networks, envelope and
    calibration.
    """
    from glioscope.runtime import Cascade, RuntimeSettings

    from ._measure import (
        asking_everything,
        cold_start,
        durations_ms,
        images_per_second,
        require_answers,
        simulated_frames,
        write_pairs,
    )

    cores = threads or max(1, os.cpu_count() or 1)
    fl, wl = simulated_frames()
    cascade = asking_everything(Cascade.load(suite, RuntimeSettings(threads=cores)))
    require_answers([cascade.diagnose(fl, wl)])
    with tempfile.TemporaryDirectory() as folder, progress("measuring") as advance:
        advance(0, 4)
        found = durations_ms(lambda: cascade.diagnose(fl, wl), runs)
        steps = cascade.diagnose(fl, wl).timings_ms
        advance(1, 4)
        pairs = write_pairs(Path(folder), images)
        advance(2, 4)
        many = asking_everything(Cascade.load(suite, RuntimeSettings(threads=1, workers=cores, parallel=False)))
        rate = images_per_second(many, pairs)
        advance(3, 4)
        first = pairs[0][0]
        words = ["--full-frame", "--mm-per-px", str(first.mm_per_px)]
        seconds, rss = cold_start(suite, Path(str(first.fl_image)), Path(str(first.wl_image)), 5, words, strict=False)
        advance(4, 4)
    result = {
        "p50_ms": round(float(np.median(found)), 2),
        "p99_ms": round(float(np.percentile(found, 99)), 2),
        "steps_ms": {name: round(value, 2) for name, value in steps.items()},
        "images_per_s": round(rate, 1),
        "first_answer_s": round(float(np.median(seconds)), 2),
        "rss_mb": round(rss),
        "threads": cores,
        "networks": [f"{b.info.name} ({b.info.backbone})" for b in cascade.bundles.values()],
        "frames": "simulated",
    }
    if as_json:
        print(json.dumps(result))  # noqa: T201
        return
    rows: list[tuple[str, ...]] = [
        ("frame pair in memory to all answers, median", f"{result['p50_ms']} ms"),
        ("... 99th percentile", f"{result['p99_ms']} ms"),
        *((f"... of it {name}", f"{value:.2f} ms") for name, value in steps.items() if name != "total"),
        ("frame pairs from disk", f"{result['images_per_s']} a second"),
        ("`glioscope diagnose` in a shell to its answer", f"{result['first_answer_s']} s"),
        ("... resident memory", f"{result['rss_mb']} MB"),
    ]
    print_table(f"{suite}: {cores} threads, simulated frames of 640 x 512 px", ("what", "measured"), rows)
    names = (f"{b.info.name} ({b.info.backbone})" for b in cascade.bundles.values())
    out.print(f"networks: {', '.join(names)}")

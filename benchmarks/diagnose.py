"""bench-diagnose: one specimen pair, three EfficientNet-B0 at 224 px: from a cold shell, and the cascade once warm.

The weights are random (the hub is not asked): time does not depend on them. The tumour threshold is set so low that
every specimen goes through all three networks.
"""

import logging
import shutil
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

from common import WORK, finish, parser
from glioscope.cohort import load_manifest, sources, split_patients
from glioscope.core import BUILT_IN_TASKS, Canvas, FLPlan, Modality, Threshold, WLPlan
from glioscope.runtime import Cascade
from glioscope.sim import simulate

TASKS = ("tumor", "grade", "ki67")


def b0_suite() -> tuple[Path, Path]:
    """A suite of three B0 bundles made by the ordinary training path, and the cohort it was made on."""
    import glioscope.models._fit as fit
    from glioscope.models import ProbeSettings, TrainSettings, train_study

    cohort_folder, run = WORK / "diagnose-cohort", WORK / "diagnose-run"
    if not (cohort_folder / "manifest.csv").is_file():
        simulate(cohort_folder, n_patients=6, n_specimens=120, seed=21)
    if not (run / "suite" / "suite.json").is_file():
        shutil.rmtree(run, ignore_errors=True)
        cohort = load_manifest(cohort_folder / "manifest.csv")
        tasks = [BUILT_IN_TASKS[t] for t in TASKS]
        canvas = Canvas(size_px=224)
        settings = TrainSettings(
            strategy="probe",
            backbone="efficientnet_b0",
            weights="none",
            fl_plan=FLPlan(canvas=canvas),
            wl_plan=WLPlan(canvas=canvas),
            probe=ProbeSettings(inverse_l2=(1e-4,)),
        )
        always = Threshold(logit=(-1e6,), rule="fixed", chosen_on="benchmark: everything goes through all networks")
        fit.lock_threshold = lambda *_: always
        split = split_patients(cohort, tasks, seed=0)
        train_study(cohort, tasks, [Modality.FL], split, settings, run, progress=False)
    return run / "suite", cohort_folder


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--runs", type=int, default=200)
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    suite, cohort_folder = b0_suite()
    items = sources(load_manifest(cohort_folder / "manifest.csv"))
    program = str(Path(sys.executable).with_name("glioscope"))
    command = [program, "diagnose", str(suite), "--fl", str(items[0].fl_image), "--wl", str(items[0].wl_image)]
    cold = []
    for _ in range(6):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        cold.append(time.perf_counter() - started)
    cascade = Cascade.load(suite)
    totals, networks = [], []
    for number in range(options.runs + 10):
        answer = cascade.diagnose(items[number % len(items)])
        if answer.error is not None or any(t.y_score is None for t in answer.tasks):
            sys.exit(f"not every network answered: {answer}")
        if number >= 10:
            totals.append(answer.timings_ms["total"])
            networks.append(answer.timings_ms["network"])
    finish(
        "bench-diagnose",
        {
            "cold_s": round(statistics.median(cold[1:]), 3),
            "first_cold_s": round(cold[0], 3),
            "cascade_ms": round(statistics.median(totals), 2),
            "cascade_p99_ms": round(sorted(totals)[int(len(totals) * 0.99)], 2),
            "networks_ms": round(statistics.median(networks), 2),
            "runs": options.runs,
            "backbone": "efficientnet_b0",
            "size_px": 224,
            "data": "simulated",
        },
        record=options.record,
    )


if __name__ == "__main__":
    main()

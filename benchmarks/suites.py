"""Suites whose speed is measured: three networks of a kind, made by the ordinary training path.

The weights are random (the hub is not asked): time does not depend on them.
"""

import shutil
from pathlib import Path

from common import WORK
from glioscope.cohort import load_manifest, split_patients
from glioscope.core import BUILT_IN_TASKS, Canvas, FLPlan, Modality, WLPlan
from glioscope.sim import simulate

TASKS = ("tumor", "grade", "ki67")


def cohort_folder() -> Path:
    """A small SIMULATED cohort: 6 patients, 120 specimens."""
    folder = WORK / "speed-cut"
    if not (folder / "manifest.csv").is_file():
        simulate(folder, n_patients=6, n_specimens=120, seed=21)
    return folder


def speed_suite(backbone: str, size_px: int = 224) -> Path:
    """The suite of three FL networks of one backbone at `size_px`; made once, again where its version is old."""
    from glioscope.models import ProbeSettings, TrainSettings, train_study
    from glioscope.runtime import Cascade

    run = WORK / f"speed-{backbone}-{size_px}"
    try:
        Cascade.load(run / "suite")
    except Exception:
        shutil.rmtree(run, ignore_errors=True)
        cohort = load_manifest(cohort_folder() / "manifest.csv")
        tasks = [BUILT_IN_TASKS[t] for t in TASKS]
        canvas = Canvas(size_px=size_px)
        settings = TrainSettings(
            strategy="probe",
            backbone=backbone,
            weights="none",
            fl_plan=FLPlan(canvas=canvas),
            wl_plan=WLPlan(canvas=canvas),
            probe=ProbeSettings(inverse_l2=(1e-4,)),
        )
        train_study(cohort, tasks, [Modality.FL], split_patients(cohort, tasks, seed=0), settings, run, progress=False)
    return run / "suite"


B0, LITE0 = "efficientnet_b0", "tf_efficientnet_lite0"

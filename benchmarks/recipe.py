"""bench-recipe: how to fine-tune by default. Tuning patients of the simulator's tuning cohort (seed 1000) only.

For every recipe and (modality, task): AUC on tuning patients, and the largest difference of logits between ONNX
Runtime and torch on 16 training images, which an export allows to be 1e-4.
"""

import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

from cohorts import simulated
from common import finish, parser
from glioscope.cohort import labels, load_manifest, sources, split_patients
from glioscope.core import BUILT_IN_TASKS, Canvas, FLPlan, Modality, WLPlan
from glioscope.models import (
    LITE0,
    FinetuneSettings,
    FoldData,
    FrozenFeatures,
    TrainSettings,
    fit_model,
    onnx_difference,
    prepare_images,
    resolve_white,
)

KEPT = {"freeze_batch_norm": True, "epochs": 5}
RECIPES = {
    "probe": TrainSettings(strategy="probe"),
    "paper: Xavier head, 1e-3, batch norm trained": TrainSettings(
        finetune=FinetuneSettings(epochs=5, start="xavier", learning_rate=1e-3, freeze_batch_norm=False)
    ),
    "Xavier head, 1e-3, batch norm kept": TrainSettings(
        finetune=FinetuneSettings(start="xavier", learning_rate=1e-3, **KEPT)
    ),
    "from the probe, 3e-4, batch norm kept": TrainSettings(
        finetune=FinetuneSettings(start="probe", learning_rate=3e-4, **KEPT)
    ),
    "from the probe, 1e-3, batch norm kept": TrainSettings(
        finetune=FinetuneSettings(start="probe", learning_rate=1e-3, **KEPT)
    ),
}
CASES = (("fl", "tumor"), ("wl", "tumor"), ("fl", "grade"))


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--size", type=int, default=128)
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    cohort = load_manifest(simulated(1000) / "manifest.csv")
    items, table = sources(cohort), cohort.table
    roles = split_patients(cohort, [BUILT_IN_TASKS[t] for t in ("tumor", "grade", "ki67")], seed=1000).roles()
    specimens, patients = table["specimen_id"].to_numpy(object), table["patient_id"].to_numpy(object)
    row_roles = np.array([str(roles[p]) for p in patients], object)
    canvas = Canvas(size_px=options.size)
    plan = resolve_white(FLPlan(canvas=canvas), [s for s, r in zip(items, row_roles, strict=True) if r == "train"])
    images = prepare_images(items, fl_plan=plan, wl_plan=WLPlan(canvas=canvas))
    frozen = FrozenFeatures(LITE0, "auto")
    results: dict[str, dict[str, dict[str, float | None]]] = {}
    for modality, name in ((Modality(m), t) for m, t in CASES):
        task = BUILT_IN_TASKS[name]
        y = labels(cohort, task).reindex(specimens).to_numpy(float)[:, None]
        data = FoldData(images, specimens, patients, row_roles, y)
        some = [
            x.contiguous() for x in data.image_set(modality, data.rows(modality, "train")[:16]).plain(torch.arange(16))
        ]
        for recipe, settings in RECIPES.items():
            with tempfile.TemporaryDirectory() as folder:
                fitted = fit_model(task, modality, data, settings, frozen, log_dir=Path(folder) / "log", progress=False)
            tune = fitted.metrics.tune_auc
            entry = {
                "tune_auc": None if tune is None else round(tune, 4),
                "onnx_difference": float(f"{onnx_difference(fitted.network, some):.2g}"),
            }
            results.setdefault(f"{modality} {name}", {})[recipe] = entry
            print(modality.value, name, recipe, entry, flush=True)
    finish("bench-recipe", {"data": "simulated", "size_px": options.size, "results": results}, record=options.record)


if __name__ == "__main__":
    main()

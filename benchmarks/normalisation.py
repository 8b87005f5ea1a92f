"""bench-normalisation: which intensity normalisation, contrast and denoising rule the FL plan should have by default.

Simulated cohort of the tuning seed (1000), its training and tuning patients only. For every plan: frozen features,
logistic regression, patients left out in four folds, AUC within the left-out patients' pool, averaged over folds.
"""

import warnings

import numpy as np
from sklearn.model_selection import GroupKFold

from cohorts import simulated
from common import finish, parser
from glioscope.cohort import labels, load_manifest, sources, split_patients
from glioscope.core import BUILT_IN_TASKS, Autocontrast, Canvas, Denoise, FLPlan, Modality, Normalisation
from glioscope.models import (
    LITE0,
    FrozenFeatures,
    ProbeSettings,
    SpecimenNet,
    fit_probe,
    prepare_images,
    resolve_white,
)
from glioscope.stats import auc

TASKS = ("tumor", "grade", "ki67")
PLANS = {
    "linear": {"normalisation": Normalisation(kind="linear")},
    "gamma 0.5": {"normalisation": Normalisation(kind="gamma", gamma=0.5)},
    "asinh knee 0.1": {"normalisation": Normalisation(kind="asinh", knee=0.1)},
    "asinh knee 0.3": {"normalisation": Normalisation(kind="asinh", knee=0.3)},
    "anscombe": {"normalisation": Normalisation(kind="anscombe")},
    "asinh knee 0.1, autocontrast always": {"autocontrast": Autocontrast(mode="always", max_gain=20.0)},
    "asinh knee 0.1, autocontrast off": {"autocontrast": Autocontrast(mode="off")},
    "asinh knee 0.1, denoise always": {"denoise": Denoise(mode="always")},
    "asinh knee 0.1, denoise off": {"denoise": Denoise(mode="off")},
}


def left_out_auc(features: np.ndarray, y: np.ndarray, patients: np.ndarray) -> float:
    """Mean AUC over four folds of patients; folds without both classes are passed over."""
    network = SpecimenNet(Modality.FL, FrozenFeatures(LITE0, "none").backbones(Modality.FL))
    values = []
    for train, held in GroupKFold(4).split(y, groups=patients):
        if not (0 < y[train].sum() < len(train) and 0 < y[held].sum() < len(held)):
            continue
        fitted, _ = fit_probe(network, features[train], y[train, None], patients[train], ProbeSettings())
        weight = fitted.head.weight.detach().numpy()[0].astype(float)
        values.append(auc(y[held], features[held] @ weight))
    return float(np.mean(values))


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--size", type=int, default=128)
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    cohort = load_manifest(simulated(1000) / "manifest.csv")
    tasks = [BUILT_IN_TASKS[t] for t in TASKS]
    roles = split_patients(cohort, tasks, seed=1000).roles()
    items, patients = sources(cohort), cohort.table["patient_id"].to_numpy(object)
    seen = np.array([roles[p] != "test" for p in patients])
    frozen = FrozenFeatures(LITE0, "auto")
    results = {}
    for name, changes in PLANS.items():
        plan = FLPlan(canvas=Canvas(size_px=options.size), **changes)
        plan = resolve_white(plan, [s for s, keep in zip(items, seen, strict=True) if keep])
        images = prepare_images([s for s, keep in zip(items, seen, strict=True) if keep], fl_plan=plan, wl_plan=None)
        features = frozen.of(images, Modality.FL)
        results[name] = {}
        for task in tasks:
            y = labels(cohort, task).reindex(cohort.table["specimen_id"]).to_numpy(float)[seen]
            known = ~np.isnan(y)
            results[name][task.name] = round(left_out_auc(features[known], y[known], patients[seen][known]), 4)
        print(name, results[name], flush=True)
    finish("bench-normalisation", {"data": "simulated", "plans": results}, record=options.record)


if __name__ == "__main__":
    main()

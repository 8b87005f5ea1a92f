"""bench-sim: fine-tuned CNNs on simulated cohorts against the ceiling, mean intensity and hand-made features.

Per seed: a cohort, one patient-level split (rows shared by all methods), all on the same test patients. Settings
were fixed on cohort seed 1000; the seeds here are others. Finished models are kept in benchmarks/work and resumed.
"""

import hashlib
import json
import logging
import statistics
import warnings

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cohorts import simulated
from common import WORK, finish, parser
from glioscope.cohort import load_manifest, read_predictions, sources, split_patients
from glioscope.core import BUILT_IN_TASKS, Canvas, FLPlan, Modality, WLPlan
from glioscope.imaging import read_fl
from glioscope.models import FinetuneSettings, TrainSettings, train_study
from glioscope.sim import HAND_MADE_FEATURES, hand_made_features
from glioscope.stats import auc

TASKS = ("tumor", "grade", "ki67")
ASKED = {
    f"{modality} {task}": (task, modality, limits)
    for task, modality, limits in (
        ("tumor", "fl", (0.93, 0.955)),
        ("tumor", "wl", (0.85, 0.90)),
        ("grade", "fl", (0.75, 0.85)),
        ("grade", "wl", (0.64, 0.74)),
        ("ki67", "fl", (0.57, 0.67)),
        ("ki67", "wl", (0.65, 0.73)),
    )
}
"""Means of fine-tuned networks that were asked of the simulator (requirement 5)."""


def baselines(cohort, predictions, task):
    """AUC of mean intensity, and of logistic regression on hand-made features, on the test specimens of a task."""
    from glioscope.cohort import labels

    y = labels(cohort, BUILT_IN_TASKS[task])
    features = pd.DataFrame(
        [hand_made_features(read_fl(s.fl_image).pixels) for s in sources(cohort)],
        index=[s.specimen_id for s in sources(cohort)],
        columns=HAND_MADE_FEATURES,
    )
    test = predictions[(predictions["split"] == "test") & predictions["y_true"].notna()]["specimen_id"].unique()
    held = set(predictions["specimen_id"])  # tuning and test specimens: the CNNs trained on none of them either
    train = [i for i in features.index if i not in held and not np.isnan(y[i])]
    patients = cohort.table.set_index("specimen_id")["patient_id"].loc[train]
    folds = list(GroupKFold(4).split(train, groups=patients))
    model = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=7, cv=folds, scoring="neg_log_loss", max_iter=2000))
    model.fit(features.loc[train], y[train])
    return auc(y[test], features.loc[test].iloc[:, 0]), auc(y[test], model.decision_function(features.loc[test]))


def one_seed(seed: int, size: int, epochs: int) -> dict:
    folder = simulated(seed)
    cohort = load_manifest(folder / "manifest.csv")
    tasks = [BUILT_IN_TASKS[name] for name in TASKS]
    canvas = Canvas(size_px=size)
    settings = TrainSettings(
        strategy="finetune",
        fl_plan=FLPlan(canvas=canvas),
        wl_plan=WLPlan(canvas=canvas),
        finetune=FinetuneSettings(epochs=epochs),
    )
    split = split_patients(cohort, tasks, seed=seed)
    key = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:8]
    run = WORK / f"{folder.name}-run-{key}"
    train_study(cohort, tasks, [Modality.FL, Modality.WL], split, settings, run, resume=True, progress=False)
    predictions = read_predictions(run / "predictions.csv")
    oracle = pd.read_csv(folder / "oracle.csv").set_index("specimen_id")
    result = {}
    for task in TASKS:
        of_task = predictions[predictions["task"] == task]
        intensity, hand_made = baselines(cohort, of_task, task)
        entry = {"mean_intensity_auc": round(intensity, 4), "hand_made_features_auc": round(hand_made, 4)}
        for modality in ("fl", "wl"):
            mine = of_task["model"] == f"{modality}-finetune"
            rows = of_task[mine & (of_task["split"] == "test") & of_task["y_true"].notna()]
            y = rows["y_true"].to_numpy(float)
            entry[f"{modality}_auc"] = round(auc(y, rows["y_score"]), 4)
            ceiling = oracle.loc[rows["specimen_id"], f"posterior_{task}_{modality}"]
            entry[f"{modality}_oracle_auc"] = round(auc(y, ceiling), 4)
        entry["auc"], entry["oracle_auc"] = entry["fl_auc"], entry["fl_oracle_auc"]
        result[task] = entry
    return result


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--size", type=int, default=128)
    arguments.add_argument("--epochs", type=int, default=6)
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    seeds = {}
    for seed in options.seeds:
        seeds[str(seed)] = one_seed(seed, options.size, options.epochs)
        print(f"seed {seed}: {json.dumps(seeds[str(seed)])}", flush=True)
    tumor = [entry["tumor"] for entry in seeds.values()]
    summary = {
        "below_oracle": round(statistics.mean(t["oracle_auc"] - t["auc"] for t in tumor), 4),
        "above_mean_intensity": round(statistics.mean(t["auc"] - t["mean_intensity_auc"] for t in tumor), 4),
        "above_hand_made": round(statistics.mean(t["auc"] - t["hand_made_features_auc"] for t in tumor), 4),
    }
    means = {
        task: {key: round(statistics.mean(entry[task][key] for entry in seeds.values()), 4) for key in tumor[0]}
        for task in TASKS
    }
    asked = {}
    for name, (task, modality, (low, high)) in ASKED.items():
        mean = means[task][f"{modality}_auc"]
        asked[name] = {"mean": mean, "asked": [low, high], "met": low <= mean <= high}
    result = {"data": "simulated", "size_px": options.size, "epochs": options.epochs}
    finish(
        "bench-sim",
        {**result, "fl_tumor": summary, "requirement_5": asked, "means": means, "seeds": seeds},
        record=options.record,
    )


if __name__ == "__main__":
    main()

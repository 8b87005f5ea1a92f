"""Small synthetic studies: predictions and readings as `cohort` reads them, with patients who differ."""

import numpy as np
import pandas as pd

TASKS = ("tumor", "grade", "ki67")
MODELS = ("fl-finetune", "fl-probe", "wl-finetune")
EFFECTS = {"tumor": 2.2, "grade": 1.4, "ki67": 0.8}


def specimens(seed=0, *, n=150, patients=7, prefix="p"):
    """One row a specimen: patient, specimen, and a label of every task, NaN where it is not known."""
    rng = np.random.default_rng(seed)
    patient = np.sort(np.r_[np.repeat(np.arange(patients), 6), rng.integers(0, patients, n - 6 * patients)])
    tumour = (rng.random(n) < rng.beta(4, 2, patients)[patient]).astype(float)
    later = {"grade": rng.random(n) < np.where(patient % 2, 0.5, 0.15), "ki67": rng.random(n) < 0.45}
    known = {task: (tumour == 1) & (rng.random(n) > 0.2) for task in later}
    return pd.DataFrame(
        {
            "patient_id": [f"{prefix}{k:02d}" for k in patient],
            "specimen_id": [f"{prefix}{k:02d}-{i:03d}" for i, k in enumerate(patient)],
            "tumor": tumour,
            **{task: np.where(known[task], later[task], np.nan) for task in later},
        }
    )


def predictions(seed=0, *, tasks=TASKS, models=MODELS, n=150, patients=7, n_tune=80, tune_patients=4):
    """A locked split: test patients p00, p01, ... and tuning patients t00, t01, ...; no decisions, one fold."""
    sets = [specimens(seed, n=n, patients=patients).assign(split="test")]
    if n_tune:
        sets.append(specimens(seed + 1, n=n_tune, patients=tune_patients, prefix="t").assign(split="tune"))
    return _scored(pd.concat(sets, ignore_index=True), seed, tasks, models, fold=0)


def folded(seed=0, *, folds=3, tasks=TASKS, models=MODELS, n=150, patients=7, tune=True):
    """Every patient tested once, each fold's scores on a scale of their own; tuned on the patients of the next fold."""
    whole = specimens(seed, n=n, patients=patients)
    place = whole["patient_id"].str[1:].astype(int) % folds
    parts = []
    for fold in range(folds):
        roles = [("test", place == fold), *([("tune", place == (fold + 1) % folds)] if tune else [])]
        own = pd.concat([whole[rows].assign(split=role) for role, rows in roles], ignore_index=True)
        parts.append(_scored(own, seed, tasks, models, fold).eval(f"y_score = y_score ** {1 + 3 * fold}"))
    return pd.concat(parts, ignore_index=True)


def decided(table, threshold=0.5, *, indeterminate=0.0, not_assessable=0.0, seed=0):
    """The same predictions with a complete decision column; shares of the specimens get no yes and no no."""
    rng = np.random.default_rng(seed)
    lot = rng.random(len(table))
    said = np.where(table["y_score"] >= threshold, "positive", "negative").astype(object)
    said[lot < indeterminate + not_assessable] = "indeterminate"
    said[lot < not_assessable] = "not_assessable"
    return table.assign(decision=pd.Series(said, index=table.index, dtype=table["decision"].dtype))


def readings(table, *, readers=("A", "B", "C"), modalities=("fl", "wl"), rated=True, seed=0):
    """What readers say of the test specimens of the tumour task; FL is a little easier than WL."""
    rng = np.random.default_rng(seed)
    test = table[(table["task"] == "tumor") & (table["split"] == "test")].drop_duplicates("specimen_id")
    parts = []
    for modality in modalities:
        for reader in readers:
            seen = 1.6 * test["y_true"].fillna(0.5) + rng.normal(0, 1.0 if modality == "fl" else 1.2, len(test))
            rating = 1.0 + np.searchsorted([0.0, 0.5, 1.1, 1.7], seen)
            parts.append(
                pd.DataFrame(
                    {
                        "reader": reader,
                        "specimen_id": test["specimen_id"].to_numpy(),
                        "modality": modality,
                        "reading": (rating >= 3).astype("int64"),
                        "rating": rating if rated else np.nan,
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def shuffled(table, seed=1):
    """The same rows in another order."""
    return table.sample(frac=1, random_state=seed).reset_index(drop=True)


def _scored(labels, seed, tasks, models, fold):
    rng = np.random.default_rng([seed, fold])
    n = len(labels)
    of_patient = labels["patient_id"].map({p: rng.normal(0, 0.4) for p in sorted(set(labels["patient_id"]))})
    parts = []
    for task in tasks:
        label = labels[task] if task in labels else labels["tumor"]
        common = rng.normal(size=n)
        for i, model in enumerate(models):
            effect = EFFECTS.get(task, 1.5) * 0.85**i
            logit = effect * (label.fillna(0.3) - 0.5) + of_patient + 0.5 * common + 0.8 * rng.normal(size=n)
            parts.append(
                pd.DataFrame(
                    {
                        "patient_id": labels["patient_id"],
                        "specimen_id": labels["specimen_id"],
                        "task": task,
                        "model": model,
                        "split": labels["split"],
                        "fold": pd.array([fold] * n, dtype="Int64"),
                        "y_true": label.astype(np.float64),
                        "y_score": 1 / (1 + np.exp(-logit)),
                        "y_probability": np.nan,
                        "decision": "",
                        "level": pd.array([pd.NA] * n, dtype="Int64"),
                    }
                )
            )
    text = dict.fromkeys(("patient_id", "specimen_id", "task", "model", "split", "decision"), "str")
    return pd.concat(parts, ignore_index=True).astype(text)

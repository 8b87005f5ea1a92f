"""bench-calibration: are probabilities of new patients true, and does the abstention band keep its promise?

Per seed: a simulated cohort, one patient-level split, a probe of its FL images for tumour and grade, as `train` makes
it. Calibration and band are fitted on out-of-fold scores of training and tuning patients, and judged on test patients.
`ece`: expected calibration error of tumour, test specimens of all seeds together (10 bins of equal width).
`promise_kept`: share of seeds in which the mean loss of the test patients is at most the miscoverage, for each task and
class to which a promise was made. The promise itself is of the mean over many cohorts, which `mean_loss` estimates.

--intervals instead: how often 95 % intervals of the probability hold the true one, on scores alone, no images. A score
is `distance * y + patient + rest`, of variance 1 in either class, of which the share ICC lies between patients; the
logit of the true probability is then linear in the score. In "wide negatives" it is not: their variance is 2.

--cost instead: processor time of training with the default calibration folds over that without any, FL and WL, tumour
and grade, for either strategy; images are prepared in both.
"""

import logging
import math
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from scipy import special, stats

from common import WORK, finish, parser
from glioscope.cohort import load_manifest, read_predictions, split_patients
from glioscope.core import BUILT_IN_TASKS, BundleInfo, Canvas, FLPlan, Modality, WLPlan
from glioscope.models import FinetuneSettings, TrainSettings, train_study
from glioscope.sim import SimSettings, simulate
from glioscope.stats import brier_score, expected_calibration_error, fit_calibration, fit_temperature, fit_venn_abers

TASKS = ("tumor", "grade")
PATIENTS = (7, 16, 23)
EPOCHS = 2
"""Of fine-tuning in --cost; the ratio hardly depends on it."""
FIRST_SEED = 500
"""Cohort seeds 500, 501, ...: on none of them was anything tuned."""
SPECIMENS_A_PATIENT = 80


@dataclass(frozen=True)
class Scores:
    """How scores are drawn; `icc` is the share of the variance between patients."""

    name: str
    icc: float = 0.1
    negative_variance: float = 1.0
    distance: float = math.sqrt(2) * float(special.ndtri(0.945))
    share: float = 0.7

    def draw(self, n_patients: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Labels, scores and patients; patients differ in size (lognormal) and in their share of positives (beta)."""
        weights = rng.lognormal(0, 0.5, n_patients)
        sizes = np.maximum(np.round(SPECIMENS_A_PATIENT * n_patients * weights / weights.sum()), 2).astype(int)
        groups = np.repeat(np.arange(n_patients), sizes)
        labels = rng.random(groups.size) < rng.beta(4 * self.share, 4 * (1 - self.share), n_patients)[groups]
        scale = np.where(labels, 1.0, math.sqrt(self.negative_variance))
        patient = rng.normal(0, math.sqrt(self.icc), n_patients)[groups]
        rest = rng.normal(0, math.sqrt(1 - self.icc), groups.size)
        return labels, self.distance * labels + scale * (patient + rest), groups

    def probability(self, score: np.ndarray) -> np.ndarray:
        """P(positive | score) of a specimen of a new patient."""
        positive = self.share * stats.norm.pdf(score, self.distance, 1)
        negative = (1 - self.share) * stats.norm.pdf(score, 0, math.sqrt(self.negative_variance))
        return np.asarray(positive / (positive + negative))


SCENARIOS = (Scores("main"), Scores("icc 0.3", icc=0.3), Scores("wide negatives", negative_variance=2.0))


def bootstrap_interval(labels, scores, groups, at, rng, n_resamples=200):
    """Percentile interval of the logistic fit over resampled patients."""
    rows_of = [np.flatnonzero(groups == k) for k in np.unique(groups)]
    fitted = []
    while len(fitted) < n_resamples:
        rows = np.concatenate([rows_of[k] for k in rng.integers(0, len(rows_of), len(rows_of))])
        if 0 < labels[rows].sum() < rows.size:
            fitted.append(fit_temperature(labels[rows], scores[rows], bias=True)(at))
    return np.quantile(fitted, [0.025, 0.975], axis=0)


def one_cohort(scenario: Scores, n_patients: int, seed: int) -> dict[str, tuple[float, float]]:
    """Method -> share of 100 new specimens whose true probability its interval holds, and mean width."""
    rng = np.random.default_rng([seed, n_patients])
    labels, scores, groups = scenario.draw(n_patients, rng)
    at = scenario.draw(n_patients, rng)[1]
    at = rng.permutation(at)[:100]
    true = scenario.probability(at)
    logistic = fit_calibration(labels, scores, groups)
    intervals = {
        "logistic, patient jackknife": np.array([logistic.probability(float(x))[1:] for x in at]).T,
        "logistic, patient bootstrap": bootstrap_interval(labels, scores, groups, at, rng),
        "venn-abers": np.stack(fit_venn_abers(labels, scores).interval(at)),
    }
    return {
        name: (float(np.mean((low <= true) & (true <= high))), float(np.mean(high - low)))
        for name, (low, high) in intervals.items()
    }


def intervals(n_cohorts: int) -> dict:
    rows = {}
    with Parallel(n_jobs=2) as parallel:
        for scenario in SCENARIOS:
            for n_patients in PATIENTS:
                runs = parallel(delayed(one_cohort)(scenario, n_patients, seed) for seed in range(n_cohorts))
                for method in runs[0]:
                    held, width = np.array([run[method] for run in runs]).T
                    found = {
                        "coverage": round(float(held.mean()), 4),
                        "error": round(float(held.std() / math.sqrt(n_cohorts)), 4),
                        "width": round(float(width.mean()), 4),
                    }
                    rows.setdefault(scenario.name, {}).setdefault(method, {})[n_patients] = found
                    print(f"{scenario.name:16s}{n_patients:3d} patients  {method:30s}{found}", flush=True)
    return {"coverage": rows, "cohorts": n_cohorts, "data": "simulated scores"}


def simulated(seed: int, n_specimens: int) -> Path:
    """Folder of a cohort of 23 patients, drawn once."""
    folder = WORK / f"sim-{SimSettings().sha256[:8]}-{seed}-{n_specimens}"
    if not (folder / "manifest.csv").is_file():
        simulate(folder, n_specimens=n_specimens, seed=seed)
    return folder


def cost(n_specimens: int, size: int) -> dict:
    """Strategy -> seconds of processor time without and with calibration folds, and their ratio."""
    cohort = load_manifest(simulated(FIRST_SEED, n_specimens) / "manifest.csv")
    tasks = [BUILT_IN_TASKS[name] for name in TASKS]
    split, canvas, found = split_patients(cohort, tasks, seed=0), Canvas(size_px=size), {}
    for strategy in ("probe", "finetune"):
        seconds = []
        for folds in (0, None):
            settings = TrainSettings(
                strategy=strategy,
                fl_plan=FLPlan(canvas=canvas),
                wl_plan=WLPlan(canvas=canvas),
                finetune=FinetuneSettings(epochs=EPOCHS),
                calibration_folds=folds,
            )
            with tempfile.TemporaryDirectory() as scratch:
                before = time.process_time()
                run, quiet = Path(scratch) / "run", {"progress": False, "report": lambda _: None}
                train_study(cohort, tasks, [Modality.FL, Modality.WL], split, settings, run, **quiet)
                seconds.append(time.process_time() - before)
        found[strategy] = {
            "seconds_without": round(seconds[0], 1),
            "seconds_with": round(seconds[1], 1),
            "ratio": round(seconds[1] / seconds[0], 2),
        }
        print(strategy, found[strategy], flush=True)
    return {"cost": found, "epochs": EPOCHS, "specimens": n_specimens, "size_px": size, "data": "simulated"}


def one_seed(seed: int, n_specimens: int, size: int) -> dict:
    """Task -> what the test patients of one cohort say."""
    cohort = load_manifest(simulated(seed, n_specimens) / "manifest.csv")
    tasks = [BUILT_IN_TASKS[name] for name in TASKS]
    settings = TrainSettings(strategy="probe", fl_plan=FLPlan(canvas=Canvas(size_px=size)), seed=seed)
    split = split_patients(cohort, tasks, seed=seed)
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        train_study(cohort, tasks, [Modality.FL], split, settings, run, progress=False, report=lambda _: None)
        table = read_predictions(run / "predictions.csv")
        test = table[(table["split"] == "test") & table["y_true"].notna()]
        return {task.name: judged(task, test[test["task"] == task.name], run) for task in tasks}


def judged(task, rows, run) -> dict:
    """What probabilities and decisions of one task's test specimens are worth."""
    path = run / "suite" / f"{task.name}-fl" / "bundle.json"
    band = BundleInfo.model_validate_json(path.read_text(encoding="utf-8")).abstention
    found = {"rows": rows, "classes": {}, "answered": float((rows["decision"] != "indeterminate").mean())}
    for level, promise in ((0, band.negative), (1, band.positive)):
        own = rows[rows["y_true"] == level]
        wrong = own["decision"] == ("positive" if level == 0 else "negative")
        found["classes"][promise.class_name] = {
            "promised": None if promise.refused else promise.miscoverage,
            "calibration_patients": promise.n_patients,
            "test_patients": int(own["patient_id"].nunique()),
            "loss": float(wrong.groupby(own["patient_id"]).mean().mean()),
        }
    return found


def pooled(task: str, seeds: list[dict]) -> dict:
    """One task over all seeds."""
    parts = [seed[task]["rows"] for seed in seeds]
    y, p, s = (np.concatenate([part[name] for part in parts]) for name in ("y_true", "y_probability", "y_score"))
    per_seed = [expected_calibration_error(part["y_true"], part["y_probability"]) for part in parts]
    return {
        "ece": round(expected_calibration_error(y, p), 4),
        "ece_uncalibrated": round(expected_calibration_error(y, s), 4),
        "ece_per_seed": [round(value, 4) for value in per_seed],
        "brier": round(brier_score(y, p), 4),
        "brier_uncalibrated": round(brier_score(y, s), 4),
        "answered": round(float(np.mean([seed[task]["answered"] for seed in seeds])), 4),
        "test_specimens": len(y),
        "classes": {name: kept(name, task, seeds) for name in seeds[0][task]["classes"]},
    }


def kept(name: str, task: str, seeds: list[dict]) -> dict:
    """How a promise to one class fared; the loss without one where it was refused."""
    each = [seed[task]["classes"][name] for seed in seeds]
    promised = [one for one in each if one["promised"] is not None]
    losses = np.array([one["loss"] for one in promised])
    found = {
        "seeds_promised": len(promised),
        "seeds_refused": len(each) - len(promised),
        "calibration_patients": sorted({one["calibration_patients"] for one in each}),
    }
    if len(promised) < len(each):
        found["mean_loss_refused"] = round(float(np.mean([o["loss"] for o in each if o["promised"] is None])), 4)
    if promised:
        limit = promised[0]["promised"]
        found |= {
            "miscoverage": limit,
            "seeds_kept": int((losses <= limit).sum()),
            "mean_loss": round(float(losses.mean()), 4),
            "mean_loss_error": round(float(losses.std() / math.sqrt(losses.size)), 4),
            "loss_per_seed": [round(float(loss), 4) for loss in losses],
        }
    return found


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, default=20)
    arguments.add_argument("--specimens", type=int, default=920, help="of the 23 patients of a cohort")
    arguments.add_argument("--size", type=int, default=96, help="network input in pixels")
    arguments.add_argument("--intervals", action="store_true", help="coverage of intervals on simulated scores")
    arguments.add_argument("--cost", action="store_true", help="processor time with and without calibration folds")
    arguments.add_argument("--cohorts", type=int, default=300, help="cohorts a row of --intervals")
    options = arguments.parse_args()
    started = time.perf_counter()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    other = {"intervals": options.intervals, "cost": options.cost}
    if any(other.values()):
        name = next(name for name, asked in other.items() if asked)
        found = intervals(options.cohorts) if options.intervals else cost(options.specimens, options.size)
        found["seconds"] = round(time.perf_counter() - started)
        finish(f"bench-calibration ARGS=--{name}", found, record=options.record)
        return
    seeds = []
    for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
        seeds.append(one_seed(seed, options.specimens, options.size))
        losses = {name: round(one["loss"], 3) for name, one in seeds[-1]["tumor"]["classes"].items()}
        print(f"seed {seed}: tumour, loss on test patients {losses}, {time.perf_counter() - started:.0f} s", flush=True)
    tasks = {task: pooled(task, seeds) for task in TASKS}
    promised = {
        f"{task} {name}": round(found["seeds_kept"] / found["seeds_promised"], 4)
        for task in TASKS
        for name, found in tasks[task]["classes"].items()
        if found["seeds_promised"]
    }
    finish(
        "bench-calibration",
        {
            "ece": tasks["tumor"]["ece"],
            "promise_kept": promised,
            "tasks": tasks,
            "seeds": options.seeds,
            "specimens": options.specimens,
            "size_px": options.size,
            "data": "simulated",
            "seconds": round(time.perf_counter() - started),
        },
        record=options.record,
    )


if __name__ == "__main__":
    main()

"""bench-stats: intervals and tests against scikit-learn and pROC on the same data, and the command `evaluate`.

Times are medians of repetitions that take turns. pROC is timed inside R, so that starting R does not count.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import special
from sklearn.metrics import roc_auc_score

from common import finish, parser
from glioscope.stats import auc_ci, permutation_test

N_POSITIVE, N_NEGATIVE, N_PATIENTS = 400, 208, 7
TASKS = {"tumor": 2.26, "grade": 1.25, "ki67": 0.7}
"""Task -> distance of the classes' mean scores."""
MODELS = {"fl": 1.0, "wl": 0.7, "fusion": 1.1, "fl-finetune": 0.9}
"""Model -> factor on that distance."""
SIZES = (1_000, 10_000, 100_000, 1_000_000)


def seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def two_methods() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and the scores of two correlated methods, as many of each class as the paper's test specimens."""
    rng = np.random.default_rng(0)
    labels = np.repeat([1, 0], [N_POSITIVE, N_NEGATIVE])
    shared = rng.normal(size=labels.size)
    a, b = (distance * labels + 0.7 * shared + 0.7 * rng.normal(size=labels.size) for distance in (2.26, 1.9))
    return labels, a, b


def plain_loop(labels: np.ndarray, scores: np.ndarray, n_resamples: int = 1000) -> np.ndarray:
    """What a careful user of scikit-learn writes: percentiles of the AUC on resamples of each class."""
    rng = np.random.default_rng(0)
    positive, negative = np.flatnonzero(labels), np.flatnonzero(1 - labels)
    areas = []
    for _ in range(n_resamples):
        rows = np.concatenate([rng.choice(positive, positive.size), rng.choice(negative, negative.size)])
        areas.append(roc_auc_score(labels[rows], scores[rows]))
    return np.quantile(areas, [0.025, 0.975])


def proc(table: Path, analysis: str, n_resamples: int) -> tuple[float, float, float]:
    """Seconds inside R, and the two numbers of the answer."""
    script = Path(__file__).with_name("proc_timing.R")
    command = ["Rscript", str(script), str(table), analysis, str(n_resamples)]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        sys.exit(f"R with pROC does not run ({error}); `make system` installs it")
    taken, first, second = map(float, done.stdout.split(","))
    return taken, first, second


def against_others(folder: Path, rounds: int) -> dict[str, Any]:
    """Ratios of their time to ours, all in turn in one run."""
    labels, a, b = two_methods()
    table = folder / "methods.csv"
    pd.DataFrame({"y": labels, "a": a, "b": b}).to_csv(table, index=False)
    times: dict[str, list[float]] = {
        name: [] for name in ("ours_ci", "sklearn_ci", "proc_ci", "ours_test", "proc_test")
    }
    limits = auc_ci(labels, a, method="bootstrap", rng=0)
    for number in range(rounds):
        times["ours_ci"].append(seconds(lambda: auc_ci(labels, a, method="bootstrap", n_resamples=1000, rng=0)))
        times["sklearn_ci"].append(seconds(lambda: plain_loop(labels, a)))
        ci = proc(table, "ci", 1000)
        times["proc_ci"].append(ci[0])
        times["ours_test"].append(seconds(lambda: permutation_test(labels, a, b, n_resamples=10_000, rng=0)))
        times["proc_test"].append(proc(table, "paired", 10_000)[0])
        print(f"round {number + 1}: " + ", ".join(f"{name} {found[-1]:.4f} s" for name, found in times.items()))
    median = {name: statistics.median(found) for name, found in times.items()}
    return {
        "auc_ci_vs_sklearn": round(median["sklearn_ci"] / median["ours_ci"], 1),
        "auc_ci_vs_proc": round(median["proc_ci"] / median["ours_ci"], 1),
        "paired_vs_proc": round(median["proc_test"] / median["ours_test"], 1),
        "seconds": {name: round(value, 4) for name, value in median.items()},
        "limits_ours_sklearn_proc": [
            [round(float(limit), 4) for limit in pair]
            for pair in ((limits.low, limits.high), plain_loop(labels, a), ci[1:])
        ],
    }


def seconds_by_size(size: int) -> tuple[float, float]:
    """Of 1000 bootstrap resamples, and of the jackknife of 23 patients."""
    rng = np.random.default_rng(0)
    labels = rng.random(size) < 0.7
    scores, groups = 2.26 * labels + rng.normal(size=size), rng.integers(0, 23, size)
    bootstrap = seconds(lambda: auc_ci(labels, scores, method="bootstrap", n_resamples=1000, rng=0))
    jackknife = seconds(lambda: auc_ci(labels, scores, method="jackknife", groups=groups))
    print(f"{size} specimens: bootstrap {bootstrap:.4f} s, jackknife {jackknife:.4f} s", flush=True)
    return bootstrap, jackknife


def growth() -> dict[str, Any]:
    """Seconds at growing numbers of specimens, and the exponent that they follow."""
    times = np.array([seconds_by_size(size) for size in SIZES]).T
    return {
        name: {
            "seconds": {str(size): round(float(value), 4) for size, value in zip(SIZES, row, strict=True)},
            "exponent": round(float(np.polyfit(np.log(SIZES), np.log(row), 1)[0]), 2),
        }
        for name, row in zip(("bootstrap", "jackknife"), times, strict=True)
    }


def predictions(rng: np.random.Generator) -> pd.DataFrame:
    """608 test specimens of 7 patients and 300 tuning specimens of 4 more, three tasks, four models."""
    tumour = np.concatenate([np.repeat([1, 0], [N_POSITIVE, N_NEGATIVE]), rng.random(300) < 0.7]).astype(int)
    test = np.arange(tumour.size) < N_POSITIVE + N_NEGATIVE
    patient = np.where(test, rng.integers(0, N_PATIENTS, tumour.size), rng.integers(N_PATIENTS, 11, tumour.size))
    tables = []
    for task, distance in TASKS.items():
        y_true = tumour if task == "tumor" else np.where(tumour == 1, rng.random(tumour.size) < 0.4, np.nan)
        for model, factor in MODELS.items():
            logit = factor * distance * (np.nan_to_num(y_true) - 0.5) + rng.normal(size=tumour.size)
            columns = {
                "patient_id": [f"p{number:02d}" for number in patient],
                "specimen_id": [f"s{number:04d}" for number in range(tumour.size)],
                "task": task,
                "model": model,
                "split": np.where(test, "test", "tune"),
                "y_true": y_true,
                "y_score": special.expit(logit),
                "y_probability": special.expit(1.2 * logit + 0.3),
                "decision": np.where(logit > 0, "positive", "negative"),
            }
            tables.append(pd.DataFrame(columns))
    return pd.concat(tables)


def readings(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Three readers, each reading the FL and the WL image of every test specimen."""
    seen = table[(table["task"] == "tumor") & (table["model"] == "fl") & (table["split"] == "test")]
    tables = []
    for reader in ("A", "B", "C"):
        for modality, right in (("fl", 0.80), ("wl", 0.82)):
            said = np.where(rng.random(len(seen)) < right, seen["y_true"], 1 - seen["y_true"]).astype(int)
            columns = {"reader": reader, "specimen_id": seen["specimen_id"], "modality": modality, "reading": said}
            tables.append(pd.DataFrame(columns))
    return pd.concat(tables)


def evaluate(folder: Path, rounds: int) -> dict[str, float]:
    """Wall time of the command and the most memory that it, or one of the programs it started, had."""
    rng = np.random.default_rng(1)
    table = predictions(rng)
    table.to_csv(folder / "predictions.csv", index=False)
    readings(table, rng).to_csv(folder / "readings.csv", index=False)
    program = str(Path(sys.executable).with_name("glioscope"))
    inputs = [str(folder / "predictions.csv"), "--readings", str(folder / "readings.csv")]
    times, kilobytes = [], []
    for number in range(rounds):
        command = [
            program,
            "evaluate",
            *inputs,
            "--protocol",
            "both",
            "--no-pdf",
            "--out",
            str(folder / f"out{number}"),
        ]
        started = time.perf_counter()
        with (folder / "log").open("wb") as log:
            child = subprocess.Popen(command, stdout=log, stderr=log)
            _, status, usage = os.wait4(child.pid, 0)
        times.append(time.perf_counter() - started)
        kilobytes.append(usage.ru_maxrss)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            sys.exit(f"glioscope evaluate failed: {(folder / 'log').read_text(errors='replace').strip()}")
        print(f"evaluate {number + 1}: {times[-1]:.2f} s, {kilobytes[-1] / 1024:.0f} MiB", flush=True)
    return {"evaluate_s": round(statistics.median(times), 2), "evaluate_mb": round(max(kilobytes) * 1024 / 1e6)}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = against_others(folder, options.rounds) | evaluate(folder, 3) | {"auc_linear": growth()}
    finish("bench-stats", result | {"rounds": options.rounds, "data": "simulated scores"}, record=options.record)


if __name__ == "__main__":
    main()

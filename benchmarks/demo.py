"""The whole main job on a SIMULATED cohort of the paper's size: simulate, check, train, evaluate, report, diagnose,
explain.

`make demo` probes everything (frozen features) and fine-tunes FL-CNN 1; `make reproduce` fine-tunes everything.
Each step is a command that a lab can run on its own images; it is printed before it runs.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from common import ROOT
from glioscope.stats import auc
from readme import answers_section, study_section, write_section

# Shen et al. 2021, abstract and Table 2.
PAPER_AUC = {
    ("tumor", "fl"): 0.945,
    ("tumor", "wl"): 0.873,
    ("grade", "fl"): 0.810,
    ("grade", "wl"): 0.688,
    ("ki67", "fl"): 0.625,
    ("ki67", "wl"): 0.689,
}
ANNOUNCED = ("grade4", "idh", "codel")


def glioscope(*arguments: str | Path) -> None:
    """Run a glioscope command as a user would; stop where it fails."""
    words = [str(a) for a in arguments]
    print(f"\n$ glioscope {shlex.join(words)}", flush=True)
    command = [str(Path(sys.executable).with_name("glioscope")), *words]
    if subprocess.run(command, env={**os.environ, "COLUMNS": "120"}, check=False).returncode:
        sys.exit(f"glioscope {words[0]} failed")


def train_all(cohort: Path, out: Path, *, full: bool, size: int) -> list[Path]:
    """Train on one split of patients; returns the run folders."""
    manifest = cohort / "manifest.csv"
    tasks = [word for task in ("tumor", "grade", "ki67", *ANNOUNCED) for word in ("--task", task)]
    both = ["--modality", "fl", "--modality", "wl"]
    strategy = "finetune" if full else "probe"
    run = out / strategy
    fixed = ["--size", str(size), "--seed", "0"]
    glioscope("train", manifest, "--out", run, "--strategy", strategy, *tasks, *both, *fixed, "--resume")
    split = ["--split", run / "split.csv"]
    fusion = out / f"{strategy}-fusion"
    words = ["--task", "tumor", "--modality", "fusion", *fixed, *split, "--resume"]
    glioscope("train", manifest, "--out", fusion, "--strategy", strategy, *words)
    runs = [run, fusion]
    if not full:
        tuned = out / "finetune-tumor-fl"
        # Without calibration, which would train three more networks: the suite that diagnoses below is the probes'.
        words = ["--task", "tumor", "--modality", "fl", "--epochs", "4", "--calibration-folds", "0", *fixed, *split]
        words.append("--resume")
        glioscope("train", manifest, "--out", tuned, "--strategy", "finetune", *words)
        runs.append(tuned)
    return runs


def ceilings(cohort: Path, run: Path) -> dict[tuple[str, str], float]:
    """AUC of the simulator's posterior on the test specimens of a run: what the images can carry."""
    oracle = pd.read_csv(cohort / "oracle.csv").set_index("specimen_id")
    predictions = pd.read_csv(run / "predictions.csv")
    test = predictions[(predictions["split"] == "test") & predictions["y_true"].notna()]
    found = {}
    for task in test["task"].unique():
        rows = test[test["task"] == task].drop_duplicates("specimen_id")
        for modality in ("fl", "wl", "fusion"):
            column = f"posterior_{task}_{modality}"
            if column in oracle and rows["y_true"].max() == 1:
                found[task, modality] = auc(rows["y_true"], oracle.loc[rows["specimen_id"], column])
    return found


def side_by_side(cohort: Path, runs: list[Path]) -> Table:
    """Paper, this run, ceiling. Only the first column is about patients."""
    columns = ("task", "images", "strategy", "paper (real)", "this run (simulated)", "95 % CI", "ceiling (simulated)")
    table = Table(title="AUC on test patients. The paper's are real, ours SIMULATED: not comparable as evidence.")
    for column in columns:
        table.add_column(column)
    limit = ceilings(cohort, runs[0])
    seen = set()
    for run in runs:
        tasks = json.loads((run / "metrics.json").read_text())["protocols"]["strict"]["tasks"]
        for task, entry in tasks.items():
            for model, values in entry["models"].items():
                if (task, model) in seen or values["auc"] is None:
                    continue
                seen.add((task, model))
                modality, strategy = model.split("-")
                value = values["auc"]
                interval = "" if value["low"] is None else f"{value['low']:.3f}-{value['high']:.3f}"
                paper = PAPER_AUC.get((task, modality))
                ceiling = limit.get((task, modality))
                cells = (f"{paper:.3f}" if paper else "-", f"{value['value']:.3f}", interval)
                table.add_row(task, modality, strategy, *cells, f"{ceiling:.3f}" if ceiling else "-")
    return table


def study_report(cohort: Path, runs: list[Path], out: Path) -> Path:
    """Everything that was predicted, with readers, pathologists and study.toml, as one report."""
    predictions = [run / "predictions.csv" for run in runs]
    files = {name: cohort / name for name in ("readings.csv", "study.toml", "manifest.csv", "pathology.csv")}
    beside = [
        *("--readings", files["readings.csv"], "--study", files["study.toml"]),
        *("--manifest", files["manifest.csv"], "--pathology", files["pathology.csv"]),
    ]
    glioscope("evaluate", *predictions, *beside, "--suite", runs[0] / "suite", "--protocol", "both", "--out", out)
    return out


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--full", action="store_true", help="fine-tune everything")
    arguments.add_argument("--size", type=int, default=128, help="input size in pixels")
    arguments.add_argument("--record", action="store_true", help="write the study section of README.md")
    options = arguments.parse_args()
    started = time.perf_counter()
    cohort, unseen = options.out / "cohort", options.out / "unseen"
    if not (cohort / "manifest.csv").is_file():
        glioscope("simulate", cohort)
    glioscope("check", cohort / "manifest.csv")
    runs = train_all(cohort, options.out, full=options.full, size=options.size)
    report = study_report(cohort, runs, options.out / "report")
    if not (unseen / "manifest.csv").is_file():
        glioscope("simulate", unseen, "--patients", "2", "--specimens", "20", "--seed", "99")
    glioscope(
        "diagnose", runs[0] / "suite", "--manifest", unseen / "manifest.csv", "--heatmaps", options.out / "heatmaps"
    )
    explained = options.out / "explained"
    glioscope("explain", runs[0] / "suite", "--manifest", unseen / "manifest.csv", "--limit", "8", "--out", explained)
    table = side_by_side(cohort, runs)
    console = Console(width=120)
    console.print(table)
    minutes = (time.perf_counter() - started) / 60
    print(
        f"Everything is in {options.out}/ ({minutes:.1f} min). Simulated images: no clinical claim. Research use only."
    )
    if options.record:
        write_section("study", study_section(json.loads((report / "metrics.json").read_text())))
        words = ["diagnose", str(runs[0] / "suite"), "--manifest", str(unseen / "manifest.csv")]
        printed = subprocess.run(
            [str(Path(sys.executable).with_name("glioscope")), *words],
            env={**os.environ, "COLUMNS": "170"},
            capture_output=True,
            text=True,
            check=False,
        )
        write_section("diagnose", answers_section(printed.stdout, 9))
        shutil.copy(explained / "figure.png", ROOT / "docs" / "images" / "explanation.png")
    print(f"The study report: {report / 'report.html'}")


if __name__ == "__main__":
    main()

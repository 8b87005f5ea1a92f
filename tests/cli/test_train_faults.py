"""What goes wrong around a training run: nothing half written, one sentence, and `--resume` goes on."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

import pytest

from glioscope.cohort import read_predictions

from ..commands import GLIOSCOPE, refused, run
from ..conftest import TRAIN
from .cohorts import rows, write_manifest

pytest.importorskip("torch", reason="needs glioscope[train]")

ONE = ("--strategy", "probe", "--size", 64, "--task", "tumor", "--modality", "fl")
SIX = [(f"P{i}", label) for i in range(6) for label in ("tumor", "non-tumor")]


@pytest.fixture(scope="module")
def twelve(tmp_path_factory):
    """Manifest of 12 specimens of 6 patients: noise, but quick."""
    folder = tmp_path_factory.mktemp("twelve")
    return write_manifest(folder, rows(folder, SIX))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "RUN"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--backbone", "nosuch"), ("backbone 'nosuch' is not a timm model name",)),
        (("--weights", "/none.pth"), ("/none.pth: no such weights file",)),
        (("--task", "tumour"), ("task 'tumour' is not known", "did you mean 'tumor'")),
        (("--strategy", "guess"), ("strategy = 'guess'", "'probe' or 'finetune'")),
        (("--precision", "8"), ("precision = '8'",)),
        (("--size", "16"), ("--size",)),
        (("--size", "4096"), ("size_px = 4096", "1024")),
        (("--epochs", "0"), ("--epochs",)),
        (("--modality", "xray"), ("xray",)),
        (("--test-fraction", "0"), ("--test-fraction",)),
        (("--folds", "1"), ("--folds",)),
        (("--folds", "7"), ("7 folds of 6 patients",)),
        (("--folds", "3", "--leave-one-patient-out"), ("exclude each other",)),
        (("--ki67-cut-off", "0"), ("Ki-67 cut-off 0 %",)),
        (("--split", "/none.csv"), ("/none.csv", "does not exist")),
        (("--settings", "/none.toml"), ("/none.toml", "No such file")),
        (("--task-file", "/none.toml"), ("/none.toml",)),
    ],
)
def test_options_are_refused_before_anything_is_written(twelve, out, options, words):
    task = () if "--task" in options else ("--task", "tumor")
    refused(run("train", twelve, "--out", out, *task, *options), *words)
    assert not out.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("colour = 'red'", "colour is not a known setting"),
        ("[finetune]\nepoch = 3", "finetune.epoch is not a known setting"),
        ("[finetune]\nepochs = 'many'", "finetune.epochs = 'many'"),
        ("fl_plan = 3", "fl_plan = 3"),
        ("finetune = 3", "finetune = 3"),
        ("[fl_plan]\ncanvas = 3", "fl_plan.canvas = 3"),
        ("epochs = ", "not a readable TOML file"),
        ("\0", "not a readable TOML file"),
    ],
)
def test_a_bad_settings_file_is_named_with_the_key(twelve, out, tmp_path, content, words):
    path = tmp_path / "settings.toml"
    path.write_text(content)
    options = ("--task", "tumor", "--size", 64, *(("--epochs", 1) if content == "finetune = 3" else ()))
    refused(run("train", twelve, "--out", out, "--settings", path, *options), str(path), words)
    assert not out.exists()


def test_settings_from_the_file_reach_the_bundle_and_options_win(twelve, out, tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text("strategy = 'finetune'\n[probe]\ninverse_l2 = [0.05]\n[fl_plan.denoise]\nmode = 'off'\n")
    ran = run("train", twelve, "--out", out, "--settings", path, *ONE)
    assert ran.code == 0, ran.err
    info = json.loads((out / "suite" / "tumor-fl" / "bundle.json").read_text())
    assert info["provenance"]["strategy"] == "probe"
    assert info["provenance"]["settings"]["inverse_l2"] == 0.05
    assert info["fl_plan"]["denoise"]["mode"] == "off"
    assert info["fl_plan"]["canvas"]["size_px"] == 64


def test_a_split_of_another_cohort(twelve, out, tiny_run):
    refused(run("train", twelve, "--out", out, "--split", tiny_run / "split.csv", *ONE), "split.csv", "P01")
    assert not out.exists()


def test_a_folder_that_holds_a_run_or_something_else(twelve, tiny_run, tiny_cohort, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")}
    refused(run("train", tiny_cohort, "--out", tiny_run, *TRAIN), str(tiny_run), "holds a training run already")
    refused(run("train", tiny_cohort, "--out", tiny_run, *TRAIN, "--seed", 1, "--resume"), "other split, settings")
    refused(run("train", tiny_cohort, "--out", tiny_run, *ONE, "--resume"), "other tasks, modalities")
    refused(run("train", twelve, "--out", tiny_run, *ONE, "--resume"), "other manifest")
    assert {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")} == before
    (tmp_path / "file").write_text("mine")
    refused(run("train", twelve, "--out", tmp_path / "file", *ONE), str(tmp_path / "file"))
    refused(run("train", twelve, "--out", tmp_path / "file" / "RUN", *ONE), "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("content", ["{", "[]", "", "null"])
def test_a_run_file_that_is_damaged(twelve, out, content):
    out.mkdir()
    (out / "run.json").write_text(content)
    refused(run("train", twelve, "--out", out, *ONE, "--resume"), str(out))
    assert (out / "run.json").read_text() == content


def test_a_finished_run_is_resumed_to_the_same_files(tiny_cohort, tiny_run):
    def contents():
        names = ["predictions.csv", "metrics.json", "split.csv", "preparation.csv", "run.json", "suite/suite.json"]
        return {name: (tiny_run / name).read_bytes() for name in names}

    before = contents()
    ran = run("train", tiny_cohort, "--out", tiny_run, *TRAIN, "--resume")
    assert ran.code == 0
    assert ran.err.count("done before") == 6
    assert contents() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(twelve, tmp_path):
    tmp_path.chmod(0o500)
    refused(run("train", twelve, "--out", tmp_path / "RUN", *ONE), "Permission denied")


def test_a_file_system_that_takes_no_files(twelve):
    refused(run("train", twelve, "--out", "/proc/glioscope/RUN", *ONE), "/proc/glioscope")


def limited(megabytes):
    """Files over a limit fail as on a full disk, for any user: the write gives an OSError."""
    size = megabytes << 20
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.parametrize("strategy", ["probe", "finetune"])
def test_a_full_disk_leaves_no_half_bundle_and_resume_goes_on(twelve, out, strategy):
    command = ["train", twelve, "--out", out, *ONE, "--strategy", strategy, "--epochs", 1]
    ran = subprocess.run(
        [GLIOSCOPE, *map(str, command)], preexec_fn=limited(3), capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 2, ran.stderr
    where = "suite/tumor-fl" if strategy == "probe" else "logs/tumor-fl/epoch.ckpt"
    assert [line for line in ran.stderr.splitlines() if line.startswith("error")] == [
        f"error {out / where}: File too large"
    ]
    left = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    assert left - {"logs/tumor-fl/metrics.csv"} == {"run.json", "split.csv"}
    again = run(*command, "--resume")
    assert again.code == 0, again.err
    assert (out / "suite" / "suite.json").is_file()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_is_really_full(twelve, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", disk], capture_output=True).returncode:
        pytest.skip("mount is not allowed here")
    try:
        refused(run("train", twelve, "--out", disk / "RUN", *ONE), str(disk), "No space left on device")
        assert sorted(p.name for p in (disk / "RUN").rglob("*") if p.is_file()) == ["run.json", "split.csv"]
        subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        refused(run("simulate", disk / "cohort", "--patients", 6, "--specimens", 120), str(disk))
        assert [p.name for p in disk.iterdir()] == ["RUN"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_interrupted_training_says_so_and_resumes(twelve, out):
    command = ["train", twelve, "--out", out, *ONE, "--strategy", "finetune", "--epochs", 12]
    process = subprocess.Popen(
        [GLIOSCOPE, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    checkpoint = out / "logs" / "tumor-fl" / "epoch.ckpt"
    deadline = time.monotonic() + 90
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.rstrip().endswith("error stopped; go on from the last whole epoch with the same command and --resume"), (
        err
    )
    assert "Traceback" not in err
    assert checkpoint.is_file()
    assert not (out / "suite").exists()
    refused(run(*command), "holds a training run already; continue it with --resume")
    ran = run(*command, "--resume")
    assert ran.code == 0, ran.err
    epochs = [int(m[1]) for m in re.finditer(r"^(\d+),", (out / "logs/tumor-fl/metrics.csv").read_text(), re.M)]
    assert max(epochs) == 11
    assert len(read_predictions(out / "predictions.csv")) > 0


def test_without_torch_one_sentence_says_what_to_install(twelve, out):
    code = "import sys; sys.modules['torch'] = None; from glioscope.cli import main; main()"
    command = [sys.executable, "-c", code, "train", str(twelve), "--out", str(out)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2
    assert ran.stderr == "error training needs glioscope[train] (torch is not installed)\n"
    assert not out.exists()

"""What `glioscope train` chooses by itself, warns of and prints."""

import csv
import json

import pytest

from ..commands import refused, run
from .cohorts import rows, write_manifest

pytest.importorskip("torch", reason="needs glioscope[train]")

QUICK = ("--strategy", "probe", "--size", 64, "--modality", "fl")
SIX = [(f"P{i}", label) for i in range(6) for label in ("tumor", "non-tumor")]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "RUN"


def split_file(folder, **roles):
    path = folder / "split.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerows([("patient_id", "fold", "role"), *((patient, 0, role) for patient, role in roles.items())])
    return path


def test_tasks_without_both_classes_are_left_out_by_name(tmp_path, out):
    ran = run("train", write_manifest(tmp_path, rows(tmp_path, SIX)), "--out", out, *QUICK)
    assert ran.code == 0, ran.err
    assert "task grade: skipped, no specimen is labelled DLGG or GBM" in ran.err
    assert "task ki67: skipped, no specimen is labelled Ki-67 < 10 % or Ki-67 >= 10 %" in ran.err
    assert list(json.loads((out / "suite" / "suite.json").read_text())["answers"]) == ["tumor"]
    assert f"suite: {out / 'suite'}   predictions: {out / 'predictions.csv'}" in ran.out


def test_a_task_that_is_named_is_not_left_out(tmp_path, out):
    manifest = write_manifest(tmp_path, rows(tmp_path, SIX))
    refused(run("train", manifest, "--out", out, *QUICK, "--task", "tumor", "--task", "grade"), "grade")
    assert not out.exists()


def test_no_task_at_all_is_one_sentence(tmp_path, out):
    manifest = write_manifest(tmp_path, rows(tmp_path, [(f"P{i}", "") for i in range(6)]))
    refused(run("train", manifest, "--out", out, *QUICK), "none of the tasks tumor, grade, ki67 has specimens of both")
    assert not out.exists()


def test_a_threshold_that_no_tuning_patient_chose_is_told(tmp_path, out):
    six = [(patient, "tumor" if patient == "P4" else label) for patient, label in SIX]
    manifest = write_manifest(tmp_path, rows(tmp_path, six))
    roles = {"P0": "train", "P1": "train", "P2": "train", "P3": "train", "P4": "tune", "P5": "test"}
    ran = run("train", manifest, "--out", out, *QUICK, "--task", "tumor", "--split", split_file(tmp_path, **roles))
    assert ran.code == 0, ran.err
    words = "the threshold of tumor-fl was not chosen on tuning patients (no non-tumour among the tuning patients)"
    assert f"warning {words}\n" in ran.err


def test_the_suites_of_folds_are_not_offered_to_the_theatre(tmp_path, out):
    manifest = write_manifest(tmp_path, rows(tmp_path, SIX))
    ran = run("train", manifest, "--out", out, *QUICK, "--task", "tumor", "--folds", 3)
    assert ran.code == 0, ran.err
    assert "suite: " not in ran.out
    assert f"The suites of the 3 folds ({out / 'fold-K' / 'suite'}) are for measuring." in ran.out
    assert "train on one split, without --folds or --leave-one-patient-out" in ran.out
    assert "(unspecified images), strict protocol: intervals by patient" in " ".join(ran.out.split())


def test_the_counts_of_a_model_are_those_of_its_own_specimens(tmp_path, out):
    table = rows(tmp_path, SIX)
    table[-1]["wl_image"] = ""  # of P5, who is tested
    manifest = write_manifest(tmp_path, table)
    roles = {"P0": "train", "P1": "train", "P2": "train", "P3": "tune", "P4": "test", "P5": "test"}
    options = ("--task", "tumor", "--modality", "wl", "--split", split_file(tmp_path, **roles))
    ran = run("train", manifest, "--out", out, *QUICK, *options)
    assert ran.code == 0, ran.err
    cells = [[cell.strip() for cell in line.split("│")] for line in ran.out.splitlines() if "-probe" in line]
    assert [(row[1], row[-1]) for row in cells] == [("fl-probe", "4 / 2"), ("wl-probe", "3 / 2")]

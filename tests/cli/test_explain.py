"""`glioscope explain` with the real suite."""

import csv
import json
import sys

import cv2
import numpy as np
import pytest
import tifffile

pytest.importorskip("torch", reason="needs glioscope[train]")

from ..commands import refused, run
from ..suites import copy_suite
from .cohorts import bad_image, rows, write_manifest

VIEWS = ("coloured_gcam", "gcam_saliency", "saliency_x_image", "gcam_heatmap", "heatmap_x_image")
MAPS = {"cam", "signed_heatmap", "gcam_saliency", "coloured_gcam"}


@pytest.fixture
def pair(tiny_cohort):
    with tiny_cohort.open(newline="") as stream:
        row = next(csv.DictReader(stream))
    return "--fl", tiny_cohort.parent / row["fl_image"], "--wl", tiny_cohort.parent / row["wl_image"]


def index(folder):
    return json.loads((folder / "index.json").read_text(), parse_constant=pytest.fail)


def test_one_pair_gives_the_five_views_of_both_networks(tiny_suite, pair, tmp_path):
    out = tmp_path / "out"
    ran = run("explain", tiny_suite, *pair, "--out", out)
    assert ran.code == 0, ran.err
    assert "Research use only" in ran.out
    found = index(out)
    assert [(row["bundle"], row["image"]) for row in found["explained"]] == [("tumor-fl", "fl"), ("tumor-wl", "wl")]
    assert (found["trained_on"], found["images_kind"], found["errors"]) == (["simulated"], "unspecified", {})
    assert found["notice"] == "Research use only. Not a medical device."
    assert cv2.imread(str(out / "figure.png")) is not None
    assert "SIMULATED" in (out / "figure.svg").read_text()
    for row in found["explained"]:
        folder = out / row["folder"]
        assert {path.stem for path in folder.glob("*.png")} == {"image", *VIEWS}
        assert {path.stem for path in folder.glob("*.tif")} == MAPS
        for name in VIEWS:
            assert cv2.imread(str(folder / f"{name}.png")).shape == (64, 64, 3)
        signed = tifffile.imread(folder / "signed_heatmap.tif")
        assert (signed.shape, signed.dtype) == ((64, 64), np.float32)
        assert tifffile.imread(folder / "coloured_gcam.tif").shape == (64, 64, 3)
        assert row["target"]["name"] in ("tumour", "non-tumour")


def test_the_answer_is_that_of_diagnose(tiny_suite, pair, tmp_path):
    suite = copy_suite(tiny_suite, tmp_path / "suite", tumor="tumor-fl")
    (line,) = run("diagnose", suite, *pair, "--json").out.splitlines()
    assert run("explain", suite, *pair, "--modality", "fl", "--out", tmp_path / "out").code == 0
    (row,) = index(tmp_path / "out")["explained"]
    assert row["answer"]["y_score"] == pytest.approx(json.loads(line)["tasks"]["tumor"]["y_score"], abs=1e-6)


def test_a_manifest_fills_the_figure_with_a_clear_specimen_of_each_class(tiny_suite, tiny_cohort, tmp_path):
    out = tmp_path / "out"
    ran = run("explain", tiny_suite, "--manifest", tiny_cohort, "--limit", 4, "--modality", "fl", "--out", out)
    assert ran.code == 0, ran.err
    found = index(out)
    assert found["images_kind"] == "simulated"
    assert [row["label"] for row in found["explained"]] == ["non-tumour", "tumour"] * 2
    (scale,) = {json.dumps(row["scale"]) for row in found["explained"]}
    assert "4 images" in scale
    svg = (out / "figure.svg").read_text()
    scores = {label: {} for label in ("tumour", "non-tumour")}
    for row in found["explained"]:
        scores[row["label"]][row["specimen_id"]] = row["answer"]["y_score"]
    clear = [max(scores["tumour"], key=scores["tumour"].get), min(scores["non-tumour"], key=scores["non-tumour"].get)]
    for row in found["explained"]:
        assert (row["specimen_id"] in svg) == (row["specimen_id"] in clear)


def test_class_scale_and_sign_reach_the_maps(tiny_suite, pair, tmp_path):
    def maps(name, *options):
        out = tmp_path / name
        ran = run("explain", tiny_suite, *pair, "--modality", "fl", "--out", out, *options)
        assert ran.code == 0, ran.err
        (row,) = index(out)["explained"]
        return tifffile.imread(out / row["folder"] / "cam.tif"), row, out / row["folder"] / "gcam_heatmap.png"

    tumour, _, picture = maps("tumour", "--class", "tumour", "--scale", "image")
    other, row, _ = maps("other", "--class", "non-tumor")
    np.testing.assert_allclose(other, -tumour, atol=1e-7)
    assert row["target"] == {"name": "non-tumour", "weights": [-1.0]}
    _, row, signed = maps("signed", "--class", "tumour", "--scale", "image", "--signed")
    assert row["scale"]["note"] == "each map scaled by itself"
    assert (cv2.imread(str(picture)) != cv2.imread(str(signed))).any()


def test_another_task_and_fusion(tiny_suite, pair, tmp_path):
    out = tmp_path / "out"
    ran = run("explain", tiny_suite, *pair, "--task", "ki67", "--modality", "fusion", "--out", out)
    assert ran.code == 0, ran.err
    assert [(row["bundle"], row["image"]) for row in index(out)["explained"]] == [
        ("ki67-fusion", "fl"),
        ("ki67-fusion", "wl"),
    ]


def test_an_unusable_image_costs_its_specimen_only(tiny_suite, tmp_path):
    table = rows(tmp_path, [("P1", "tumor"), ("P2", "non-tumor"), ("P2", "")])
    table[2]["fl_image"] = ""
    # Too damaged to explain, not too damaged to stand in a manifest.
    words = bad_image(tmp_path / "image1.tif", "saturated")
    out = tmp_path / "out"
    ran = run("explain", tiny_suite, "--manifest", write_manifest(tmp_path, table), "--modality", "fl", "--out", out)
    assert ran.code == 2
    assert [line.split(":")[0] for line in ran.errors] == ["S1", "S2"]
    assert words in ran.errors[0]
    assert "has not the images that are needed: FL" in ran.errors[1]
    assert [row["specimen_id"] for row in index(out)["explained"]] == ["S0"]
    assert set(index(out)["errors"]) == {"S1", "S2"}


def test_names_of_specimens_cannot_lead_out_of_the_folder(tiny_suite, tmp_path):
    table = rows(tmp_path, [("P1", "tumor")])
    table[0]["specimen_id"] = "../../x y"
    out = tmp_path / "deep" / "out"
    ran = run("explain", tiny_suite, "--manifest", write_manifest(tmp_path, table), "--out", out, "--modality", "wl")
    assert ran.code == 0, ran.err
    (row,) = index(out)["explained"]
    assert row["specimen_id"] == "../../x y"
    assert (out / row["folder"]).resolve().is_relative_to(out.resolve())
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_only_its_own_folder_is_replaced(tiny_suite, pair, tmp_path):
    out = tmp_path / "out"
    arguments = ("explain", tiny_suite, *pair, "--modality", "fl", "--out", out)
    assert run(*arguments).code == 0
    (out / f"0001-{pair[1].stem}" / "left").write_text("from before")
    assert run(*arguments).code == 0
    assert not (out / f"0001-{pair[1].stem}" / "left").exists()
    for name, content in (("index.json", "{}"), ("index.json", "no json"), ("letter.txt", "mine")):
        other = tmp_path / f"other-{len(content)}"
        other.mkdir()
        (other / name).write_text(content)
        refused(run(*arguments[:-1], other), f"{other}: exists already and holds no earlier explanations")
        assert (other / name).read_text() == content
    refused(run(*arguments[:-1], pair[1]), "exists already")


def test_bad_options_are_one_sentence_and_write_nothing(tiny_suite, tiny_cohort, pair, tmp_path):
    out = tmp_path / "out"

    def said(*arguments):
        sentence = refused(run("explain", *arguments, "--out", out))
        assert not out.exists()
        return sentence

    assert "give either --fl and/or --wl, or --manifest" in said(tiny_suite)
    assert "give either" in said(tiny_suite, *pair, "--manifest", tiny_cohort)
    assert "no.tif: no such file" in said(tiny_suite, "--fl", tmp_path / "no.tif")
    assert "no suite here" in said(tmp_path / "no", *pair)
    assert "has no task 'grade'; it answers tumor, ki67" in said(tiny_suite, *pair, "--task", "grade")
    assert "has no class 'GBM'" in said(tiny_suite, *pair, "--class", "GBM")
    assert "--limit belongs to --manifest" in said(tiny_suite, *pair, "--limit", 3)
    assert "--mm-per-px -1 is out of range" in said(tiny_suite, *pair, "--mm-per-px", -1)
    assert "--mm-per-px belongs to --fl" in said(tiny_suite, "--manifest", tiny_cohort, "--mm-per-px", 1)
    assert "images that are needed: FL+WL" in said(tiny_suite, *pair[:2], "--modality", "fusion")
    suite = copy_suite(tiny_suite, tmp_path / "suite", tumor="tumor-fl")
    suite_json = json.loads((suite / "suite.json").read_text())
    (suite / "suite.json").unlink()
    (suite / "suite.json").write_text(json.dumps({**suite_json, "bundles": ["tumor-fl"]}))
    assert "no bundle tumor-wl; of task tumor it has tumor-fl" in said(suite, *pair, "--modality", "wl")


def test_without_torch_one_sentence_says_what_to_install(tiny_suite, pair, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name == "glioscope.explain" or name.startswith("glioscope.explain.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delattr("glioscope.explain", raising=False)
    refused(run("explain", tiny_suite, *pair, "--out", tmp_path / "out"), "explaining needs glioscope[train] (torch")


def test_a_manifest_without_labels_shows_its_first_two_specimens(tiny_suite, tmp_path):
    table = rows(tmp_path, [("P1", ""), ("P1", ""), ("P2", "")])
    manifest = write_manifest(tmp_path, table)
    with manifest.open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 3
    out = tmp_path / "out"
    ran = run("explain", tiny_suite, "--manifest", manifest, "--modality", "wl", "--scale", "image", "--out", out)
    assert ran.code == 0, ran.err
    svg = (out / "figure.svg").read_text()
    assert [f"WL  {name}<" in svg for name in ("S0", "S1", "S2")] == [True, True, False]
    assert [row["label"] for row in index(out)["explained"]] == [None] * 3

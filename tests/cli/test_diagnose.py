"""`glioscope diagnose` with the real suite."""

import json
import math
import shutil
import subprocess
import sys

import pytest

from ..commands import GLIOSCOPE, refused, run
from ..suites import copy_suite
from .cohorts import bad_image, rows, write_images, write_manifest

FOUR = [("P1", ""), ("P1", ""), ("P2", ""), ("P2", "")]


def lines(ran):
    return [json.loads(line, parse_constant=pytest.fail) for line in ran.out.splitlines()]


@pytest.fixture
def pair(tmp_path):
    write_images(tmp_path, "a", 0)
    return "--fl", tmp_path / "a.tif", "--wl", tmp_path / "a.png"


@pytest.fixture
def four(tmp_path):
    return write_manifest(tmp_path / "cohort", rows(tmp_path / "cohort", FOUR))


@pytest.mark.parametrize("both", [False, True])
def test_neither_or_both_of_images_and_manifest(tiny_suite, pair, four, both):
    arguments = (*pair, "--manifest", four) if both else ()
    refused(run("diagnose", tiny_suite, *arguments), "give either --fl and/or --wl, or --manifest")


def test_a_missing_image_and_a_missing_suite(tiny_suite, tiny_run, pair, tmp_path):
    refused(run("diagnose", tiny_suite, "--fl", tmp_path / "no.tif"), "no.tif", "no such file")
    refused(run("diagnose", tmp_path / "no", *pair), "no suite here")
    refused(run("diagnose", tiny_run, *pair), str(tiny_run), "no suite here", f"did you mean {tiny_suite}")


def test_the_record_is_that_of_the_contract(tiny_suite, pair):
    ran = run("diagnose", tiny_suite, *pair, "--json")
    assert ran.code == 0
    assert not ran.err
    (record,) = lines(ran)
    assert list(record) == ["schema_version", "specimen_id", "error", "tasks", "timings_ms", "notice", "data_kind"]
    assert (record["schema_version"], record["specimen_id"], record["error"]) == (1, "a", None)
    assert record["data_kind"] == "simulated"
    assert set(record["timings_ms"]) == {"prepare", "network", "total"}
    assert record["notice"] == "Research use only. Not a medical device."
    tumor = record["tasks"]["tumor"]
    assert 0 <= tumor["y_score"] <= 1
    assert 0 < tumor["threshold"] < 1
    assert tumor["decision"] == ("positive" if tumor["y_score"] >= tumor["threshold"] else "negative")
    assert tumor["answer"] == ("tumour" if tumor["decision"] == "positive" else "non-tumour")
    assert (tiny_suite / tumor["bundle"]).is_dir()


def test_a_bundle_that_needs_both_images(tiny_suite, tmp_path, pair):
    suite = copy_suite(tiny_suite, tmp_path / "suite", tumor="tumor-fusion")
    assert run("diagnose", suite, *pair).code == 0
    for given, lacking in ((pair[:2], "WL"), (pair[2:], "FL")):
        ran = run("diagnose", suite, *given, "--json")
        refused(ran, "1 of 1 specimens could not be diagnosed")
        assert lines(ran)[0]["error"] == f"no {lacking} image, which bundle tumor-fusion needs"
        assert lines(ran)[0]["tasks"] == {}


@pytest.mark.parametrize("as_json", [True, False])
def test_one_bad_image_among_several(tiny_suite, tmp_path, as_json):
    table = rows(tmp_path, FOUR)
    bad_image(tmp_path / "image1.tif", "truncated")
    (tmp_path / "image2.tif").unlink()
    ran = run("diagnose", tiny_suite, "--manifest", write_manifest(tmp_path, table), *["--json"] * as_json)
    refused(ran, "2 of 4 specimens could not be diagnosed")
    if as_json:
        records = lines(ran)
        assert [r["specimen_id"] for r in records] == ["S0", "S1", "S2", "S3"]
        assert [r["error"] is None for r in records] == [True, False, False, True]
        assert "image1.tif" in records[1]["error"]
        assert "truncated" in records[1]["error"]
        assert "image2.tif" in records[2]["error"]
        assert all(bool(r["tasks"]) == (r["error"] is None) for r in records)
    else:
        assert all(f"S{i}" in ran.out for i in range(4))


def test_a_specimen_of_two_patients_is_refused(tiny_suite, tmp_path):
    table = rows(tmp_path, FOUR)
    table[2]["specimen_id"] = "S0"
    manifest = write_manifest(tmp_path, table)
    refused(run("diagnose", tiny_suite, "--manifest", manifest, "--json"), "specimen S0", "P1 and P2")


def test_rows_without_identifiers_only(tiny_suite, tmp_path):
    table = [{**row, "patient_id": ""} for row in rows(tmp_path, FOUR)]
    manifest = write_manifest(tmp_path, table)
    refused(run("diagnose", tiny_suite, "--manifest", manifest, "--json"), "no row names a patient and a specimen")


def test_names_are_not_read_as_markup(tiny_suite, tmp_path):
    folder = tmp_path / "[bold]x[/bold] :warning:"
    write_images(folder, "[red]a", 0)
    fl, wl = folder / "[red]a.tif", folder / "[red]a.png"
    ran = run("diagnose", tiny_suite, "--fl", fl, "--wl", wl)
    assert ran.code == 0
    assert "[red]a" in ran.out
    refused(run("diagnose", folder, "--fl", fl), str(folder))
    refused(run("diagnose", tiny_suite, "--fl", folder / "[/none].tif"), "[/none].tif")
    fl.write_text("no picture")
    ran = run("diagnose", tiny_suite, "--fl", fl, "--wl", wl, "--json")
    assert str(fl) in lines(ran)[0]["error"]


def test_a_file_name_that_is_no_text(tiny_suite, tmp_path):
    write_images(tmp_path, "a", 0)
    name = str(tmp_path).encode() + b"/\xff.tif"
    shutil.copy(str(tmp_path / "a.tif").encode(), name)
    ran = subprocess.run(
        [GLIOSCOPE, "diagnose", tiny_suite, "--fl", name, "--wl", tmp_path / "a.png"], capture_output=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr


def test_the_same_bytes_give_the_same_answer(tiny_suite, four):
    def answers():
        return [
            {**record, "timings_ms": None}
            for record in lines(run("diagnose", tiny_suite, "--manifest", four, "--json"))
        ]

    first = answers()
    assert len({r["tasks"]["tumor"]["y_score"] for r in first}) == 4
    assert answers() == first


def test_several_images_of_a_specimen_are_averaged(tiny_suite, tmp_path):
    suite = copy_suite(tiny_suite, tmp_path / "suite", tumor="tumor-fl")
    table = rows(tmp_path, FOUR[:3])
    apart = lines(run("diagnose", suite, "--manifest", write_manifest(tmp_path, table), "--json"))
    table = [{**row, "specimen_id": "S", "patient_id": "P1", "image_id": str(i)} for i, row in enumerate(table)]
    table[2]["fl_image"] = ""  # has no image for this bundle: left out of the mean, as in training
    (together,) = lines(run("diagnose", suite, "--manifest", write_manifest(tmp_path, table), "--json"))

    def logit(record):
        score = record["tasks"]["tumor"]["y_score"]
        return math.log(score / (1 - score))

    assert logit(together) == pytest.approx((logit(apart[0]) + logit(apart[1])) / 2, abs=1e-4)


def test_the_same_specimen_through_manifest_and_through_options(tiny_suite, four):
    listed = lines(run("diagnose", tiny_suite, "--manifest", four, "--json"))
    images = ("--fl", four.parent / "image0.tif", "--wl", four.parent / "image0.png")
    (alone,) = lines(run("diagnose", tiny_suite, *images, "--json"))
    assert alone["tasks"] == listed[0]["tasks"]


def test_a_reader_that_goes_away_is_no_error(tiny_suite, tiny_cohort):
    command = f"'{GLIOSCOPE}' diagnose '{tiny_suite}' --manifest '{tiny_cohort}' --json | head -1"
    ran = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert json.loads(ran.stdout)["error"] is None
    assert "Traceback" not in ran.stderr


def test_version_and_help():
    from glioscope import __version__

    assert run("--version").out == f"glioscope {__version__}\n"
    for arguments in (("--help",), ("diagnose", "--help"), ("train", "--help"), ("check", "--help")):
        ran = run(*arguments)
        assert ran.code == 0
        assert "Usage: glioscope" in ran.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nosuch",), "No such command 'nosuch'"),
        (("diagnose",), "Missing argument"),
        (("simulate", "x", "--patients", "many"), "--patients"),
        (("simulate", "x", "--size", "12"), "--size '12' is not WIDTHxHEIGHT"),
        (("check", "x.csv", "--task", "tumour"), "did you mean 'tumor'"),
    ],
)
def test_bad_command_lines(arguments, words):
    refused(run(*arguments), words)


def test_starting_loads_neither_torch_nor_pandas():
    code = (
        "import sys, glioscope.cli, glioscope.runtime, glioscope.imaging; "
        "print([m for m in ('torch', 'pandas', 'skimage', 'sklearn', 'scipy.stats', 'pydicom') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "[]"

"""`glioscope diagnose` with the real suite."""

import contextlib
import json
import math
import os
import pty
import re
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import tifffile

from ..commands import GLIOSCOPE, refused, run
from ..suites import change_bundle, copy_suite, lenient_suite, set_suite
from .cohorts import bad_image, rows, write_images, write_manifest

FOUR = [("P1", ""), ("P1", ""), ("P2", ""), ("P2", "")]


def lines(ran):
    return [json.loads(line, parse_constant=pytest.fail) for line in ran.out.splitlines()]


@pytest.fixture
def pair(tmp_path):
    write_images(tmp_path, "a", 0)
    return "--fl", tmp_path / "a.tif", "--wl", tmp_path / "a.png"


@pytest.fixture(scope="module")
def open_suite(tiny_suite, tmp_path_factory):
    """The images here are noise: only a suite that refuses nothing answers them."""
    return lenient_suite(tiny_suite, tmp_path_factory.mktemp("open") / "suite")


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


def test_the_record_is_that_of_the_contract(open_suite, pair):
    ran = run("diagnose", open_suite, *pair, "--json")
    assert ran.code == 0
    assert not ran.err
    (record,) = lines(ran)
    assert set(record) == {
        *("schema_version", "specimen_id", "decision", "error", "reasons", "tasks", "quality", "box", "outline"),
        *("preparation", "timings_ms", "notice", "data_kind", "signed_by"),
    }
    assert (record["schema_version"], record["specimen_id"], record["error"]) == (2, "a", None)
    assert (record["data_kind"], record["signed_by"], record["box"]) == ("simulated", None, None)
    assert set(record["timings_ms"]) == {"open", "gate", "prepare", "network", "total"}
    assert record["notice"] == "Research use only. Not a medical device."
    tumor = record["tasks"]["tumor"]
    assert tumor["decision"] == record["decision"]
    assert 0 <= tumor["y_score"] <= 1
    low, high = tumor["y_interval"]
    assert 0 <= low <= tumor["y_probability"] <= high <= 1
    assert 0 < tumor["threshold"] < 1
    assert tumor["decision"] == ("positive" if tumor["y_score"] >= tumor["threshold"] else "negative")
    assert tumor["answer"] == ("tumour" if tumor["decision"] == "positive" else "non-tumour")
    assert (open_suite / tumor["bundle"]).is_dir()
    (made,) = record["preparation"].get("fl") or record["preparation"]["wl"]
    assert made["image"] in ("a.tif", "a.png")
    assert {"offset", "noise", "contrast", "denoised", "autocontrast_gain", "hot_pixels"} < set(made)


def test_what_is_refused_has_a_reason_with_value_and_limit_and_no_number(tiny_suite, pair):
    (record,) = lines(run("diagnose", tiny_suite, *pair, "--json"))
    assert record["decision"] == "not_assessable"
    assert record["error"] is None
    for reason in record["reasons"]:
        assert reason["sentence"]
        assert reason["value"] is not None
        assert reason["limit"] is not None
    tumor = record["tasks"]["tumor"]
    assert [tumor[k] for k in ("y_score", "y_probability", "y_interval")] == [None] * 3
    assert tumor["reasons"]


def test_the_table_says_what_its_numbers_are_and_what_the_answers_rest_on(tiny_suite, pair, tmp_path):
    suite = lenient_suite(tiny_suite, tmp_path / "suite", tumor="tumor-fl", ki67="ki67-wl")
    never = {"logit": [-99.0], "rule": "fixed", "chosen_on": "no tumour among the tuning patients"}
    change_bundle(suite, "tumor-fl", threshold=never)
    ran = run("diagnose", suite, *pair[:2])
    assert ran.code == 0, ran.err
    assert re.search(r"tumour \d+ % \(\d+-\d+\) \[1\]", ran.out)
    assert "not assessable [2]" in ran.out
    _, below = ran.out.split("[2]", 1)
    assert below.splitlines()[1:] == [
        "[1] the threshold of tumor-fl was not chosen on tuning patients (no tumour among the tuning patients)",
        "[2] no WL image, which bundle ki67-wl needs",
        "%: calibrated probability of the answer and its 95 % interval (of 'indeterminate': of the positive class); "
        "a score is no probability",
        "Trained on SIMULATED images. Research use only. Not a medical device.",
    ]
    change_bundle(suite, "tumor-fl", calibration=[])
    assert re.search(r"tumour, score 0\.\d\d >= 0\.00 \[1\]", run("diagnose", suite, *pair[:2]).out)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("real", "Trained on real images. Research use"),
        ("unspecified", "The training manifest did not say whether its images are real. Research use"),
    ],
)
def test_the_table_says_what_the_suite_was_trained_on(tiny_suite, pair, tmp_path, kind, words):
    suite = copy_suite(tiny_suite, tmp_path / "suite", tumor="tumor-fl")
    provenance = json.loads((suite / "tumor-fl" / "bundle.json").read_text())["provenance"]
    change_bundle(suite, "tumor-fl", provenance={**provenance, "data_kind": kind})
    set_suite(suite, data_kind=kind)
    assert words in run("diagnose", suite, *pair).out


def test_exposure_irradiance_dark_and_flat_reach_the_plan(tiny_suite, pair, tmp_path):
    suite = lenient_suite(tiny_suite, tmp_path / "suite", tumor="tumor-fl")

    def score(*options):
        ran = run("diagnose", suite, *pair[:2], *options, "--json")
        assert ran.code == 0, ran.out
        return lines(ran)[0]["tasks"]["tumor"]["y_score"]

    plain = score()
    plan = json.loads((suite / "tumor-fl" / "bundle.json").read_text())["fl_plan"]
    change_bundle(suite, "tumor-fl", fl_plan={**plan, "per_exposure": True})
    ran = run("diagnose", suite, *pair[:2], "--exposure-ms", 100, "--json")
    refused(ran, "1 of 1 specimens")
    assert "irradiance" in lines(ran)[0]["error"]
    # 100 ms and 50 mW/cm2 are what counts are scaled to, so they change nothing; half the light does.
    reference = ("--exposure-ms", 100, "--irradiance", 50)
    assert score(*reference) == pytest.approx(plain)
    assert score("--exposure-ms", 50, "--irradiance", 50) != pytest.approx(plain)
    rng = np.random.default_rng(1)
    for name, low, high in (("dark", 0, 400), ("flat", 2000, 60_000)):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, rng.integers(low, high, (48, 64)).astype(np.uint16))
        assert score(*reference, f"--fl-{name}", path) != pytest.approx(plain)
        refused(run("diagnose", suite, *pair, f"--fl-{name}", tmp_path / "no.tif"), "no.tif: no such file")


@pytest.mark.parametrize("option", ["--mm-per-px", "--exposure-ms", "--irradiance"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
def test_numbers_of_a_single_image_are_checked(tiny_suite, pair, option, value):
    refused(run("diagnose", tiny_suite, *pair, f"{option}={value}"), option, "give more than 0")


@pytest.mark.parametrize(
    "option", [("--mm-per-px", 0), ("--exposure-ms", 100), ("--fl-dark", "x.tif"), ("--full-frame",)]
)
def test_what_describes_one_image_is_refused_beside_a_manifest(tiny_suite, four, option):
    refused(run("diagnose", tiny_suite, "--manifest", four, *option), option[0], "belongs to --fl/--wl")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_bar_is_drawn_on_a_terminal_and_stdout_stays_clean(tiny_suite, tiny_cohort, as_json):
    screen, stderr = pty.openpty()
    command = [GLIOSCOPE, "diagnose", tiny_suite, "--manifest", tiny_cohort, *["--json"] * as_json]
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=environment) as process:
        os.close(stderr)
        drawn = bytearray()
        reader = threading.Thread(target=read_all, args=(screen, drawn))
        reader.start()
        printed = process.stdout.read().decode()
    reader.join()
    os.close(screen)
    assert process.returncode == 0
    assert b"diagnosing" in drawn
    assert "diagnosing" not in printed
    if as_json:
        assert len([json.loads(line) for line in printed.splitlines()]) == 120


def read_all(terminal, into):
    """Read until the other end is closed, which a terminal reports as an error."""
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 4096):
            into.extend(part)


def test_a_bundle_that_needs_both_images(tiny_suite, tmp_path, pair):
    suite = copy_suite(tiny_suite, tmp_path / "suite", tumor="tumor-fusion")
    assert run("diagnose", suite, *pair).code == 0
    for given, lacking in ((pair[:2], "WL"), (pair[2:], "FL")):
        (record,) = lines(run("diagnose", suite, *given, "--json"))
        assert (record["decision"], record["error"]) == ("not_assessable", None)
        (reason,) = record["tasks"]["tumor"]["reasons"]
        assert reason["sentence"] == f"no {lacking} image, which bundle tumor-fusion needs"


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


def test_the_same_bytes_give_the_same_answer(open_suite, four):
    def answers():
        return [
            {**record, "timings_ms": None}
            for record in lines(run("diagnose", open_suite, "--manifest", four, "--json"))
        ]

    first = answers()
    assert len({r["tasks"]["tumor"]["y_score"] for r in first}) == 4
    assert answers() == first


def test_several_images_of_a_specimen_are_averaged(tiny_suite, tmp_path):
    suite = lenient_suite(tiny_suite, tmp_path / "suite", tumor="tumor-fl")
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

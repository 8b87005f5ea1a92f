"""`devices phantom` as a person runs it before a case, on SIMULATED pictures."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import typer

from glioscope.cli._phantom import phantom
from glioscope.core import InputError
from glioscope.devices._phantom_result import read_phantom
from glioscope.devices._phantom_target import read_target
from glioscope.sim._phantom import PhantomFaults, render_phantom

from ..commands import Ran

TARGET = "glioscope-cast"
GIVEN = ("--target", TARGET, "--exposure-ms", 100, "--simulated")


@pytest.fixture
def run(capfd, monkeypatch):
    """The command on its own, with the exit codes of the command line."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(phantom)
    from rich.console import Console

    from glioscope.cli import _phantom

    def call(*arguments: object) -> Ran:
        monkeypatch.setattr(_phantom, "terminal", Console(file=sys.stdout, width=120, markup=False, highlight=False))
        error = ""
        try:
            app([str(each) for each in arguments], standalone_mode=True)
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        except InputError as wrong:
            code, error = 2, f"error {wrong}"
        printed = capfd.readouterr()
        return Ran(code, printed.out, error or printed.err)

    return call


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    for name, seed, faults in (("good", 1, {}), ("first", 2, {}), ("weak", 3, {"laser": 0.5})):
        pair = render_phantom(read_target(TARGET), np.random.default_rng(seed), faults=PhantomFaults(**faults))
        tifffile.imwrite(folder / f"{name}-fl.tif", pair.fl)
        tifffile.imwrite(folder / f"{name}-dark.tif", pair.dark)
        cv2.imwrite(str(folder / f"{name}-wl.png"), pair.wl[..., ::-1])
    cv2.imwrite(str(folder / "black.png"), np.zeros((512, 640), np.uint16))
    return folder


def pictures(bench: Path, name: str) -> tuple[object, ...]:
    return ("--fl", bench / f"{name}-fl.tif", "--wl", bench / f"{name}-wl.png", *GIVEN)


def test_the_demo_passes_and_leaves_a_result_and_a_page(run, tmp_path):
    ran = run("--demo", "--out", tmp_path / "out")
    assert ran.code == 0, ran
    assert "SIMULATED" in ran.out
    assert "verdict: ok" in ran.out
    assert "note: no suite" in ran.out
    assert "Research use only" in ran.out
    assert read_phantom(tmp_path / "out" / "result.json").data_kind == "simulated"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"result.json", "phantom.png", "fl.png", "wl.png"}


def test_a_fault_of_the_demo_fails_with_its_sentence(run):
    ran = run("--demo", "--fault", "laser")
    assert ran.code == 1
    assert "sensitivity is" in ran.out
    assert "verdict: fail" in ran.out


def test_files_against_a_baseline(run, bench, tmp_path):
    with_dark = ("--dark", bench / "first-dark.tif")
    first = run(*pictures(bench, "first"), *with_dark, "--out", tmp_path / "first")
    assert first.code == 0, first
    assert "verdict: warn" in first.out
    assert "note: no baseline" in first.out
    result = tmp_path / "first" / "result.json"
    good = run(*pictures(bench, "good"), "--dark", bench / "good-dark.tif", "--baseline", result)
    assert good.code == 0, good
    assert "verdict: ok" in good.out
    weak = run(*pictures(bench, "weak"), "--dark", bench / "weak-dark.tif", "--baseline", result)
    assert weak.code == 1
    assert "check laser power" in weak.out


@pytest.mark.torch
def test_the_suite_in_use_is_asked(run, bench, tiny_suite):
    ran = run(*pictures(bench, "good"), "--suite", tiny_suite)
    assert ran.code in (0, 1), ran
    assert "no suite:" not in ran.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give --fl, --wl, --exposure-ms and --target, or --demo"),
        (("--demo", "--exposure-ms", "5"), "--demo renders its pictures"),
        (("--demo", "--fault", "rust"), "--fault 'rust' is none of none, blur"),
        (("--demo", "--seed", "-1"), "--seed -1 is out of range"),
        (("--demo", "--target", "none.toml"), "none.toml: does not exist; targets known by name"),
        (("--demo", "--baseline", "none.json"), "none.json: does not exist"),
        (("--demo", "--suite", "none"), "none: no suite here"),
        (("--demo", "--gain", "nan"), "fl_gain nan is out of range"),
        (("--fl", "a", "--wl", "b", "--target", TARGET, "--exposure-ms", "-3"), "exposure_ms -3 is out of range"),
        (("--fl", "a.tif", "--wl", "b.png", *GIVEN), "a.tif: does not exist"),
        (("--fl", "a.tif", "--wl", "b.png", *GIVEN, "--fault", "blur"), "--fault is for --demo"),
    ],
)
def test_bad_options_are_one_sentence(run, words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run(*words)
    assert ran.code == 2, ran
    assert said in ran.err
    assert list(tmp_path.iterdir()) == []


def test_wrong_pictures_are_named(run, bench, tmp_path):
    fl, wl = bench / "good-fl.tif", bench / "good-wl.png"
    for words, said in (
        (("--fl", wl, "--wl", wl), "different colour channels, a fluorescence image needs grey"),
        (("--fl", fl, "--wl", fl), "is grey, a white-light image needs three colour channels"),
        (("--fl", bench / "black.png", "--wl", wl), "black.png"),
        (("--fl", bench / "good-dark.tif", "--wl", wl), "target 'glioscope-cast' is not found"),
    ):
        ran = run(*words, *GIVEN, "--out", tmp_path / "out")
        assert ran.code == 2, ran
        assert said in ran.err
        assert str(words[1]) in ran.err
        assert not (tmp_path / "out").exists()

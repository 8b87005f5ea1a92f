"""`glioscope register` as a person at the bench runs it, on SIMULATED photographs of a target."""

import struct
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from glioscope.imaging import Target, read_registration
from glioscope.sim import TargetPair, photograph_target
from glioscope.sim._target import WL_LENS

from ..commands import refused, run

BOARD = Target("charuco", 10, 8, 6.4)
DESCRIBED = ("--columns", 10, "--rows", 8, "--square-mm", 6.4)


def written(folder: Path, name: str, pair: TargetPair) -> tuple[Path, Path]:
    fl, wl = folder / f"{name}-fl.tif", folder / f"{name}-wl.png"
    tifffile.imwrite(fl, pair.fl)
    cv2.imwrite(str(wl), pair.wl[..., ::-1])
    return fl, wl


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    written(folder, "target", photograph_target(BOARD, np.random.default_rng(1)))
    moved = replace(WL_LENS, looks_at_mm=(1.4, -0.6))
    written(folder, "moved", photograph_target(BOARD, np.random.default_rng(2), wl_lens=moved))
    ran = run(
        *("register", folder / "target-fl.tif", folder / "target-wl.png", *DESCRIBED),
        *("--out", folder / "registration.json"),
    )
    assert ran.code == 0, ran.err
    assert "px RMS" in ran.out
    assert "left out in turn (limit 1 px)" in ran.out
    assert "covers 100 % of the fluorescence frame" in ran.out
    return folder


def test_a_registration_is_written_and_still_true(bench):
    registration = read_registration(bench / "registration.json")
    assert registration.target == BOARD
    assert registration.residual.rms_px < 0.15
    ran = run("register", bench / "target-fl.tif", bench / "target-wl.png", "--check", bench / "registration.json")
    assert ran.code == 0, ran.err
    assert "still true" in ran.out


def test_a_moved_camera_is_refused(bench):
    ran = run("register", bench / "moved-fl.tif", bench / "moved-wl.png", "--check", bench / "registration.json")
    refused(ran, "residual is 6.", "the limit is 1 px")


def test_a_white_light_frame_is_brought_into_the_geometry_of_fl(bench):
    wl = bench / "target-wl.png"
    asked = ("--check", bench / "registration.json", "--apply-to", wl, "--out-image", bench / "out.png")
    ran = run("register", bench / "target-fl.tif", wl, *asked)
    assert ran.code == 0, ran.err
    grey = cv2.cvtColor(cv2.imread(str(bench / "out.png")), cv2.COLOR_BGR2GRAY)
    fl = tifffile.imread(bench / "target-fl.tif")
    assert grey.shape == fl.shape
    # The ink is bright in this FL frame: where both cameras see the board, one is nearly the negative of the other.
    inner = (slice(60, -60), slice(60, -60))
    assert np.corrcoef(grey[inner].ravel(), cv2.medianBlur(fl, 3)[inner].ravel())[0, 1] < -0.9


def test_a_printed_target_has_its_size_and_is_found_as_what_it_is(tmp_path):
    ran = run("register", "--print-target", tmp_path / "t.png", *DESCRIBED)
    assert ran.code == 0, ran.err
    assert "print at 100 % (70.4 x 57.6 mm)" in ran.out
    data = (tmp_path / "t.png").read_bytes()
    place = data.index(b"pHYs")
    x, y, unit = struct.unpack(">IIB", data[place + 4 : place + 13])
    picture = cv2.imread(str(tmp_path / "t.png"), cv2.IMREAD_GRAYSCALE)
    assert (x, unit) == (y, 1)
    assert picture.shape[1] / x * 1000 == pytest.approx(11 * 6.4, rel=1e-4)
    assert picture.shape[0] / y * 1000 == pytest.approx(9 * 6.4, rel=1e-4)
    small = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_250)
    board = cv2.aruco.CharucoBoard((10, 8), 6.4, 3.84, dictionary)
    assert len(cv2.aruco.CharucoDetector(board).detectBoard(small)[1]) == 63


def test_circles_are_printed_too(tmp_path):
    described = ("--target", "circles", "--columns", 5, "--rows", 9, "--square-mm", 5)
    assert run("register", "--print-target", tmp_path / "t.png", *described).code == 0
    picture = cv2.imread(str(tmp_path / "t.png"), cv2.IMREAD_GRAYSCALE)
    assert cv2.connectedComponents((picture < 128).astype(np.uint8))[0] == 46


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give one of --out (register), --check"),
        (("--out", "a.json", "--check", "b.json"), "give one of --out (register), --check"),
        (("--out", "a.json"), "give a fluorescence and a white-light frame"),
        (("a.tif", "b.png", "--out", "a.json"), "--columns, --rows and --square-mm"),
        (("a.tif", "b.png", "--out", "a.json", "--target", "chess", *DESCRIBED), "neither charuco nor circles"),
        (("a.tif", "b.png", "--out", "a.json", *DESCRIBED), "a.tif: does not exist"),
        (("a.tif", "b.png", "--check", "none.json"), "none.json: does not exist"),
        (("a.tif", "b.png", "--out", "a.json", "--apply-to", "b.png", *DESCRIBED), "belong together"),
        (("a.tif", "b.png", "--out", "a.json", "--max-rms-px", "nan", *DESCRIBED), "--max-rms-px nan is out of range"),
        (("--print-target", "t.pdf", *DESCRIBED), "ends in .png"),
        (("--print-target", "t.png", "--columns", 5, "--rows", 5, "--square-mm", 99), "0.4 to 42 mm"),
    ],
)
def test_bad_input_is_one_sentence(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(run("register", *words), said)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_registration_leaves_no_file(bench, tmp_path):
    described = ("--columns", 7, "--rows", 9, "--square-mm", 6.4)
    out = tmp_path / "r.json"
    ran = run("register", bench / "target-fl.tif", bench / "target-wl.png", *described, "--out", out)
    refused(ran, "fluorescence frame: ")
    assert not out.exists()

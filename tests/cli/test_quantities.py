"""`glioscope quantities` on a simulated cohort, whose tumours are brighter."""

import csv
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import glioscope.cli._quantities as quantities_command
from glioscope.core import InputError
from glioscope.stats import auc

APP = quantities_command.app


def run(*words: object) -> tuple[str, BaseException | None]:
    ran = CliRunner().invoke(APP, ["quantities", *map(str, words)])
    return ran.output, ran.exception


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def measured(tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, str]], str]:
    out = tmp_path_factory.mktemp("quantities") / "table.csv"
    printed, error = run(tiny_cohort, "--out", out, "--offset-counts", 600)
    assert error is None, printed
    return table(out), printed


def test_every_image_has_one_row_with_all_columns(measured: tuple[list[dict[str, str]], str]) -> None:
    rows, printed = measured
    assert len(rows) == 120
    assert tuple(rows[0]) == quantities_command.COLUMNS
    assert {row["data_kind"] for row in rows} == {"simulated"}
    assert "of 120 images measured (simulated)" in printed
    assert sum(row["problem"] == "" for row in rows) >= 110


def test_tumour_stands_out_more_than_other_tissue(measured: tuple[list[dict[str, str]], str]) -> None:
    rows, printed = measured
    known = [row for row in rows if row["sbr"]]
    y = np.array([row["pathology"] == "tumor" for row in known])
    for name in ("sbr", "cnr", "counts_per_ms_mw_cm2"):
        values = np.array([float(row[name]) for row in known])
        assert np.median(values[y]) > 1.2 * np.median(values[~y])
        assert auc(y, values) > 0.8
    assert "non-tumor: sbr" in printed


def test_columns_agree_with_each_other(measured: tuple[list[dict[str, str]], str]) -> None:
    for row in measured[0]:
        if row["problem"]:
            continue
        signal, background = float(row["signal_counts"]), float(row["background_counts"])
        assert float(row["sbr"]) == pytest.approx(signal / background, rel=1e-4)
        assert float(row["contrast_counts"]) == pytest.approx(signal - background, rel=1e-3)
        light = float(row["fl_exposure_ms"]) * float(row["irradiance_mw_cm2"])
        assert float(row["counts_per_ms_mw_cm2"]) == pytest.approx(signal / light, rel=1e-4)
        assert 0 < float(row["sbr_se"]) < float(row["sbr"])


def test_without_an_offset_there_is_no_ratio_and_a_warning(tiny_cohort: Path, tmp_path: Path) -> None:
    printed, error = run(tiny_cohort, "--out", tmp_path / "t.csv")
    assert error is None
    rows = table(tmp_path / "t.csv")
    assert {row["sbr"] for row in rows} == {""}
    assert {row["offset"] for row in rows if not row["problem"]} == {"unknown"}
    assert any(row["cnr"] for row in rows)
    assert "--offset-counts" in printed


def test_an_image_without_a_specimen_keeps_its_row_and_says_why(tiny_cohort: Path, tmp_path: Path) -> None:
    import shutil

    import tifffile

    folder = tmp_path / "cohort"
    shutil.copytree(tiny_cohort.parent, folder)
    first = table(folder / "manifest.csv")[0]
    noise = np.random.default_rng(0).normal(700, 15, (64, 64)).astype(np.uint16)
    tifffile.imwrite(folder / first["fl_image"], noise)
    wl = folder / first["wl_image"]
    wl.write_bytes(_grey_png())
    _, error = run(folder / "manifest.csv", "--out", tmp_path / "t.csv", "--offset-counts", 600)
    assert error is None
    row = table(tmp_path / "t.csv")[0]
    assert "no specimen stands out" in row["problem"]
    assert row["signal_counts"] == ""


def _grey_png() -> bytes:
    import cv2

    picture = np.random.default_rng(1).normal(40, 2, (64, 64, 3)).clip(0, 255).astype(np.uint8)
    return cv2.imencode(".png", picture)[1].tobytes()


def test_other_endings_are_refused(tiny_cohort: Path, tmp_path: Path) -> None:
    _, error = run(tiny_cohort, "--out", tmp_path / "t.xlsx")
    assert isinstance(error, InputError)
    assert "ends in .csv" in str(error)

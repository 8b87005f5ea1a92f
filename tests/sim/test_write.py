"""A whole cohort on disk: contract, determinism, atomicity, and no shortcut to the class."""

import csv
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from sklearn.metrics import roc_auc_score

from glioscope.core import InputError
from glioscope.sim import SimSettings, simulate

LABELS = ("pathology", "who_grade", "who_edition", "diagnosis", "ki67_percent", "ki67_level", "idh", "codel_1p19q")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sim") / "cohort"
    simulate(folder, n_patients=6, n_specimens=420, seed=11, trays=2, n_jobs=2)
    return folder


def test_manifest_follows_the_contract(cohort: Path) -> None:
    rows = _rows(cohort / "manifest.csv")
    assert len(rows) == 420
    assert len({row["specimen_id"] for row in rows}) == 420
    assert {row["data_kind"] for row in rows} == {"simulated"}
    for row in rows:
        fl, wl = cohort / row["fl_image"], cohort / row["wl_image"]
        assert fl.is_file()
        assert wl.is_file()
        assert row["pathology"] in ("tumor", "non-tumor")
        if row["pathology"] == "non-tumor":
            assert not any(row[name] for name in LABELS[1:])
        assert (row["who_grade"] == "") == (row["idh"] == "") == (row["who_edition"] == "")
        if row["codel_1p19q"] == "yes":
            assert row["idh"] == "mutant"
            assert "oligodendroglioma" in row["diagnosis"]
        if row["ki67_percent"]:
            assert (float(row["ki67_percent"]) >= 10) == (row["ki67_level"] == ">=10")
        assert (row["who_grade"] == "4") == row["diagnosis"].startswith("glioblastoma")


def test_images_are_16_bit_fluorescence_and_8_bit_colour(cohort: Path) -> None:
    row = _rows(cohort / "manifest.csv")[0]
    fl = tifffile.imread(cohort / row["fl_image"])
    assert (fl.shape, fl.dtype) == ((128, 160), np.uint16)
    wl = cv2.imread(str(cohort / row["wl_image"]), cv2.IMREAD_UNCHANGED)
    assert (wl.shape, wl.dtype) == ((128, 160, 3), np.uint8)


def test_same_bytes_for_any_number_of_jobs(tmp_path: Path) -> None:
    for name, jobs in (("one", 1), ("two", 2)):
        simulate(tmp_path / name, n_patients=3, n_specimens=120, seed=5, n_jobs=jobs, trays=1)
    one, two = _digest(tmp_path / "one"), _digest(tmp_path / "two")
    assert len(one) == 2 * 120 + 2 + 8
    assert one == two


def test_another_seed_gives_another_cohort(tmp_path: Path) -> None:
    for seed in (0, 1):
        simulate(tmp_path / str(seed), n_patients=2, n_specimens=20, seed=seed, n_jobs=1)
    assert _digest(tmp_path / "0")["manifest.csv"] != _digest(tmp_path / "1")["manifest.csv"]


def test_all_says_simulated(cohort: Path) -> None:
    assert (cohort / "README.txt").read_text().startswith("SIMULATED")
    notes = json.loads((cohort / "settings.json").read_text())
    assert notes["data_kind"] == "simulated"
    assert notes["settings_sha256"] == SimSettings().sha256
    assert notes["settings"]["infrared"]["columns"]["value"] == 640


def test_readings_are_of_three_readers_for_every_image(cohort: Path) -> None:
    rows = _rows(cohort / "readings.csv")
    assert len(rows) == 3 * 2 * 420
    assert len({(row["reader"], row["modality"], row["read_order"]) for row in rows}) == len(rows)
    assert all((int(row["rating"]) >= 4) == (row["reading"] == "1") for row in rows)


def test_oracle_has_every_specimen_and_the_posteriors(cohort: Path) -> None:
    rows, manifest = _rows(cohort / "oracle.csv"), _rows(cohort / "manifest.csv")
    assert [row["specimen_id"] for row in rows] == [row["specimen_id"] for row in manifest]
    y = np.array([row["pathology"] == "tumor" for row in manifest])
    for modality, low in (("fl", 0.9), ("wl", 0.8), ("fusion", 0.92)):
        score = [float(row[f"posterior_tumor_{modality}"]) for row in rows]
        assert low < roc_auc_score(y, score) < 0.995
    flipped = np.array([row["label_flipped"] == "1" for row in rows])
    true = np.array([row["true_tumor"] == "1" for row in rows])
    assert ((true != y) == flipped).all()


def test_files_say_nothing_of_the_class(cohort: Path) -> None:
    manifest = _rows(cohort / "manifest.csv")
    for column in ("fl_image", "wl_image"):
        assert len({(cohort / row[column]).stat().st_size for row in manifest}) == 1
    y = np.array([row["pathology"] == "tumor" for row in manifest])
    for column in ("distance_mm", "sample_index", "sector"):
        assert 0.42 < roc_auc_score(y, [float(row[column]) for row in manifest]) < 0.58
    for column in ("fl_exposure_ms", "irradiance_mw_cm2", "mm_per_px", "device_id", "framing"):
        assert len({row[column] for row in manifest}) == 1
    written = np.array([(cohort / row["fl_image"]).stat().st_mtime_ns for row in manifest], dtype=float)
    assert 0.40 < roc_auc_score(y, written) < 0.60


def test_full_framing_writes_whole_frames(tmp_path: Path) -> None:
    simulate(tmp_path / "full", n_patients=2, n_specimens=20, framing="full", n_jobs=1)
    rows = _rows(tmp_path / "full" / "manifest.csv")
    assert {row["framing"] for row in rows} == {"full"}
    assert tifffile.imread(tmp_path / "full" / rows[3]["fl_image"]).shape == (512, 640)


def test_other_sizes_keep_the_specimen_inside(tmp_path: Path) -> None:
    simulate(tmp_path / "small", n_patients=2, n_specimens=20, size=(96, 96), n_jobs=1)
    rows = _rows(tmp_path / "small" / "manifest.csv")
    assert float(rows[0]["mm_per_px"]) == pytest.approx(16 / 96, abs=1e-5)
    assert tifffile.imread(tmp_path / "small" / rows[0]["fl_image"]).shape == (96, 96)


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    simulate(tmp_path / "p", n_patients=2, n_specimens=100, n_jobs=1, progress=lambda *now: seen.append(now))
    assert seen[-1] == (100, 100)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (8, 8)}, "8 x 8 px is outside the limits of 48 to 640"),
        ({"n_patients": 1}, "at least 2 patients"),
        ({"framing": "round"}, "framing 'round'"),
        ({"seed": -1}, "must not be negative"),
    ],
)
def test_bad_numbers_are_refused_and_nothing_is_left(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulate(tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="something other than a simulated cohort"):
        simulate(tmp_path, n_patients=2, n_specimens=20)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_an_earlier_cohort_is_replaced(tmp_path: Path) -> None:
    for seed in (0, 1):
        cohort = simulate(tmp_path / "c", n_patients=2, n_specimens=20, seed=seed, n_jobs=1)
    assert json.loads((cohort.folder / "settings.json").read_text())["seed"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["c"]

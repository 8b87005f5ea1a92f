"""Simulated pathologists: what they disagree on, and that their consensus is the label."""

import hashlib
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from glioscope.cohort._pathology import read_pathology
from glioscope.sim import SimSettings, draw_design, simulate
from glioscope.sim._pathology import PATHOLOGISTS, draw_pathology
from glioscope.sim._write import _manifest_rows, specimen_names


def manifest_of(seed: int, n_patients: int = 23, n_specimens: int = 1874) -> list[dict]:
    settings, rng = SimSettings(), np.random.default_rng(seed)
    design = draw_design(n_patients, n_specimens, settings, rng)
    return _manifest_rows(design, specimen_names(design), 0.1, "cut", settings, rng)


def grades_of(rows: list[dict]) -> np.ndarray:
    table = np.array([row["who_grade"] or 0 for row in rows]).reshape(-1, len(PATHOLOGISTS))
    return table[table[:, 0] > 0]


@pytest.mark.parametrize("seed", range(4))
def test_three_pathologists_agree_as_pathologists_do(seed: int) -> None:
    grades = grades_of(draw_pathology(manifest_of(seed), np.random.default_rng(seed)))
    assert len(grades) == 932
    assert 0.58 < fleiss_kappa(aggregate_raters(grades)[0]) < 0.74
    assert set(np.unique(grades)) == {2, 3, 4}


def test_the_consensus_is_the_label_and_one_of_them_gave_it() -> None:
    manifest = manifest_of(1)
    rows = draw_pathology(manifest, np.random.default_rng(1))
    label = {row["specimen_id"]: row["who_grade"] for row in manifest if row["pathology"] == "tumor"}
    given: dict[str, set] = {}
    for row in rows:
        assert row["consensus"] == label[row["specimen_id"]]
        given.setdefault(row["specimen_id"], set()).add(row["who_grade"])
    assert set(given) == set(label)
    assert all(label[name] in grades for name, grades in given.items())


def test_ki67_is_the_manifests_and_agrees_with_its_counts() -> None:
    manifest = manifest_of(2)
    percent = {row["specimen_id"]: row["ki67_percent"] for row in manifest}
    for row in draw_pathology(manifest, np.random.default_rng(2)):
        if row["pathologist"] != PATHOLOGISTS[0] or row["ki67_percent"] == "":
            assert row["ki67_counted"] == ""
            continue
        assert row["ki67_percent"] == percent[row["specimen_id"]]
        assert 100 * row["ki67_positive"] / row["ki67_counted"] == pytest.approx(row["ki67_percent"], abs=0.2)


def test_every_sentence_of_the_files_says_simulated(tmp_path: Path) -> None:
    cohort = simulate(tmp_path / "c", n_patients=2, n_specimens=40, n_jobs=1)
    table = read_pathology(cohort.pathology)
    assert (table.loc[table["ki67_percent"].notna(), "ki67_method"].str.startswith("SIMULATED")).all()
    text = cohort.study.read_text(encoding="utf-8")
    sentences = re.findall(r'"([^"]+)"', text)
    assert tomllib.loads(text)["ethics"].keys() == {"statement"}
    assert all("SIMULATED" in s for s in sentences if s != "simulated" and not re.fullmatch(r"R\d|PATH\d", s))


def test_tables_of_before_are_the_same_bytes(tmp_path: Path) -> None:
    """Hashes of a cohort drawn before pathology and study file were added: they have a random stream of their own."""
    simulate(tmp_path / "c", n_patients=2, n_specimens=20, seed=5, n_jobs=1, trays=1)
    for name, start in (("manifest.csv", "606fc6e82820e834"), ("trays.csv", "920b61ec561bc2ba")):
        assert hashlib.sha256((tmp_path / "c" / name).read_bytes()).hexdigest().startswith(start), name

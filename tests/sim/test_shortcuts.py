"""What must not tell the class: outline, plate, hot pixels, place on the sensor."""

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from glioscope.sim import CARRIED, Appearance, SimSettings, draw_appearance, draw_design, draw_tissue
from glioscope.sim._cameras import draw_pattern
from glioscope.sim._fields import outline
from glioscope.sim._latents import APPEARANCE_COLUMNS
from glioscope.sim._write import appearances_of, photograph_pair

SETTINGS = SimSettings()
FRAME = (512, 640)


@dataclass(frozen=True)
class Drawn:
    """Specimens of many cohorts, so that chance differences between few patients average out."""

    appearances: list[Appearance]
    label: np.ndarray
    patient: np.ndarray


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    appearances, labels, patients = [], [], []
    for seed in range(16):
        rng = np.random.default_rng([seed, 2024])
        design = draw_design(23, 1874, SETTINGS, rng)
        columns = draw_appearance(design, draw_tissue(design, SETTINGS, rng), SETTINGS, rng)
        rows = rng.permutation(1874)[:44]
        everyone = appearances_of(columns)
        appearances += [everyone[i] for i in rows]
        labels.append(design.label_tumor[rows])
        patients.append(100 * seed + design.patient[rows])
    return Drawn(appearances, np.concatenate(labels), np.concatenate(patients))


def _auc(drawn: Drawn, features: np.ndarray) -> float:
    """Mean over five folds of patients (pooled, differing shares of tumour would push the null below one half)."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    return float(
        cross_val_score(model, features, drawn.label, groups=drawn.patient, cv=GroupKFold(5), scoring="roc_auc").mean()
    )


def test_nuisance_columns_do_not_depend_on_class() -> None:
    # Pooled over cohorts, so that chance differences between few patients average out.
    nuisance = [name for name in APPEARANCE_COLUMNS if name not in CARRIED["fusion"]]
    assert len(nuisance) == 8
    labels, columns = [], {name: [] for name in nuisance}
    for seed in range(25):
        rng = np.random.default_rng(seed)
        design = draw_design(23, 1874, SETTINGS, rng)
        drawn = draw_appearance(design, draw_tissue(design, SETTINGS, rng), SETTINGS, rng)
        labels.append(design.label_tumor)
        for name in nuisance:
            columns[name].append(drawn[name])
    for name in nuisance:
        assert roc_auc_score(np.concatenate(labels), np.concatenate(columns[name])) == pytest.approx(0.5, abs=0.02)


def test_silhouette_does_not_tell_tumour(drawn: Drawn) -> None:
    features = []
    for i, appearance in enumerate(drawn.appearances):
        radius = appearance.radius_mm / 0.1
        coverage, _ = outline((128, 160), (64, 80), radius, SETTINGS.geometry.lobes_sd, np.random.default_rng(i))
        y, x = np.nonzero(coverage > 0.5)
        edge = np.abs(np.diff(coverage, axis=0)).sum() + np.abs(np.diff(coverage, axis=1)).sum()
        spread = np.linalg.eigvalsh(np.cov(np.stack([y, x])))
        features.append([len(y), edge, spread[1] / spread[0], edge / np.sqrt(len(y))])
    assert 0.43 < _auc(drawn, np.array(features)) < 0.57


def test_plate_and_hot_pixels_do_not_tell_tumour(drawn: Drawn) -> None:
    pattern = draw_pattern(FRAME, SETTINGS, np.random.default_rng(0))
    features = []
    for i, appearance in enumerate(drawn.appearances):
        rng = np.random.default_rng(i)
        fl, wl = photograph_pair(appearance, pattern, FRAME, (128, 160), 0.1, "cut", SETTINGS, rng)
        corner = wl[:16, :16].reshape(-1, 3).astype(float)
        edge = fl[:12].astype(int)
        features.append([*corner.mean(axis=0), corner.std(), (edge > np.median(edge) + 2000).sum()])
    assert 0.43 < _auc(drawn, np.array(features)) < 0.57


def test_changing_only_nuisance_seeds_changes_no_label_and_back() -> None:
    # Two specimens with the same appearance and noise give the same picture, whatever their labels were.
    rng = np.random.default_rng(8)
    design = draw_design(3, 60, SETTINGS, rng)
    appearance = appearances_of(draw_appearance(design, draw_tissue(design, SETTINGS, rng), SETTINGS, rng))[0]
    pattern = draw_pattern(FRAME, SETTINGS, np.random.default_rng(0))
    pairs = [
        photograph_pair(appearance, pattern, FRAME, (128, 160), 0.1, "cut", SETTINGS, np.random.default_rng(4))
        for _ in range(2)
    ]
    np.testing.assert_array_equal(pairs[0][0], pairs[1][0])
    np.testing.assert_array_equal(pairs[0][1], pairs[1][1])

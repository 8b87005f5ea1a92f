"""The make-up of a cohort against the paper's counts and the feasibility study's requirements."""

import numpy as np
import pytest

from glioscope.core import InputError
from glioscope.sim import SimSettings, draw_design
from glioscope.sim._design import Counts, Design, share_out

SETTINGS = SimSettings()


@pytest.fixture(scope="module", params=range(6))
def full(request: pytest.FixtureRequest) -> Design:
    return draw_design(23, 1874, SETTINGS, np.random.default_rng(request.param))


def test_class_counts_are_the_papers(full: Design) -> None:
    assert len(full.patient) == 1874
    assert len(np.unique(full.patient)) == 23
    assert full.label_tumor.sum() == 1324
    graded = full.graded
    assert not (graded & ~full.label_tumor).any()
    assert (graded & full.gbm).sum() == 99
    assert (graded & ~full.gbm).sum() == 833
    assert not (full.has_ki67 & ~full.label_tumor).any()
    assert (full.has_ki67 & full.ki67_high).sum() == 364
    assert (full.has_ki67 & ~full.ki67_high).sum() == 505


def test_flipped_labels_are_exact_and_stratified(full: Design) -> None:
    share = SETTINGS.biology.flipped_share
    assert (full.flipped & full.label_tumor).sum() == round(share * 1324)
    assert (full.flipped & ~full.label_tumor).sum() == round(share * 550)


def test_gbm_is_spread_over_patients(full: Design) -> None:
    per_patient = np.bincount(full.patient[full.graded & full.gbm], minlength=23)
    assert (per_patient >= 5).sum() >= 6
    assert per_patient.max() <= 0.30 * 99


def test_sectors_hold_about_ten_specimens(full: Design) -> None:
    cells = np.bincount(full.patient * 8 + full.sector - 1, minlength=23 * 8)
    assert cells.min() >= 4
    assert cells.max() <= 20
    assert 9.5 < cells.mean() < 10.9


def test_molecular_markers_are_the_patients_own_and_consistent(full: Design) -> None:
    assert not (full.codeleted & full.wildtype).any()
    for patient in range(23):
        mine = full.patient == patient
        assert len(np.unique(full.wildtype[mine])) == 1
        assert len(np.unique(full.codeleted[mine])) == 1
    gbm = full.gbm & full.graded
    assert full.wildtype[gbm].mean() > 0.7 > 0.5 > full.wildtype[full.graded & ~gbm].mean()
    assert not (full.codeleted & gbm).any()


@pytest.mark.parametrize(("n_patients", "n_specimens"), [(2, 20), (3, 60), (7, 150), (40, 4000)])
def test_other_sizes_scale(n_patients: int, n_specimens: int) -> None:
    design = draw_design(n_patients, n_specimens, SETTINGS, np.random.default_rng(1))
    counts = Counts.scaled(n_specimens)
    assert len(design.patient) == n_specimens
    assert design.label_tumor.sum() == counts.tumor
    assert (design.graded & design.gbm).sum() == counts.gbm
    assert (design.has_ki67 & design.ki67_high).sum() == counts.ki67_high


def test_too_small_a_cohort_is_refused() -> None:
    with pytest.raises(InputError, match="at least 2 patients, not 1"):
        draw_design(1, 100, SETTINGS, np.random.default_rng(0))
    with pytest.raises(InputError, match="29 specimens are too few for 3 patients"):
        draw_design(3, 29, SETTINGS, np.random.default_rng(0))


def test_share_out_adds_up_and_respects_capacity() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        size = int(rng.integers(1, 12))
        capacity = rng.integers(0, 20, size).astype(np.int64)
        weights = rng.random(size) * (rng.random(size) > 0.2)
        total = int(rng.integers(0, 120))
        given = share_out(total, weights, capacity)
        assert given.sum() == min(total, capacity.sum())
        assert (given >= 0).all()
        assert (given <= capacity).all()

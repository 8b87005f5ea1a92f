"""The fitted envelope against scikit-learn's probabilistic PCA, and its limit on patients who were not there."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from glioscope.core import InputError
from glioscope.core._envelope import root_mean_square
from glioscope.models._envelope import _fit, fit_envelope, left_out_distances

WIDTH = 60


def _cohort(
    n_patients: int, n_each: int, *, seed: int = 0, patient_sd: float = 0.3, width: int = WIDTH
) -> tuple[np.ndarray, np.ndarray]:
    """Features with a few strong directions, and a shift of each patient's own."""
    rng = np.random.default_rng(seed)
    scale = np.concatenate([np.linspace(4, 2, 8), np.full(width - 8, 0.5)])
    turn = np.linalg.qr(np.random.default_rng(99).standard_normal((width, width)))[0]
    patients = np.repeat([f"P{k}" for k in range(n_patients)], n_each).astype(object)
    shift = np.repeat(rng.normal(0, patient_sd, (n_patients, width)), n_each, axis=0)
    rows = (rng.standard_normal((len(patients), width)) + shift) * scale @ turn + 3.0
    return rows.astype(np.float32), patients


@pytest.mark.parametrize("n", [40, 400])  # fewer images than features, and more
def test_the_distance_without_shrinkage_is_the_likelihood_of_probabilistic_pca(
    n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glioscope.models._envelope.SHRINKAGE", 1.0)
    # scikit-learn's log-likelihood is -(d D^2 + a constant) / 2; it divides by n - 1, ours by n.
    features, _ = _cohort(4, n // 4)
    vectors, variance = _fit(features.astype(np.float64), 8)
    other, _ = _cohort(2, 10, seed=5)
    squared = WIDTH * root_mean_square(other, vectors, variance) ** 2
    model = PCA(n_components=8).fit(features)
    # PCA spreads what it leaves over min(n, d) - 8 directions, ours over d - 8; the two agree where n > d.
    model.noise_variance_ = variance * n / (n - 1)
    expected = -2 * model.score_samples(other.astype(np.float64)) * n / (n - 1)
    assert np.diff(squared) == pytest.approx(np.diff(expected), rel=2e-3, abs=0.02)


def test_a_patient_left_out_is_measured_without_him() -> None:
    features, patients = _cohort(4, 30)
    out = patients == "P2"
    vectors, variance = _fit(features[~out].astype(np.float64), 8)
    expected = root_mean_square(features[out], vectors, variance)
    assert left_out_distances(features, patients, 8)[out] == pytest.approx(expected)


def test_order_of_images_and_names_of_patients_do_not_matter() -> None:
    features, patients = _cohort(13, 12)
    order = np.random.default_rng(0).permutation(len(features))
    held_out = np.isin(patients, ["P1", "P2"])
    first, _ = fit_envelope(features, patients, held_out)
    second, _ = fit_envelope(features[order], patients[order], held_out[order])
    assert second.limit == pytest.approx(first.limit, rel=1e-4)


@pytest.mark.parametrize(("n_patients", "n_each"), [(5, 12), (16, 80)])
def test_new_patients_are_let_in_and_other_features_are_not(n_patients: int, n_each: int) -> None:
    features, patients = _cohort(n_patients, n_each)
    envelope, vectors = fit_envelope(features, patients, np.zeros(len(patients), bool))
    new, _ = _cohort(20, 50, seed=7)
    assert np.mean(envelope.distance(new, vectors) > 1) <= 0.01
    strange = new + np.random.default_rng(3).normal(0, 3.0, new.shape).astype(np.float32)
    assert np.mean(envelope.distance(strange, vectors) > 1) >= 0.95


def test_held_out_patients_widen_the_limit_where_training_patients_lie_too_close() -> None:
    features, patients = _cohort(10, 40)
    held_out = np.isin(patients, ["P0", "P1"])
    features[held_out] = (features[held_out] - 3.0) * 1.5 + 3.0
    nothing_held_out, _ = fit_envelope(features[~held_out], patients[~held_out], np.zeros((~held_out).sum(), bool))
    envelope, _ = fit_envelope(features, patients, held_out)
    assert envelope.limit > 1.2 * nothing_held_out.limit
    assert (envelope.n_patients, envelope.n_held_out_patients) == (10, 2)


def test_the_record_and_the_vectors_belong_together() -> None:
    features, patients = _cohort(5, 12, width=200)
    envelope, vectors = fit_envelope(features, patients, np.zeros(60, bool))
    envelope.check(vectors, 200)
    assert envelope.rank == 15  # four images a component
    assert type(envelope).model_validate_json(envelope.model_dump_json()) == envelope


def test_input_that_gives_no_envelope_is_refused_in_one_sentence() -> None:
    features, patients = _cohort(3, 10)
    none = np.zeros(30, bool)
    with pytest.raises(InputError, match="1 patient"):
        fit_envelope(features, np.full(30, "P0", object), none)
    with pytest.raises(InputError, match="vary in"):
        fit_envelope(np.ones_like(features), patients, none)
    with pytest.raises(InputError, match="30 rows of features, 29 patients"):
        fit_envelope(features, patients[:29], none)
    for value in (np.nan, 0.0):
        broken = features.copy()
        broken[3] = value
        with pytest.raises(InputError, match="1 of 30 rows of features are all 0 or not finite"):
            fit_envelope(broken, patients, none)

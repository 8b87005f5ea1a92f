"""Logits of patients left out: nobody is scored by a network that has seen him."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs glioscope[train]")

from glioscope.core import BUILT_IN_TASKS, Canvas, FLPlan, Modality, WLPlan  # noqa: E402
from glioscope.models import (  # noqa: E402
    FinetuneSettings,
    FoldData,
    FrozenFeatures,
    PreparedImages,
    ProbeSettings,
    TrainSettings,
    _crossfit,
)
from glioscope.models._crossfit import HELD, calibration_folds, out_of_fold_logits  # noqa: E402
from glioscope.models._fit import ordinal_targets  # noqa: E402
from glioscope.models._probe import fit_head  # noqa: E402

PLANS = {"fl": FLPlan(canvas=Canvas(size_px=32)), "wl": WLPlan(canvas=Canvas(size_px=32))}
TUMOR = BUILT_IN_TASKS["tumor"]


def images_of(n, seed=0):
    rng = np.random.default_rng(seed)
    pixels = {
        name: torch.from_numpy(rng.integers(0, 256, (n, channels, 32, 32), dtype=np.uint8))
        for name, channels in (("fl", 1), ("wl", 3))
    }
    return PreparedImages(pixels, {name: np.ones(n, bool) for name in pixels}, PLANS)


def data_of(labels, patients, roles, images=None):
    labels, patients = np.asarray(labels, float), np.asarray(patients, object)
    given = dict(roles)
    return FoldData(
        images or images_of(len(labels)),
        np.array([f"S{i:02d}" for i in range(len(labels))], object),
        patients,
        np.array([given[p] for p in patients], object),
        ordinal_targets(labels, 1),
    )


def cohort(n_patients=8, each=4, test=2):
    patients = [f"P{k}" for k in range(n_patients) for _ in range(each)]
    labels = [i % 2 for i in range(n_patients * each)]
    roles = {f"P{k}": "test" if k < test else ("tune" if k == test else "train") for k in range(n_patients)}
    return data_of(labels, patients, roles)


class Features(FrozenFeatures):
    """Random features instead of a backbone's, the same for whoever asks."""

    def __init__(self, n, seed=0):
        rng = np.random.default_rng(seed)
        self._drawn = {name: rng.normal(size=(n, 6)).astype(np.float32) for name in ("fl", "wl")}

    def of(self, images, modality):
        return np.concatenate([self._drawn[name] for name in modality.inputs], axis=1)


def settings(**changes):
    return TrainSettings(strategy="probe", **changes)


def test_every_patient_that_is_not_tested_is_left_out_once_and_trains_otherwise():
    data = cohort()
    folds = calibration_folds(data, 3, seed=0)
    held = [set(fold.patients[fold.roles == HELD]) for fold in folds]
    assert len(held) == 3
    assert sorted(p for some in held for p in some) == [f"P{k}" for k in range(2, 8)]
    for fold, out in zip(folds, held, strict=True):
        assert set(fold.patients[fold.roles == "train"]) == {f"P{k}" for k in range(2, 8)} - out
        assert set(fold.patients[fold.roles == "unused"]) == {"P0", "P1"}
        assert "tune" not in set(fold.roles)


def test_rare_classes_are_spread_over_the_folds():
    patients = [f"P{k}" for k in range(9) for _ in range(5)]
    labels = [1.0 if p in ("P1", "P4", "P7") else 0.0 for p in patients]
    folds = calibration_folds(data_of(labels, patients, dict.fromkeys(patients, "train")), 3, seed=1)
    positive = [set(f.patients[(f.roles == HELD) & (f.targets[:, 0] == 1)]) for f in folds]
    assert [len(some) for some in positive] == [1, 1, 1]


def test_patients_without_a_label_are_in_no_fold_and_too_few_patients_make_none():
    labels = [np.nan, np.nan, 0, 1, 0, 1]
    patients = ["A", "A", "B", "B", "C", "C"]
    data = data_of(labels, patients, {"A": "train", "B": "train", "C": "tune"})
    folds = calibration_folds(data, 5, seed=0)
    assert sorted(set(f.patients[f.roles == HELD]).pop() for f in folds) == ["B", "C"]
    assert calibration_folds(data_of(labels, patients, {"A": "train", "B": "train", "C": "test"}), 5, seed=0) == []
    assert calibration_folds(data, 0, seed=0) == []


@pytest.mark.parametrize("modality", list(Modality))
def test_a_probe_is_fitted_without_the_patient_that_it_scores(modality, tmp_path):
    data, frozen = cohort(), Features(32)
    choices = {modality: {"inverse_l2": 0.01}}
    found = out_of_fold_logits(TUMOR, modality, data, settings(), frozen, choices, logs=tmp_path)
    assert sorted(found["specimen_id"]) == sorted(data.specimens[data.roles != "test"])
    assert set(found["split"]) == {"train", "tune"}
    by_specimen = found.set_index("specimen_id")["logit_0"]
    features = frozen.of(data.images, modality)
    for fold in calibration_folds(data, 5, seed=0):
        train, held = fold.roles == "train", np.flatnonzero(fold.roles == HELD)
        weight, bias = fit_head(features[train], data.targets[train], 0.01)
        expected = features[held].astype(float) @ weight[0] + bias[0]
        np.testing.assert_allclose(by_specimen[data.specimens[held]], expected, atol=1e-9)


def test_what_a_patient_is_labelled_does_not_change_his_own_logits(tmp_path):
    data, frozen, choices = cohort(), Features(32), {Modality.FL: {"inverse_l2": 0.1}}
    first = out_of_fold_logits(TUMOR, Modality.FL, data, settings(), frozen, choices, logs=tmp_path)
    mine = data.patients == "P5"
    # Exchanged among his own specimens, so that the folds stay the same.
    data.targets[mine] = data.targets[mine][::-1]
    second = out_of_fold_logits(TUMOR, Modality.FL, data, settings(), frozen, choices, logs=tmp_path)
    own = (first["patient_id"] == "P5").to_numpy()
    np.testing.assert_allclose(first["logit_0"][own], second["logit_0"][own], atol=1e-9)
    assert np.abs(first["logit_0"][~own] - second["logit_0"][~own]).max() > 1e-3


def test_averaged_fusion_is_the_mean_of_its_parts(tmp_path):
    data, frozen = cohort(), Features(32)
    choices = {m: {"inverse_l2": 0.1} for m in (Modality.FL, Modality.WL)}
    choices[Modality.FUSION] = {"inverse_l2": 0.1, "fusion": "late average"}
    each = [out_of_fold_logits(TUMOR, m, data, settings(), frozen, choices, logs=tmp_path)["logit_0"] for m in Modality]
    np.testing.assert_allclose(each[2], (each[0] + each[1]) / 2, atol=1e-12)


def test_a_fold_that_would_train_on_one_class_is_left_out(tmp_path):
    patients = [f"P{k}" for k in range(6) for _ in range(4)]
    labels = [1.0 if p == "P2" and i % 2 else 0.0 for i, p in enumerate(patients)]
    data = data_of(labels, patients, dict.fromkeys(patients, "train"))
    found = out_of_fold_logits(
        TUMOR, Modality.FL, data, settings(calibration_folds=6), Features(24), {Modality.FL: {"inverse_l2": 0.1}},
        logs=tmp_path,
    )  # fmt: skip
    assert set(found["patient_id"]) == set(patients) - {"P2"}


def test_images_of_a_specimen_are_averaged(tmp_path):
    data, frozen, choices = cohort(), Features(32), {Modality.FL: {"inverse_l2": 0.1}}
    single = out_of_fold_logits(TUMOR, Modality.FL, data, settings(), frozen, choices, logs=tmp_path)
    rows = np.flatnonzero(data.patients == "P4")[[0, 2]]
    logit = single.set_index("specimen_id")["logit_0"][data.specimens[rows]]
    data.specimens[rows[1]] = data.specimens[rows[0]]
    both = out_of_fold_logits(TUMOR, Modality.FL, data, settings(), frozen, choices, logs=tmp_path)
    assert both.set_index("specimen_id")["logit_0"][data.specimens[rows[0]]] == pytest.approx(logit.mean())


def test_fine_tuned_folds_are_kept_and_used_again(tmp_path, monkeypatch):
    data, frozen = cohort(n_patients=5, each=4, test=1), FrozenFeatures("tf_efficientnet_lite0", "none")
    chosen = settings(calibration_folds=2, probe=ProbeSettings(inverse_l2=(0.01,))).model_copy(
        update={"strategy": "finetune", "finetune": FinetuneSettings(epochs=1, batch_size=8, start="xavier")}
    )
    choices = {m: {} for m in Modality}
    choices[Modality.FUSION] = {"fusion": "late average"}
    started = []
    original = _crossfit.finetuned

    def counted(*arguments, **options):
        started.append(arguments[1])
        return original(*arguments, **options)

    monkeypatch.setattr(_crossfit, "finetuned", counted)

    def run(modality, **options):
        return out_of_fold_logits(
            TUMOR, modality, data, chosen, frozen, choices, logs=tmp_path, progress=False, **options
        )

    fl, wl, fusion = (run(m)["logit_0"] for m in Modality)
    assert started == [Modality.FL] * 2 + [Modality.WL] * 2
    np.testing.assert_allclose(fusion, (fl + wl) / 2, atol=1e-5)
    again = run(Modality.FL, resume=True)["logit_0"]
    assert len(started) == 4
    np.testing.assert_array_equal(again, fl)
    assert not list(tmp_path.rglob("*.ckpt"))
    assert len(list(tmp_path.rglob("calibration/fold-*/network.safetensors"))) == 4

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch", reason="needs glioscope[train]")

from glioscope.core import BUILT_IN_TASKS, Threshold
from glioscope.models import FoldData, TrainSettings, ordinal_targets
from glioscope.models._certainty import fit_certainty, probabilities
from glioscope.stats import abstention_band, fit_calibration

AT_ZERO = Threshold(logit=(0.0,), rule="fixed", chosen_on="fixed")


def scored(n_outputs=1, n_patients=12, each=15, seed=0):
    """Fold data without images, and logits of all but the first specimen, in another order."""
    rng = np.random.default_rng(seed)
    patients = np.repeat([f"P{k}" for k in range(n_patients)], each).astype(object)
    levels = rng.integers(0, n_outputs + 1, patients.size).astype(float)
    names = np.array([f"S{i}" for i in range(patients.size)], object)
    data = FoldData(None, names, patients, np.full(patients.size, "train", object), ordinal_targets(levels, n_outputs))
    rows = rng.permutation(np.arange(1, patients.size))
    logits = pd.DataFrame({"specimen_id": names[rows], "patient_id": patients[rows], "split": "train"})
    for k in range(n_outputs):
        logits[f"logit_{k}"] = 2 * (levels[rows] > k) - 1 + rng.normal(0, 1, rows.size)
    return data, logits, levels[rows]


def test_two_classes_get_a_calibration_and_a_band_from_the_logits_of_their_specimens():
    data, logits, y = scored()
    found = fit_certainty(BUILT_IN_TASKS["tumor"], logits, data, AT_ZERO, 0.15)
    score, patients = logits["logit_0"].to_numpy(), logits["patient_id"].to_numpy()
    assert found.calibration == (fit_calibration(y, score, patients),)
    expected = abstention_band(
        y, score, patients, threshold=0.0, miscoverage=0.15, class_names=("non-tumour", "tumour")
    )
    assert found.abstention == expected


def test_ordered_levels_get_one_calibration_an_output_and_no_band():
    data, logits, levels = scored(n_outputs=3)
    found = fit_certainty(BUILT_IN_TASKS["grade4"], logits, data, AT_ZERO, 0.15)
    assert found.abstention is None
    assert len(found.calibration) == 3
    for k, one in enumerate(found.calibration):
        assert one == fit_calibration(levels > k, logits[f"logit_{k}"], logits["patient_id"])


@pytest.mark.parametrize("rows", [slice(0, 0), "one patient", "one class"])
def test_too_few_scores_give_nothing(rows):
    data, logits, y = scored()
    keep = (
        {"one patient": logits["patient_id"] == "P3", "one class": y == 1}.get(rows) if isinstance(rows, str) else rows
    )
    found = fit_certainty(BUILT_IN_TASKS["tumor"], logits[keep], data, AT_ZERO, 0.15)
    assert (found.calibration, found.abstention) == ((), None)


def test_probabilities_are_those_of_the_record():
    data, logits, _ = scored()
    (one,) = fit_certainty(BUILT_IN_TASKS["tumor"], logits, data, AT_ZERO, 0.1).calibration
    at = np.array([-3.0, 0.0, 40.0])
    assert probabilities(at, one).tolist() == [one.probability(x)[0] for x in at]


@pytest.mark.parametrize(("strategy", "folds"), [("probe", 5), ("finetune", 3)])
def test_the_number_of_folds_depends_on_what_one_costs(strategy, folds):
    assert TrainSettings(strategy=strategy).n_calibration_folds == folds
    assert TrainSettings(strategy=strategy, calibration_folds=2).n_calibration_folds == 2
    assert TrainSettings(strategy=strategy, calibration_folds=0).n_calibration_folds == 0
    with pytest.raises(ValueError, match="give 0 or at least 2"):
        TrainSettings(calibration_folds=1)

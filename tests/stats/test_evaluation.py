import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from glioscope.core import InputError
from glioscope.stats import evaluate_predictions


def table(n=200, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    score = rng.normal(y, 1.0)
    return pd.DataFrame(
        {
            "patient_id": [f"p{i % 8}" for i in range(n)],
            "specimen_id": [f"s{i}" for i in range(n)],
            "task": "tumor",
            "model": "fl-probe",
            "split": ["test" if i % 4 else "tune" for i in range(n)],
            "fold": 0,
            "y_true": y,
            "y_score": 1 / (1 + np.exp(-score)),
            "decision": np.where(score > 0.5, "positive", "negative"),
        }
    )


def test_only_test_rows_count_and_the_auc_is_theirs():
    rows = table()
    entry = evaluate_predictions(rows)["protocols"]["strict"]["tasks"]["tumor"]
    test = rows[rows["split"] == "test"]
    values = entry["models"]["fl-probe"]
    assert values["auc"]["value"] == pytest.approx(roc_auc_score(test["y_true"], test["y_score"]), abs=1e-12)
    assert values["auc"]["low"] < values["auc"]["value"] < values["auc"]["high"]
    assert sum(values["counts"].values()) == len(test) == entry["n_specimens"]
    assert entry["n_patients"] == test["patient_id"].nunique()


def test_unknown_labels_are_left_out():
    rows = table()
    rows["y_true"] = rows["y_true"].astype("Int64")
    rows.loc[rows.index % 3 == 0, "y_true"] = pd.NA
    entry = evaluate_predictions(rows)["protocols"]["strict"]["tasks"]["tumor"]
    assert entry["n_specimens"] == int((rows["split"].eq("test") & rows["y_true"].notna()).sum())


def test_ordinal_task_has_kappa():
    rows = table()
    rng = np.random.default_rng(1)
    rows["y_true"] = rng.integers(0, 4, len(rows))
    rows["y_score"] = np.clip(rows["y_true"] / 3 + rng.normal(0, 0.2, len(rows)), 0, 1)
    values = evaluate_predictions(rows)["protocols"]["strict"]["tasks"]["tumor"]["models"]["fl-probe"]
    test = rows[rows["split"] == "test"]
    expected = cohen_kappa_score(test["y_true"], np.rint(test["y_score"] * 3).astype(int), weights="quadratic")
    assert values["quadratic_kappa"]["value"] == pytest.approx(expected)


def test_one_class_gives_no_auc_instead_of_a_wrong_one():
    rows = table()
    rows["y_true"] = 1
    values = evaluate_predictions(rows)["protocols"]["strict"]["tasks"]["tumor"]["models"]["fl-probe"]
    assert values["auc"] is None
    assert "specificity" not in values


def test_no_test_rows_is_an_error():
    with pytest.raises(InputError, match="no test row"):
        evaluate_predictions(table().assign(split="tune"))

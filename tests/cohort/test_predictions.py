import numpy as np
import pandas as pd
import pytest

from glioscope.cohort import PREDICTION_COLUMNS, read_predictions, write_predictions
from glioscope.core import InputError, ManifestError
from glioscope.stats import auc


def frame(**changes):
    table = pd.DataFrame(
        {
            "patient_id": ["007", "007", "8"],
            "specimen_id": ["1", "2", "3"],
            "task": "tumor",
            "model": "fl",
            "split": ["train", "tune", "test"],
            "fold": pd.array([0, 0, pd.NA], dtype="Int64"),
            "y_true": [1.0, 0.0, np.nan],
            "y_score": [0.1 + 0.2, 1e-300, 1.0],
            "decision": ["positive", "negative", ""],
            "level": pd.array([2, pd.NA, 0], dtype="Int64"),
            "note": ["a, b", "", "c"],
        }
    )
    return table.assign(**changes)


def test_written_predictions_read_back_bit_for_bit(tmp_path):
    path = tmp_path / "predictions.csv"
    write_predictions(path, frame())
    back = read_predictions(path)
    assert list(back.columns) == [*PREDICTION_COLUMNS, "note"]
    np.testing.assert_array_equal(back["y_score"], frame()["y_score"])
    np.testing.assert_array_equal(back["y_true"], frame()["y_true"])
    assert list(back["patient_id"]) == ["007", "007", "8"]
    assert back["fold"].isna().tolist() == [False, False, True]
    assert back["y_probability"].isna().all()
    assert back["level"].astype("object").where(back["level"].notna(), None).tolist() == [2, None, 0]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"y_score": [0.5, 1.5, 0.2]}, "row 3, y_score: '1.5' is no score"),
        ({"y_score": [0.5, np.nan, 0.2]}, "row 3, y_score: is no score"),
        ({"y_true": [0.5, 0, 1]}, "row 2, y_true: '0.5' is no label"),
        ({"split": ["train", "dev", "test"]}, "row 3, split: 'dev'"),
        ({"decision": ["yes", "", ""]}, "row 2, decision: 'yes'"),
        ({"fold": [0, 1.5, 2]}, "row 3, fold: '1.5'"),
        ({"level": ["2", "II", "3"]}, "row 3, level: 'II' is no level"),
        ({"task": ["tumor", "", "tumor"]}, "row 3, task"),
        ({"task": ["tumor", "../x", "tumor"]}, "row 3, task: '../x' is no task name"),
        ({"task": ["tumor", "Tumor", "tumor"]}, "row 3, task: 'Tumor' is no task name"),
        ({"model": ["fl", "f\nl", "fl"]}, "row 3, model: 'f\\nl' has a control character"),
        ({"specimen_id": ["1", "2", "2"], "patient_id": ["007", "007", "8"]}, "differs from 007"),
        ({"specimen_id": "1", "patient_id": "p", "split": "test", "fold": 0}, "predicted twice"),
    ],
)
def test_wrong_values_are_refused_and_nothing_is_written(tmp_path, changes, sentence):
    path = tmp_path / "predictions.csv"
    with pytest.raises(ManifestError) as caught:
        write_predictions(path, frame(**changes))
    assert sentence in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_missing_columns(tmp_path):
    with pytest.raises(InputError, match="lack y_score"):
        write_predictions(tmp_path / "p.csv", frame().drop(columns="y_score"))
    (tmp_path / "p.csv").write_text("patient_id,specimen_id\na,b\n")
    with pytest.raises(ManifestError, match="required column that is missing"):
        read_predictions(tmp_path / "p.csv")


def test_published_scores_of_real_images(shared):
    table = read_predictions(shared / "data" / "tcell" / "peer_predictions.csv")
    assert set(table["split"]) == {"test"}
    tuned = table[(table["model"] == "inception-v3-finetuned") & (table["patient_id"] != "donor-4")]
    areas = [auc(part["y_true"], part["y_score"]) for _, part in tuned.groupby("patient_id")]
    np.testing.assert_allclose(areas, [0.8595, 0.9456, 0.9899, 0.9021, 0.9830], atol=5e-5)

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from glioscope.core import InputError
from glioscope.stats import (
    clopper_pearson,
    clustered_proportion,
    counts,
    evaluate_predictions,
    evaluate_task,
    protocols,
    unanswered_counts,
)
from tests.report.studies import decided, folded, predictions


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


def test_every_model_says_on_how_many_specimens_it_was_judged():
    rows = table()
    fewer = rows[rows.index % 3 == 0].assign(model="wl-probe")
    models = evaluate_predictions(pd.concat([rows, fewer]))["protocols"]["strict"]["tasks"]["tumor"]["models"]
    assert models["fl-probe"]["n_specimens"] == 150
    assert models["wl-probe"]["n_specimens"] == int((fewer["split"] == "test").sum())
    assert models["wl-probe"]["n_patients"] == fewer.loc[fewer["split"] == "test", "patient_id"].nunique()


def test_intervals_at_the_threshold_are_by_patient_and_f1_names_its_prevalence():
    rows = table().assign(split="test")
    rows["patient_id"] = (rows["decision"] == "positive").map({True: "a", False: "b"}) + (rows.index % 2).astype(str)
    values = evaluate_predictions(rows)["protocols"]["strict"]["tasks"]["tumor"]["models"]["fl-probe"]
    positives = rows[rows["y_true"] == 1]
    right = positives["decision"] == "positive"
    expected = clustered_proportion(right, positives["patient_id"])
    assert values["sensitivity"]["value"] == pytest.approx(right.mean())
    assert (values["sensitivity"]["low"], values["sensitivity"]["high"]) == (expected.low, expected.high)
    naive = clopper_pearson(int(right.sum()), len(right))
    assert expected.high - expected.low > 2 * (naive.high - naive.low)
    assert values["f1"]["prevalence"] == pytest.approx((rows["y_true"] == 1).mean())


def test_folds_on_different_scales_are_compared_by_rank_among_their_tuning_specimens():
    parts = [table(seed=seed).assign(fold=seed) for seed in (0, 1)]
    parts[1]["specimen_id"] += "b"
    parts[1]["y_score"] = parts[1]["y_score"] ** 20  # the same order on another scale
    rows = pd.concat(parts, ignore_index=True)
    values = evaluate_predictions(rows)["protocols"]["strict"]["tasks"]["tumor"]["models"]["fl-probe"]
    within = list(values["by_fold"].values())
    test = rows[rows["split"] == "test"]
    assert values["auc"]["value"] == pytest.approx(np.mean(within), abs=0.02)
    assert roc_auc_score(test["y_true"], test["y_score"]) < np.mean(within) - 0.05
    assert "ranks among the tuning specimens" in values["auc"]["ci_method"]
    plain = evaluate_predictions(test)["protocols"]["strict"]["tasks"]["tumor"]["models"]["fl-probe"]["auc"]
    assert plain["value"] == pytest.approx(roc_auc_score(test["y_true"], test["y_score"]))
    assert "as they are" in plain["ci_method"]


def test_patients_of_one_class_each_left_out_one_by_one_keep_their_order():
    rng = np.random.default_rng(0)
    parts = []
    for fold in range(8):
        label = fold % 2
        test = pd.DataFrame({"patient_id": f"p{fold}", "split": "test", "y_true": label}, index=range(20))
        tune = pd.DataFrame({"patient_id": f"p{(fold + 1) % 8}", "split": "tune", "y_true": 1 - label}, index=range(20))
        part = pd.concat([test, tune, tune.assign(patient_id=f"p{(fold + 2) % 8}", y_true=label)])
        parts.append(part.assign(fold=fold, y_score=1 / (1 + np.exp(-rng.normal(2 * part["y_true"], 1.0)))))
    rows = pd.concat(parts, ignore_index=True).assign(task="grade", model="fl-probe")
    rows["specimen_id"] = [f"s{i}" for i in range(len(rows))]
    area = evaluate_predictions(rows)["protocols"]["strict"]["tasks"]["grade"]["models"]["fl-probe"]["auc"]["value"]
    assert area == pytest.approx(0.92, abs=0.05)  # two normal distributions 2 apart: 0.921


def ordinal_table():
    rng = np.random.default_rng(1)
    rows = table().assign(task="grade4", decision="")
    rows["y_true"] = rng.integers(0, 4, len(rows))
    rows["y_score"] = np.clip(rows["y_true"] / 3 + rng.normal(0, 0.2, len(rows)), 0, 1)
    return rows.assign(level=rng.integers(0, 4, len(rows)))


LEVELS = {"grade4": ("1", "2", "3", "4")}


def test_kappa_of_an_ordinal_task_is_of_the_level_it_answers():
    rows = ordinal_table()
    entry = evaluate_predictions(rows, LEVELS)["protocols"]["strict"]["tasks"]["grade4"]
    test = rows[rows["split"] == "test"]
    expected = cohen_kappa_score(test["y_true"], test["level"], weights="quadratic")
    assert entry["models"]["fl-probe"]["quadratic_kappa"]["value"] == pytest.approx(expected)
    assert entry["levels"] == ["1", "2", "3", "4"]


def test_an_ordinal_task_stays_one_where_only_its_two_lowest_levels_were_seen():
    rows = ordinal_table()
    rows = rows[rows["y_true"] < 2]
    entry = evaluate_predictions(rows, LEVELS)["protocols"]["strict"]["tasks"]["grade4"]["models"]["fl-probe"]
    test = rows[rows["split"] == "test"]
    assert entry["auc"]["value"] == pytest.approx(roc_auc_score(test["y_true"], test["y_score"]))
    assert "quadratic_kappa" in entry
    assert "sensitivity" not in entry


def test_labels_above_the_highest_level_are_refused():
    with pytest.raises(InputError, match="task grade4 has the label 3; its 2 levels are 0 to 1"):
        evaluate_predictions(ordinal_table())
    with pytest.raises(InputError, match="its 3 levels are 0 to 2"):
        evaluate_predictions(ordinal_table(), {"grade4": "123"})


@pytest.mark.parametrize("levels", [None, LEVELS])
def test_a_task_without_a_known_label_has_an_empty_entry(levels):
    rows = pd.concat([table(), ordinal_table()])
    rows["y_true"] = rows["y_true"].astype("Int64")
    rows.loc[rows["task"] == "grade4", "y_true"] = pd.NA
    tasks = evaluate_predictions(rows, levels)["protocols"]["strict"]["tasks"]
    assert tasks["grade4"]["models"] == {}
    assert tasks["grade4"]["n_specimens"] == 0
    assert "fl-probe" in tasks["tumor"]["models"]


def test_one_class_gives_no_auc_instead_of_a_wrong_one():
    rows = table()
    rows["y_true"] = 1
    values = evaluate_predictions(rows)["protocols"]["strict"]["tasks"]["tumor"]["models"]["fl-probe"]
    assert values["auc"] is None
    assert "specificity" not in values


def test_no_test_rows_is_an_error():
    with pytest.raises(InputError, match="no test row"):
        evaluate_predictions(table().assign(split="tune"))


def test_no_answer_counts_as_wrong_under_intention_to_diagnose():
    rows = decided(predictions(), indeterminate=0.2, not_assessable=0.1)
    values = evaluate_predictions(rows)["protocols"]["strict"]["tasks"]["tumor"]["models"]["fl-finetune"]
    test = rows.query("task == 'tumor' and model == 'fl-finetune' and split == 'test'")
    right = test["decision"].map({"positive": 1.0, "negative": 0.0}) == test["y_true"]
    answered = test["decision"].isin(["positive", "negative"])
    assert 90 < answered.sum() < 120
    wrong = values["intention_to_diagnose"]
    assert (wrong["n_indeterminate"], wrong["n_not_assessable"]) == tuple(
        (test["decision"] == name).sum() for name in ("indeterminate", "not_assessable")
    )
    assert values["accuracy"]["value"] == pytest.approx(right[answered].mean())
    assert wrong["accuracy"]["value"] == pytest.approx(right.mean())
    assert wrong["sensitivity"]["value"] == pytest.approx(right[test["y_true"] == 1].mean())
    assert wrong["specificity"]["value"] == pytest.approx(right[test["y_true"] == 0].mean())
    assert "auc" not in wrong
    assert sum(values["counts"].values()) == answered.sum()
    assert values["f1"]["prevalence"] == pytest.approx(test["y_true"][answered].mean())


def test_only_specimens_without_a_call_count_as_unanswered():
    rows = decided(predictions(), indeterminate=0.2)
    for protocol in protocols("both"):
        method = evaluate_task(rows, "tumor", protocol).methods["fl-finetune"]
        assert sum(counts(method).values()) + unanswered_counts(method)["n_indeterminate"] == 150
        assert unanswered_counts(replace(method, calls=method.y_true)) == {"n_indeterminate": 0, "n_not_assessable": 0}


def test_auc_within_patients_and_folds_is_that_of_scikit_learn():
    rows = folded()
    entry = evaluate_predictions(rows)["protocols"]["strict"]["tasks"]["grade"]["models"]["fl-finetune"]
    test = rows.query("task == 'grade' and model == 'fl-finetune' and split == 'test' and y_true >= 0")
    for name, column in (("by_patient", "patient_id"), ("by_fold", "fold")):
        both = {str(k): of for k, of in test.groupby(column) if of["y_true"].nunique() == 2}
        assert entry[name] == pytest.approx({k: roc_auc_score(of["y_true"], of["y_score"]) for k, of in both.items()})
        assert len(both) > 1


@pytest.mark.parametrize("name", ["strict", "paper"])
@pytest.mark.parametrize(
    "rows",
    [
        table(),
        table().assign(y_true=1),
        table().assign(y_score=0.5, decision=""),
        table().assign(patient_id="p", split="test"),
        table().assign(decision="indeterminate"),
    ],
    ids=["plain", "one class", "constant", "one patient", "no answers"],
)
def test_metrics_are_strict_json(rows, name):
    entry = evaluate_predictions(rows, protocol=protocols(name)[0])
    assert json.loads(json.dumps(entry, allow_nan=False)) == entry


def test_each_level_against_the_rest_is_the_auc_of_scikit_learn():
    rows = ordinal_table()
    scores = np.random.default_rng(2).dirichlet(np.ones(4), len(rows)) + 0.3 * np.eye(4)[rows["y_true"]]
    for k in range(4):
        rows[f"level_probability_{k}"] = scores[:, k] / 1.3
    values = evaluate_predictions(rows, LEVELS)["protocols"]["strict"]["tasks"]["grade4"]["models"]["fl-probe"]
    test = rows[rows["split"] == "test"]
    for k in range(4):
        found = values[f"auc_level_{k}_against_rest"]
        assert found["value"] == pytest.approx(roc_auc_score(test["y_true"] == k, test[f"level_probability_{k}"]))
        assert found["low"] < found["value"] < found["high"]
    cuts = [roc_auc_score(test["y_true"] > k, test["y_score"]) for k in range(3)]
    assert values["auc"]["value"] == pytest.approx(np.mean(cuts))

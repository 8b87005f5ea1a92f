import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from tests.report.studies import decided, folded, predictions, shuffled

from glioscope.report._analysis import analyse
from glioscope.report._cascade import ANSWERS, TRUTHS, answering_model, run_cascade, with_unlabelled
from glioscope.stats import Strict, clustered_proportion, counts, evaluate_task, protocols

LATER = ("grade", "ki67")
MODELS = ("fl-finetune", "wl-finetune")


def cascade_of(table, protocol="strict", **options):
    analysis = analyse(table, protocol=protocol, **options)
    return analysis.cascades[protocol], analysis.by_protocol[protocol]


def answers_of(table, task, analysis, model):
    """Specimen -> what the model says at the protocol's threshold, computed from the table and the threshold alone."""
    test = table[(table["task"] == task) & (table["model"] == model) & (table["split"] == "test")]
    method = analysis[task].result.methods[model]
    at, said = method.operating.thresholds, {}
    for row in test.itertuples():
        threshold = at.get(row.fold, at.get(-1))
        said[row.specimen_id] = "positive" if row.y_score >= threshold else "negative"
        if row.decision in ("indeterminate", "not_assessable"):
            said[row.specimen_id] = row.decision
    labels = test.set_index("specimen_id")["y_true"].map({1.0: "positive", 0.0: "negative"}).fillna("unknown")
    return said, labels.to_dict()


@pytest.mark.parametrize("protocol", ["strict", "paper"])
@pytest.mark.parametrize("share", [0.0, 0.2], ids=["all answered", "some unanswered"])
@pytest.mark.parametrize("given", [None, 0.45])
def test_every_count_is_that_of_walking_through_the_cascade_specimen_by_specimen(protocol, share, given):
    table = predictions(models=MODELS)
    if share:
        table = decided(table, indeterminate=share, not_assessable=0.05)
        given = given or 0.5
    cascade, analysis = cascade_of(table, protocol, thresholds=None if given is None else {"": given})
    first, truth = answers_of(table, "tumor", analysis, cascade.first.model)
    expected = {t: dict.fromkeys(ANSWERS, 0) for t in TRUTHS}
    for specimen, answer in first.items():
        expected[truth[specimen]][answer] += 1
    assert cascade.first.table == expected
    positive = [s for s, answer in first.items() if answer == "positive"]
    for task in LATER:
        said, graded = answers_of(table, task, analysis, cascade.later[task].model)
        later = {t: dict.fromkeys(ANSWERS, 0) for t in TRUTHS}
        intruders = dict.fromkeys(ANSWERS, 0)
        for specimen in positive:
            if truth[specimen] == "positive":
                later[graded[specimen]][said[specimen]] += 1
            else:
                intruders[said[specimen]] += 1
        assert cascade.later[task].table == later
        assert cascade.intruders[task] == intruders
        missed = [graded[s] for s, answer in first.items() if answer == "negative" and truth[s] == "positive"]
        assert cascade.missed == len(missed)
        assert cascade.missed_by[task] == {t: missed.count(t) for t in TRUTHS}
        known = [s for s in first if graded[s] != "unknown"]
        right = [first[s] == "positive" and said[s] == graded[s] for s in known]
        found = cascade.end_to_end[f"{task}, intention to diagnose"]
        interval = clustered_proportion(right, [s[:3] for s in known])
        assert (found.value, found.low, found.high) == pytest.approx((np.mean(right), interval.low, interval.high))


@pytest.mark.parametrize("protocol", ["strict", "paper"])
@pytest.mark.parametrize(
    "table",
    [
        predictions(models=MODELS),
        folded(models=MODELS),
        decided(predictions(models=MODELS), indeterminate=0.2, not_assessable=0.1),
    ],
)
def test_specimens_are_conserved_and_agree_with_the_tables_of_the_tasks(protocol, table):
    cascade, analysis = cascade_of(table, protocol)
    first = analysis["tumor"].result.methods[cascade.first.model]
    stage = cascade.first
    assert stage.total() == cascade.paths.total() == cascade.n_specimens == 150
    t = stage.table
    assert counts(first) == {
        "tp": t["positive"]["positive"],
        "fp": t["negative"]["positive"],
        "tn": t["negative"]["negative"],
        "fn": t["positive"]["negative"],
    }
    assert cascade.missed == t["positive"]["negative"]
    for task, later in cascade.later.items():
        assert later.total() == t["positive"]["positive"]
        assert sum(cascade.intruders[task].values()) == t["negative"]["positive"]
        assert sum(cascade.missed_by[task].values()) == cascade.missed
    asked = sum(n for path, n in cascade.paths.items() if path[2] is not None)
    assert asked == stage.total(answer="positive")
    assert all((path[1] == "positive") == (path[2] is not None) == (path[3] is not None) for path in cascade.paths)


def test_a_threshold_given_for_raw_scores_is_not_held_against_ranks():
    table = folded(models=MODELS)
    cascade, analysis = cascade_of(table, thresholds={"": 0.3})
    table_of_task = counts(analysis["tumor"].result.methods[cascade.first.model])
    assert table_of_task["tp"] == cascade.first.table["positive"]["positive"] > 0
    method = with_unlabelled(table, analysis["grade"].result, "fl-finetune")
    np.testing.assert_array_equal(method.calls, method.raw_score >= 0.3)


def test_specimens_without_a_tumour_label_do_not_count_and_unlabelled_grades_do():
    table = predictions(models=MODELS)
    masked = table["specimen_id"].str.endswith("7")
    table.loc[masked & (table["task"] == "tumor"), "y_true"] = np.nan
    cascade, _ = cascade_of(table)
    assert cascade.n_specimens == table.loc[~masked & (table["split"] == "test"), "specimen_id"].nunique()
    assert cascade.later["grade"].total(truth="unknown") > 10


def test_a_specimen_that_a_later_network_never_saw_has_no_answer_there():
    table = predictions(models=MODELS)
    gone = table["specimen_id"].str.endswith("7") & (table["task"] == "grade")
    cascade, _ = cascade_of(table[~gone])
    lost = sum(n for path, n in cascade.paths.items() if path[2] == "no answer")
    first = cascade.first.total(answer="positive")
    assert cascade.later["grade"].total() + sum(cascade.intruders["grade"].values()) == first - lost
    assert 0 < lost < 20


def test_specimens_of_several_folds_go_their_way_fold_by_fold():
    first, second = predictions(models=MODELS[:1]), predictions(models=MODELS[:1])
    second = second.assign(fold=1, y_score=1 - second["y_score"] ** 2).astype(first.dtypes)
    both, *alone = (cascade_of(table)[0] for table in (pd.concat([first, second], ignore_index=True), first, second))
    assert both.paths == alone[0].paths + alone[1].paths
    assert both.paths.total() == 300
    assert both.missed == alone[0].missed + alone[1].missed
    for name, found in both.end_to_end.items():
        assert found.value == pytest.approx(np.mean([cascade.end_to_end[name].value for cascade in alone]))


def test_the_answering_model_is_the_best_on_tuning_rows_and_never_on_test_rows():
    table = predictions(models=("fl-finetune", "good", "bad"))
    tune = (table["split"] == "tune") & (table["task"] == "tumor")
    table.loc[tune & (table["model"] == "good"), "y_score"] = table["y_true"] * 0.8 + 0.1
    table.loc[(table["split"] == "test") & (table["model"] == "good"), "y_score"] = 0.5
    result = evaluate_task(table, "tumor", Strict())
    assert answering_model(result, "fl-finetune") == "good"
    rows = table[tune & (table["model"] == "bad")]
    assert roc_auc_score(rows["y_true"], rows["y_score"]) < 1
    untuned = evaluate_task(table[table["split"] == "test"], "tumor", Strict())
    assert answering_model(untuned, "fl-finetune") == "fl-finetune"


def test_the_order_of_rows_does_not_matter():
    table = decided(predictions(models=MODELS), indeterminate=0.1)
    assert cascade_of(shuffled(table))[0].to_json() == cascade_of(table)[0].to_json()


def test_there_is_no_cascade_without_calls_or_without_the_tumour_task():
    assert analyse(predictions(n_tune=0, models=MODELS)).cascades == {}
    assert analyse(predictions(models=MODELS, tasks=LATER)).cascades == {}
    strict, paper = protocols("both")
    table = predictions(n_tune=0, models=MODELS)
    for protocol, expected in ((strict, False), (paper, True)):
        results = {task: evaluate_task(table, task, protocol) for task in ("tumor", *LATER)}
        found = run_cascade(table, results, dict.fromkeys(results, "fl-finetune"))
        assert (found is not None) == expected


def test_one_network_alone_is_a_cascade_as_well():
    cascade, _ = cascade_of(predictions(models=MODELS, tasks=("tumor", "ki67")))
    assert set(cascade.later) == {"ki67"}
    assert all(len(path) == 3 for path in cascade.paths)
    alone, _ = cascade_of(predictions(models=MODELS, tasks=("tumor",)))
    assert (alone.later, alone.intruders, alone.missed_by) == ({}, {}, {})


@pytest.mark.parametrize(
    "table", [predictions(patients=1, models=MODELS), predictions(models=MODELS).assign(y_score=0.5)]
)
def test_one_patient_and_constant_scores_give_strict_json(table):
    found = cascade_of(table)[0].to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found

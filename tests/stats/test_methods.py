from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from glioscope.stats import model_methods, paired
from tests.report.studies import decided, folded, predictions, shuffled

RULE = "youden"


def method_of(table, task="tumor", model="fl-finetune", **options):
    return model_methods(table, task, rule=RULE, **options)[model]


def rows_of(table, split="test", task="tumor", model="fl-finetune"):
    own = table[(table["task"] == task) & (table["model"] == model) & (table["split"] == split)]
    return own[own["y_true"].notna()].sort_values(["specimen_id", "fold"])


def best_youden(rows):
    """Brute force: the highest sensitivity + specificity of all cuts between neighbouring scores."""
    scores = np.unique(rows["y_score"])
    cuts = [scores[0], *((scores[1:] + scores[:-1]) / 2)]
    true = rows["y_true"] == 1
    gains = [(rows["y_score"] >= c)[true].mean() - (rows["y_score"] >= c)[~true].mean() for c in cuts]
    return cuts[int(np.argmax(gains))]


def same(a, b):
    for field in fields(a):
        first, second = getattr(a, field.name), getattr(b, field.name)
        if isinstance(first, np.ndarray):
            np.testing.assert_array_equal(first, second)
        elif field.name != "tuning":
            assert first == second


def test_a_given_threshold_goes_before_decisions_and_those_before_tuning_rows():
    tuned, with_decisions = predictions(), decided(predictions(), 0.7)
    untuned = tuned[tuned["split"] == "test"]
    for table, threshold, rule, chosen_on, at in (
        (with_decisions, 0.2, "fixed", "given", 0.2),
        (with_decisions, None, "decision column", "locked before (decision column)", 0.7),
        (tuned, None, RULE, "tune", best_youden(rows_of(tuned, "tune"))),
    ):
        method = method_of(table, threshold=threshold)
        assert (method.operating.rule, method.operating.chosen_on) == (rule, chosen_on)
        np.testing.assert_array_equal(method.calls, rows_of(table)["y_score"] >= at)
    silent = method_of(untuned)
    assert silent.operating is None
    assert np.isnan(silent.calls).all()


def test_decisions_that_follow_from_the_tuned_threshold_are_said_to():
    table = predictions(tasks=("tumor",), models=("fl-finetune",))
    method = method_of(decided(table, best_youden(rows_of(table, "tune")), indeterminate=0.1))
    assert method.operating.chosen_on == "tune, as in the decision column"
    assert method.operating.to_json()["threshold"] == pytest.approx(best_youden(rows_of(table, "tune")))
    assert np.isnan(method.calls).sum() == (method.answers == "indeterminate").sum() > 0


def test_the_threshold_of_decisions_is_found_again_and_none_where_they_are_no_cut_of_the_score():
    table = decided(predictions(), 0.7)
    scores = rows_of(table)["y_score"]
    found = method_of(table).operating.to_json()["threshold"]
    assert scores[scores < 0.7].max() < found < scores[scores >= 0.7].min()
    table.loc[rows_of(table)["y_score"].idxmax(), "decision"] = "negative"
    mixed = method_of(table)
    assert mixed.operating.to_json() == {
        "rule": "decision column",
        "threshold": None,
        "chosen_on": "locked before (decision column)",
    }
    assert mixed.calls[mixed.y_score.argmax()] == 0


def test_a_partly_blank_decision_column_counts_as_none():
    table = decided(predictions())
    table.loc[rows_of(table).index[3], "decision"] = ""
    assert method_of(table).operating.chosen_on == "tune"


def test_no_answer_stays_none_at_a_given_threshold():
    method = method_of(decided(predictions(), indeterminate=0.2, not_assessable=0.1), threshold=0.5)
    silent = np.isin(method.answers, ("indeterminate", "not_assessable"))
    np.testing.assert_array_equal(method.answered, ~silent)
    assert 20 < silent.sum() < 70


def test_scores_of_folds_become_mid_ranks_among_their_own_tuning_specimens_and_keep_their_order():
    table = folded()
    table["y_score"] = table["y_score"].round(2)  # ties, and scores that tuning specimens have too
    method = method_of(table)
    tune, met = rows_of(table, "tune"), 0
    for raw, score, fold in zip(method.raw_score, method.y_score, method.fold, strict=True):
        own = tune.loc[tune["fold"] == fold, "y_score"]
        assert abs(score - stats.percentileofscore(own, raw, "mean") / 100) < 0.5 * (own == raw).sum() / own.size + 0.05
        if (own == raw).any():
            assert score == pytest.approx(stats.percentileofscore(own, raw, "mean") / 100)
            met += 1
    assert met > 20
    for fold in set(method.fold):
        raw, score = method.raw_score[method.fold == fold], method.y_score[method.fold == fold]
        np.testing.assert_array_equal(stats.rankdata(score), stats.rankdata(raw))
    np.testing.assert_array_equal(method.raw_score, rows_of(table)["y_score"])
    assert "ranks among the tuning specimens" in method.scale


def test_each_fold_has_the_threshold_of_its_own_tuning_specimens():
    table = folded()
    method = method_of(table)
    tune, test = rows_of(table, "tune"), rows_of(table)
    at = {fold: best_youden(of) for fold, of in tune.groupby("fold")}
    np.testing.assert_array_equal(method.calls, test["y_score"] >= test["fold"].map(at).astype(float))
    shown = method.operating.to_json()
    assert shown["threshold"] is None
    assert shown["thresholds"] == pytest.approx({str(fold): value for fold, value in at.items()})


def test_folds_without_tuning_rows_keep_their_scores_and_say_so():
    table = folded(tune=False)
    method = method_of(table)
    np.testing.assert_array_equal(method.y_score, rows_of(table)["y_score"])
    assert method.scale == "; scores of several folds as they are"
    assert method.operating is None


@pytest.mark.parametrize("table", [predictions(), folded(), decided(predictions(), indeterminate=0.1)])
def test_the_order_of_rows_does_not_matter(table):
    for labelled in (True, False):
        same(method_of(table, "grade", labelled=labelled), method_of(shuffled(table), "grade", labelled=labelled))


def test_specimens_of_several_folds_are_in_the_order_of_their_folds_whatever_that_of_the_rows():
    table = pd.concat([folded(), folded(1).assign(fold=lambda rows: rows["fold"] + 3)], ignore_index=True)
    table["patient_id"] = table["specimen_id"].str[:3]
    method = method_of(shuffled(table))
    assert method.key.tolist() == sorted(method.key)
    same(method, method_of(table))


def test_specimens_without_a_label_are_kept_on_demand_and_change_no_threshold_and_no_call():
    table = decided(predictions(), 0.6)
    blank = table["y_true"].isna()
    assert (blank & (table["split"] == "test") & (table["task"] == "grade")).sum() > 50
    for variant in (table, table.assign(decision=table["decision"].where(~blank, "")), predictions()):
        known, everyone = (method_of(variant, "grade", labelled=labelled) for labelled in (True, False))
        assert everyone.n_specimens == 150 > known.n_specimens
        assert everyone.operating == known.operating
        again = everyone.take(~np.isnan(everyone.y_true))
        np.testing.assert_array_equal(again.specimens, known.specimens)
        np.testing.assert_array_equal(again.calls, known.calls)


def test_models_stand_in_the_order_of_the_table_and_those_without_a_label_are_left_out():
    table = predictions(models=("zeta", "alpha", "none"))
    table.loc[table["model"] == "none", "y_true"] = np.nan
    assert list(model_methods(table, "tumor", rule=RULE)) == ["zeta", "alpha"]


def test_pairing_takes_what_both_have_in_one_order():
    table = predictions()
    test = rows_of(table)["specimen_id"]
    gone = table["specimen_id"].isin(test[::3]) & (table["model"] == "fl-probe")
    methods = model_methods(table[~gone], "tumor", rule=RULE)
    a, b = paired(methods["fl-finetune"], methods["fl-probe"])
    assert a.specimens.tolist() == b.specimens.tolist() == test[~test.isin(test[::3])].tolist()
    assert paired(a, b) == (a, b)


def test_a_model_of_one_fold_is_paired_with_that_fold_of_a_model_of_several():
    table = predictions(models=("fl-finetune",)).assign(fold=lambda rows: rows["fold"] + 1)
    several = pd.concat([table.assign(fold=fold, model="several") for fold in (0, 1)])
    several.loc[several["fold"] == 0, "y_score"] = 0.5
    methods = model_methods(pd.concat([table, several.astype(table.dtypes)]), "tumor", rule=RULE)
    a, b = paired(methods["fl-finetune"], methods["several"])
    assert a.y_true.size == 150
    np.testing.assert_array_equal(a.raw_score, b.raw_score)


def test_taking_rows_takes_them_of_every_field():
    table = predictions(tasks=("grade4",))
    for k in range(3):
        table[f"level_probability_{k}"] = (table["y_score"] / (k + 1)).astype(str)
    method = method_of(table, "grade4")
    part = method.take(method.y_score > 0.5)
    assert 0 < part.y_true.size < method.y_true.size
    lengths = {
        name: len(getattr(part, name))
        for name in (f.name for f in fields(part))
        if name != "tuning"
        if isinstance(getattr(part, name), np.ndarray)
    }
    assert set(lengths.values()) == {part.y_true.size}
    np.testing.assert_allclose(part.level_probability, part.y_score[:, None] / [1, 2, 3])


def test_level_probabilities_are_read_as_far_as_they_are_complete():
    table = predictions(tasks=("grade4",)).assign(level_probability_0="0.25", level_probability_1="0.75")
    assert method_of(table, "grade4").level_probability.tolist()[0] == [0.25, 0.75]
    table.loc[rows_of(table, task="grade4").index[5], "level_probability_1"] = ""
    assert method_of(table, "grade4").level_probability.shape == (150, 1)
    assert method_of(predictions()).level_probability.shape == (150, 0)

from itertools import product

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from tests.report.studies import decided, folded, predictions, readings

from glioscope.report import _study_tables as made
from glioscope.report._analysis import analyse
from glioscope.report._published import TABLE_S1
from glioscope.report._tables import table_csv, table_html, table_latex
from glioscope.stats import Estimate

TABLE = decided(predictions(tasks=("tumor", "grade", "idh")), indeterminate=0.15, not_assessable=0.05)
READ = readings(TABLE)
SINGLE = predictions(tasks=("tumor",), models=("fl-finetune",))


@pytest.fixture(scope="module")
def analysis():
    return analyse(TABLE, readings=READ, protocol="both")


def records(table):
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def rows_of(task, model="fl-finetune"):
    rows = TABLE[(TABLE["task"] == task) & (TABLE["model"] == model) & (TABLE["split"] == "test")]
    return rows[rows["y_true"].notna()]


def test_tasks_stand_in_the_papers_tables_and_others_in_a_third():
    assert made.task_groups(("idh", "ki67", "tumor", "mine")) == {
        "table-1-tumor": ("tumor",),
        "table-2-grade-ki67": ("ki67",),
        "table-3-other": ("idh", "mine"),
    }
    assert [made.task_title(name) for name in ("tumor", "codel", "mine")] == ["Tumour", "1p/19q", "mine"]


def test_performance_is_of_models_and_of_mean_readers(analysis):
    (table,) = made.performance_tables("strict", "table-1-tumor", {"tumor": analysis.headline["tumor"]})
    rows = {row["Method"]: row for row in records(table)}
    assert list(rows) == ["fl-finetune", "fl-probe", "wl-finetune", "Reader mean (FL)", "Reader mean (WL)"]
    for model in ("fl-finetune", "fl-probe", "wl-finetune"):
        own = rows_of("tumor", model)
        assert rows[model]["AUC"].value == pytest.approx(roc_auc_score(own["y_true"], own["y_score"]))
        asked = own[own["decision"].isin(["positive", "negative"])]
        right = (asked["decision"] == "positive") == (asked["y_true"] == 1)
        assert rows[model]["Accuracy"].value == pytest.approx(right.mean())
    assert f"Tumour {rows_of('tumor')['y_true'].mean():.3f}" in table.notes[0]


def test_every_test_stands_once_in_a_table_of_differences(analysis):
    tables = made.difference_tables("strict", "table-1-tumor", {"tumor": analysis.headline["tumor"]})
    assert [table.name for table in tables] == ["table-1-tumor-differences-strict", "table-1-tumor-readers-strict"]
    tests = analysis.headline["tumor"].comparisons
    assert sum(len(table.rows) for table in tables) == len(tests) == 2 * 7 + 2 * 6 + 6 * 3
    for table in tables:
        for row in records(table):
            key = (row["A"], row["B"], row["Metric"], row["Family"])
            (test,) = [t for t in tests if (t.a, t.b, made.METRIC_TITLES[t.metric], t.family) == key]
            assert row["A - B"].value == test.comparison.difference
            shown = (row["P, two-sided"].value, row["P, one-sided"].value, row["P, Holm"].value)
            assert shown == (test.comparison.p_two_sided, test.comparison.p_one_sided, test.p_adjusted)


def test_thresholds_stand_with_the_counts_of_all_specimens(analysis):
    for protocol in ("strict", "paper"):
        for row in records(made.operating_table(protocol, analysis.by_protocol[protocol])):
            task = {"Tumour": "tumor", "Grade": "grade", "IDH": "idh"}[row["Task"]]
            own = rows_of(task, row["Model"])
            assert sum(row[name] for name in ("TP", "FP", "TN", "FN", "Indeterminate", "Not assessable")) == len(own)
            assert row["Indeterminate"] == (own["decision"] == "indeterminate").sum()
            if protocol == "strict":
                said, true = own["decision"] == "positive", own["y_true"] == 1
                assert (row["TP"], row["FP"]) == ((said & true).sum(), (said & ~true).sum())


def test_folds_have_all_their_thresholds_and_no_cut_is_named():
    rows = records(made.operating_table("strict", analyse(folded()).headline))
    assert len(rows[0]["Threshold"].split(", ")) == 3
    mixed = predictions(tasks=("tumor",))
    mixed["decision"] = np.where(mixed.index % 2 == 0, "positive", "negative")
    assert records(made.operating_table("strict", analyse(mixed).headline))[0]["Threshold"] == "not a cut of the score"
    assert made.operating_table("strict", analyse(predictions(n_tune=0)).headline).rows == ()


def test_intention_to_diagnose_counts_no_answer_as_wrong(analysis):
    for row in records(made.unanswered_table("strict", analysis.headline)):
        own = rows_of({"Tumour": "tumor", "Grade": "grade", "IDH": "idh"}[row["Task"]], row["Model"])
        right = own["decision"].map({"positive": 1.0, "negative": 0.0}) == own["y_true"]
        assert row["Accuracy"].value == pytest.approx(right.mean())
        assert row["Without answer"] == own["decision"].isin(["indeterminate", "not_assessable"]).sum()
    assert made.unanswered_table("strict", analyse(predictions(tasks=("tumor",))).headline) is None


def test_both_protocols_stand_side_by_side_with_the_same_auc(analysis):
    rows = records(made.side_by_side(analysis))
    for row in rows:
        if row["Metric"] == "AUC":
            assert row["strict"].value == pytest.approx(row["paper"].value)
            assert row["strict"].low != row["paper"].low
    assert len(rows) == 3 * 3 * 3
    assert made.side_by_side(analyse(predictions(tasks=("tumor",)))) is None


def test_published_points_stand_beside_the_primary_model(analysis):
    rows = made.five_ala_table("strict", analysis.headline["tumor"]).rows
    assert [row[0].split(",")[0] for row in rows] == ["5-ALA", "FL-CNN", "fl-finetune"]
    assert rows[0][1:3] == (TABLE_S1["5-ala"]["sensitivity"], TABLE_S1["5-ala"]["specificity"])
    assert len(made.five_ala_table("strict", analyse(predictions(n_tune=0)).headline["tumor"]).rows) == 2


def test_every_patient_stands_with_specimens_and_rates_of_the_primary_model(analysis):
    table = made.patient_table("tumor", analysis.headline["tumor"])
    rows = {row["Patient"]: row for row in records(table)}
    own = rows_of("tumor")
    assert list(rows) == sorted(own["patient_id"].unique())
    for patient, of in own.groupby("patient_id"):
        row = rows[patient]
        assert (row["Specimens"], row["Positive"]) == (len(of), of["y_true"].sum())
        if of["y_true"].nunique() == 2:
            assert row["AUC fl-finetune"] == pytest.approx(roc_auc_score(of["y_true"], of["y_score"]))
        else:
            assert row["AUC fl-finetune"] is None
        asked = of[of["decision"].isin(["positive", "negative"]) & (of["y_true"] == 1)]
        if len(asked):
            assert row["Sensitivity fl-finetune"] == pytest.approx((asked["decision"] == "positive").mean())
    areas = [row["AUC fl-finetune"] for row in rows.values() if row["AUC fl-finetune"] is not None]
    assert f"fl-finetune: mean within-patient AUC {np.mean(areas):.4f} over {len(areas)} patients" in table.notes[0]


def test_models_are_compared_within_patients_by_all_flips_of_signs(analysis):
    table = made.patient_table("tumor", analysis.headline["tumor"])
    pairs = [(row["AUC fl-finetune"], row["AUC wl-finetune"]) for row in records(table)]
    gaps = np.array([a - b for a, b in pairs if a is not None and b is not None])
    flips = np.array(list(product([1, -1], repeat=gaps.size)))
    pvalue = np.mean(np.abs(flips @ gaps) >= abs(gaps.sum()) - 1e-12)
    (note,) = [text for text in table.notes if text.startswith("fl-finetune less wl-finetune")]
    assert f"within {gaps.size} patients {gaps.mean():+.4f}: P = {pvalue:.4f}" in note
    assert not any("sign" in text for text in made.patient_table("t", analyse(SINGLE).headline["tumor"]).notes)


def test_the_cascade_table_adds_up_to_what_each_network_was_asked(analysis):
    stages, ends = made.cascade_tables("strict", analysis.cascades["strict"])
    answers = ("negative", "positive", "indeterminate", "not assessable", "no answer")
    asked = {}
    for row in records(stages):
        key = (row["Network"], row["Asked of"])
        asked[key] = asked.get(key, 0) + sum(row[name] for name in answers)
    first = next(row for row in records(stages) if (row["Network"], row["Truth"]) == ("Tumour", "positive"))
    other = next(row for row in records(stages) if (row["Network"], row["Truth"]) == ("Tumour", "negative"))
    assert asked["Tumour", "all test specimens"] == 150
    assert asked["Grade", "tumours that CNN 1 called tumour"] == first["positive"]
    assert asked["Grade", "non-tumours that CNN 1 called tumour"] == other["positive"]
    assert f"CNN 1 missed {first['negative']} tumours" in stages.notes[0]
    assert all(isinstance(row["Share right"], Estimate) for row in records(ends))


def test_calibration_and_design_have_a_row_for_each_of_their_parts(analysis):
    of = analysis.headline
    assert len(made.calibration_table("strict", of).rows) == sum(len(a.calibration) for a in of.values())
    assert len(made.design_table("strict", of).rows) == sum(len(a.design) for a in of.values()) == 9
    one = analyse(predictions(patients=1, tasks=("tumor",)))
    assert made.design_table("strict", one.headline) is None


def ordinal():
    rng = np.random.default_rng(0)
    table = predictions(tasks=("grade4",), models=("fl-finetune",))
    table["y_true"] = rng.integers(0, 3, len(table)).astype(float)
    scores = rng.dirichlet(np.ones(3), len(table)) * 0.7 + 0.3 * np.eye(3)[table["y_true"].astype(int)]
    for k in range(3):
        table[f"level_probability_{k}"] = scores[:, k].astype(str)
    return table.assign(level=pd.array(scores.argmax(1), dtype="Int64"), y_score=(scores @ [0, 0.5, 1]))


def test_ordered_levels_have_a_row_of_their_own_each():
    analysis = analyse(ordinal(), levels={"grade4": ("I", "II", "III")})
    (table,) = made.performance_tables("strict", "table-3-other", analysis.headline)
    assert [row["Level against the rest"] for row in records(table)] == [None, "I", "II", "III"]
    test = ordinal().query("split == 'test'")
    for k, row in enumerate(records(table)[1:]):
        area = roc_auc_score(test["y_true"] == k, test[f"level_probability_{k}"].astype(float))
        assert row["AUC"].value == pytest.approx(area)
    assert made.difference_tables("strict", "table-3-other", analysis.headline) == []
    assert made.calibration_table("strict", analysis.headline) is None


def test_all_tables_print_in_every_form_also_with_one_class(analysis):
    one = TABLE[(TABLE["split"] == "tune") | (TABLE["y_true"] == 1)]
    for found in (analysis, analyse(one, readings=READ, protocol="both")):
        for protocol, tasks in found.by_protocol.items():
            tables = [made.operating_table(protocol, tasks), made.unanswered_table(protocol, tasks)]
            tables += [made.calibration_table(protocol, tasks), made.design_table(protocol, tasks)]
            tables += [made.five_ala_table(protocol, tasks["tumor"]), made.side_by_side(found)]
            tables += made.cascade_tables(protocol, found.cascades[protocol])
            for name, names in made.task_groups(tasks).items():
                of = {task: tasks[task] for task in names}
                tables += made.performance_tables(protocol, name, of) + made.difference_tables(protocol, name, of)
                tables += [made.patient_table(task, tasks[task]) for task in names]
            for table in tables:
                assert {len(row) for row in table.rows} <= {len(table.columns)}
                assert table_csv(table) and table_latex(table) and table_html(table)

import pandas as pd
import pytest
from tests.report.studies import decided, folded, predictions

from glioscope.cohort import StudyInfo
from glioscope.report._analysis import analyse
from glioscope.report._warnings import input_warnings, sentences


def warned(table, part, **options):
    """The one warning that has these words, "" where none has."""
    found = [text for text in analyse(table, **options).warnings if part in text]
    assert len(found) < 2, found
    return "".join(found)


def study(*tests, name="main"):
    names = ("task", "a", "b", "metric")
    families = [{"name": name, "tests": [dict(zip(names, test, strict=True)) for test in tests]}]
    return StudyInfo.model_validate({"comparisons": {"families": families}})


PLAIN = predictions()
FEW = {"tasks": ("tumor",), "models": ("fl-probe", "wl-probe")}
MANY = predictions(patients=12, n=300, **FEW)


def test_tasks_with_the_same_warning_share_it():
    found = sentences([("a", "x"), ("b", "y"), ("c", "x"), ("a", "x"), ("", "z")])
    assert found == ["a, c: x", "b: y", "z"]


def test_few_patients_and_few_cases_are_counted():
    assert warned(PLAIN, "fewer than 10") == "tumor, grade, ki67: 7 test patients, fewer than 10"
    assert warned(MANY, "fewer than 10") == ""
    test = PLAIN.query("task == 'grade' and model == 'fl-probe' and split == 'test'")
    assert (test["y_true"] == 1).sum() < 20 < (test["y_true"] == 0).sum()
    n = int((test["y_true"] == 1).sum())
    assert f"grade: {n} GBM test specimens, fewer than 20" in analyse(PLAIN).warnings
    assert "one test patient" in warned(
        predictions(patients=1, tasks=("tumor",)), "nothing can be said of other patients"
    )


def test_missing_labels_are_counted_once_a_specimen():
    test = PLAIN.query("task == 'ki67' and model == 'fl-probe' and split == 'test'")
    n = int(test["y_true"].isna().sum())
    assert warned(PLAIN, f"ki67: {n} of 150") == f"ki67: {n} of 150 test specimens have no label and are left out"
    blank = PLAIN.assign(y_true=PLAIN["y_true"].where(PLAIN["task"] != "grade"))
    assert warned(blank, "the task is left out") == "grade: no test specimen has a known label; the task is left out"


def test_one_class_has_no_auc_and_constant_scores_tell_nothing():
    one = PLAIN[~((PLAIN["split"] == "test") & (PLAIN["task"] == "tumor") & (PLAIN["y_true"] == 0))]
    assert warned(one, "there is no AUC").endswith("test specimens are tumour; there is no AUC")
    flat = PLAIN.assign(y_score=PLAIN["y_score"].where(PLAIN["model"] != "fl-probe", 0.25))
    assert "tumor: all 150 scores of fl-probe are 0.25; it tells nothing" in analyse(flat).warnings
    single = PLAIN[(PLAIN["split"] == "tune") | (PLAIN["specimen_id"] == "p00-000")]
    assert warned(single, "tells nothing") == ""


def test_models_on_different_specimens_are_named_with_their_numbers():
    fewer = PLAIN[~((PLAIN["model"] == "wl-finetune") & PLAIN["specimen_id"].str.endswith("1"))]
    text = next(iter(w for w in analyse(fewer).warnings if w.startswith("tumor: models were scored")))
    assert "(fl-finetune 150, fl-probe 150, wl-finetune 135)" in text


def test_specimens_of_several_folds_are_spoken_of():
    twice = pd.concat([PLAIN, PLAIN.assign(fold=PLAIN["fold"] + 1)], ignore_index=True)
    assert [task for task, text in input_warnings(twice) if "several folds" in text] == ["tumor", "grade", "ki67"]
    assert not [text for _, text in input_warnings(folded()) if "several folds" in text]


def test_where_thresholds_come_from_is_said_where_it_matters():
    assert warned(PLAIN, "no threshold is known") == ""
    assert "for fl-finetune, fl-probe, wl-finetune" in warned(predictions(n_tune=0), "no threshold is known")
    assert "paper protocol" in warned(MANY, "flatters", protocol="both")
    assert "a scale of its own" in warned(folded(tune=False, **FEW), "pooled as they are")
    assert warned(folded(**FEW), "pooled as they are") == ""


def test_specimens_without_an_answer_are_counted():
    table = decided(PLAIN, indeterminate=0.2)
    rows = table.query("task == 'tumor' and model == 'fl-finetune' and split == 'test'")
    n = int((rows["decision"] == "indeterminate").sum())
    assert f"gave no answer to {n} of 150" in warned(table, "tumor: fl-finetune gave no answer")


def test_floors_of_p_values_and_hopeless_families_are_counted():
    analysis = analyse(PLAIN)
    tests = analysis.headline["tumor"].comparisons
    exact = [t.comparison for t in tests if "exact" in t.comparison.method]
    n = sum(c.p_two_sided == pytest.approx(c.p_smallest_attainable) for c in exact if c.p_smallest_attainable < 1)
    said = f"tumor: strict protocol: {n} of {len(tests)} P values could not have been smaller with 7 patients"
    assert warned(PLAIN, said)
    least = min(c.p_smallest_attainable for c in exact) * len(tests)
    assert f"(least possible P {least:.2g})" in warned(PLAIN, "none of the 14 tests of the family 'tumor'")
    single = study(("tumor", "fl-finetune", "wl-finetune", "auc"))
    assert warned(PLAIN, "of the family 'main'", study=single) == ""


def test_a_test_that_does_not_exist_makes_no_family_look_hopeful():
    table = PLAIN[PLAIN["task"] == "tumor"]
    nobody = table["patient_id"].isin(["p00", "p01", "p02"])
    blind = table[~((table["split"] == "test") & ~nobody)]
    blind = blind[~((blind["split"] == "test") & (blind["y_true"] == 0))]
    analysis = analyse(blind)
    lost = [t for t in analysis.headline["tumor"].comparisons if t.comparison.p_two_sided != t.comparison.p_two_sided]
    assert lost  # specificity of one class
    assert any("none of the" in text for text in analysis.warnings)


def test_planned_tests_that_the_data_do_not_allow_are_named():
    planned = study(("tumor", "fl-finetune", "fl-probe", "specificity"), ("grade", "fl-finetune", "fl-probe", "auc"))
    assert warned(PLAIN, "planned test", study=planned) == ""
    blank = PLAIN.assign(y_true=PLAIN["y_true"].where(PLAIN["task"] != "grade"))
    text = warned(blank, "planned test", study=planned)
    assert text.startswith("grade: strict protocol: the planned test of fl-finetune against fl-probe in auc")
    untuned = predictions(n_tune=0)
    assert "in specificity (family 'main') could not be made" in warned(untuned, "planned test", study=planned)

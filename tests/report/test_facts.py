import pytest
from tests.report.studies import decided, predictions, readings

from glioscope.report._analysis import analyse
from glioscope.report._checklists import RUN_FACTS
from glioscope.report._facts import run_facts

TABLE = decided(predictions(), indeterminate=0.2)


def facts_of(table, *, pathologists=False, **options):
    return run_facts(analyse(table, **options), table, (), pathologists=pathologists)


@pytest.mark.parametrize("table", [TABLE, predictions(n_tune=0), predictions(patients=1, tasks=("mine",))])
def test_facts_are_those_that_checklists_ask_for_and_none_is_blank(table):
    found = facts_of(table)
    assert set(found) <= set(RUN_FACTS)
    assert all(text.strip() for text in found.values())


def test_numbers_are_those_of_the_table():
    found = facts_of(TABLE)
    assert found["n_patients"] == "test: 7 patients; tune: 4 patients"
    rows = TABLE.query("split == 'test' and model == 'fl-finetune'")
    known = rows[rows["y_true"].notna()].groupby("task").size()
    assert f"Tumour {known['tumor']} of 7 patients, Grade {known['grade']} of 7 patients" in found["n_specimens"]
    assert f"Grade: {150 - known['grade']} test specimens" in found["missing_labels"]
    silent = (rows.query("task == 'tumor'")["decision"] == "indeterminate").sum()
    assert found["indeterminate"].startswith(f"Tumour: {silent} without an answer; ")
    assert "Tumour fl-finetune: decision column, chosen on locked before" in found["thresholds"]


def test_what_was_not_done_is_not_claimed():
    bare = facts_of(predictions(n_tune=0))
    assert not {"thresholds", "indeterminate", "errors", "agreement", "architecture", "training"} & set(bare)
    assert "temperature" not in bare["calibration"]
    full = facts_of(TABLE, readings=readings(TABLE), pathologists=True)
    assert {"thresholds", "indeterminate", "errors", "agreement"} <= set(full)
    assert "temperature" in full["calibration"]

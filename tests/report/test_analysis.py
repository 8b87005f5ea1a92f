import json

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests
from tests.report.studies import decided, folded, predictions, readings, shuffled

from glioscope.cohort import StudyInfo, read_predictions, write_predictions
from glioscope.core import InputError
from glioscope.report._analysis import analyse

PLAIN = predictions()
READ = readings(PLAIN)
SMALL = predictions(tasks=("tumor",), models=("fl-finetune", "wl-finetune"))


def study(*families, primary=None):
    names = ("task", "a", "b", "metric")
    made = [
        {"name": name, "tests": [dict(zip(names, test, strict=True)) for test in tests]} for name, *tests in families
    ]
    return StudyInfo.model_validate({"comparisons": {"primary": primary, "families": made}})


def ordinal():
    rng = np.random.default_rng(0)
    table = predictions(tasks=("grade4",), models=("fl-finetune",))
    level = rng.integers(0, 4, len(table))
    table["y_true"] = level.astype(float)
    table["y_score"] = np.clip(level / 4 + rng.normal(0, 0.2, len(table)), 0, 1)
    return table.assign(level=pd.array(np.clip(level + rng.integers(-1, 2, len(table)), 0, 3), dtype="Int64"))


def numbers(found):
    """Every number of a `metrics.json`, by its path."""
    flat = {}

    def walk(path, value):
        if isinstance(value, dict):
            for key, item in value.items():
                walk((*path, key), item)
        elif isinstance(value, list):
            for place, item in enumerate(value):
                walk((*path, place), item)
        else:
            flat[path] = value

    walk((), found)
    return flat


def alike(found, expected):
    a, b = numbers(found), numbers(expected)
    assert a.keys() == b.keys()
    for path, value in a.items():
        assert value == (pytest.approx(b[path], abs=1e-9) if isinstance(value, float) else b[path]), path


def test_the_synthetic_tables_are_what_reading_their_file_gives(tmp_path):
    for table in (PLAIN, decided(folded(), indeterminate=0.1), ordinal()):
        write_predictions(tmp_path / "predictions.csv", table)
        assert_frame_equal(read_predictions(tmp_path / "predictions.csv"), table)


@pytest.mark.parametrize("protocol", ["strict", "paper", "both"])
def test_metrics_are_strict_json_with_the_parts_of_the_contract(protocol):
    found = analyse(PLAIN, readings=READ, protocol=protocol).to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert list(found["protocols"]) == (["strict", "paper"] if protocol == "both" else [protocol])
    for of in found["protocols"].values():
        assert of["cascade"]["n_specimens"] == 150
        assert list(of["tasks"]) == ["tumor", "grade", "ki67"]
        tumour = of["tasks"]["tumor"]
        assert set(tumour["readers"]["modalities"]) == {"fl", "wl"}
        assert of["tasks"]["grade"]["readers"] is None
        for test in tumour["comparisons"]:
            assert {"a", "b", "metric", "difference", "low", "high", "p_two_sided", "p_one_sided"} < set(test)
            assert {"p_adjusted", "p_smallest_attainable", "method", "family"} < set(test)
    headline = found["protocols"]["paper" if protocol == "paper" else "strict"]["tasks"]
    area = headline["grade"]["models"]["fl-probe"]["auc"]
    rows = PLAIN.query("task == 'grade' and model == 'fl-probe' and split == 'test' and y_true >= 0")
    assert area["value"] == pytest.approx(roc_auc_score(rows["y_true"], rows["y_score"]))


@pytest.mark.parametrize("table", [decided(PLAIN, indeterminate=0.1), folded()], ids=["split", "folds"])
def test_the_order_of_rows_does_not_matter(table):
    table = table[(table["task"] != "ki67") & (table["model"] != "fl-probe")].reset_index(drop=True)
    # Tasks and models are reported in the order of the table, so only rows within them change places.
    parts = [shuffled(rows) for _, rows in table.groupby(["task", "model"], sort=False)]
    mixed = pd.concat(parts, ignore_index=True)
    assert not mixed["specimen_id"].equals(table["specimen_id"])
    options = {"protocol": "both", "readings": READ}
    alike(analyse(mixed, **options).to_json(), analyse(table, **options).to_json())


def test_the_names_of_patients_do_not_matter():
    renamed = PLAIN.assign(patient_id="z" + PLAIN["patient_id"].str[::-1])
    found, expected = (analyse(rows).to_json() for rows in (renamed, PLAIN))
    for tasks in (found, expected):
        for task in tasks["protocols"]["strict"]["tasks"].values():
            for model in task["models"].values():
                model["by_patient"] = sorted(model["by_patient"].values())
    alike(found, expected)


def test_the_headline_is_strict_wherever_it_was_asked_for():
    both, paper = analyse(SMALL, protocol="both"), analyse(SMALL, protocol="paper")
    assert (both.protocol, paper.protocol) == ("strict", "paper")
    assert both.headline["tumor"].names == ("non-tumour", "tumour")


def test_a_threshold_is_that_of_its_task_else_that_of_all():
    found = analyse(decided(PLAIN), thresholds={"": 0.3, "grade": 0.7}).headline
    for task, at in (("tumor", 0.3), ("grade", 0.7), ("ki67", 0.3)):
        method = found[task].result.methods["fl-probe"]
        assert method.operating.to_json() == {"rule": "fixed", "threshold": at, "chosen_on": "given"}
        np.testing.assert_array_equal(method.calls, method.raw_score >= at)
    with pytest.raises(InputError, match="threshold is given for task 'idh', which is not among tumor, grade, ki67"):
        analyse(PLAIN, thresholds={"idh": 0.5})
    with pytest.raises(InputError, match="'grade4', which has 4 ordered levels"):
        analyse(ordinal(), thresholds={"grade4": 0.5})
    assert analyse(pd.concat([PLAIN, ordinal()]), thresholds={"": 0.5}).headline["grade4"].result.levels


def test_a_declared_family_of_two_tasks_is_adjusted_as_one():
    tests = [(task, "fl-finetune", "wl-finetune", "auc") for task in ("tumor", "grade", "ki67")]
    found = analyse(PLAIN, study=study(("main", *tests))).headline
    own = [t for task in found.values() for t in task.comparisons if t.family == "main"]
    assert [t.task for t in own] == ["tumor", "grade", "ki67"]
    raw = [t.comparison.p_two_sided for t in own]
    assert [t.p_adjusted for t in own] == pytest.approx(multipletests(raw, method="holm")[1])
    for task in ("tumor", "grade"):
        rest = [t for t in found[task].comparisons if t.family == task]
        assert len(rest) == 13
        expected = multipletests([t.comparison.p_two_sided for t in rest], method="holm")[1]
        assert [t.p_adjusted for t in rest] == pytest.approx(expected)


def test_readers_may_stand_in_a_declared_family():
    mean, one = ("tumor", "wl-finetune", "Reader mean (FL)", "accuracy"), ("tumor", "fl-probe", "Reader B (WL)", "f1")
    family = ("readers", mean, one)
    found = analyse(PLAIN, readings=READ, study=study(family)).headline["tumor"].comparisons
    assert [t.b for t in found if t.family == "readers"] == ["Reader mean (FL)", "Reader B (WL)"]
    with pytest.raises(InputError, match="names 'Reader mean \\(FL\\)' in tumor; there are fl-finetune"):
        analyse(PLAIN, study=study(family))


@pytest.mark.parametrize("protocol", ["strict", "paper"])
def test_a_planned_auc_of_readers_without_ratings_is_a_warning(protocol):
    family = ("readers", ("tumor", "fl-finetune", "Reader A (FL)", "auc"))
    found = analyse(SMALL, readings=READ.drop(columns="rating"), study=study(family), protocol=protocol)
    test = found.headline["tumor"].comparisons[-1]
    assert (test.family, test.to_json()["p_two_sided"]) == ("readers", None)
    assert any("planned test of fl-finetune against Reader A (FL) in auc" in text for text in found.warnings)
    rated = analyse(SMALL, readings=READ, study=study(family), protocol=protocol)
    assert rated.headline["tumor"].comparisons[-1].p_adjusted <= 1


def test_what_study_toml_names_and_does_not_exist_is_an_error():
    with pytest.raises(InputError, match=r"family 'f' has a test of task 'idh', which is not among grade, ki67, tumor"):
        analyse(PLAIN, study=study(("f", ("idh", "fl-finetune", "fl-probe", "auc"))))
    with pytest.raises(InputError, match="primary 'best' is no model; there are fl-finetune, fl-probe, wl-finetune"):
        analyse(PLAIN, study=study(primary="best"))
    with pytest.raises(InputError, match="names 'best' in ki67"):
        analyse(PLAIN, study=study(("f", ("ki67", "best", "fl-probe", "auc"))))


def test_the_declared_primary_is_the_one_that_is_compared():
    found = analyse(PLAIN, study=study(primary="wl-finetune")).headline["grade"]
    assert found.primary == "wl-finetune"
    assert {test.a for test in found.comparisons} == {"wl-finetune"}


def test_the_width_of_the_plan_is_that_of_study_toml():
    info = StudyInfo.model_validate({"sample_size": {"ci_width": 0.2}})
    assert {row.ci_width for row in analyse(PLAIN, study=info).headline["tumor"].design} == {0.2}


def test_a_task_with_labels_above_one_or_levels_is_ordinal():
    found = analyse(ordinal(), protocol="both")
    of = found.headline["grade4"]
    assert of.result.levels == ("0", "1", "2", "3")
    assert (of.comparisons, of.readers, of.calibration, of.design) == ((), None, (), ())
    two = ordinal()
    two = two.assign(y_true=two["y_true"].clip(upper=1), level=two["level"].clip(upper=1))
    assert analyse(two).headline["grade4"].result.levels == ("0", "1")
    with pytest.raises(InputError, match="has the label 3; its 3 levels are 0 to 2"):
        analyse(ordinal(), levels={"grade4": ("I", "II", "III")})
    named = analyse(ordinal(), levels={"grade4": ("I", "II", "III", "IV")}).to_json()
    assert named["protocols"]["strict"]["tasks"]["grade4"]["levels"] == ["I", "II", "III", "IV"]
    json.dumps(named, allow_nan=False)


def test_readings_that_cannot_be_used_are_said_to_be():
    for table in (ordinal(), PLAIN.assign(y_true=PLAIN["y_true"].where(PLAIN["task"] != "tumor"))):
        found = analyse(table, readings=READ)
        assert any("the readings could not be used" in text for text in found.warnings)
    assert not any("could not be used" in text for text in analyse(PLAIN, readings=READ).warnings)


def test_tasks_and_models_may_have_any_name():
    table = predictions(tasks=("margin", "tumor"), models=("resnet", "x/y <b>", *(f"m{i}" for i in range(6))))
    found = analyse(table)
    assert list(found.headline) == ["margin", "tumor"]
    assert found.headline["margin"].primary == "resnet"
    assert found.headline["margin"].names == ("negative", "positive")
    assert len(found.headline["margin"].comparisons) == 7 * 7


def test_nothing_to_evaluate_is_an_error():
    with pytest.raises(InputError, match=r"no test row$"):
        analyse(PLAIN[PLAIN["split"] == "tune"])
    with pytest.raises(InputError, match="no test row has a known label"):
        analyse(PLAIN.assign(y_true=np.nan))
    with pytest.raises(InputError, match="protocol 'all' is unknown"):
        analyse(PLAIN, protocol="all")


def test_the_seed_changes_paper_intervals_and_is_recorded():
    a, b, again = (analyse(SMALL, protocol="paper", seed=seed) for seed in (0, 1, 0))
    assert a.to_json() == again.to_json()
    assert a.headline["tumor"].result.metrics != b.headline["tumor"].result.metrics
    assert b.to_json()["seed"] == 1


FEW = {"tasks": ("tumor", "grade"), "models": ("fl-finetune", "wl-finetune")}
BASE = predictions(**FEW)
ODD = {
    "one patient": predictions(patients=1, **FEW),
    "two patients": predictions(patients=2, **FEW),
    "one class": BASE[(BASE["split"] == "tune") | (BASE["y_true"] == 1)],
    "constant": BASE.assign(y_score=0.5),
    "all ones": BASE.assign(y_score=1.0),
    "perfect": BASE.assign(y_score=BASE["y_true"].fillna(0)),
    "no tuning": predictions(n_tune=0, **FEW),
    "no answers": BASE.assign(decision="not_assessable"),
    "folds without tuning": folded(tune=False, **FEW),
    "one model": predictions(tasks=("tumor",), models=("fl",)),
    "seven models": predictions(tasks=("tumor",), models=[f"m{i}" for i in range(7)]),
    "one specimen": BASE[(BASE["split"] == "tune") | (BASE["specimen_id"] == "p00-000")],
    "one specimen a patient": BASE[(BASE["split"] == "tune") | ~BASE.duplicated(["patient_id", "task", "model"])],
    "blank folds": BASE.assign(fold=pd.array([pd.NA] * len(BASE), dtype="Int64")),
    "probabilities of 0 and 1": BASE.assign(y_probability=(BASE["y_score"] > 0.5) * 1.0),
    "ordinal beside binary": pd.concat([BASE, ordinal()], ignore_index=True),
    "constant levels": ordinal().assign(y_score=0.5, level=pd.array([1] * len(ordinal()), dtype="Int64")),
    "several folds": pd.concat([BASE, BASE.assign(fold=BASE["fold"] + 1)], ignore_index=True),
}


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("table", ODD.values(), ids=ODD)
def test_an_odd_table_is_analysed_and_warned_of(table):
    found = analyse(table, protocol="both", readings=READ)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == found.to_json()
    assert found.warnings


def test_a_label_belongs_to_the_specimen_in_whichever_models_row_it_stands():
    table = predictions(tasks=("tumor",))
    first = table["model"].drop_duplicates().iloc[0]
    blank = table.assign(y_true=table["y_true"].where(table["model"] == first))
    whole, filled = (analyse(rows).to_json()["protocols"]["strict"]["tasks"]["tumor"] for rows in (table, blank))
    assert filled == whole


def test_a_wrong_label_does_not_make_a_built_in_task_ordinal():
    table = predictions(tasks=("tumor",))
    table.loc[table["specimen_id"] == table["specimen_id"].iloc[-1], "y_true"] = 2.0
    with pytest.raises(InputError, match="has the label 2 in task tumor, which has 0 and 1 only"):
        analyse(table)


@pytest.mark.parametrize("name", ["tumor", "tumor: each reader"])
def test_a_family_may_not_be_named_like_a_table_of_the_report(name):
    tests = [{"task": "tumor", "a": "fl-finetune", "b": "wl-finetune", "metric": "auc"}]
    study = StudyInfo.model_validate({"comparisons": {"families": [{"name": name, "tests": tests}]}})
    with pytest.raises(InputError, match="has the name of a table of the report"):
        analyse(predictions(), study=study)

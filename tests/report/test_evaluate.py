"""The folder of a study report: its parts agree with one another and with scikit-learn, and it comes whole or not."""

import html
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, roc_auc_score
from tests.report import studies

from glioscope.cohort import load_manifest, read_pathology, read_predictions, read_readings, read_study
from glioscope.core import InputError
from glioscope.report import StudyInputs, evaluate_study

FORMS = {"tables": {".csv", ".tex", ".html"}, "figures": {".svg", ".pdf", ".png"}}


def blank_figures(figures, folder):
    return {figure.name: "<svg></svg>" for figure in figures}


@pytest.fixture(scope="module")
def study():
    rows = studies.predictions()
    return StudyInputs(rows, readings=studies.readings(rows), sources={"Predictions": "p.csv"})


@pytest.fixture(scope="module")
def folder(study, tmp_path_factory):
    """A whole report with both protocols and all figures, without PDF."""
    out = tmp_path_factory.mktemp("study") / "report"
    evaluate_study(study, out, protocol="both", pdf=False)
    return out


@pytest.fixture
def undrawn(monkeypatch):
    monkeypatch.setattr("glioscope.report._evaluate.write_figures", blank_figures)


def metrics_of(folder, protocol="strict"):
    return json.loads((folder / "metrics.json").read_text())["protocols"][protocol]["tasks"]


def test_every_table_and_figure_has_all_its_forms_and_stands_on_the_page(folder):
    assert {p.name for p in folder.iterdir()} == {"metrics.json", "report.html", *FORMS}
    page = (folder / "report.html").read_text()
    for kind, forms in FORMS.items():
        names = {path.stem for path in (folder / kind).iterdir()}
        for name in names:
            assert {path.suffix for path in (folder / kind).glob(f"{name}.*")} == forms
        missing = {name for name in names if f'id="{name}"' not in page}
        assert missing <= {"table-s4-error-list"}


def test_metrics_agree_with_scikit_learn(folder, study):
    test = study.predictions[(study.predictions["split"] == "test") & study.predictions["y_true"].notna()]
    for (task, model), rows in test.groupby(["task", "model"]):
        for protocol in ("strict", "paper"):
            entry = metrics_of(folder, protocol)[task]["models"][model]
            called = rows["y_score"] >= entry["operating_point"]["threshold"]
            assert entry["auc"]["value"] == pytest.approx(roc_auc_score(rows["y_true"], rows["y_score"]))
            assert entry["accuracy"]["value"] == pytest.approx(accuracy_score(rows["y_true"], called))
            assert entry["f1"]["value"] == pytest.approx(f1_score(rows["y_true"], called))
            tn, fp, fn, tp = confusion_matrix(rows["y_true"], called).ravel()
            assert entry["counts"] == {"tp": tp, "fp": fp, "tn": tn, "fn": fn}
            assert entry["n_specimens"] == len(rows)
            assert entry["n_patients"] == rows["patient_id"].nunique()


@pytest.mark.parametrize("protocol", ["strict", "paper"])
def test_tables_and_page_print_what_metrics_json_holds(folder, protocol):
    titles = {"Tumour": "tumor", "Grade": "grade", "Ki-67": "ki67"}
    tasks = metrics_of(folder, protocol)
    page = (folder / "report.html").read_text()
    for name in ("table-1-tumor", "table-2-grade-ki67"):
        printed = pd.read_csv(folder / "tables" / f"{name}-{protocol}.csv")
        models = printed[~printed["Method"].str.startswith("Reader")]
        assert len(models) == sum(len(tasks[titles[t]]["models"]) for t in models["Task"].unique())
        for _, row in models.iterrows():
            entry = tasks[titles[row["Task"]]]["models"][row["Method"]]
            for title in ("AUC", "Sensitivity", "Specificity"):
                value = entry[title.lower()]
                assert row[title] == pytest.approx(value["value"])
                assert row[f"{title}_low"] == pytest.approx(value["low"])
                assert row[f"{title}_high"] == pytest.approx(value["high"])
                assert f"{value['value']:.3f} ({value['low']:.3f}, {value['high']:.3f})" in page
    counts = pd.read_csv(folder / "tables" / f"table-operating-points-{protocol}.csv")
    for _, row in counts.iterrows():
        entry = tasks[titles[row["Task"]]]["models"][row["Model"]]
        assert [row[name.upper()] for name in entry["counts"]] == list(entry["counts"].values())


def test_differences_are_differences_of_the_printed_values(folder):
    for task, entry in metrics_of(folder).items():
        for test in entry["comparisons"]:
            if test["b"] in entry["models"]:
                values = [entry["models"][test[side]][test["metric"]]["value"] for side in "ab"]
                assert test["difference"] == pytest.approx(values[0] - values[1]), (task, test)


def test_warnings_stand_on_the_page_before_any_result(folder):
    page = html.unescape((folder / "report.html").read_text())
    warnings = json.loads((folder / "metrics.json").read_text())["warnings"]
    assert any("7 test patients, fewer than 10" in warning for warning in warnings)
    places = [page.index(warning) for warning in warnings]
    assert places == sorted(places)
    assert places[-1] < page.index('id="table-1-tumor-strict"')


def test_the_order_of_the_rows_changes_no_number(study, undrawn, tmp_path):
    mixed = StudyInputs(studies.shuffled(study.predictions), studies.shuffled(study.readings))
    found = []
    for name, inputs in (("a", study), ("b", mixed)):
        evaluate_study(inputs, tmp_path / name, pdf=False)
        tasks = metrics_of(tmp_path / name)
        models = {(t, m): values for t, entry in tasks.items() for m, values in entry["models"].items()}
        tests = {(t, c["a"], c["b"], c["metric"]): c for t, entry in tasks.items() for c in entry["comparisons"]}
        found.append({key: pd.json_normalize(values).iloc[0].to_dict() for key, values in (models | tests).items()})
    assert found[0].keys() == found[1].keys()
    for key, values in found[0].items():
        numbers = {name: value for name, value in values.items() if isinstance(value, float)}
        assert {name: found[1][key][name] for name in numbers} == pytest.approx(numbers, nan_ok=True), key
        assert {name: value for name, value in found[1][key].items() if name not in numbers} == {
            name: value for name, value in values.items() if name not in numbers
        }, key


def test_the_same_study_twice_gives_the_same_bytes(study, undrawn, tmp_path):
    for name in "ab":
        evaluate_study(study, tmp_path / name, protocol="both", pdf=False, seed=5)
    names = [p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()]
    for name in names:
        if name.name != "report.html":  # it says when it was made
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_a_fixed_threshold_is_the_one_that_calls_are_made_at(study, undrawn, tmp_path):
    evaluate_study(study, tmp_path / "out", thresholds={"": 0.5, "tumor": 0.25}, pdf=False)
    tasks = metrics_of(tmp_path / "out")
    for task, threshold in (("tumor", 0.25), ("grade", 0.5), ("ki67", 0.5)):
        for entry in tasks[task]["models"].values():
            assert entry["operating_point"] == {"rule": "fixed", "threshold": threshold, "chosen_on": "given"}
    rows = study.predictions.query("split == 'test' and task == 'tumor' and model == 'fl-probe'")
    assert tasks["tumor"]["models"]["fl-probe"]["counts"]["fp"] == int(
        ((rows["y_score"] >= 0.25) & (rows["y_true"] == 0)).sum()
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device"), InputError("no")])
def test_what_stops_midway_leaves_nothing_and_the_earlier_report_as_it_was(study, monkeypatch, tmp_path, error):
    def stop(figures, folder):
        assert any(tmp_path.glob(".out-*/metrics.json"))
        raise error

    for earlier in (False, True):
        if earlier:
            monkeypatch.setattr("glioscope.report._evaluate.write_figures", blank_figures)
            evaluate_study(study, tmp_path / "out", pdf=False)
        before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
        monkeypatch.setattr("glioscope.report._evaluate.write_figures", stop)
        with pytest.raises(type(error)):
            evaluate_study(study, tmp_path / "out", pdf=False)
        assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_training_run_with_all_that_goes_with_it(tiny_run, tiny_cohort, undrawn, tmp_path):
    beside = tiny_cohort.parent
    inputs = StudyInputs(
        read_predictions(tiny_run / "predictions.csv"),
        readings=read_readings(beside / "readings.csv"),
        study=read_study(beside / "study.toml"),
        cohort=load_manifest(tiny_cohort, check_pixels=False),
        pathology=read_pathology(beside / "pathology.csv"),
        suite=tiny_run / "suite",
    )
    out = tmp_path / "out"
    evaluate_study(inputs, out, protocol="both", pdf=False)
    metrics = json.loads((out / "metrics.json").read_text())
    trained = json.loads((tiny_run / "metrics.json").read_text())["protocols"]["strict"]["tasks"]
    assert metrics["data_kind"] == "simulated"
    for task, entry in trained.items():
        for model, values in entry["models"].items():
            ours = metrics["protocols"]["strict"]["tasks"][task]["models"][model]
            assert ours["auc"] == values["auc"]
            assert ours["counts"] == values["counts"]
    page = (out / "report.html").read_text()
    assert "simulated" in page.lower()
    assert '<section id="agreement"' in page
    cards = {p.stem: p.read_text() for p in (out / "model-cards").iterdir()}
    assert set(cards) == {f"{task}-{kind}" for task in ("tumor", "ki67") for kind in ("fl", "wl", "fusion")}
    area = metrics["protocols"]["strict"]["tasks"]["tumor"]["models"]["fl-probe"]["auc"]["value"]
    assert f"- auc: {area:.3f}" in cards["tumor-fl"].split("## Test patients (strict protocol)")[1]
    locked = (tiny_run / "suite" / "tumor-fl" / "model_card.md").read_text()
    assert cards["tumor-fl"].startswith(locked.rstrip("\n"))
    assert "## Test patients" not in locked


def test_patients_of_the_suite_are_refused_unless_out_of_fold(tiny_run, undrawn, tmp_path):
    rows = read_predictions(tiny_run / "predictions.csv")
    tuned = rows.loc[rows["split"] == "tune", "patient_id"].iloc[0]
    inputs = StudyInputs(rows[rows["patient_id"] == tuned].assign(split="test"), suite=tiny_run / "suite")
    with pytest.raises(InputError, match=f"patient {tuned} of the test rows was used to train or tune bundle"):
        evaluate_study(inputs, tmp_path / "out", pdf=False)
    assert not list(tmp_path.iterdir())
    evaluate_study(inputs, tmp_path / "out", out_of_fold=True, pdf=False)
    assert np.isfinite(metrics_of(tmp_path / "out")["tumor"]["models"]["fl-probe"]["n_specimens"])

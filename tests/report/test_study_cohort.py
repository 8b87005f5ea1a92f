import re

import numpy as np
import pytest
from tests.report.layout import words
from tests.report.studies import decided, folded, predictions

from glioscope.cohort import StudyInfo, load_manifest
from glioscope.core import BUILT_IN_TASKS
from glioscope.report import _study_cohort as made
from glioscope.report._analysis import analyse

TABLE = predictions(tasks=("tumor", "grade", "mine"))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    path = tmp_path_factory.mktemp("cohort") / "manifest.csv"
    lines = ["patient_id,specimen_id,fl_image,pathology,who_grade,who_edition,sector"]
    for i in range(40):
        tumour = i % 4 > 0
        grade = ("2", "4", "")[i % 3] if tumour else ""
        pathology = "" if i == 39 else "tumor" if tumour else "non-tumor"
        sector = "" if i < 4 else i % 3 + 1
        lines.append(f"p{i % 5},s{i:02d},s{i:02d}.tif,{pathology},{grade if i < 39 else ''},2016,{sector}")
    path.write_text("\n".join(lines) + "\n")
    return load_manifest(path, on_error="keep")  # no image is looked at here


def sizes_of(table, task, role):
    return {s.name: (s.specimens, s.patients) for s in made.predicted_sizes(table) if (s.task, s.role) == (task, role)}


def test_classes_are_counted_once_a_specimen_and_missing_labels_apart():
    for task, title, names in (
        ("tumor", "Tumour", ("non-tumour", "tumour")),
        ("grade", "Grade", ("DLGG", "GBM")),
        ("mine", "mine", ("negative", "positive")),
    ):
        for role in ("test", "tune"):
            rows = TABLE[(TABLE["task"] == task) & (TABLE["split"] == role)].drop_duplicates("specimen_id")
            expected = {}
            for label, name in ((0.0, names[0]), (1.0, names[1]), (None, made.NO_LABEL)):
                own = rows[rows["y_true"].isna() if label is None else rows["y_true"] == label]
                if len(own) or label is not None:
                    expected[name] = (len(own), own["patient_id"].nunique())
            assert sizes_of(TABLE, title, role) == expected


def test_levels_of_an_ordinal_task_have_their_names():
    level = np.arange(len(TABLE)) % 4
    table = TABLE.assign(task="grade4", y_true=level.astype(float))
    assert set(sizes_of(table, "WHO grade", "test")) == {"1", "2", "3", "4"}
    own = TABLE.assign(task="mine", y_true=level.astype(float))
    assert set(sizes_of(own, "mine", "test")) == {"level 0", "level 1", "level 2", "level 3"}


def test_the_whole_cohort_is_that_of_the_manifest(manifest):
    tasks = {name: BUILT_IN_TASKS[name] for name in ("tumor", "grade")}
    found = {(s.task, s.name): s.specimens for s in made.cohort_sizes(manifest, tasks)}
    assert (found["Tumour", "tumour"], found["Tumour", "non-tumour"], found["Tumour", made.NO_LABEL]) == (29, 10, 1)
    assert sum(n for (task, name), n in found.items() if task == "Grade" and name != made.NO_LABEL) == 19
    table = made.cohort_table(made.cohort_sizes(manifest, tasks), whole=True)
    assert table.rows[0][:2] == ("Tumour", "all")


def test_figures_are_those_of_the_manifest_or_say_that_there_is_none(manifest):
    tasks = {"tumor": BUILT_IN_TASKS["tumor"]}
    for cohort in (None, manifest):
        figures = made.cohort_figures(TABLE, cohort, tasks)
        assert len(figures) == len({figure.name for figure in figures}) == 4
        said = " ".join(figure.caption for figure in figures)
        assert ("40 specimens of 5 patients in the manifest" in said) == (cohort is not None)
        assert ("give --manifest" in said) == (cohort is None)


def test_patients_of_several_folds_are_said_to_stand_in_several_sets():
    figures = made.cohort_figures(folded(), None, {})
    assert any("a patient stands in several sets" in figure.caption for figure in figures)
    assert not any("several sets" in figure.caption for figure in made.cohort_figures(TABLE, None, {}))


def alt_of(table, study=None, **options):
    return made.participants(analyse(table, **options), table, study).alt.replace("\N{NO-BREAK SPACE}", " ")


def results_of(alt):
    """Result of the index test -> (specimens, {truth: specimens}) as the text of the diagram says."""
    found = {}
    for name, n, parts in re.findall(r"index test: ([^,]+), (\d+) specimens?, [^:]*: Reference standard, ([^.]*)", alt):
        found[name] = (int(n), {k: int(v) for k, v in re.findall(r"([^,]+?): (\d+) specimens?", parts)})
    return found


def test_the_diagram_counts_every_test_specimen_by_answer_and_truth():
    table = decided(TABLE, indeterminate=0.2)
    rows = table.query("task == 'tumor' and model == 'fl-finetune' and split == 'test'").reset_index()
    blank = rows.index % 10 == 0
    names = {"positive": "tumour", "negative": "non-tumour", "indeterminate": "indeterminate"}
    table.loc[table["specimen_id"].isin(rows.loc[blank, "specimen_id"]) & (table["task"] == "tumor"), "y_true"] = np.nan
    found = results_of(alt_of(table))
    said = rows["decision"].map(names)
    truth = rows["y_true"].map({1.0: "tumour", 0.0: "non-tumour"}).mask(blank, "reference standard missing")
    expected = {
        name: ((said == name).sum(), truth[said == name].value_counts().to_dict()) for name in dict.fromkeys(said)
    }
    assert {name: (n, {k.strip(): v for k, v in parts.items()}) for name, (n, parts) in found.items()} == expected


def test_more_kinds_of_answers_than_columns_share_one():
    table = decided(TABLE, indeterminate=0.1, not_assessable=0.1)
    table.loc[table["specimen_id"].str.endswith("7"), "y_true"] = np.nan
    table.loc[table["specimen_id"].str.endswith("17"), "decision"] = ""
    found = results_of(alt_of(table))
    assert set(found) == {"tumour", "non-tumour", "indeterminate", "not assessable or no decision"}
    assert sum(n for n, _ in found.values()) == 150


def test_without_a_threshold_nothing_was_decided():
    assert results_of(alt_of(predictions(n_tune=0)))["no decision"][0] == 150
    paper = results_of(alt_of(predictions(n_tune=0), protocol="paper"))
    assert set(paper) == {"tumour", "non-tumour"}


def test_who_was_approached_and_left_out_comes_from_study_toml():
    flow = {"approached": 30, "excluded": [{"reason": "no consent", "n": 5}], "enrolled": 25}
    alt = alt_of(TABLE, StudyInfo.model_validate({"flow": flow}))
    assert "Approached, 30 patients" in alt
    assert "no consent: 5 patients" in alt
    assert f"without predictions (trained on, withdrawn): specimens not reported, {25 - 11} patients" in alt
    assert "not reported" in alt_of(TABLE)


def test_a_task_of_ordered_levels_has_no_diagram():
    table = predictions(tasks=("grade4",))
    table["y_true"] = np.arange(len(table)) % 4 * 1.0
    assert made.participants(analyse(table), table, None) is None
    assert words(made.participants(analyse(TABLE), TABLE, None).plot)

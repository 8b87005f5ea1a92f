import numpy as np
import pytest

from glioscope.cohort import (
    grade_class,
    labels,
    load_manifest,
    present_levels,
    resolve_tasks,
    specimen_patients,
    summarise,
)
from glioscope.core import BUILT_IN_TASKS, InputError, ManifestError, Task

from .tables import cohort_of


@pytest.mark.parametrize(
    ("grade", "edition", "diagnosis", "idh", "expected"),
    [
        ("2", "2016", "", "", "DLGG"),
        ("3", "2021", "Oligodendroglioma, IDH-mutant, 1p/19q-codeleted", "mutant", "DLGG"),
        ("3", "", "anaplastic astrocytoma", "wildtype", "DLGG"),
        ("3", "2016", "Anaplastic ependymoma", "", ""),
        ("1", "2016", "", "", ""),
        ("", "2016", "glioblastoma", "", ""),
        ("4", "2007", "", "", "GBM"),
        ("4", "2016", "Glioblastoma, IDH-mutant", "mutant", "GBM"),
        ("4", "2016", "gliosarcoma", "", "GBM"),
        ("4", "2016", "High-grade glioma", "", "GBM"),
        ("4", "2016", "Diffuse midline glioma, H3 K27M-mutant", "wildtype", ""),
        ("4", "2016", "Medulloblastoma", "", ""),
        ("4", "2021", "", "wildtype", "GBM"),
        ("4", "2021", "", "mutant", ""),
        ("4", "2021", "", "", ""),
        ("4", "2021", "Glioblastoma", "", "GBM"),
        ("4", "2021", "Glioblastoma", "mutant", ""),
        ("4", "2021", "Astrocytoma, IDH-mutant", "mutant", ""),
        ("4", "2021", "Diffuse midline glioma, H3 K27-altered", "wildtype", ""),
        ("4", "", "", "wildtype", "GBM"),
        ("4", "", "", "", ""),
        ("4", "", "glioblastoma", "", ""),
    ],
)
def test_grade_class_by_edition(grade, edition, diagnosis, idh, expected):
    assert grade_class(grade, edition, diagnosis, idh) == expected


def rows(*values):
    return [{"patient_id": f"p{i}", "specimen_id": f"s{i}", "fl_image": "x"} | value for i, value in enumerate(values)]


def test_blank_is_masked_and_never_negative():
    tumor = {"pathology": "tumor"}
    cohort = cohort_of(
        rows(
            tumor | {"who_grade": "2", "ki67_percent": 10.0, "idh": "mutant", "codel_1p19q": "yes"},
            tumor | {"who_grade": "4", "who_edition": "2016", "ki67_percent": 9.9, "idh": "wildtype"},
            tumor,
            {"pathology": "non-tumor", "idh": "mutant"},
            {"who_grade": "3"},
        )
    )
    nan = np.nan
    expected = {
        "tumor": [1, 1, 1, 0, nan],
        "grade": [0, 1, nan, nan, nan],
        "ki67": [1, 0, nan, nan, nan],
        "grade4": [1, 3, nan, nan, nan],
        "idh": [1, 0, nan, nan, nan],
        "codel": [1, nan, nan, nan, nan],
    }
    for name, values in expected.items():
        found = labels(cohort, BUILT_IN_TASKS[name])
        np.testing.assert_array_equal(found.to_numpy(), np.array(values, dtype=float), err_msg=name)
        assert list(found.index) == ["s0", "s1", "s2", "s3", "s4"]


def test_a_level_alone_counts_only_at_ten():
    cohort = cohort_of(rows(*[{"pathology": "tumor", "ki67_level": level} for level in ("<10", ">=10")]))
    np.testing.assert_array_equal(labels(cohort, BUILT_IN_TASKS["ki67"]), [0, 1])
    at_twenty = resolve_tasks(["ki67"], ki67_cut_off=20)["ki67"]
    assert labels(cohort, at_twenty).isna().all()
    assert at_twenty.class_names == ("Ki-67 < 20 %", "Ki-67 >= 20 %")


def test_rows_of_a_specimen_share_their_labels():
    same = {"patient_id": "p", "specimen_id": "s", "fl_image": "x", "pathology": "tumor"}
    split_up = [same | {"who_grade": "4"}, same | {"who_edition": "2021"}, same | {"idh": "wildtype"}]
    cohort = cohort_of([*split_up, *rows({"pathology": "non-tumor"})])
    assert list(cohort.table["grade_class"]) == ["GBM", "GBM", "GBM", ""]
    found = labels(cohort, BUILT_IN_TASKS["grade"])
    assert (len(found), found["s"]) == (2, 1.0)
    assert list(specimen_patients(cohort)) == ["p", "p0"]


def test_custom_tasks():
    cohort = cohort_of(rows({"activity": "on", "size": "4.5"}, {"activity": "off", "size": ""}, {"activity": "odd"}))
    binary = Task(name="activity", label="activity", positive=("on",), negative=("off",))
    np.testing.assert_array_equal(labels(cohort, binary), [1, 0, np.nan])
    cut = Task(name="size", label="size", cut_off=4.5)
    np.testing.assert_array_equal(labels(cohort, cut), [1, np.nan, np.nan])
    with pytest.raises(InputError, match="needs column 'colour'"):
        labels(cohort, Task(name="colour", label="colour", positive=("a",), negative=("b",)))
    with pytest.raises(ManifestError, match="row 2, activity: 'on' is not a number"):
        labels(cohort, Task(name="wrong", label="activity", cut_off=1))
    two = cohort_of([row | {"specimen_id": "s", "patient_id": "p"} for row in rows({"a": "1"}, {"a": "2"})])
    with pytest.raises(ManifestError, match="contradicts row 2"):
        labels(two, Task(name="a", label="a", positive=("1",), negative=("2",)))


def test_summary_counts_specimens_and_patients():
    cohort = cohort_of(
        rows(
            {"pathology": "tumor", "who_grade": "4", "who_edition": "2016", "wl_image": "y"},
            {"pathology": "tumor", "who_grade": "2", "patient_id": "p0"},
            {"pathology": "tumor"},
            {"pathology": "non-tumor"},
            {},
        )
    )
    summary = summarise(cohort, [BUILT_IN_TASKS["tumor"], BUILT_IN_TASKS["grade"]])
    assert (summary.patients, summary.specimens, summary.paired_specimens) == (4, 5, 1)
    tumor, grade = summary.tasks
    assert [(c.name, c.specimens, c.patients) for c in tumor.classes] == [("non-tumour", 1, 1), ("tumour", 3, 2)]
    assert (tumor.missing, grade.missing, grade.not_applicable) == (1, 1, 2)
    assert summary.rows()[2] == {"task": "tumor", "class": "no label", "specimens": 1, "patients": ""}
    for task in summary.tasks:
        assert task.labelled + task.missing + task.not_applicable == summary.specimens


def test_published_counts_of_real_images(shared, tmp_path):
    toml = tmp_path / "tasks.toml"
    toml.write_text('[tasks.activity]\nlabel = "activity"\npositive = ["activated"]\nnegative = ["quiescent"]\n')
    cohort = load_manifest(shared / "data" / "tcell" / "manifest.csv")
    task = summarise(cohort, resolve_tasks(["activity"], toml)).tasks[0]
    assert [c.specimens for c in task.classes] == [550, 302]


def test_ordinal_task_is_narrowed_to_the_levels_that_exist():
    rows = [
        {"patient_id": f"p{i}", "specimen_id": f"s{i}", "pathology": "tumor", "who_grade": grade}
        for i, grade in enumerate(["2", "3", "4", "2"])
    ]
    narrowed = present_levels(cohort_of(rows), BUILT_IN_TASKS["grade4"])
    assert narrowed.levels == ("2", "3", "4")
    assert list(labels(cohort_of(rows), narrowed)) == [0, 1, 2, 0]
    assert present_levels(cohort_of(rows), BUILT_IN_TASKS["tumor"]) is BUILT_IN_TASKS["tumor"]
    with pytest.raises(InputError, match="two are needed"):
        present_levels(cohort_of(rows[:1]), BUILT_IN_TASKS["grade4"])


def test_a_level_that_training_lacks_is_masked_and_not_moved():
    rows = [
        {"patient_id": f"p{i}", "specimen_id": f"s{i}", "pathology": "tumor", "who_grade": grade}
        for i, grade in enumerate(["1", "2", "3", "4", "2"])
    ]
    cohort = cohort_of(rows)
    narrowed = present_levels(cohort, BUILT_IN_TASKS["grade4"], ["s1", "s3"])
    assert narrowed.levels == ("2", "4")
    np.testing.assert_array_equal(labels(cohort, narrowed), [np.nan, 0, np.nan, 1, 0])
    with pytest.raises(InputError, match="the 2 specimens to train on are of 1 of its levels 1, 2, 3, 4"):
        present_levels(cohort, BUILT_IN_TASKS["grade4"], ["s1", "s4"])

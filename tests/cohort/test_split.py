import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glioscope.cohort import (
    Cohort,
    Split,
    group_folds,
    labels,
    leave_one_patient_out,
    read_split,
    resolve_tasks,
    specimen_patients,
    split_patients,
    write_split,
)
from glioscope.core import Role, SplitError, Task

from .tables import cohort_of, random_cohort

TASKS = resolve_tasks(["tumor", "grade", "ki67"])
SCHEMES = {
    "holdout": lambda cohort, seed: split_patients(cohort, TASKS, seed=seed),
    "folds": lambda cohort, seed: group_folds(cohort, TASKS, n_folds=3, seed=seed),
    "one out": lambda cohort, seed: leave_one_patient_out(cohort, TASKS, seed=seed),
}


def sides(cohort, split, fold, task):
    """Classes of a task on each side: role -> set of labels."""
    roles = specimen_patients(cohort).map(split.roles(fold))
    values = labels(cohort, task)
    return {role: set(values[roles == role].dropna()) for role in Role}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 14), st.integers(2, 12), st.sampled_from(sorted(SCHEMES)))
def test_no_patient_is_ever_on_two_sides(seed, n_patients, per_patient, scheme):
    cohort = random_cohort(seed, n_patients, per_patient)
    patients = sorted(set(cohort.table["patient_id"]))
    try:
        split = SCHEMES[scheme](cohort, seed)
    except SplitError:
        return
    for fold in split.folds:
        rows = split.table[split.table["fold"] == fold]
        assert sorted(rows["patient_id"]) == patients  # everyone once: one role, one side
        assert set(rows["role"]) <= {"train", "tune", "test"}
        for task in TASKS.values():
            found = sides(cohort, split, fold, task)
            assert found[Role.TRAIN] == {0.0, 1.0}
            if scheme == "holdout":
                assert found[Role.TEST] == {0.0, 1.0}
            lacking = {0.0, 1.0} - found[Role.TUNE]
            said = [note for note in split.notes if f"(task {task.name})" in note or "no tuning" in note]
            assert bool(lacking) <= bool(said)
    if scheme != "holdout":
        assert sorted(split.table.loc[split.table["role"] == "test", "patient_id"]) == patients


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(sorted(SCHEMES)))
def test_same_seed_same_split_in_any_row_order(seed, scheme):
    cohort = random_cohort(3, 12)
    table = cohort.table.sample(frac=1, random_state=seed).reset_index(drop=True)
    shuffled = Cohort(cohort.path, cohort.root, table, cohort.sha256, cohort.data_kind)
    pd.testing.assert_frame_equal(SCHEMES[scheme](cohort, seed).table, SCHEMES[scheme](shuffled, seed).table)


def test_seeds_differ():
    cohort = random_cohort(3, 16)
    tests = {SCHEMES["holdout"](cohort, seed).patients(Role.TEST) for seed in range(10)}
    assert len(tests) > 5


@pytest.mark.parametrize("seed", range(8))
def test_shares_of_a_cohort_like_the_papers(seed):
    cohort = random_cohort(seed, 23, per_patient=80, gbm_patients=7)
    split = split_patients(cohort, TASKS, seed=seed)
    owners, grade = specimen_patients(cohort), labels(cohort, TASKS["grade"])
    tested = owners.isin(split.patients("test"))
    assert 0.255 <= tested.mean() <= 0.345
    assert 0.20 <= tested[grade == 1].mean() <= 0.45
    tuned = owners.isin(split.patients("tune")).sum() / (~tested).sum()
    assert 0.15 <= tuned <= 0.25
    assert not [note for note in split.notes if "tune has no" in note]


def test_folds_are_even():
    cohort = random_cohort(1, 23, per_patient=80, gbm_patients=7)
    split = group_folds(cohort, TASKS, n_folds=5, seed=0)
    owners, grade = specimen_patients(cohort), labels(cohort, TASKS["grade"])
    shares = [owners.isin(split.patients("test", fold)).mean() for fold in split.folds]
    gbm = [(grade[owners.isin(split.patients("test", fold))] == 1).sum() for fold in split.folds]
    assert max(shares) - min(shares) < 0.08
    assert min(gbm) > 0


def rows(*patients):
    """One specimen per pathology word of each patient: rows("tn", "n") are three specimens of two patients."""
    words = {"t": {"pathology": "tumor"}, "n": {"pathology": "non-tumor"}}
    words |= {g: {"pathology": "tumor", "who_grade": g} for g in "1234"}
    return [
        {"patient_id": f"p{i}", "specimen_id": f"s{i}.{j}", "fl_image": "x"} | words[letter]
        for i, letters in enumerate(patients)
        for j, letter in enumerate(letters)
    ]


@pytest.mark.parametrize(
    ("patients", "sentence"),
    [
        (["tn"], "two patients"),
        (["t", "t"], "task tumor: no specimen is non-tumour"),
        (["n", "n"], "task tumor: no specimen is tumour"),
        (["tn", "t", "t"], r"only patient p0 has non-tumour \(task tumor\)"),
        (["t", "n", "n"], r"only patient p0 has tumour \(task tumor\)"),
        (["t", "t", "nn", "n"], None),
        (["tn", "tn"], None),
    ],
)
def test_impossible_splits_name_task_and_class(patients, sentence):
    cohort, tasks = cohort_of(rows(*patients)), resolve_tasks(["tumor"])
    for make in (split_patients, leave_one_patient_out):
        if sentence is None:
            assert make(cohort, tasks, seed=0).folds
            continue
        with pytest.raises(SplitError, match=sentence):
            make(cohort, tasks, seed=0)


def test_classes_that_cannot_all_be_on_both_sides():
    # The positive classes of a, b and c belong to p0 p1, p1 p2 and p2 p0: two of three patients are on one side.
    owners = {"a": (0, 1), "b": (1, 2), "c": (2, 0)}
    base = [{"patient_id": f"p{i}", "specimen_id": f"s{i}", "fl_image": "x"} for i in range(5)]
    full = [row | {n: "1" if i in owners[n] else "2" for n in owners} for i, row in enumerate(base)]
    tasks = [Task(name=n, label=n, positive=("1",), negative=("2",)) for n in owners]
    with pytest.raises(SplitError, match=r"none of \d+ random assignments .* which 2 patients have"):
        split_patients(cohort_of(full), tasks, seed=0)
    assert split_patients(cohort_of(full), tasks[:2], seed=0).folds == (0,)


def test_two_patients_leave_no_tuning_and_say_so():
    split = split_patients(cohort_of(rows("tn", "tn")), resolve_tasks(["tumor"]), seed=0)
    assert split.patients(Role.TUNE) == ()
    assert any("no tuning patients" in note for note in split.notes)


def test_ordinal_needs_two_levels_on_each_side_and_wishes_for_all():
    cohort = cohort_of(rows("2", "23", "3", "34", "4", "24", "1"))
    tasks = resolve_tasks(["grade4"])
    for seed in range(5):
        split = split_patients(cohort, tasks, test_fraction=0.4, seed=seed)
        found = sides(cohort, split, 0, tasks["grade4"])
        assert len(found[Role.TRAIN]) > 1
        assert len(found[Role.TEST]) > 1
    with pytest.raises(SplitError, match="all have level 2"):
        split_patients(cohort_of(rows("2", "2n")), tasks, seed=0)
    with pytest.raises(SplitError, match="no specimen has a label"):
        split_patients(cohort_of(rows("n", "n")), tasks, seed=0)


@pytest.mark.parametrize("options", [{"test_fraction": 0}, {"test_fraction": 1}, {"tune_fraction": 1}])
def test_fractions_out_of_range(options):
    with pytest.raises(SplitError, match="out of range"):
        split_patients(random_cohort(0, 8), TASKS, seed=0, **options)


def test_too_many_folds():
    with pytest.raises(SplitError, match="9 folds of 8 patients"):
        group_folds(random_cohort(0, 8), resolve_tasks(["tumor"]), n_folds=9, seed=0)


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_a_written_split_reads_back(tmp_path, scheme):
    cohort = random_cohort(5, 12)
    split = SCHEMES[scheme](cohort, 7)
    write_split(split, tmp_path / "split.csv")
    back = read_split(tmp_path / "split.csv", cohort)
    pd.testing.assert_frame_equal(back.table, split.table)
    assert (back.seed, back.scheme, back.notes) == (split.seed, split.scheme, split.notes)


def test_a_split_by_hand_and_what_can_be_wrong_with_it(tmp_path):
    cohort = cohort_of(rows("tn", "tn", "tn"))
    path = tmp_path / "split.csv"

    def read(text):
        path.write_text("patient_id,fold,role\n" + text)
        return read_split(path, cohort)

    assert isinstance(read("p0,,train\np1,,tune\np2,,test\n"), Split)
    for text, sentence in {
        "p0,0,train\np1,0,test\n": "lacks patient p2",
        "p0,0,train\np1,0,test\np2,0,test\np9,0,test\n": "patient p9, whom the manifest does not have",
        "p0,0,train\np1,0,test\np2,0,test\np2,0,train\n": "patient p2 is test and train in fold 0",
        "p0,0,train\np1,0,test\np2,0,test\np2,0,test\n": "p2 stands twice",
        "p0,0,train\np1,0,test\np2,0,holdout\n": "role 'holdout'",
        "p0,0,train\np1,0,test\np2,x,test\n": "fold 'x'",
        "p0,0,tune\np1,0,test\np2,0,test\n": "no patient for training",
    }.items():
        with pytest.raises(SplitError, match=sentence):
            read(text)
    path.write_text("patient_id\np0\n")
    with pytest.raises(SplitError, match="no column 'role'"):
        read_split(path, cohort)


def test_roles_of_a_fold():
    split = SCHEMES["folds"](random_cohort(2, 12), 0)
    assert set(split.roles(1).values()) == set(Role)
    with pytest.raises(SplitError, match="no fold 9"):
        split.roles(9)


def test_thousand_patients_are_quick():
    cohort = random_cohort(0, 1000, per_patient=2)
    split = split_patients(cohort, TASKS, seed=0)
    assert 0.255 <= np.mean(specimen_patients(cohort).isin(split.patients("test"))) <= 0.345

"""`glioscope evaluate` as a user and as an attacker: one clear sentence, or a warning that stands in the report."""

import html
import json
import re
import resource
import signal
import subprocess
import time

import numpy as np
import pandas as pd
import pytest

from tests.report import studies

from ..commands import GLIOSCOPE, refused, run

HOSTILE = (
    *("<script>alert(1)</script>", "=cmd()", "../x", "[red]", "n" * 300, "\N{BRAIN}", 'a, b; "c"'),
    *("$\\frac$", "&amp;", "nan", "100 %_{x}"),
)


def table(**changes):
    """Test rows first: two models, 36 test specimens of 4 patients and 24 tuning specimens of 3 others."""
    made = studies.predictions(
        tasks=("tumor",), models=("fl", "wl"), n=36, patients=4, n_tune=24, tune_patients=3
    ).drop(columns=["y_probability", "decision", "level"])
    return made.sort_values("split", kind="stable").reset_index(drop=True).assign(**changes)


def with_cell(column, value, row=2):
    """The table as text with one cell changed; rows are counted as a spreadsheet does."""
    text = table().astype(str)
    text.loc[row - 2, column] = value
    return text


@pytest.fixture
def evaluate(tmp_path):
    """Runs `evaluate` on tables; the report, if there is one, is in tmp_path / "out"."""

    def call(predictions, *options, readings=None, out=tmp_path / "out"):
        predictions.to_csv(tmp_path / "p.csv", index=False)
        if readings is not None:
            readings.to_csv(tmp_path / "r.csv", index=False)
            options = ("--readings", tmp_path / "r.csv", *options)
        return run("evaluate", tmp_path / "p.csv", "--out", out, "--no-pdf", *options)

    return call


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made but not drawn, which takes most of the time."""
    monkeypatch.setattr(
        "glioscope.report._evaluate.write_figures",
        lambda figures, folder: {figure.name: "<svg></svg>" for figure in figures},
    )


def nothing_written(tmp_path):
    return not any(path.name.lstrip(".").startswith("out") for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("y_score", "nan", "is no score; give a number from 0 to 1"),
        ("y_score", "inf", "is no score"),
        ("y_score", "-0.1", "is no score"),
        ("y_score", "1.5", "is no score"),
        ("y_score", "0,5", "is no score"),
        ("y_score", "", "is no score"),
        ("y_true", "0.5", "is no label"),
        ("y_true", "tumor", "is no label"),
        ("split", "dev", "is not known; give train, tune, test"),
        ("fold", "-1", "is no whole number"),
        ("model", "", "is blank"),
        ("model", "a,b\nc", "has a control character"),
        ("patient_id", "a\x01", "has a control character"),
        ("specimen_id", "a\tb", "has a control character"),
        *(("task", name, "is no task name") for name in (*HOSTILE[:7], "Tumor", "a b", "..", "t" * 61)),
        ("task", "a\nb", "has a control character"),
    ],
)
def test_a_wrong_cell_is_named_by_file_row_column_and_value(evaluate, tmp_path, column, value, words):
    said = refused(evaluate(with_cell(column, value)), f"{tmp_path / 'p.csv'}: row 2, {column}: ", words)
    assert not value or repr(value) in said or value in said
    assert nothing_written(tmp_path)


def twice():
    return pd.concat([table(), table().iloc[[5]]])


def other_label():
    rows = table()
    first = rows.loc[0, "specimen_id"]
    rows.loc[(rows["specimen_id"] == first) & (rows["model"] == "wl"), "y_true"] = 1 - rows.loc[0, "y_true"]
    return rows


def tuned_and_tested():
    rows = table(model="fl").drop_duplicates("specimen_id")
    rows.loc[rows["split"] == "tune", "patient_id"] = rows.loc[0, "patient_id"]
    return rows


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (twice, ("row 122, specimen_id", "predicted twice")),
        (other_label, ("y_true", "differs from", "the label of that specimen and task above")),
        (tuned_and_tested, ("row 2, patient_id: 'p00'", "has test rows and others")),
        (lambda: table().iloc[:0], ("has a header and no rows",)),
        (lambda: table().drop(columns="y_score"), ("y_score: is a required column that is missing",)),
        (lambda: table(split="tune"), ("has no test row",)),
        (lambda: table(y_true=np.nan), ("no test row has a known label",)),
    ],
)
def test_a_table_that_contradicts_itself_or_holds_nothing(evaluate, tmp_path, rows, words):
    refused(evaluate(rows()), *words)
    assert nothing_written(tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("p.xlsx", "is not an Excel workbook"),
        ("p.parquet", "is not a Parquet file"),
        ("p.txt", "has the suffix .txt"),
        ("none.csv", "does not exist"),
        ("", "is not a file"),
    ],
)
def test_a_file_that_is_no_table(tmp_path, name, words):
    for real in ("p.xlsx", "p.parquet", "p.txt"):
        (tmp_path / real).write_text(table().to_csv(index=False))
    refused(run("evaluate", tmp_path / name, "--out", tmp_path / "out"), str(tmp_path / name), words)


@pytest.mark.parametrize("option", ["--readings", "--study", "--manifest", "--pathology", "--suite"])
def test_every_other_file_that_is_missing_is_named(evaluate, tmp_path, option):
    refused(evaluate(table(), option, tmp_path / "none.csv"), str(tmp_path / "none.csv"))
    assert nothing_written(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--protocol", "loose"), ("--protocol 'loose'", "strict, paper or both")),
        (("--threshold", "grade=0.5"), ("threshold", "'grade'", "tumor")),
        (("--threshold", "1.5"), ("'1.5' is out of range",)),
        (("--threshold", "nan"), ("'nan' is out of range",)),
        (("--threshold", "tumor=half"), ("'tumor=half' is no number",)),
        (("--threshold", "=0.5"), ("'=0.5' names no task",)),
        (("--threshold", "0.5", "--threshold", "0.6"), ("given twice for all tasks",)),
        (("--threshold", "tumor=0.5", "--threshold", "tumor=0.5"), ("given twice for tumor",)),
        (("--seed", "-1"), ("--seed",)),
    ],
)
def test_options_are_refused(evaluate, tmp_path, options, words):
    refused(evaluate(table(), *options), *words)
    assert nothing_written(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modality": "mri"}, ("row 2, modality: 'mri'", "give fl or wl")),
        ({"reading": 2}, ("row 2, reading: '2'",)),
        ({"rating": 6}, ("row 2, rating: '6'",)),
        ({"reader": ""}, ("row 2, reader", "is blank")),
        ({"reader": "a\nb"}, ("row 2, reader", "control character")),
    ],
)
def test_a_wrong_reading_is_named(evaluate, tmp_path, changes, words):
    refused(evaluate(table(), readings=studies.readings(table()).iloc[:1].assign(**changes)), "r.csv", *words)
    assert nothing_written(tmp_path)


def test_a_reading_that_stands_twice(evaluate):
    rows = studies.readings(table())
    refused(evaluate(table(), readings=pd.concat([rows, rows.iloc[[0]]])), "r.csv: row 218", "is read twice")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("titel = 'x'", ("'titel' is not known", "'title'")),
        ("title = 3", ("title",)),
        ("title", ("is not a TOML file",)),
        ("[comparisons]\nprimary = 'nosuch'", ("comparisons.primary 'nosuch'", "fl, wl")),
        (
            "[[comparisons.families]]\nname = 'f'\ntests = [{task = 'tumor', a = 'fl', b = 'nope', metric = 'auc'}]",
            ("family 'f'", "'nope'"),
        ),
        (
            "[[comparisons.families]]\nname = 'f'\ntests = [{task = 'grade', a = 'fl', b = 'wl', metric = 'auc'}]",
            ("family 'f'", "'grade'"),
        ),
    ],
)
def test_what_study_toml_declares_must_exist(evaluate, tmp_path, content, words):
    (tmp_path / "study.toml").write_text(content)
    refused(evaluate(table(), "--study", tmp_path / "study.toml"), "study.toml", *words)
    assert nothing_written(tmp_path)


def test_several_files_may_not_contradict_one_another(evaluate, tmp_path):
    table(y_score=0.25).to_csv(tmp_path / "other.csv", index=False)
    refused(evaluate(table(), tmp_path / "other.csv"), "p.csv and", "other.csv", "specimen p00-", "predicted twice")
    assert nothing_written(tmp_path)


@pytest.mark.parametrize("kind", ["file", "folder of other things", "training run", "report with notes", "here"])
def test_only_an_earlier_report_is_replaced(evaluate, tmp_path, monkeypatch, kind):
    out = tmp_path / "mine"
    if kind == "file":
        out.write_text("mine")
    else:
        out.mkdir()
    names = {
        "folder of other things": ["keep.txt"],
        "training run": ["metrics.json", "predictions.csv"],
        "report with notes": ["metrics.json", "report.html", "notes.txt"],
    }.get(kind, [])
    for name in names:
        (out / name).write_text("mine")
    if kind == "here":
        monkeypatch.chdir(out)
        refused(evaluate(table(), out="."), "the folder that you are in")
    else:
        refused(evaluate(table(), out=out), str(out), "is no earlier report")
        assert {p.read_text() for p in ([out] if kind == "file" else out.iterdir())} == {"mine"}
    if kind == "file":
        refused(evaluate(table(), out=out / "out"), str(out))


def one_class():
    return table(y_true=1), None, "all 36 test specimens are tumour; there is no AUC"


def one_class_tested():
    rows = table()
    rows.loc[rows["split"] == "test", "y_true"] = 0
    return rows, studies.readings(rows), "all 36 test specimens are non-tumour; there is no AUC"


def constant():
    return table(y_score=0.3), None, "all 36 scores of fl are 0.3; it tells nothing"


def one_patient():
    rows = table(patient_id=table()["split"])
    return rows, studies.readings(rows), "one test patient: no interval by patient exists"


def labels_missing():
    rows = table()
    rows.loc[rows["specimen_id"].isin(rows["specimen_id"].drop_duplicates()[:3]), "y_true"] = np.nan
    return rows, None, "3 of 36 test specimens have no label and are left out"


def other_specimens():
    rows = table()
    seen = rows.loc[rows["split"] == "test", "specimen_id"].drop_duplicates()
    return rows[~((rows["model"] == "wl") & rows["specimen_id"].isin(seen[:6]))], None, "(fl 36, wl 30)"


def skipping_reader():
    rows = studies.readings(table())
    return table(), rows.drop(rows.index[:5]), "reader A read 31 of 36 test specimens in FL"


def unknown_specimens():
    rows = studies.readings(table())
    more = rows.iloc[:2].assign(specimen_id=["zz1", "zz2"])
    return table(), pd.concat([rows, more]), "2 specimens of the readings are no labelled test specimens (zz1, zz2)"


@pytest.mark.parametrize(
    "odd",
    [
        *(one_class, one_class_tested, constant, one_patient, labels_missing),
        *(other_specimens, skipping_reader, unknown_specimens),
    ],
)
def test_what_is_odd_is_evaluated_with_a_warning_in_the_report(evaluate, undrawn, tmp_path, odd):
    rows, readings, words = odd()
    ran = evaluate(rows, "--protocol", "both", readings=readings)
    assert ran.code == 0, ran.err
    assert any(words in line for line in ran.err.splitlines() if line.startswith("warning ")), ran.err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert any(words in warning for warning in metrics["warnings"])
    assert words in html.unescape((tmp_path / "out" / "report.html").read_text())


def test_patients_whom_the_suite_was_trained_on(tiny_run, tmp_path):
    info = json.loads((tiny_run / "suite" / "tumor-fl" / "bundle.json").read_text())
    seen = info["provenance"]["train_patients"][0]
    rows = pd.read_csv(tiny_run / "predictions.csv", dtype=str, keep_default_na=False)
    rows = rows[rows["split"] == "test"]
    rows.loc[rows["patient_id"] == rows["patient_id"].iloc[0], "patient_id"] = seen
    rows.to_csv(tmp_path / "p.csv", index=False)
    ran = run("evaluate", tmp_path / "p.csv", "--suite", tiny_run / "suite", "--out", tmp_path / "out", "--no-pdf")
    refused(ran, f"patient {seen}", "was used to train or tune bundle", "--out-of-fold")
    assert nothing_written(tmp_path)


def test_hostile_names_stay_text(evaluate, undrawn, tmp_path):
    rows = pd.concat([table(model=name) for name in HOSTILE]).drop_duplicates(["specimen_id", "model"])
    place = dict(zip(sorted(set(rows["patient_id"])), HOSTILE, strict=False))
    rows["patient_id"] = rows["patient_id"].map(place)
    rows["specimen_id"] = rows["patient_id"] + rows["specimen_id"]
    readings = studies.readings(rows, readers=HOSTILE[:4], modalities=("fl",))
    ran = evaluate(rows, readings=readings)
    assert ran.code == 0, ran.err
    out = tmp_path / "out"
    assert {path.name for path in tmp_path.iterdir()} == {"p.csv", "r.csv", "out"}
    assert all(re.fullmatch(r"[a-z0-9.-]+", path.name) for path in out.rglob("*"))
    page = (out / "report.html").read_text()
    assert "<script>alert" not in page
    assert html.escape(HOSTILE[0]) in page
    models = json.loads((out / "metrics.json").read_text())["protocols"]["strict"]["tasks"]["tumor"]["models"]
    assert list(models) == list(HOSTILE)
    by_patient = pd.read_csv(out / "tables" / "table-patients-tumor.csv", keep_default_na=False)
    # A spreadsheet would run what begins with "=": a quote makes it text.
    tested = rows.loc[rows["split"] == "test", "patient_id"]
    assert set(by_patient["Patient"]) == {f"'{name}" if name[0] in "=+@" else name for name in tested}
    assert "[red]" in ran.out


@pytest.fixture
def earlier(evaluate, undrawn, tmp_path):
    """A report that is there already, and its bytes."""
    assert evaluate(table()).code == 0
    return {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}


def intact(tmp_path, earlier):
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == earlier
    assert {path.name for path in tmp_path.iterdir()} == {"p.csv", "out"}


def test_an_earlier_report_is_replaced_as_a_whole(evaluate, undrawn, tmp_path, earlier):
    stale = tmp_path / "out" / "tables" / "table-of-another-run.csv"
    stale.write_text("old")
    assert evaluate(table()).code == 0
    assert not stale.exists()
    assert {path for path in (tmp_path / "out").rglob("*") if path.is_file()} == set(earlier)


@pytest.mark.parametrize("kilobytes", [2, 100])
def test_a_full_disk_leaves_the_earlier_report_and_nothing_else(tmp_path, earlier, kilobytes):
    ran = subprocess.run(
        [GLIOSCOPE, "evaluate", tmp_path / "p.csv", "--out", tmp_path / "out", "--no-pdf"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes << 10, resource.RLIM_INFINITY)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 2, ran.stderr
    errors = [line for line in ran.stderr.splitlines() if line.startswith("error")]
    assert len(errors) == 1
    assert errors[0].endswith(": File too large")
    assert "Traceback" not in ran.stderr
    intact(tmp_path, earlier)


def test_ctrl_c_leaves_the_earlier_report_and_nothing_else(tmp_path, earlier):
    process = subprocess.Popen(
        [GLIOSCOPE, "evaluate", tmp_path / "p.csv", "--out", tmp_path / "out", "--no-pdf"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not any(tmp_path.glob(".out-*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.rstrip().endswith("error stopped")
    assert "Traceback" not in err
    intact(tmp_path, earlier)

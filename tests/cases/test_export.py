"""Cases as training data, read back by `cohort` and diagnosed again."""

import csv
from datetime import timedelta
from pathlib import Path

import cv2
import pandas as pd
import pytest

from glioscope.cases._export import ERASED, NO_CONSENT, NO_PICTURES, NOT_FOUND, WITHDRAWN, export_cases
from glioscope.cases._icg import icg_remarks
from glioscope.cases._records import CaseRecord, Correction, Withdrawal
from glioscope.cases._roles import COMMAND_LINE, NotAllowed
from glioscope.cases._store import NoSuchCase
from glioscope.cli._export import known_labels
from glioscope.cohort import (
    check_predictions,
    load_manifest,
    read_pathology,
    read_predictions,
    read_readings,
    read_study,
    sources,
)
from glioscope.core import InputError
from glioscope.imaging import SpecimenSource, read_fl, read_wl
from glioscope.runtime import Cascade

from ..suites import lenient_suite
from .filled import (
    ADMINISTRATOR,
    OPENED,
    OPERATOR,
    SURGEON,
    answer,
    begin,
    make_store,
    pathology,
    pictures,
    read_blind,
    say,
    take,
)


@pytest.fixture
def store(tmp_path):
    with make_store(tmp_path / "store") as made:
        yield made


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_an_exported_case_is_a_manifest_without_a_problem(store, tmp_path):
    case = begin(store, who_edition="2016")
    first = take(store, case, sector=3)
    take(store, case, 0.2, sector=None)
    say(store, SURGEON, first, Correction(sector=4))
    pathology(store, first, who_grade=4, diagnosis="Glioblastoma", ki67_percent=32.5, idh="wildtype")
    summary = export_cases(store, tmp_path / "out", actor=OPERATOR, labels=known_labels)
    cohort = load_manifest(tmp_path / "out" / "manifest.csv", check_pixels=True)
    assert cohort.warnings == ()
    assert cohort.data_kind == "simulated"
    one, two = cohort.table.to_dict("records")
    assert (one["patient_id"], one["specimen_id"], one["sector"], one["sample_index"]) == (
        "P-07",
        first.specimen_id,
        4,
        1,
    )
    assert (one["pathology"], one["who_grade"], one["who_edition"], one["grade_class"]) == ("tumor", "4", "2016", "GBM")
    assert (one["ki67_percent"], one["idh"], one["device_id"]) == (32.5, "wildtype", "bench 2")
    assert (one["fl_exposure_ms"], one["fl_gain"], one["distance_mm"], one["irradiance_mw_cm2"]) == (100, 1, 300, 50)
    assert one["acquired_at"] == first.taken_at.isoformat()
    assert (two["pathology"], two["who_edition"]) == ("", "")
    assert pd.isna(two["sector"])
    assert (summary.n_cases, summary.n_specimens, summary.n_labelled, summary.left_out) == (1, 2, 1, {})


def test_images_leave_the_store_byte_for_byte(store, tmp_path):
    case = begin(store)
    shown = pictures(5)
    specimen = take(store, case, images=shown)
    export_cases(store, tmp_path / "out", actor=OPERATOR)
    for slot in ("fl", "wl"):
        path = tmp_path / "out" / "images" / f"{specimen.specimen_id}_{slot}.png"
        assert path.read_bytes() == shown[slot]
    assert read_fl(tmp_path / "out" / "images" / f"{specimen.specimen_id}_fl.png").pixels.dtype == "uint16"


def test_what_must_not_be_exported_is_left_out_and_counted(store, tmp_path):
    case = begin(store)
    kept = take(store, case)
    say(store, SURGEON, take(store, case), Withdrawal(reason="mixed up"))
    take(store, case, images={})
    take(store, case, framing="full")
    take(store, begin(store, "P-08", consent=False))
    erased = begin(store, "P-09")
    take(store, erased)
    store.erase_case(ADMINISTRATOR, erased.case_id, "consent withdrawn")
    summary = export_cases(store, tmp_path / "out", actor=OPERATOR)
    assert [row["specimen_id"] for row in rows(tmp_path / "out" / "manifest.csv")] == [kept.specimen_id]
    assert summary.left_out == {WITHDRAWN: 1, NO_PICTURES: 1, NOT_FOUND: 1, NO_CONSENT: 1, ERASED: 1}
    assert len(list((tmp_path / "out" / "images").iterdir())) == 2


def test_pathologists_and_their_consensus_are_a_pathology_table(store, tmp_path):
    case = begin(store)
    both, alone, agreed = take(store, case), take(store, case), take(store, case)
    pathology(store, both, who_grade=3, who=0)
    pathology(store, both, who_grade=4, who=1, ki67_positive=200, ki67_counted=1000)
    pathology(store, both, who_grade=4, consensus=True)
    pathology(store, alone, "non-tumor")
    pathology(store, agreed, who_grade=2, consensus=True)
    summary = export_cases(store, tmp_path / "out", actor=OPERATOR)
    table = read_pathology(tmp_path / "out" / "pathology.csv")
    of_both = table[table["specimen_id"] == both.specimen_id]
    assert of_both["who_grade"].tolist() == ["3", "4"]
    assert of_both["consensus"].tolist() == ["4", "4"]
    assert of_both["ki67_percent"].tolist()[1] == 20
    assert table.loc[table["specimen_id"] == agreed.specimen_id, "consensus"].tolist() == ["2"]
    manifest = load_manifest(tmp_path / "out" / "manifest.csv").table.set_index("specimen_id")
    assert manifest.loc[both.specimen_id, "who_grade"] == "4"
    assert manifest.loc[alone.specimen_id, "pathology"] == "non-tumor"
    assert summary.n_opinions == 4
    study = read_study(tmp_path / "out" / "study.toml")
    assert [one.pathologist for one in study.pathologists] == ["pathologist-1", "pathologist-2"]


def test_two_opinions_without_consensus_are_no_label_and_are_told(store, tmp_path):
    case = begin(store)
    specimen = take(store, case)
    pathology(store, specimen, who_grade=3, who=0, ki67_percent=1.0, ki67_positive=10, ki67_counted=1000)
    pathology(store, specimen, "non-tumor", who=1)
    summary = export_cases(store, tmp_path / "out", actor=OPERATOR)
    assert rows(tmp_path / "out" / "manifest.csv")[0]["pathology"] == ""
    assert len(read_pathology(tmp_path / "out" / "pathology.csv")) == 2
    assert len(summary.remarks) == 1
    assert specimen.specimen_id in summary.remarks[0]


def test_only_the_first_reading_before_the_answer_is_a_reading(store, tmp_path):
    case = begin(store, blind_reading=True)
    one, two, three = take(store, case), take(store, case), take(store, case)
    read_blind(store, two, 0, rating=2)
    read_blind(store, one, 1, rating=5)
    read_blind(store, one, 0, before_answer=False)
    read_blind(store, one, 0)
    read_blind(store, three, 1, before_answer=False)
    export_cases(store, tmp_path / "out", actor=OPERATOR)
    table = read_readings(tmp_path / "out" / "readings.csv").set_index("specimen_id")
    assert sorted(table.index) == sorted([one.specimen_id, two.specimen_id])
    assert table.loc[one.specimen_id, ["reading", "rating", "read_order"]].tolist() == [1, 5, 2]
    assert table.loc[two.specimen_id, ["reading", "rating", "read_order"]].tolist() == [0, 2, 1]
    assert [one.reader for one in read_study(tmp_path / "out" / "study.toml").readers] == ["surgeon"]


def test_what_theatre_said_is_a_predictions_table(store, tmp_path):
    case = begin(store, who_edition="2016")
    tumour = {
        "tumor": answer(0.9),
        "grade": answer(0.7),
        "ki67": answer(0.4),
        "grade4": answer(0.8, "level", level_probabilities=[0.1, 0.2, 0.1, 0.6]),
    }
    blank = {"tumor": answer(None, "not_assessable"), "grade": answer(None, "not_asked")}
    one, two = take(store, case, tasks=tumour), take(store, case, tasks=blank)
    pathology(store, one, who_grade=3, ki67_percent=12)
    pathology(store, two, "non-tumor")
    export_cases(store, tmp_path / "out", actor=OPERATOR, labels=known_labels)
    table = read_predictions(tmp_path / "out" / "predictions.csv")
    check_predictions(table, "predictions.csv")
    assert set(table["specimen_id"]) == {one.specimen_id}
    said = table.set_index("task")
    assert said.loc[["tumor", "grade", "ki67"], "y_true"].tolist() == [1, 0, 1]
    assert said.loc[["tumor", "grade", "ki67"], "y_score"].tolist() == [0.9, 0.7, 0.4]
    assert said.loc["ki67", "decision"] == "negative"
    assert said.loc["grade4", "level"] == 3
    assert set(table["model"]) == {"suite-5f5f5f5f"}
    assert set(table["split"]) == {"test"}


def test_named_cases_alone_are_exported_and_leave_a_trace(store, tmp_path):
    one, two = begin(store, "P-01"), begin(store, "P-02")
    take(store, one)
    take(store, two)
    with store.database.session() as session:
        before = store.audit.verify(session).n_links
    summary = export_cases(store, tmp_path / "out", actor=COMMAND_LINE, case_ids=[two.case_id, two.case_id])
    assert {row["patient_id"] for row in rows(tmp_path / "out" / "manifest.csv")} == {"P-02"}
    assert summary.n_patients == 1
    with store.database.session() as session:
        report = store.audit.verify(session)
    assert report.problems == ()
    assert report.n_links == before + 1


def test_what_cannot_be_exported_is_one_sentence_and_leaves_nothing(store, tmp_path):
    out = tmp_path / "out"
    case = begin(store)
    with pytest.raises(InputError, match="nothing to export"):
        export_cases(store, out, actor=OPERATOR)
    take(store, case)
    with pytest.raises(NotAllowed):
        export_cases(store, out, actor=SURGEON)
    with pytest.raises(NoSuchCase):
        export_cases(store, out, actor=OPERATOR, case_ids=["c0"])
    take(store, begin(store, "R-1", data_kind="real"))
    with pytest.raises(InputError, match="simulated and real"):
        export_cases(store, out, actor=OPERATOR)
    assert not out.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    out.mkdir()
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="not empty"):
        export_cases(store, out, actor=OPERATOR, case_ids=[case.case_id])
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_more_cases_than_a_page_of_the_list_are_all_exported_oldest_first(store, tmp_path, monkeypatch):
    monkeypatch.setattr("glioscope.cases._export._PAGE", 2)
    for number in range(5):
        take(store, begin(store, f"P-{number}"))
    export_cases(store, tmp_path / "out", actor=OPERATOR)
    patients = [row["patient_id"] for row in rows(tmp_path / "out" / "manifest.csv")]
    assert patients == [f"P-{number}" for number in range(5)]


@pytest.mark.slow
def test_exported_images_get_the_scores_that_theatre_stored(store, tmp_path, tiny_cohort, tiny_suite):
    cascade = Cascade.load(lenient_suite(tiny_suite, tmp_path / "suite"))
    cohort = load_manifest(tiny_cohort)
    case, said = begin(store), {}
    for row in cohort.table.head(6).to_dict("records"):
        fl = read_fl(cohort.root / row["fl_image"]).pixels
        wl = read_wl(cohort.root / row["wl_image"]).pixels
        shown = {"fl": bytes(cv2.imencode(".png", fl)[1]), "wl": bytes(cv2.imencode(".png", wl[:, :, ::-1])[1])}
        for slot, data in shown.items():
            (tmp_path / f"{slot}.png").write_bytes(data)
        source = SpecimenSource("now", tmp_path / "fl.png", tmp_path / "wl.png", fl_exposure_ms=100.0, mm_per_px=0.1)
        found = cascade.diagnose_files(source).to_json()
        specimen = take(store, case, images=shown, tasks=found["tasks"], fl_gain=None, distance_mm=None)
        said[specimen.specimen_id] = found["tasks"]
    export_cases(store, tmp_path / "out", actor=OPERATOR)
    again = {
        source.specimen_id: cascade.diagnose_files(source).to_json()["tasks"]
        for source in sources(load_manifest(tmp_path / "out" / "manifest.csv"))
    }
    assert again == said
    assert all(tasks["tumor"]["y_score"] is not None for tasks in said.values())
    assert len({tasks["tumor"]["y_score"] for tasks in said.values()}) == 6


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, ()),
        ({"icg_mg_per_kg": 1.2, "icg_given_at": OPENED - timedelta(hours=36)}, ()),
        ({"icg_mg_per_kg": None}, ("dose is not recorded",)),
        ({"icg_given_at": None}, ("time at which ICG was given is not recorded",)),
        ({"icg_mg_per_kg": 5.0}, ("dose is 5 mg/kg; 1 mg/kg is expected",)),
        ({"icg_given_at": OPENED - timedelta(hours=4)}, ("given 4.0 h before", "48 h is expected")),
        ({"icg_given_at": OPENED + timedelta(hours=2)}, ("2.0 h after the case was opened",)),
    ],
)
def test_an_odd_dose_or_time_of_icg_is_remarked(facts, words):
    known = {"icg_mg_per_kg": 1.0, "icg_given_at": OPENED - timedelta(hours=48)}
    remarks = icg_remarks(CaseRecord(patient_id="P", consent=True, **(known | facts)), OPENED)
    assert len(remarks) == bool(words)
    assert all(word in remarks[0] for word in words)

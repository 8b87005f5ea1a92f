"""A whole training run on the tiny cohort: its predictions, folds, and agreement with the theatre."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

torch = pytest.importorskip("torch", reason="needs glioscope[train]")

from glioscope.cohort import (  # noqa: E402
    group_folds,
    labels,
    load_manifest,
    read_predictions,
    read_split,
    resolve_tasks,
    sources,
    split_patients,
)
from glioscope.core import BundleInfo, Canvas, Decision, FLPlan, InputError, Modality, WLPlan  # noqa: E402
from glioscope.imaging import prepare_specimen, specimen_signal  # noqa: E402
from glioscope.models import (  # noqa: E402
    FinetuneSettings,
    ProbeSettings,
    TrainSettings,
    create_backbone,
    resolve_white,
    train_study,
)
from glioscope.models._resume import read_finished, write_finished  # noqa: E402
from glioscope.runtime import Cascade, RuntimeSettings  # noqa: E402

from ..commands import refused, run  # noqa: E402
from ..conftest import TASKS  # noqa: E402
from ..suites import copy_suite  # noqa: E402
from .test_export import info as bundle_info  # noqa: E402

MODELS = {"fl-probe", "wl-probe", "fusion-probe"}
ONE = ("--strategy", "probe", "--size", 64, "--task", "tumor", "--modality", "fl")


@pytest.fixture(scope="module")
def cohort(tiny_cohort):
    return load_manifest(tiny_cohort)


@pytest.fixture(scope="module")
def predictions(tiny_run):
    return read_predictions(tiny_run / "predictions.csv")


def patients_by_role(run_folder, cohort, fold=0):
    roles = read_split(run_folder / "split.csv", cohort).roles(fold)
    return {role: {p for p, r in roles.items() if r == role} for role in ("train", "tune", "test")}


def test_every_tuning_and_test_specimen_is_scored_for_every_task_and_model(tiny_run, cohort, predictions):
    by_role = patients_by_role(tiny_run, cohort)
    specimens = cohort.table.groupby("patient_id")["specimen_id"].agg(set)
    assert set(predictions["split"]) == {"tune", "test"}
    assert set(predictions["task"]) == set(TASKS)
    for (_, model, role), rows in predictions.groupby(["task", "model", "split"]):
        assert model in MODELS
        assert set(rows["specimen_id"]) == set().union(*(specimens[p] for p in by_role[role]))
        assert set(rows["patient_id"]) == by_role[role]
        assert rows["specimen_id"].is_unique
    assert not set(predictions["patient_id"]) & by_role["train"]
    assert len(predictions.groupby(["task", "model"])) == len(TASKS) * len(MODELS)


def test_labels_are_those_of_the_manifest_and_unknown_ones_stay_blank(cohort, predictions):
    tasks = resolve_tasks(TASKS)
    for task, rows in predictions.groupby("task"):
        expected = labels(cohort, tasks[task]).loc[rows["specimen_id"]].to_numpy(float)
        np.testing.assert_array_equal(rows["y_true"].to_numpy(float), expected)
    assert predictions.loc[predictions["task"] == "ki67", "y_true"].isna().any()


def test_decisions_follow_the_locked_thresholds(tiny_suite, predictions):
    for (task, model), rows in predictions.groupby(["task", "model"]):
        info = json.loads((tiny_suite / f"{task}-{model.removesuffix('-probe')}" / "bundle.json").read_text())
        threshold = 1 / (1 + np.exp(-info["threshold"]["logit"][0]))
        assert ((rows["y_score"] >= threshold - 1e-12) == (rows["decision"] == "positive")).all()


def test_the_suite_chose_by_the_tuning_patients_and_says_who_trained_it(tiny_run, tiny_suite, cohort):
    suite = json.loads((tiny_suite / "suite.json").read_text())
    by_role = patients_by_role(tiny_run, cohort)
    assert suite["data_kind"] == "simulated"
    for task in TASKS:
        infos = {
            m: json.loads((tiny_suite / f"{task}-{m}" / "bundle.json").read_text()) for m in ("fl", "wl", "fusion")
        }
        best = max(infos, key=lambda m: round(infos[m]["metrics"]["tune_auc"], 4))
        assert suite["answers"][task] == f"{task}-{best}"
        for info in infos.values():
            assert set(info["provenance"]["train_patients"]) == by_role["train"]
            assert set(info["provenance"]["tune_patients"]) == by_role["tune"]
            assert info["provenance"]["manifest_sha256"] == cohort.sha256


@pytest.mark.parametrize("modality", ["fl", "wl", "fusion"])
def test_theatre_and_training_give_the_same_scores(tiny_suite, cohort, predictions, tmp_path, modality):
    answers = {task: f"{task}-{modality}" for task in TASKS}
    cascade = Cascade.load(copy_suite(tiny_suite, tmp_path / "suite", **answers), RuntimeSettings(threads=1))
    test = predictions[(predictions["split"] == "test") & (predictions["model"] == f"{modality}-probe")]
    expected = test.pivot_table(index="specimen_id", columns="task", values="y_score")
    decided = test[test["task"] == "tumor"].set_index("specimen_id")["decision"]
    asked = 0
    for source in sources(cohort):
        if source.specimen_id not in expected.index:
            continue
        tumor, ki67 = cascade.diagnose_files(source).tasks
        assert tumor.y_score == pytest.approx(expected.loc[source.specimen_id, "tumor"], abs=1e-3)
        if abs(tumor.y_score - tumor.threshold) > 1e-3:
            assert tumor.decision == decided[source.specimen_id]
        if tumor.decision is Decision.POSITIVE:
            asked += 1
            assert ki67.y_score == pytest.approx(expected.loc[source.specimen_id, "ki67"], abs=1e-3)
        else:
            assert (ki67.decision, ki67.y_score, ki67.answer) == (Decision.NOT_ASKED, None, "not asked: not tumour")
    assert asked > 0


def trained(cohort, out, *options):
    ran = run("train", cohort, "--out", out, *ONE, *options)
    assert ran.code == 0, ran.err
    return read_predictions(out / "predictions.csv")


@pytest.mark.parametrize(("options", "folds"), [(("--folds", 3), 3), (("--leave-one-patient-out",), 6)])
def test_folds_test_every_patient_once(tiny_cohort, cohort, tmp_path, options, folds):
    out = tmp_path / "RUN"
    table = trained(tiny_cohort, out, *options)
    assert sorted(table["fold"].unique()) == list(range(folds))
    test = table[table["split"] == "test"]
    assert sorted(test["specimen_id"]) == sorted(cohort.table["specimen_id"])
    for fold, rows in table.groupby("fold"):
        by_role = patients_by_role(out, cohort, fold)
        assert set(rows.loc[rows["split"] == "test", "patient_id"]) == by_role["test"]
        assert not set(rows["patient_id"]) & by_role["train"]
        assert (out / f"fold-{fold}" / "suite" / "suite.json").is_file()
    metrics = json.loads((out / "metrics.json").read_text())["protocols"]["strict"]["tasks"]["tumor"]
    assert metrics["n_patients"] == 6


def test_the_same_seed_and_the_same_split_file_give_the_same_bytes(tiny_cohort, tiny_run, tmp_path):
    first = trained(tiny_cohort, tmp_path / "a", "--seed", 5)
    trained(tiny_cohort, tmp_path / "b", "--seed", 5)
    for name in ("predictions.csv", "split.csv", "metrics.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    other = trained(tiny_cohort, tmp_path / "c", "--seed", 5, "--split", tiny_run / "split.csv")
    assert (
        pd.read_csv(tmp_path / "c" / "split.csv")[["patient_id", "role"]].values.tolist()
        == pd.read_csv(tiny_run / "split.csv")[["patient_id", "role"]].values.tolist()
    )
    assert set(other.loc[other["split"] == "test", "patient_id"]) == set(
        read_predictions(tiny_run / "predictions.csv").query("split == 'test'")["patient_id"]
    )
    assert len(first) > 0


def training(tiny_cohort, **changes):
    """Arguments of `train_study` for one quick probe of the tiny cohort."""
    cohort = load_manifest(tiny_cohort)
    tasks = list(resolve_tasks(["tumor"]).values())
    canvas = Canvas(size_px=64)
    settings = {
        "strategy": "probe",
        "probe": ProbeSettings(inverse_l2=(0.01,)),
        "fl_plan": FLPlan(canvas=canvas),
        "wl_plan": WLPlan(canvas=canvas),
    }
    split = split_patients(cohort, tasks, seed=0)
    return [cohort, tasks, [Modality.FL], split, TrainSettings(**{**settings, **changes})]


def test_promises_that_patients_cannot_keep_stop_the_run_before_it_starts(tiny_cohort, tmp_path):
    given = training(tiny_cohort, miscoverage=0.1)
    with pytest.raises(InputError, match=r"task tumor: a miscoverage of 0.1 cannot be promised to .* 9 patients"):
        train_study(*given, tmp_path / "RUN", report=str, progress=False)
    given = training(tiny_cohort, miscoverage=0.4, calibration_folds=0)
    with pytest.raises(InputError, match=r"miscoverage 0.4 needs at least 2 calibration folds; there are 0"):
        train_study(*given, tmp_path / "RUN", report=str, progress=False)
    assert not (tmp_path / "RUN").exists()


def test_a_promise_that_is_made_is_written_with_probabilities_and_card(tiny_cohort, tmp_path):
    result = train_study(*training(tiny_cohort, miscoverage=0.4), tmp_path, report=str, progress=False)
    bundle = tmp_path / "suite" / "tumor-fl"
    info = BundleInfo.model_validate_json((bundle / "bundle.json").read_text())
    band, calibration = info.abstention, info.calibration[0]
    assert (band.negative.refused, band.positive.refused) == ("", "")
    assert set(band.by_patient) == {*info.provenance.train_patients, *info.provenance.tune_patients}
    rows = result.predictions
    logit = np.log(rows["y_score"] / (1 - rows["y_score"])).to_numpy()
    expected = np.where(logit >= info.threshold.logit[0] - 1e-9, "positive", "negative")
    assert rows["decision"].tolist() == expected.tolist()
    assert rows["y_probability"].tolist() == pytest.approx([calibration.probability(x)[0] for x in logit], abs=1e-9)
    card = (bundle / "model_card.md").read_text()
    assert f"Answered: {band.coverage:.1%} of the specimens" in card
    for patient, risk in band.by_patient.items():
        assert f"| {patient} | {risk.n} | {risk.answered} | {risk.wrong} |" in card
    for promise in (band.negative, band.positive):
        assert f"{promise.class_name}: at most 0.4 promised; achieved {promise.achieved:.3f}" in card


def test_a_promise_asked_for_on_the_command_line_is_insisted_on(tiny_cohort, tmp_path):
    given = ("train", tiny_cohort, "--out", tmp_path / "RUN", *ONE, "--miscoverage")
    refused(run(*given, 0.1), "a miscoverage of 0.1 cannot be promised to")
    refused(run(*given, 1.5), "miscoverage = 1.5")
    refused(run(*given, 0.4, "--calibration-folds", 0), "needs at least 2 calibration folds")
    refused(run(*given, 0.4, "--calibration-folds", 1), "give 0 or at least 2")


def test_without_calibration_folds_a_bundle_answers_as_before(tiny_cohort, tmp_path):
    result = train_study(*training(tiny_cohort, calibration_folds=0), tmp_path, report=str, progress=False)
    info = BundleInfo.model_validate_json((tmp_path / "suite" / "tumor-fl" / "bundle.json").read_text())
    assert (info.calibration, info.abstention) == ((), None)
    assert result.predictions["y_probability"].isna().all()
    assert set(result.predictions["decision"]) == {"positive", "negative"}
    assert "No calibration and no abstention band" in (tmp_path / "suite" / "tumor-fl" / "model_card.md").read_text()


def test_a_bundle_says_how_its_training_images_were_taken(tiny_suite, tiny_run, cohort):
    by_role = patients_by_role(tiny_run, cohort)
    rows = cohort.table[~cohort.table["patient_id"].isin(by_role["test"])]
    fl, wl = (
        BundleInfo.model_validate_json((tiny_suite / f"tumor-{m}" / "bundle.json").read_text()) for m in ("fl", "wl")
    )
    assert fl.conditions["distance_mm"] == (rows["distance_mm"].min(), rows["distance_mm"].max())
    assert set(wl.conditions) == {"distance_mm", "mm_per_px"}
    assert fl.conditions["fl_exposure_ms"] == (rows["fl_exposure_ms"].min(), rows["fl_exposure_ms"].max())
    for info, name in ((fl, "fl"), (wl, "wl")):
        low, high = info.cam_range[name]
        assert low < high
        assert info.envelope.n_images == len(rows)
        vectors = np.load(tiny_suite / info.name / "envelope.npy", allow_pickle=False)
        info.envelope.check(vectors, info.n_features)
        assert "envelope.npy" in (tiny_suite / info.name / "SHA256SUMS").read_text()
        assert info.quality.model_dump()[f"{name}_sharpness_min"] > 0


@pytest.mark.parametrize("changed", ["suite/tumor-fl/model_card.md", "parts/tumor-fl.csv"])
def test_a_model_changed_after_it_was_finished_is_trained_again(tiny_cohort, tmp_path, changed):
    given, said = training(tiny_cohort), []
    first = train_study(*given, tmp_path, report=said.append, progress=False)
    path = tmp_path / changed
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    again = train_study(*given, tmp_path, resume=True, report=said.append, progress=False)
    assert [line for line in said if line.endswith("trained again")] != []
    pd.testing.assert_frame_equal(first.predictions, again.predictions)
    said.clear()
    train_study(*given, tmp_path, resume=True, report=said.append, progress=False)
    assert "fold 0 tumor-fl: done before" in said


def test_a_patient_named_na_survives_a_resume(tmp_path):
    bundle, part = tmp_path / "bundle", tmp_path / "part.csv"
    bundle.mkdir()
    (bundle / "bundle.json").write_text(bundle_info().model_dump_json())
    (bundle / "SHA256SUMS").write_text("")
    table = pd.DataFrame({"patient_id": ["NA", "007"], "specimen_id": ["1", "null"], "task": "tumor", "model": "fl"})
    table = table.assign(split="test", fold=0, y_true=pd.array([1, None], dtype="Int64"), y_score=[0.1 + 0.2, 0.5])
    write_finished(part, bundle, table.assign(decision=["positive", ""]))
    _, back = read_finished(part, bundle)
    assert back["patient_id"].tolist() == ["NA", "007"]
    assert back["specimen_id"].tolist() == ["1", "null"]
    assert back["y_true"].isna().tolist() == [False, True]
    assert back["y_score"].tolist() == [0.1 + 0.2, 0.5]


def test_another_weights_file_of_the_same_name_is_not_the_same_run(tiny_cohort, tmp_path):
    weights = tmp_path / "weights.pth"
    torch.save(create_backbone("tf_efficientnet_lite0", "none")[0].state_dict(), weights)
    given = training(tiny_cohort, weights=str(weights))
    train_study(*given, tmp_path / "RUN", report=str, progress=False)
    torch.save(create_backbone("tf_efficientnet_lite0", "none")[0].state_dict(), weights)
    with pytest.raises(InputError, match="other weights_sha256"):
        train_study(*given, tmp_path / "RUN", resume=True, report=str, progress=False)


def test_what_was_decided_on_each_image_is_kept(tiny_cohort, cohort, tmp_path):
    seen = []
    given = training(tiny_cohort)
    train_study(*given, tmp_path, report=str, progress=False, prepare_progress=lambda *count: seen.append(count))
    assert seen == [(n, len(cohort.table)) for n in range(1, len(cohort.table) + 1)]
    kept = pd.read_csv(tmp_path / "preparation.csv", dtype={"specimen_id": str}).set_index("row")
    assert set(kept["input"]) == {"fl"}
    assert kept["specimen_id"].tolist() == cohort.table["specimen_id"].tolist()
    source, row = sources(cohort)[7], int(cohort.table["row"].iloc[7])
    info = json.loads((tmp_path / "suite" / "tumor-fl" / "bundle.json").read_text())
    record = prepare_specimen(source, fl_plan=FLPlan(**info["fl_plan"])).fl.record
    assert kept.loc[row, list(record.as_row())].to_dict() == pytest.approx(record.as_row())


def test_the_white_level_fits_counts_scaled_to_the_exposure(tiny_cohort):
    plan, given = FLPlan(per_exposure=True), sources(load_manifest(tiny_cohort))[:30]
    short = [replace(s, fl_exposure_ms=s.fl_exposure_ms / 4) for s in given]
    whites = [resolve_white(plan, some).normalisation.white for some in (given, short)]
    assert whites[1] == pytest.approx(4 * whites[0], rel=0.03)
    tops = [np.percentile(specimen_signal(s, plan), 99.9) for s in short]
    assert np.mean(np.array(tops) > whites[1]) < 0.05


@pytest.fixture(scope="module")
def graded(tiny_cohort, tmp_path_factory):
    """A run of grade4 on the tiny cohort in which one training patient alone has grade 1, over two folds."""
    cohort, _, modalities, _, settings = training(tiny_cohort)
    tumor = cohort.table["pathology"] == "tumor"
    table = cohort.table.copy()
    table.loc[tumor, "who_grade"] = [str(2 + number % 3) for number in range(tumor.sum())]
    rare = table.index[tumor & (table["patient_id"] == table.loc[tumor, "patient_id"].iloc[0])][:2]
    table.loc[rare, "who_grade"] = "1"
    cohort = replace(cohort, table=table)
    tasks = list(resolve_tasks(["tumor", "grade4"]).values())
    split = group_folds(cohort, [tasks[0]], n_folds=2, seed=0)
    said = []
    out = tmp_path_factory.mktemp("graded")
    result = train_study(cohort, tasks, modalities, split, settings, out, report=said.append, progress=False)
    return cohort, rare, result, said


def test_a_level_that_one_patient_has_is_left_out_and_said(graded):
    cohort, rare, result, said = graded
    line = "task grade4: not every fold has training images of level 1; its specimens are left out"
    assert said.count(line) == 1
    rows = result.predictions[result.predictions["task"] == "grade4"].set_index("specimen_id")
    masked = cohort.table.loc[rare, "specimen_id"]
    assert rows.loc[masked, "y_true"].isna().all()
    grades = cohort.table.set_index("specimen_id")["who_grade"]
    known = rows[rows["y_true"].notna()]
    assert [("2", "3", "4")[level] for level in known["y_true"]] == grades.loc[known.index].tolist()
    info = json.loads((result.suites[1] / "grade4-fl" / "bundle.json").read_text())
    assert info["task"]["levels"] == ["2", "3", "4"]


def test_an_ordinal_task_is_judged_by_what_theatre_answers(graded):
    cohort, _, result, _ = graded
    rows = result.predictions.query("task == 'grade4' and split == 'test'")
    entry = json.loads((result.out / "metrics.json").read_text())["protocols"]["strict"]["tasks"]["grade4"]
    assert entry["levels"] == ["2", "3", "4"]
    known = rows[rows["y_true"].notna()]
    kappa = cohen_kappa_score(known["y_true"].astype(int), known["level"].astype(int), weights="quadratic")
    values = entry["models"]["fl-probe"]
    assert values["quadratic_kappa"]["value"] == pytest.approx(kappa)
    assert values["n_specimens"] == len(known)
    assert 0 <= values["auc"]["value"] <= 1
    cascade = Cascade.load(result.suites[0], RuntimeSettings(threads=1))
    expected = rows[rows["fold"] == 0].set_index("specimen_id")
    asked = 0
    for source in sources(cohort):
        if source.specimen_id in expected.index:
            answer = cascade.diagnose_files(source).tasks[1]
            if answer.y_score is not None:
                asked += 1
                row = expected.loc[source.specimen_id]
                assert answer.y_score == pytest.approx(row["y_score"], abs=1e-3)
                margin = np.sort(answer.level_probabilities)
                assert margin[-1] - margin[-2] < 1e-3 or answer.answer == ("2", "3", "4")[row["level"]]
    assert asked > 0


def test_fusion_by_fine_tuning_starts_from_its_parts_and_goes_on_after_a_stop(tiny_cohort, tmp_path):
    finetuning = FinetuneSettings(epochs=1, dropout=0.25, start="xavier", learning_rate=1e-3)
    given = training(tiny_cohort, strategy="finetune", finetune=finetuning)
    given[2] = [Modality.FUSION]
    first, said = train_study(*given, tmp_path, report=str, progress=False), []
    rows = first.predictions
    assert set(rows["model"]) == {f"{modality}-finetune" for modality in ("fl", "wl", "fusion")}
    info = json.loads((tmp_path / "suite" / "tumor-fusion" / "bundle.json").read_text())
    chosen = info["provenance"]["settings"]
    assert (chosen["precision"], chosen["fl_augment.brightness"]) == ("32-true", "(0.5, 1.5)")
    assert (chosen["wl_augment.rotate_deg"], chosen["dropout"]) == (180.0, 0.25)
    assert info["provenance"]["split"] == f"{given[3].scheme}, seed 0"
    assert chosen["fusion"] in ("late average", "joint")
    if chosen["fusion"] == "late average":
        logit = {m: np.log(part["y_score"] / (1 - part["y_score"])).to_numpy() for m, part in rows.groupby("model")}
        mean = (logit["fl-finetune"] + logit["wl-finetune"]) / 2
        np.testing.assert_allclose(logit["fusion-finetune"], mean, atol=1e-3)
    assert info["metrics"]["tune_auc"] >= max(chosen["fusion_tune_auc_late_average"], chosen["fusion_tune_auc_joint"])
    part = tmp_path / "parts" / "tumor-fusion.sha256"
    part.unlink()  # as if it had been stopped before its predictions were kept
    again = train_study(*given, tmp_path, resume=True, report=said.append, progress=False)
    assert [line for line in said if "done before" in line] == [f"fold 0 tumor-{m}: done before" for m in ("fl", "wl")]
    pd.testing.assert_frame_equal(first.predictions, again.predictions)
    assert part.is_file()

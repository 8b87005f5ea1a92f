"""Real scores of another group, image by image: the report gives what they published, and ours beside it."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from tests.commands import run

SHARED = Path(os.environ.get("GLIOSCOPE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
FOLDER = SHARED / "data" / "tcell"
PEER = FOLDER / "peer_predictions.csv"
pytestmark = pytest.mark.skipif(not PEER.is_file(), reason=f"the tcell data set is not in {FOLDER}")

FIVE = ("donor-1", "donor-2", "donor-3", "donor-5", "donor-6")
TUNED, FROZEN = "inception-v3-finetuned", "inception-v3-frozen"
PUBLISHED = (0.8595, 0.9456, 0.9899, 0.9021, 0.9830)
OURS = "fl-brightness"


@pytest.fixture(scope="module", autouse=True)
def undrawn():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "glioscope.report._evaluate.write_figures",
            lambda figures, folder: {figure.name: "<svg></svg>" for figure in figures},
        )
        yield


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """Report folder of the peer's file alone."""
    out = tmp_path_factory.mktemp("peer") / "out"
    ran = run("evaluate", PEER, "--out", out, "--no-pdf")
    assert ran.code == 0, ran.err
    return out


@pytest.fixture(scope="module")
def brightness():
    """The simplest model of all images: the brighter the cell, the more active."""
    images = pd.read_csv(FOLDER / "manifest.csv", dtype=str)
    mean = [float(cv2.imread(str(FOLDER / name), cv2.IMREAD_UNCHANGED).mean()) for name in images["fl_image"]]
    return pd.DataFrame(
        {
            "patient_id": images["patient_id"],
            "specimen_id": images["specimen_id"],
            "task": "activity",
            "model": OURS,
            "y_true": (images["activity"] == "activated").astype(int),
            "y_score": np.array(mean) / 255,
        }
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory, brightness):
    """Report folder of the peer's file and ours together."""
    folder = tmp_path_factory.mktemp("both")
    brightness.to_csv(folder / "ours.csv", index=False)
    ran = run("evaluate", PEER, folder / "ours.csv", "--out", folder / "out", "--no-pdf")
    assert ran.code == 0, ran.err
    return folder / "out"


def models(out):
    metrics = json.loads((out / "metrics.json").read_text())
    return metrics["protocols"]["strict"]["tasks"]["activity"]["models"]


@pytest.mark.parametrize("report", ["peer", "both"])
def test_the_peers_aucs_within_each_donor_come_out_as_published(report, request):
    out = request.getfixturevalue(report)
    tuned, frozen = (models(out)[name]["by_patient"] for name in (TUNED, FROZEN))
    np.testing.assert_allclose([tuned[donor] for donor in FIVE], PUBLISHED, atol=5e-5)
    assert np.mean([tuned[donor] for donor in FIVE]) == pytest.approx(0.9360, abs=5e-5)
    assert np.mean([frozen[donor] for donor in FIVE]) == pytest.approx(0.9201, abs=5e-5)
    assert set(tuned) == {*FIVE, "donor-4"}
    assert set(frozen) == set(FIVE)


def test_the_table_and_the_page_print_the_same_aucs(peer):
    printed = pd.read_csv(peer / "tables" / "table-patients-activity.csv", index_col="Patient")
    for name in (TUNED, FROZEN):
        by_patient = pd.Series(models(peer)[name]["by_patient"])
        np.testing.assert_allclose(printed[f"AUC {name}"].dropna().sort_index(), by_patient.sort_index())
    assert printed["Specimens"].sum() == 843
    page = (peer / "report.html").read_text()
    rows = [line for line in page.splitlines() if ">donor-" in line]
    for donor, value in zip(FIVE, ("0.859", "0.946", "0.990", "0.902", "0.983"), strict=True):
        assert any(f">{donor}<" in row and f">{value}<" in row for row in rows), (donor, value)
    assert f"{TUNED}: mean within-patient AUC" in page


def test_ours_stands_beside_the_peers_on_the_images_that_both_scored(both, brightness):
    found = models(both)
    assert set(found) == {TUNED, FROZEN, OURS}
    assert (found[OURS]["n_specimens"], found[TUNED]["n_specimens"], found[FROZEN]["n_specimens"]) == (852, 843, 632)
    expected = {
        donor: roc_auc_score(rows["y_true"], rows["y_score"]) for donor, rows in brightness.groupby("patient_id")
    }
    assert found[OURS]["by_patient"] == pytest.approx(expected)
    tests = pd.read_csv(both / "tables" / "table-3-other-differences-strict.csv")
    tests = tests[(tests["Metric"] == "AUC") & (tests["A"] == OURS)].set_index("B")
    theirs = pd.read_csv(PEER, dtype={"specimen_id": str})
    for name, n in ((TUNED, 843), (FROZEN, 632)):
        pairs = theirs[theirs["model"] == name].merge(brightness, on="specimen_id", suffixes=("", "_ours"))
        difference = roc_auc_score(pairs["y_true"], pairs["y_score_ours"]) - roc_auc_score(
            pairs["y_true"], pairs["y_score"]
        )
        assert tests.loc[name, "A - B"] == pytest.approx(difference)
        assert tests.loc[name, "Specimens"] == n == len(pairs)
    assert "models were scored on different specimens" in (both / "report.html").read_text()

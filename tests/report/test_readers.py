import numpy as np
import pytest
from tests.report.studies import predictions, readings, shuffled

from glioscope.core import InputError
from glioscope.report._readers import reader_panels


def truth_of(table):
    test = table.query("task == 'tumor' and split == 'test' and y_true >= 0").drop_duplicates("specimen_id")
    return {row.specimen_id: (row.patient_id, row.y_true) for row in test.itertuples()}


TABLE = predictions()
TRUTH = truth_of(TABLE)


def test_every_reader_is_a_method_on_the_truth_of_the_models():
    read = readings(TABLE)
    panels, notes = reader_panels(shuffled(read), TRUTH)
    assert (list(panels), notes) == (["fl", "wl"], [])
    for modality, panel in panels.items():
        assert panel.rated
        for name, method in panel.readers.items():
            own = read.query("reader == @name and modality == @modality").sort_values("specimen_id")
            assert method.name == f"Reader {name} ({modality.upper()})"
            assert method.specimens.tolist() == own["specimen_id"].tolist()
            np.testing.assert_array_equal(method.calls, own["reading"])
            np.testing.assert_array_equal(method.y_score, own["rating"])
            assert [TRUTH[s] for s in method.specimens] == list(zip(method.patients, method.y_true, strict=True))


def test_the_mean_is_the_share_of_readers_who_said_tumour():
    read = readings(TABLE)
    panels, _ = reader_panels(read, TRUTH)
    share = read[read["modality"] == "wl"].groupby("specimen_id")["reading"].mean().sort_index()
    assert panels["wl"].mean.specimens.tolist() == share.index.tolist()
    np.testing.assert_allclose(panels["wl"].mean.calls, share)
    assert panels["wl"].mean.name == "Reader mean (WL)"
    assert np.isnan(panels["wl"].mean.y_score).all()


def test_readers_who_skip_cases_are_judged_on_theirs_and_the_mean_on_what_all_have_read():
    read = readings(TABLE)
    skipped = read[~((read["reader"] == "B") & (read["specimen_id"].str[-1] == "3"))]
    panels, notes = reader_panels(skipped, TRUTH)
    n_skipped = sum(name.endswith("3") for name in TRUTH)
    assert panels["fl"].readers["A"].n_specimens == 150
    assert panels["fl"].readers["B"].n_specimens == panels["fl"].mean.n_specimens == 150 - n_skipped
    assert [note.split(";")[0] for note in notes] == [
        f"reader B read {150 - n_skipped} of 150 test specimens in {modality}" for modality in ("FL", "WL")
    ]
    for method in panels["fl"].common.values():
        assert method.specimens.tolist() == panels["fl"].mean.specimens.tolist()
    calls = np.mean([method.calls for method in panels["fl"].common.values()], axis=0)
    np.testing.assert_allclose(panels["fl"].mean.calls, calls)


def test_one_missing_rating_leaves_the_panel_without_an_auc_but_not_the_others():
    read = readings(TABLE)
    read.loc[(read["reader"] == "C") & (read["modality"] == "fl") & (read.index % 50 == 0), "rating"] = np.nan
    panels, _ = reader_panels(read, TRUTH)
    assert not panels["fl"].rated
    assert panels["wl"].rated
    assert not np.isnan(panels["fl"].readers["A"].y_score).any()
    plain, _ = reader_panels(read.drop(columns="rating"), TRUTH)
    assert not plain["wl"].rated


def test_readings_of_other_specimens_are_left_out_and_named():
    read = readings(TABLE)
    more = read.assign(specimen_id="z" + read["specimen_id"])
    panels, notes = reader_panels(more, TRUTH)
    assert panels == {}
    assert notes == [
        "150 specimens of the readings are no labelled test specimens (zp00-000, zp00-001, zp00-002, ...); left out"
    ]
    one = read.replace({"specimen_id": {"p00-000": "other"}})
    panels, notes = reader_panels(one, TRUTH)
    assert notes[0] == "1 specimens of the readings are no labelled test specimens (other); left out"
    assert panels["fl"].mean.n_specimens == 149


def test_readers_without_a_common_specimen_are_no_panel():
    read = readings(TABLE)
    place = read["specimen_id"].str[-1].astype(int) % 3
    apart = read[place == read["reader"].map({"A": 0, "B": 1, "C": 2})]
    panels, notes = reader_panels(apart, TRUTH)
    assert panels == {}
    assert "no test specimen was read by all readers of FL; there is no panel" in notes


def test_a_reader_of_the_name_of_the_mean_is_refused():
    with pytest.raises(InputError, match="a reader is called 'mean'"):
        reader_panels(readings(TABLE, readers=("mean",)), TRUTH)

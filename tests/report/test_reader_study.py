import json

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.inter_rater import aggregate_raters
from statsmodels.stats.inter_rater import fleiss_kappa as reference_kappa
from tests.report.studies import decided, predictions, readings, shuffled
from tests.report.test_readers import truth_of

from glioscope.core import InputError
from glioscope.report._reader_study import check_readings_task, error_list, study_readers
from glioscope.report._readers import reader_panels
from glioscope.stats import Paper, Strict, default_rule, model_methods

TABLE = predictions()
READ = readings(TABLE)
BOTH = pytest.mark.parametrize("protocol", [Strict(), Paper()], ids=["strict", "paper"])


def algorithm_of(table, protocol):
    method = model_methods(table, "tumor", rule=default_rule("tumor"))["fl-finetune"]
    return protocol.operate(method, "tumor")


def study(protocol, table=TABLE, read=READ):
    panels, _ = reader_panels(read, truth_of(table))
    return study_readers(panels, algorithm_of(table, protocol), protocol)


def right_of(algorithm, read, reader, modality):
    """Whether algorithm and reader are right, of each specimen that has both answers."""
    own = read.query("reader == @reader and modality == @modality").set_index("specimen_id")["reading"]
    rows = zip(algorithm.specimens, algorithm.y_true, algorithm.calls, strict=True)
    return [(call == true, own[s] == true) for s, true, call in rows if s in own.index and call == call]


@BOTH
@pytest.mark.parametrize("share", [0.0, 0.3], ids=["all answered", "some unanswered"])
def test_errors_corrected_and_introduced_are_those_counted_by_hand(protocol, share):
    table = decided(TABLE, indeterminate=share)
    read = READ[READ.index % 7 > 0]
    algorithm = algorithm_of(table, protocol)
    for errors in study(protocol, table, read).errors:
        pairs = right_of(algorithm, read, errors.reader, errors.modality)
        t = errors.table
        assert (t.corrected, t.introduced) == (pairs.count((True, False)), pairs.count((False, True)))
        assert (t.both_right, t.both_wrong) == (pairs.count((True, True)), pairs.count((False, False)))
        shown = errors.to_json()
        assert shown["reader_errors"] == sum(not reader for _, reader in pairs)
        assert shown["mcnemar"]["difference"] == pytest.approx((t.corrected - t.introduced) / len(pairs))


def test_the_paper_protocol_has_the_exact_test_of_mcnemar():
    for errors in study(Paper()).errors:
        t = errors.table
        expected = binomtest(t.corrected, t.corrected + t.introduced).pvalue
        assert errors.test.p_two_sided == pytest.approx(expected)
    assert "Obuchowski" in study(Strict()).errors[0].test.method


def test_means_of_readers_and_the_difference_from_the_algorithm_are_plain_means():
    found, algorithm = study(Strict()), algorithm_of(TABLE, Strict())
    true = algorithm.y_true == 1
    for modality, panel in found.panels.items():
        areas = [roc_auc_score(true, m.y_score) for m in panel.readers.values()]
        sens = [m.calls[true].mean() for m in panel.readers.values()]
        mean = found.metrics[modality]["mean"]
        assert mean["auc"].value == pytest.approx(np.mean(areas))
        assert mean["sensitivity"].value == pytest.approx(np.mean(sens))
        assert mean["auc"].low < mean["auc"].value < mean["auc"].high
        against = found.algorithm[modality]
        assert against["auc"].difference.difference == pytest.approx(
            roc_auc_score(true, algorithm.y_score) - np.mean(areas)
        )
        assert against["sensitivity"].difference.difference == pytest.approx(
            algorithm.calls[true].mean() - np.mean(sens)
        )
    for metric, two in found.modalities.items():
        expected = [found.metrics[m]["mean"][metric].value for m in ("fl", "wl")]
        assert two.differences[0].difference == pytest.approx(expected[0] - expected[1])
        alone = [found.single[r][metric].differences[0].difference for r in "ABC"]
        assert np.mean(alone) == pytest.approx(expected[0] - expected[1])


def test_kappa_is_that_of_statsmodels():
    for modality, kappa in study(Paper()).kappa.items():
        wide = READ[READ["modality"] == modality].pivot(index="specimen_id", columns="reader", values="reading")
        assert kappa.value == pytest.approx(reference_kappa(aggregate_raters(wide.to_numpy())[0]))


def test_the_paper_protocol_makes_no_multi_reader_analysis():
    found = study(Paper())
    assert (found.algorithm, found.modalities, found.single) == ({}, {}, {})
    assert "auc" not in found.metrics["fl"]["mean"]


@BOTH
def test_the_order_of_readings_does_not_matter(protocol):
    assert study(protocol, read=shuffled(READ)).to_json() == study(protocol).to_json()


@BOTH
@pytest.mark.parametrize(
    ("table", "read"),
    [
        (TABLE, READ.drop(columns="rating")),
        (TABLE, READ[READ["reader"] == "A"]),
        (TABLE, READ[READ["modality"] == "fl"]),
        (TABLE, READ[(READ["reader"] == "A") == (READ["modality"] == "fl")]),
        (TABLE, READ.assign(reading=1, rating=3.0)),
        (predictions(patients=1), readings(predictions(patients=1))),
        (predictions(n_tune=0), READ),
        (TABLE.assign(decision="indeterminate"), READ),
        (TABLE[TABLE["y_true"].isna() | (TABLE["y_true"] == 1)], READ),
        (TABLE[(TABLE["split"] == "tune") | (TABLE["specimen_id"] == "p00-000")], READ),
    ],
    ids=[
        "no ratings",
        "one reader",
        "one modality",
        "nobody read both",
        "all say yes",
        "one patient",
        "no threshold",
        "no answers",
        "one class",
        "one specimen",
    ],
)
def test_odd_readings_give_strict_json_and_no_error(table, read, protocol):
    found = study(protocol, table, read).to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_readings_without_ratings_have_rates_but_no_auc():
    found = study(Strict(), read=READ.drop(columns="rating"))
    assert "auc" not in found.modalities
    assert "auc" not in found.algorithm["fl"]
    assert set(found.modalities) == set(found.algorithm["wl"]) == {"sensitivity", "specificity", "accuracy"}


def test_an_algorithm_without_answers_is_compared_in_auc_only():
    found = study(Strict(), predictions(n_tune=0))
    assert found.errors == ()
    assert set(found.algorithm["fl"]) == {"auc"}


def test_the_list_of_errors_has_every_specimen_on_which_one_of_them_is_right():
    found, algorithm = study(Strict()), algorithm_of(TABLE, Strict())
    rows = error_list(found.panels, algorithm)
    for errors in found.errors:
        own = [row for row in rows if row[2:4] == (errors.reader, errors.modality)]
        assert [row[7] for row in own].count("corrected") == errors.table.corrected
        assert [row[7] for row in own].count("introduced") == errors.table.introduced
    said = READ.set_index(["specimen_id", "reader", "modality"])["reading"]
    for specimen, patient, reader, modality, truth, reading, call, kind in rows:
        assert said[specimen, reader, modality] == reading != call
        assert kind == ("corrected" if call == truth else "introduced")
        assert specimen.startswith(patient)


def test_readings_are_of_the_tumour_task_or_of_the_only_one():
    assert check_readings_task(["grade", "tumor"]) == "tumor"
    assert check_readings_task(["idh"]) == "idh"
    with pytest.raises(InputError, match="not among grade, ki67"):
        check_readings_task(["grade", "ki67"])

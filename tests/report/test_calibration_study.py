import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from tests.report.studies import decided, folded, predictions

from glioscope.report._calibration_study import CALIBRATORS, GIVEN, RAW, calibrations, risk_coverage
from glioscope.stats import Paper, Strict, model_methods


def method_of(table, task="tumor"):
    return model_methods(table, task, rule="youden")["fl-finetune"]


def by_source(method):
    return {item.source: item for item in calibrations(method)}


def logit(score):
    return np.log(score / (1 - score))


def test_every_source_is_judged_on_the_test_specimens_and_the_best_to_use_comes_first():
    table = predictions()
    method = method_of(table.assign(y_probability=table["y_score"] / 2))
    found = by_source(method)
    assert list(found) == [GIVEN, *CALIBRATORS, RAW]
    for item in found.values():
        assert item.brier == pytest.approx(brier_score_loss(method.y_true, item.probability))
        assert 0 <= item.probability.min() <= item.probability.max() <= 1
    np.testing.assert_allclose(found[GIVEN].probability, method.raw_score / 2)
    np.testing.assert_allclose(found[RAW].probability, method.raw_score)
    assert list(by_source(method_of(table))) == [*CALIBRATORS, RAW]


def test_calibrators_are_fitted_on_tuning_rows_alone_as_scikit_learn_fits_them():
    method = method_of(predictions())
    y, score, _ = method.tuning
    found = by_source(method)
    # Platt's smoothed labels are specimens of both classes, weighted.
    positives, negatives = (y == 1).sum(), (y == 0).sum()
    share = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    both = np.repeat([1, 0], y.size)
    platt = LogisticRegression(C=1e9, tol=1e-10)
    platt.fit(np.tile(logit(score), 2)[:, None], both, sample_weight=np.r_[share, 1 - share])
    expected = platt.predict_proba(logit(method.raw_score)[:, None])[:, 1]
    np.testing.assert_allclose(found["temperature and bias"].probability, expected, atol=2e-4)
    monotone = IsotonicRegression(out_of_bounds="clip").fit(score, y).predict(method.raw_score)
    assert np.mean(np.abs(found["isotonic"].probability - monotone)) < 0.02
    other = replace(method, y_true=1 - method.y_true)
    np.testing.assert_array_equal(by_source(other)["temperature"].probability, found["temperature"].probability)


def test_each_fold_has_a_calibrator_of_its_own():
    method = method_of(folded())
    found = by_source(method)["temperature and bias"].probability
    y, score, fold = method.tuning
    for k in set(method.fold):
        own = method.take(method.fold == k)
        alone = replace(own, tuning=(y[fold == k], score[fold == k], fold[fold == k]))
        np.testing.assert_allclose(by_source(alone)["temperature and bias"].probability, found[method.fold == k])


def test_an_incomplete_probability_column_and_tuning_rows_of_one_class_are_not_used():
    table = predictions()
    half = table.assign(y_probability=table["y_score"].where(table.index % 2 == 0))
    assert GIVEN not in by_source(method_of(half))
    table.loc[table["split"] == "tune", "y_true"] = 1.0
    assert list(by_source(method_of(table))) == [RAW]
    assert list(by_source(method_of(folded(tune=False)))) == [RAW]


@pytest.mark.parametrize("patients", [1, 7])
@pytest.mark.parametrize("kind", ["plain", "constant", "0 and 1", "separated", "one class", "one specimen"])
def test_odd_tables_give_strict_json(kind, patients):
    table = predictions(patients=patients)
    label = table["y_true"].fillna(0)
    scores = {"constant": 0.5, "0 and 1": (table["y_score"] > 0.5) * 1.0, "separated": 0.2 + 0.6 * label}
    table["y_score"] = scores.get(kind, table["y_score"])
    if kind == "one class":
        table.loc[table["split"] == "test", "y_true"] = 1.0
    if kind == "one specimen":
        table = table[(table["split"] == "tune") | (table["specimen_id"] == "p00-000")]
    for item in calibrations(method_of(table)):
        shown = item.to_json()
        assert json.loads(json.dumps(shown, allow_nan=False)) == shown
        assert np.isfinite(item.probability).all()
        assert (item.line is None) == (kind in ("one class", "one specimen"))


@pytest.mark.parametrize("table", [decided(predictions(), 0.5, indeterminate=0.1), folded()], ids=["split", "folds"])
@pytest.mark.parametrize("protocol", [Strict(), Paper()], ids=["strict", "paper"])
def test_the_errors_left_when_the_least_sure_are_left_out_are_those_counted_by_hand(table, protocol):
    method = protocol.operate(method_of(table), "tumor")
    curve = risk_coverage(method)
    kept = method.take(method.answered)
    wrong = (kept.calls == 1) != (kept.y_true == 1)
    assert curve.risk[-1] == pytest.approx(wrong.mean())
    at = kept.operating.thresholds
    if protocol.name == "strict":
        distance = np.abs(kept.raw_score - [at[k] for k in kept.fold])
    else:
        distance = np.abs(kept.y_score - at[-1])
    order = np.argsort(-distance)
    for n in (10, 50, 100):
        place = np.argmin(np.abs(curve.coverage - n / wrong.size))
        assert curve.coverage[place] == pytest.approx(n / wrong.size)
        assert curve.risk[place] == pytest.approx(wrong[order[:n]].mean())


def test_there_is_no_curve_without_calls_or_where_they_are_no_cut_of_the_score():
    assert risk_coverage(method_of(predictions(n_tune=0))) is None
    mixed = decided(predictions())
    mixed["decision"] = np.where(mixed.index % 3 == 0, "positive", "negative")
    assert risk_coverage(method_of(mixed)) is None

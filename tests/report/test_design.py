import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from sklearn.metrics import roc_auc_score
from statsmodels.stats.anova import anova_lm
from tests.report.studies import predictions

from glioscope.report._design import design_of
from glioscope.stats import model_methods, patients_needed


def method_of(table, task="tumor"):
    return model_methods(table, task, rule="youden")["fl-finetune"]


def rows_of(method, **options):
    return {row.metric: row for row in design_of(method, **options)}


def anova_icc(values, groups):
    """One-way analysis of variance by statsmodels, unequal sizes (Donner 1986)."""
    table = pd.DataFrame({"value": values, "group": groups})
    fit = anova_lm(smf.ols("value ~ C(group)", table).fit())
    between, within = fit["mean_sq"]
    sizes = table.groupby("group").size()
    typical = (sizes.sum() - (sizes**2).sum() / sizes.sum()) / (len(sizes) - 1)
    return (between - within) / (between + (typical - 1) * within)


def test_rows_hold_the_metric_its_icc_and_the_design_effect_of_these_sizes():
    method = method_of(predictions())
    found = rows_of(method)
    assert list(found) == ["sensitivity", "specificity", "auc"]
    for name, positive in (("sensitivity", 1), ("specificity", 0)):
        own = method.take(method.y_true == positive)
        right = (own.calls == positive).astype(float)
        row = found[name]
        icc = anova_icc(right, own.patients)
        sizes = pd.Series(own.patients).value_counts()
        assert row.value == pytest.approx(right.mean())
        assert row.icc.value == pytest.approx(icc)
        assert row.effect == pytest.approx(1 + ((sizes**2).sum() / sizes.sum() - 1) * max(icc, 0))
        cv = sizes.std(ddof=0) / sizes.mean()
        expected = patients_needed(right.mean(), 0.10, sizes.mean(), icc, cv_of_cluster_size=cv)
        assert (row.needed.patients, row.needed.specimens) == (expected.patients, expected.specimens)


def test_the_auc_is_that_of_scikit_learn_also_with_ties_and_whatever_the_order():
    method = method_of(predictions())
    for score in (method.y_score, method.y_score.round(1), method.y_score.round(0), np.full(150, 0.5)):
        tied = replace(method, y_score=score)
        row = rows_of(tied)["auc"]
        assert row.value == pytest.approx(roc_auc_score(method.y_true, score))
        turned = rows_of(tied.take(np.arange(150)[::-1]))["auc"]
        assert (turned.value, turned.effect) == pytest.approx((row.value, row.effect), nan_ok=True)
        np.testing.assert_allclose(turned.icc.value, row.icc.value)


def test_fewer_patients_are_needed_for_a_wider_interval():
    method = method_of(predictions())
    narrow, wide = (rows_of(method, ci_width=width) for width in (0.1, 0.2))
    for name, row in narrow.items():
        assert row.needed.patients > wide[name].needed.patients > 1
        assert (row.ci_width, wide[name].ci_width) == (0.1, 0.2)


def test_unanswered_specimens_are_left_out_of_the_rates():
    method = method_of(predictions())
    silent = np.arange(150) % 4 == 0
    row = rows_of(replace(method, calls=np.where(silent, np.nan, method.calls)))["sensitivity"]
    assert row.n_specimens == (~silent & (method.y_true == 1)).sum()


@pytest.mark.parametrize(
    ("table", "metrics"),
    [
        (predictions(patients=1), []),
        (predictions(n_tune=0), ["auc"]),
        (predictions().assign(y_score=0.5), ["sensitivity", "specificity", "auc"]),
        (predictions().assign(y_true=1.0), []),
        (predictions().assign(y_score=lambda rows: rows["y_true"].fillna(0)), ["sensitivity", "specificity", "auc"]),
    ],
    ids=["one patient", "no calls", "constant", "one class", "perfect"],
)
def test_odd_tables_have_the_rows_that_exist_as_strict_json(table, metrics):
    found = design_of(method_of(table))
    assert [row.metric for row in found] == metrics
    shown = [row.to_json() for row in found]
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown


def test_a_metric_of_one_cannot_be_planned_with():
    table = predictions().assign(y_score=lambda rows: rows["y_true"].fillna(0))
    assert [row.needed for row in design_of(method_of(table))] == [None, None, None]

from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests
from tests.report.studies import predictions

from glioscope.cohort import Family
from glioscope.core import InputError
from glioscope.report._comparisons import (
    MODEL_METRICS,
    Compared,
    adjusted,
    compare_with,
    declared_tests,
    primary_model,
)
from glioscope.stats import Comparison, Strict, model_methods

METHODS = model_methods(predictions(), "tumor", rule="youden")
A, B, C = METHODS.values()


def made(p, task="tumor", a="x", b="y", metric="auc", family=""):
    return Compared(task, a, b, metric, family or task, 10, 2, Comparison(0.1, p_two_sided=p))


def family(name, *tests):
    names = ("task", "a", "b", "metric")
    return Family.model_validate({"name": name, "tests": [dict(zip(names, test, strict=True)) for test in tests]})


def test_the_primary_is_compared_with_each_other_in_every_metric():
    found = compare_with(A, [B, C], MODEL_METRICS, Strict(), "tumor", "tumor")
    assert [(t.a, t.b, t.metric) for t in found] == [
        (A.name, other.name, metric) for other in (B, C) for metric in MODEL_METRICS
    ]
    values = [Strict().metrics(m) for m in (A, B)]
    for test in found[: len(MODEL_METRICS)]:
        assert test.comparison.difference == pytest.approx(values[0][test.metric].value - values[1][test.metric].value)
        assert (test.n_specimens, test.n_patients) == (150, 7)


def test_sizes_are_those_of_the_specimens_that_were_compared():
    rows = np.arange(150)
    a, b = replace(A, calls=np.where(rows < 20, np.nan, A.calls)), B.take(rows < 100)
    found = {t.metric: t for t in compare_with(a, [b], ("auc", "accuracy"), Strict(), "tumor", "tumor")}
    assert (found["auc"].n_specimens, found["accuracy"].n_specimens) == (100, 80)
    assert found["accuracy"].n_patients == len(set(A.patients[20:100]))


def test_metrics_that_one_of_them_lacks_are_left_out():
    silent = replace(B, calls=np.full(150, np.nan))
    assert [t.metric for t in compare_with(A, [silent], MODEL_METRICS, Strict(), "tumor", "tumor")] == ["auc"]
    assert compare_with(A.take(np.arange(5)), [B.take(np.arange(9, 12))], MODEL_METRICS, Strict(), "t", "t") == []


def test_holm_is_within_each_family_as_in_statsmodels():
    tests = [made(p) for p in (0.01, 0.04, 0.03)] + [made(0.02, "grade"), made(0.5, "grade")]
    found = [t.p_adjusted for t in adjusted(tests, [])]
    assert found[:3] == pytest.approx(multipletests([0.01, 0.04, 0.03], method="holm")[1])
    assert found[3:] == pytest.approx(multipletests([0.02, 0.5], method="holm")[1])


def test_a_declared_family_takes_its_tests_out_of_their_tables_and_across_tasks():
    tests = [made(0.01), made(0.04, b="z"), made(0.03, metric="f1"), made(0.02, "grade")]
    planned = family("main", ("tumor", "x", "y", "auc"), ("grade", "x", "y", "auc"))
    found = adjusted(tests, [planned])
    assert [t.family for t in found] == ["main", "tumor", "tumor", "main"]
    assert [t.p_adjusted for t in found] == pytest.approx([0.02, 0.06, 0.06, 0.02])


def test_a_test_that_does_not_exist_is_not_counted():
    found = adjusted([made(0.01), made(np.nan), made(0.5)], [])
    assert np.isnan(found[1].p_adjusted)
    assert found[0].p_adjusted == pytest.approx(0.02)
    assert found[1].to_json()["p_adjusted"] is None


def test_declared_tests_are_made_once_and_in_their_own_direction():
    tables = compare_with(A, [B, C], MODEL_METRICS, Strict(), "tumor", "tumor")
    planned = family(
        "main",
        ("tumor", A.name, B.name, "auc"),
        ("tumor", B.name, A.name, "auc"),
        ("tumor", B.name, C.name, "f1"),
        ("grade", B.name, C.name, "f1"),
    )
    more = declared_tests("tumor", METHODS, [planned], tables, Strict())
    assert [(t.a, t.b, t.metric, t.family) for t in more] == [
        (B.name, A.name, "auc", "main"),
        (B.name, C.name, "f1", "main"),
    ]
    assert more[0].comparison.difference == pytest.approx(-tables[0].comparison.difference)


def test_a_declared_method_that_does_not_exist_is_named_with_those_that_do():
    planned = family("main", ("tumor", A.name, "nobody", "auc"))
    with pytest.raises(InputError, match="family 'main' names 'nobody' in tumor; there are fl-finetune, fl-probe"):
        declared_tests("tumor", METHODS, [planned], [], Strict())


@pytest.mark.parametrize(
    ("names", "wanted", "primary"),
    [
        (["wl-probe", "wl-finetune", "fl-probe", "fl-finetune"], None, "fl-finetune"),
        (["wl-finetune", "fl-probe"], None, "fl-probe"),
        (["wl-probe", "wl-finetune"], None, "wl-finetune"),
        (["densenet", "resnet"], None, "densenet"),
        (["resnet", "fl"], None, "fl"),
        (["fl-finetune", "resnet"], "resnet", "resnet"),
        (["fl-finetune", "resnet"], "elsewhere", "fl-finetune"),
    ],
)
def test_the_primary_model_is_the_declared_one_else_fluorescence_and_fine_tuned_first(names, wanted, primary):
    assert primary_model(names, wanted) == primary

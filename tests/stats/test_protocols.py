from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, f1_score, matthews_corrcoef, roc_auc_score

from glioscope.core import InputError
from glioscope.stats import RATE_NAMES, Paper, Strict, counts, default_rule, evaluate_task, model_methods, protocols
from tests.report.studies import decided, folded, predictions, shuffled

METRICS = ("auc", "sensitivity", "specificity", "ppv", "npv", "f1", "accuracy")
BOTH = pytest.mark.parametrize("protocol", [Strict(), Paper()], ids=["strict", "paper"])


def methods_of(table, protocol, task="tumor"):
    found = model_methods(table, task, rule=default_rule(task))
    return {name: protocol.operate(method, task) for name, method in found.items()}


def by_hand(method, names=("auc", *RATE_NAMES)):
    """Metrics by scikit-learn, or by hand where it has none."""
    true, called = method.y_true == 1, method.calls == 1
    formulas = {
        "auc": lambda: roc_auc_score(true, method.y_score),
        "sensitivity": lambda: called[true].mean(),
        "specificity": lambda: (~called)[~true].mean(),
        "ppv": lambda: true[called].mean(),
        "npv": lambda: (~true)[~called].mean(),
        "f1": lambda: f1_score(true, called),
        "accuracy": lambda: (true == called).mean(),
        "balanced_accuracy": lambda: balanced_accuracy_score(true, called),
        "mcc": lambda: matthews_corrcoef(true, called),
    }
    return {name: formulas[name]() for name in names}


@BOTH
@pytest.mark.parametrize("task", ["tumor", "ki67"])
def test_every_metric_is_that_of_scikit_learn_inside_its_interval(protocol, task):
    for method in methods_of(predictions(), protocol, task).values():
        found = protocol.metrics(method)
        assert set(found) == {"auc", *RATE_NAMES}
        for name, expected in by_hand(method).items():
            assert found[name].value == pytest.approx(expected, abs=1e-12)
            assert found[name].low < expected
            assert expected < found[name].high or expected == found[name].high == 1


def test_strict_leaves_the_locked_threshold_and_paper_takes_the_best_on_the_test_specimens():
    table = predictions()
    locked = model_methods(table, "tumor", rule=default_rule("tumor"))["fl-finetune"]
    assert Strict().operate(locked, "tumor") is locked
    chosen = Paper().operate(locked, "tumor")
    true = locked.y_true == 1
    allowed = []
    for cut in np.unique(locked.y_score):
        sensitivity, specificity = (locked.y_score >= cut)[true].mean(), (locked.y_score < cut)[~true].mean()
        if sensitivity > 0.9:
            allowed.append((sensitivity + specificity, sensitivity, cut))
    np.testing.assert_array_equal(chosen.calls, locked.y_score >= max(allowed)[2])
    assert chosen.operating.chosen_on == "test"
    assert locked.operating.chosen_on == "tune"


def test_a_given_threshold_stays_under_paper_and_no_answer_stays_none_under_both():
    table = decided(predictions(), indeterminate=0.2)
    given = model_methods(table, "tumor", rule=default_rule("tumor"), threshold=0.3)["fl-finetune"]
    assert Paper().operate(given, "tumor") is given
    paper, everyone = (methods_of(rows, Paper())["fl-finetune"] for rows in (table, predictions()))
    silent = paper.answers == "indeterminate"
    np.testing.assert_array_equal(paper.answered, ~silent)
    # The threshold is chosen on the specimens that got an answer, as if there were no others.
    asked = Paper().operate(everyone.take(~silent), "tumor")
    assert paper.operating == asked.operating
    np.testing.assert_array_equal(paper.calls[~silent], asked.calls)
    found, expected = Paper().metrics(paper), by_hand(paper.take(~silent))
    for name in METRICS[1:]:
        assert found[name].value == pytest.approx(expected[name])
        assert found[name].low < expected[name] < found[name].high


@BOTH
def test_swapping_the_methods_flips_every_sign(protocol):
    a, b = list(methods_of(predictions(), protocol).values())[::2]
    there, back = protocol.compare(a, b, METRICS), protocol.compare(b, a, METRICS)
    for name in METRICS:
        assert there[name].difference == pytest.approx(-back[name].difference, abs=1e-12)
        assert there[name].low == pytest.approx(-back[name].high, abs=1e-12)
        assert there[name].high == pytest.approx(-back[name].low, abs=1e-12)
        assert there[name].p_two_sided == pytest.approx(back[name].p_two_sided, abs=0.02)
        assert there[name].p_one_sided + back[name].p_one_sided >= 0.98
        expected = by_hand(a)[name] - by_hand(b)[name]
        assert there[name].difference == pytest.approx(expected, abs=1e-12)
        assert there[name].low <= expected <= there[name].high


def test_strict_p_values_are_those_of_all_swaps_of_whole_patients():
    table = predictions()
    table["y_score"] **= np.where(table["model"] == "wl-finetune", 6, 1)  # another scale
    a, b = list(methods_of(table, Strict()).values())[::2]
    names = ("auc", "sensitivity", "specificity", "ppv", "accuracy")
    found = Strict().compare(a, b, names)
    patients = sorted(set(a.patients))
    ranks = [stats.rankdata(m.y_score) for m in (a, b)]
    drawn = {name: [] for name in names}
    for swap in product([False, True], repeat=len(patients)):
        rows = np.isin(a.patients, [p for p, swapped in zip(patients, swap, strict=True) if swapped])
        pair = [
            replace(m, calls=np.where(rows, o.calls, m.calls), y_score=np.where(rows, ranks[1 - i], ranks[i]))
            for i, (m, o) in enumerate(((a, b), (b, a)))
        ]
        of_a, of_b = (by_hand(m, names) for m in pair)
        for name, values in drawn.items():
            values.append(of_a[name] - of_b[name])
    for name, values in drawn.items():
        far = np.abs(values) >= abs(values[0]) - 1e-9
        assert found[name].p_two_sided == pytest.approx(far.mean(), abs=1e-12)
        assert found[name].p_one_sided == pytest.approx(np.mean(np.array(values) >= values[0] - 1e-9), abs=1e-12)
        least = (np.abs(values) >= np.abs(values).max() - 1e-9).mean()
        assert found[name].p_smallest_attainable == pytest.approx(least, abs=1e-12)


@BOTH
@pytest.mark.parametrize("table", [predictions(), folded()], ids=["split", "folds"])
def test_neither_the_order_of_rows_nor_the_names_of_patients_matter(protocol, table):
    renamed = table.assign(patient_id=table["patient_id"].map(lambda name: f"x{name[::-1]}"))
    for other in (shuffled(table), renamed):
        for name, method in methods_of(table, protocol).items():
            again = methods_of(other, protocol)[name]
            for metric, value in protocol.metrics(method).items():
                found = protocol.metrics(again)[metric]
                assert (found.value, found.low, found.high) == pytest.approx((value.value, value.low, value.high))
        pairs = [list(methods_of(rows, protocol).values()) for rows in (table, other)]
        if other is renamed:
            (a, b), (c, d) = ((models[0], models[2]) for models in pairs)
            there, here = (protocol.compare(x, y, METRICS) for x, y in ((a, b), (c, d)))
            for metric in METRICS:
                assert here[metric].p_two_sided == pytest.approx(there[metric].p_two_sided)


@BOTH
def test_rates_are_compared_on_specimens_that_both_answered(protocol):
    found = methods_of(predictions(), Strict())
    a, b = found["fl-finetune"], found["wl-finetune"]
    silent = np.arange(150) % 3
    a, b = (replace(m, calls=np.where(silent == k, np.nan, m.calls)) for k, m in enumerate((a, b)))
    compared = protocol.compare(a, b, METRICS)
    both = silent == 2
    for name in METRICS:
        rows = np.ones(150, bool) if name == "auc" else both
        expected = by_hand(a.take(rows))[name] - by_hand(b.take(rows))[name]
        assert compared[name].difference == pytest.approx(expected, abs=1e-12)


@BOTH
def test_what_cannot_be_compared_is_noted_and_not_an_error(protocol):
    found = methods_of(predictions(), protocol)
    a, b = found["fl-finetune"], found["wl-finetune"]
    unscored = replace(b, y_score=np.full(150, np.nan))
    for first, second, metric in (
        (a, unscored, "auc"),
        (a.take(a.y_true == 1), b.take(b.y_true == 1), "auc"),
        (a.take(np.arange(75)), b.take(np.arange(75, 150)), "accuracy"),
        (a, replace(b, calls=np.full(150, np.nan)), "accuracy"),
    ):
        compared = protocol.compare(first, second, [metric])[metric]
        assert np.isnan([compared.difference, compared.low, compared.p_two_sided]).all()
        assert compared.note
    assert not np.isnan(protocol.compare(a, unscored, ["accuracy"])["accuracy"].p_two_sided)


@BOTH
def test_one_class_has_rates_of_that_class_only(protocol):
    table = predictions()
    table = table[(table["y_true"] == 1) | (table["split"] == "tune")]
    method = methods_of(table, protocol)["fl-finetune"]
    found = protocol.metrics(method)
    assert not {"auc", "specificity"} & set(found)
    assert found["sensitivity"].value == found["accuracy"].value == method.calls.mean()


@BOTH
def test_a_panel_has_the_mean_of_its_readers(protocol):
    method = methods_of(predictions(), Strict())["fl-finetune"]
    rng = np.random.default_rng(0)
    readers = [replace(method, calls=(rng.random(150) < 0.3 + 0.4 * method.y_true).astype(float)) for _ in range(3)]
    panel = replace(method, y_score=np.full(150, np.nan), calls=np.mean([r.calls for r in readers], axis=0))
    found = protocol.metrics(panel)
    assert "auc" not in found
    for name in ("sensitivity", "specificity", "accuracy"):
        assert found[name].value == pytest.approx(np.mean([by_hand(r)[name] for r in readers]))
        assert found[name].low < found[name].value < found[name].high


def test_one_patient_has_values_without_intervals_under_strict():
    found = Strict().metrics(methods_of(predictions(patients=1), Strict())["fl-finetune"])
    assert set(found) == {"auc", *RATE_NAMES}
    assert all(np.isfinite(estimate.value) for estimate in found.values())
    assert np.isnan([(estimate.low, estimate.high) for estimate in found.values()]).all()
    paper = Paper().metrics(methods_of(predictions(patients=1), Paper())["fl-finetune"])
    assert all(estimate.low < estimate.high for estimate in paper.values())


def test_strict_intervals_are_wider_where_patients_differ():
    table = predictions(n=300)
    odd = table["patient_id"].str[1:].astype(int) % 2 == 1
    table.loc[odd, "y_score"] *= 0.5
    strict, paper = (evaluate_task(table, "tumor", p).metrics["fl-finetune"] for p in (Strict(), Paper()))
    for name in ("auc", "sensitivity"):
        assert strict[name].high - strict[name].low > 1.5 * (paper[name].high - paper[name].low)


def test_counts_of_answers_are_those_by_hand():
    method = methods_of(decided(predictions(), indeterminate=0.2), Strict())["fl-finetune"]
    pairs = list(zip(method.y_true, method.calls, strict=True))
    expected = {"tp": (1, 1), "fp": (0, 1), "tn": (0, 0), "fn": (1, 0)}
    assert counts(method) == {name: pairs.count(pair) for name, pair in expected.items()}


def test_the_seed_is_that_of_paper_resamples_only():
    table = predictions()
    values = [Paper(seed).metrics(methods_of(table, Paper())["fl-finetune"])["auc"] for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]
    strict = [Strict(seed).metrics(methods_of(table, Strict())["fl-finetune"])["auc"] for seed in (0, 1)]
    assert strict[0] == strict[1]


def test_protocols_come_by_name_strict_first():
    assert [p.name for p in protocols("both", 3)] == ["strict", "paper"]
    assert [p.name for p in protocols("paper")] == ["paper"]
    with pytest.raises(InputError, match="protocol 'strct' is unknown"):
        protocols("strct")

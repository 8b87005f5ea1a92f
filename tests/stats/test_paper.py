"""The paper's own numbers (Shen et al. 2021): what ours reproduce, and which of them cannot be right."""

from itertools import product

import numpy as np
import pytest
from scipy import special, stats

from glioscope.report._published import DOUBTS, FL_ERRORS, GRADE, KI67, PUBLISHED, READER_ERRORS, TABLE_S1, TUMOUR
from glioscope.stats import Confusion, auc, auc_ci
from glioscope.stats._bootstrap import bootstrap_calls
from glioscope.stats._mcnemar import error_table, mcnemar_exact

from .paper_tables import ROWS, TABLES, class_splits, solutions

WL_CNN = ("tumor", "wl")
N_READ = TUMOUR.n_positive + TUMOUR.n_negative
DIFFERENCES = [
    pytest.param(task, method, metric, printed, id=f"{task}-{method}-{metric}")
    for task, published in PUBLISHED.items()
    for method, printed_differences in published.differences.items()
    for metric, printed in printed_differences.items()
    if np.isfinite(printed.difference)
]


def doubted(task, method, metric, part):
    """Whether the paper's own numbers refute this; `part` is "difference", or "0." for the value itself."""
    return any(
        (d.task, d.method) == (task, method) and metric in d.metrics and d.printed.startswith(part) for d in DOUBTS
    )


@pytest.mark.parametrize("row", [row for row in ROWS if row != WL_CNN], ids="-".join)
def test_each_printed_row_has_one_integer_table(row):
    task = PUBLISHED[row[0]]
    assert solutions(ROWS[row], task.n_positive, task.n_negative) == [TABLES[row]]


@pytest.mark.parametrize(("task", "n"), [("tumor", 608), ("grade", 296), ("ki67", 262)])
def test_the_class_totals_are_the_only_ones_that_fit_the_printed_size(task, n):
    rows = [printed for row, printed in ROWS.items() if row[0] == task and row != WL_CNN]
    assert class_splits(rows, n) == [PUBLISHED[task].n_positive]
    assert PUBLISHED[task].n_positive + PUBLISHED[task].n_negative == n


@pytest.mark.parametrize(
    ("row", "metric"), [(row, metric) for row in ROWS for metric in ROWS[row]], ids=lambda x: "-".join(x)
)
def test_confusion_reproduces_every_printed_digit_that_can_agree(row, metric):
    agrees = f"{getattr(TABLES[row], metric):.3f}" == f"{ROWS[row][metric]:.3f}"
    assert agrees == (not doubted(*row, metric, "0."))


@pytest.mark.parametrize(("task", "method", "metric", "printed"), DIFFERENCES)
def test_differences_of_the_tables_are_the_printed_ones_where_they_can_be(task, method, metric, printed):
    if metric == "auc":
        values = PUBLISHED[task].values
        difference = values["fl"]["auc"].value - values[method]["auc"].value
        agrees = abs(difference - printed.difference) <= 0.0015 + 1e-9  # three roundings of 0.0005
    else:
        difference = getattr(TABLES[task, "fl"], metric) - getattr(TABLES[task, method], metric)
        agrees = f"{difference:+.3f}" == f"{printed.difference:+.3f}"
    assert agrees == (not doubted(task, method, metric, "difference"))


def test_the_wl_cnn_row_has_no_table_but_without_its_sensitivity_one():
    printed = ROWS[WL_CNN]
    assert class_splits([printed], N_READ) == []
    rest = {metric: value for metric, value in printed.items() if metric != "sensitivity"}
    assert solutions(rest, TUMOUR.n_positive, TUMOUR.n_negative) == [TABLES[WL_CNN]]
    assert not any(f"{k / 400:.3f}" == "0.821" for k in range(401))


def test_the_printed_grade_aucs_cannot_differ_by_as_much_as_printed():
    apart = GRADE.values["fl"]["auc"].value - GRADE.values["wl"]["auc"].value
    assert apart + 0.001 < GRADE.differences["wl"]["auc"].difference - 0.0005


def test_the_ki67_differences_fit_another_wl_table_than_the_printed_row():
    fl, printed = TABLES["ki67", "fl"], KI67.differences["wl"]

    def worst(tp, tn):
        other = Confusion(tp=tp, fp=127 - tn, tn=tn, fn=135 - tp)
        return max(abs(getattr(fl, m) - getattr(other, m) - printed[m].difference) for m in ROWS["ki67", "wl"])

    row = TABLES["ki67", "wl"]
    assert worst(row.tp, row.tn) > 0.02
    assert [(tp, tn) for tp, tn in product(range(136), range(128)) if worst(tp, tn) <= 0.001] == [(117, 62)]


@pytest.mark.parametrize("modality", ["fl", "wl"])
def test_a_reader_row_is_one_reader_and_no_average(modality):
    row, errors = ROWS["tumor", f"reader_{modality}"], READER_ERRORS[modality].errors
    table = TABLES["tumor", f"reader_{modality}"]
    assert table.fp + table.fn in errors
    # The three tables together, as counts of 1200 and 624, have a whole number of errors too.
    pooled = {m: row[m] for m in ("sensitivity", "specificity")}
    wrong = {t.fp + t.fn for t in solutions(pooled, 3 * TUMOUR.n_positive, 3 * TUMOUR.n_negative)}
    assert wrong
    assert sum(errors) not in wrong


@pytest.mark.parametrize("modality", ["fl", "wl"])
def test_errors_corrected_and_introduced_add_up(modality):
    table = TABLES["tumor", "fl"]
    assert table.fp + table.fn == FL_ERRORS == 62
    readers = READER_ERRORS[modality]
    introduced = [
        FL_ERRORS - (wrong - corrected) for wrong, corrected in zip(readers.errors, readers.corrected, strict=True)
    ]
    assert introduced == {"fl": [31, 31, 31], "wl": [36, 37, 37]}[modality]
    for wrong, corrected, new in zip(readers.errors, readers.corrected, introduced, strict=True):
        assert corrected / wrong > 0.7
        assert (N_READ - wrong - new) / N_READ > 2 / 3  # "over 2/3 classified correctly by both"


def test_table_s1_is_table_1_for_fl_cnn():
    assert TABLE_S1["fl"] == {m: TUMOUR.values["fl"][m].value for m in ("sensitivity", "specificity")}


@pytest.mark.parametrize(("modality", "reader"), [(modality, i) for modality in READER_ERRORS for i in range(3)])
def test_mcnemar_of_fl_cnn_against_each_reader(modality, reader):
    wrong, corrected = (getattr(READER_ERRORS[modality], name)[reader] for name in ("errors", "corrected"))
    introduced = FL_ERRORS - (wrong - corrected)
    counts = [N_READ - wrong - introduced, corrected, introduced, wrong - corrected]
    fl_right, reader_right = (np.repeat(right, counts) for right in ([1, 1, 0, 0], [1, 0, 1, 0]))
    table = error_table(fl_right, reader_right)
    assert [table.both_right, table.corrected, table.introduced, table.both_wrong] == counts
    result = mcnemar_exact(fl_right, reader_right)
    assert result.difference == pytest.approx((wrong - FL_ERRORS) / N_READ)
    assert result.p_two_sided == pytest.approx(stats.binomtest(introduced, introduced + corrected).pvalue, rel=1e-9)
    assert result.p_two_sided < 0.0001


def bootstrap_limits(table, metric):
    """95 % limits of `metric` when all specimens of a table are drawn anew."""
    counts = [table.tp, table.fn, table.fp, table.tn]
    y_true, calls = (np.repeat(values, counts) for values in ([1, 1, 0, 0], [1, 0, 1, 0]))
    resamples = bootstrap_calls(y_true, calls, metrics=(metric,), stratified=False, n_resamples=20_000, rng=0)
    interval = resamples.interval(metric)
    return np.array([interval.low, interval.high])


@pytest.mark.parametrize("metric", ["sensitivity", "specificity", "ppv", "npv", "f1"])
@pytest.mark.parametrize("modality", ["fl", "wl"])
def test_printed_intervals_of_a_reader_are_bootstrap_percentiles_of_specimens(modality, metric):
    printed = TUMOUR.values[f"reader_{modality}"][metric]
    low, high = bootstrap_limits(TABLES["tumor", f"reader_{modality}"], metric)
    assert (printed.low, printed.high) == pytest.approx((low, high), abs=0.006 + 0.0005)


def test_the_sensitivity_interval_of_the_fl_reader_is_that_of_364_not_of_its_own_365():
    printed = TUMOUR.values["reader_fl"]["sensitivity"]
    off = {}
    for tp in range(362, 368):
        limits = bootstrap_limits(Confusion(tp=tp, fp=82, tn=126, fn=400 - tp), "sensitivity")
        off[tp] = np.abs(limits - [printed.low, printed.high]).max()
    assert min(off, key=off.get) == 364
    assert off[364] < 0.0011 < off[365]


def test_no_fixed_threshold_gives_the_interval_of_fl_cnn_specificity():
    printed = TUMOUR.values["fl"]["specificity"]
    low, high = bootstrap_limits(TABLES["tumor", "fl"], "specificity")
    assert printed.high - printed.low > 1.3 * (high - low)
    assert printed.value - printed.low > 1.6 * (printed.high - printed.value)


@pytest.mark.parametrize(("task", "method", "metric", "printed"), [d for d in DIFFERENCES if not d.values[3].below])
def test_printed_p_values_are_one_sided(task, method, metric, printed):
    error = (printed.high - printed.low) / (2 * stats.norm.ppf(0.975))
    one_sided = stats.norm.sf(abs(printed.difference) / error)
    # Nearer to the one-sided P than to twice it, as far as 10,000 permutations and three digits can tell.
    assert 0.6 * one_sided < printed.pvalue < np.sqrt(2) * one_sided


def test_two_starred_differences_have_intervals_that_hold_zero():
    starred = {
        (task, metric)
        for task, _, metric, printed in (d.values for d in DIFFERENCES)
        if printed.pvalue < 0.05 and printed.low < 0 < printed.high
    }
    assert starred == {("ki67", "accuracy"), ("ki67", "f1")}


def test_bootstrap_interval_of_an_auc_of_0945_is_as_wide_as_the_papers():
    labels = np.repeat([1, 0], [TUMOUR.n_positive, TUMOUR.n_negative])
    normal = np.concatenate([special.ndtri((np.arange(n) + 0.5) / n) for n in (400, 208)])
    scores = normal + labels * np.sqrt(2) * special.ndtri(0.945)
    assert auc(labels, scores) == pytest.approx(0.945, abs=0.0005)
    printed = TUMOUR.values["fl"]["auc"]
    result = auc_ci(labels, scores, method="bootstrap", n_resamples=1000, rng=0)
    assert result.high - result.low == pytest.approx(printed.high - printed.low, rel=0.15)
    assert (result.low, result.high) == pytest.approx((printed.low, printed.high), abs=0.006)

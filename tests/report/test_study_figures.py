import json

import numpy as np
import pytest
from tests.report.layout import words
from tests.report.studies import decided, folded, predictions, readings

from glioscope.report import _study_figures as made
from glioscope.report._analysis import analyse

TABLE = predictions(tasks=("tumor", "grade"))
READ = readings(TABLE)
ALL = ("2a-roc", "2b-bars", "s3-decisions", "calibration", "decision-curve", "risk-coverage", "patients")


@pytest.fixture(scope="module")
def analysis():
    return analyse(TABLE, readings=READ, protocol="both")


def figures_of(analysis, task="tumor"):
    found = made.task_figures(analysis.protocol, task, analysis.headline[task], 0)
    names = [figure.name.removeprefix("figure-").removesuffix(f"-{task}") for figure in found]
    return dict(zip(names, found, strict=True))


def test_the_tumour_task_has_all_its_figures_and_the_others_theirs(analysis):
    found = figures_of(analysis)
    assert tuple(found) == ALL
    assert tuple(figures_of(analysis, "grade")) == ("s5-roc", "4-bars", *ALL[2:5], "patients")
    for figure in found.values():
        assert figure.caption
        assert figure.alt
        json.dumps(figure.option, allow_nan=False)
    assert "Strict protocol, 150 specimens of 7 patients" in found["2a-roc"].caption


def test_figures_say_the_numbers_of_the_tables(analysis):
    found, of = figures_of(analysis), analysis.headline["tumor"]
    area = of.result.metrics["fl-finetune"]["auc"]
    assert f"{area.value:.3f}" in found["2a-roc"].alt
    sensitivity = of.result.metrics["fl-finetune"]["sensitivity"]
    assert f"{sensitivity.value:.3f}" in found["2b-bars"].alt
    brier = of.calibration[0].brier
    assert f"Brier {brier:.3f}" in found["calibration"].alt + " ".join(words(found["calibration"].plot))


def test_the_primary_model_comes_first_and_six_are_shown():
    models = (*(f"m{i}" for i in range(7)), "fl-finetune")
    analysis = analyse(predictions(tasks=("tumor",), models=models))
    text = "\n".join(words(figures_of(analysis)["2a-roc"].plot))
    assert [name for name in models if name in text] == [*models[:5], "fl-finetune"]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    ("table", "missing"),
    [
        (predictions(tasks=("tumor",), n_tune=0), {"s3-decisions", "decision-curve", "risk-coverage"}),
        (folded(tasks=("tumor",)), {"s3-decisions"}),
        (TABLE[(TABLE["split"] == "tune") | (TABLE["y_true"] == 1)], {"2a-roc", "s3-decisions", "decision-curve"}),
        (predictions(tasks=("tumor",), patients=1), set()),
        (TABLE.assign(y_score=0.5), set()),
        (TABLE.assign(y_score=TABLE["y_true"].fillna(0)), set()),
        (
            TABLE[(TABLE["split"] == "tune") | (TABLE["specimen_id"] == "p00-000")],
            {"2a-roc", "s3-decisions", "decision-curve"},
        ),
        (predictions(tasks=("tumor",), models=("a b", "x/y <b>")), set()),
        (predictions(tasks=("tumor",), patients=61, n=366), {"patients"}),
    ],
    ids=[
        "no thresholds",
        "folds",
        "one class",
        "one patient",
        "constant",
        "perfect",
        "one specimen",
        "names",
        "61 patients",
    ],
)
def test_odd_tables_have_the_figures_that_there_can_be(table, missing):
    found = figures_of(analyse(table, readings=READ if "p06" in set(table["patient_id"]) else None))
    assert set(ALL) - set(found) == missing
    for figure in found.values():
        json.dumps(figure.option, allow_nan=False)


def test_an_ordinal_task_has_none():
    table = predictions(tasks=("grade4",)).assign(level=1)
    table["level"] = table["level"].astype("Int64")
    assert figures_of(analyse(table), "grade4") == {}


def test_readers_stand_in_the_figures_of_their_task_and_nowhere_else(analysis):
    text = "\n".join(words(figures_of(analysis)["decision-curve"].plot))
    assert "Reader" in text
    assert made.reader_figure("strict", analysis.headline["grade"]) is None
    figure = made.reader_figure("strict", analysis.headline["tumor"])
    for errors in analysis.headline["tumor"].readers.errors:
        assert str(errors.table.corrected) in figure.alt
        assert str(errors.table.introduced) in figure.alt


def test_readers_of_none_of_the_answered_specimens_have_no_figure():
    table = decided(TABLE)
    table.loc[table["specimen_id"].str[-1] != "3", "decision"] = "indeterminate"
    read = READ[READ["specimen_id"].str[-1] != "3"]
    found = analyse(table, readings=read).headline["tumor"]
    assert {e.table.n for e in found.readers.errors} == {0}
    assert made.reader_figure("strict", found) is None


def test_published_points_and_both_protocols_have_figures_where_there_are_numbers(analysis):
    assert "5-ALA" in made.five_ala_figure("strict", analysis.headline["tumor"]).alt
    silent = analyse(predictions(tasks=("tumor",), n_tune=0))
    assert made.five_ala_figure("strict", silent.headline["tumor"]) is None
    assert made.protocol_figure(silent) is None
    assert "fl-finetune" in made.protocol_figure(analysis).alt


@pytest.mark.parametrize("table", [TABLE, decided(TABLE, indeterminate=0.2), TABLE[TABLE["task"] == "tumor"]])
def test_the_flow_of_the_cascade_has_a_column_for_each_network_and_all_specimens(table):
    analysis = analyse(table)
    names = {task: of.names for task, of in analysis.headline.items()}
    figure = made.cascade_figure("strict", analysis.cascades["strict"], names)
    text = "\n".join(words(figure.plot)) + figure.alt
    for place, task in enumerate(analysis.headline, start=1):
        assert f"CNN {place}: {made.task_title(task)}" in text
    assert "150 test specimens of 7 patients" in figure.caption


def test_a_cascade_in_which_nothing_was_called_tumour_is_drawn_without_the_later_networks():
    table = decided(TABLE, 1.1)
    analysis = analyse(table)
    names = {task: of.names for task, of in analysis.headline.items()}
    cascade = analysis.cascades["strict"]
    assert cascade.first.total(answer="positive") == 0
    figure = made.cascade_figure("strict", cascade, names)
    assert "CNN 2" not in "\n".join(words(figure.plot))


def test_the_net_benefit_of_a_reader_is_that_of_the_counts():
    panel = analyse(TABLE, readings=READ).headline["tumor"].readers.panels["fl"]
    method = panel.readers["A"]
    curve = made._benefit("A", method)
    tp = ((method.calls == 1) & (method.y_true == 1)).mean()
    fp = ((method.calls == 1) & (method.y_true == 0)).mean()
    np.testing.assert_allclose(curve.y, tp - fp * curve.x / (1 - curve.x))

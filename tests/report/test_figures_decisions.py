import json

import numpy as np
import pytest
from tests.report.layout import collisions, words

from glioscope.core import InputError
from glioscope.report._figures_decisions import ScoredClasses, decisions

KEYS = {"name": "figure-s3", "title": "From score to decision", "caption": "Strict protocol; 608 specimens."}


def scored(model="fl-finetune", n=608, threshold=0.44, seed=0):
    rng = np.random.default_rng(seed)
    y_true = np.arange(n) % 3 > 0
    return ScoredClasses(model, y_true, 1 / (1 + np.exp(-rng.normal(size=n) - 2 * y_true + 1)), threshold)


def test_each_panel_prints_the_counts_at_its_threshold():
    given = scored()
    figure = decisions([given], **KEYS)
    called = given.y_score >= 0.44
    tp, fn = np.sum(called & given.y_true), np.sum(~called & given.y_true)
    fp, tn = np.sum(called & ~given.y_true), np.sum(~called & ~given.y_true)
    assert {f"TP {tp}", f"FN {fn}", f"FP {fp}", f"TN {tn}"} <= set(words(figure.plot))
    assert f"threshold 0.440: TP {tp}, FN {fn}, FP {fp}, TN {tn}" in figure.alt
    assert any(line.get_xdata()[0] == 0.44 for line in figure.plot.axes[0].lines)


def test_histograms_hold_every_specimen_on_both_sides():
    given = scored()
    figure = decisions([given], positive="GBM", negative="DLGG", **KEYS)
    up, down = figure.option["series"]
    assert (up["name"], down["name"]) == ("GBM", "DLGG")
    shares = np.array(up["data"])[:-1, 1], np.array(down["data"])[:-1, 1]
    assert [part.sum() for part in shares] == pytest.approx([1, -1], abs=1e-3)
    expected, edges = np.histogram(given.y_score[given.y_true], len(shares[0]), (0, 1))
    np.testing.assert_allclose(shares[0], expected / given.y_true.sum(), atol=1e-5)
    np.testing.assert_allclose(np.array(up["data"])[:, 0], edges, atol=1e-5)
    assert up["markLine"]["data"][0]["xAxis"] == 0.44
    assert {"GBM", "DLGG"} <= set(words(figure.plot))


@pytest.mark.parametrize("n", [50, 100_000])
@pytest.mark.parametrize("n_models", [1, 2, 6])
def test_few_artists_and_no_collisions_whatever_the_number_of_specimens(n, n_models):
    models = ["fl-finetune", "wl-finetune", "fl-probe", "wl-probe", "fusion-probe", "fusion-finetune-and-a-long-name"]
    figure = decisions([scored(model, n, 0.1 + 0.15 * i) for i, model in enumerate(models[:n_models])], **KEYS)
    assert collisions(figure.plot) == []
    assert [len(axes.patches) for axes in figure.plot.axes[:n_models]] == [2] * n_models
    assert len(json.dumps(figure.option, allow_nan=False)) < 5_000 * n_models


def test_constant_scores_and_one_class_still_make_a_figure():
    figure = decisions([ScoredClasses("fl-probe", [1, 1], [0.5, 0.5], 0.5)], **KEYS)
    assert "TP 2, FN 0, FP 0, TN 0" in figure.alt
    assert collisions(figure.plot) == []
    json.dumps(figure.option, allow_nan=False)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="0 models"):
        decisions([], **KEYS)
    with pytest.raises(InputError, match="infinite"):
        decisions([ScoredClasses("fl-probe", [1, 0], [np.inf, 0.5], 0.5)], **KEYS)
    with pytest.raises(InputError, match="1 blank"):
        decisions([ScoredClasses("fl-probe", [1, 0], [np.nan, 0.5], 0.5)], **KEYS)

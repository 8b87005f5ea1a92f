import json

import numpy as np
import pytest
from tests.report.layout import collisions, words

from glioscope.core import InputError
from glioscope.report._figures_curves import Curve, decision_curve, risk_coverage

KEYS = {"name": "figure-curves", "title": "Curves", "caption": "Strict protocol; 608 specimens."}
THRESHOLDS = np.linspace(0.01, 0.99, 99)
PREVALENCE = 400 / 608


def benefit(name, sensitivity, specificity):
    """Net benefit of fixed rates (Vickers and Elkin 2006)."""
    odds = THRESHOLDS / (1 - THRESHOLDS)
    return Curve(name, THRESHOLDS, sensitivity * PREVALENCE - (1 - specificity) * (1 - PREVALENCE) * odds)


ALL = benefit("All positive", 1, 0)


def readers(n):
    return {m: [benefit(f"R{i}", 0.9 - 0.01 * i, 0.6) for i in range(n)] for m in ("FL", "WL")}


def risk(name="fl-finetune", n=200, text="AURC 0.032"):
    coverage = np.arange(1, n + 1) / n
    return Curve(name, coverage, 0.1 * coverage**2, text)


def test_models_readers_and_both_defaults_are_drawn_as_given():
    model = benefit("fl-finetune", 0.938, 0.822)
    figure = decision_curve([model], ALL, readers(3), **KEYS)
    lines = {id(line): line for line in figure.plot.axes[0].lines}.values()
    for given in (model, ALL, *readers(3)["FL"]):
        assert any(np.array_equal(line.get_ydata(), given.y) for line in lines)
    assert len(lines) == 1 + 1 + 1 + 6
    assert {"fl-finetune", "All positive", "None positive", "Readers (FL), 3", "Readers (WL), 3"} <= set(
        words(figure.plot)
    )
    assert figure.plot.axes[0].get_ylim()[1] > PREVALENCE * 0.99


def test_the_screen_shows_the_same_net_benefit():
    model = benefit("fl-finetune", 0.938, 0.822)
    figure = decision_curve([model], ALL, readers(2), **KEYS)
    shown = figure.option["series"]
    assert [part["name"] for part in shown] == [
        "fl-finetune", "All positive", "None positive", *["Readers (FL)"] * 2, *["Readers (WL)"] * 2,
    ]  # fmt: skip
    np.testing.assert_allclose(shown[0]["data"], np.column_stack([model.x, model.y]), atol=1e-5)
    assert f"fl-finetune net benefit {model.y[19]:.3f} at 0.20, {model.y[49]:.3f} at 0.50" in figure.alt
    json.dumps(figure.option, allow_nan=False)


def test_six_models_and_two_dozen_readings_do_not_collide():
    names = [f"fusion-finetune-efficientnet_b{i}-with-a-long-name" for i in range(6)]
    models = [benefit(name, 0.95 - 0.03 * i, 0.8) for i, name in enumerate(names)]
    assert collisions(decision_curve(models, ALL, readers(12), **KEYS).plot) == []
    assert collisions(risk_coverage([risk(name) for name in names], **KEYS).plot) == []


def test_a_locked_band_is_a_star_on_its_models_curve():
    figure = risk_coverage([risk(), risk("wl-finetune")], [("wl-finetune", 0.9, 0.081)], **KEYS)
    (star,) = (line for line in figure.plot.axes[0].lines if line.get_marker() == "*")
    assert (*star.get_xdata(), *star.get_ydata()) == (0.9, 0.081)
    curves = {line.get_color(): line for line in figure.plot.axes[0].lines if line is not star}
    assert star.get_color() == list(curves)[1]
    assert figure.option["series"][-1]["data"][0]["value"] == [0.9, 0.081]
    assert "wl-finetune locked band: coverage 0.900, risk 0.081" in figure.alt
    assert "fl-finetune AURC 0.032 risk 0.100 at coverage 1.000" in figure.alt


def test_a_hundred_thousand_specimens_make_a_light_curve_with_the_same_ends():
    given = risk(n=100_000)
    (shown,) = risk_coverage([given], **KEYS).option["series"]
    assert len(shown["data"]) <= 400
    assert shown["data"][-1] == [1, pytest.approx(0.1)]
    assert np.abs(np.interp(given.x, *np.array(shown["data"]).T) - given.y).max() < 1e-4


def test_one_point_is_a_visible_marker():
    figure = risk_coverage([Curve("fl-probe", np.array([1.0]), np.array([0.0]))], **KEYS)
    assert figure.plot.axes[0].lines[0].get_marker() == "o"
    assert figure.option["series"][0]["itemStyle"]["opacity"] == 1
    assert collisions(figure.plot) == []


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="a point of wl-probe has no curve"):
        risk_coverage([risk()], [("wl-probe", 0.9, 0.1)], **KEYS)
    with pytest.raises(InputError, match=r"fl-probe has vectors of \[2, 1\] values"):
        risk_coverage([Curve("fl-probe", np.zeros(2), np.zeros(1))], **KEYS)
    with pytest.raises(InputError, match=r"\[0, 0\]"):
        decision_curve([Curve("fl-probe", np.zeros(0), np.zeros(0))], ALL, **KEYS)
    with pytest.raises(InputError, match="5 modalities"):
        decision_curve([benefit("m", 0.9, 0.9)], ALL, {f"m{i}": [] for i in range(5)}, **KEYS)

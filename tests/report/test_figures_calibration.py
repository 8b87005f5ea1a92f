import json

import numpy as np
import pytest
from tests.report.layout import collisions, words

from glioscope.core import InputError
from glioscope.report._figures_calibration import ReliabilityLine, reliability

KEYS = {"name": "figure-calibration", "title": "Calibration", "caption": "Strict protocol; 608 specimens."}


def curve(name="fl-finetune", text="Brier 0.081 (0.060, 0.100), ECE 0.031", seed=0):
    mean = np.linspace(0.05, 0.95, 10)
    observed = np.clip(mean + 0.03, 0, 1)
    y_probability = np.random.default_rng(seed).beta(0.6, 0.4, 608)
    return ReliabilityLine(name, mean, observed, observed - 0.04, observed + 0.02, y_probability, text)


def test_points_intervals_and_histogram_are_those_given():
    given = curve()
    upper, lower = reliability([given], **KEYS).plot.axes
    points = next(line for line in upper.lines if line.get_marker() == "o")
    np.testing.assert_array_equal(points.get_xydata(), np.column_stack([given.mean_probability, given.observed]))
    ends = np.array([segment[:, 1] for segment in upper.collections[0].get_segments()])
    np.testing.assert_array_equal(ends, np.column_stack([given.low, given.high]))
    shares = lower.patches[0].get_data().values
    np.testing.assert_allclose(shares, np.histogram(given.y_probability, 20, (0, 1))[0] / 608)
    assert shares.sum() == pytest.approx(1)


def test_the_screen_shows_the_same():
    given = curve()
    figure = reliability([given], **KEYS)
    above, below = figure.option["series"]
    np.testing.assert_allclose(above["data"], np.column_stack([given.mean_probability, given.observed]), atol=1e-5)
    whiskers = [[end["coord"][1] for end in pair] for pair in above["markLine"]["data"]]
    np.testing.assert_allclose(whiskers, np.column_stack([given.low, given.high]), atol=1e-5)
    assert np.array(below["data"])[:-1, 1].sum() == pytest.approx(1, abs=1e-3)
    json.dumps(figure.option, allow_nan=False)


def test_scores_stand_in_the_legend_and_bins_in_the_alternative_text():
    figure = reliability([curve()], **KEYS)
    assert "fl-finetune: Brier 0.081 (0.060, 0.100), ECE 0.031" in words(figure.plot)
    assert "ECE 0.031 (probability: observed 0.05: 0.08, 0.15: 0.18" in figure.alt


def test_six_models_with_long_names_do_not_collide():
    names = [f"fusion-finetune-efficientnet_b{i}-with-a-long-name" for i in range(6)]
    figure = reliability([curve(name, seed=i) for i, name in enumerate(names)], **KEYS)
    assert collisions(figure.plot) == []
    assert len({line.get_marker() for line in figure.plot.axes[0].lines}) == 7, "six models and the diagonal"


def test_one_bin_without_an_interval_still_makes_a_figure():
    blank = np.array([np.nan])
    constant = ReliabilityLine("fl-probe", np.array([0.5]), np.array([1.0]), blank, blank, np.full(3, 0.5))
    figure = reliability([constant], **KEYS)
    json.dumps(figure.option, allow_nan=False)
    assert figure.option["series"][0]["markLine"]["data"] == []
    assert collisions(figure.plot) == []


def test_vectors_of_different_length_are_refused():
    wrong = ReliabilityLine("fl-probe", np.zeros(2), np.zeros(3), np.zeros(2), np.zeros(2), np.zeros(5))
    with pytest.raises(InputError, match=r"fl-probe has vectors of \[2, 3, 2, 2\] values"):
        reliability([wrong], **KEYS)
    with pytest.raises(InputError, match="0 methods"):
        reliability([], **KEYS)

import json

import numpy as np
import pytest
from tests.report.layout import collisions, words

from glioscope.core import InputError
from glioscope.report._figures_performance import RatePoint, RocLine, roc
from glioscope.report._style import PALETTE
from glioscope.stats import Estimate, auc, roc_curve

NAN = float("nan")
KEYS = {"name": "figure-2a-roc", "title": "ROC curves", "caption": "Strict protocol; 608 specimens of 7 patients."}
LONG = "fusion-finetune-efficientnet_b0-on-both-images"


def point(name, sensitivity, specificity, modality="", mean=False):
    def near(value):
        return Estimate(value, value - 0.03, min(1.0, value + 0.02))

    return RatePoint(name, near(sensitivity), near(specificity), modality, mean)


def curve(name="fl-finetune", n=608, separation=2.2, seed=0, operating=True):
    rng = np.random.default_rng(seed)
    y_true = np.arange(n) % 3 > 0
    y_score = rng.normal(size=n) + separation * y_true
    found = roc_curve(y_true, y_score)
    grid = np.linspace(0, 1, 21)
    middle = np.interp(grid, found.fpr, found.tpr)
    band = grid, np.clip(middle - 0.04, 0, 1), np.clip(middle + 0.03, 0, 1)
    area = auc(y_true, y_score)
    at = point(name, 0.938, 0.822) if operating else None
    return RocLine(name, found.fpr, found.tpr, Estimate(area, area - 0.02, area + 0.015), band, at)


def readers(n, modality, sensitivity, specificity):
    each = [
        point(f"Reader R{i} ({modality})", sensitivity - 0.01 * i, specificity + 0.01 * i, modality) for i in range(n)
    ]
    return [*each, point(f"Mean of readers ({modality})", sensitivity, specificity, modality, mean=True)]


def series(figure, kind, name):
    return [part for part in figure.option["series"] if part["type"] == kind and part["name"].startswith(name)]


def test_every_curve_is_drawn_as_given_in_its_own_colour_and_line():
    curves = [curve(), curve("wl-finetune", separation=1.5, seed=1)]
    axes = roc(curves, **KEYS).plot.axes[0]
    drawn = [line for line in axes.lines if len(line.get_xdata()) > 2]
    for line, given, colour in zip(drawn, curves, PALETTE, strict=False):
        np.testing.assert_array_equal(line.get_xdata(), given.fpr)
        np.testing.assert_array_equal(line.get_ydata(), given.tpr)
        assert line.get_color() == colour
    assert len({line.get_linestyle() for line in drawn}) == len(drawn) == 2
    assert len(axes.collections) == 2, "one band a curve"
    assert axes.get_box_aspect() == 1


def test_the_screen_shows_the_curve_its_band_and_its_operating_point():
    given = curve()
    figure = roc([given], **KEYS)
    shown, low, width = series(figure, "line", "fl-finetune")
    np.testing.assert_allclose(shown["data"], np.column_stack([given.fpr, given.tpr]), atol=1e-5)
    np.testing.assert_allclose(np.array(low["data"])[:, 1], given.band[1], atol=1e-5)
    np.testing.assert_allclose(np.array(low["data"]) + np.array(width["data"]) * [0, 1],
                               np.column_stack([given.band[0], given.band[2]]), atol=2e-5)  # fmt: skip
    assert low["stack"] == width["stack"]
    assert series(figure, "scatter", "fl-finetune")[0]["data"][0]["value"] == [pytest.approx(0.178), 0.938]
    assert figure.option["aria"] == {"enabled": True, "decal": {"show": True}}
    assert figure.option["animation"] is False


def test_the_mean_reader_is_larger_than_the_readers_and_carries_both_intervals():
    figure = roc([curve(operating=False)], readers(3, "FL", 0.912, 0.606), **KEYS)
    each, mean = series(figure, "scatter", "Readers (FL)")[0], series(figure, "scatter", "Mean of readers")[0]
    assert len(each["data"]) == 3
    assert mean["symbolSize"] > each["symbolSize"]
    across, upright = mean["markLine"]["data"]
    assert [end["coord"] for end in across] == [[pytest.approx(1 - 0.626), 0.912], [pytest.approx(1 - 0.576), 0.912]]
    assert [end["coord"][1] for end in upright] == [pytest.approx(0.882), pytest.approx(0.932)]
    small, large = (line for line in figure.plot.axes[0].lines if line.get_marker() == "o")
    assert len(small.get_xdata()) == 3
    assert large.get_markersize() > small.get_markersize()


def test_readers_of_two_modalities_differ_without_colour():
    everyone = [*readers(3, "FL", 0.912, 0.606), *readers(3, "WL", 0.82, 0.827)]
    axes = roc([curve()], everyone, **KEYS).plot.axes[0]
    faces = {(line.get_marker(), line.get_markerfacecolor()) for line in axes.lines if line.get_marker() in "os"}
    assert faces == {("o", "black"), ("s", "white")}


def test_the_text_for_those_who_cannot_see_it_holds_every_number():
    given = curve()
    figure = roc([given], readers(2, "WL", 0.82, 0.827), **KEYS)
    assert f"AUC {given.auc.value:.3f} ({given.auc.low:.3f}, {given.auc.high:.3f})" in figure.alt
    assert "sensitivity 0.938 (0.908, 0.958), specificity 0.822" in figure.alt
    assert "Reader R1 (WL) sensitivity 0.810" in figure.alt
    assert figure.caption.endswith(KEYS["caption"])
    assert any(f"AUC {given.auc.value:.3f}" in line for line in words(figure.plot))


@pytest.mark.parametrize("n", [3000, 100_000])
def test_a_long_curve_is_thinned_without_moving_it(n):
    given = curve(n=n)
    figure = roc([given], **KEYS)
    shown = np.array(series(figure, "line", "fl-finetune")[0]["data"])
    assert len(shown) <= 1001
    assert shown[0].tolist() == [0, 0]
    assert shown[-1].tolist() == [1, 1]
    assert np.abs(np.interp(given.fpr + given.tpr, shown.sum(axis=1), shown[:, 1]) - given.tpr).max() < 0.003


def test_six_methods_and_two_dozen_readings_do_not_collide():
    names = ["fl-finetune", "wl-finetune", "fusion-finetune", "fl-probe", "wl-probe", LONG]
    curves = [curve(name, separation=2.4 - 0.3 * i, seed=i) for i, name in enumerate(names)]
    everyone = [*readers(12, "FL", 0.912, 0.606), *readers(12, "WL", 0.82, 0.827)]
    assert collisions(roc(curves, everyone, **KEYS).plot) == []


def test_constant_scores_and_missing_intervals_still_make_a_figure():
    flat = RocLine("fl-probe", np.array([0.0, 1.0]), np.array([0.0, 1.0]), Estimate(0.5), None, None)
    lost = RatePoint("Reader R1", Estimate(NAN), Estimate(0.9), "FL", mean=True)
    figure = roc([flat], [lost], **KEYS)
    json.dumps(figure.option, allow_nan=False)
    assert collisions(figure.plot) == []
    assert "AUC 0.500." not in figure.alt
    assert "Reader R1 sensitivity –, specificity 0.900" in figure.alt


def test_bad_input_is_refused_in_one_sentence():
    short = RocLine("fl-probe", np.zeros(3), np.zeros(2), Estimate(0.5))
    with pytest.raises(InputError, match="fl-probe has 3 fpr and 2 tpr"):
        roc([short], **KEYS)
    with pytest.raises(InputError, match="0 methods"):
        roc([], **KEYS)
    with pytest.raises(InputError, match="8 methods"):
        roc([curve(f"m{i}") for i in range(8)], **KEYS)
    with pytest.raises(InputError, match="5 modalities"):
        roc([curve()], [point("R", 0.9, 0.9, f"m{i}") for i in range(5)], **KEYS)

import json

import pytest
from tests.report.layout import bars as drawn_bars
from tests.report.layout import collisions, words

from glioscope.core import InputError
from glioscope.report._figures_metrics import Bracket, bars
from glioscope.report._style import PALETTE
from glioscope.stats import Estimate

NAN = float("nan")
KEYS = {"name": "figure-2b", "title": "Diagnostic performance", "caption": "Strict protocol; 608 specimens."}
METHODS = ("fl-finetune", "Reader (FL)", "Reader (WL)", "wl-finetune")
# Table 1 of Shen et al. 2021.
TABLE_1 = {
    "Specificity": dict(zip(METHODS, (0.822, 0.606, 0.827, 0.803), strict=True)),
    "Sensitivity": dict(zip(METHODS, (0.938, 0.912, 0.820, 0.821), strict=True)),
}
P_VALUES = {"Reader (FL)": 0.00001, "Reader (WL)": 0.5216, "wl-finetune": 0.3636}


def estimates(values=TABLE_1):
    return {
        metric: {method: Estimate(value, value - 0.05, min(1, value + 0.04)) for method, value in group.items()}
        for metric, group in values.items()
    }


def paper():
    brackets = [Bracket(metric, METHODS[0], other, p) for metric in TABLE_1 for other, p in P_VALUES.items()]
    return bars(estimates(), brackets, **KEYS)


def test_every_bar_has_its_methods_colour_and_its_value_as_height():
    axes = paper().plot.axes[0]
    for colour, method in zip(PALETTE, METHODS, strict=False):
        heights = [height for _, _, _, height in drawn_bars(axes, colour)]
        assert heights == pytest.approx([TABLE_1[metric][method] for metric in TABLE_1])
    assert len({patch.get_hatch() for patch in axes.patches}) == len(METHODS), "grey printers tell them apart"


def test_intervals_lie_over_their_bars_in_print():
    axes = paper().plot.axes[0]
    for lines, colour, method in zip(axes.collections, PALETTE, METHODS, strict=False):
        middles = [x + width / 2 for x, _, width, _ in drawn_bars(axes, colour)]
        assert [segment[0][0] for segment in lines.get_segments()] == pytest.approx(middles)
        lows = [TABLE_1[metric][method] - 0.05 for metric in TABLE_1]
        assert [segment[0][1] for segment in lines.get_segments()] == pytest.approx(lows)


def test_brackets_print_p_as_the_paper_does_and_never_cross_an_interval():
    figure = paper()
    shown = words(figure.plot)
    assert [shown.count(text) for text in ("P < 0.0001", "P = 0.5216", "P = 0.3636")] == [2, 2, 2]
    brackets = [line for line in figure.plot.axes[0].lines if len(line.get_xdata()) == 4]
    assert len(brackets) == 6
    assert min(min(line.get_ydata()[1:3]) for line in brackets[:3]) > 0.827 + 0.04
    assert len({round(max(line.get_ydata()), 6) for line in brackets[:3]}) == 3, "each on a level of its own"


def test_the_screen_has_the_same_values_intervals_and_brackets():
    figure = paper()
    *groups, brackets = figure.option["series"]
    for part, method in zip(groups, METHODS, strict=True):
        assert part["name"] == method
        assert [bar["value"][1] for bar in part["data"]] == [TABLE_1[metric][method] for metric in TABLE_1]
        places = [bar["value"][0] for bar in part["data"]]
        assert [start["coord"][0] for start, _ in part["markLine"]["data"]] == places
    assert [start["name"] for start, _ in brackets["markLine"]["data"]].count("P < 0.0001") == 2
    json.dumps(figure.option, allow_nan=False)


def test_the_alternative_text_names_values_and_p():
    assert "Specificity: fl-finetune 0.822 (0.772, 0.862), Reader (FL) 0.606" in paper().alt
    assert "Sensitivity, fl-finetune against wl-finetune: P = 0.3636" in paper().alt


@pytest.mark.parametrize("n_metrics", [1, 2, 7])
@pytest.mark.parametrize("n_methods", [1, 2, 6])
def test_nothing_collides_from_one_bar_to_forty_two(n_metrics, n_methods):
    methods = [
        "fl-finetune",
        "wl-finetune",
        "fl-probe",
        "Reader R1 (FL)",
        "wl-probe",
        "fusion-finetune-and-a-long-name",
    ]
    metrics = ["AUC", "Accuracy", "Sensitivity", "Specificity", "PPV", "NPV", "F1"][:n_metrics]
    values = {metric: dict.fromkeys(methods[:n_methods], 0.9) for metric in metrics}
    pairs = [(a, b) for a, b in ((0, 1), (0, 5), (4, 5)) if b < n_methods]
    brackets = [Bracket(metric, methods[a], methods[b], 0.0123) for metric in metrics for a, b in pairs]
    assert collisions(bars(estimates(values), brackets, **KEYS).plot) == []


def test_a_missing_value_says_so_and_a_negative_one_goes_down():
    values = {"AUC": {"fl-probe": Estimate(NAN)}, "MCC": {"fl-probe": Estimate(-0.2, -0.4, 0.1)}}
    figure = bars(values, **KEYS)
    assert "no value" in words(figure.plot)
    assert figure.plot.axes[0].get_ylim()[0] == pytest.approx(-0.4)
    json.dumps(figure.option, allow_nan=False)


def test_a_bracket_without_bars_is_refused():
    with pytest.raises(InputError, match="a bracket compares fl-probe in Sensitivity"):
        bars(estimates(), [Bracket("Sensitivity", "fl-probe", "wl-finetune", 0.5)], **KEYS)
    with pytest.raises(InputError, match="0 methods"):
        bars({}, **KEYS)

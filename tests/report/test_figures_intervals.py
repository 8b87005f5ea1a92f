import json

import numpy as np
import pytest
from tests.report.layout import collisions, words

from glioscope.core import InputError
from glioscope.report._figures_intervals import ProtocolPair, against_published, protocols
from glioscope.report._figures_performance import RatePoint
from glioscope.stats import Estimate

NAN = float("nan")
KEYS = {"name": "figure", "title": "Intervals", "caption": "608 specimens of 7 patients."}
METRICS = ("AUC", "Sensitivity", "Specificity", "PPV", "NPV", "F1", "Accuracy")
# Table S1 as the paper's text cites it.
PUBLISHED = [
    RatePoint("5-ALA (Shen et al. 2021, Table S1)", Estimate(0.706), Estimate(0.811)),
    RatePoint("FL-CNN (Shen et al. 2021)", Estimate(0.938, 0.922, 0.966), Estimate(0.822, 0.729, 0.877)),
]
OURS = [RatePoint("fl-finetune", Estimate(0.91, 0.85, 0.95), Estimate(0.84, 0.7, 0.92))]


def pair(method="fl-finetune", metric="AUC"):
    return ProtocolPair(method, metric, Estimate(0.945, 0.925, 0.96), Estimate(0.931, 0.871, 0.969))


def drawn(axes):
    """Ends of every segment ((x0, y0), (x1, y1)); an interval that is not known has none."""
    return [part.tolist() for lines in axes.collections for part in lines.get_segments() if len(part)]


def intervals(axes):
    return [[x0, x1] for (x0, y0), (x1, y1) in drawn(axes) if y0 == y1]


def test_both_protocols_stand_in_one_row_with_their_numbers():
    figure = protocols([pair()], **KEYS)
    assert intervals(figure.plot.axes[0]) == [[0.925, 0.96], [0.871, 0.969]]
    shown = words(figure.plot)
    assert {"fl-finetune", "AUC", "0.945 (0.925, 0.960)", "0.931 (0.871, 0.969)"} <= set(shown)
    assert "fl-finetune AUC: paper 0.945 (0.925, 0.960), strict 0.931 (0.871, 0.969)" in figure.alt
    assert len({line.get_marker() for line in figure.plot.axes[0].lines}) == 2


def test_the_screen_gives_each_protocol_its_own_row():
    paper, strict = protocols([pair(), pair(metric="F1")], **KEYS).option["series"]
    assert [mark["value"] for mark in paper["data"]] == [[0.945, 0], [0.945, 2]]
    assert [mark["value"] for mark in strict["data"]] == [[0.931, 1], [0.931, 3]]
    assert [end["coord"] for end in strict["markLine"]["data"][1]] == [[0.871, 3], [0.969, 3]]


@pytest.mark.parametrize("n_methods", [1, 2, 6])
def test_up_to_forty_two_rows_fit_one_page_without_collisions(n_methods):
    methods = ["fl-finetune", "wl-finetune", "fl-probe", "wl-probe", "fusion-probe", "fusion-finetune-and-a-long-name"]
    figure = protocols([pair(method, metric) for method in methods[:n_methods] for metric in METRICS], **KEYS)
    assert collisions(figure.plot) == []
    assert figure.plot.get_figheight() <= 9.2
    assert ("dataZoom" in figure.option) == (n_methods > 2), "many rows scroll on the screen"


def test_published_points_are_hollow_and_run_through_the_rows():
    figure = against_published(OURS, PUBLISHED, **KEYS)
    sensitivity, specificity = figure.plot.axes
    assert intervals(sensitivity) == [[0.922, 0.966], [0.85, 0.95]]
    hollow, filled = (line.get_markerfacecolor() for line in specificity.lines)
    assert hollow == "white"
    assert filled != "white"
    assert [x0 for (x0, _), (x1, _) in drawn(sensitivity) if x0 == x1] == [0.706, 0.938]
    assert "5-ALA (Shen et al. 2021, Table S1) sensitivity 0.706, specificity 0.811" in figure.alt
    assert figure.caption.startswith("Hollow and marked *: published.")


def test_the_screen_shows_the_same_points_in_two_panels():
    series = against_published(OURS, PUBLISHED, **KEYS).option["series"]
    found = {(part["name"], part["xAxisIndex"]): [mark["value"][0] for mark in part["data"]] for part in series}
    assert found == {("Published", 0): [0.706, 0.938], ("This study", 0): [0.91],
                     ("Published", 1): [0.811, 0.822], ("This study", 1): [0.84]}  # fmt: skip
    assert len(series[0]["markLine"]["data"]) == 1, "no interval where none was published"


def test_many_readers_and_long_names_do_not_collide():
    many = [RatePoint(f"Reader R{i} (FL)", Estimate(0.9, 0.8, 0.95), Estimate(0.6, 0.5, 0.7)) for i in range(24)]
    long = RatePoint("fusion-finetune-efficientnet_b0-with-a-long-name", Estimate(0.9), Estimate(0.8))
    assert collisions(against_published([*OURS, long, *many], PUBLISHED, **KEYS).plot) == []


def test_values_that_do_not_exist_print_a_dash():
    blank = ProtocolPair("fl-probe", "AUC", Estimate(NAN), Estimate(0.9))
    lost = RatePoint("fl-probe", Estimate(NAN), Estimate(0.9))
    for figure in (protocols([blank], **KEYS), against_published([lost], PUBLISHED[:1], **KEYS)):
        json.dumps(figure.option, allow_nan=False)
        assert "–" in words(figure.plot)
        assert collisions(figure.plot) == []
        assert np.isfinite(figure.plot.axes[0].get_xlim()).all()


def test_nothing_to_compare_is_refused():
    with pytest.raises(InputError, match="at least one pair"):
        protocols([], **KEYS)
    with pytest.raises(InputError, match="1 points against 0 published"):
        against_published(OURS, [], **KEYS)

import json

import numpy as np
import pytest
from tests.report.layout import collisions, words

from glioscope.core import InputError
from glioscope.report._figures_patients import PatientSize, Spread, patient_spread
from glioscope.stats import Estimate

NAN = float("nan")
KEYS = {"name": "figure-patients", "title": "Between patients", "caption": "Strict protocol; 23 patients."}
PATIENTS = [PatientSize("P01", 80, 60), PatientSize("P02", 20, 20), PatientSize("P03", 5, 2)]
POOLED = Estimate(0.93, 0.88, 0.97)


def spread(values, metric="AUC", method="fl-finetune"):
    return Spread(metric, method, tuple(values), POOLED)


def test_patients_are_sorted_by_the_first_method_and_the_rest_stands_at_the_foot():
    figure = patient_spread(PATIENTS, [spread([0.91, NAN, 0.97])], **KEYS)
    labels = [label.get_text() for label in figure.plot.axes[0].get_yticklabels()]
    assert labels == ["P03 (2/5)", "P01 (60/80)", "P02 (20/20)", "All (82/105)"]
    assert figure.plot.axes[0].yaxis_inverted()
    assert "one class only" in words(figure.plot)
    marks = figure.option["series"][0]["data"]
    assert [mark["value"] for mark in marks] == [[0.97, 0], [0.91, 1], [None, 2], [0.93, 3]]


def test_marker_area_grows_with_the_specimens():
    areas = patient_spread(PATIENTS, [spread([0.9, 0.8, 0.7])], **KEYS).plot.axes[0].collections[0].get_sizes()
    steps = np.diff(areas) / np.diff([80, 20, 5])
    assert steps == pytest.approx([steps[0]] * 2), "linear in n"
    assert areas[0] > areas[-1] > 0


def test_patients_of_one_class_are_hollow_where_they_have_a_value():
    figure = patient_spread(PATIENTS, [spread([0.9, 0.8, 0.7], "Sensitivity")], **KEYS)
    faces = figure.plot.axes[0].collections[0].get_facecolors()
    assert faces[1].tolist() == [1, 1, 1, 1]
    assert faces[0].tolist() == faces[2].tolist() != [1, 1, 1, 1]
    hollow = [mark.get("itemStyle", {}).get("color") for mark in figure.option["series"][0]["data"]]
    assert hollow == [None, "#FFFFFF", None, None]


def test_the_pooled_value_has_its_interval_at_the_foot_and_a_line():
    figure = patient_spread(PATIENTS, [spread([0.9, 0.8, 0.7])], **KEYS)
    (segment,) = figure.plot.axes[0].collections[1].get_segments()
    assert segment.tolist() == [[0.88, 3], [0.97, 3]]
    assert any(np.all(np.asarray(line.get_xdata()) == 0.93) for line in figure.plot.axes[0].lines)
    assert "pooled 0.930 (0.880, 0.970), 3 of 3 patients with a value, from 0.700 to 0.900" in figure.alt
    (interval,) = figure.option["series"][0]["markLine"]["data"]
    assert [end["coord"] for end in interval] == [[0.88, 3], [0.97, 3]]


def test_metrics_have_a_panel_each_and_methods_keep_their_look():
    spreads = [spread([0.9, 0.8, 0.7], metric, method)
               for metric in ("Sensitivity", "Specificity") for method in ("fl-finetune", "wl-finetune")]  # fmt: skip
    figure = patient_spread(PATIENTS, spreads, **KEYS)
    assert [axes.get_xlabel() for axes in figure.plot.axes] == ["Sensitivity", "Specificity"]
    assert [part["xAxisIndex"] for part in figure.option["series"]] == [0, 0, 1, 1]
    colours = [[tuple(found.get_edgecolor()[0]) for found in axes.collections[::2]] for axes in figure.plot.axes]
    assert colours[0] == colours[1]
    assert len(set(colours[0])) == 2


@pytest.mark.parametrize("n", [1, 7, 25, 120])
@pytest.mark.parametrize("n_methods", [1, 6])
def test_from_one_patient_to_more_than_a_page_can_name(n, n_methods):
    rng = np.random.default_rng(n)
    patients = [PatientSize(f"P{i:03d}", int(rng.integers(1, 160)), 0) for i in range(n)]
    spreads = [spread(rng.uniform(0.6, 1, n), method=f"method-{i}") for i in range(n_methods)]
    figure = patient_spread(patients, spreads, **KEYS)
    assert collisions(figure.plot) == []
    assert figure.plot.get_figheight() < 9.3
    assert ("dataZoom" in figure.option) == (n > 27)


def test_no_value_at_all_still_makes_a_figure():
    figure = patient_spread(PATIENTS[1:2], [Spread("AUC", "fl-probe", (NAN,), Estimate(NAN))], **KEYS)
    json.dumps(figure.option, allow_nan=False)
    assert collisions(figure.plot) == []
    assert "pooled –, 0 of 1 patients with a value" in figure.alt


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="AUC of fl-finetune has 2 values for 3 patients"):
        patient_spread(PATIENTS, [spread([0.9, 0.8])], **KEYS)
    with pytest.raises(InputError, match="at least one patient"):
        patient_spread([], [spread([])], **KEYS)
    with pytest.raises(InputError, match="0 methods"):
        patient_spread(PATIENTS, [], **KEYS)

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.report.layout import collisions, words

from glioscope.core import InputError
from glioscope.report._figures_flow import FlowColumn, FlowPath, cascade_flow, ribbons

COLUMNS = (
    FlowColumn("Pathology", ("tumour", "non-tumour", "no label")),
    FlowColumn("CNN 1: tumour", ("tumour", "indeterminate", "non-tumour", "not assessable")),
    FlowColumn("CNN 2: grade", ("GBM", "DLGG", "indeterminate", "not assessable")),
    FlowColumn("CNN 3: Ki-67", ("Ki-67 >= 10 %", "Ki-67 < 10 %", "indeterminate", "not assessable")),
)
PATHS = (
    FlowPath(("tumour", "tumour", "GBM", "Ki-67 >= 10 %"), 52),
    FlowPath(("tumour", "tumour", "DLGG", "Ki-67 < 10 %"), 310),
    FlowPath(("tumour", "tumour", "indeterminate", "indeterminate"), 13),
    FlowPath(("tumour", "non-tumour", None, None), 25),
    FlowPath(("non-tumour", "tumour", "DLGG", "Ki-67 < 10 %"), 37),
    FlowPath(("non-tumour", "non-tumour", None, None), 171),
    FlowPath(("no label", "not assessable", None, None), 1),
)


@st.composite
def some_paths(draw):
    def path():
        length = draw(st.integers(1, len(COLUMNS)))
        asked = [draw(st.sampled_from(column.answers)) for column in COLUMNS[:length]]
        return FlowPath((*asked, *[None] * (len(COLUMNS) - length)), draw(st.integers(0, 1000)))

    return [FlowPath(("tumour", "tumour", "GBM", None), 1), *(path() for _ in range(draw(st.integers(0, 12))))]


def at(paths, column, answer):
    return sum(path.specimens for path in paths if path.answers[column] == answer)


@settings(max_examples=100, deadline=None)
@given(some_paths())
def test_what_flows_into_an_answer_is_what_it_holds_and_what_flows_on_was_asked_on(paths):
    flows = ribbons(COLUMNS, paths)
    for column in range(len(COLUMNS)):
        for place, answer in enumerate(COLUMNS[column].answers):
            into = sum(f.specimens for f in flows if (f.column, f.target) == (column - 1, place))
            out = sum(f.specimens for f in flows if (f.column, f.source) == (column, place))
            if column > 0:
                assert into == at(paths, column, answer)
            if column < len(COLUMNS) - 1:
                on = [path for path in paths if path.answers[column + 1] is not None]
                assert out == at(on, column, answer)


@settings(max_examples=100, deadline=None)
@given(some_paths())
def test_ribbons_lie_side_by_side_at_both_ends(paths):
    flows = ribbons(COLUMNS, paths)
    for end, node in (("start", "source"), ("end", "target")):
        ends = {}
        for flow in flows:
            ends.setdefault((flow.column, getattr(flow, node)), []).append((getattr(flow, end), flow.specimens))
        for row in ends.values():
            edge = 0
            for begin, specimens in sorted(row):
                assert begin == edge
                edge += specimens


def test_the_option_holds_the_same_flows():
    option = json.loads(json.dumps(cascade_flow(COLUMNS, PATHS, "").option))
    (series,) = option["series"]
    values = {node["name"]: node["value"] for node in series["data"]}
    assert values["Pathology: tumour"] == 400
    assert values["CNN 1: tumour: tumour"] == 412
    assert "CNN 1: tumour: indeterminate" not in values
    into = Counter()
    for link in series["links"]:
        into[link["target"]] += link["value"]
    assert into == {name: value for name, value in values.items() if not name.startswith("Pathology")}


def test_cascade_tells_its_numbers_in_picture_and_words():
    figure = cascade_flow(COLUMNS, PATHS, "Strict.")
    shown = words(figure.plot)
    for text in ("tumour  412", "375 + 37 + 0", "indeterminate  0", "not assessable  1", "DLGG  347", "310 + 37 + 0"):
        assert text in shown
    assert "tumour 412 (375 tumour, 37 non-tumour), indeterminate 0" in figure.alt
    assert figure.caption == (
        "Strict. Colour: Pathology. Below each answer: its specimens as tumour, non-tumour, no label."
    )


@pytest.mark.parametrize("times", [1, 10**5])
@pytest.mark.parametrize("paths", [PATHS, PATHS[:1], PATHS[5:6]])
def test_texts_of_the_cascade_do_not_collide(paths, times):
    many = [FlowPath(path.answers, path.specimens * times) for path in paths]
    assert collisions(cascade_flow(COLUMNS, many, "").plot) == []


def test_one_specimen_of_a_million_is_still_drawn():
    paths = [FlowPath(("tumour", "tumour", None, None), 10**6), FlowPath(("non-tumour", "tumour", None, None), 1)]
    patches = cascade_flow(COLUMNS, paths, "").plot.axes[0].patches
    outlines = [patch for patch in patches if patch.get_facecolor()[3] == 0]
    assert len(outlines) == 2
    assert all(patch.get_linewidth() >= 0.5 for patch in outlines)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([FlowPath(("tumour", None, "GBM", None), 1)], "None only at its end"),
        ([FlowPath(("tumour",), 1)], "must have 4 answers"),
        ([FlowPath((None, None, None, None), 1)], "must have 4 answers"),
        ([FlowPath(("tumour", "perhaps", None, None), 1)], "CNN 1: tumour has no answer 'perhaps'"),
        ([FlowPath(("tumour", "tumour", None, None), -1)], "-1 specimens"),
        ([FlowPath(("tumour", "tumour", None, None), 0)], "no specimens"),
        ([], "no specimens"),
    ],
)
def test_wrong_paths_are_refused(paths, message):
    with pytest.raises(InputError, match=message):
        cascade_flow(COLUMNS, paths, "")


def test_a_single_column_is_refused():
    with pytest.raises(InputError, match="1 columns"):
        cascade_flow(COLUMNS[:1], [FlowPath(("tumour",), 1)], "")

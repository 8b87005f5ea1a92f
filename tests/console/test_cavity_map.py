import json
import math

import pytest

from glioscope.cases import Correction, Withdrawal
from glioscope.console._answer import LOOKS, Kind
from glioscope.console._cavity_map import N_SECTORS, cavity_map, legend, place_in_centre, place_in_sector
from glioscope.console._words import Words

from .cases_made import GBM, INDETERMINATE, NON_TUMOUR, NOT_ASSESSABLE, TUMOUR, answer, case_of, specimen

WORDS = Words()


def points(*specimens, **more):
    options = cavity_map(case_of(*specimens), WORDS, **more)
    return {point["name"]: point for point in options["series"][1]["data"]}


@pytest.mark.parametrize("sector", range(1, N_SECTORS + 1))
def test_every_place_lies_within_its_sector_and_no_two_are_the_same(sector):
    places = [place_in_sector(rank, sector) for rank in range(30)]
    assert all(sector - 1 < angle < sector and 0.2 < radius <= 1 for radius, angle in places)
    assert len({(round(r, 6), round(a, 6)) for r, a in places}) == 30


def test_specimens_without_a_sector_stay_in_the_middle():
    assert all(place_in_centre(rank)[0] <= 0.2 for rank in range(50))


def test_a_sign_never_moves_when_more_specimens_come():
    few = points(*(specimen(n, 1 + n % 3, TUMOUR) for n in range(1, 6)))
    many = points(*(specimen(n, 1 + n % 3, TUMOUR) for n in range(1, 60)))
    assert all(many[name]["value"] == point["value"] for name, point in few.items())


@pytest.mark.parametrize(
    ("tasks", "kind", "filled"),
    [
        (TUMOUR, Kind.TUMOUR, True),
        (NON_TUMOUR, Kind.NON_TUMOUR, True),
        (INDETERMINATE, Kind.INDETERMINATE, False),
        (NOT_ASSESSABLE, Kind.NOT_ASSESSABLE, True),
    ],
)
def test_sign_and_colour_say_the_decision(tasks, kind, filled):
    point = points(specimen(1, 1, tasks))["s1"]
    assert point["symbol"] == LOOKS[kind].symbol
    assert point["itemStyle"]["borderColor"] == LOOKS[kind].colour
    assert (point["itemStyle"]["color"] == LOOKS[kind].colour) is filled


def test_the_size_rises_with_the_probability():
    tasks = [{"tumor": answer("positive", p)} for p in (0.55, 0.75, 0.95)]
    sizes = [points(specimen(1, 1, t))["s1"]["symbolSize"] for t in tasks]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 3


def test_a_withdrawn_specimen_is_hollow_and_dashed():
    style = points(specimen(1, 1, TUMOUR, Withdrawal(reason="x")))["s1"]["itemStyle"]
    assert style["borderType"] == "dashed"
    assert style["color"] != LOOKS[Kind.TUMOUR].colour


def test_a_hidden_specimen_gives_nothing_away():
    drawn = [points(specimen(1, 1, tasks), hidden={"s1"})["s1"] for tasks in (GBM, NON_TUMOUR, NOT_ASSESSABLE)]
    assert drawn[0] == drawn[1] == drawn[2]


def test_a_corrected_specimen_moves_to_its_sector():
    _, angle = points(specimen(1, 1, TUMOUR, Correction(sector=6)))["s1"]["value"]
    assert math.ceil(angle) == 6


def test_the_shown_specimen_has_a_white_edge():
    drawn = points(specimen(1, 1, TUMOUR), specimen(2, 1, TUMOUR), chosen="s2")
    assert drawn["s2"]["itemStyle"]["borderColor"] == "#ffffff"
    assert drawn["s1"]["itemStyle"]["borderColor"] != "#ffffff"


def test_the_options_are_plain_json_and_the_legend_names_every_kind():
    json.dumps(cavity_map(case_of(specimen(1, None, GBM)), WORDS), allow_nan=False)
    assert len(legend(WORDS)) == len(Kind)

import re
from collections import Counter
from pathlib import Path

import pytest

from glioscope.cohort._study import StudyInfo, read_study
from glioscope.core import InputError
from glioscope.report._checklists import (
    CHECKLISTS,
    RUN_FACTS,
    STUDY_FACTS,
    TO_COMPLETE,
    fill,
    load_checklist,
    study_facts,
)
from glioscope.sim._pathology import simulated_study

DOCUMENT = Path(__file__).parents[2] / "docs" / "study-files.md"


def papers_study(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)[0])
    return read_study(path)


def split_items(name):
    """Items with parts and how many parts each has."""
    numbers = Counter(re.sub("[a-z]", "", item.id) for item in load_checklist(name).items)
    return {int(number): parts for number, parts in numbers.items() if parts > 1}


@pytest.mark.parametrize(
    ("name", "last", "rows", "parts"),
    [
        ("stard_ai", 40, 48, {15: 4, 16: 3, 17: 2, 26: 2, 40: 2}),
        ("tripod_ai", 27, 52, {3: 3, 5: 2, 6: 3, 8: 3, 9: 3, 12: 7, 18: 6, 20: 3, 23: 2, 27: 3}),
        ("claim", 44, 44, {}),
    ],
)
def test_numbering_is_that_of_the_published_checklist(name, last, rows, parts):
    ids = [item.id for item in load_checklist(name).items]
    assert len(ids) == len(set(ids)) == rows
    assert ids == sorted(ids, key=lambda text: (int(re.sub("[a-z]", "", text)), text))
    assert {int(re.sub("[a-z]", "", text)) for text in ids} == set(range(1, last + 1))
    assert split_items(name) == parts


def test_every_fact_is_asked_for_and_every_fact_asked_for_is_described():
    asked = {key for name in CHECKLISTS for item in load_checklist(name).items for key in item.facts}
    assert asked == set(STUDY_FACTS) | set(RUN_FACTS)
    assert not set(STUDY_FACTS) & set(RUN_FACTS)


@pytest.mark.parametrize("name", CHECKLISTS)
def test_nothing_known_leaves_everything_to_the_authors(name):
    filled = fill(load_checklist(name), {})
    assert {row.answer for row in filled} == {TO_COMPLETE}
    assert all(row.missing == row.item.facts for row in filled)


@pytest.mark.parametrize("name", CHECKLISTS)
def test_all_facts_answer_all_items_but_those_only_authors_can(name):
    facts = {key: f"{key} known." for key in (*STUDY_FACTS, *RUN_FACTS)}
    for row in fill(load_checklist(name), facts):
        expected = "; ".join(f"{key} known" for key in row.item.facts) or TO_COMPLETE
        assert (row.answer, row.missing) == (expected, ())


def test_limitations_and_implications_are_never_answered_by_software():
    for name, numbers in (("stard_ai", "33 34 35 25 28"), ("tripod_ai", "25 26 27c 20b"), ("claim", "40 41 36 33")):
        facts_of = {item.id: item.facts for item in load_checklist(name).items}
        assert all(facts_of[number] == () for number in numbers.split())


def test_an_item_with_one_fact_missing_is_not_answered_and_names_it():
    rows = {row.item.id: row for row in fill(load_checklist("stard_ai"), {"sites": "Beijing", "enrolment_dates": " "})}
    assert rows["9"].answer == TO_COMPLETE
    assert rows["9"].missing == ("enrolment_dates",)


def test_unknown_facts_and_checklists_are_refused():
    with pytest.raises(InputError, match="fact 'treshold' is not known; did you mean 'thresholds'"):
        fill(load_checklist("claim"), {"treshold": "x"})
    with pytest.raises(InputError, match="checklist 'strobe' is not known; there are stard_ai, tripod_ai, claim"):
        load_checklist("strobe")


def test_the_papers_study_answers_what_its_text_says(tmp_path):
    facts = study_facts(papers_study(tmp_path))
    assert set(facts) <= set(STUDY_FACTS)
    assert facts["registration"] == (
        "Chinese Clinical Trial Registry, ChiCTR2000029402, registered on 2020-01-29, retrospectively"
    )
    assert facts["icg"] == "Dandong Yichuang Pharmaceutical, 1 mg/kg, 48 h before anaesthesia"
    assert facts["imaging_system"].endswith("laser 808 nm, 50 mW/cm2")
    assert facts["enrolment_dates"] == "2019-03-22 to 2020-04-22"
    assert facts["assessors"].startswith("GLL, neuropathologist; JMW")
    assert not {"flow", "sample_size", "protocol", "fairness", "reference_blinding"} & set(facts)
    rows = {row.item.id: row.answer for row in fill(load_checklist("stard_ai"), facts)}
    assert rows["6"] == "Ethics Committee of Beijing Tiantan Hospital, Capital Medical University"
    assert rows["24"] == rows["22"] == rows["37"] == TO_COMPLETE


def test_half_an_answer_is_no_fact():
    halves = {
        "flow": {"enrolled": 23},
        "sample_size": {"patients": 25},
        "icg": {"dose_mg_per_kg": 1.0},
        "imaging": {"laser_wavelength_nm": 808.0},
        "registration": {"retrospective": True},
        "endpoints": {"primary": ("sensitivity",)},
        "eligibility": {"exclusion": ("child",)},
    }
    assert study_facts(StudyInfo.model_validate(halves)) == {}


def test_a_whole_flow_and_sample_size_are_facts():
    whole = StudyInfo.model_validate(
        {
            "flow": {"approached": 30, "excluded": [{"reason": "no consent", "n": 5}], "enrolled": 25, "analysed": 25},
            "sample_size": {"patients": 25, "icc": 0.1, "rationale": "an interval 0.1 wide"},
        }
    )
    assert study_facts(whole) == {
        "flow": "30 patients approached, 25 enrolled, 25 analysed; left out: 5 no consent",
        "sample_size": "25 patients planned; an interval 0.1 wide; assumed: icc 0.1",
    }


def test_answers_of_a_simulated_study_say_so(tmp_path):
    (tmp_path / "study.toml").write_text(simulated_study(23, 1874, 0, 3), encoding="utf-8")
    facts = study_facts(read_study(tmp_path / "study.toml"))
    assert "consent" not in facts
    assert all("SIMULATED" in facts[key] for key in ("ethics", "registration", "index_test", "funding", "assessors"))

import pytest

from glioscope.cases import Correction, Pathology, Withdrawal
from glioscope.console._suggest import Urgency, suggest, suggestion_sentence
from glioscope.console._words import Words

from .cases_made import GBM, HIGH_KI67, INDETERMINATE, NON_TUMOUR, NOT_ASSESSABLE, TUMOUR, case_of, specimen

WORDS = Words()


def said(*specimens, hidden=()):
    return [(s.urgency, s.sector, s.numbers) for s in suggest(case_of(*specimens), hidden)]


def test_gbm_and_high_ki67_come_before_other_tumour_and_tumour_before_what_has_no_answer():
    found = said(
        specimen(1, 1, INDETERMINATE), specimen(2, 2, TUMOUR), specimen(3, 3, GBM), specimen(4, 4, HIGH_KI67),
        specimen(5, 5, NON_TUMOUR),
    )  # fmt: skip
    assert found == [
        (Urgency.HIGH, 4, (4,)),
        (Urgency.HIGH, 3, (3,)),
        (Urgency.TUMOUR, 2, (2,)),
        (Urgency.AGAIN, 1, (1,)),
    ]


def test_within_a_sector_the_newest_comes_first():
    assert said(specimen(1, 2, TUMOUR), specimen(2, 2, TUMOUR)) == [(Urgency.TUMOUR, 2, (2, 1))]


def test_a_newer_non_tumour_of_the_sector_takes_the_urgency_away_but_not_the_finding():
    assert said(specimen(1, 2, GBM), specimen(2, 2, NON_TUMOUR)) == [(Urgency.CLEARED, 2, (1,))]
    assert said(specimen(1, 2, NON_TUMOUR), specimen(2, 2, GBM)) == [(Urgency.HIGH, 2, (2,))]


def test_without_a_sector_no_newer_specimen_speaks_for_an_older_one():
    assert said(specimen(1, None, TUMOUR), specimen(2, None, NON_TUMOUR)) == [(Urgency.TUMOUR, None, (1,))]


@pytest.mark.parametrize("tasks", [INDETERMINATE, NOT_ASSESSABLE])
def test_what_has_no_answer_is_to_be_taken_again_until_its_sector_has_a_newer_answer(tasks):
    assert said(specimen(1, 2, tasks)) == [(Urgency.AGAIN, 2, (1,))]
    assert said(specimen(1, 2, tasks), specimen(2, 2, NON_TUMOUR)) == []


def test_withdrawn_and_hidden_specimens_suggest_nothing():
    assert said(specimen(1, 1, GBM, Withdrawal(reason="mixed up"))) == []
    assert said(specimen(1, 1, GBM), hidden={"s1"}) == []


def test_a_corrected_sector_counts():
    assert said(specimen(1, 1, TUMOUR, Correction(sector=7))) == [(Urgency.TUMOUR, 7, (1,))]


def test_pathology_overrules_the_network():
    well, sick = (
        Pathology(pathologist="p", pathology="non-tumor"),
        Pathology(pathologist="p", pathology="tumor", who_grade=4),
    )
    assert said(specimen(1, 1, GBM, well)) == []
    assert said(specimen(1, 1, NON_TUMOUR, sick)) == [(Urgency.HIGH, 1, (1,))]


def test_sentences_suggest_and_never_command():
    case = case_of(
        specimen(1, 1, GBM), specimen(2, 2, TUMOUR), specimen(3, 3, GBM), specimen(4, 3, NON_TUMOUR),
        specimen(5, None, INDETERMINATE),
    )  # fmt: skip
    sentences = [suggestion_sentence(s, WORDS) for s in suggest(case)]
    assert len(sentences) == 4
    assert all(" may " in sentence for sentence in sentences)
    assert sentences[0].startswith("Sector 1: tumour at the margin, called GBM")


def test_nothing_is_suggested_of_an_empty_case():
    assert suggest(case_of()) == []

import pytest

from glioscope.cases import Pathology, Reading, Withdrawal
from glioscope.console._accuracy import accuracy_lines, running_accuracy
from glioscope.console._answer import LOOKS, Kind, answer_html, brief, kind_of, probability_of, view_answer
from glioscope.console._page_theatre_case import CaseForm, read_case_form
from glioscope.console._timeline import timeline
from glioscope.console._words import Words
from glioscope.core import InputError

from .cases_made import (
    GBM,
    INDETERMINATE,
    NON_TUMOUR,
    NOT_ASSESSABLE,
    TUMOUR,
    answer,
    case_of,
    reason,
    specimen,
)

WORDS = Words()


@pytest.mark.parametrize(
    ("tasks", "kind"),
    [
        (TUMOUR, Kind.TUMOUR),
        (NON_TUMOUR, Kind.NON_TUMOUR),
        (INDETERMINATE, Kind.INDETERMINATE),
        (NOT_ASSESSABLE, Kind.NOT_ASSESSABLE),
        ({}, Kind.NOT_ASSESSABLE),
    ],
)
def test_a_decision_is_shown_as_word_sign_and_colour(tasks, kind):
    one = specimen(1, 3, tasks)
    html = answer_html(view_answer(one, WORDS), WORDS)
    assert kind_of(one) is kind
    for part in (LOOKS[kind].sign, LOOKS[kind].colour, WORDS[f"theatre.word.{kind}"]):
        assert part in html


def test_no_two_kinds_share_sign_colour_symbol_or_word():
    for values in (
        [look.sign for look in LOOKS.values()],
        [look.colour for look in LOOKS.values()],
        [look.symbol for look in LOOKS.values()],
        [WORDS[f"theatre.word.{kind}"] for kind in Kind],
    ):
        assert len(set(values)) == len(Kind)


def test_the_probability_comes_with_its_interval():
    assert probability_of(answer("positive", 0.93)) == "0.93, 0.81–0.98"


def test_a_probability_is_never_rounded_to_certainty():
    near = {"y_probability": 0.9991, "y_interval": [0.996, 0.9999]}
    assert probability_of(near) == ">0.99, >0.99–>0.99"
    assert probability_of({"y_probability": 0.001, "y_interval": None}) == "<0.01"


def test_without_a_calibration_the_score_is_not_called_a_probability():
    raw = {"tumor": answer("positive", 0.9, "tumour") | {"y_probability": None, "y_interval": None}}
    (line,) = view_answer(specimen(1, 1, raw), WORDS).lines
    assert "no calibrated probability" in line.value
    assert line.label == WORDS["theatre.score"]


def test_grade_and_ki67_are_shown_for_tumours_only():
    labels = [line.label for line in view_answer(specimen(1, 1, GBM), WORDS).lines]
    assert labels == [WORDS["theatre.probability"], "Grade", "Ki-67"]
    not_a_tumour = {**GBM, **NON_TUMOUR}
    assert len(view_answer(specimen(1, 1, not_a_tumour), WORDS).lines) == 1


def test_ki67_is_not_named_twice():
    value = view_answer(specimen(1, 1, GBM), WORDS).lines[-1].value
    assert value == "< 10 %, P(>= 10 %) 0.20, 0.08–0.25"


def test_a_grade_that_cannot_be_told_says_why():
    tasks = {**TUMOUR, "grade": answer("not_assessable", None, "not assessable", reasons=[reason("too dark")])}
    assert view_answer(specimen(1, 1, tasks), WORDS).lines[1].value == "not assessable: too dark"


def test_a_reason_that_several_tasks_share_is_said_once():
    tasks = {
        "tumor": answer("positive", 0.9, reasons=[reason("a")]),
        "grade": answer("positive", 0.9, reasons=[reason("a")]),
    }
    assert view_answer(specimen(1, 1, tasks), WORDS).reasons == ("a",)


def test_while_a_reading_is_owed_nothing_of_the_answer_is_in_the_page():
    one = specimen(1, 1, {**GBM, "tumor": answer("positive", 0.93, "tumour", reasons=[reason("telling")])})
    html = answer_html(view_answer(one, WORDS, hidden=True), WORDS) + brief(one, WORDS, hidden=True)
    for telling in ("TUMOUR", "0.93", "GBM", "telling", LOOKS[Kind.TUMOUR].sign, LOOKS[Kind.TUMOUR].colour):
        assert telling not in html


def test_a_withdrawn_answer_stays_struck_through_with_its_reason():
    html = answer_html(view_answer(specimen(1, 1, TUMOUR, Withdrawal(reason="mixed up")), WORDS), WORDS)
    assert "gs-struck" in html
    assert "mixed up" in html
    assert "TUMOUR" in html


def test_what_people_and_devices_say_is_escaped():
    bad = "<img src=x onerror=alert(1)>"
    one = specimen(1, 1, {"tumor": answer("positive", 0.9, reasons=[reason(bad)])}, Withdrawal(reason=bad))
    assert "<img" not in answer_html(view_answer(one, WORDS), WORDS)


def test_the_timeline_is_newest_first_and_keeps_withdrawn_specimens():
    case = case_of(specimen(1, 1, TUMOUR, Withdrawal(reason="dropped")), specimen(2, 2, NON_TUMOUR))
    moments = timeline(case, WORDS)
    assert [m.specimen_id for m in moments] == ["s2", "s1", "s1", ""]
    assert moments[2].struck
    assert "dropped" in moments[1].text


def test_the_timeline_holds_back_answer_reading_and_pathology_while_a_reading_is_owed():
    said = (Reading(reader="bert", reading=1, rating=5), Pathology(pathologist="carl", pathology="tumor", who_grade=4))
    case = case_of(specimen(1, 1, GBM, *said))
    text = " ".join(m.text for m in timeline(case, WORDS, {"s1"}))
    assert "TUMOUR" not in text
    assert "grade" not in text
    assert "TUMOUR" in " ".join(m.text for m in timeline(case, WORDS))


def test_running_accuracy_counts_calls_and_leaves_out_what_was_not_called():
    sick, well = Pathology(pathologist="carl", pathology="tumor"), Pathology(pathologist="carl", pathology="non-tumor")
    case = case_of(
        specimen(1, 1, TUMOUR, sick),
        specimen(2, 1, NON_TUMOUR, sick),
        specimen(3, 1, NON_TUMOUR, well),
        specimen(4, 1, INDETERMINATE, sick),
        specimen(5, 1, TUMOUR, well, Withdrawal(reason="x")),
        specimen(6, 1, TUMOUR),
    )
    found = running_accuracy(case)
    assert (found.table.tp, found.table.fn, found.table.tn, found.table.fp) == (1, 1, 1, 0)
    assert found.n_indeterminate == 1
    text = "\n".join(accuracy_lines(found, WORDS))
    # Clopper-Pearson of 1 of 2, as in any table: 0.0126 to 0.9874.
    assert "0.50 (1 of 2; 95 % 0.01–0.99)" in text
    assert "2 tumour and 1 non-tumour" in text


def test_running_accuracy_gives_nothing_away_while_a_reading_is_owed():
    case = case_of(specimen(1, 1, TUMOUR, Pathology(pathologist="carl", pathology="tumor")))
    assert accuracy_lines(running_accuracy(case, {"s1"}), WORDS) == [WORDS["theatre.accuracy.none"]]


def test_a_case_form_becomes_a_record_with_its_time_zone():
    typed = CaseForm(" P-7 ", True, "1,05", "2026-02-27", "09:30", "2021", True, "")
    record = read_case_form(typed, WORDS)
    assert (record.patient_id, record.icg_mg_per_kg, record.blind_reading) == ("P-7", 1.05, True)
    assert record.icg_given_at is not None
    assert record.icg_given_at.tzinfo is not None


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"patient_id": "Anna Schmidt"}, "pseudonym"),
        ({"dose": "much"}, "'much'"),
        ({"dose": "26"}, "25 mg/kg"),
        ({"given_on": "2026-02-27"}, "2026-02-27"),
        ({"given_at": "25:00", "given_on": "2026-02-27"}, "25:00"),
        ({"note": "x" * 2001}, "2000"),
    ],
)
def test_a_case_form_that_cannot_be_is_refused_with_one_sentence(typed, sentence):
    with pytest.raises(InputError, match=sentence):
        read_case_form(CaseForm(**{"patient_id": "P-7", **typed}), WORDS)

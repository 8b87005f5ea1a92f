"""The list of cases and the page of one: who amends, what is struck through, what waits."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from glioscope.cases import Annotation, Case, CaseStore, CaseSummary, Pathology, Withdrawal
from glioscope.console import Words
from glioscope.console._case_dialogs import amended, form_of
from glioscope.console._page_case import case_facts, specimen_row
from glioscope.console._page_cases import PAGE_CASES, case_row, list_cases, pathology_counts
from glioscope.console._visible import Visible

from .record_server import (
    OPERATOR,
    PATHOLOGIST,
    SECOND,
    SURGEON,
    add_specimen,
    browser_page,
    case_record,
    chromium,
    client,
    new_request,
    served,
)

pytestmark = pytest.mark.alone

WORDS = Words()
ALL, NOTHING = Visible(answer=True, opinions=True), Visible(answer=False, opinions=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CaseStore]:
    with CaseStore.open(tmp_path / "store", create=True) as made:
        yield made


def new_case(store: CaseStore, **facts: Any) -> Case:
    return store.open_case(OPERATOR, case_record(**facts), data_kind="simulated", request_id=new_request())


def test_specimens_with_any_opinion_are_counted_once_each(store: CaseStore) -> None:
    first, second = new_case(store), new_case(store)
    one, two, _ = (add_specimen(store, first.case_id) for _ in range(3))
    for actor, specimen in ((PATHOLOGIST, one), (SECOND, one), (PATHOLOGIST, two)):
        said = Pathology(pathologist=actor.account, pathology="tumor")
        store.add_entry(actor, specimen.specimen_id, said, request_id=new_request())
    store.add_entry(SURGEON, two.specimen_id, Annotation(text="soft"), request_id=new_request())
    assert pathology_counts(store, [first.case_id, second.case_id]) == {first.case_id: 2}


def test_the_list_is_paged_with_the_newest_first_and_knows_whether_there_is_more(store: CaseStore) -> None:
    cases = [new_case(store, patient_id=f"P-{n}") for n in range(PAGE_CASES + 3)]
    first, _ = list_cases(store, 1)
    last, _ = list_cases(store, 2)
    assert len(first) == PAGE_CASES + 1
    shown = [summary.case_id for summary in (*first[:PAGE_CASES], *last)]
    assert shown == [case.case_id for case in reversed(cases)]


def test_an_erased_case_stays_as_a_line_that_leads_nowhere() -> None:
    at = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    erased = CaseSummary(
        case_id="c1", data_kind="real", patient_id=None, opened_at=at, closed_at=None, erased_at=at, n_specimens=4
    )
    cells = case_row(erased, 0, WORDS).cells
    assert not any(cell.href for cell in cells)
    assert cells[3].text.startswith("erased on 2026-03-01")


def test_a_line_holds_nothing_of_an_answer_or_an_opinion_that_is_hidden(store: CaseStore) -> None:
    case = new_case(store)
    specimen = add_specimen(store, case.case_id)
    said = Pathology(pathologist=PATHOLOGIST.account, pathology="tumor", who_grade=4)
    specimen = store.add_entry(PATHOLOGIST, specimen.specimen_id, said, request_id=new_request())
    shown = " ".join(cell.text + cell.look for cell in specimen_row(specimen, ALL, SURGEON, WORDS).cells)
    hidden = " ".join(cell.text + cell.look for cell in specimen_row(specimen, NOTHING, SURGEON, WORDS).cells)
    assert all(word in shown for word in ("TUMOUR 0.93", "Tumour IV"))
    assert not any(word in hidden.lower() for word in ("tumour", "0.93", "iv"))
    assert "reading owed" in hidden


def test_a_withdrawn_specimen_is_struck_through_and_says_why(store: CaseStore) -> None:
    specimen = add_specimen(store, new_case(store).case_id)
    specimen = store.add_entry(SURGEON, specimen.specimen_id, Withdrawal(reason="dropped"), request_id=new_request())
    row = specimen_row(specimen, ALL, SURGEON, WORDS)
    assert row.look == "gs-withdrawn"
    assert "dropped" in row.cells[-1].text


def test_opinions_without_a_consensus_are_no_truth(store: CaseStore) -> None:
    specimen = add_specimen(store, new_case(store).case_id)
    for actor in (PATHOLOGIST, SECOND):
        said = Pathology(pathologist=actor.account, pathology="tumor")
        specimen = store.add_entry(actor, specimen.specimen_id, said, request_id=new_request())
    assert specimen_row(specimen, ALL, SURGEON, WORDS).cells[4].text == "2 opinions, no consensus"


def test_an_amendment_leaves_unit_and_suite_as_they_were() -> None:
    record = case_record(unit="bench 2", suite="suite-7", suite_sha256="ab" * 32, icg_given_at=None)
    form = form_of(record)
    form = type(form)(**{name: getattr(form, name) for name in form.__slots__} | {"dose": "0,5", "note": "late"})
    changed = amended(record, form, WORDS)
    assert changed == record.model_copy(update={"icg_mg_per_kg": 0.5, "note": "late"})


def test_the_facts_say_how_long_before_the_case_icg_was_given(store: CaseStore) -> None:
    shown = dict(case_facts(new_case(store), WORDS))
    assert shown["ICG given"].endswith("48 h before the case")


@pytest.mark.slow
def test_of_two_who_amend_at_once_the_second_is_told_and_nothing_of_the_first_is_lost(browser: Any) -> None:
    case = new_case(served().store)
    path = f"/cases/{case.case_id}"
    with browser_page(browser, "operator", path) as slow, browser_page(browser, "operator", path) as fast:
        for page, note in ((slow, "from the slow one"), (fast, "from the fast one")):
            page.get_by_role("button", name="Amend record…").click()
            page.get_by_label("Note (no names)").fill(note)
        for page in (fast, slow):
            page.get_by_role("button", name="Store", exact=True).click()
            page.get_by_role("dialog").wait_for(state="detached")
        slow.get_by_text("Somebody else amended this record").wait_for()
        slow.get_by_text("from the fast one").wait_for()
    kept = served().store.case(case.case_id)
    assert (kept.record.note, kept.version) == ("from the fast one", 2)


@pytest.mark.slow
def test_a_wrong_dose_is_told_in_the_form_which_keeps_what_was_typed(browser: Any) -> None:
    case = new_case(served().store)
    with browser_page(browser, "operator", f"/cases/{case.case_id}") as page:
        page.get_by_role("button", name="Amend record…").click()
        page.get_by_label("ICG dose").fill("250")
        page.get_by_role("button", name="Store", exact=True).click()
        page.get_by_role("alert").get_by_text("250").wait_for()
        assert page.get_by_label("ICG dose").input_value() == "250"
    assert served().store.case(case.case_id).version == 1


@pytest.mark.slow
def test_a_case_is_closed_and_reopened_by_an_operator_and_by_nobody_else(browser: Any) -> None:
    case = new_case(served().store)
    with browser_page(browser, "surgeon", f"/cases/{case.case_id}") as page:
        for name in ("Close case", "Amend record…", "Reopen case"):
            assert not page.get_by_role("button", name=name).count()
    with browser_page(browser, "operator", f"/cases/{case.case_id}") as page:
        page.get_by_role("button", name="Close case").click()
        page.get_by_role("dialog").get_by_role("button", name="Close case").click()
        page.get_by_role("button", name="Reopen case").wait_for()
        assert served().store.case(case.case_id).closed_at is not None
        page.get_by_role("button", name="Reopen case").click()
        page.get_by_role("button", name="Close case").wait_for()
    assert served().store.case(case.case_id).closed_at is None


@pytest.mark.slow
def test_the_list_leads_to_the_case_and_a_pathologist_to_the_first_specimen_that_waits(browser: Any) -> None:
    case = new_case(served().store, patient_id="P-list")
    first, second = (add_specimen(served().store, case.case_id) for _ in range(2))
    said = Pathology(pathologist=PATHOLOGIST.account, pathology="tumor")
    served().store.add_entry(PATHOLOGIST, first.specimen_id, said, request_id=new_request())
    with browser_page(browser, "pathologist", "/cases") as page:
        row = page.get_by_role("row").filter(has_text="P-list")
        assert "1 of 2" in row.inner_text()
        row.get_by_role("link").click()
        page.get_by_role("link", name="Begin with no. 2").click()
        page.wait_for_url(f"**/specimens/{second.specimen_id}")
    assert client("pathologist").get("/cases/nobody").status_code < 500

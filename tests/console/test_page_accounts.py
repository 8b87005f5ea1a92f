"""What an administrator does: accounts, the audit trail, erasure; and the page of the unit."""

from collections.abc import Iterator
from typing import Any

import pytest

from glioscope.cases import AuditReport, CaseErased
from glioscope.console import Words
from glioscope.console._page_accounts import check_same
from glioscope.console._page_audit import case_line, newest_links, verdict
from glioscope.core import InputError

from .guarded import Browser
from .record_server import OPERATOR, add_specimen, browser_page, case_record, chromium, new_request, served

pytestmark = pytest.mark.alone

WORDS = Words()
GOOD = "a long enough pass phrase"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


def choose(page: Any, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option).click()


def test_two_passwords_that_differ_are_refused() -> None:
    check_same(GOOD, GOOD, WORDS)
    with pytest.raises(InputError, match="differ"):
        check_same(GOOD, GOOD + " ", WORDS)


def test_the_verdict_names_the_problems_of_a_broken_trail_and_a_whole_one_has_none() -> None:
    (whole,) = verdict(AuditReport(7, ()), WORDS)
    assert "whole: 7 links" in whole
    broken = verdict(AuditReport(7, ("link 3 was changed",)), WORDS)
    assert ("NOT whole" in broken[0], broken[1:]) == (True, ["Link 3 was changed"])


@pytest.mark.slow
def test_an_account_is_made_disabled_and_enabled_and_bad_passwords_are_told_in_the_form(browser: Any) -> None:
    with browser_page(browser, "administrator", "/accounts") as page:
        page.get_by_role("button", name="New account…").click()
        page.get_by_label("Name: a pseudonym").fill("surgeon-9")
        choose(page, "Role", "surgeon")
        page.get_by_label("Password, 12").fill("short")
        page.get_by_label("The same password again").fill("shorter")
        page.get_by_role("button", name="Create account").click()
        page.get_by_role("alert").get_by_text("The two passwords differ").wait_for()
        for label, typed in (("Password, 12", "short"), ("The same password again", "short")):
            page.get_by_label(label).fill(typed)
        page.get_by_role("button", name="Create account").click()
        page.get_by_role("alert").get_by_text("12").wait_for()
        for label in ("Password, 12", "The same password again"):
            page.get_by_label(label).fill(GOOD)
        page.get_by_role("button", name="Create account").click()
        row = page.get_by_role("row").filter(has_text="surgeon-9")
        row.wait_for()
        assert Browser(served().url).log_in("surgeon-9", GOOD).status_code in (302, 303)
        choose(page, "Account", "surgeon-9")
        page.get_by_role("button", name="Disable").click()
        page.get_by_role("dialog").get_by_role("button", name="Disable").click()
        row.get_by_text("disabled since").wait_for()
        assert served().store.accounts.authenticate("surgeon-9", GOOD) is None
        choose(page, "Account", "surgeon-9")
        page.get_by_role("button", name="Enable").click()
        row.get_by_text("can log in").wait_for()
        choose(page, "Account", "administrator")
        page.get_by_role("button", name="Disable").click()
        page.get_by_role("dialog").get_by_role("button", name="Disable").click()
        page.get_by_role("alert").get_by_text("last").wait_for()


@pytest.mark.slow
def test_a_case_is_erased_only_when_its_whole_identifier_was_typed_and_the_trail_stays_whole(browser: Any) -> None:
    store = served().store
    case = store.open_case(
        OPERATOR, case_record(patient_id="P-secret"), data_kind="simulated", request_id=new_request()
    )
    add_specimen(store, case.case_id)
    assert "P-secret" not in case_line(store.summaries(limit=1)[0], WORDS)
    with browser_page(browser, "administrator", "/audit") as page:
        page.get_by_label("Case", exact=True).fill(case.case_id[:8])
        page.get_by_role("option", name=case.case_id).click()
        assert "P-secret" not in page.content()
        page.get_by_role("button", name="Erase this case…").click()
        page.get_by_label("Type the whole identifier").fill(case.case_id[:8])
        page.get_by_role("button", name="Erase for ever").click()
        page.get_by_role("alert").get_by_text("not the identifier").wait_for()
        assert store.case(case.case_id).record.patient_id == "P-secret"
        page.get_by_label("Type the whole identifier").fill(case.case_id)
        page.get_by_role("button", name="Erase for ever").click()
        page.get_by_text(f"Case {case.case_id} was erased").wait_for()
        page.get_by_role("button", name="Verify the whole trail").click()
        page.get_by_text("The trail is whole").wait_for()
    with pytest.raises(CaseErased):
        store.case(case.case_id)
    assert (newest_links(store, 1)[0].action, newest_links(store, 1)[0].case_id) == ("erase", case.case_id)
    with browser_page(browser, "operator", "/cases") as page:
        page.get_by_role("row").filter(has_text=case.case_id[:12]).get_by_text("erased on").wait_for()


@pytest.mark.slow
def test_the_case_that_is_open_in_theatre_cannot_be_erased(browser: Any) -> None:
    case_id = served().case_id
    with browser_page(browser, "administrator", "/audit") as page:
        page.get_by_label("Case", exact=True).fill(case_id[:8])
        page.get_by_role("option", name=case_id).click()
        page.get_by_role("button", name="Erase this case…").click()
        page.get_by_label("Type the whole identifier").fill(case_id)
        page.get_by_role("button", name="Erase for ever").click()
        page.get_by_role("alert").get_by_text("open in theatre").wait_for()


@pytest.mark.slow
def test_the_unit_page_runs_a_phantom_check_for_an_operator_only(browser: Any) -> None:
    with browser_page(browser, "surgeon", "/unit") as page:
        assert "simulated InGaAs" in page.inner_text("main")
        assert not page.get_by_role("button", name="Check now").count()
    with browser_page(browser, "operator", "/unit") as page:
        page.get_by_role("button", name="Check now").click()
        page.locator(".gs-verdict").wait_for()
        assert (
            page.get_by_role("row").filter(has_text="limit of detection").count() or page.get_by_role("row").count() > 5
        )

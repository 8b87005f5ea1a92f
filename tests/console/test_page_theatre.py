"""The theatre page in a real browser, with a real theatre on the simulated unit."""

import re
import time

import pytest

from glioscope.cases import AccountRole

from .record_server import chromium
from .theatre_server import theatre_page, theatre_served

pytestmark = [pytest.mark.slow, pytest.mark.alone]
PATIENCE_S = 45


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with theatre_served(tmp_path_factory.mktemp("theatre")) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser, served):
    with theatre_page(browser, served, AccountRole.OPERATOR) as found:
        yield found
        end_case(found)


def wait(page, condition, argument=None):
    page.wait_for_function(condition, arg=argument, timeout=PATIENCE_S * 1000)


def open_case(page, patient, *, blind=False):
    page.get_by_role("button", name="Open case").click()
    dialog = page.locator(".q-dialog")
    dialog.get_by_label("Pseudonym").fill(patient)
    dialog.get_by_text("The patient agreed").click()
    if blind:
        dialog.get_by_text("Blind reading").click()
    dialog.get_by_role("button", name="Open case").click()
    page.locator(".gs-case-patient", has_text=patient).wait_for()


def end_case(page):
    if page.locator(".q-dialog").count():
        page.keyboard.press("Escape")
    closing = page.get_by_role("button", name="Close case")
    if closing.is_visible():
        closing.click()
        page.locator(".q-dialog").get_by_role("button", name="Close case").click()
        page.get_by_role("button", name="Open case").wait_for()


def next_number(page):
    return int(page.locator(".gs-next-number").inner_text())


def light_on(page):
    if page.locator("#gs-light-word").inner_text() != "● LASER ON":
        page.get_by_role("button", name="Light on").click()
        wait(page, "document.getElementById('gs-light-word').innerText.includes('LASER ON')")


def take(page):
    """Press until there is an answer: a busy machine loses the light, or has no frames in time."""
    number, end = next_number(page), time.monotonic() + PATIENCE_S
    while next_number(page) == number:
        assert time.monotonic() < end, page.locator("#gs-error").inner_text()
        light_on(page)
        page.keyboard.press("Space")
        wait(page, "!document.body.classList.contains('gs-taking-now')")
        page.wait_for_timeout(150)


def next_specimen(page):
    page.get_by_role("button", name="Next specimen").click()
    page.wait_for_timeout(500)


def test_an_operation_runs_on_one_page_and_a_second_browser_follows_it(page, browser, served):
    open_case(page, "P-100")
    page.keyboard.press("3")
    take(page)
    assert page.locator("#gs-which").inner_text() == "No. 1, sector 3"
    assert page.locator(".gs-word").inner_text().strip()
    with theatre_page(browser, served, AccountRole.SURGEON) as other:
        assert other.locator("#gs-which").inner_text() == "No. 1, sector 3"
        assert not other.get_by_role("button", name="Light on").is_visible()
        assert not other.get_by_role("button", name="Close case").is_visible()
        assert other.get_by_role("button", name="LIGHT OFF").is_visible()
        next_specimen(page)
        page.keyboard.press("5")
        take(page)
        other.locator("#gs-which", has_text="No. 2, sector 5").wait_for(timeout=10_000)
    page.reload()
    page.locator("#gs-which", has_text="No. 2, sector 5").wait_for()
    case = served.store.case(served.store.summaries(limit=1)[0].case_id)
    assert [(s.number, s.sector) for s in case.specimens] == [(1, 3), (2, 5)]


def test_without_a_case_a_press_is_refused_in_one_sentence_that_stays(page):
    page.keyboard.press("Space")
    error = page.locator("#gs-error")
    error.get_by_text("case").wait_for()
    page.wait_for_timeout(1500)
    assert error.is_visible()
    assert "NO NEW ANSWER" in page.locator("#gs-answer").inner_text()
    error.get_by_role("button").click()
    error.wait_for(state="hidden")


def test_without_light_nothing_is_taken(page):
    open_case(page, "P-101")
    page.keyboard.press("l")
    wait(page, "document.getElementById('gs-light-word').innerText.includes('DARK')")
    page.keyboard.press("Space")
    page.locator("#gs-error").get_by_text(re.compile("light|dark")).wait_for()
    assert next_number(page) == 1


def test_a_key_in_a_text_field_and_a_held_key_take_nothing_more(page, served):
    page.get_by_role("button", name="Open case").click()
    page.locator(".q-dialog").get_by_label("Note (no names)").fill("")
    page.keyboard.type("a 3 b")
    assert page.locator(".q-dialog").get_by_label("Note (no names)").input_value() == "a 3 b"
    assert page.locator("#gs-error").is_hidden()
    page.keyboard.press("Escape")
    page.locator(".q-dialog").wait_for(state="detached")
    open_case(page, "P-102")
    take(page)
    light_on(page)
    page.keyboard.down("Space")
    for _ in range(5):
        page.keyboard.down("Space")
    page.keyboard.up("Space")
    wait(page, "!document.body.classList.contains('gs-taking-now')")
    page.wait_for_timeout(500)
    assert next_number(page) <= 3


def test_a_withdrawn_specimen_stays_struck_through(page):
    open_case(page, "P-103")
    take(page)
    page.get_by_role("button", name="Withdraw").click()
    page.locator(".q-dialog").get_by_role("button", name="mixed up").click()
    page.locator(".q-dialog").get_by_role("button", name="Store").click()
    page.locator("#gs-answer .gs-struck").wait_for()
    assert "mixed up" in page.locator("#gs-answer").inner_text()
    page.get_by_role("button", name="Sector…").click()
    page.locator(".q-dialog").get_by_role("button", name="7", exact=True).click()
    page.locator("#gs-which", has_text="No. 1, sector 7").wait_for()


def test_an_owed_reading_comes_before_the_answer(page):
    open_case(page, "P-104", blind=True)
    take(page)
    page.locator(".gs-question").wait_for()
    shown = page.content()
    assert "Probability of tumour" not in shown
    assert page.get_by_role("button", name="Heatmap").is_hidden()
    page.get_by_role("button", name="Non-tumour sure").click()
    page.locator(".gs-question").wait_for(state="detached")
    assert page.locator("#gs-answer .gs-word").inner_text().strip() != ""


def test_an_empty_plate_and_a_tray_are_told_apart(page):
    open_case(page, "P-105")
    page.get_by_role("button", name="Empty plate").click()
    light_on(page)
    page.wait_for_timeout(600)
    page.keyboard.press("Space")
    page.locator("#gs-error").get_by_text(re.compile("nothing lies|moves|light|pictures", re.IGNORECASE)).wait_for()
    assert next_number(page) == 1
    page.get_by_role("button", name="Tray of 6").click()
    page.wait_for_timeout(800)
    end = time.monotonic() + PATIENCE_S
    while next_number(page) == 1 and time.monotonic() < end:
        light_on(page)
        page.locator("[data-take=tray]").click()
        wait(page, "!document.body.classList.contains('gs-taking-now')")
        page.wait_for_timeout(300)
    assert page.locator(".gs-tray button").count() == next_number(page) - 1 >= 5


def test_nothing_on_the_page_comes_from_another_machine(page, served):
    addresses = page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
    assert addresses
    assert all(address.startswith((served.url, "data:", "blob:")) for address in addresses)

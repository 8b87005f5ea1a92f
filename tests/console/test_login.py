"""Log-in and log-out as a browser sees them, on a real server with real accounts."""

import logging
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Any

import httpx
import pytest
import uvicorn

from glioscope.cases import COMMAND_LINE, AccountRole
from glioscope.console._guard import Guard
from glioscope.console._login import add_login
from glioscope.console._server import new_app
from glioscope.console._sessions import LoginLookup
from tests.console.guarded import PASSWORD, Browser, make_console, make_store, running, served

NUMBERS = count(1)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with make_store(tmp_path_factory.mktemp("door") / "store") as store:
        yield make_console(store)


@pytest.fixture(scope="module")
def url(console: Any) -> Iterator[str]:
    with served(console) as server:
        yield server.url


@pytest.fixture
def browser(url: str) -> Iterator[Browser]:
    with Browser(url) as one:
        yield one


@pytest.fixture
def account(console: Any) -> str:
    """An account of this test's own, so that failures of one test do not slow another down."""
    name = f"surgeon-{next(NUMBERS)}"
    console.store.accounts.create(COMMAND_LINE, name, AccountRole.SURGEON, PASSWORD)
    return name


@pytest.mark.parametrize(
    ("role", "home"), [("operator", "/"), ("surgeon", "/"), ("pathologist", "/cases"), ("administrator", "/accounts")]
)
def test_whoever_logs_in_comes_to_the_pages_of_the_role(browser: Browser, role: str, home: str) -> None:
    answer = browser.log_in(role)
    assert (answer.status_code, answer.headers["location"]) == (303, home)
    assert browser.get(home).status_code == 200


def test_the_form_works_without_scripts_and_says_research_use_only(browser: Browser) -> None:
    page = browser.get("/login")
    assert "<script" not in page.text
    assert "Research use only" in page.text
    assert "script-src" not in page.headers["content-security-policy"]
    assert 'autocomplete="current-password"' in page.text


def test_the_cookie_is_for_this_host_and_no_script(browser: Browser, account: str) -> None:
    cookies = browser.log_in(account).headers.get_list("set-cookie")
    session = next(cookie for cookie in cookies if cookie.startswith("glioscope="))
    assert {part.strip().lower() for part in session.split(";")[1:]} == {"httponly", "path=/", "samesite=strict"}


def test_each_log_in_has_a_token_of_its_own_and_ends_the_one_before(browser: Browser, account: str, url: str) -> None:
    browser.log_in(account)
    first = browser.token
    # A browser that is logged in is led on; it posts the form of another window.
    assert browser.get("/login").status_code == 303
    with Browser(url) as other:
        csrf, planted = other.form(), other.cookies["glioscope-form"]
    browser.cookies.set("glioscope-form", planted)
    browser.post("/login", data={"account": account, "password": PASSWORD, "csrf": csrf})
    assert len({first, browser.token}) == 2
    assert httpx.get(f"{url}/session", cookies={"glioscope": first}).status_code == 401
    assert browser.get("/session").status_code == 204


def test_the_password_and_the_name_of_nobody_are_answered_alike(browser: Browser, account: str) -> None:
    wrong = browser.log_in(account, "wrong password wrong")
    nobody = browser.log_in("nobody-of-this-name", "wrong password wrong")
    assert wrong.status_code == nobody.status_code == 401
    hidden = re.compile(r'name="csrf" value="\w+"')
    assert hidden.sub("", wrong.text) == hidden.sub("", nobody.text)
    assert "Account or password is wrong." in wrong.text
    assert account not in wrong.text


def test_a_log_in_leads_back_to_the_page_that_was_wanted(browser: Browser, account: str) -> None:
    sent = browser.get("/specimens/s1")
    assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=/specimens/s1")
    assert 'name="next" value="/specimens/s1"' in browser.get(sent.headers["location"]).text
    assert browser.log_in(account, next="/specimens/s1").headers["location"] == "/specimens/s1"


@pytest.mark.parametrize("wanted", ["//evil.test/", "https://evil.test", "/\\evil.test", "/logout", "/cases/%2e%2e"])
def test_a_log_in_never_leads_elsewhere(browser: Browser, account: str, wanted: str) -> None:
    assert "evil" not in browser.get("/login", params={"next": wanted}).text
    assert browser.log_in(account, next=wanted).headers["location"] == "/"


def test_what_stands_in_the_address_is_never_written_into_the_page(browser: Browser) -> None:
    page = browser.get("/login", params={"next": '"><script>alert(1)</script>'})
    assert "alert" not in page.text


def test_a_form_of_another_browser_is_refused(browser: Browser, account: str, url: str) -> None:
    with Browser(url) as mallory:
        csrf = mallory.form()
    data = {"account": account, "password": PASSWORD, "csrf": csrf}
    assert browser.post("/login", data=data).status_code == 400
    browser.form()
    assert browser.post("/login", data=data).status_code == 400
    assert browser.post("/login", data=data | {"csrf": ""}).status_code == 400
    assert browser.token == ""


def test_after_logging_out_the_cookie_is_nothing_even_when_it_is_sent_again(
    browser: Browser, account: str, url: str
) -> None:
    browser.log_in(account)
    token = browser.token
    assert browser.get("/session").status_code == 204
    assert "<button" in browser.get("/logout").text
    assert browser.get("/session").status_code == 204  # looking at the button does not log out
    assert "You are logged out" in browser.post("/logout").text
    assert browser.token == ""
    assert httpx.get(f"{url}/session", cookies={"glioscope": token}).status_code == 401
    assert httpx.get(f"{url}/logout", cookies={"glioscope": token}).status_code == 303


def test_a_session_that_ended_is_said_to_have_ended(browser: Browser, account: str, console: Any) -> None:
    browser.log_in(account)
    assert "Your session has ended" not in browser.get("/").text
    console.store.logins.end_all(account)
    time.sleep(1.1)
    sent = browser.get("/")
    assert sent.status_code == 303
    assert "Your session has ended. Log in again." in browser.get(sent.headers["location"]).text
    assert browser.token == ""


def test_an_account_that_is_disabled_is_out_within_a_second(browser: Browser, account: str, console: Any) -> None:
    browser.log_in(account)
    console.store.accounts.disable(COMMAND_LINE, account)
    time.sleep(1.1)
    assert browser.get("/session").status_code == 401
    assert browser.log_in(account).status_code == 401


def test_guessing_is_slowed_down_and_says_for_how_long(account: str, console: Any) -> None:
    with served_again(console) as own, Browser(own) as browser:
        answers = [browser.log_in(account, f"wrong password {number}") for number in range(8)]
        assert [answer.status_code for answer in answers[:5]] == [401] * 5
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert re.search(r"Too many failed log-ins: try again in \d+ s\.", answers[-1].text)
        assert browser.log_in(account).status_code == 429  # the right one too


@contextmanager
def served_again(console: Any) -> Iterator[str]:
    """The door alone on a port of its own: its limiter is not that of the other tests."""
    lookup, app = LoginLookup(console.store.logins), new_app()
    add_login(app, console, lookup)
    server = uvicorn.Server(uvicorn.Config(Guard(app, lookup, console.words), port=0, log_level="warning"))
    with running(server):
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


def test_many_who_log_in_at_once_all_get_in(url: str, console: Any) -> None:
    names = [f"crowd-{number}" for number in range(8)]
    for name in names:
        console.store.accounts.create(COMMAND_LINE, name, AccountRole.SURGEON, PASSWORD)

    def enter(name: str) -> int:
        with Browser(url) as one:
            return one.log_in(name).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(enter, names)) == {303}


def test_the_log_names_no_password_and_nobody_who_does_not_exist(
    browser: Browser, account: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    browser.log_in("my-password-in-the-wrong-field", "wrong password wrong")
    browser.log_in(account)
    said = " | ".join(record.getMessage() for record in caplog.records if record.name.startswith("glioscope"))
    assert "wrong account or password" in said
    assert f"logged in: account {account}" in said
    for secret in ("my-password", "wrong password wrong", PASSWORD, browser.token):
        assert secret not in said


@pytest.mark.parametrize(
    "sent",
    [
        {"content": b"\xff\xfe{", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        {"content": b"--x", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"", "headers": {"Content-Type": "multipart/form-data"}},
        {"json": {"account": "a"}},
        {"data": {f"f{number}": "x" for number in range(50)}},
        {"data": {"account": ["a", "b"], "csrf": "\x00"}},
        {"files": {"account": b"file", "csrf": b"file"}},
    ],
    ids=str,
)
def test_a_form_that_is_none_is_refused(browser: Browser, sent: dict[str, Any]) -> None:
    assert browser.post("/login", **sent).status_code == 400

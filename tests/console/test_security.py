"""Attacks on a real server: routes and roles, cookies, uploads, paths, origins, slowness, guessing, fuzzing."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx
import pytest
import websockets.sync.client
from websockets.exceptions import ConnectionClosed, InvalidStatus

from glioscope.cases import COMMAND_LINE, AccountRole, Action, Actor
from glioscope.console import _server
from glioscope.console._routes import ROUTES, Access, Route
from tests.console.fuzzed import fuzz
from tests.console.guarded import PASSWORD, Browser, an_app, filled, make_console, make_store, served

WHO = (None, *AccountRole)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with make_store(tmp_path_factory.mktemp("attacked") / "store") as store:
        yield make_console(store)


@pytest.fixture(scope="module")
def url(console: Any) -> Iterator[str]:
    with served(console) as server:
        yield server.url


@pytest.fixture(scope="module")
def tokens(console: Any) -> dict[AccountRole | None, str]:
    return {None: "", **{role: console.store.logins.start(Actor(str(role), role)) for role in AccountRole}}


@pytest.fixture
def operator(url: str, tokens: dict[Any, str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers=headers_of(url, tokens[AccountRole.OPERATOR])) as client:
        yield client


def headers_of(url: str, token: str, **more: str) -> dict[str, str]:
    return {"Origin": url, "Cookie": f"glioscope={token}"} | more


def connect(url: str, token: str, path: str = "/live", **more: str) -> Any:
    return websockets.sync.client.connect(
        f"ws{url[4:]}{path}", additional_headers=headers_of(url, token, **more), open_timeout=10, close_timeout=1
    )


def allowed(row: Route, role: AccountRole | None) -> bool:
    if row.needs is Access.PUBLIC:
        return True
    return role is not None and (row.needs is Access.LOGGED_IN or Actor("a", role).may(Action(row.needs)))


# ---- who may what


@pytest.mark.parametrize("role", WHO)
def test_every_route_gives_each_role_what_the_table_says(url: str, tokens: dict[Any, str], role: Any) -> None:
    wrong: list[str] = []
    with httpx.Client(base_url=url, headers=headers_of(url, tokens[role]), timeout=15) as client:
        for row in (row for row in ROUTES if "WEBSOCKET" not in row.methods and row.pattern != "/logout"):
            for method in sorted(row.methods):
                answer = client.request(method, filled(row.pattern), content=b"" if method in ("POST", "PUT") else None)
                if row.fixed:
                    passed = answer.status_code in (200, 404, 405)
                elif row.needs is Access.PUBLIC:
                    passed = answer.status_code in (200, 303, 400)
                elif allowed(row, role):
                    passed = answer.status_code in (200, 204)
                elif role is None and row.page:
                    passed = answer.status_code == 303 and answer.headers["location"].startswith("/login?next=/")
                else:
                    passed = answer.status_code == (401 if role is None else 403)
                if not passed:
                    wrong.append(f"{method} {row.pattern}: {answer.status_code}")
                if not allowed(row, role):
                    assert "behind" not in answer.text
    assert wrong == []


@pytest.mark.parametrize("role", WHO)
def test_every_websocket_gives_each_role_what_the_table_says(url: str, tokens: dict[Any, str], role: Any) -> None:
    for row in (row for row in ROUTES if "WEBSOCKET" in row.methods):
        path = row.pattern + ("?EIO=4&transport=websocket" if "socket.io" in row.pattern else "")
        if allowed(row, role):
            with connect(url, tokens[role], path):
                continue
        with pytest.raises(InvalidStatus) as refused:
            connect(url, tokens[role], path)
        assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/docs",
        "/openapi.json",
        "/redoc",
        "/.env",
        "/_nicegui_ws/socket.io/?transport=polling",
        "/metrics",
        "/cases/c1/",
        "/static",
        "/STATIC/login.css",
    ],
)
def test_what_is_not_in_the_table_is_not_there(operator: httpx.Client, path: str) -> None:
    assert operator.get(path).status_code in (404, 405)


# ---- cookies


def test_forged_cut_and_foreign_cookies_are_nothing(url: str, tokens: dict[Any, str]) -> None:
    real = tokens[AccountRole.OPERATOR]
    forged = [
        real[:-1],
        real + "A",
        real.swapcase(),
        real[::-1],
        "A" * 43,
        "",
        "operator",
        "../" * 10,
        "%00",
        f'"{real}"',
    ]
    for cookie in forged:
        answer = httpx.get(f"{url}/api/status", headers={"Cookie": f"glioscope={cookie}"})
        assert answer.status_code == 401, cookie
    for name in ("Glioscope", "__Host-glioscope", "session", "glioscope-pages"):
        assert httpx.get(f"{url}/api/status", headers={"Cookie": f"{name}={real}"}).status_code == 401
    planted = {"Cookie": f"glioscope={'B' * 43}; glioscope={real}"}
    assert httpx.get(f"{url}/api/status", headers=planted).status_code == 401


def test_a_cookie_that_is_sent_again_after_log_out_opens_neither_page_nor_socket(url: str) -> None:
    with Browser(url) as browser:
        browser.log_in("operator")
        token = browser.token
        with connect(url, token) as live:
            browser.post("/logout")
            began = time.monotonic()
            with pytest.raises(ConnectionClosed) as closed:
                live.recv(timeout=5)
            assert time.monotonic() - began < 2.5
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401
    assert httpx.get(f"{url}/api/status", headers=headers_of(url, token)).status_code == 401
    with pytest.raises(InvalidStatus):
        connect(url, token)


def test_a_session_that_has_run_out_is_refused(url: str, console: Any) -> None:
    from datetime import UTC, datetime, timedelta

    from glioscope.cases import Logins

    old = Logins(console.store.database, clock=lambda: datetime.now(UTC) - timedelta(hours=13))
    token = old.start(Actor("operator", AccountRole.OPERATOR))
    assert httpx.get(f"{url}/api/status", headers=headers_of(url, token)).status_code == 401


def test_a_role_that_was_taken_away_is_gone_within_a_second(url: str, console: Any) -> None:
    accounts = console.store.accounts
    accounts.create(COMMAND_LINE, "second-administrator", AccountRole.ADMINISTRATOR, PASSWORD)
    token = console.store.logins.start(Actor("second-administrator", AccountRole.ADMINISTRATOR))
    assert httpx.get(f"{url}/accounts", headers=headers_of(url, token)).status_code == 200
    accounts.set_role(COMMAND_LINE, "second-administrator", AccountRole.SURGEON)
    time.sleep(1.1)
    assert httpx.get(f"{url}/accounts", headers=headers_of(url, token)).status_code == 403


# ---- from elsewhere


def test_another_site_can_post_nothing_and_open_no_socket(url: str, tokens: dict[Any, str]) -> None:
    token = tokens[AccountRole.OPERATOR]
    for origin in ("https://evil.test", "null", url.replace("127.0.0.1", "localhost"), url + ".evil.test"):
        headers = headers_of(url, token) | {"Origin": origin}
        assert httpx.post(f"{url}/api/take", headers=headers).status_code == 403
        for path in ("/live", "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"):
            with pytest.raises(InvalidStatus):
                connect(url, token, path, Origin=origin)
    assert httpx.post(f"{url}/api/take", headers={"Cookie": f"glioscope={token}"}).status_code == 403
    assert httpx.post(f"{url}/logout", headers={"Cookie": f"glioscope={token}"}).status_code == 403
    assert httpx.get(f"{url}/session", headers=headers_of(url, token)).status_code == 204


def test_a_name_that_was_pointed_at_this_machine_reaches_nothing(url: str, tokens: dict[Any, str]) -> None:
    for host in ("evil.test", "127.0.0.1.evil.test", "", "10.0.0.1"):
        headers = headers_of(url, tokens[AccountRole.OPERATOR]) | {"Host": host, "Origin": f"http://{host}"}
        assert httpx.get(f"{url}/login", headers=headers).status_code == 400
        assert httpx.post(f"{url}/api/take", headers=headers).status_code == 400
    named = headers_of(url, tokens[AccountRole.OPERATOR], Host="theatre-1.clinic.test")
    assert httpx.get(f"{url}/session", headers=named).status_code == 204


# ---- too much, too long, too slow


def said(url: str, head: str, body: bytes = b"", *, wait: float = 5) -> str:
    """The first line of the answer to raw bytes; empty where the connection is closed without one."""
    name, port = url.removeprefix("http://").split(":")
    with closing(socket.create_connection((name, int(port)), wait)) as raw:
        raw.sendall(head.replace("\n", "\r\n").encode("latin-1") + body)
        try:
            return raw.recv(4096).split(b"\r\n")[0].decode()
        except (TimeoutError, ConnectionError):
            return ""


def test_uploads_over_the_limit_are_refused_whether_they_say_so_or_not(operator: httpx.Client) -> None:
    assert operator.post("/api/take", content=b"x" * (1 << 20)).text == f"operator {1 << 20}"
    assert operator.post("/api/take", content=b"x" * ((1 << 20) + 1)).status_code == 413

    def chunks() -> Iterator[bytes]:
        for _ in range(17):
            yield b"x" * (1 << 16)

    assert operator.post("/api/take", content=chunks()).status_code == 413
    assert operator.post("/login", content=b"x" * 9000).status_code == 413


def test_paths_that_climb_are_refused_as_they_stand(url: str, tokens: dict[Any, str]) -> None:
    cookie = f"Host: 127.0.0.1\nCookie: glioscope={tokens[AccountRole.OPERATOR]}\nConnection: close\n\n"
    for path in (
        "/static/../_server.py",
        "/static/..%2f_server.py",
        "/static/%2e%2e/_server.py",
        "/static/..\\_server.py",
        "/static/%2e%2e%5c_server.py",
        "/cases/../accounts",
        "/cases/%252e%252e/accounts",
        "/static/login.css%00",
        "//accounts",
        "/static//etc/passwd",
    ):
        assert said(url, f"GET {path} HTTP/1.1\n{cookie}").split(" ")[1] == "400", path
    assert said(url, f"GET /static/login.css HTTP/1.1\n{cookie}") == "HTTP/1.1 200 OK"


def test_requests_that_are_none_are_refused(url: str) -> None:
    for head in (
        "GET / HTTP/1.1\n\n",
        "GET / HTTP/1.1\nHost: a\nHost: b\n\n",
        "BREW /pot HTTP/1.1\nHost: 127.0.0.1\n\n",
        "nonsense\n\n",
        "POST /login HTTP/1.1\nHost: 127.0.0.1\nContent-Length: -5\n\n",
        "POST /login HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n",
    ):
        line = said(url, head)
        assert line == "" or re.match(r"HTTP/1.1 4\d\d", line), head


def test_a_head_without_an_end_is_cut_off(url: str) -> None:
    assert "400" in said(url, "GET / HTTP/1.1\nHost: 127.0.0.1\n", b"X-A: " + b"a" * 40_000)
    assert "400" in said(url, "GET / HTTP/1.1\n" + "".join(f"X-{number}: {'a' * 50}\n" for number in range(2000)))


def test_a_head_that_does_not_come_and_one_that_drips_are_hung_up_on(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_server, "_HEAD_S", 0.5)
    name, port = url.removeprefix("http://").split(":")
    for first in (b"", b"GET /health HTTP/1.1\r\n"):
        with closing(socket.create_connection((name, int(port)), 5)) as raw:
            raw.sendall(first)
            began = time.monotonic()
            while time.monotonic() - began < 5:
                try:
                    raw.sendall(b"X: a\r\n" if first else b"")
                    raw.settimeout(0.1)
                    if raw.recv(10) == b"":
                        break
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
            assert time.monotonic() - began < 4


def test_a_websocket_message_over_the_limit_closes_the_socket(url: str, tokens: dict[Any, str]) -> None:
    with connect(url, tokens[AccountRole.OPERATOR]) as live:
        live.send("x" * 1000)
        assert len(live.recv(timeout=5)) == 1000
        with pytest.raises(ConnectionClosed) as closed:
            live.send("x" * ((1 << 20) + 1))
            live.recv(timeout=5)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009


# ---- guessing


@pytest.mark.slow
def test_a_thousand_wrong_passwords_are_slowed_down_to_a_few(console: Any, url: str) -> None:
    console.store.accounts.create(COMMAND_LINE, "guessed-at", AccountRole.SURGEON, PASSWORD)
    tried: list[str] = []
    real = console.store.accounts.authenticate
    console.store.accounts.authenticate = lambda name, password: tried.append(name) or real(name, password)
    try:
        with ThreadPoolExecutor(4) as pool:
            answers = [code for codes in pool.map(lambda _: guess(url, 250), range(4)) for code in codes]
    finally:
        del console.store.accounts.authenticate
    assert len(answers) == 1000
    assert set(answers) <= {401, 429}
    assert len(tried) <= 12
    assert answers.count(429) >= 988


def guess(url: str, times: int) -> list[int]:
    with Browser(url) as browser:
        form = {"account": "guessed-at", "csrf": browser.form()}
        return [
            browser.post("/login", data=form | {"password": f"wrong {number}"}).status_code for number in range(times)
        ]


# ---- at random


def test_whatever_is_sent_to_the_door_no_answer_is_an_error_of_the_server(url: str, console: Any) -> None:
    app = an_app()
    _server.add_login(app, console, _server.LoginLookup(console.store.logins))
    counted = fuzz(app, url, headers={"Origin": url}, examples=10)
    assert {label.split(" ")[1] for label in counted} == {"/login", "/logout", "/session", "/health"}
    assert sum(counted.values()) >= 20


def test_the_server_still_answers_after_all_this(url: str) -> None:
    assert httpx.get(f"{url}/health").json() == {"status": "ok"}
    assert threading.active_count() < 100

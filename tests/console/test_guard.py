"""The guard by itself: table, checks, headers, look-up of sessions; no server."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nicegui import core

from glioscope.cases import AccountRole, Action, Actor, NotAllowed
from glioscope.console import make_app
from glioscope.console._guard import Guard
from glioscope.console._headers import HeadedSend
from glioscope.console._login import add_login
from glioscope.console._request_checks import Refused, check_host, check_origin, check_path
from glioscope.console._routes import ROUTES, Access, find_route, home_of, local_page
from glioscope.console._server import new_app
from glioscope.console._sessions import LoginLookup, cookie_of, login_of
from glioscope.console._words import Words
from tests.console.guarded import filled, make_console, make_store, routes_of

TOKEN = "t" * 43
ANNA = Actor("anna", AccountRole.OPERATOR)


class Sessions:
    """Sessions whose owner is set by hand, and which count how often they are asked."""

    def __init__(self, actor: Actor | None = ANNA) -> None:
        self.actor, self.asked, self.ended = actor, 0, 0
        self.fault: Exception | None = None

    def current(self, token: str) -> Actor | None:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        return self.actor if token == TOKEN else None

    def end(self, _token: str) -> None:
        self.ended += 1
        self.actor = None


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def scope_of(path: str = "/cases", method: str = "GET", **more: Any) -> dict[str, Any]:
    headers = {"host": "127.0.0.1:8080", **more.pop("headers", {})}
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items() if value is not None],
        "client": ("10.0.0.7", 5000),
        "server": ("127.0.0.1", 8080),
        **more,
    }


def ask(scope: dict[str, Any], sessions: Sessions | None = None, body: bytes = b"", **guard: Any) -> tuple[int, Any]:
    """Status of the answer, and the scope that the application was given (None: it was not reached)."""
    reached: list[Any] = []
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope)
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Guard(app, LoginLookup(sessions or Sessions()), Words(), **guard)(scope, receive, send))
    return sent[0]["status"], reached[0] if reached else None


# ---- the table


def test_every_route_of_the_real_applications_is_in_the_table(tmp_path: Path) -> None:
    with make_store(tmp_path / "store") as store:
        console = make_console(store, theatre=SimpleNamespace(fl_offset_counts=None), take_key="Space")
        console.theatre = SimpleNamespace()
        app = make_app(console)
        add_login(app, console, LoginLookup(store.logins))
    found = {*routes_of(app), *routes_of(core.app)}
    asked_for = sorted((method, path) for method, path in found if find_route(method, filled(path))[0] is None)
    assert not asked_for
    assert {
        ("POST", "/api/take"),
        ("WEBSOCKET", "/live"),
        ("GET", "/audit"),
        ("GET", "/cases/{case_id}/report.pdf"),
    } <= found


def test_a_table_without_a_row_for_a_route_is_noticed() -> None:
    app = new_app()
    app.add_api_route("/forgotten", lambda: None, methods=["GET"])
    assert [path for method, path in routes_of(app) if find_route(method, filled(path))[0] is None] == ["/forgotten"]


def test_what_is_public_is_the_door_and_the_programs_own_files() -> None:
    public = {row.pattern for row in ROUTES if row.needs is Access.PUBLIC and not row.fixed}
    assert public == {"/login", "/logout", "/health"}
    assert all(row.pattern.startswith(("/static/", "/_nicegui/", "/favicon")) for row in ROUTES if row.fixed)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/case"), ("GET", "/cases/"), ("GET", "/cases/a/b"), ("POST", "/cases"), ("DELETE", "/api/cases/a"),
     ("GET", "/_nicegui_ws/socket.io/"), ("POST", "/_nicegui/client/c/upload/3"), ("GET", "/openapi.json"),
     ("WEBSOCKET", "/"), ("TRACE", "/"), ("GET", "/Cases")],
)  # fmt: skip
def test_what_is_not_in_the_table_is_not_found(method: str, path: str) -> None:
    assert find_route(method, path)[0] is None


def test_every_role_has_a_page_of_its_own() -> None:
    homes = {role: home_of(role) for role in AccountRole}
    assert homes == {"operator": "/", "surgeon": "/", "pathologist": "/cases", "administrator": "/accounts"}


@pytest.mark.parametrize(
    ("wanted", "led_to"),
    [("/cases/c1", "/cases/c1"), ("/", "/"), ("//evil.test", ""), ("https://evil.test", ""), ("/\\evil.test", ""),
     ("/login", ""), ("/logout", ""), ("/api/status", ""), ("javascript:alert(1)", ""), ("/cases/../audit", ""),
     ("/cases\r\nX: y", ""), ("/cases?x=1", ""), ("", ""), ("/cases/a\r\nX: y", ""), ("/cases/..", "")],
)  # fmt: skip
def test_a_log_in_leads_to_pages_of_this_console_only(wanted: str, led_to: str) -> None:
    assert local_page(wanted) == led_to


# ---- what a request must look like


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost:1", "LOCALHOST", "[::1]:8080", "theatre.test", "10.1.1.1"]
)
def test_a_request_that_was_meant_for_this_console_passes(host: str) -> None:
    scope = scope_of(headers={"host": host}, server=("10.1.1.1", 443))
    assert check_host(scope, ["theatre.test"]) == host


@pytest.mark.parametrize(
    "host", ["evil.test", "127.0.0.1.evil.test", "localhost.", "", None, "10.1.1.2", "a@127.0.0.1"]
)
def test_a_name_that_somebody_else_pointed_here_is_refused(host: str | None) -> None:
    with pytest.raises(Refused):
        check_host(scope_of(headers={"host": host}, server=("10.1.1.1", 443)), ["theatre.test"])


def test_two_host_headers_are_refused() -> None:
    scope = scope_of()
    scope["headers"].append((b"host", b"127.0.0.1:8080"))
    with pytest.raises(Refused, match="several"):
        check_host(scope, [])


@pytest.mark.parametrize(
    "raw",
    ["/cases/..", "/cases/%2e%2e/audit", "/cases/%2E./x", "/static/..%2f..%2fmaster.key", "/a%5cb", "/a\\b", "/a%00",
     "/cases//x", "//cases", "/cases/.", "/%252e", "/a%0ab", "/a%7f", "*", "/" + "a" * 2000],
)  # fmt: skip
def test_disguised_paths_are_refused(raw: str) -> None:
    from urllib.parse import unquote

    with pytest.raises(Refused):
        check_path(scope_of(unquote(raw), raw_path=raw.encode()))


@pytest.mark.parametrize("path", ["/", "/cases/c0ffee.1-2_3", "/static/live.js", "/specimens/s1/heatmap/ki67"])
def test_plain_paths_pass(path: str) -> None:
    assert check_path(scope_of(path)) == path


@pytest.mark.parametrize(
    ("origin", "site", "tls", "passes"),
    [
        ("http://127.0.0.1:8080", None, False, True),
        ("http://127.0.0.1:8080", "same-origin", False, True),
        ("null", "same-origin", False, True),
        (None, "same-origin", False, True),
        ("https://127.0.0.1:8080", None, True, True),
        (None, None, False, False),
        ("null", None, False, False),
        ("http://127.0.0.1:8080", "cross-site", False, False),
        ("http://127.0.0.1:8080", "same-site", False, False),
        ("http://127.0.0.1:9090", None, False, False),
        ("http://localhost:8080", None, False, False),
        ("http://127.0.0.1:8080", None, True, False),
        ("http://127.0.0.1:8080.evil.test", None, False, False),
        ("http://evil.test", "same-origin", False, False),
        ("null", "none", False, False),
    ],
)
def test_only_this_consoles_own_pages_may_change_anything(
    origin: str | None, site: str | None, tls: bool, passes: bool
) -> None:
    scope = scope_of(headers={"origin": origin, "sec-fetch-site": site})
    if passes:
        check_origin(scope, "127.0.0.1:8080", tls=tls)
    else:
        with pytest.raises(Refused):
            check_origin(scope, "127.0.0.1:8080", tls=tls)


def test_a_cookie_that_was_planted_beside_the_real_one_makes_both_nothing() -> None:
    assert cookie_of([(b"cookie", b"a=1; glioscope=x; b=2")], "glioscope") == "x"
    assert cookie_of([(b"cookie", b"glioscope=x"), (b"cookie", b"glioscope=y")], "glioscope") == ""
    assert cookie_of([(b"cookie", b"glioscope=x; glioscope=x")], "glioscope") == "x"
    assert cookie_of([(b"cookie", b"Glioscope=x; xglioscope=y")], "glioscope") == ""


# ---- sessions


def test_a_busy_socket_asks_the_store_once_a_second_and_notices_an_end_then() -> None:
    sessions, clock = Sessions(), Clock()
    lookup = LoginLookup(sessions, clock=clock)

    async def use() -> None:
        for _ in range(100):
            assert (await lookup.login(TOKEN)) is not None
        assert sessions.asked == 1
        sessions.actor = None
        clock.now += 0.9
        assert (await lookup.login(TOKEN)) is not None
        clock.now += 0.2
        assert (await lookup.login(TOKEN)) is None

    asyncio.run(use())


def test_a_session_that_is_ended_here_is_nothing_at_once() -> None:
    lookup = LoginLookup(Sessions(), clock=Clock())

    async def use() -> None:
        assert (await lookup.login(TOKEN)) is not None
        lookup.forget(TOKEN)
        assert (await lookup.login(TOKEN)) is None

    asyncio.run(use())


def test_an_answer_that_was_on_its_way_does_not_bring_an_ended_session_back() -> None:
    clock = Clock()

    class Slow(Sessions):
        def current(self, token: str) -> Actor | None:
            clock.now += 0.01
            lookup.forget(TOKEN)
            return ANNA

    lookup = LoginLookup(Slow(), clock=clock)
    assert asyncio.run(lookup.login(TOKEN)) is None


def test_a_page_that_was_left_open_ends_its_session_and_one_that_is_used_does_not() -> None:
    sessions, clock = Sessions(), Clock()
    lookup = LoginLookup(sessions, idle_minutes=30, clock=clock)

    async def use() -> None:
        assert (await lookup.login(TOKEN)) is not None
        for minute in range(50):
            clock.now += 60
            if minute < 20:
                lookup.touch(TOKEN)
            assert (await lookup.login(TOKEN, active=False)) is not None
        clock.now += 60
        assert (await lookup.login(TOKEN, active=False)) is None

    asyncio.run(use())
    assert sessions.ended == 1


def test_made_up_tokens_take_no_memory_and_nonsense_no_query() -> None:
    sessions = Sessions()
    lookup = LoginLookup(sessions)

    async def use() -> None:
        for number in range(2000):
            assert (await lookup.login(f"{number:043d}")) is None
        for nonsense in ("", "x", "a" * 200, "a b" * 10, "ü" * 30):
            assert (await lookup.login(nonsense)) is None

    asyncio.run(use())
    assert sessions.asked == 2000
    assert len(lookup._known) == 0


def test_a_page_without_a_guard_has_nobody() -> None:
    with pytest.raises(NotAllowed):
        login_of(SimpleNamespace(scope={"state": {}}))  # type: ignore[arg-type]


# ---- the guard


@pytest.mark.parametrize("row", [row for row in ROUTES if "WEBSOCKET" not in row.methods], ids=lambda row: row.pattern)
@pytest.mark.parametrize("role", [None, *AccountRole])
def test_who_is_let_in_is_what_the_table_says(row: Any, role: AccountRole | None) -> None:
    for method in row.methods:
        headers = {"origin": "http://127.0.0.1:8080", "cookie": f"glioscope={TOKEN}" if role else None}
        status, reached = ask(
            scope_of(filled(row.pattern), method, headers=headers), Sessions(Actor("somebody", role) if role else None)
        )
        if row.needs is Access.PUBLIC:
            allowed = True
        else:
            allowed = role is not None and (row.needs is Access.LOGGED_IN or Actor("a", role).may(Action(row.needs)))
        assert (reached is not None) == allowed
        assert (status == 200) == allowed


def test_people_are_sent_to_the_log_in_and_programs_are_refused() -> None:
    nobody = Sessions(None)
    assert ask(scope_of("/cases"), nobody)[0] == 303
    assert ask(scope_of("/cases", "POST", headers={"origin": "http://127.0.0.1:8080"}), nobody)[0] == 405
    assert ask(scope_of("/api/status"), nobody)[0] == 401


def test_a_login_that_somebody_put_into_the_scope_does_not_count() -> None:
    status, reached = ask(scope_of("/api/status", state={"login": "mallory"}), Sessions(None))
    assert status == 401
    assert reached is None


def test_what_only_a_proxy_may_say_is_dropped() -> None:
    headers = {"x-forwarded-prefix": "//evil.test", "x-forwarded-proto": "https", "cookie": f"glioscope={TOKEN}"}
    _, reached = ask(scope_of("/cases", headers=headers))
    assert [name for name, _ in reached["headers"] if name.startswith(b"x-forwarded")] == []


def test_with_tls_only_the_cookie_that_is_bound_to_this_host_counts() -> None:
    plain, bound = ({"cookie": f"{name}={TOKEN}"} for name in ("glioscope", "__Host-glioscope"))
    assert ask(scope_of("/api/status", headers=plain), tls=True)[0] == 401
    assert ask(scope_of("/api/status", headers=bound), tls=True)[0] == 200
    assert ask(scope_of("/api/status", headers=bound))[0] == 401


def test_a_body_over_the_limit_never_reaches_the_application() -> None:
    headers = {"origin": "http://127.0.0.1:8080", "cookie": f"glioscope={TOKEN}"}
    assert ask(scope_of("/api/take", "POST", headers=headers), body=b"x" * (1 << 20))[0] == 200
    status, reached = ask(scope_of("/api/take", "POST", headers=headers), body=b"x" * ((1 << 20) + 1))
    assert (status, reached) == (413, None)
    said = headers | {"content-length": str(10**30)}
    assert ask(scope_of("/api/take", "POST", headers=said))[0] == 413
    assert ask(scope_of("/api/take", "POST", headers=headers | {"content-length": "-1"}))[0] == 400
    assert ask(scope_of("/login", "POST", headers=headers), body=b"x" * 10_000)[0] == 413


def test_a_refusal_is_logged_without_anything_that_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "mrs-miller-1950"
    headers = {"cookie": f"glioscope={TOKEN}", "user-agent": secret, "origin": f"http://{secret}.test"}
    ask(scope_of(f"/accounts/{secret}", headers=headers, query_string=secret.encode()))
    ask(scope_of("/accounts", headers=headers, query_string=f"name={secret}".encode()))
    ask(scope_of(f"/api/cases/{secret}/close", "POST", headers=headers), body=secret.encode())
    said = [record.getMessage() for record in caplog.records if record.name == "glioscope.console"]
    assert said == [
        "refused 404: account -, address 10.0.0.7, GET -: path is not in the table",
        "refused 403: account anna, address 10.0.0.7, GET /accounts: operator may not",
        "refused 403: account -, address 10.0.0.7, POST /api/cases/{case_id}/close: comes from another origin",
    ]


# ---- headers


def pass_on(
    body: bytes, content_type: str = "text/html; charset=utf-8", **how: Any
) -> tuple[dict[bytes, bytes], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        headed = HeadedSend(send, tls=how.pop("tls", False), **how)
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await headed({"type": "http.response.start", "status": 200, "headers": headers})
        await headed({"type": "http.response.body", "body": body[:7], "more_body": True})
        await headed({"type": "http.response.body", "body": body[7:]})

    asyncio.run(run())
    return dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


def test_scripts_of_a_page_get_the_nonce_of_this_answer_and_what_users_wrote_does_not() -> None:
    page = b"<script>a</script><script type='module'>b</script>&lt;script>c&lt;/script> <scripted>"
    headers, body = pass_on(page)
    policy = headers[b"content-security-policy"].decode()
    nonce = policy.split("'nonce-")[1].split("'")[0]
    assert body.count(f'<script nonce="{nonce}"'.encode()) == 2
    assert b"&lt;script>" in body
    assert headers[b"content-length"] == str(len(body)).encode()
    assert "script-src 'self' 'nonce-" in policy
    assert "'unsafe-inline'" not in policy.split("style-src")[0]
    assert pass_on(page)[0][b"content-security-policy"] != headers[b"content-security-policy"]


def test_every_answer_has_the_headers_and_only_the_programs_files_are_kept() -> None:
    for how, kept in (({}, b"no-store"), ({"form": True}, b"no-store"), ({"fixed": True}, b"no-cache")):
        headers, _ = pass_on(b"0123456789", "text/plain", **how)
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert headers[b"referrer-policy"] == b"no-referrer"
        assert b"frame-ancestors 'none'" in headers[b"content-security-policy"]
        assert headers[b"cache-control"] == kept
        assert b"strict-transport-security" not in headers
    assert b"strict-transport-security" in pass_on(b"0123456789", tls=True)[0]
    assert b"script-src" not in pass_on(b"0123456789", form=True)[0][b"content-security-policy"]


# ---- websockets


def watch_socket(sessions: Sessions, change: Any, path: str = "/live") -> tuple[list[Any], float]:
    """What a socket was sent while `change` happened behind its back, and the seconds until it was shut."""

    async def run() -> tuple[list[Any], float]:
        sent: list[Any] = []
        inbox: asyncio.Queue[Any] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        async def app(_scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            async for message in until_closed(receive):
                await send({"type": "websocket.send", "text": message["text"]})

        async def send(message: Any) -> None:
            sent.append(message)
            if message["type"] == "websocket.close":
                inbox.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

        for message in ({"type": "websocket.connect"}, {"type": "websocket.receive", "text": "a"}):
            inbox.put_nowait(message)
        headers = {"cookie": f"glioscope={TOKEN}", "origin": "http://127.0.0.1:8080"}
        scope = scope_of(path, headers=headers) | {"type": "websocket"}
        began = loop.time()
        loop.call_later(0.1, change)
        await asyncio.wait_for(Guard(app, LoginLookup(sessions), Words())(scope, inbox.get, send), 5)
        return sent, loop.time() - began

    return asyncio.run(run())


async def until_closed(receive: Any) -> AsyncIterator[Any]:
    while (message := await receive())["type"] == "websocket.receive":
        yield message


def test_an_open_socket_is_shut_within_two_seconds_of_the_end_of_its_session() -> None:
    sessions = Sessions()
    sent, seconds = watch_socket(sessions, lambda: setattr(sessions, "actor", None))
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert sent[-1]["code"] == 4401
    assert seconds < 2.5


def test_an_open_socket_is_shut_when_the_role_no_longer_reaches_for_it() -> None:
    sessions = Sessions()
    sent, _ = watch_socket(sessions, lambda: setattr(sessions, "actor", Actor("anna", AccountRole.PATHOLOGIST)))
    assert sent[-1]["code"] == 4401


def test_an_open_socket_is_shut_when_nobody_can_say_whose_it_is() -> None:
    sessions = Sessions()
    sent, _ = watch_socket(sessions, lambda: setattr(sessions, "fault", RuntimeError("the store is gone")))
    assert sent[-1]["code"] == 1011

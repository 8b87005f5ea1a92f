"""A console that is all door: real store, accounts, sessions, guard, NiceGUI and server, and a word behind each route.

The table of routes says what is behind the door; `an_app` puts something there for each of its rows. Run as a program
(`python -m tests.console.guarded FOLDER`) it serves until it is told to stop.
"""

import inspect
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import httpx
import uvicorn
from argon2 import PasswordHasher
from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from nicegui import ui
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, WebSocketRoute

from glioscope.cases import COMMAND_LINE, AccountRole, Accounts, CaseStore, LoginLimiter
from glioscope.console._guard import login_of
from glioscope.console._routes import ROUTES, Route
from glioscope.console._server import ConsoleServer, make_server, new_app, serve
from glioscope.console._words import Words

PASSWORD = "correct horse battery"
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
"""Real Argon2id with parameters that no one should use."""
_NOT_OURS = ("/_nicegui", "/static", "/login", "/logout", "/session", "/health", "/favicon")


def make_store(folder: Path) -> CaseStore:
    """A real case store with one account a role, named after it."""
    store = CaseStore.open(folder, create=True)
    store.accounts = Accounts(store.database, store.audit, hasher=QUICK)
    for role in AccountRole:
        store.accounts.create(COMMAND_LINE, str(role), role, PASSWORD)
    return store


def make_console(store: CaseStore, **settings: Any) -> Any:
    chosen: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 0,
        "certificate": None,
        "key": None,
        "hosts": ("theatre-1.clinic.test",),
        "idle_minutes": 30.0,
        "longest_hours": 12.0,
    }
    return SimpleNamespace(store=store, settings=SimpleNamespace(**(chosen | settings)), words=Words())


def an_app() -> FastAPI:
    """Something behind every row of the table that is not of the door or of NiceGUI."""
    app = new_app()
    for row in ROUTES:
        if row.pattern.startswith(_NOT_OURS):
            continue
        if row.page:
            _add_page(row)
        elif "WEBSOCKET" in row.methods:
            _add_socket(app, row)
        else:
            app.add_api_route(row.pattern, say_who, methods=sorted(row.methods - {"HEAD"}), include_in_schema=False)
    return app


async def say_who(request: Request) -> PlainTextResponse:
    body = await request.body()
    return PlainTextResponse(f"{login_of(request).actor.account} {len(body)}")


def _add_page(row: Route) -> None:
    def page(**_: str) -> None:
        ui.label(f"behind {row.pattern}")
        ui.label("<script>window.planted = 1</script>")

    names = re.findall(r"{(\w+)}", row.pattern)
    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=str) for name in names]
    page.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    ui.page(row.pattern)(page)


def _add_socket(app: FastAPI, row: Route) -> None:
    @app.websocket(row.pattern)
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text(await websocket.receive_text())
        except WebSocketDisconnect:
            return


Server = TypeVar("Server", bound=uvicorn.Server)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """The server in a thread, from its first answer to its end."""
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while not server.started and thread.is_alive() and time.monotonic() < end:
        time.sleep(0.01)
    try:
        assert server.started
        yield server
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive(), "the server does not stop"


@contextmanager
def served(console: Any, app: FastAPI | None = None, *, limiter: LoginLimiter | None = None) -> Iterator[ConsoleServer]:
    with running(make_server(console, app or an_app(), limiter=limiter)) as server:
        yield server


class Browser(httpx.Client):
    """As a browser sends: cookies kept, and the origin with whatever is unsafe."""

    def __init__(self, url: str, **rest: Any) -> None:
        super().__init__(base_url=url, headers={"Origin": url}, timeout=15, **rest)

    def form(self, **query: str) -> str:
        """Open the log-in page; its CSRF token."""
        found = re.search(r'name="csrf" value="(\w+)"', self.get("/login", params=query).text)
        assert found is not None
        return found.group(1)

    def log_in(self, account: str, password: str = PASSWORD, **more: str) -> httpx.Response:
        return self.post("/login", data={"account": account, "password": password, "csrf": self.form(), **more})

    @property
    def token(self) -> str:
        return self.cookies.get("glioscope") or ""


def filled(pattern: str) -> str:
    """A path of a row: every gap of its pattern filled."""
    return re.sub(r"{\w+(:path)?}", "x1", pattern)


def routes_of(app: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """Every method and path of an application, its mounts included."""
    for route in app.routes:
        included = getattr(route, "original_router", None)  # of FastAPI, which keeps routers as they are
        if included is not None:
            yield from routes_of(included, before)
        elif isinstance(route, Mount):
            inner = before + route.path
            if getattr(route.app, "routes", None):
                yield from routes_of(route.app, inner)
            else:
                name = "WEBSOCKET" if inner.endswith("_ws") else "GET"
                yield name, inner + ("/socket.io/" if name == "WEBSOCKET" else "/{path:path}")
        elif isinstance(route, WebSocketRoute) or not getattr(route, "methods", None):
            yield "WEBSOCKET", before + route.path
        else:
            yield from ((method, before + route.path) for method in route.methods)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with make_store(Path(sys.argv[1])) as kept:
        serve(make_console(kept), an_app(), ready=say)
    say("closed in order")

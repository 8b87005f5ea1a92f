"""The web server: FastAPI and NiceGUI behind the guard, on one socket, until it is told to stop."""

import asyncio
import secrets
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EACCES, EADDRINUSE
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from fastapi import FastAPI
from nicegui import core, run, ui
from nicegui.client import Client
from starlette.staticfiles import StaticFiles
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from glioscope import __version__
from glioscope.core import InputError

from ._exposure import check_exposure, tls_context
from ._guard import Guard
from ._login import add_login
from ._sessions import LoginLookup

if TYPE_CHECKING:
    from glioscope.cases import LoginLimiter

    from ._console import Console

_STATIC: Final = Path(__file__).parent / "static"
_SESSION_SCRIPT: Final = f'<script src="/static/session.js?{__version__}" defer></script>'
_HEAD_S: Final = 10.0
_HEAD_BYTES: Final = 32 * 1024
_WS_BYTES: Final = 1 << 20
"""NiceGUI's browser side sends at most 1 MB."""
_CONNECTIONS: Final = 512


def new_app() -> FastAPI:
    """Return an application with the console's own files, no pages of documentation, and no telemetry."""
    app = FastAPI(
        title="glioscope",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # Newer versions of FastAPI can export traces, with the messages of errors, where the environment says so.
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
    )
    app.mount("/static", StaticFiles(directory=_STATIC), name="console_static")
    return app


def serve(
    console: "Console", app: FastAPI, settings: Any = None, *, ready: Callable[[str], None] = lambda _url: None
) -> None:
    """Serve until SIGTERM or SIGINT; then stop within 3 s, open websockets or not.

    Parameters
    ----------
    app : `new_app()` with pages, live view and interface for programs registered.
    settings : where to listen; those of the console if not given.
    ready : is told the address as soon as it answers.

    Raises
    ------
    InputError : address taken or not allowed, TLS files that cannot be used; one sentence.
    """
    make_server(console, app, settings, ready=ready).run()


def make_server(
    console: "Console",
    app: FastAPI,
    settings: Any = None,
    *,
    ready: Callable[[str], None] = lambda _url: None,
    limiter: "LoginLimiter | None" = None,
) -> "ConsoleServer":
    """Return a server that has its port and is not running yet; see `serve`."""
    chosen = settings or console.settings
    check_exposure(chosen, console.store.accounts)
    context = tls_context(chosen.certificate, chosen.key)
    lookup = LoginLookup(console.store.logins, idle_minutes=chosen.idle_minutes)
    add_login(app, console, lookup, tls=context is not None, limiter=limiter)
    add_nicegui(app, tls=context is not None)
    hosts = [*chosen.hosts, chosen.host]
    guard = Guard(app, lookup, console.words, hosts=hosts, tls=context is not None)
    return ConsoleServer(guard, _bind(chosen.host, chosen.port), context, shown_host=chosen.host, ready=ready)


def add_nicegui(app: FastAPI, *, tls: bool = False) -> None:
    """Mount NiceGUI's pages: no welcome, no reload, sockets only, secrets made anew at each start."""
    if core.app.is_started:
        raise InputError("a console is running in this program already")
    core.app.middleware_stack = None  # of an earlier server in this program, which has stopped
    core.app.user_middleware.clear()
    core.app.config.socket_io_js_transports = ["websocket"]
    run.process_pool_start_method = "spawn"  # never fork a program with cameras and threads
    if _SESSION_SCRIPT not in Client.shared_head_html:
        ui.add_head_html(_SESSION_SCRIPT, shared=True)
    ui.run_with(
        app,
        title="glioscope",
        dark=True,
        show_welcome_message=False,
        gzip_middleware_factory=None,
        storage_secret=secrets.token_urlsafe(32),
        session_middleware_kwargs={
            "session_cookie": "__Host-glioscope-pages" if tls else "glioscope-pages",
            "same_site": "strict",
            "https_only": tls,
        },
    )


class ConsoleServer(uvicorn.Server):
    """uvicorn with our limits, which gives control back when a signal has stopped it.

    Attributes
    ----------
    url : address for a browser on this machine.
    """

    def __init__(
        self,
        app: Guard,
        listener: socket.socket,
        context: ssl.SSLContext | None,
        *,
        shown_host: str,
        ready: Callable[[str], None],
    ) -> None:
        super().__init__(_config(app, context))
        name = f"[{shown_host}]" if ":" in shown_host else shown_host
        self.url = f"{'https' if context else 'http'}://{name}:{listener.getsockname()[1]}"
        self._listener, self._ready = listener, ready

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until it is stopped."""
        super().run(sockets or [self._listener])

    def stop(self) -> None:
        """Ask it to stop; from any thread."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if self.started:
            self._ready(self.url)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGTERM and SIGINT, and do not raise them again afterwards: the laser is still to be parted with."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        names = (signal.SIGINT, signal.SIGTERM)
        before = {name: signal.signal(name, self._on_signal) for name in names}
        try:
            yield
        finally:
            for name, old in before.items():
                signal.signal(name, old)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


def _config(app: Guard, context: ssl.SSLContext | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedHttp,
        ws="websockets-sansio",
        ws_max_size=_WS_BYTES,
        ws_per_message_deflate=False,  # pictures do not get smaller, and the rest is small
        ssl_context_factory=None if context is None else lambda *_: context,
        log_config=None,
        log_level="warning",  # below it uvicorn notes the queries of websockets
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="on",
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=1,
    )


class BoundedHttp(HttpToolsProtocol):
    """HTTP whose request head is at most 32 KiB and complete within 10 s of the connection, or of its first byte."""

    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, and count what belongs to a head that is not complete."""
        super().data_received(data)
        if self._deadline is not None:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        """The first byte of another request on this connection."""
        super().on_message_begin()
        if self._deadline is None:
            self._expect_head()

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._head_is_there()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._deadline = self.loop.call_later(_HEAD_S, self._too_slow)

    def _head_is_there(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()


def _bind(host: str, port: int) -> socket.socket:
    """Take the port.

    Raises
    ------
    InputError : it is taken, needs more rights, or the address is not of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InputError(f"{host} is no address of this machine") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise InputError(_why_not(error, host, port)) from error
    return listener


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == EADDRINUSE:
        return f"port {port} of {host} is taken: is a console running already? --port chooses another"
    if error.errno == EACCES:
        return f"port {port} of {host} needs more rights than this account has; take one from 1024 on"
    return f"{host} is no address of this machine"

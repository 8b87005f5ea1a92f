"""The one door: ASGI middleware that lets in what the table of routes allows, and nothing else.

Pure ASGI, so that websockets, NiceGUI's own among them, pass through it as well as HTTP does.
"""

import asyncio
import contextlib
import logging
from collections.abc import MutableMapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ._form_page import form_page
from ._headers import HeadedSend
from ._request_checks import SAFE_METHODS, Refused, check_host, check_origin, check_path, header_of
from ._routes import ROUTES, Access, Route, find_route, home_of
from ._sessions import Login, LoginLookup, cookie_name, cookie_of, login_in, login_of
from ._words import Words

__all__ = ["Guard", "Login", "login_of"]

_LOG: Final = logging.getLogger("glioscope.console")
_WATCH_S: Final = 1.0
_BODY_S: Final = 10.0
_SESSION_ENDED: Final = 4401
_CANNOT_TELL: Final = 1011


class Guard:
    """Lets a request through, or answers it.

    Parameters
    ----------
    app : what is guarded.
    lookup : who is behind a token.
    words : sentences for refusals.
    hosts : names under which browsers may ask, besides loopback's and the address that they have reached.
    tls : whether this server speaks TLS.
    routes : the table; a test's own, or that of the console.
    """

    def __init__(
        self,
        app: ASGIApp,
        lookup: LoginLookup,
        words: Words,
        *,
        hosts: Sequence[str] = (),
        tls: bool = False,
        routes: Sequence[Route] = ROUTES,
    ) -> None:
        self.app = app
        self._lookup, self._words, self._tls = lookup, words, tls
        self._hosts = tuple(host.lower().strip("[]") for host in hosts)
        self._routes = tuple(routes)
        self._cookie = cookie_name(tls=tls)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, one websocket, or start and stop of the program."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        row, _ = find_route(scope["method"], scope["path"], self._routes)
        form = row is not None and row.page and row.needs is Access.PUBLIC
        headed = HeadedSend(send, tls=self._tls, form=form, fixed=row is not None and row.fixed)
        try:
            row = await self._admit(scope, scope["method"])
            body = await _read_body(scope, receive, row.largest_body)
        except Refused as refusal:
            _note(scope, row, refusal)
            answer = self._answer(scope, row, refusal)
            await answer(scope, receive, HeadedSend(send, tls=self._tls, form=True))
            return
        if body is not None:
            await self.app(_without_forwarded(scope), _replay(body, receive), headed)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        row, _ = find_route("WEBSOCKET", scope["path"], self._routes)
        try:
            row = await self._admit(scope, "WEBSOCKET")
        except Refused as refusal:
            _note(scope, row, refusal)
            await receive()
            await send({"type": "websocket.close", "code": 1008})  # before it was accepted: the answer is 403
            return
        socket = _GuardedSocket(self._lookup, row, login_in(scope), scope, receive, send)
        await socket.run(self.app, _without_forwarded(scope))

    async def _admit(self, scope: Scope, method: str) -> Route:
        """Return the row of the table by which a request is let in, its log-in put into the scope.

        Raises
        ------
        Refused : with the status and, for the log, the reason.
        """
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        state.pop("login", None)
        host = check_host(scope, self._hosts)
        row, known = find_route(method, check_path(scope), self._routes)
        if row is None:
            raise Refused(405 if known else 404, "method is not in the table" if known else "path is not in the table")
        if method not in SAFE_METHODS:
            check_origin(scope, host, tls=self._tls)
        token = cookie_of(scope["headers"], self._cookie)
        login = None if row.fixed else await self._lookup.login(token)
        if login is not None:
            state["login"] = login
        if not row.admits(login.actor if login is not None else None):
            reason = "no session" if not token else "no such session, or it has ended"
            raise Refused(401, reason) if login is None else Refused(403, f"{login.actor.role} may not")
        return row

    def _answer(self, scope: Scope, row: Route | None, refusal: Refused) -> Response:
        """Send people to the log-in page or tell them in a page; tell programs in JSON."""
        words, status = self._words, refusal.status
        sentence = words[f"login.refused_{status}"]
        if row is not None and row.page and scope["method"] in SAFE_METHODS and status == 401:
            return RedirectResponse(f"/login?next={quote(scope['path'], safe='/')}", 303)
        if b"text/html" not in dict(scope["headers"]).get(b"accept", b""):
            return JSONResponse({"error": sentence}, status)
        login = login_in(scope)
        back = ("/login", words["login.log_in"]) if login is None else (home_of(login.actor.role), words["login.home"])
        return HTMLResponse(form_page(words, title=sentence, link=back), status)


class _GuardedSocket:
    """A websocket that is shut when its session ends or the role no longer reaches for it."""

    def __init__(
        self, lookup: LoginLookup, row: Route, login: Login | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._lookup, self._row, self._login = lookup, row, login
        self._scope, self._raw_receive, self._raw_send = scope, receive, send
        self._ended = False

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Run the application on the socket, and look every second whether it may stay open."""
        watch = asyncio.create_task(self._watch())
        try:
            await app(scope, self._receive, self._send)
        finally:
            watch.cancel()

    async def _receive(self) -> Message:
        message = await self._raw_receive()
        if self._login is not None and _is_somebody(self._scope["path"], message):
            self._lookup.touch(self._login.token)
        return message

    async def _send(self, message: Message) -> None:
        if self._ended:
            raise OSError("the session of this websocket has ended")  # as for a connection that was lost
        await self._raw_send(message)

    async def _watch(self) -> None:
        while self._login is not None:
            await asyncio.sleep(_WATCH_S)
            try:
                login = await self._lookup.login(self._login.token, active=False)
            except Exception:
                # Whoever cannot be told from a stranger is one; the browser comes back by itself.
                await self._shut(_CANNOT_TELL, "who is behind it cannot be looked up")
                raise
            if login is None or not self._row.admits(login.actor):
                await self._shut(_SESSION_ENDED, "its session has ended")
                return

    async def _shut(self, code: int, reason: str) -> None:
        self._ended = True
        _note(self._scope, self._row, Refused(code, f"open socket: {reason}"))
        with contextlib.suppress(RuntimeError):  # it was closed from the other side at the same moment
            await self._raw_send({"type": "websocket.close", "code": code, "reason": reason})


def _is_somebody(path: str, message: Message) -> bool:
    """Whether a message shows that somebody is there.

    On NiceGUI's socket only events of elements do: pings and acknowledgements come from a page that was left alone too.
    The live view acknowledges only while it is seen: theatre is not logged out in the middle of an operation.
    """
    if message["type"] != "websocket.receive":
        return False
    return not path.startswith("/_nicegui_ws/") or (message.get("text") or "").startswith('42["event"')


async def _read_body(scope: Scope, receive: Receive, largest: int) -> bytes | None:
    """Return the whole body; None where the client has gone.

    Raises
    ------
    Refused : larger than allowed, whether it says so beforehand or not, or slower than 10 s.
    """
    said = header_of(scope, b"content-length") or "0"
    if not said.isdecimal():
        raise Refused(400, "content-length is no number")
    if int(said[:20]) > largest:
        raise Refused(413, f"body is over {largest} bytes")
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                body += message.get("body", b"")
                if len(body) > largest:
                    raise Refused(413, f"body is over {largest} bytes")
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError as error:
        raise Refused(408, f"body took over {_BODY_S:g} s") from error


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read as the first message, then whatever else comes."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return first.pop() if first else await receive()

    return replayed


def _without_forwarded(scope: Scope) -> Scope:
    """Drop what only a proxy may say: NiceGUI builds addresses from it."""
    scope["headers"] = [(key, value) for key, value in scope["headers"] if not key.startswith(b"x-forwarded-")]
    return scope


def _note(scope: Scope, row: Route | None, refusal: Refused) -> None:
    """Log a refusal: who, from where, which row of the table, why. Nothing of what was sent, not even the path."""
    login = login_in(scope)
    client = scope.get("client") or ("-", 0)
    _LOG.warning(
        "refused %s: account %s, address %s, %s %s: %s",
        refusal.status,
        login.actor.account if login is not None else "-",
        client[0],
        scope.get("method", "WEBSOCKET"),
        row.pattern if row is not None else "-",
        refusal.reason,
    )

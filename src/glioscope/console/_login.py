"""Logging in and out: two forms without scripts, one cookie, and a brake on guessing."""

import asyncio
import hashlib
import hmac
import logging
import re
import secrets
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from glioscope.cases import Actor, LoginLimiter, TooManyAttempts

from ._form_page import form_page
from ._routes import home_of, local_page
from ._sessions import LoginLookup, cookie_name, cookie_of, login_in

if TYPE_CHECKING:
    from ._console import Console

_LOG: Final = logging.getLogger("glioscope.console")
_AT_ONCE: Final = 2
"""Argon2id takes 64 MiB and a core or two for each."""
_QUEUE: Final = 16
_FORM_S: Final = 3600
_FIELDS: Final = ("account", "password", "csrf", "next")
_TEXTS: Final = {"type": "object", "properties": {name: {"type": "string"} for name in _FIELDS}}
_FORM: Final = {"requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": _TEXTS}}}}
"""For the schema: whatever is sent here is read by hand, so that its errors repeat nothing of it."""
_PLANTED: Final = re.compile(r"[A-Za-z0-9_-]{43}")


def add_login(
    app: FastAPI, console: "Console", lookup: LoginLookup, *, tls: bool = False, limiter: LoginLimiter | None = None
) -> None:
    """Register `/login`, `/logout`, `/session` and `/health`.

    Parameters
    ----------
    lookup : the one of the guard, which forgets what is logged out here.
    tls : whether the cookies are for TLS only.
    """
    door = _Door(console, lookup, limiter or LoginLimiter(), tls=tls)
    app.add_api_route("/login", door.ask, methods=["GET"], response_class=HTMLResponse)
    app.add_api_route("/login", door.log_in, methods=["POST"], response_class=HTMLResponse, openapi_extra=_FORM)
    app.add_api_route("/logout", door.ask_to_leave, methods=["GET"], response_class=HTMLResponse)
    app.add_api_route("/logout", door.log_out, methods=["POST"], response_class=HTMLResponse)
    app.add_api_route("/session", _session, methods=["GET"], status_code=204, response_class=Response)
    app.add_api_route("/health", _health, methods=["GET"], response_class=JSONResponse)


def _session() -> Response:
    """Tell a page that its session holds: the guard answers 401 where it does not."""
    return Response(status_code=204)


def _health() -> JSONResponse:
    """Tell whoever watches the machine that the console answers; nothing more."""
    return JSONResponse({"status": "ok"})


class _Door:
    def __init__(self, console: "Console", lookup: LoginLookup, limiter: LoginLimiter, *, tls: bool) -> None:
        self._store, self._words = console.store, console.words
        self._accounts, self._logins = console.store.accounts, console.store.logins
        self._lookup, self._limiter, self._tls = lookup, limiter, tls
        self._cookie, self._planted = cookie_name(tls=tls), f"{cookie_name(tls=tls)}-form"
        self._secret = secrets.token_bytes(32)
        self._turn, self._waiting = asyncio.Semaphore(_AT_ONCE), 0

    async def ask(self, request: Request) -> Response:
        """Show the form, or go on where somebody is logged in already."""
        login = login_in(request.scope)
        wanted = local_page(request.query_params.get("next", ""))
        if login is not None:
            return RedirectResponse(wanted or home_of(login.actor.role), 303)
        ended = bool(self._token(request))
        answer = self._form(request, self._words["login.session_ended"] if ended else "", 200, wanted)
        if ended:
            self._delete_cookie(answer)
        return answer

    async def log_in(self, request: Request) -> Response:
        """Check the form; a new session, or the form again with one sentence."""
        given = await _fields(request)
        wanted, account = local_page(given["next"]), given["account"].strip()
        if not self._is_own_form(request, given["csrf"]):
            self._note("form is not of this browser", request)
            return self._form(request, self._words["login.stale"], 400, wanted)
        try:
            actor = await self._authenticate(account, given["password"], _address(request))
        except TooManyAttempts as error:
            self._note("too many attempts", request)
            answer = self._form(request, f"{str(error).capitalize()}.", 429, wanted)
            answer.headers["Retry-After"] = str(error.seconds)
            return answer
        if actor is None:
            # Not even the name is noted: people type their password into that field.
            self._note("wrong account or password", request)
            return self._form(request, self._words["login.wrong"], 401, wanted)
        return await self._let_in(request, actor, wanted)

    async def ask_to_leave(self, request: Request) -> Response:
        """Show the button."""
        if login_in(request.scope) is None:
            return RedirectResponse("/login", 303)
        words = self._words
        page = form_page(words, title=words["login.log_out_title"], action="/logout", submit=words["login.log_out"])
        return HTMLResponse(page)

    async def log_out(self, request: Request) -> Response:
        """End the session in the store, so that its cookie is nothing from now on."""
        token = self._token(request)
        if token:
            self._lookup.forget(token)
            await asyncio.to_thread(self._logins.end, token)
            self._lookup.forget(token)
        login, words = login_in(request.scope), self._words
        if login is not None:
            _LOG.info("logged out: account %s, address %s", login.actor.account, _address(request))
        page = form_page(words, title=words["login.logged_out"], link=("/login", words["login.log_in"]))
        answer = HTMLResponse(page)
        self._delete_cookie(answer)
        return answer

    async def _authenticate(self, account: str, password: str, address: str) -> Actor | None:
        """Try a password in a thread, a few at a time; no more than can be served soon wait.

        Raises
        ------
        TooManyAttempts : of this account, of this address, or of all together.
        """
        if self._waiting >= _QUEUE:
            raise TooManyAttempts(2)
        self._waiting += 1
        try:
            async with self._turn:
                self._limiter.check(account, address)
                try:
                    actor = await asyncio.to_thread(self._accounts.authenticate, account, password)
                except BaseException:
                    self._limiter.failed(account, address)
                    raise
                (self._limiter.failed if actor is None else self._limiter.succeeded)(account, address)
                return actor
        finally:
            self._waiting -= 1

    async def _let_in(self, request: Request, actor: Actor, wanted: str) -> Response:
        before = self._token(request)
        if before:  # whoever was logged in here before is not any more
            await asyncio.to_thread(self._logins.end, before)
            self._lookup.forget(before)
        await asyncio.to_thread(self._store.note, actor, "log_in")
        token = await asyncio.to_thread(self._logins.start, actor)
        answer = RedirectResponse(wanted or home_of(actor.role), 303)
        answer.set_cookie(self._cookie, token, path="/", secure=self._tls, httponly=True, samesite="strict")
        answer.delete_cookie(self._planted, path="/", secure=self._tls, httponly=True, samesite="strict")
        _LOG.info("logged in: account %s, role %s, address %s", actor.account, actor.role, _address(request))
        return answer

    def _form(self, request: Request, sentence: str, status: int, wanted: str) -> HTMLResponse:
        """Return the form, bound to a cookie of this browser, so that no other site can post one of its own."""
        planted = cookie_of(request.scope["headers"], self._planted)
        if _PLANTED.fullmatch(planted) is None:
            planted = secrets.token_urlsafe(32)
        words = self._words
        page = form_page(
            words,
            title=words["login.title"],
            sentence=sentence,
            action="/login",
            submit=words["login.log_in"],
            fields=(("account", words["login.account"], "text"), ("password", words["login.password"], "password")),
            hidden={"csrf": self._csrf(planted), "next": wanted},
        )
        answer = HTMLResponse(page, status)
        answer.set_cookie(self._planted, planted, _FORM_S, path="/", secure=self._tls, httponly=True, samesite="strict")
        return answer

    def _csrf(self, planted: str) -> str:
        return hmac.new(self._secret, planted.encode(), hashlib.sha256).hexdigest()

    def _is_own_form(self, request: Request, csrf: str) -> bool:
        planted = cookie_of(request.scope["headers"], self._planted)
        own = _PLANTED.fullmatch(planted) is not None
        return hmac.compare_digest(self._csrf(planted).encode(), csrf.encode("utf-8", "replace")) and own

    def _token(self, request: Request) -> str:
        return cookie_of(request.scope["headers"], self._cookie)

    def _delete_cookie(self, answer: Response) -> None:
        answer.delete_cookie(self._cookie, path="/", secure=self._tls, httponly=True, samesite="strict")

    def _note(self, reason: str, request: Request) -> None:
        _LOG.warning("log-in refused: address %s: %s", _address(request), reason)


async def _fields(request: Request) -> dict[str, str]:
    """Return the text fields of a form; what is missing, or no text, is empty. No files."""
    try:
        form: Any = await request.form(max_files=0, max_fields=8)
    except (HTTPException, ClientDisconnect, ValueError) as error:
        raise HTTPException(400, "no form") from error
    found = {name: form.get(name) for name in _FIELDS}
    return {name: value if isinstance(value, str) else "" for name, value in found.items()}


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else "-"

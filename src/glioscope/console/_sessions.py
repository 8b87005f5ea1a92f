"""Who is behind a request: the cookie, its token, and a look-up that a busy socket can afford."""

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from starlette.requests import HTTPConnection

from glioscope.cases import Actor, NotAllowed

_CACHE_S: Final = 1.0
"""A session that ends elsewhere ends here at most so much later."""
_MOST_KNOWN: Final = 1024
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")


@dataclass(frozen=True, slots=True)
class Login:
    """A session that holds: its token, and who acts by it."""

    token: str
    actor: Actor


class Sessions(Protocol):
    """What the guard needs of `cases.Logins`."""

    def current(self, token: str) -> Actor | None:
        """Who the session belongs to; None where there is none any more."""

    def end(self, token: str) -> None:
        """End it."""


def cookie_name(*, tls: bool) -> str:
    """Name of the session's cookie; browsers bind `__Host-` to this host and to TLS."""
    return "__Host-glioscope" if tls else "glioscope"


def cookie_of(headers: Iterable[tuple[bytes, bytes]], name: str) -> str:
    """Return a cookie's value; nothing where there is none, or two that differ (somebody planted one)."""
    found: set[str] = set()
    for key, value in headers:
        if key == b"cookie":
            pairs = (part.strip().partition("=") for part in value.decode("latin-1").split(";"))
            found |= {content for title, _, content in pairs if title == name}
    return found.pop() if len(found) == 1 else ""


def login_of(connection: HTTPConnection) -> Login:
    """Who is behind a request or a websocket, as the guard found out.

    Raises
    ------
    NotAllowed : nobody: the route is public, or there is no guard.
    """
    login = login_in(connection.scope)
    if login is None:
        raise NotAllowed("nobody is logged in")
    return login


def login_in(scope: Mapping[str, Any]) -> Login | None:
    """Who is behind an ASGI scope; None where nobody is logged in."""
    login: Login | None = scope.get("state", {}).get("login")
    return login


@dataclass(frozen=True, slots=True)
class _Known:
    asked_s: float
    actor: Actor | None
    active_s: float
    """When its browser last did something. The store counts every question as that, a socket's watch too."""


class LoginLookup:
    """Looks sessions up in the store, in a thread, and remembers what it found for a second.

    Parameters
    ----------
    idle_minutes : a session ends after so long without anything from its browser, even while a socket of it is open.
    clock : seconds, never going back.
    """

    def __init__(
        self, sessions: Sessions, *, idle_minutes: float = 30, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sessions, self._idle_s, self._clock = sessions, 60 * idle_minutes, clock
        self._known: dict[str, _Known] = {}

    async def login(self, token: str, *, active: bool = True) -> Login | None:
        """Return the session of a token; None where there is none, or where it has ended.

        Parameters
        ----------
        active : its browser did something; False: only a socket that is open asks.
        """
        if _TOKEN.fullmatch(token) is None:
            return None
        now = self._clock()
        known = self._known.get(token)
        if known is not None and now - known.active_s > self._idle_s:
            self.forget(token)
            await asyncio.to_thread(self._sessions.end, token)
            return None
        if known is None or now - known.asked_s >= _CACHE_S:
            known = self._keep(token, now, await asyncio.to_thread(self._sessions.current, token))
        if active:
            self.touch(token)
        return Login(token, known.actor) if known.actor is not None else None

    def touch(self, token: str) -> None:
        """The browser of a session did something."""
        known = self._known.get(token)
        if known is not None:
            self._known[token] = replace(known, active_s=self._clock())

    def forget(self, token: str) -> None:
        """A session was ended here: from now on its token is nothing."""
        now = self._clock()
        self._known[token] = _Known(now, None, now)

    def _keep(self, token: str, asked: float, actor: Actor | None) -> _Known:
        before = self._known.get(token)
        if before is not None and before.asked_s > asked:  # it was ended, or asked for again, in the meantime
            return before
        kept = _Known(asked, actor, before.active_s if before is not None else asked)
        if actor is not None or before is not None:  # made-up tokens take no room
            if len(self._known) >= _MOST_KNOWN and before is None:
                del self._known[next(iter(self._known))]
            self._known[token] = kept
        return kept

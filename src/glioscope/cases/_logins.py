"""Sessions: who is logged in, found by a token of which only the hash is kept."""

import hashlib
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import update
from sqlmodel import Session, col, select

from glioscope.core import InputError

from ._database import Database, DatabaseError
from ._roles import AccountRole, Actor
from ._tables import AccountRow, LoginRow

_LOG: Final = logging.getLogger("glioscope.cases")
_TOKEN_BYTES: Final = 32
_NOTE_EVERY_S: Final = 60.0
"""`seen_at` is written this often at most: no write for each request."""
_AHEAD_S: Final = 60.0
"""A time on disk may lie this far ahead of the wall clock: two machines on one database."""


def elapsed_s() -> float:
    """Seconds on a clock that nobody sets and that counts while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(frozen=True, slots=True)
class _Seen:
    """A session as this program knows it, on the clock that nobody sets."""

    started_s: float
    seen_s: float
    noted_s: float
    """When `seen_at` was last written or read."""
    noted: str
    """What stood there then; something else means that another program has seen the session since."""


class Logins:
    """Sessions that end after idle minutes, after the longest hours, at log-out, or with their account.

    Two clocks: a session that this program has seen is timed by one that nobody can set, so that a wall clock which
    jumps neither prolongs nor ends it. The wall clock counts after a restart only; what began in its future is refused.

    Parameters
    ----------
    clock : the wall clock, in UTC.
    elapsed : seconds on a clock that never goes back.
    """

    def __init__(
        self,
        database: Database,
        *,
        idle_minutes: float = 30,
        longest_hours: float = 12,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        elapsed: Callable[[], float] = elapsed_s,
    ) -> None:
        self._database = database
        self._idle_s = 60.0 * idle_minutes
        self._longest_s = 3600.0 * longest_hours
        self._clock = clock
        self._elapsed = elapsed
        self._seen: dict[str, _Seen] = {}
        self._lock = threading.Lock()

    def start(self, actor: Actor) -> str:
        """Begin a session and give its token, 256 random bits in 43 URL-safe letters.

        Raises
        ------
        InputError : there is no such account, or it is disabled.
        """
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        hashed, at = _hash(token), self._clock().astimezone(UTC).isoformat()
        self._end_old()
        with self._database.writing() as session:
            account = session.get(AccountRow, actor.account)
            if account is None or account.disabled_at is not None:
                raise InputError(f"account {actor.account} cannot log in: it does not exist or is disabled")
            session.add(LoginRow(token_sha256=hashed, account=actor.account, started_at=at, seen_at=at))
        now = self._elapsed()
        with self._lock:
            self._seen[hashed] = _Seen(now, now, now, at)
        return token

    def current(self, token: str) -> Actor | None:
        """Who this is, with the role that the account has now; asking counts as being there.

        Returns
        -------
        Actor | None : None for a token that is unknown, ended or expired, or whose account is disabled.
        """
        hashed = _hash(token)
        with self._database.session() as session:
            found = session.exec(
                select(LoginRow.started_at, LoginRow.seen_at, AccountRow.name, AccountRow.role)
                .join(AccountRow, col(AccountRow.name) == col(LoginRow.account))
                .where(LoginRow.token_sha256 == hashed)
                .where(col(LoginRow.ended_at).is_(None))
                .where(col(AccountRow.disabled_at).is_(None))
            ).first()
        if found is None:
            self._forget(hashed)
            return None
        started_at, seen_at, account, role = found
        now = self._elapsed()
        seen = self._recall(hashed, started_at, seen_at, now)
        if seen is None or now - seen.seen_s > self._idle_s or now - seen.started_s > self._longest_s:
            self.end(token)
            return None
        self._note(hashed, seen, now)
        return Actor(account, AccountRole(role))

    def end(self, token: str) -> None:
        """Log out; an unknown or ended token does no harm."""
        self._end(_hash(token))

    def end_all(self, account: str) -> None:
        """End every session of an account."""
        with self._database.writing() as session:
            end_logins(session, account, self._clock())

    def _recall(self, hashed: str, started_at: str, seen_at: str, now: float) -> _Seen | None:
        """What is known of the session; None if the wall clock says that it has not begun yet."""
        with self._lock:
            seen = self._seen.get(hashed)
        if seen is not None and seen.noted == seen_at:
            return seen
        wall = self._clock()
        age_s, idle_s = (wall - datetime.fromisoformat(at) for at in (started_at, seen_at))
        if seen is not None:  # another program has seen it: its word on when, our own on how long it has lasted
            when = now - max(idle_s.total_seconds(), 0.0)
            return _Seen(seen.started_s, max(seen.seen_s, when), now, seen_at)
        if min(age_s, idle_s) < timedelta(seconds=-_AHEAD_S):
            return None
        return _Seen(now - age_s.total_seconds(), now - idle_s.total_seconds(), now - _NOTE_EVERY_S, seen_at)

    def _note(self, hashed: str, seen: _Seen, now: float) -> None:
        noted_s, noted = seen.noted_s, seen.noted
        if now - seen.noted_s >= _NOTE_EVERY_S:
            noted_s, noted = now, self._write_seen(hashed) or seen.noted
        with self._lock:
            self._seen[hashed] = _Seen(seen.started_s, now, noted_s, noted)

    def _write_seen(self, hashed: str) -> str:
        """Write the time to disk; empty if it cannot be written.

        A full disk must not log anybody out: light off has to work. Without the note a restart ends the session
        earlier, never later.
        """
        at = self._clock().astimezone(UTC).isoformat()
        try:
            with self._database.writing() as session:
                session.connection().execute(
                    update(LoginRow).where(col(LoginRow.token_sha256) == hashed).values(seen_at=at)
                )
        except DatabaseError as error:
            _LOG.warning("a session cannot be noted on disk: %s", error)
            return ""
        return at

    def _end(self, hashed: str) -> None:
        with self._database.writing() as session:
            session.connection().execute(
                update(LoginRow)
                .where(col(LoginRow.token_sha256) == hashed, col(LoginRow.ended_at).is_(None))
                .values(ended_at=self._clock().astimezone(UTC).isoformat())
            )
        self._forget(hashed)

    def _forget(self, hashed: str) -> None:
        with self._lock:
            self._seen.pop(hashed, None)

    def _end_old(self) -> None:
        """End what has lasted too long, on disk first: forgotten only, a wall clock set back would bring it back."""
        now = self._elapsed()
        with self._lock:
            old = [name for name, seen in self._seen.items() if now - seen.started_s > self._longest_s]
        for hashed in old:
            self._end(hashed)


def end_logins(session: Session, account: str, at: datetime) -> None:
    """End every session of an account inside the caller's write transaction."""
    session.connection().execute(
        update(LoginRow)
        .where(col(LoginRow.account) == account, col(LoginRow.ended_at).is_(None))
        .values(ended_at=at.astimezone(UTC).isoformat())
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()

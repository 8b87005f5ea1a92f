"""Accounts: names that are pseudonyms, roles, and passwords of which only an Argon2id hash is kept."""

import base64
import logging
import math
import os
import threading
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from sqlalchemy import func
from sqlmodel import Session, col, select

from glioscope.core import InputError

from ._audit import AuditTrail, sha256_of_words
from ._database import Database
from ._keys import check_pseudonym
from ._logins import end_logins
from ._roles import AccountRole, Action, Actor
from ._tables import AccountRow

PASSWORD_LETTERS: Final = (12, 256)
"""Fewest and most. What it is made of is free (NIST SP 800-63B)."""
_FEWEST_DIFFERENT: Final = 4
_RESERVED: Final = frozenset({"command-line", "consensus"})
"""Names with a meaning of their own, in the trail and among pathologists."""
_COMMON_WORDS: Final = """
    password1234 password12345 passwordpassword password123456 password1234567 password123456789 mypassword123
    passw0rd1234 123456789012 1234567890123 12345678901234 123456789012345 1234567890123456 0123456789012
    123123123123 123456123456 111111222222 112233445566 1q2w3e4r5t6y 1q2w3e4r5t6y7u 1qaz2wsx3edc 1qaz2wsx3edc4rfv
    qwertyuiop12 qwertyuiop123 qwertyuiop[] qwerty123456 qwertyqwerty qwertzuiop12 qwertzuiop123 asdfghjkl123
    zaq12wsxcde3 abcdefghijkl abcdefghijklm abcdef123456 abcd1234abcd abc123abc123 a1b2c3d4e5f6 iloveyou1234
    administrator administrator1 admin1234567 admin123456789 letmeinletmein welcome12345 welcome123456 changeme1234
    changemechangeme default12345 secret123456 hospital1234 neurosurgery neurosurgeon fluorescence indocyanine
    indocyaninegreen glioblastoma glioscope1234 glioscopeglioscope
"""
_COMMON: Final = frozenset(_COMMON_WORDS.split())
"""Of the commonest passwords, those that are long enough to get here, and words of this field."""
_LOG: Final = logging.getLogger("glioscope.cases")


@dataclass(frozen=True, slots=True)
class Account:
    """Who may log in. Times are in UTC."""

    name: str
    role: AccountRole
    created_at: datetime
    disabled_at: datetime | None

    @property
    def enabled(self) -> bool:
        """Whether it can log in."""
        return self.disabled_at is None


class Accounts:
    """The accounts of a store. Every change is a link of the audit trail, in the same transaction.

    Parameters
    ----------
    hasher : Argon2id (RFC 9106). The default is its low-memory profile: 64 MiB, 3 passes, 4 lanes.
    clock : the wall clock, in UTC.
    """

    def __init__(
        self,
        database: Database,
        audit: AuditTrail,
        *,
        hasher: PasswordHasher | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._audit = audit
        self._hasher = hasher or PasswordHasher()
        self._clock = clock
        self._nobody = _hash_of_nothing(self._hasher)

    def create(self, actor: Actor, name: str, role: AccountRole, password: str) -> None:
        """Make an account.

        Raises
        ------
        NotAllowed : `actor` is no administrator.
        InputError : the name is taken, reserved or no pseudonym, or the password will not do.
        """
        actor.check(Action.MANAGE_ACCOUNTS)
        check_pseudonym("account", name)
        if name.lower() in _RESERVED:
            raise InputError(f"the account name {name} is reserved")
        hashed = self._hasher.hash(checked_password(name, password))

        def change(session: Session) -> None:
            # Names that differ in capitals only would be mistaken for each other in the trail.
            taken = session.exec(select(AccountRow.name).where(func.lower(col(AccountRow.name)) == name.lower()))
            if taken.first() is not None:
                raise InputError(f"there is an account {name} already")
            row = AccountRow(name=name, role=role.value, password=hashed, created_at=self._now().isoformat())
            session.add(row)

        self._write(actor, "create_account", name, role, change)

    def authenticate(self, name: str, password: str) -> Actor | None:
        """Whose password this is; takes as long for an unknown name and a disabled account as for a wrong password.

        Blocks for 50 to 300 ms: call it in a thread. A hash of weaker parameters than today's is replaced.
        """
        given = _normalised(password)
        account, hashed = self._find(name)
        usable = account is not None and account.enabled and len(given) <= PASSWORD_LETTERS[1]
        try:
            self._hasher.verify(hashed if usable else self._nobody, _bytes(given if usable else ""))
        except VerifyMismatchError:
            return None
        except (VerificationError, InvalidHashError) as error:
            raise InputError(f"the password of account {name} is damaged in the database: set a new one") from error
        if account is None or not usable:
            return None
        if self._hasher.check_needs_rehash(hashed):
            self._rehash(name, hashed, self._hasher.hash(_bytes(given)))
        return Actor(account.name, account.role)

    def set_password(self, actor: Actor, name: str, password: str) -> None:
        """Set one's own password, or as an administrator anybody's; all sessions of the account end.

        Ask whoever sets his own for the old one first (`authenticate`): a session alone is no proof of who sits there.

        Raises
        ------
        NotAllowed, InputError : not one's own, no such account, or the password will not do.
        """
        if actor.account != name:
            actor.check(Action.MANAGE_ACCOUNTS)
        check_pseudonym("account", name)
        hashed = self._hasher.hash(checked_password(name, password))

        def change(session: Session) -> None:
            _row(session, name).password = hashed
            end_logins(session, name, self._now())

        self._write(actor, "set_password", name, None, change)

    def set_role(self, actor: Actor, name: str, role: AccountRole) -> None:
        """Give an account another role; its sessions have it from their next request on.

        Raises
        ------
        NotAllowed, InputError : no administrator, no such account, or the last enabled administrator.
        """
        actor.check(Action.MANAGE_ACCOUNTS)

        def change(session: Session) -> None:
            if role is not AccountRole.ADMINISTRATOR:
                _check_another_administrator(session, name)
            _row(session, name).role = role.value

        self._write(actor, "set_role", name, role, change)

    def disable(self, actor: Actor, name: str) -> None:
        """Keep an account from logging in, and end its sessions; accounts are never deleted.

        Raises
        ------
        NotAllowed, InputError : no administrator, no such account, or the last enabled administrator.
        """
        actor.check(Action.MANAGE_ACCOUNTS)

        def change(session: Session) -> None:
            _check_another_administrator(session, name)
            row = _row(session, name)
            row.disabled_at = row.disabled_at or self._now().isoformat()
            end_logins(session, name, self._now())

        self._write(actor, "disable_account", name, None, change)

    def enable(self, actor: Actor, name: str) -> None:
        """Let an account log in again, with the password it had.

        Raises
        ------
        NotAllowed, InputError : no administrator, or no such account.
        """
        actor.check(Action.MANAGE_ACCOUNTS)

        def change(session: Session) -> None:
            _row(session, name).disabled_at = None

        self._write(actor, "enable_account", name, None, change)

    def all(self) -> list[Account]:
        """Every account, in the order of names."""
        with self._database.session() as session:
            found = [_account(row) for row in session.exec(select(AccountRow))]
        return sorted(found, key=lambda account: account.name)

    def _write(
        self, actor: Actor, action: str, name: str, role: AccountRole | None, change: Callable[[Session], None]
    ) -> None:
        check_pseudonym("account", name)
        with self._database.writing() as session:
            change(session)
            self._audit.append(session, actor, action, digest=account_digest(name, role))
        try:
            with self._database.session() as session:
                self._audit.note_head(session)
        except InputError as error:  # the change is stored, and the head may lag
            _LOG.warning("audit.head was not written: %s", error)

    def _find(self, name: str) -> tuple[Account | None, str]:
        """An account and the hash of its password."""
        if not _is_pseudonym(name):  # not looked up: PostgreSQL, for one, refuses NUL in text
            return None, ""
        with self._database.session() as session:
            row = session.get(AccountRow, name)
            return (_account(row), row.password) if row is not None else (None, "")

    def _rehash(self, name: str, old: str, new: str) -> None:
        with self._database.writing() as session:
            row = _row(session, name)
            if row.password == old:  # else it was set anew meanwhile
                row.password = new

    def _now(self) -> datetime:
        return self._clock().astimezone(UTC)


class TooManyAttempts(InputError):  # noqa: N818
    """Log-in failed too often; `seconds` are left until the next attempt."""

    def __init__(self, seconds: float) -> None:
        self.seconds = max(1, math.ceil(seconds))
        super().__init__(f"too many failed log-ins: try again in {self.seconds} s")


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last_s: float = 0.0
    until_s: float = 0.0
    """No attempt before."""


class LoginLimiter:
    """Slows guessing down, by account and by address, and never touches a session that is open.

    The first five failures cost nothing; the fifth and each later one costs 1, 2, 4, ... s, at most 300 s, until the
    next attempt. An hour without a failure, or (for the account) a log-in, and it is forgotten. So an account can be
    tried some 300 times a day at most, from however many addresses. One attempt for an account at a time.

    Parameters
    ----------
    clock : seconds on a clock that never goes back.
    """

    FREE: Final = 5
    LONGEST_S: Final = 300.0
    FORGET_S: Final = 3600.0
    MOST_ENTRIES: Final = 10_000
    """Of accounts and addresses together; past that the one that failed longest ago goes."""
    _ONE_AT_A_TIME_S: Final = 5.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()
        self._trying: dict[str, float] = {}
        self._lock = threading.Lock()

    def check(self, account: str, address: str) -> None:
        """Call before a password is tried; then call `failed` or `succeeded`.

        Raises
        ------
        TooManyAttempts : not yet, or another attempt for this account is under way.
        """
        now = self._clock()
        with self._lock:
            entries = (self._failures.get(key) for key in _limited(account, address))
            until_s = [entry.until_s for entry in entries if entry is not None]
            self._trying = {name: end for name, end in self._trying.items() if end > now}
            if max(until_s, default=now) > now:
                raise TooManyAttempts(max(until_s) - now)
            if account[:64] in self._trying:
                raise TooManyAttempts(1)
            self._trying[account[:64]] = now + self._ONE_AT_A_TIME_S

    def failed(self, account: str, address: str) -> None:
        """Count a failure."""
        now = self._clock()
        with self._lock:
            self._trying.pop(account[:64], None)
            for key in _limited(account, address):
                entry = self._failures.pop(key, _Failures())
                count = 1 if now - entry.last_s > self.FORGET_S else entry.count + 1
                delay_s = 2.0 ** min(count - self.FREE, 30) if count >= self.FREE else 0.0
                self._failures[key] = _Failures(count, now, now + min(delay_s, self.LONGEST_S))
            while len(self._failures) > self.MOST_ENTRIES:
                self._failures.popitem(last=False)

    def succeeded(self, account: str, address: str) -> None:
        """Forget the failures of the account; those of the address stay: one good password may hide much guessing."""
        with self._lock:
            self._trying.pop(account[:64], None)
            self._failures.pop(_limited(account, address)[0], None)


def _limited(account: str, address: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """What is counted; whatever is sent as a name takes little memory."""
    return ("account", account[:64]), ("address", address[:64])


def account_digest(name: str, role: AccountRole | None = None) -> str:
    """What the audit trail keeps of a change: SHA-256 of the JSON array [name] or [name, role], hex.

    The trail has no column for whom a change was about; names are few, so that the digest tells.
    """
    return sha256_of_words(name) if role is None else sha256_of_words(name, role.value)


def checked_password(name: str, password: str) -> bytes:
    """Give the bytes of `password` that are hashed (NFKC, UTF-8).

    Raises
    ------
    InputError : under 12 or over 256 letters, the account's name, fewer than 4 different letters, or a common one
        (NIST SP 800-63B, 5.1.1.2). The sentence never repeats it.
    """
    given, (fewest, most) = _normalised(password), PASSWORD_LETTERS
    if not fewest <= len(given) <= most:
        raise InputError(f"the password has {len(given)} letters; {fewest} to {most} are needed")
    plain = given.casefold()
    if not plain.replace(name.casefold(), ""):
        raise InputError("the password is the account's name")
    if plain in _COMMON:
        raise InputError("the password is one of the commonest")
    if len(set(plain)) < _FEWEST_DIFFERENT:
        raise InputError(f"the password has {len(set(plain))} different letters; {_FEWEST_DIFFERENT} are needed")
    return _bytes(given)


def _normalised(password: str) -> str:
    """One form for what keyboards write in several (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


def _is_pseudonym(name: str) -> bool:
    try:
        check_pseudonym("account", name)
    except InputError:
        return False
    return True


def _row(session: Session, name: str) -> AccountRow:
    row = session.get(AccountRow, name)
    if row is None:
        raise InputError(f"there is no account {name}")
    return row


def _account(row: AccountRow) -> Account:
    disabled_at = datetime.fromisoformat(row.disabled_at) if row.disabled_at else None
    return Account(row.name, AccountRole(row.role), datetime.fromisoformat(row.created_at), disabled_at)


def _check_another_administrator(session: Session, name: str) -> None:
    row = _row(session, name)
    if row.role != AccountRole.ADMINISTRATOR or row.disabled_at is not None:
        return
    others = select(func.count()).where(
        AccountRow.role == AccountRole.ADMINISTRATOR.value,
        col(AccountRow.disabled_at).is_(None),
        AccountRow.name != name,
    )
    if session.exec(others).one() == 0:
        raise InputError(f"{name} is the last enabled administrator: make another one first")


def _hash_of_nothing(hasher: PasswordHasher) -> str:
    """A hash that no password has, and that takes as long to try as one of `hasher`."""
    salt, hashed = (
        base64.b64encode(os.urandom(length)).decode().rstrip("=") for length in (hasher.salt_len, hasher.hash_len)
    )
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${cost}${salt}${hashed}"

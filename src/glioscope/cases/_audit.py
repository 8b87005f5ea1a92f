"""The audit trail: who did what and when, as a chain of keyed hashes that names its first bad link.

A link is HMAC-SHA256 (RFC 2104) under the store's audit key over the row as a JSON array,

    [seq, at, account, action, case_id, specimen_id, digest, previous]

in ASCII, without spaces; `previous` is the link before it, and before the first one HMAC-SHA256 of "glioscope audit
trail 1". `audit.head` holds a link that is surely in the trail, so that a tail that was cut off is missed.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col, select

from glioscope.core import InputError, write_text

from ._keys import check_pseudonym, sync_folder
from ._roles import Actor
from ._tables import AuditRow

_ACTION: Final = re.compile(r"[a-z]+(_[a-z0-9]+)*")
_ACTION_LETTERS: Final = 40
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_GENESIS: Final = b"glioscope audit trail 1"
_MOST_PROBLEMS: Final = 20
_ROWS_AT_ONCE: Final = 2000


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What `AuditTrail.verify` found; `problems` is empty for a whole trail, else the first bad link comes first."""

    n_links: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Link:
    """A row as it was read: what is hashed but `previous`, and the two hashes."""

    seq: int
    words: tuple[str, ...]
    previous: str
    link: str


@dataclass(frozen=True, slots=True)
class _Head:
    """What `audit.head` says; `seq` 0 is the beginning."""

    seq: int
    link: str


class AuditTrail:
    """Append-only; several programs may append to one trail, each inside its own write transaction.

    Parameters
    ----------
    key : 32 bytes, `KeyRing.audit_key`.
    head : the file `audit.head`.
    clock : gives the time in UTC; it may jump, for order comes from the numbers.
    """

    def __init__(self, key: bytes, head: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._key = key
        self._head = head
        self._clock = clock
        self._genesis = hmac.digest(key, _GENESIS, "sha256").hex()

    @property
    def genesis(self) -> str:
        """What the first link hangs on; another in another store."""
        return self._genesis

    def append(
        self, session: Session, actor: Actor, action: str, *, case_id: str = "", specimen_id: str = "", digest: str = ""
    ) -> None:
        """Add a link inside the caller's write transaction, which alone decides whether it stays.

        `Database.writing` lets in one writer at a time, so that two programs keep to one chain.

        Parameters
        ----------
        action : lower-case words joined by underscores, at most 40 letters.
        case_id, specimen_id : pseudonyms, or empty.
        digest : SHA-256 of what was sealed or stored, 64 hexadecimal digits, or empty.

        Raises
        ------
        InputError : anything that could be free text.
        """
        _check_words(actor.account, action, case_id, specimen_id, digest)
        seq, previous = self._last(session)
        if seq == 0 and not self._head.exists():
            self._write_head(_Head(0, self._genesis))
        at = self._clock().astimezone(UTC).isoformat(timespec="milliseconds")
        words = (at, actor.account, action, case_id, specimen_id, digest)
        session.add(
            AuditRow(
                seq=seq + 1,
                at=at,
                account=actor.account,
                action=action,
                case_id=case_id,
                specimen_id=specimen_id,
                digest=digest,
                previous=previous,
                link=self._hash(seq + 1, words, previous),
            )
        )
        session.flush()

    def note_head(self, session: Session) -> None:
        """Write the newest link to `audit.head`; call it after the commit. If it is missed, the next one makes up.

        A head that the trail no longer holds is left as it is: else the next link would hide that a tail was cut off.
        """
        seq, link = self._last(session)
        head, problem = self._read_head()
        if problem or head.seq >= seq:
            return
        held = session.exec(select(AuditRow.link).where(AuditRow.seq == head.seq)).first()
        if held == head.link or (head.seq == 0 and head.link == self._genesis):
            self._write_head(_Head(seq, link))

    def verify(self, session: Session) -> AuditReport:
        """Walk the whole trail: every link, their order, and the head. Rows are read in blocks, never all at once.

        `session` must be a fresh one: what it reads may not be older than the head.
        """
        head, head_problem = self._read_head()  # before the rows, for other programs may append meanwhile
        problems: list[str] = []
        walk = _Walk(self._genesis)
        try:
            for link in _links(session):
                problems += walk.step(link, whole=link.link == self._hash(link.seq, link.words, link.previous))
                walk.at_head = link.link if link.seq == head.seq else walk.at_head
        except DBAPIError:
            unread = f"nothing can be read after link {walk.seq}: the database is damaged there, or soon after"
            return AuditReport(walk.n_links, _shortened([*problems, unread]))
        if walk.n_links or self._head.exists():
            problems += [head_problem] if head_problem else _cut_off(head, walk)
        return AuditReport(walk.n_links, _shortened(problems))

    def _last(self, session: Session) -> tuple[int, str]:
        newest = select(AuditRow.seq, AuditRow.link).order_by(col(AuditRow.seq).desc()).limit(1)
        return session.exec(newest).first() or (0, self._genesis)

    def _hash(self, seq: int, words: tuple[str, ...], previous: str) -> str:
        said = json.dumps([seq, *words, previous], separators=(",", ":"), default=repr).encode("ascii")
        return hmac.digest(self._key, said, "sha256").hex()

    def _head_code(self, head: _Head) -> str:
        return hmac.digest(self._key, f"head {head.seq} {head.link}".encode(), "sha256").hex()

    def _write_head(self, head: _Head) -> None:
        try:
            write_text(self._head, f"{head.seq} {head.link} {self._head_code(head)}\n")
            sync_folder(self._head.parent)
        except OSError as error:
            raise InputError(f"{self._head} cannot be written: {error.strerror}") from error

    def _read_head(self) -> tuple[_Head, str]:
        """The head and what is wrong with it."""
        nothing = _Head(0, self._genesis)
        try:
            seq, link, code = self._head.read_text(encoding="ascii").split()
            head = _Head(int(seq), link)
        except FileNotFoundError:
            return nothing, f"{self._head.name} is missing: links may have been cut off at the end"
        except ValueError:
            return nothing, f"{self._head.name} was changed: it is no head of a trail"
        except OSError as error:
            raise InputError(f"{self._head} cannot be read: {error.strerror}") from error
        if not hmac.compare_digest(code, self._head_code(head)):
            return nothing, f"{self._head.name} was changed: its keyed hash does not fit"
        return head, ""


class _Walk:
    """Where a walk along the trail stands."""

    def __init__(self, genesis: str) -> None:
        self.n_links = 0
        self.seq = 0
        self.at_head = genesis
        """The link with the number of the head; at first that of number 0."""
        self._link = genesis
        self._whole = True

    def step(self, link: _Link, *, whole: bool) -> list[str]:
        """Go to the next row; what is wrong with it. `whole`: its keyed hash fits."""
        problems = []
        missing = link.seq - self.seq - 1
        if missing > 0:
            problems.append(f"{missing} link{'s are' if missing > 1 else ' is'} missing before link {link.seq}")
        if not whole:
            problems.append(f"link {link.seq} was changed or inserted: its keyed hash does not fit what it says")
        elif self._whole and not missing and link.previous != self._link:
            problems.append(f"link {link.seq} does not follow link {self.seq}: one of them is of another trail")
        self.n_links += 1
        self.seq, self._link, self._whole = max(self.seq, link.seq), link.link, whole
        return problems


def _links(session: Session) -> Iterator[_Link]:
    columns = AuditRow.__table__.c  # type: ignore[attr-defined]
    rows = session.connection().execute(
        AuditRow.__table__.select().order_by(columns.seq),  # type: ignore[attr-defined]
        execution_options={"yield_per": _ROWS_AT_ONCE},
    )
    for row in rows:
        words = (row.at, row.account, row.action, row.case_id, row.specimen_id, row.digest)
        yield _Link(row.seq, words, row.previous, row.link)


def _cut_off(head: _Head, walk: _Walk) -> list[str]:
    if head.seq > walk.seq:
        return [f"links {walk.seq + 1} to {head.seq} were cut off at the end: audit.head knows link {head.seq}"]
    if walk.at_head != head.link:
        return [f"link {head.seq} is not the one that audit.head knows: the trail was cut off before it and continued"]
    return []


def _shortened(problems: list[str]) -> tuple[str, ...]:
    left = len(problems) - _MOST_PROBLEMS
    return tuple(problems if left <= 0 else [*problems[:_MOST_PROBLEMS], f"and {left} more"])


def _check_words(account: str, action: str, case_id: str, specimen_id: str, digest: str) -> None:
    check_pseudonym("account", account)
    if len(action) > _ACTION_LETTERS or not _ACTION.fullmatch(action):
        raise InputError(f"an action of the audit trail is words_like_this of up to {_ACTION_LETTERS} letters")
    for what, name in (("case", case_id), ("specimen", specimen_id)):
        if name:
            check_pseudonym(what, name)
    if digest and not _DIGEST.fullmatch(digest):
        raise InputError("a digest in the audit trail is the 64 hexadecimal digits of a SHA-256")


def sha256_of_words(*words: str) -> str:
    """SHA-256 of a JSON array of `words`, hex: a digest that can be made again from what it stands for."""
    return hashlib.sha256(json.dumps(words, separators=(",", ":")).encode()).hexdigest()

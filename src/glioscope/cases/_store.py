"""The case store: everything that happened in an operation, on disk before whoever wrote it is told so.

A store is a folder: `layout.json`, `store.sqlite3` (unless the rows are on a PostgreSQL server), `images/`, `keys/`,
`master.key`, `audit.head`. What is said of a patient is sealed under the key of its case; nothing is ever changed.
"""

import logging
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Self, TypeVar

from sqlalchemy import delete, func, update
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from glioscope.core import InputError

from ._accounts import Accounts
from ._audit import AuditTrail, sha256_of_words
from ._backup import LAYOUT_FILE, backup_store, begin_layout, check_layout, finish_layout, sqlite_url
from ._check import (
    RECORD_KIND,
    case_context,
    check_store,
    entry_context,
    open_case_record,
    open_entry,
    open_specimen,
    sha256_hex,
    specimen_context,
    sweep_store,
)
from ._database import Database
from ._images import ImageFolder
from ._keys import CaseErased, CaseKey, KeyRing, check_pseudonym
from ._logins import Logins
from ._records import (
    AnyEntry,
    Case,
    CaseRecord,
    CaseSummary,
    Entry,
    Pathology,
    Reading,
    Record,
    Specimen,
    SpecimenRecord,
)
from ._roles import Action, Actor
from ._tables import AuditRow, CaseRow, EntryRow, ImageRow, SpecimenRow

SLOTS: Final = ("fl", "wl")
_OF_THE_MACHINE: Final = ("unit", "unit_settings", "suite", "suite_sha256", "software")
"""What is no person's to amend: as it was when the case was opened."""
_MOST_AT_ONCE: Final = 1000
_LONGEST_REASON: Final = 2000
_LOG: Final = logging.getLogger("glioscope.cases")

Clock = Callable[[], datetime]
Row = TypeVar("Row", SpecimenRow, EntryRow)


class NoSuchCase(InputError):  # noqa: N818
    """There is no case, specimen or image of that name in the store."""


class CaseConflict(InputError):  # noqa: N818
    """Somebody else amended the record, or the same request was made with something else."""


class CaseStore:
    """Cases with their specimens, pictures and entries; safe to share between threads and between programs.

    Order comes from running numbers, never from times: the clock may jump. A repeated `request_id` finds what the first
    request stored. Whoever writes is checked against the table of roles (`NotAllowed`); reading takes no actor.

    Attributes
    ----------
    folder, database, keys, images, audit, accounts, logins : the parts.
    """

    def __init__(
        self,
        folder: Path,
        database: Database,
        keys: KeyRing,
        clock: Clock,
        *,
        idle_minutes: float,
        longest_hours: float,
    ) -> None:
        self.folder = folder
        self.database = database
        self.keys = keys
        self.images = ImageFolder(folder / "images")
        self.audit = AuditTrail(keys.audit_key, folder / "audit.head", clock=clock)
        self.accounts = Accounts(database, self.audit, clock=clock)
        self.logins = Logins(database, idle_minutes=idle_minutes, longest_hours=longest_hours, clock=clock)
        self._clock = clock
        self._aside = _pool()

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        url: str | None = None,
        create: bool = False,
        idle_minutes: float = 30.0,
        longest_hours: float = 12.0,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> Self:
        """Open the store in `folder`, bring an older one up to date and finish erasures that a crash interrupted.

        Parameters
        ----------
        url : of the PostgreSQL database that the store was made with; None: SQLite in the folder.
        create : make the store if there is none.
        idle_minutes, longest_hours : how long a session lasts without its browser, and in any case.
        clock : the wall clock, in UTC.

        Raises
        ------
        InputError : no store there, written by a newer glioscope, its master key missing, or its database out of reach.
        """
        folder = Path(folder)
        made = (folder / LAYOUT_FILE).exists()
        if made:
            check_layout(folder, url)
        elif not create:
            raise InputError(f"there is no case store in {folder}")
        else:
            begin_layout(folder)
        keys = KeyRing(folder, create=not made)
        database = Database(url or sqlite_url(folder))
        try:
            database.migrate()
            store = cls(folder, database, keys, clock, idle_minutes=idle_minutes, longest_hours=longest_hours)
            store._refuse_another()
            if not made:
                finish_layout(folder, sqlite=url is None)
            store._finish_erasures()
        except BaseException:
            database.close()
            raise
        return store

    def close(self) -> None:
        """Finish what is under way, and close the connections to the database."""
        self._aside.shutdown()
        self._aside = _pool()  # a store that is used again opens its connections again, too
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _refuse_another(self) -> None:
        """A database goes with one folder: under other keys its trail would be broken for good."""
        with self.database.session() as session:
            first = session.exec(select(AuditRow.previous).where(AuditRow.seq == 1)).first()
        if first not in (None, self.audit.genesis):
            raise InputError(f"the database belongs to another case store than {self.folder}: its trail has other keys")

    def note(self, actor: Actor, action: str, *, case_id: str = "") -> None:
        """Put into the trail what changes no case: a log-in, light on or off, a phantom check.

        Raises
        ------
        InputError : an action that is no word (small letters and "_"): nothing free gets into the trail.
        """
        with self._writing() as session:
            self.audit.append(session, actor, action, case_id=case_id)

    def open_case(
        self, actor: Actor, record: CaseRecord, *, data_kind: Literal["real", "simulated"], request_id: str
    ) -> Case:
        """Begin a case under a key of its own."""
        actor.check(Action.OPEN_CASE)
        check_pseudonym("request", request_id)
        if known := self._case_of(request_id):
            return self.case(known)
        case_id = f"c{secrets.token_hex(8)}"
        key = self.keys.new_case(case_id)
        row = CaseRow(
            case_id=case_id, data_kind=data_kind, opened_at=self._now(), opened_by=actor.account, version=1, sealed=b""
        )
        row.sealed = key.seal(_json(record), case_context(row))
        with self._writing() as session:
            if not _known(session, EntryRow, request_id):
                session.add(row)
                session.flush()
                self._keep_version(session, actor, row, key, record, request_id)
                self.audit.append(session, actor, Action.OPEN_CASE, case_id=case_id, digest=sha256_hex(row.sealed))
        return self.case(self._case_of(request_id))

    def amend_case(self, actor: Actor, case_id: str, record: CaseRecord, *, version: int) -> Case:
        """Give a case a new record; the older one is kept.

        Parameters
        ----------
        version : of the record that was amended, `Case.version`.

        Raises
        ------
        CaseConflict : somebody else amended it meanwhile.
        NoSuchCase, CaseErased : it is not there, or not any more.
        """
        actor.check(Action.AMEND_CASE)
        with self._writing() as session:
            row = _case_row(session, case_id)
            if row.version != version:
                raise CaseConflict(
                    f"the record of case {case_id} was amended by somebody else"
                    f" (version {row.version} now, yours was made from {version}): read it again"
                )
            key = self.keys.case(case_id)
            before = open_case_record(row, key)
            record = record.model_copy(update={name: getattr(before, name) for name in _OF_THE_MACHINE})
            row.version += 1
            row.sealed = key.seal(_json(record), case_context(row))
            session.add(row)
            self._keep_version(session, actor, row, key, record, secrets.token_hex(16))
            self.audit.append(session, actor, Action.AMEND_CASE, case_id=case_id, digest=sha256_hex(row.sealed))
        return self.case(case_id)

    def close_case(self, actor: Actor, case_id: str) -> Case:
        """End a case: it takes no more specimens. Closing a closed one changes nothing."""
        return self._set_closed(actor, case_id, "close_case", closed=True)

    def reopen_case(self, actor: Actor, case_id: str) -> Case:
        """Let a closed case take specimens again."""
        return self._set_closed(actor, case_id, "reopen_case", closed=False)

    def add_specimen(
        self,
        actor: Actor,
        case_id: str,
        record: SpecimenRecord,
        *,
        images: Mapping[str, bytes],
        request_id: str,
        specimen_id: str | None = None,
    ) -> Specimen:
        """Keep a specimen with its pictures; all of it is on disk before this returns.

        Parameters
        ----------
        record : its `images` is filled in here.
        images : "fl" and "wl" -> bytes of a PNG.
        request_id : of the key press; if a specimen was stored under it, that one is given, and nothing is stored.
        specimen_id : where the caller gave it a name already.

        Raises
        ------
        NoSuchCase, CaseErased, InputError : no such case, erased, or closed; disk full; nothing was stored.
        """
        actor.check(Action.TAKE)
        check_pseudonym("request", request_id)
        _check_slots(images)
        if found := self._asked_before(case_id, request_id):
            return found
        with self.database.session() as session:
            _refuse_closed(_case_row(session, case_id))
        key = self.keys.case(case_id)
        sizes = {slot: len(data) for slot, data in images.items()}
        # Side by side, for each waits for the disk.
        kept_aside = {slot: self._aside.submit(self.images.put, key, data) for slot, data in images.items()}
        wait(kept_aside.values())
        names = {slot: kept.result() for slot, kept in kept_aside.items()}
        kept = record.model_copy(update={"images": names})
        with self._writing(urgent=True) as session:
            if _known(session, SpecimenRow, request_id):
                row = None
            else:
                row = self._new_specimen(session, actor, case_id, request_id, specimen_id)
                row.sealed = key.seal(_json(kept), specimen_context(row))
                session.add(row)
                session.add_all(ImageRow(name=names[slot], case_id=case_id, size=sizes[slot]) for slot in names)
                session.flush()
                self.audit.append(
                    session,
                    actor,
                    Action.TAKE,
                    case_id=case_id,
                    specimen_id=row.specimen_id,
                    digest=sha256_hex(row.sealed),
                )
        if row is None:  # the same request came twice at once, and the other was first
            for name in names.values():
                self.images.delete(name)
            return self._asked_before(case_id, request_id) or self._lost(request_id)
        return _specimen(row, kept, ())

    def add_entry(self, actor: Actor, specimen_id: str, said: AnyEntry, *, request_id: str) -> Specimen:
        """Keep what is said of a specimen later; also of one in a closed case.

        Raises
        ------
        NotAllowed : the role does not reach for this kind of entry.
        NoSuchCase, CaseErased : no such specimen, or its case was erased.
        InputError : a reading or an opinion in the name of another account.
        """
        actor.check(_action_of(said))
        _check_own(actor, said)
        check_pseudonym("request", request_id)
        with self._writing() as session:
            specimen = _specimen_row(session, specimen_id)
            found = _known(session, EntryRow, request_id)
            if found and found.specimen_id != specimen_id:
                raise CaseConflict(f"request {request_id} was made for another specimen already")
            if not found:
                case = _case_row(session, specimen.case_id)
                key = self.keys.case(case.case_id)
                if isinstance(said, Reading):
                    owed = said.before_answer and _is_owed(session, case, key, specimen_id, actor)
                    said = said.model_copy(update={"before_answer": owed})
                row = self._entry_row(actor, specimen.case_id, specimen_id, said.kind, request_id)
                row.sealed = key.seal(_json(said), entry_context(row))
                session.add(row)
                session.flush()
                self.audit.append(
                    session,
                    actor,
                    _action_of(said),
                    case_id=specimen.case_id,
                    specimen_id=specimen_id,
                    digest=sha256_hex(row.sealed),
                )
        return self.specimen(specimen_id)

    def summaries(self, *, limit: int = 200, offset: int = 0) -> list[CaseSummary]:
        """List cases, the newest first.

        Parameters
        ----------
        limit, offset : how many, up to 1000, and how many newer ones to leave out.
        """
        if not 1 <= limit <= _MOST_AT_ONCE or offset < 0:
            raise InputError(f"a list has 1 to {_MOST_AT_ONCE} cases from 0 on, not {limit} from {offset}")
        opened = (
            select(EntryRow.case_id, func.min(EntryRow.seq).label("seq"))
            .where(col(EntryRow.specimen_id).is_(None))
            .group_by(EntryRow.case_id)
            .subquery()
        )
        counted = select(func.count()).where(SpecimenRow.case_id == CaseRow.case_id).scalar_subquery()
        with self.database.session() as session:
            rows = session.exec(
                select(CaseRow, counted)
                .join(opened, opened.c.case_id == CaseRow.case_id)
                .order_by(opened.c.seq.desc())
                .limit(limit)
                .offset(offset)
            ).all()
        return [self._summary(row, n_specimens) for row, n_specimens in rows]

    def case(self, case_id: str) -> Case:
        """Read a case with its specimens and what was said of them.

        Raises
        ------
        NoSuchCase, CaseErased : it is not there, or not any more.
        InputError : something of it was changed outside the store; `check` says what.
        """
        with self.database.session() as session:
            row = _case_row(session, case_id)
            specimens = session.exec(
                select(SpecimenRow).where(SpecimenRow.case_id == case_id).order_by(col(SpecimenRow.number))
            ).all()
            entries = session.exec(_entries().where(EntryRow.case_id == case_id)).all()
        key = self.keys.case(case_id)
        said = _by_specimen(entries, key)
        return Case(
            case_id=case_id,
            data_kind=row.data_kind,
            opened_at=datetime.fromisoformat(row.opened_at),
            opened_by=row.opened_by,
            closed_at=_time(row.closed_at),
            version=row.version,
            record=open_case_record(row, key),
            specimens=tuple(_specimen(s, open_specimen(s, key), said[s.specimen_id]) for s in specimens),
        )

    def specimen(self, specimen_id: str) -> Specimen:
        """Read a specimen with what was said of it.

        Raises
        ------
        NoSuchCase, CaseErased : it is not there, or not any more.
        """
        with self.database.session() as session:
            row = _specimen_row(session, specimen_id)
            entries = session.exec(_entries().where(EntryRow.specimen_id == specimen_id)).all()
        key = self.keys.case(row.case_id)
        return _specimen(row, open_specimen(row, key), _by_specimen(entries, key)[specimen_id])

    def find_request(self, request_id: str) -> Specimen | None:
        """The specimen that was stored under a request; None: none was."""
        check_pseudonym("request", request_id)
        with self.database.session() as session:
            row = _known(session, SpecimenRow, request_id)
        return self.specimen(row.specimen_id) if row else None

    def image(self, case_id: str, name: str) -> bytes:
        """Bytes of a picture as they were given.

        Raises
        ------
        NoSuchCase, CaseErased : no such picture in that case, or the case was erased.
        InputError : the picture is missing or changed.
        """
        with self.database.session() as session:
            _case_row(session, case_id)
            found = session.exec(select(ImageRow.case_id).where(ImageRow.name == _plain(name))).first()
        if found != case_id:
            raise NoSuchCase(f"case {case_id} has no such picture")
        return self.images.get(self.keys.case(case_id), name)

    def erase_case(self, actor: Actor, case_id: str, reason: str) -> None:
        """Destroy the key, the pictures and all that was sealed of a case; the audit trail stays whole.

        Parameters
        ----------
        reason : the words on paper behind it, up to 2000 letters; only their SHA-256 is kept, in the trail.

        Raises
        ------
        NoSuchCase : there was no such case. Erasing an erased one destroys what may be left.
        InputError : no reason.
        """
        actor.check(Action.ERASE)
        if not 1 <= len(reason.strip()) <= _LONGEST_REASON:
            raise InputError(f"say why the case is erased, in 1 to {_LONGEST_REASON} letters")
        with self._writing() as session:
            row = _case_row(session, case_id, erased=True)
            if row.erased_at is None:
                _blank(session, row, self._now())
                digest = sha256_of_words(reason.strip())
                self.audit.append(session, actor, Action.ERASE, case_id=case_id, digest=digest)
        self._destroy([case_id])

    def check(self) -> list[str]:
        """Look at everything in the store; a sentence for each problem. Takes minutes where there are many pictures."""
        return check_store(self)

    def sweep(self) -> int:
        """Remove pictures and keys that crashes left without their rows, if older than an hour; gives how many."""
        return sweep_store(self)

    def backup(self, to: Path | str) -> list[str]:
        """Copy the store to the new folder `to`, while it is in use; see `backup_store`."""
        return backup_store(self, Path(to))

    @contextmanager
    def _writing(self, *, urgent: bool = False) -> Iterator[Session]:
        """Give a write transaction; afterwards the head of the trail is noted, which may fail and lag without harm.

        What is urgent does not wait for that.
        """
        with self.database.writing() as session:
            yield session
        if urgent:
            self._aside.submit(self._note_head)
        else:
            self._note_head()

    def _note_head(self) -> None:
        try:
            with self.database.session() as session:
                self.audit.note_head(session)
        except InputError:
            _LOG.warning("audit.head was not written; the rows of the trail were", exc_info=True)

    def _now(self) -> str:
        return self._clock().astimezone(UTC).isoformat(timespec="milliseconds")

    def _case_of(self, request_id: str) -> str:
        with self.database.session() as session:
            found = _known(session, EntryRow, request_id)
        if found and found.specimen_id is not None:
            raise CaseConflict(f"request {request_id} was made for a specimen already")
        return found.case_id if found else ""

    def _asked_before(self, case_id: str, request_id: str) -> Specimen | None:
        found = self.find_request(request_id)
        if found and found.case_id != case_id:
            raise CaseConflict(f"request {request_id} was made for another case already")
        return found

    def _lost(self, request_id: str) -> Specimen:
        raise InputError(f"the specimen of request {request_id} is not in the store any more")

    def _new_specimen(
        self, session: Session, actor: Actor, case_id: str, request_id: str, specimen_id: str | None
    ) -> SpecimenRow:
        _refuse_closed(_case_row(session, case_id))
        if specimen_id is not None:
            check_pseudonym("specimen", specimen_id)
            if session.get(SpecimenRow, specimen_id):
                raise CaseConflict(f"there is a specimen {specimen_id} already")
        last = session.exec(select(func.max(SpecimenRow.number)).where(SpecimenRow.case_id == case_id)).one()
        return SpecimenRow(
            specimen_id=specimen_id or f"s{secrets.token_hex(8)}",
            case_id=case_id,
            number=(last or 0) + 1,
            request_id=request_id,
            taken_at=self._now(),
            account=actor.account,
            sealed=b"",
        )

    def _entry_row(self, actor: Actor, case_id: str, specimen_id: str | None, kind: str, request_id: str) -> EntryRow:
        return EntryRow(
            entry_id=f"e{secrets.token_hex(8)}",
            case_id=case_id,
            specimen_id=specimen_id,
            request_id=request_id,
            kind=kind,
            at=self._now(),
            account=actor.account,
            sealed=b"",
        )

    def _keep_version(
        self, session: Session, actor: Actor, case: CaseRow, key: CaseKey, record: CaseRecord, request_id: str
    ) -> None:
        row = self._entry_row(actor, case.case_id, None, RECORD_KIND, request_id)
        row.sealed = key.seal(_json(record), entry_context(row))
        session.add(row)
        session.flush()

    def _set_closed(self, actor: Actor, case_id: str, action: str, *, closed: bool) -> Case:
        actor.check(Action.CLOSE_CASE)
        with self._writing() as session:
            row = _case_row(session, case_id)
            if (row.closed_at is not None) != closed:
                row.closed_at = self._now() if closed else None
                session.add(row)
                self.audit.append(session, actor, action, case_id=case_id)
        return self.case(case_id)

    def _summary(self, row: CaseRow, n_specimens: int) -> CaseSummary:
        patient_id = None
        if row.erased_at is None:
            with suppress(InputError):  # erased since the rows were read, or damaged: `check` says so
                patient_id = open_case_record(row, self.keys.case(row.case_id)).patient_id
        return CaseSummary(
            case_id=row.case_id,
            data_kind=row.data_kind,
            patient_id=patient_id,
            opened_at=datetime.fromisoformat(row.opened_at),
            closed_at=_time(row.closed_at),
            erased_at=_time(row.erased_at),
            n_specimens=n_specimens,
        )

    def _finish_erasures(self) -> None:
        """What the trail calls erased is erased, also if the machine stopped before it was."""
        with self.database.session() as session:
            erased = session.exec(select(CaseRow.case_id).where(col(CaseRow.erased_at).is_not(None))).all()
            pictured = set(session.exec(select(ImageRow.case_id).where(col(ImageRow.case_id).in_(erased))).all())
        left = [case_id for case_id in erased if case_id in pictured or self._has_key(case_id)]
        if left:
            self._destroy(left)

    def _has_key(self, case_id: str) -> bool:
        try:
            self.keys.case(case_id)
        except CaseErased:
            return False
        return True

    def _destroy(self, case_ids: list[str]) -> None:
        """Keys first: without them the rest is noise."""
        for case_id in case_ids:
            self.keys.erase(case_id)
        of_cases = col(ImageRow.case_id).in_(case_ids)
        with self.database.session() as session:
            names = session.exec(select(ImageRow.name).where(of_cases)).all()
        for name in names:
            self.images.delete(name)
        with self.database.writing() as session:
            session.execute(delete(ImageRow).where(of_cases))
        self.database.checkpoint()


def _case_row(session: Session, case_id: str, *, erased: bool = False) -> CaseRow:
    row = session.get(CaseRow, _plain(case_id))
    if row is None:
        raise NoSuchCase(f"there is no case {_plain(case_id)}")
    if row.erased_at is not None and not erased:
        raise CaseErased(case_id)
    return row


def _specimen_row(session: Session, specimen_id: str) -> SpecimenRow:
    row = session.get(SpecimenRow, _plain(specimen_id))
    if row is None:
        raise NoSuchCase(f"there is no specimen {_plain(specimen_id)}")
    return row


def _plain(name: str) -> str:
    """What is no pseudonym is not looked up, nor repeated."""
    check_pseudonym("record", name)
    return name


def _known(session: Session, table: type[Row], request_id: str) -> Row | None:
    return session.exec(select(table).where(table.request_id == request_id)).first()


def _entries() -> SelectOfScalar[EntryRow]:
    """What was said of specimens, oldest first; without the versions of the case's record."""
    return select(EntryRow).where(col(EntryRow.specimen_id).is_not(None)).order_by(col(EntryRow.seq))


def _by_specimen(rows: Iterable[EntryRow], key: CaseKey) -> dict[str | None, tuple[Entry, ...]]:
    said: dict[str | None, tuple[Entry, ...]] = defaultdict(tuple)
    for row in rows:
        at = datetime.fromisoformat(row.at)
        entry = Entry.model_construct(entry_id=row.entry_id, account=row.account, at=at, said=open_entry(row, key))
        said[row.specimen_id] += (entry,)
    return said


def _specimen(row: SpecimenRow, record: SpecimenRecord, entries: tuple[Entry, ...]) -> Specimen:
    return Specimen(
        specimen_id=row.specimen_id,
        case_id=row.case_id,
        number=row.number,
        taken_at=datetime.fromisoformat(row.taken_at),
        account=row.account,
        record=record,
        entries=entries,
    )


def _blank(session: Session, row: CaseRow, at: str) -> None:
    row.erased_at = at
    row.sealed = b""
    session.add(row)
    for table in (SpecimenRow, EntryRow):
        session.execute(update(table).where(col(table.case_id) == row.case_id).values(sealed=b""))


def _refuse_closed(row: CaseRow) -> None:
    if row.closed_at is not None:
        raise InputError(f"case {row.case_id} is closed: reopen it to take another specimen")


def _check_slots(images: Mapping[str, bytes]) -> None:
    unknown = sorted(set(images) - set(SLOTS))
    if unknown:
        raise InputError(f"a specimen has the pictures {' and '.join(SLOTS)}, not {unknown[0]!r}")


def _action_of(said: AnyEntry) -> Action:
    if isinstance(said, Reading):
        return Action.GIVE_READING
    return Action.GIVE_PATHOLOGY if isinstance(said, Pathology) else Action.REVISE


def _check_own(actor: Actor, said: AnyEntry) -> None:
    if isinstance(said, Reading) and said.reader != actor.account:
        raise InputError(f"{actor.account} cannot give a reading in the name of {said.reader}")
    if isinstance(said, Pathology) and not said.consensus and said.pathologist != actor.account:
        raise InputError(f"{actor.account} cannot give an opinion in the name of {said.pathologist}")


def _json(record: Record) -> bytes:
    return record.model_dump_json().encode()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _pool() -> ThreadPoolExecutor:
    """Threads for the pictures of a specimen, and one for the head of the trail."""
    return ThreadPoolExecutor(len(SLOTS) + 1, "case store")


def _is_owed(session: Session, case: CaseRow, key: CaseKey, specimen_id: str, actor: Actor) -> bool:
    """Whether a reading comes before its reader could see the answer: a blind case, still open, the first word."""
    first = select(EntryRow.seq).where(
        EntryRow.specimen_id == specimen_id, EntryRow.kind == "reading", EntryRow.account == actor.account
    )
    never_closed = case.closed_at is None and not _was_closed(session, case.case_id)
    return open_case_record(case, key).blind_reading and never_closed and session.exec(first).first() is None


def _was_closed(session: Session, case_id: str) -> bool:
    closed = select(AuditRow.seq).where(AuditRow.case_id == case_id, AuditRow.action == Action.CLOSE_CASE)
    return session.exec(closed).first() is not None

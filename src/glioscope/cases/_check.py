"""Opening what is sealed, and the check of a whole store: every row opens, every picture is there, the trail is whole.

What is sealed is bound to its row: in another one, or with another number, time or account, it does not open.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter, ValidationError
from sqlmodel import Session, col, select

from glioscope.core import InputError

from ._keys import CaseErased, CaseKey
from ._records import AnyEntry, CaseRecord, SpecimenRecord
from ._roles import Action
from ._tables import AuditRow, CaseRow, EntryRow, ImageRow, SpecimenRow

if TYPE_CHECKING:
    from ._store import CaseStore

RECORD_KIND: Final = "record"
"""Kind of the entry that keeps a version of a case's record; it has no specimen."""
_RECORD_ACTIONS: Final = frozenset({Action.OPEN_CASE, Action.AMEND_CASE})
_SPECIMEN_ACTIONS: Final = frozenset({Action.TAKE, Action.REVISE, Action.GIVE_READING, Action.GIVE_PATHOLOGY})
ORPHAN: Final = "orphan"
"""First word of a sentence about what a crash left behind: it does no harm, and `CaseStore.sweep` removes it."""
ORPHAN_AGE_S: Final = 3600.0
"""What is younger may be getting its row just now."""
_ENTRY: Final[TypeAdapter[AnyEntry]] = TypeAdapter(AnyEntry)


def case_context(row: CaseRow) -> str:
    """What the record of a case is bound to."""
    return _context("case", row.case_id, row.data_kind, row.opened_at, row.opened_by, row.version)


def specimen_context(row: SpecimenRow) -> str:
    """What the record of a specimen is bound to."""
    return _context("specimen", row.case_id, row.specimen_id, row.number, row.taken_at, row.account, row.request_id)


def entry_context(row: EntryRow) -> str:
    """What an entry is bound to: who said it, when, of which specimen."""
    return _context("entry", row.case_id, row.specimen_id, row.entry_id, row.kind, row.at, row.account, row.request_id)


def open_case_record(row: CaseRow, key: CaseKey) -> CaseRecord:
    """Unseal the record of a case; InputError: changed, or of a newer glioscope."""
    with _readable(f"the record of case {row.case_id}"):
        return CaseRecord.model_validate_json(key.open(row.sealed, case_context(row)))


def open_specimen(row: SpecimenRow, key: CaseKey) -> SpecimenRecord:
    """Unseal the record of a specimen; InputError: changed, or of a newer glioscope."""
    with _readable(f"specimen {row.specimen_id}"):
        return SpecimenRecord.model_validate_json(key.open(row.sealed, specimen_context(row)))


def open_entry(row: EntryRow, key: CaseKey) -> AnyEntry:
    """Unseal what was said of a specimen; InputError: changed, or of a newer glioscope."""
    with _readable(f"entry {row.entry_id}"):
        return _ENTRY.validate_json(key.open(row.sealed, entry_context(row)))


def open_version(row: EntryRow, key: CaseKey) -> CaseRecord:
    """Unseal a version of a case's record; InputError: changed, or of a newer glioscope."""
    with _readable(f"entry {row.entry_id}"):
        return CaseRecord.model_validate_json(key.open(row.sealed, entry_context(row)))


def sha256_hex(sealed: bytes) -> str:
    """SHA-256 of what was sealed, as the audit trail keeps it."""
    return hashlib.sha256(sealed).hexdigest()


def check_store(store: "CaseStore") -> list[str]:
    """Look at everything; a sentence for each problem, those about orphans last.

    Returns
    -------
    list of str : empty for a whole store.
    """
    folder_names = set(store.images.names())  # before the rows: a picture is there before its row
    key_files = _key_files(store.folder)
    with store.database.session() as fresh:  # what is verified may not be older than the head
        trail = list(store.audit.verify(fresh).problems)
    with store.database.session() as session:
        case_ids = session.exec(select(CaseRow.case_id).order_by(CaseRow.case_id)).all()
        image_rows = {row.name: row.case_id for row in session.exec(select(ImageRow)).all()}
        problems = store.database.problems(session) + trail
        for case_id in case_ids:
            problems += _CaseCheck(store, session, case_id).problems()
    problems += [damage for name in sorted(image_rows) if (damage := store.images.damaged(name))]
    orphans = len(folder_names - set(image_rows))
    if orphans:
        problems.append(f"{ORPHAN} images: {orphans}, stored for specimens that never were; a sweep removes them")
    lost = sorted(set(key_files) - set(case_ids))
    if lost:
        problems.append(f"{ORPHAN} keys: {len(lost)}, made for cases that never were; a sweep removes them")
    return problems


def sweep_store(store: "CaseStore") -> int:
    """Remove images and keys that have no row and are older than an hour; gives how many."""
    old = [name for name in store.images.names() if store.images.modified_s_ago(name) > ORPHAN_AGE_S]
    keys = {case_id: path for case_id, path in _key_files(store.folder).items() if _age_s(path) > ORPHAN_AGE_S}
    with store.database.session() as session:
        named = set(session.exec(select(ImageRow.name)).all())
        cases = set(session.exec(select(CaseRow.case_id)).all())
    orphans = [name for name in old if name not in named]
    lost = [case_id for case_id in keys if case_id not in cases]
    for name in orphans:
        store.images.delete(name)
    for case_id in lost:
        store.keys.erase(case_id)
    return len(orphans) + len(lost) + store.images.sweep(older_than_s=ORPHAN_AGE_S)


class _CaseCheck:
    """One case: its rows, and what the trail knows of them."""

    def __init__(self, store: "CaseStore", session: Session, case_id: str) -> None:
        self._store = store
        self._row = session.exec(select(CaseRow).where(CaseRow.case_id == case_id)).one()
        of_case = select(SpecimenRow).where(SpecimenRow.case_id == case_id)
        self._specimens = session.exec(of_case.order_by(col(SpecimenRow.number))).all()
        self._entries = session.exec(select(EntryRow).where(EntryRow.case_id == case_id)).all()
        images = select(ImageRow.name).where(ImageRow.case_id == case_id)
        self._images = set(session.exec(images).all())
        self._trail = session.exec(
            select(AuditRow.specimen_id, AuditRow.action, AuditRow.digest)
            .where(AuditRow.case_id == case_id)
            .order_by(col(AuditRow.seq))
        ).all()
        session.expunge_all()

    def problems(self) -> list[str]:
        case_id = self._row.case_id
        found = self._gaps()
        try:
            key = self._store.keys.case(case_id)
        except CaseErased:
            return found + self._left_over()
        except InputError as error:
            return [*found, str(error)]
        if self._row.erased_at is not None:
            return [*found, f"case {case_id} is erased and its key is there still: open the store again to destroy it"]
        return found + self._unopened(key)

    def _gaps(self) -> list[str]:
        numbers = [row.number for row in self._specimens]
        if numbers == list(range(1, len(numbers) + 1)):
            return []
        missing = sorted(set(range(1, max(numbers) + 1)) - set(numbers))
        return [f"case {self._row.case_id} misses specimens {', '.join(map(str, missing))}"]

    def _left_over(self) -> list[str]:
        case_id = self._row.case_id
        if self._row.erased_at is None:
            return [f"the key of case {case_id} was destroyed, but the case was not erased: restore it from a backup"]
        sealed = [self._row.sealed, *(row.sealed for row in self._specimens), *(row.sealed for row in self._entries)]
        left = sum(map(bool, sealed)) + len(self._images)
        return [f"case {case_id} is erased, but {left} of its records are there still"] if left else []

    def _unopened(self, key: CaseKey) -> list[str]:
        found = _attempt(lambda: open_case_record(self._row, key))
        used: set[str] = set()
        for row in self._specimens:
            try:
                used |= set(open_specimen(row, key).images.values())
            except InputError as error:
                found.append(str(error))
        for entry in self._entries:
            found += _attempt(partial(_open_any, entry, key))
        found += [f"image {name} of case {self._row.case_id} has no row" for name in sorted(used - self._images)]
        found += [f"image {name} belongs to no specimen of its case" for name in sorted(self._images - used)]
        return found + self._untold()

    def _untold(self) -> list[str]:
        """What an older copy holds opens too, and a row that was deleted is not missed: the trail knows both."""
        case_id = self._row.case_id
        records = [digest for _, action, digest in self._trail if action in _RECORD_ACTIONS]
        told = {(specimen_id, digest) for specimen_id, action, digest in self._trail if action in _SPECIMEN_ACTIONS}
        held = {(row.specimen_id, sha256_hex(row.sealed)) for row in self._specimens}
        held |= {(row.specimen_id or "", sha256_hex(row.sealed)) for row in self._entries if row.kind != RECORD_KIND}
        found = []
        if records[-1:] != [sha256_hex(self._row.sealed)]:
            found.append(f"the record of case {case_id} is not the one that the audit trail says was written last")
        for specimen_id, _ in sorted(held - told):
            found.append(f"specimen {specimen_id} has a record or an entry that the audit trail does not know")
        for specimen_id, _ in sorted(told - held):
            found.append(f"specimen {specimen_id} lacks a record or an entry that the audit trail knows")
        return found


def _attempt(opening: Callable[[], object]) -> list[str]:
    try:
        opening()
    except InputError as error:
        return [str(error)]
    return []


def _open_any(row: EntryRow, key: CaseKey) -> object:
    return open_version(row, key) if row.kind == RECORD_KIND else open_entry(row, key)


def _key_files(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in (folder / "keys").glob("*.key")}


def _age_s(path: Path) -> float:
    return time.time() - path.stat().st_mtime


@contextmanager
def _readable(what: str) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise InputError(
            f"{what} holds what this glioscope does not know; install the version that wrote it"
        ) from error


def _context(*words: str | int | None) -> str:
    """Unambiguous: no word can pass for two."""
    return json.dumps(words, separators=(",", ":"))

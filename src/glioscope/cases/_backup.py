"""The folder of a store as a whole: what makes it one, its backup while it is in use, and the way back.

A backup is a store itself, with its rows in SQLite, whatever the store has them in.
"""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, insert, select, text
from sqlalchemy.engine import URL
from sqlmodel import SQLModel, col

from glioscope.core import InputError, atomic_folder, write_text

from ._check import ORPHAN
from ._database import Database
from ._keys import sync_folder
from ._tables import CaseRow, ImageRow

if TYPE_CHECKING:
    from ._store import CaseStore

LAYOUT: Final = 1
"""Of the folder; the database has a schema number of its own."""
LAYOUT_FILE: Final = "layout.json"
DATABASE_FILE: Final = "store.sqlite3"
HEAD_FILE: Final = "audit.head"
_BEGUN: Final = frozenset(
    {"images", "keys", "master.key", HEAD_FILE} | {DATABASE_FILE + end for end in ("", "-wal", "-shm", "-journal")}
)
"""What an interrupted creation may have left."""
_ROWS_AT_ONCE: Final = 1000


def begin_layout(folder: Path) -> None:
    """Make the folder of a new store; InputError: it has something else in it, or cannot be made."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        foreign = sorted(path.name for path in folder.iterdir() if path.name not in _BEGUN)
        sync_folder(folder.parent)
    except OSError as error:
        raise InputError(f"a case store cannot be made in {folder}: {error.strerror}") from error
    if foreign:
        raise InputError(f"{folder} is no case store and not empty ({foreign[0]}): give a new folder")


def finish_layout(folder: Path, *, sqlite: bool) -> None:
    """Write what makes a folder a store, last of all: one without it was not finished."""
    try:
        kind = "sqlite" if sqlite else "postgresql"
        write_text(folder / LAYOUT_FILE, json.dumps({"layout": LAYOUT, "database": kind}) + "\n")
        sync_folder(folder)
    except OSError as error:
        raise InputError(f"{folder / LAYOUT_FILE} cannot be written: {error.strerror}") from error


def check_layout(folder: Path, url: str | None) -> None:
    """Raise InputError unless this program knows the layout of `folder`, and its rows are where `url` says."""
    path = folder / LAYOUT_FILE
    try:
        layout: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        number, kind = int(layout["layout"]), str(layout["database"])
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is damaged: restore it from a backup") from error
    if number > LAYOUT:
        raise InputError(
            f"{folder} has layout {number}, this glioscope knows up to {LAYOUT}: install the version that wrote it"
        )
    if kind == "sqlite" and url is not None:
        raise InputError(f"the rows of {folder} are in its own {DATABASE_FILE}: leave the URL out")
    if kind != "sqlite" and url is None:
        raise InputError(f"the rows of {folder} are in PostgreSQL: give its URL")
    if kind == "sqlite" and not (folder / DATABASE_FILE).exists():
        raise InputError(f"{folder / DATABASE_FILE} is missing: restore it from a backup")


def sqlite_url(folder: Path) -> str:
    """URL of the database in a store's own folder."""
    return URL.create("sqlite", database=str(folder.absolute() / DATABASE_FILE)).render_as_string()


def backup_store(store: "CaseStore", to: Path) -> list[str]:
    """Copy a store to the new folder `to` while it is in use; the folder has its name only once all of it is on disk.

    The master key is copied if it lies in the store. A key that lies elsewhere has to be kept by whoever put it there.

    Returns
    -------
    list of str : what `CaseStore.check` finds in the copy: empty for a good backup. A damaged store is copied as it is.

    Raises
    ------
    InputError : there is something at `to`, or it cannot be written.
    """
    _refuse_existing(to)
    try:
        with atomic_folder(to) as copy:
            problems = _copy_store(store, copy)
        to.chmod(0o700)
        sync_folder(to.parent)
    except OSError as error:
        raise InputError(f"the backup {to} cannot be written: {error.strerror}") from error
    return problems


def restore(backup: Path | str, to: Path | str, *, url: str | None = None, damaged: bool = False) -> None:
    """Make a store from a backup, after checking all of it; the backup stays as it is.

    Parameters
    ----------
    backup : folder that `CaseStore.backup` made.
    to : new folder.
    url : empty PostgreSQL database for the rows; None: SQLite in the folder.
    damaged : restore a backup with problems all the same.

    Raises
    ------
    InputError : `backup` is no store or is damaged, or there is something at `to` or in the database.
    """
    backup, to = Path(backup), Path(to)
    if not (backup / LAYOUT_FILE).exists():
        raise InputError(f"{backup} is no backup of a case store")
    check_layout(backup, None)
    _refuse_existing(to)
    try:
        with atomic_folder(to) as copy:
            _copy_files(backup, copy, _all_files(backup))
            problems = [problem for problem in _problems(copy) if not problem.startswith(ORPHAN)]
            if problems and not damaged:
                more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
                raise InputError(f"the backup {backup} is damaged: {problems[0]}{more}")
            if url is not None:
                _move_rows(copy, url)
        to.chmod(0o700)
        sync_folder(to.parent)
    except OSError as error:
        raise InputError(f"{to} cannot be written: {error.strerror}") from error


def _problems(folder: Path) -> list[str]:
    from ._store import CaseStore

    with CaseStore.open(folder) as store:
        return store.check()


def _all_files(folder: Path) -> list[str]:
    """Without SQLite's shared memory, which is of whoever has the database open."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(path) for path in files if not path.name.endswith("-shm"))


def _move_rows(folder: Path, url: str) -> None:
    source, target = Database(sqlite_url(folder)), Database(url)
    with closing(source), closing(target):
        target.migrate()
        _copy_rows(source, target)
    finish_layout(folder, sqlite=False)
    for path in folder.glob(f"{DATABASE_FILE}*"):
        path.unlink()


def _refuse_existing(to: Path) -> None:
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise InputError(f"{to} is there already: give a new folder")


def _copy_store(store: "CaseStore", copy: Path) -> list[str]:
    # The head first: it may lag behind the rows, and must not be ahead of them. The rows before what they name.
    _copy_files(store.folder, copy, [HEAD_FILE] if (store.folder / HEAD_FILE).exists() else [])
    _copy_database(store, copy)
    database = Database(sqlite_url(copy))
    with closing(database), database.session() as session:
        names = session.execute(select(col(ImageRow.name))).scalars().all()
        cases = set(session.execute(select(col(CaseRow.case_id))).scalars().all())
    # Not the key of a case that is being opened just now: its row is not in the copy.
    files = (path for path in (store.folder / "keys").iterdir() if path.suffix != ".key" or path.stem in cases)
    keys = sorted(path.relative_to(store.folder) for path in files)
    own_key = [store.keys.master_file.name] if store.keys.master_file.parent == store.folder else []
    _copy_files(store.folder, copy, [*own_key, *map(str, keys)])
    _copy_files(store.folder, copy, (f"images/{name[:2]}/{name}" for name in names if not store.images.damaged(name)))
    finish_layout(copy, sqlite=True)
    return _problems(copy)


def _copy_files(source: Path, target: Path, names: Iterable[str]) -> None:
    folders = {target}
    for name in names:
        path = target / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy2(source / name, path)
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
        folders |= {path.parent, path.parent.parent}
    for folder in folders:
        sync_folder(folder)


def _copy_database(store: "CaseStore", copy: Path) -> None:
    if not store.database.is_sqlite:
        target = Database(sqlite_url(copy))
        with closing(target):
            target.migrate()
            _copy_rows(store.database, target)
        return
    try:
        with (
            closing(sqlite3.connect(store.folder / DATABASE_FILE)) as source,
            closing(sqlite3.connect(copy / DATABASE_FILE)) as target_connection,
        ):
            source.backup(target_connection)
    except sqlite3.Error as error:
        raise InputError(f"the database of {store.folder} cannot be copied: {error}") from error


def _copy_rows(source: Database, target: Database) -> None:
    """Copy all tables, as they are at one moment, into an empty database."""
    with source.session() as old, target.writing() as new:
        for table in SQLModel.metadata.sorted_tables:
            if new.execute(select(func.count()).select_from(table)).scalar_one():
                raise InputError(f"the database has {table.name} already: give an empty one")
            rows = old.execute(select(table), execution_options={"yield_per": _ROWS_AT_ONCE})
            for part in rows.mappings().partitions():
                new.execute(insert(table), [dict(row) for row in part])
        if not target.is_sqlite:
            newest = "SELECT setval('entries_seq_seq', (SELECT coalesce(max(seq), 0) + 1 FROM entries), false)"
            new.execute(text(newest))

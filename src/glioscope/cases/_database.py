"""The database of a case store: SQLite in the store's folder, or PostgreSQL by URL, behind the same two transactions.

`session()` reads one consistent state. `writing()` is the only way to change anything: one writer at a time, in both
databases, so that running numbers and the audit trail need no other lock. What was committed is on disk.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlmodel import Session

from glioscope.core import InputError

LOCK_TIMEOUT_S: Final = 5
_IMMEDIATE: Final = "glioscope_immediate"
_PRAGMAS: Final = (
    f"PRAGMA busy_timeout = {LOCK_TIMEOUT_S * 1000}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
)
_LOCKED: Final = f"the case store is locked by another program for over {LOCK_TIMEOUT_S} s; try again"
_FULL: Final = "the disk of the case store is full; nothing was stored: make room and try again"
_READ_ONLY: Final = "the case store is read-only; nothing was stored: check who owns its folder and how it is mounted"
_DAMAGED: Final = "the database of the case store is damaged; restore the newest backup"
_SQLITE_SENTENCES: Final = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_CANTOPEN: "the database of the case store cannot be opened; check that its folder is there",
    sqlite3.SQLITE_IOERR: "the disk of the case store cannot be read or written; nothing was stored",
}
_POSTGRES_SENTENCES: Final = {
    "55P03": _LOCKED,
    "53100": _FULL,
    "25006": _READ_ONLY,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
    "28P01": "the database server of the case store refuses the password",
    "3D000": "the database of the case store does not exist on its server",
}
"""By SQLSTATE (PostgreSQL 15, Appendix A)."""
_MIGRATION_LOCK: Final = 0x676C696F
"""Any number does; it is "glio"."""


class DatabaseError(InputError):
    """The database cannot be reached, read or written; nothing of the transaction was stored."""


class Database:
    """Engine and transactions of one case store. Safe to share between threads.

    Parameters
    ----------
    url : `sqlite:////folder/store.sqlite3` or `postgresql://user:password@host/name`.

    Raises
    ------
    InputError : another kind of URL, or PostgreSQL without its driver.
    """

    def __init__(self, url: str) -> None:
        self.url = _checked(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _engine(self.url, is_sqlite=self.is_sqlite)
        self._writer: Engine = self.engine
        self._reader: Engine = self.engine
        if self.is_sqlite:
            self._writer = self.engine.execution_options(**{_IMMEDIATE: True})
        else:
            self._reader = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Give a session that sees one state of the database from its first query on, and changes nothing.

        Raises
        ------
        DatabaseError : the database cannot be read.
        """
        with _told(), Session(self._reader, expire_on_commit=False, autoflush=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Give a session that is the only writer; commit at the end (then it is on disk), or change nothing.

        Raises
        ------
        DatabaseError : locked for over 5 s, disk full, read-only, damaged, or out of reach.
        """
        with _told(), Session(self._writer, expire_on_commit=False) as session:
            session.connection()
            if not self.is_sqlite:
                session.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'"))
                session.execute(text("LOCK TABLE audit IN EXCLUSIVE MODE"))
            yield session
            session.commit()

    def migrate(self) -> None:
        """Bring an empty or older database to the newest schema, wholly or not at all.

        Raises
        ------
        InputError : the schema is newer than this program.
        DatabaseError : the database cannot be written.
        """
        script = ScriptDirectory.from_config(_config())
        with _told(), self._writer.begin() as connection:
            if not self.is_sqlite:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            if _needs_upgrade(connection, script):
                command.upgrade(_config(connection), "head")

    def checkpoint(self) -> bool:
        """Move everything from SQLite's write-ahead log into the database and empty the log: no old page stays in it.

        Returns
        -------
        bool : False where somebody was reading for over 5 s: the next one, or closing the store, makes up for it.
        """
        if not self.is_sqlite:
            return True
        with _told(), closing(self.engine.raw_connection()) as connection:
            busy, _, _ = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def problems(self, session: Session) -> list[str]:
        """What SQLite's own check finds in the file; PostgreSQL looks after its files itself."""
        if not self.is_sqlite:
            return []
        connection = session.connection()
        found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(20)") if row[0] != "ok"]
        lost = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        found += [f"row {row[1]} of {row[0]} belongs to no row of {row[2]}" for row in lost[:20]]
        return [f"the database is damaged: {problem}" for problem in found]

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _checked(url: str) -> URL:
    """Parse a URL; PostgreSQL is reached by psycopg, however its URL begins."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InputError("the URL of the case store cannot be read; postgresql://user@host/name is one") from error
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        if not parsed.database or parsed.database == ":memory:":
            raise InputError("a case store in memory forgets; give a file")
        return parsed
    raise InputError(f"the case store takes sqlite and postgresql, not {parsed.drivername}")


def _engine(url: URL, *, is_sqlite: bool) -> Engine:
    try:
        engine = create_engine(
            url,
            pool_size=8,
            max_overflow=24,
            pool_pre_ping=not is_sqlite,
            hide_parameters=True,
            connect_args={} if is_sqlite else {"connect_timeout": LOCK_TIMEOUT_S},
        )
    except ModuleNotFoundError as error:
        raise InputError(f"PostgreSQL needs {error.name}: pip install 'glioscope[postgres]'") from error
    if is_sqlite:
        event.listen(engine, "connect", _set_pragmas)
        event.listen(engine, "begin", _begin)
    return engine


def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
    """Python's own transactions begin late and never immediately: switched off, `_begin` says it itself."""
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get(_IMMEDIATE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _needs_upgrade(connection: Connection, script: ScriptDirectory) -> bool:
    known = {revision.revision for revision in script.walk_revisions()}
    found = MigrationContext.configure(connection).get_current_heads()
    unknown = sorted(set(found) - known)
    if unknown:
        raise InputError(
            f"the case store has schema {unknown[0]}, this glioscope knows up to {script.get_current_head()}: "
            "it was written by a newer version; install that one"
        )
    return found != (script.get_current_head(),)


@contextmanager
def _told() -> Iterator[None]:
    """Turn what the database says into one sentence. The statement and its values are left out: they may be private."""
    try:
        yield
    except DBAPIError as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        raise DatabaseError(sentence) from error
    except PoolTimeoutError as error:
        raise DatabaseError("the case store has too many requests at once; try again") from error


def _sentence(error: DBAPIError) -> str | None:
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return _SQLITE_SENTENCES.get(code & 0xFF)
    state = getattr(error.orig, "sqlstate", None)
    if state in _POSTGRES_SENTENCES:
        return _POSTGRES_SENTENCES[state]
    if error.connection_invalidated or type(error.orig).__name__ == "OperationalError":
        return (
            "the database server of the case store does not answer; nothing is known to be stored: look before retrying"
        )
    return None

import threading
import time

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import event, text
from sqlmodel import SQLModel, select

from glioscope.cases._database import Database, DatabaseError
from glioscope.cases._tables import AccountRow
from glioscope.core import InputError

from .postgres import postgres_server, postgres_url  # noqa: F401


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.sqlite3"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def database(url):
    database = Database(url)
    database.migrate()
    yield database
    database.close()


def account(name: str) -> AccountRow:
    return AccountRow(name=name, role="operator", password="-", created_at="2026-01-01T00:00:00+00:00")


def names(database: Database) -> list[str]:
    with database.session() as session:
        return list(session.exec(select(AccountRow.name).order_by(AccountRow.name)).all())


def test_the_migrations_make_exactly_the_tables_of_the_program(database):
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []


def test_migrating_twice_and_from_two_programs_at_once_does_no_harm(url):
    databases = [Database(url) for _ in range(3)]
    threads = [threading.Thread(target=database.migrate) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with databases[0].writing() as session:
        session.add(account("one"))
    databases[1].migrate()
    assert names(databases[2]) == ["one"]
    for database in databases:
        database.close()


def test_a_newer_schema_is_refused_and_left_alone(database, url):
    with database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(InputError, match="schema 9999, this glioscope knows up to 0001"):
        Database(url).migrate()
    with database.session() as session:
        assert session.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"


def test_what_fails_changes_nothing(database):
    with pytest.raises(RuntimeError), database.writing() as session:
        session.add(account("half"))
        session.flush()
        raise RuntimeError
    assert names(database) == []


def test_a_reader_sees_one_state_while_others_write(database):
    with database.session() as reader:
        before = reader.exec(select(AccountRow.name)).all()
        with database.writing() as writer:
            writer.add(account("later"))
        assert reader.exec(select(AccountRow.name)).all() == before == []
    assert names(database) == ["later"]


def test_a_reading_session_keeps_nothing(database):
    with database.session() as session:
        session.add(account("stray"))
    assert names(database) == []


def test_many_threads_write_one_after_the_other(database):
    def write(letter: str) -> None:
        for number in range(5):
            with database.writing() as session:
                count = len(session.exec(select(AccountRow)).all())
                session.add(account(f"{count:03d}-{letter}{number}"))

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [name[:3] for name in names(database)] == [f"{count:03d}" for count in range(20)]


def test_a_locked_database_says_so_after_five_seconds(database, url):
    other = Database(url)
    began = time.monotonic()
    locked = pytest.raises(DatabaseError, match="locked by another program for over 5 s; try again")
    with other.writing(), locked, database.writing() as session:
        session.add(account("late"))
    assert 4.5 < time.monotonic() - began < 12
    assert names(database) == []
    other.close()


@pytest.fixture
def lite(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/store.sqlite3")
    database.migrate()
    yield database
    database.close()


def test_every_commit_of_sqlite_waits_for_the_disk(lite):
    with lite.writing() as session:
        pragmas = {name: session.execute(text(f"PRAGMA {name}")).scalar_one() for name in PRAGMAS}
    assert pragmas == PRAGMAS


PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1, "busy_timeout": 5000}


@pytest.mark.parametrize(
    ("pragma", "sentence"),
    [("max_page_count = 1", "disk of the case store is full"), ("query_only = 1", "the case store is read-only")],
)
def test_full_and_read_only_disks_get_a_sentence_and_nothing_is_stored(lite, pragma, sentence):
    @event.listens_for(lite.engine, "begin")
    def limit(connection):
        connection.exec_driver_sql(f"PRAGMA {pragma}")

    with pytest.raises(DatabaseError, match=sentence), lite.writing() as session:
        session.add_all(account(f"{'long' * 50}{number}") for number in range(200))
    event.remove(lite.engine, "begin", limit)
    assert names(lite) == []


def test_a_damaged_file_gets_a_sentence(tmp_path):
    (tmp_path / "store.sqlite3").write_bytes(b"no database at all" * 400)
    with pytest.raises(DatabaseError, match="damaged; restore the newest backup"):
        Database(f"sqlite:///{tmp_path}/store.sqlite3").migrate()


def test_a_missing_folder_gets_a_sentence(tmp_path):
    with pytest.raises(DatabaseError, match="cannot be opened"):
        Database(f"sqlite:///{tmp_path}/none/store.sqlite3").migrate()


def test_after_a_checkpoint_the_log_is_empty(lite, tmp_path):
    with lite.writing() as session:
        session.add(account("one"))
    log = tmp_path / "store.sqlite3-wal"
    assert log.stat().st_size > 0
    assert lite.checkpoint()
    assert log.stat().st_size == 0


def test_damage_inside_a_page_is_found(lite, tmp_path):
    with lite.writing() as session:
        session.add_all(account(f"a{number}") for number in range(500))
    lite.close()
    page = bytearray((tmp_path / "store.sqlite3").read_bytes())
    at = page.rindex(b"a499")
    page[at : at + 4] = b"a000"
    (tmp_path / "store.sqlite3").write_bytes(page)
    with lite.session() as session:
        assert any("damaged" in problem for problem in lite.problems(session))


@pytest.mark.parametrize("url", ["mysql://host/name", "sqlite://", "nonsense"])
def test_other_kinds_of_urls_are_refused(url):
    with pytest.raises(InputError):
        Database(url)


def test_a_server_that_is_away_gets_a_sentence_without_its_password():
    database = Database("postgresql://someone:topsecret@127.0.0.1:9/none")
    with pytest.raises(DatabaseError, match="does not answer") as caught:
        database.migrate()
    assert "topsecret" not in str(caught.value)

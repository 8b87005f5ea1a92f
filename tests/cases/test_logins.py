"""Sessions: found by their token alone, ended by time, log-out and account, whatever the wall clock does."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event
from sqlmodel import select

from glioscope.cases._database import Database, DatabaseError
from glioscope.cases._logins import Logins, elapsed_s
from glioscope.cases._roles import COMMAND_LINE, AccountRole, Actor
from glioscope.cases._tables import AccountRow, LoginRow
from glioscope.core import InputError

from .postgres import postgres_server, postgres_url  # noqa: F401

SURGEON = Actor("surgeon-2", AccountRole.SURGEON)
BEGINNING = datetime(2026, 3, 1, 8, tzinfo=UTC)
ON_BOTH = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


class Clocks:
    """A wall clock and one that nobody sets."""

    def __init__(self):
        self.wall, self.elapsed = BEGINNING, 1000.0

    def go_on(self, **time):
        self.wall += timedelta(**time)
        self.elapsed += timedelta(**time).total_seconds()

    def jump(self, **time):
        """The wall clock alone."""
        self.wall += timedelta(**time)

    def restart(self):
        """Another program: its steady clock begins anywhere."""
        self.elapsed = 5.0


@pytest.fixture
def database(request, tmp_path):
    kind = getattr(request, "param", "sqlite")
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else f"sqlite:///{tmp_path}/store.sqlite3"
    made = Database(url)
    made.migrate()
    with made.writing() as session:
        for name, role in (("surgeon-2", "surgeon"), ("operator-1", "operator")):
            session.add(AccountRow(name=name, role=role, password="x", created_at=BEGINNING.isoformat()))
    yield made
    made.close()


@pytest.fixture
def clocks():
    return Clocks()


def program(database, clocks, **limits):
    return Logins(database, clock=lambda: clocks.wall, elapsed=lambda: clocks.elapsed, **limits)


@pytest.fixture
def logins(database, clocks):
    return program(database, clocks)


def row(database, token):
    hashed = hashlib.sha256(token.encode()).hexdigest()
    with database.session() as session:
        return session.connection().execute(select(LoginRow).where(LoginRow.token_sha256 == hashed)).one()


def set_account(database, **values):
    with database.writing() as session:
        account = session.get(AccountRow, "surgeon-2")
        for name, value in values.items():
            setattr(account, name, value)


def test_a_token_finds_its_account_and_only_its_hash_is_kept(database, logins, tmp_path):
    token = logins.start(SURGEON)
    assert logins.current(token) == SURGEON
    assert row(database, token).account == "surgeon-2"
    database.checkpoint()
    assert token.encode() not in (tmp_path / "store.sqlite3").read_bytes()


def test_tokens_have_256_bits_and_are_never_the_same(logins):
    tokens = {logins.start(SURGEON) for _ in range(50)}
    assert len(tokens) == 50
    assert {len(token) for token in tokens} == {43}


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: t + "A", lambda t: "", lambda t: t.swapcase(), lambda t: "\ud800"]
)
def test_a_token_that_is_nearly_right_is_nobody(logins, change):
    token = logins.start(SURGEON)
    assert logins.current(change(token)) is None
    assert logins.current(token) == SURGEON


def test_what_is_on_disk_is_no_token(database, logins):
    token = logins.start(SURGEON)
    assert logins.current(row(database, token).token_sha256) is None


@ON_BOTH
def test_a_session_ends_after_thirty_idle_minutes_and_not_before(clocks, logins):
    token = logins.start(SURGEON)
    for _ in range(5):
        clocks.go_on(minutes=30)
        assert logins.current(token) == SURGEON
    clocks.go_on(minutes=30, seconds=1)
    assert logins.current(token) is None
    assert logins.current(token) is None


def test_a_session_ends_after_twelve_hours_however_busy(clocks, logins):
    token = logins.start(SURGEON)
    for _ in range(12 * 6):
        clocks.go_on(minutes=10)
        assert logins.current(token) == SURGEON
    clocks.go_on(seconds=1)
    assert logins.current(token) is None


def test_the_limits_can_be_set(database, clocks):
    logins = program(database, clocks, idle_minutes=1, longest_hours=0.05)
    idle, busy = logins.start(SURGEON), logins.start(SURGEON)
    clocks.go_on(seconds=61)
    assert logins.current(idle) is None
    assert logins.current(busy) is None
    busy = logins.start(SURGEON)
    for _ in range(3):
        clocks.go_on(seconds=59)
        assert logins.current(busy) == SURGEON
    clocks.go_on(seconds=4)
    assert logins.current(busy) is None


@ON_BOTH
def test_an_ended_session_is_refused_by_every_program(database, clocks, logins):
    other = program(database, clocks)
    one, two = logins.start(SURGEON), logins.start(SURGEON)
    assert other.current(one) == SURGEON
    logins.end(one)
    logins.end(one)
    logins.end("unknown")
    assert (logins.current(one), other.current(one)) == (None, None)
    assert other.current(two) == SURGEON
    assert row(database, one).ended_at == BEGINNING.isoformat()


@ON_BOTH
def test_all_sessions_of_an_account_end_and_no_others(logins):
    mine = [logins.start(SURGEON) for _ in range(3)]
    other = logins.start(Actor("operator-1", AccountRole.OPERATOR))
    logins.end_all("surgeon-2")
    assert [logins.current(token) for token in mine] == [None] * 3
    assert logins.current(other) is not None


def test_the_role_is_the_one_that_the_account_has_now(database, logins):
    token = logins.start(SURGEON)
    set_account(database, role="pathologist")
    assert logins.current(token) == Actor("surgeon-2", AccountRole.PATHOLOGIST)


@ON_BOTH
def test_a_disabled_account_has_no_session_and_gets_none(database, logins):
    token = logins.start(SURGEON)
    set_account(database, disabled_at=BEGINNING.isoformat())
    assert logins.current(token) is None
    with pytest.raises(InputError, match="account surgeon-2 cannot log in"):
        logins.start(SURGEON)
    with pytest.raises(InputError, match="account command-line cannot log in"):
        logins.start(COMMAND_LINE)


def test_asking_writes_once_a_minute_at_most(database, clocks, logins):
    token = logins.start(SURGEON)
    written = []
    event.listen(database.engine, "before_cursor_execute", lambda _c, _k, sql, *_: written.append(sql))
    for _ in range(300):
        clocks.go_on(seconds=1)
        assert logins.current(token) == SURGEON
    assert 4 <= sum(sql.startswith("UPDATE") for sql in written) <= 5
    assert datetime.fromisoformat(row(database, token).seen_at) >= clocks.wall - timedelta(minutes=1)


def test_a_session_survives_a_restart(database, clocks, logins):
    token = logins.start(SURGEON)
    clocks.go_on(minutes=29)
    clocks.restart()
    assert program(database, clocks).current(token) == SURGEON


def test_a_restart_prolongs_nothing(database, clocks, logins):
    token = logins.start(SURGEON)
    for _ in range(12 * 3):
        clocks.go_on(minutes=20)
        assert logins.current(token) == SURGEON
        clocks.restart()
        logins = program(database, clocks)
    clocks.go_on(minutes=1)
    assert logins.current(token) is None


def test_a_wall_clock_set_back_prolongs_nothing(clocks, logins):
    idle, busy = logins.start(SURGEON), logins.start(SURGEON)
    for _ in range(12 * 3):
        clocks.go_on(minutes=20)
        clocks.jump(minutes=-20)
        assert logins.current(busy) == SURGEON
    clocks.go_on(minutes=1)
    clocks.jump(days=-100)
    assert (logins.current(idle), logins.current(busy)) == (None, None)


def test_a_wall_clock_set_forward_ends_nothing_in_mid_operation(clocks, logins):
    token = logins.start(SURGEON)
    clocks.jump(days=1)
    assert logins.current(token) == SURGEON


def test_a_session_from_the_future_is_refused_after_a_restart(database, clocks, logins):
    token = logins.start(SURGEON)
    clocks.jump(hours=-2)
    clocks.restart()
    logins = program(database, clocks)
    assert logins.current(token) is None
    clocks.jump(hours=2)
    assert logins.current(token) is None


def test_a_session_that_lasted_too_long_is_ended_on_disk_too(database, clocks, logins):
    token = logins.start(SURGEON)
    clocks.go_on(hours=13)
    logins.start(SURGEON)
    clocks.jump(hours=-13)
    clocks.restart()
    assert row(database, token).ended_at is not None
    assert program(database, clocks).current(token) is None


@ON_BOTH
def test_a_session_in_use_elsewhere_is_not_idle_here(database, clocks, logins):
    other = program(database, clocks)
    token = logins.start(SURGEON)
    for _ in range(10):
        clocks.go_on(minutes=5)
        assert other.current(token) == SURGEON
    assert logins.current(token) == SURGEON


def test_a_full_disk_logs_nobody_out(database, clocks, logins, monkeypatch, caplog):
    token = logins.start(SURGEON)

    def full():
        raise DatabaseError("the disk of the case store is full")

    with monkeypatch.context() as patch:
        patch.setattr(database, "writing", full)
        for _ in range(10):
            clocks.go_on(minutes=10)
            assert logins.current(token) == SURGEON
    assert "disk of the case store is full" in caplog.text
    assert token not in caplog.text
    clocks.go_on(minutes=10)
    assert logins.current(token) == SURGEON
    assert row(database, token).seen_at == clocks.wall.isoformat()


def test_the_steady_clock_goes_on():
    first = elapsed_s()
    assert 0 <= elapsed_s() - first < 60

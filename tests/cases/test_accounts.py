"""Accounts: who may log in, with what password, what that costs, and what the trail says of it."""

import hashlib
import json
import statistics
import threading
import time
from datetime import UTC, datetime

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.profiles import RFC_9106_LOW_MEMORY
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from glioscope.cases._accounts import (
    Accounts,
    LoginLimiter,
    TooManyAttempts,
    account_digest,
    checked_password,
)
from glioscope.cases._audit import AuditTrail
from glioscope.cases._database import Database
from glioscope.cases._logins import Logins
from glioscope.cases._roles import COMMAND_LINE, AccountRole, Actor, NotAllowed
from glioscope.core import InputError

from .postgres import postgres_server, postgres_url  # noqa: F401

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
GOOD = "correct horse battery staple"
ADMINISTRATOR = Actor("admin-1", AccountRole.ADMINISTRATOR)
ON_BOTH = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def database(request, tmp_path):
    kind = getattr(request, "param", "sqlite")
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else f"sqlite:///{tmp_path}/store.sqlite3"
    made = Database(url)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def trail(tmp_path):
    return AuditTrail(b"k" * 32, tmp_path / "audit.head")


@pytest.fixture
def accounts(database, trail):
    made = Accounts(database, trail, hasher=QUICK)
    made.create(COMMAND_LINE, "admin-1", AccountRole.ADMINISTRATOR, GOOD)
    made.create(ADMINISTRATOR, "surgeon-2", AccountRole.SURGEON, GOOD + "2")
    return made


def audited(database):
    with database.session() as session:
        rows = session.connection().execute(text("SELECT account, action, digest FROM audit ORDER BY seq"))
        return [tuple(row) for row in rows]


def stored(database, name):
    with database.session() as session:
        found = session.connection().execute(text("SELECT password FROM accounts WHERE name = :name"), {"name": name})
        return found.scalar_one()


@ON_BOTH
def test_the_right_password_gives_the_account_and_its_role(accounts):
    assert accounts.authenticate("surgeon-2", GOOD + "2") == Actor("surgeon-2", AccountRole.SURGEON)


@ON_BOTH
@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("surgeon-2", GOOD),
        ("surgeon-2", ""),
        ("surgeon-2", GOOD + "2 "),
        ("surgeon-2", "x" * 100_000),
        ("surgeon-2", "\ud800" * 12),
        ("Surgeon-2", GOOD + "2"),
        ("nobody", GOOD),
        ("surgeon-2\0", GOOD + "2"),
        ("' OR 1=1 --", GOOD),
        ("", ""),
    ],
)
def test_anything_else_gives_nobody(accounts, name, password):
    assert accounts.authenticate(name, password) is None


def test_a_password_is_the_same_however_the_keyboard_writes_its_accents(accounts):
    accounts.set_password(ADMINISTRATOR, "surgeon-2", "Größe und Wärme é")
    assert accounts.authenticate("surgeon-2", "Gro\u0308ße und Wa\u0308rme e\u0301") is not None


def test_only_an_argon2id_hash_is_kept_of_the_recommended_cost(database, trail, tmp_path):
    Accounts(database, trail).create(COMMAND_LINE, "admin-1", AccountRole.ADMINISTRATOR, GOOD)
    hashed = stored(database, "admin-1")
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert extract_parameters(hashed) == RFC_9106_LOW_MEMORY
    database.checkpoint()
    assert GOOD.encode() not in (tmp_path / "store.sqlite3").read_bytes()


def test_a_login_costs_what_guessing_should_cost(database, trail):
    """50 to 300 ms on an idle machine (115 ms on two cores); the limits leave room for a faster and a busy one."""
    accounts = Accounts(database, trail)
    took_s = []
    for _ in range(3):
        begun = time.perf_counter()
        accounts.authenticate("nobody", GOOD)
        took_s.append(time.perf_counter() - begun)
    assert 0.02 < min(took_s) < 1.0


def test_an_unknown_name_and_a_disabled_account_cost_as_much_as_a_wrong_password(database, trail):
    accounts = Accounts(database, trail, hasher=PasswordHasher(memory_cost=16_384, parallelism=1))
    accounts.create(COMMAND_LINE, "admin-1", AccountRole.ADMINISTRATOR, GOOD)
    accounts.create(COMMAND_LINE, "surgeon-2", AccountRole.SURGEON, GOOD)
    accounts.disable(COMMAND_LINE, "surgeon-2")
    attempts = {
        "wrong": ("admin-1", GOOD + "x"),
        "unknown": ("nobody", GOOD),
        "no name": ("not a name", GOOD),
        "disabled": ("surgeon-2", GOOD),
        "long": ("admin-1", "x" * 300),
    }
    took = {kind: [] for kind in attempts}
    for _ in range(9):  # in turns, so that a busy machine slows all of them down
        for kind, attempt in attempts.items():
            begun = time.process_time()
            assert accounts.authenticate(*attempt) is None
            took[kind].append(time.process_time() - begun)
    medians = {kind: statistics.median(times) for kind, times in took.items()}
    assert max(medians.values()) < 1.6 * min(medians.values()), medians


@ON_BOTH
def test_a_hash_of_weaker_parameters_is_replaced_at_the_next_login(database, trail, accounts):
    weak = stored(database, "surgeon-2")
    stronger = Accounts(database, trail, hasher=PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    assert stronger.authenticate("surgeon-2", GOOD) is None
    assert stored(database, "surgeon-2") == weak
    assert stronger.authenticate("surgeon-2", GOOD + "2") is not None
    assert "$m=16,t=2,p=1$" in stored(database, "surgeon-2")
    assert stronger.authenticate("surgeon-2", GOOD + "2") is not None


def test_a_damaged_hash_is_one_sentence(database, accounts):
    with database.writing() as session:
        session.connection().execute(text("UPDATE accounts SET password = 'x' WHERE name = 'surgeon-2'"))
    with pytest.raises(InputError, match="password of account surgeon-2 is damaged"):
        accounts.authenticate("surgeon-2", GOOD)


@pytest.mark.parametrize(
    ("password", "sentence"),
    [
        ("elevenchars", "has 11 letters; 12 to 256 are needed"),
        ("x1y2" * 64 + "z", "has 257 letters"),
        ("neuro-surgeon-2", "is the account's name"),
        ("Neuro-Surgeon-2NEURO-SURGEON-2", "is the account's name"),
        ("PasswordPassword", "one of the commonest"),
        ("1234567890123", "one of the commonest"),
        ("abababababab", "has 2 different letters; 4 are needed"),
    ],
)
def test_a_password_that_will_not_do_is_refused_and_not_repeated(accounts, password, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        accounts.create(ADMINISTRATOR, "neuro-surgeon-2", AccountRole.SURGEON, password)
    assert password not in str(caught.value)
    assert [account.name for account in accounts.all()] == ["admin-1", "surgeon-2"]


@settings(max_examples=50)
@given(st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=12, max_size=256))
def test_no_rule_asks_for_capitals_digits_or_signs(password):
    if len(set(password)) >= 4 and len(password) > 20:
        assert checked_password("surgeon-2", password) == password.encode()


@pytest.mark.parametrize("name", ["Jane Doe", "", "a" * 65, "../x", "command-line", "Consensus", "x\n"])
def test_a_name_that_is_no_pseudonym_or_reserved_is_refused(accounts, name):
    with pytest.raises(InputError, match=r"is no pseudonym|is reserved"):
        accounts.create(ADMINISTRATOR, name, AccountRole.SURGEON, GOOD)


@ON_BOTH
@pytest.mark.parametrize("name", ["surgeon-2", "SURGEON-2"])
def test_a_name_is_given_once_whatever_its_capitals(accounts, name):
    with pytest.raises(InputError, match="already"):
        accounts.create(ADMINISTRATOR, name, AccountRole.SURGEON, GOOD)


@pytest.mark.parametrize("role", [AccountRole.OPERATOR, AccountRole.SURGEON, AccountRole.PATHOLOGIST])
def test_only_administrators_manage_accounts(accounts, role):
    actor = Actor("somebody", role)
    for call in (
        lambda: accounts.create(actor, "new-1", AccountRole.OPERATOR, GOOD),
        lambda: accounts.set_password(actor, "surgeon-2", GOOD),
        lambda: accounts.set_role(actor, "surgeon-2", AccountRole.ADMINISTRATOR),
        lambda: accounts.disable(actor, "surgeon-2"),
        lambda: accounts.enable(actor, "surgeon-2"),
    ):
        with pytest.raises(NotAllowed):
            call()


def test_everybody_may_set_his_own_password(accounts):
    accounts.set_password(Actor("surgeon-2", AccountRole.SURGEON), "surgeon-2", "another long one")
    assert accounts.authenticate("surgeon-2", GOOD + "2") is None
    assert accounts.authenticate("surgeon-2", "another long one") is not None


@pytest.mark.parametrize(
    "call",
    [
        lambda accounts: accounts.set_password(ADMINISTRATOR, "nobody", GOOD),
        lambda accounts: accounts.set_role(ADMINISTRATOR, "nobody", AccountRole.SURGEON),
        lambda accounts: accounts.disable(ADMINISTRATOR, "nobody"),
        lambda accounts: accounts.enable(ADMINISTRATOR, "nobody"),
    ],
)
def test_an_account_that_is_not_there_is_one_sentence_and_leaves_no_link(database, accounts, call):
    before = audited(database)
    with pytest.raises(InputError, match="there is no account nobody"):
        call(accounts)
    assert audited(database) == before


def test_a_disabled_account_cannot_log_in_until_it_is_enabled(accounts):
    accounts.disable(ADMINISTRATOR, "surgeon-2")
    accounts.disable(ADMINISTRATOR, "surgeon-2")
    assert accounts.authenticate("surgeon-2", GOOD + "2") is None
    assert [account.enabled for account in accounts.all()] == [True, False]
    accounts.enable(ADMINISTRATOR, "surgeon-2")
    assert accounts.authenticate("surgeon-2", GOOD + "2") is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda accounts: accounts.disable(ADMINISTRATOR, "surgeon-2"),
        lambda accounts: accounts.set_password(ADMINISTRATOR, "surgeon-2", "another long one"),
    ],
)
def test_disabling_and_a_new_password_end_all_sessions_for_good(database, accounts, change):
    logins = Logins(database)
    token = logins.start(Actor("surgeon-2", AccountRole.SURGEON))
    other = logins.start(ADMINISTRATOR)
    change(accounts)
    assert logins.current(token) is None
    accounts.enable(ADMINISTRATOR, "surgeon-2")
    assert logins.current(token) is None
    assert logins.current(other) == ADMINISTRATOR


@ON_BOTH
def test_the_last_enabled_administrator_stays(accounts):
    for call in (
        lambda: accounts.disable(ADMINISTRATOR, "admin-1"),
        lambda: accounts.set_role(ADMINISTRATOR, "admin-1", AccountRole.OPERATOR),
    ):
        with pytest.raises(InputError, match="admin-1 is the last enabled administrator"):
            call()
    accounts.set_role(ADMINISTRATOR, "surgeon-2", AccountRole.ADMINISTRATOR)
    accounts.disable(ADMINISTRATOR, "surgeon-2")
    with pytest.raises(InputError, match="last enabled administrator"):
        accounts.disable(ADMINISTRATOR, "admin-1")
    accounts.enable(ADMINISTRATOR, "surgeon-2")
    accounts.disable(ADMINISTRATOR, "admin-1")
    assert [(account.name, account.role.value, account.enabled) for account in accounts.all()] == [
        ("admin-1", "administrator", False),
        ("surgeon-2", "administrator", True),
    ]


@ON_BOTH
def test_two_administrators_cannot_disable_each_other_at_once(accounts):
    accounts.create(ADMINISTRATOR, "admin-2", AccountRole.ADMINISTRATOR, GOOD)
    for _ in range(10):
        refused = []

        def disable(name, refused=refused):
            try:
                accounts.disable(ADMINISTRATOR, name)
            except InputError as error:
                refused.append(str(error))

        threads = [threading.Thread(target=disable, args=(f"admin-{number}",)) for number in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refused) == 1
        for number in (1, 2):
            accounts.enable(ADMINISTRATOR, f"admin-{number}")


@ON_BOTH
def test_every_change_is_in_the_trail_without_a_password(database, trail, accounts):
    accounts.set_role(ADMINISTRATOR, "surgeon-2", AccountRole.PATHOLOGIST)
    accounts.set_password(Actor("surgeon-2", AccountRole.PATHOLOGIST), "surgeon-2", "another long one")
    accounts.disable(ADMINISTRATOR, "surgeon-2")
    accounts.enable(ADMINISTRATOR, "surgeon-2")

    def sha256(*words):
        return hashlib.sha256(json.dumps(words, separators=(",", ":")).encode()).hexdigest()

    assert audited(database) == [
        ("command-line", "create_account", sha256("admin-1", "administrator")),
        ("admin-1", "create_account", sha256("surgeon-2", "surgeon")),
        ("admin-1", "set_role", sha256("surgeon-2", "pathologist")),
        ("surgeon-2", "set_password", sha256("surgeon-2")),
        ("admin-1", "disable_account", sha256("surgeon-2")),
        ("admin-1", "enable_account", sha256("surgeon-2")),
    ]
    assert account_digest("surgeon-2") == sha256("surgeon-2")
    with database.session() as session:
        assert trail.verify(session).problems == ()


@ON_BOTH
def test_accounts_come_back_in_the_order_of_names(database, trail):
    at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    accounts = Accounts(database, trail, hasher=QUICK, clock=lambda: at)
    for name in ("c", "a", "b"):
        accounts.create(COMMAND_LINE, name, AccountRole.OPERATOR, GOOD)
    assert [(account.name, account.created_at) for account in accounts.all()] == [("a", at), ("b", at), ("c", at)]


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def limiter(clock):
    return LoginLimiter(clock)


def fail(limiter, n, account="surgeon-2", address="10.0.0.1"):
    for _ in range(n):
        limiter.failed(account, address)


def seconds_left(limiter, account="surgeon-2", address="10.0.0.1"):
    try:
        limiter.check(account, address)
    except TooManyAttempts as error:
        assert f"{error.seconds} s" in str(error)
        return error.seconds
    limiter.succeeded("nobody-else", "10.9.9.9")
    limiter._trying.clear()
    return 0


def test_the_delay_begins_at_the_fifth_failure_and_doubles_up_to_five_minutes(limiter):
    fail(limiter, 4)
    assert seconds_left(limiter) == 0
    waits = []
    for _ in range(12):
        fail(limiter, 1)
        waits.append(seconds_left(limiter))
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_after_the_delay_one_may_try_again(limiter, clock):
    fail(limiter, 7)
    clock.now += 3.9
    assert seconds_left(limiter) == 1
    clock.now += 0.1
    assert seconds_left(limiter) == 0


def test_an_account_is_limited_from_every_address_and_an_address_for_every_account(limiter):
    for number in range(6):
        limiter.failed("surgeon-2", f"10.0.0.{number}")
        limiter.failed(f"other-{number}", "10.1.1.1")
    assert seconds_left(limiter, "surgeon-2", "10.0.0.99") == 2
    assert seconds_left(limiter, "fresh-1", "10.1.1.1") == 2
    assert seconds_left(limiter, "fresh-1", "10.0.0.99") == 0


def test_a_login_forgets_the_accounts_failures_and_not_the_addresses(limiter):
    fail(limiter, 6)
    limiter.succeeded("surgeon-2", "10.0.0.1")
    assert seconds_left(limiter, "surgeon-2", "10.0.0.2") == 0
    assert seconds_left(limiter, "surgeon-2", "10.0.0.1") == 2


def test_an_hour_without_a_failure_and_it_is_forgotten(limiter, clock):
    fail(limiter, 20)
    clock.now += 3601
    fail(limiter, 4)
    assert seconds_left(limiter) == 0


def test_guessing_for_a_day_gets_few_attempts(limiter, clock):
    attempts, end = 0, clock.now + 86_400
    while clock.now < end:
        wait = seconds_left(limiter, address=f"10.0.{attempts}.1")
        clock.now += wait
        if not wait:
            limiter.failed("surgeon-2", f"10.0.{attempts}.1")
            attempts += 1
    assert 250 < attempts < 310


def test_one_attempt_at_a_time_for_an_account(limiter, clock):
    limiter.check("surgeon-2", "10.0.0.1")
    with pytest.raises(TooManyAttempts):
        limiter.check("surgeon-2", "10.0.0.2")
    limiter.check("operator-1", "10.0.0.1")
    limiter.failed("surgeon-2", "10.0.0.1")
    limiter.check("surgeon-2", "10.0.0.2")
    clock.now += 6
    limiter.check("surgeon-2", "10.0.0.2")


def test_memory_is_bounded_and_the_newest_failures_are_kept(limiter):
    for number in range(LoginLimiter.MOST_ENTRIES + 500):
        limiter.failed("x" * 1000 + str(number), f"address-{number}")
    fail(limiter, 6)
    assert len(limiter._failures) <= LoginLimiter.MOST_ENTRIES
    assert max(len(name) for _, name in limiter._failures) <= 64
    assert seconds_left(limiter) == 2


def test_a_thousand_failures_overflow_nothing(limiter):
    fail(limiter, 5000)
    assert seconds_left(limiter) == 300

"""The audit trail: any change is found and named, several programs keep one chain, and no free text gets in."""

import hashlib
import hmac
import json
import subprocess
import sys
import time
import tracemalloc
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from sqlalchemy.pool import StaticPool
from sqlmodel import Session, SQLModel

from glioscope.cases._audit import AuditTrail
from glioscope.cases._database import Database
from glioscope.cases._roles import AccountRole, Actor
from glioscope.cases._tables import AuditRow
from glioscope.core import InputError

from .postgres import postgres_server, postgres_url  # noqa: F401

KEY = b"k" * 32
ACTOR = Actor("operator-1", AccountRole.OPERATOR)
COLUMNS = ("at", "account", "action", "case_id", "specimen_id", "digest", "previous", "link")
N_LINKS = 9
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
    return AuditTrail(KEY, tmp_path / "audit.head")


def append(database, trail, n=1, *, note=True, **words):
    for number in range(n):
        with database.writing() as session:
            trail.append(session, ACTOR, "take", specimen_id=f"s{number}", **words)
        if note:
            with database.session() as session:
                trail.note_head(session)


def problems(database, trail):
    with database.session() as session:
        return trail.verify(session).problems


def change(database, statement, **values):
    with database.writing() as session:
        session.connection().execute(text(statement), values)


def reference_rows(n):
    """The trail as the module's docstring tells, made without it."""
    previous = hmac.digest(KEY, b"glioscope audit trail 1", "sha256").hex()
    rows = []
    for seq in range(1, n + 1):
        row = ["2026-01-01T10:00:00.000+00:00", "operator-1", "take", "case-1", f"s{seq}", hashlib.sha256().hexdigest()]
        said = json.dumps([seq, *row, previous], separators=(",", ":"))
        link = hmac.digest(KEY, said.encode(), "sha256").hex()
        rows.append(dict(zip(("seq", *COLUMNS), (seq, *row, previous, link), strict=True)))
        previous = link
    return rows


def write_reference_head(path, row):
    code = hmac.digest(KEY, f"head {row['seq']} {row['link']}".encode(), "sha256").hex()
    path.write_text(f"{row['seq']} {row['link']} {code}\n")


def in_memory(rows):
    engine = create_engine("sqlite://", poolclass=StaticPool)
    SQLModel.metadata.create_all(engine, tables=[AuditRow.__table__])
    with engine.begin() as connection:
        if rows:
            connection.execute(AuditRow.__table__.insert(), rows)
    return engine


@ON_BOTH
def test_a_trail_is_what_the_documentation_says(database, trail, tmp_path):
    append(database, trail, 3, case_id="case-1", digest=hashlib.sha256().hexdigest())
    with database.session() as session:
        rows = [row._asdict() for row in session.connection().execute(AuditRow.__table__.select().order_by("seq"))]
        assert trail.verify(session).n_links == 3
    previous = hmac.digest(KEY, b"glioscope audit trail 1", "sha256").hex()
    for seq, row in enumerate(rows, start=1):
        assert row["seq"] == seq
        assert row["previous"] == previous
        said = json.dumps([seq, *(row[column] for column in COLUMNS[:-1])], separators=(",", ":"))
        previous = hmac.new(KEY, said.encode(), hashlib.sha256).hexdigest()
        assert row["link"] == previous
    write_reference_head(tmp_path / "expected.head", rows[-1])
    assert (tmp_path / "audit.head").read_text() == (tmp_path / "expected.head").read_text()


def test_an_untouched_trail_is_whole(database, trail):
    assert problems(database, trail) == ()
    append(database, trail, 5)
    with database.session() as session:
        report = trail.verify(session)
    assert (report.n_links, report.problems) == (5, ())
    with pytest.raises(FrozenInstanceError):
        report.n_links = 6


@ON_BOTH
def test_a_link_of_a_transaction_that_failed_was_never_there(database, trail):
    append(database, trail, 2)
    with pytest.raises(ZeroDivisionError), database.writing() as session:
        trail.append(session, ACTOR, "take")
        raise ZeroDivisionError
    append(database, trail, 1)
    assert problems(database, trail) == ()


def test_a_clock_that_jumps_back_breaks_nothing(database, tmp_path):
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    trail = AuditTrail(KEY, tmp_path / "audit.head", clock=lambda: now[0])
    for _ in range(4):
        append(database, trail)
        now[0] -= timedelta(days=100)
    assert problems(database, trail) == ()


ROWS = reference_rows(N_LINKS)
ROW = st.integers(0, N_LINKS - 1)
VALUE = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=80)


def sentence_for_gap(rows, first):
    """What is said of rows from `first` on that are gone."""
    after = sorted(row["seq"] for row in rows if row["seq"] > first)
    return f"missing before link {after[0]}" if after else f"links {first} to {N_LINKS} were cut off at the end"


@st.composite
def tampered(draw):
    """Rows with one change, and what the first sentence has to say."""
    rows = [dict(row) for row in ROWS]
    kind = draw(st.sampled_from(["column", "number", "delete", "swap", "swap column", "move letters", "insert", "cut"]))
    one, other = draw(ROW), draw(ROW)
    column = draw(st.sampled_from(COLUMNS))
    said = f"link {one + 1} was changed or inserted"
    if kind == "column":
        rows[one][column] = draw(VALUE | st.sampled_from([row[column] for row in ROWS]))
    elif kind == "number":
        seq = rows[one]["seq"] = draw(st.integers(-5, 2**40).filter(lambda seq: not 1 <= seq <= N_LINKS))
        said = f"link {seq} was changed" if seq < 1 else sentence_for_gap(rows, one + 1)
    elif kind == "delete":
        gone = draw(st.sets(ROW, min_size=1))
        rows = [row for at, row in enumerate(rows) if at not in gone]
        said = sentence_for_gap(rows, min(gone) + 1)
    elif kind == "swap":
        rows[one]["seq"], rows[other]["seq"] = rows[other]["seq"], rows[one]["seq"]
        said = f"link {min(one, other) + 1} was changed"
    elif kind == "swap column":
        rows[one][column], rows[other][column] = rows[other][column], rows[one][column]
        said = f"link {min(one, other) + 1} was changed"
    elif kind == "move letters":
        name, at = rows[one]["case_id"] + rows[one]["specimen_id"], draw(st.integers(0, 8))
        rows[one]["case_id"], rows[one]["specimen_id"] = name[:at], name[at:]
    elif kind == "insert":
        for row in rows[one:]:
            row["seq"] += 1
        rows.insert(one, {**rows[other], "seq": one + 1, "link": draw(st.sampled_from(["f" * 64, "0" * 64]))})
    else:
        rows = rows[:one]
        said = sentence_for_gap(rows, one + 1)
    rows.sort(key=lambda row: row["seq"])
    assume(rows != ROWS)
    assume(len({row["link"] for row in rows}) == len(rows))
    return rows, said


@settings(max_examples=400, deadline=None)
@given(tampered())
def test_any_change_deletion_swap_or_insertion_is_found_where_it_begins(tmp_path_factory, case):
    rows, said = case
    head = tmp_path_factory.getbasetemp() / "tampered.head"
    write_reference_head(head, ROWS[-1])
    with Session(in_memory(rows)) as session:
        found = AuditTrail(KEY, head).verify(session).problems
    assert said in (found or ("nothing",))[0]


def test_the_untampered_rows_of_that_test_are_whole(tmp_path):
    write_reference_head(tmp_path / "head", ROWS[-1])
    with Session(in_memory(ROWS)) as session:
        assert AuditTrail(KEY, tmp_path / "head").verify(session).problems == ()
        assert len(AuditTrail(b"x" * 32, tmp_path / "head").verify(session).problems) == N_LINKS + 1


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE audit SET account = 'operator-2' WHERE seq = 4", "link 4 was changed or inserted"),
        ("DELETE FROM audit WHERE seq = 4", "1 link is missing before link 5"),
        ("DELETE FROM audit WHERE seq IN (2, 3)", "2 links are missing before link 4"),
        ("DELETE FROM audit WHERE seq > 4", "links 5 to 6 were cut off at the end: audit.head knows link 6"),
        ("DELETE FROM audit", "links 1 to 6 were cut off at the end"),
        ("UPDATE audit SET seq = 0 WHERE seq = 6", "link 0 was changed or inserted"),
        ("UPDATE audit SET digest = CAST('' AS BLOB) WHERE seq = 3", "link 3 was changed or inserted"),
        ("UPDATE audit SET account = CAST(X'ff' AS TEXT) WHERE seq = 3", "nothing can be read after link "),
    ],
)
def test_the_sentence_says_where_and_what(database, trail, statement, sentence):
    append(database, trail, 6)
    change(database, statement)
    assert problems(database, trail)[0].startswith(sentence)


@ON_BOTH
def test_a_tail_that_was_cut_off_stays_found_when_the_trail_goes_on(database, trail):
    append(database, trail, 6)
    change(database, "DELETE FROM audit WHERE seq > 4")
    append(database, trail, 1)
    assert problems(database, trail)[0].startswith("links 6 to 6 were cut off at the end")
    append(database, trail, 5)
    assert problems(database, trail) == (
        "link 6 is not the one that audit.head knows: the trail was cut off before it and continued",
    )


def test_a_genuine_link_of_a_trail_that_was_cut_off_does_not_pass_for_one_of_this(database, trail, tmp_path):
    append(database, trail, 3, case_id="case-1")
    with database.session() as session:
        old = session.connection().execute(AuditRow.__table__.select().where(AuditRow.seq == 3)).one()._asdict()
    change(database, "DELETE FROM audit WHERE seq > 2")
    (tmp_path / "audit.head").unlink()
    append(database, trail, 2, case_id="case-2")
    change(database, "DELETE FROM audit WHERE seq = 3")
    with database.writing() as session:
        session.add(AuditRow(**old))
    assert problems(database, trail)[0] == "link 4 does not follow link 3: one of them is of another trail"


def test_a_trail_that_was_emptied_stays_found_when_it_begins_anew(database, trail):
    append(database, trail, 3)
    change(database, "DELETE FROM audit")
    append(database, trail, 5)
    assert "link 3 is not the one that audit.head knows" in problems(database, trail)[0]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda head: head.unlink(), "audit.head is missing"),
        (lambda head: head.write_text(""), "audit.head was changed: it is no head"),
        (lambda head: head.write_bytes(b"\xff" * 20), "audit.head was changed: it is no head"),
        (lambda head: head.write_text("1 " + head.read_text().split(" ", 1)[1]), "audit.head was changed: its keyed"),
    ],
)
def test_a_head_that_was_removed_or_forged_is_found_and_never_mended_silently(
    database, trail, tmp_path, spoil, sentence
):
    append(database, trail, 3)
    spoil(tmp_path / "audit.head")
    append(database, trail, 2)
    (found,) = problems(database, trail)
    assert found.startswith(sentence)


def test_a_head_that_lags_is_no_problem_and_catches_up(database, trail, tmp_path):
    append(database, trail, 2)
    append(database, trail, 3, note=False)
    assert problems(database, trail) == ()
    append(database, trail, 1)
    assert (tmp_path / "audit.head").read_text().startswith("6 ")


def test_a_head_never_goes_back(database, trail, tmp_path):
    append(database, trail, 2)
    with database.session() as old:
        trail.note_head(old)
        append(database, trail, 2)
        trail.note_head(old)
    assert (tmp_path / "audit.head").read_text().startswith("4 ")


@ON_BOTH
def test_verifying_while_others_append_raises_no_false_alarm(database, trail):
    append(database, trail, 50)
    stop = subprocess.Popen([sys.executable, "-c", APPENDER, str(database.url), str(trail._head), "25"])
    while stop.poll() is None:
        assert problems(database, trail) == ()
    assert stop.returncode == 0


APPENDER = """
import sys
from pathlib import Path
from glioscope.cases._audit import AuditTrail
from glioscope.cases._database import Database
from glioscope.cases._roles import AccountRole, Actor
url, head, n = sys.argv[1:]
database, trail = Database(url), AuditTrail(b"k" * 32, Path(head))
for number in range(int(n)):
    with database.writing() as session:
        trail.append(session, Actor("operator-2", AccountRole.OPERATOR), "take", specimen_id=f"s{number}")
    with database.session() as session:
        trail.note_head(session)
database.close()
"""


def check_two_programs(url, database, trail, n=25):
    command = [sys.executable, "-c", APPENDER, url, str(trail._head), str(n)]
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [program.wait(timeout=120) for program in both] == [0, 0]
    with database.session() as session:
        report = trail.verify(session)
    assert (report.n_links, report.problems) == (2 * n, ())


@ON_BOTH
def test_two_programs_that_append_at_once_keep_one_chain(database, trail):
    check_two_programs(str(database.url), database, trail)


@pytest.mark.parametrize(
    "words",
    [
        {"action": "take a specimen"},
        {"action": "Take"},
        {"action": ""},
        {"action": "a" * 41},
        {"action": "take\n"},
        {"case_id": "Jane Doe"},
        {"case_id": "../x"},
        {"specimen_id": "x" * 65},
        {"specimen_id": "ä"},
        {"digest": "grade IV"},
        {"digest": "A" * 64},
        {"account": "Dr. Doe"},
        {"account": ""},
    ],
)
def test_free_text_never_gets_in(database, trail, words):
    actor = Actor(words.pop("account", "operator-1"), AccountRole.OPERATOR)
    action = words.pop("action", "take")
    with pytest.raises(InputError) as caught, database.writing() as session:
        trail.append(session, actor, action, **words)
    assert "Doe" not in str(caught.value)
    with database.session() as session:
        assert trail.verify(session).n_links == 0


def test_a_hundred_thousand_links_are_verified_in_seconds(tmp_path):
    rows = reference_rows(100_000)
    write_reference_head(tmp_path / "head", rows[-1])
    with Session(in_memory(rows)) as session:
        begun = time.process_time()
        report = AuditTrail(KEY, tmp_path / "head").verify(session)
        took_s = time.process_time() - begun
    assert (report.n_links, report.problems) == (100_000, ())
    assert took_s < 5


def test_a_long_trail_is_never_in_memory_as_a_whole(tmp_path):
    rows = reference_rows(20_000)
    write_reference_head(tmp_path / "head", rows[-1])
    with Session(in_memory(rows)) as session:
        tracemalloc.start()
        AuditTrail(KEY, tmp_path / "head").verify(session)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 6e6  # all rows at once take over 20 MB


def test_a_ruined_trail_gives_a_short_list(tmp_path):
    rows = [{**row, "account": "x"} for row in reference_rows(500)]
    write_reference_head(tmp_path / "head", rows[-1])
    with Session(in_memory(rows)) as session:
        found = AuditTrail(KEY, tmp_path / "head").verify(session).problems
    assert len(found) == 21
    assert found[-1] == "and 480 more"

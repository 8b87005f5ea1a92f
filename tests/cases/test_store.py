import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, text
from sqlmodel import select

from glioscope.cases._check import specimen_context
from glioscope.cases._database import DatabaseError
from glioscope.cases._keys import CaseErased
from glioscope.cases._records import Annotation, CaseRecord, Correction, Pathology, Reading, SpecimenRecord, Withdrawal
from glioscope.cases._roles import COMMAND_LINE, AccountRole, Actor, NotAllowed
from glioscope.cases._store import CaseConflict, CaseStore, NoSuchCase
from glioscope.cases._tables import AuditRow, CaseRow, EntryRow, ImageRow, SpecimenRow
from glioscope.core import InputError

from .postgres import postgres_server, postgres_url  # noqa: F401

OPERATOR = Actor("operator-1", AccountRole.OPERATOR)
SURGEON = Actor("surgeon-1", AccountRole.SURGEON)
PATHOLOGIST = Actor("pathologist-1", AccountRole.PATHOLOGIST)
PICTURES = {"fl": b"fluorescence" * 50, "wl": b"white light" * 50}
SECRET = "Kilimanjaro"
"""A word that may be nowhere on the disk."""


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request) -> str | None:
    return None if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def store(tmp_path, url, clock):
    with CaseStore.open(tmp_path / "store", url=url, create=True, clock=clock) as store:
        yield store


@pytest.fixture
def lite(tmp_path, clock):
    with CaseStore.open(tmp_path / "store", create=True, clock=clock) as store:
        yield store


def open_case(store, request="open-1", **record):
    record = CaseRecord(**{"patient_id": "P-7", "consent": True, "note": SECRET, **record})
    return store.open_case(OPERATOR, record, data_kind="simulated", request_id=request)


def take(store, case_id, request, sector=3, images=PICTURES, **more):
    record = SpecimenRecord(sector=sector, diagnosis={"tasks": {"tumor": {"answer": SECRET}}})
    return store.add_specimen(SURGEON, case_id, record, images=images, request_id=request, **more)


def rows(store, table):
    with store.database.session() as session:
        return session.exec(select(table)).all()


def trail(store):
    with store.database.session() as session:
        assert store.audit.verify(session).problems == ()
        return [(row.account, row.action) for row in session.exec(select(AuditRow).order_by(AuditRow.seq)).all()]


def test_a_whole_operation_reads_back_as_it_was_written(store):
    case = open_case(store, icg_mg_per_kg=1.0)
    first, second = take(store, case.case_id, "take-1"), take(store, case.case_id, "take-2", sector=None)
    said = [
        (SURGEON, Correction(sector=4, reason="wrong key")),
        (OPERATOR, Annotation(text="necrotic")),
        (SURGEON, Reading(reader="surgeon-1", reading=1, rating=4, before_answer=False)),
        (PATHOLOGIST, Pathology(pathologist="pathologist-1", pathology="tumor", who_grade=4)),
        (PATHOLOGIST, Pathology(pathologist="consensus", consensus=True, pathology="non-tumor")),
    ]
    for number, (actor, entry) in enumerate(said):
        told = store.add_entry(actor, first.specimen_id, entry, request_id=f"say-{number}")
    store.add_entry(SURGEON, second.specimen_id, Withdrawal(reason="dropped"), request_id="say-9")
    closed = store.close_case(OPERATOR, case.case_id)

    read = store.case(case.case_id)
    assert read == closed
    assert read.record == CaseRecord(patient_id="P-7", consent=True, note=SECRET, icg_mg_per_kg=1.0)
    assert [specimen.number for specimen in read.specimens] == [1, 2]
    assert read.specimens[0] == told == store.specimen(first.specimen_id)
    assert [entry.said for entry in told.entries] == [entry for _, entry in said]
    assert [entry.account for entry in told.entries] == [actor.account for actor, _ in said]
    assert (told.sector, told.truth.pathology, read.specimens[1].withdrawn) == (4, "non-tumor", "dropped")
    names = first.record.images
    assert {slot: store.image(case.case_id, names[slot]) for slot in names} == PICTURES
    assert [word for _, word in trail(store)] == [
        "open_case",
        *["take"] * 2,
        *["revise", "revise", "give_reading", "give_pathology", "give_pathology", "revise", "close_case"],
    ]
    assert store.check() == []


def test_a_repeated_request_stores_nothing_twice(store):
    case = open_case(store)
    first = take(store, case.case_id, "take-1")
    assert open_case(store).case_id == case.case_id
    assert take(store, case.case_id, "take-1") == first == store.find_request("take-1")
    for _ in range(2):
        told = store.add_entry(OPERATOR, first.specimen_id, Annotation(text="once"), request_id="say-1")
    assert len(told.entries) == 1
    assert len(rows(store, CaseRow)) == len(rows(store, SpecimenRow)) == 1
    assert len(trail(store)) == 3
    assert store.find_request("never") is None
    assert store.check() == []


def test_the_same_key_press_from_many_threads_gives_one_specimen(store):
    case = open_case(store)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(take(store, case.case_id, "take-1").specimen_id)) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1
    assert store.check() == []


def test_a_request_of_another_case_or_specimen_is_told_apart(store):
    one, two = open_case(store), open_case(store, "open-2")
    first, second = take(store, one.case_id, "take-1"), take(store, one.case_id, "take-2")
    with pytest.raises(CaseConflict, match="another case"):
        take(store, two.case_id, "take-1")
    store.add_entry(OPERATOR, first.specimen_id, Annotation(text="x"), request_id="say-1")
    with pytest.raises(CaseConflict, match="another specimen"):
        store.add_entry(OPERATOR, second.specimen_id, Annotation(text="x"), request_id="say-1")
    with pytest.raises(CaseConflict, match="already"):
        take(store, one.case_id, "take-3", specimen_id=first.specimen_id)


def test_two_servers_on_one_store_give_unique_numbers_and_one_trail(store, tmp_path, url):
    case = open_case(store)
    with CaseStore.open(tmp_path / "store", url=url) as other:

        def work(where, letter):
            for number in range(10):
                take(where, case.case_id, f"{letter}-{number}")

        threads = [
            threading.Thread(target=work, args=(where, name))
            for where, name in zip([store, other] * 2, "abcd", strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [specimen.number for specimen in other.case(case.case_id).specimens] == list(range(1, 41))
        assert len(trail(store)) == 41
        assert other.check() == []


def test_an_older_record_cannot_overwrite_a_newer_one(store):
    case = open_case(store)
    amended = store.amend_case(OPERATOR, case.case_id, case.record.model_copy(update={"note": "one"}), version=1)
    assert (amended.version, amended.record.note) == (2, "one")
    with pytest.raises(CaseConflict, match=r"version 2 now, yours was made from 1"):
        store.amend_case(OPERATOR, case.case_id, case.record.model_copy(update={"note": "two"}), version=1)
    assert store.case(case.case_id).record.note == "one"
    assert [row.kind for row in rows(store, EntryRow)] == ["record", "record"]
    assert store.check() == []


def test_a_closed_case_refuses_specimens_until_it_is_reopened(store):
    case = open_case(store)
    store.close_case(OPERATOR, case.case_id)
    store.close_case(OPERATOR, case.case_id)
    with pytest.raises(InputError, match="is closed: reopen it"):
        take(store, case.case_id, "take-1")
    assert store.reopen_case(OPERATOR, case.case_id).closed_at is None
    assert take(store, case.case_id, "take-1").number == 1
    assert [word for _, word in trail(store)] == ["open_case", "close_case", "reopen_case", "take"]


def test_a_clock_that_jumps_back_changes_no_order(store, clock):
    one = open_case(store)
    first = take(store, one.case_id, "take-1")
    clock.now -= timedelta(days=300)
    second = take(store, one.case_id, "take-2")
    for number in range(3):
        store.add_entry(OPERATOR, first.specimen_id, Annotation(text=str(number)), request_id=f"say-{number}")
        clock.now -= timedelta(days=1)
    two = open_case(store, "open-2")
    assert second.taken_at < first.taken_at
    assert [specimen.number for specimen in store.case(one.case_id).specimens] == [1, 2]
    assert [entry.said.text for entry in store.specimen(first.specimen_id).entries] == ["0", "1", "2"]
    assert [summary.case_id for summary in store.summaries()] == [two.case_id, one.case_id]


def test_the_list_of_cases_counts_and_turns_pages(store):
    cases = [open_case(store, f"open-{number}", patient_id=f"P-{number}") for number in range(5)]
    take(store, cases[3].case_id, "take-1")
    listed = store.summaries()
    assert [(line.patient_id, line.n_specimens) for line in listed] == [
        ("P-4", 0),
        ("P-3", 1),
        ("P-2", 0),
        ("P-1", 0),
        ("P-0", 0),
    ]
    assert store.summaries(limit=2, offset=1) == listed[1:3]
    with pytest.raises(InputError, match="1 to 1000"):
        store.summaries(limit=0)


def test_an_erased_case_leaves_its_trail_and_nothing_else(store, tmp_path):
    case, other = open_case(store), open_case(store, "open-2", patient_id="P-8")
    specimen = take(store, case.case_id, "take-1")
    kept = take(store, other.case_id, "take-2")
    store.add_entry(OPERATOR, specimen.specimen_id, Annotation(text=SECRET), request_id="say-1")
    before = trail(store)
    for _ in range(2):
        store.erase_case(COMMAND_LINE, case.case_id, "Consent withdrawn by Mrs Kilimanjaro")

    for read in (store.case, lambda _: store.specimen(specimen.specimen_id), lambda _: store.find_request("take-1")):
        with pytest.raises(CaseErased):
            read(case.case_id)
    with pytest.raises(CaseErased):
        store.image(case.case_id, specimen.record.images["fl"])
    with pytest.raises(CaseErased):
        take(store, case.case_id, "take-3")
    with pytest.raises(CaseErased):
        store.amend_case(OPERATOR, case.case_id, case.record, version=1)
    assert trail(store) == [*before, ("command-line", "erase")]
    assert [row.sealed for row in rows(store, SpecimenRow) if row.case_id == case.case_id] == [b""]
    assert set(store.images.names()) == set(kept.record.images.values())
    summary = store.summaries()[1]
    assert (summary.patient_id, summary.n_specimens, summary.erased_at is not None) == (None, 1, True)
    assert store.case(other.case_id).specimens[0].record == kept.record
    assert store.check() == []


def test_after_erasure_no_file_holds_the_sealed_bytes(lite, tmp_path):
    case = open_case(lite)
    take(lite, case.case_id, "take-1")
    sealed = [row.sealed for table in (CaseRow, SpecimenRow, EntryRow) for row in rows(lite, table)]
    on_disk = lambda: b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())  # noqa: E731
    assert all(bytes(piece) in on_disk() for piece in sealed)
    lite.erase_case(COMMAND_LINE, case.case_id, "consent withdrawn")
    left = on_disk()
    assert not any(bytes(piece) in left for piece in sealed)


def test_an_erasure_that_a_crash_interrupted_is_finished_at_the_next_start(store, tmp_path, url, monkeypatch):
    case = open_case(store)
    take(store, case.case_id, "take-1")

    def power_cut(_):
        raise OSError("power cut")

    monkeypatch.setattr(store.keys, "erase", power_cut)
    with pytest.raises(OSError, match="power cut"):
        store.erase_case(COMMAND_LINE, case.case_id, "consent withdrawn")
    assert len(list(store.images.names())) == 2
    with CaseStore.open(tmp_path / "store", url=url) as again:
        assert list(again.images.names()) == []
        with pytest.raises(CaseErased):
            again.keys.case(case.case_id)
        assert rows(again, ImageRow) == []
        assert again.check() == []


def test_nothing_of_a_patient_is_readable_on_the_disk(lite, tmp_path):
    case = open_case(lite, patient_id="Pseudonym-Aconcagua")
    specimen = take(lite, case.case_id, "take-1")
    lite.add_entry(OPERATOR, specimen.specimen_id, Annotation(text=SECRET), request_id="say-1")
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file():
            held = path.read_bytes()
            assert not any(word in held for word in (b"Kilimanjaro", b"Aconcagua", b"fluorescence", b"white light"))


@pytest.mark.parametrize(
    ("actor", "work"),
    [
        (SURGEON, lambda store, case, specimen: open_case_as(store, SURGEON)),
        (SURGEON, lambda store, case, specimen: store.amend_case(SURGEON, case.case_id, case.record, version=1)),
        (SURGEON, lambda store, case, specimen: store.close_case(SURGEON, case.case_id)),
        (SURGEON, lambda store, case, specimen: store.reopen_case(SURGEON, case.case_id)),
        (SURGEON, lambda store, case, specimen: store.erase_case(SURGEON, case.case_id, "no")),
        (
            PATHOLOGIST,
            lambda store, case, specimen: store.add_specimen(
                PATHOLOGIST, case.case_id, specimen.record, images={}, request_id="x"
            ),
        ),
        (PATHOLOGIST, lambda store, case, specimen: say(store, PATHOLOGIST, specimen, Annotation(text="x"))),
        (SURGEON, lambda store, case, specimen: say(store, SURGEON, specimen, opinion("surgeon-1"))),
        (PATHOLOGIST, lambda store, case, specimen: say(store, PATHOLOGIST, specimen, reading("pathologist-1"))),
        (COMMAND_LINE, lambda store, case, specimen: say(store, COMMAND_LINE, specimen, Annotation(text="x"))),
    ],
)
def test_every_writer_is_checked_against_the_table_of_roles(lite, actor, work):
    case = open_case(lite)
    specimen = take(lite, case.case_id, "take-1")
    links = len(trail(lite))
    with pytest.raises(NotAllowed, match=actor.account):
        work(lite, case, specimen)
    assert len(trail(lite)) == links


def open_case_as(store, actor):
    return store.open_case(actor, CaseRecord(patient_id="P", consent=True), data_kind="real", request_id="x")


def say(store, actor, specimen, said):
    return store.add_entry(actor, specimen.specimen_id, said, request_id="say-x")


def opinion(pathologist):
    return Pathology(pathologist=pathologist, pathology="tumor")


def reading(reader):
    return Reading(reader=reader, reading=1)


def test_nobody_speaks_in_the_name_of_another(lite):
    specimen = take(lite, open_case(lite).case_id, "take-1")
    with pytest.raises(InputError, match="in the name of pathologist-2"):
        say(lite, PATHOLOGIST, specimen, opinion("pathologist-2"))
    with pytest.raises(InputError, match="in the name of surgeon-2"):
        say(lite, SURGEON, specimen, reading("surgeon-2"))


@pytest.mark.parametrize("name", ["c0000000000000000", "../../etc/passwd", "a\0b", "", "x" * 100, "Jürgen"])
def test_names_that_lead_nowhere_get_a_sentence(store, name):
    open_case(store)
    for read in (store.case, store.specimen, lambda name: store.image(name, "0" * 64), store.find_request):
        try:
            assert read(name) is None
        except InputError as error:
            assert "\n" not in str(error)
    with pytest.raises(InputError):
        take(store, name, "take-1")
    with pytest.raises(InputError):
        store.amend_case(OPERATOR, name, CaseRecord(patient_id="P", consent=True), version=1)
    assert store.check() == []


def test_a_picture_of_another_case_is_not_given(store):
    one, two = open_case(store), open_case(store, "open-2")
    specimen = take(store, one.case_id, "take-1")
    with pytest.raises(NoSuchCase):
        store.image(two.case_id, specimen.record.images["fl"])
    with pytest.raises(InputError, match="not 'mri'"):
        take(store, one.case_id, "take-2", images={"mri": b"x"})


def test_a_specimen_that_cannot_be_stored_leaves_no_row_and_no_link(lite):
    case = open_case(lite)

    @event.listens_for(lite.database.engine, "begin")
    def limit(connection):
        connection.exec_driver_sql("PRAGMA max_page_count = 1")

    record = SpecimenRecord(diagnosis={"padding": "x" * 20_000})
    with pytest.raises(DatabaseError, match="disk of the case store is full; nothing was stored"):
        lite.add_specimen(SURGEON, case.case_id, record, images=PICTURES, request_id="take-1")
    event.remove(lite.database.engine, "begin", limit)
    lite.close()  # the limit lives as long as its connection
    assert lite.find_request("take-1") is None
    assert len(trail(lite)) == 1
    assert [problem.split(":")[0] for problem in lite.check()] == ["orphan images"]
    assert take(lite, case.case_id, "take-1").number == 1


def test_a_head_that_cannot_be_written_does_not_deny_what_was_stored(lite, monkeypatch, caplog):
    case = open_case(lite)

    def full(_):
        raise InputError("audit.head cannot be written: No space left on device")

    monkeypatch.setattr(lite.audit, "note_head", full)
    assert take(lite, case.case_id, "take-1").number == 1
    lite.close()  # it is written aside
    assert "audit.head was not written" in caplog.text
    monkeypatch.undo()
    assert lite.check() == []


def test_a_locked_store_says_so(lite, tmp_path):
    case = open_case(lite)
    with sqlite3.connect(tmp_path / "store" / "store.sqlite3", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseError, match="locked by another program"):
            take(lite, case.case_id, "take-1")
        other.execute("ROLLBACK")
    assert lite.case(case.case_id).specimens == ()
    assert take(lite, case.case_id, "take-1").number == 1


def test_the_check_names_what_was_changed_outside(lite, tmp_path):
    case = open_case(lite)
    specimens = [take(lite, case.case_id, f"take-{number}") for number in range(4)]
    said = lite.add_entry(OPERATOR, specimens[0].specimen_id, Annotation(text="x"), request_id="say-1").entries[0]
    lost, changed = specimens[1].record.images.values()
    (tmp_path / "store/images" / lost[:2] / lost).unlink()
    (tmp_path / "store/images" / changed[:2] / changed).write_bytes(b"other")
    with lite.database.writing() as session:
        for statement in (
            f"UPDATE specimens SET number = 9 WHERE specimen_id = '{specimens[2].specimen_id}'",
            f"UPDATE entries SET account = 'operator-2' WHERE entry_id = '{said.entry_id}'",
            "UPDATE audit SET account = 'operator-2' WHERE seq = 2",
            f"UPDATE cases SET opened_by = 'operator-2' WHERE case_id = '{case.case_id}'",
        ):
            session.execute(text(statement))
    found = "\n".join(lite.check())
    for word in (
        f"image {lost} is missing",
        f"image {changed} was changed",
        "misses specimens 3, 5",
        '"specimen"',
        '"entry"',
        '"case"',
        "link 2 was changed",
    ):
        assert word in found


def test_a_row_of_an_older_copy_is_found_although_it_opens(lite):
    case = open_case(lite)
    with lite.database.session() as session:
        old = session.get(CaseRow, case.case_id)
    lite.amend_case(OPERATOR, case.case_id, case.record.model_copy(update={"consent": False}), version=1)
    with lite.database.writing() as session:
        row = session.get(CaseRow, case.case_id)
        row.sealed, row.version = old.sealed, old.version
    assert lite.case(case.case_id).record.consent
    assert [problem for problem in lite.check() if "not the one that the audit trail says was written last" in problem]


def test_a_specimen_that_was_deleted_outside_is_missed(lite):
    case = open_case(lite)
    take(lite, case.case_id, "take-1")
    last = take(lite, case.case_id, "take-2", images={})
    with lite.database.writing() as session:
        session.execute(text(f"DELETE FROM specimens WHERE specimen_id = '{last.specimen_id}'"))
    assert lite.check() == [f"specimen {last.specimen_id} lacks a record or an entry that the audit trail knows"]


def test_what_a_crash_left_is_listed_and_swept_after_an_hour(lite, monkeypatch):
    case = open_case(lite)
    take(lite, case.case_id, "take-1")
    lite.images.put(lite.keys.case(case.case_id), b"never got its row")
    lite.keys.new_case("c-never")
    assert [problem.split(":")[0] for problem in lite.check()] == ["orphan images", "orphan keys"]
    assert lite.sweep() == 0
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3700)
    assert lite.sweep() == 2
    assert lite.check() == []
    assert lite.case(case.case_id).specimens[0].number == 1


def test_a_store_is_opened_only_if_it_is_one(tmp_path, clock):
    with pytest.raises(InputError, match="no case store in"):
        CaseStore.open(tmp_path / "none")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").touch()
    with pytest.raises(InputError, match=r"not empty \(holiday.jpg\)"):
        CaseStore.open(tmp_path / "photos", create=True)
    CaseStore.open(tmp_path / "store", create=True).close()
    CaseStore.open(tmp_path / "store", create=True).close()
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "layout.json").write_text('{"layout": 2, "database": "sqlite"}'), "layout 2"),
        (lambda folder: (folder / "layout.json").write_text('{"layout"'), "layout.json is damaged"),
        (lambda folder: (folder / "layout.json").write_text('{"layout": 1, "database": "postgresql"}'), "give its URL"),
        (lambda folder: (folder / "master.key").unlink(), "master key"),
        (lambda folder: (folder / "store.sqlite3").unlink(), "store.sqlite3 is missing"),
        (lambda folder: (folder / "store.sqlite3").write_bytes(b"rubbish" * 999), "damaged"),
    ],
)
@pytest.mark.parametrize("create", [False, True])
def test_a_damaged_store_gets_a_sentence_and_is_not_made_anew(tmp_path, damage, sentence, create):
    CaseStore.open(tmp_path / "store", create=True).close()
    damage(tmp_path / "store")
    with pytest.raises(InputError, match=sentence):
        CaseStore.open(tmp_path / "store", create=create)


def test_a_store_of_its_own_rows_takes_no_url(tmp_path):
    CaseStore.open(tmp_path / "store", create=True).close()
    with pytest.raises(InputError, match="leave the URL out"):
        CaseStore.open(tmp_path / "store", url="postgresql://nowhere/none")


def test_ten_thousand_specimens_stay_quick_without_a_query_for_each(lite):
    case = fill(lite, n_cases=80, n_specimens=125)
    statements = []

    @event.listens_for(lite.database.engine, "before_cursor_execute")
    def count(_connection, _cursor, statement, *_):
        if statement != "BEGIN":
            statements.append(statement)

    def best_ms(work):
        took = []
        for _ in range(5):
            began = time.perf_counter()
            work()
            took.append(1000 * (time.perf_counter() - began))
        return min(took)

    assert len(lite.case(case).specimens) == 125
    assert len(statements) == 3
    assert len(lite.summaries()) == 80
    assert len(statements) == 4
    assert sum(summary.n_specimens for summary in lite.summaries()) == 10_000
    assert best_ms(lambda: lite.case(case)) < 30
    assert best_ms(lite.summaries) < 30


def fill(store, *, n_cases, n_specimens):
    """Rows without pictures, in a transaction a case: ten thousand fsyncs would only test the disk."""
    for number in range(n_cases):
        case_id = open_case(store, f"open-{number}").case_id
        sealed = []
        key = store.keys.case(case_id)
        for position in range(n_specimens):
            specimen_id = f"s{number}-{position}"
            row = SpecimenRow(
                specimen_id=specimen_id,
                case_id=case_id,
                number=position + 1,
                request_id=specimen_id,
                taken_at="2026-05-01T08:00:00+00:00",
                account="surgeon-1",
                sealed=b"",
            )
            record = SpecimenRecord(sector=1, diagnosis=DIAGNOSIS)
            row.sealed = key.seal(record.model_dump_json().encode(), specimen_context(row))
            sealed.append(row)
        with store.database.writing() as session:
            session.add_all(sealed)
    return case_id


DIAGNOSIS = {
    "schema": 2,
    "tasks": {
        task: {"decision": "positive", "y_score": 0.9, "y_probability": 0.8, "y_interval": [0.7, 0.9], "reasons": []}
        for task in ("tumor", "grade", "ki67")
    },
}


def test_only_a_first_reading_in_an_open_blind_case_is_before_the_answer(store):
    blind = open_case(store, blind_reading=True)
    plain = store.open_case(
        OPERATOR, CaseRecord(patient_id="P-9", consent=True), data_kind="simulated", request_id="open-plain"
    )
    one, other = take(store, blind.case_id, "take-1"), take(store, plain.case_id, "take-2")
    late = take(store, blind.case_id, "take-3")

    def read(specimen, request):
        said = Reading(reader="surgeon-1", reading=1)
        return store.add_entry(SURGEON, specimen.specimen_id, said, request_id=request).readings[-1].before_answer

    assert read(one, "read-1")
    assert not read(one, "read-2")
    assert not read(other, "read-3")
    store.close_case(OPERATOR, blind.case_id)
    store.reopen_case(OPERATOR, blind.case_id)
    assert not read(late, "read-4")


def test_the_facts_of_the_machine_are_not_amended(store):
    case = open_case(store, suite="suite-a", suite_sha256="ab" * 32)
    amended = store.amend_case(
        OPERATOR, case.case_id, CaseRecord(patient_id="P-8", consent=True, suite="other"), version=case.version
    )
    assert (amended.record.patient_id, amended.record.suite, amended.record.suite_sha256) == (
        *("P-8", "suite-a", "ab" * 32),
    )

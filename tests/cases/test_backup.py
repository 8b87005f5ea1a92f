import threading

import pytest
from sqlalchemy import text

from glioscope.cases._backup import restore
from glioscope.cases._keys import CaseErased
from glioscope.cases._records import Annotation
from glioscope.cases._roles import COMMAND_LINE, AccountRole
from glioscope.cases._store import CaseStore
from glioscope.core import InputError

from .postgres import postgres_server, postgres_url  # noqa: F401
from .test_store import OPERATOR, PICTURES, Clock, open_case, take

PASSWORD = "a very long pass phrase"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request) -> str | None:
    return None if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def store(tmp_path, url):
    with CaseStore.open(tmp_path / "store", url=url, create=True, clock=Clock()) as store:
        yield store


def filled(store) -> str:
    """Two cases, one of them erased; gives the other's id."""
    store.accounts.create(COMMAND_LINE, "operator-1", AccountRole.OPERATOR, PASSWORD)
    gone = open_case(store, "open-1")
    take(store, gone.case_id, "gone-1")
    store.erase_case(COMMAND_LINE, gone.case_id, "consent withdrawn")
    case = open_case(store, "open-2")
    for number in range(3):
        specimen = take(store, case.case_id, f"take-{number}")
        store.add_entry(OPERATOR, specimen.specimen_id, Annotation(text="seen"), request_id=f"say-{number}")
    return case.case_id


def test_a_backup_is_a_store_that_reads_the_same(store, tmp_path):
    case_id = filled(store)
    assert store.backup(tmp_path / "backup") == []
    with CaseStore.open(tmp_path / "backup") as copy:
        assert copy.case(case_id) == store.case(case_id)
        assert copy.summaries() == store.summaries()
        names = copy.case(case_id).specimens[0].record.images
        assert {slot: copy.image(case_id, name) for slot, name in names.items()} == PICTURES
        assert copy.accounts.authenticate("operator-1", PASSWORD) is not None
        assert copy.check() == []
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o700
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_restored_store_goes_on_where_the_old_one_stopped(store, tmp_path):
    case_id = filled(store)
    store.backup(tmp_path / "backup")
    before = {path: path.read_bytes() for path in (tmp_path / "backup").rglob("*") if path.is_file()}
    restore(tmp_path / "backup", tmp_path / "restored")
    assert {path: path.read_bytes() for path in (tmp_path / "backup").rglob("*") if path.is_file()} == before
    with CaseStore.open(tmp_path / "restored") as restored:
        specimen = take(restored, case_id, "take-9")
        assert specimen.number == 4
        restored.add_entry(OPERATOR, specimen.specimen_id, Annotation(text="on"), request_id="say-9")
        assert restored.check() == []


def test_a_backup_is_restored_into_postgresql_too(tmp_path, postgres_url):  # noqa: F811
    with CaseStore.open(tmp_path / "store", create=True) as store:
        case_id = filled(store)
        store.backup(tmp_path / "backup")
        restore(tmp_path / "backup", tmp_path / "restored", url=postgres_url)
        with CaseStore.open(tmp_path / "restored", url=postgres_url) as restored:
            assert restored.case(case_id) == store.case(case_id)
            specimen = take(restored, case_id, "take-9")
            restored.add_entry(OPERATOR, specimen.specimen_id, Annotation(text="on"), request_id="say-9")
            assert restored.check() == []
    with pytest.raises(InputError, match="already: give an empty one"):
        restore(tmp_path / "backup", tmp_path / "again", url=postgres_url)
    assert not (tmp_path / "again").exists()


def test_a_backup_while_specimens_are_taken_is_whole(store, tmp_path):
    case_id = filled(store)
    stop = threading.Event()
    taken = []

    def work():
        while not stop.is_set():
            taken.append(take(store, case_id, f"live-{len(taken)}").number)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for number in range(3):
            done = len(taken)
            assert store.backup(tmp_path / f"backup-{number}") == []
            with CaseStore.open(tmp_path / f"backup-{number}") as copy:
                assert len(copy.case(case_id).specimens) >= 3 + done
    finally:
        stop.set()
        thread.join()
    assert len(taken) > 3
    assert store.check() == []


def test_an_erased_case_is_not_in_a_new_backup(store, tmp_path):
    case_id = filled(store)
    store.erase_case(COMMAND_LINE, case_id, "consent withdrawn")
    assert store.backup(tmp_path / "backup") == []
    with CaseStore.open(tmp_path / "backup") as copy, pytest.raises(CaseErased):
        copy.case(case_id)


def test_what_is_there_already_is_never_overwritten(tmp_path):
    with CaseStore.open(tmp_path / "store", create=True) as store:
        filled(store)
        store.backup(tmp_path / "backup")
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "file").touch()
        for target in ("full", "backup", "store"):
            with pytest.raises(InputError, match="is there already"):
                store.backup(tmp_path / target)
            with pytest.raises(InputError, match="is there already"):
                restore(tmp_path / "backup", tmp_path / target)
    with pytest.raises(InputError, match="no backup of a case store"):
        restore(tmp_path / "full", tmp_path / "new")


def test_a_damaged_store_is_copied_with_a_word_and_restored_only_on_request(tmp_path):
    with CaseStore.open(tmp_path / "store", create=True) as store:
        case_id = filled(store)
        lost = store.case(case_id).specimens[0].record.images["fl"]
        store.images.delete(lost)
        assert store.backup(tmp_path / "backup") == [f"image {lost} is missing"]
    with pytest.raises(InputError, match=f"is damaged: image {lost} is missing"):
        restore(tmp_path / "backup", tmp_path / "restored")
    assert not (tmp_path / "restored").exists()
    restore(tmp_path / "backup", tmp_path / "restored", damaged=True)
    with CaseStore.open(tmp_path / "restored") as restored:
        assert len(restored.case(case_id).specimens) == 3


def test_a_backup_whose_trail_was_changed_is_refused(tmp_path):
    with CaseStore.open(tmp_path / "store", create=True) as store:
        filled(store)
        store.backup(tmp_path / "backup")
    with CaseStore.open(tmp_path / "backup") as copy, copy.database.writing() as session:
        session.execute(text("DELETE FROM audit WHERE seq = 2"))
    with pytest.raises(InputError, match="damaged: 1 link is missing before link 3"):
        restore(tmp_path / "backup", tmp_path / "restored")


def test_a_master_key_that_lies_elsewhere_stays_there(tmp_path, monkeypatch):
    monkeypatch.setenv("GLIOSCOPE_MASTER_KEY", str(tmp_path / "elsewhere.key"))
    with CaseStore.open(tmp_path / "store", create=True) as store:
        case_id = filled(store)
        assert store.backup(tmp_path / "backup") == []
    assert not (tmp_path / "backup" / "master.key").exists()
    restore(tmp_path / "backup", tmp_path / "restored")
    with CaseStore.open(tmp_path / "restored") as restored:
        assert len(restored.case(case_id).specimens) == 3
    monkeypatch.delenv("GLIOSCOPE_MASTER_KEY")
    with pytest.raises(InputError, match="master key"):
        restore(tmp_path / "backup", tmp_path / "other")


def test_a_full_disk_leaves_no_half_backup(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with CaseStore.open(tmp_path / "store", create=True) as store:
        filled(store)
        monkeypatch.setattr("glioscope.cases._backup.shutil.copy2", full)
        with pytest.raises(InputError, match="cannot be written: No space left on device"):
            store.backup(tmp_path / "backup")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]

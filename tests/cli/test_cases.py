"""`glioscope cases` and `glioscope export` as whoever looks after the store uses them."""

import io
import shutil

import pytest

from glioscope.cases import AccountRole, CaseErased, CaseStore

from ..cases.filled import begin, make_store, pathology, take
from ..commands import refused, run

PASSWORD = "a lamp above the sea"


@pytest.fixture(autouse=True)
def _no_server(monkeypatch):
    monkeypatch.delenv("GLIOSCOPE_DATABASE", raising=False)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def folder(tmp_path):
    """A store with a case of P-07 (two specimens, one with pathology) and an empty one of P-08."""
    path = tmp_path / "store"
    with make_store(path) as store:
        case = begin(store)
        pathology(store, take(store, case), who_grade=4, diagnosis="Glioblastoma")
        take(store, case, 0.2)
        begin(store, "P-08")
    return path


@pytest.fixture
def typed(monkeypatch):
    """What stands on standard input."""

    def put(text: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))

    return put


def case_of(folder, patient):
    with CaseStore.open(folder) as store:
        return next(s.case_id for s in store.summaries() if s.patient_id == patient)


def test_the_list_shows_cases_and_finds_those_of_a_patient(folder):
    ran = run("cases", "list", folder)
    assert ran.code == 0, ran.err
    assert "P-07" in ran.out
    assert "P-08" in ran.out
    assert "simulated" in ran.out
    one = run("cases", "list", folder, "--patient", "P-07").out
    assert case_of(folder, "P-07") in one
    assert "P-08" not in one


def test_a_whole_store_is_said_to_be_whole(folder):
    ran = run("cases", "verify", folder)
    assert (ran.code, ran.errors) == (0, [])
    assert "links, whole" in ran.out
    ran = run("cases", "check", folder)
    assert (ran.code, ran.errors) == (0, [])


def test_a_changed_picture_is_found(folder):
    picture = next(path for path in (folder / "images").glob("*/*") if path.is_file())
    picture.write_bytes(picture.read_bytes()[:-1])
    ran = run("cases", "check", folder)
    assert ran.code == 1
    assert any(picture.name in sentence for sentence in ran.errors)


def test_a_trail_that_was_cut_off_is_found(folder):
    with CaseStore.open(folder) as store, store.database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER IF EXISTS audit_is_append_only")
        for name in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql("DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)")
    ran = run("cases", "verify", folder)
    assert ran.code == 1
    assert "cut off" in " ".join(ran.errors)


def test_a_backup_is_restored_and_nothing_is_overwritten(folder, tmp_path):
    copy, again = tmp_path / "backup", tmp_path / "again"
    assert run("cases", "backup", folder, "--to", copy).code == 0
    refused(run("cases", "backup", folder, "--to", copy), str(copy))
    shutil.rmtree(folder)
    assert run("cases", "restore", copy, "--to", again).code == 0
    refused(run("cases", "restore", copy, "--to", again), str(again))
    assert run("cases", "list", again).out.count("P-0") == 2
    assert run("cases", "check", again).code == 0


def test_erasing_destroys_a_case_and_leaves_the_trail_whole(folder, typed):
    case = case_of(folder, "P-07")
    ran = run("cases", "erase", folder, case, "--reason", "consent withdrawn", "--yes")
    assert ran.code == 0, ran.err
    with CaseStore.open(folder) as store, pytest.raises(CaseErased):
        store.case(case)
    assert run("cases", "verify", folder).code == 0
    assert "P-07" not in run("cases", "list", folder).out
    assert "erased" in run("cases", "list", folder).out


def test_erasing_needs_the_name_of_the_case_typed_again(folder, typed):
    case = case_of(folder, "P-07")
    typed("yes\n")
    refused(run("cases", "erase", folder, case, "--reason", "r"), "was not erased")
    assert case_of(folder, "P-07") == case
    typed(f"{case}\nconsent withdrawn\n")
    assert run("cases", "erase", folder, case).code == 0


def test_an_account_is_made_with_a_password_from_standard_input(folder, typed):
    typed(f"{PASSWORD}\n")
    ran = run("cases", "account-add", folder, "surgeon-2", "--role", "surgeon")
    assert ran.code == 0, ran.err
    assert PASSWORD not in ran.out + ran.err
    with CaseStore.open(folder) as store:
        actor = store.accounts.authenticate("surgeon-2", PASSWORD)
    assert (actor.account, actor.role) == ("surgeon-2", AccountRole.SURGEON)
    typed("quite another lamp\n")
    assert run("cases", "account-password", folder, "surgeon-2").code == 0
    with CaseStore.open(folder) as store:
        assert store.accounts.authenticate("surgeon-2", PASSWORD) is None
    assert run("cases", "account-disable", folder, "surgeon-2").code == 0
    assert "disabled" in run("cases", "account-list", folder).out
    with CaseStore.open(folder) as store:
        assert store.accounts.authenticate("surgeon-2", "quite another lamp") is None


def test_a_bad_password_or_role_is_one_sentence(folder, typed):
    typed("short\n")
    refused(run("cases", "account-add", folder, "surgeon-2", "--role", "surgeon"), "password", "12")
    typed(f"{PASSWORD}\n")
    refused(run("cases", "account-add", folder, "surgeon-2", "--role", "chief"), "chief", "pathologist")


def test_a_folder_that_is_no_store_is_refused_and_stays_empty(tmp_path):
    (tmp_path / "empty").mkdir()
    for command in ("list", "verify", "check"):
        refused(run("cases", command, tmp_path / "empty"), "empty")
    refused(run("export", tmp_path / "empty", "--out", tmp_path / "out"), "empty")
    assert list((tmp_path / "empty").iterdir()) == []
    assert not (tmp_path / "out").exists()


def test_an_export_is_a_manifest_that_check_accepts(folder, tmp_path):
    out = tmp_path / "out"
    ran = run("export", folder, "--out", out)
    assert ran.code == 0, ran.err
    assert "cases: 1, patients: 1, specimens: 2 (1 with pathology)" in ran.out
    assert "Research use only" in ran.out
    checked = run("check", out / "manifest.csv")
    assert checked.code == 0, checked.err
    refused(run("export", folder, "--out", out), "not empty")


def test_exporting_one_case_leaves_the_others_and_an_unknown_one_is_named(folder, tmp_path):
    refused(run("export", folder, "--out", tmp_path / "a", "--case", "c123"), "c123")
    refused(run("export", folder, "--out", tmp_path / "a", "--case", case_of(folder, "P-08")), "nothing to export")
    assert run("export", folder, "--out", tmp_path / "a", "--case", case_of(folder, "P-07")).code == 0

"""The JSON interface of a running console: what it gives to whom, and that nothing sent to it breaks it."""

from types import SimpleNamespace

import pytest
from fastapi import FastAPI

from glioscope.cases import Pathology
from glioscope.console._api import add_api

from .fuzzed import fuzz
from .record_server import OPERATOR, PASSWORD, PATHOLOGIST, SECOND, SURGEON, add_specimen, case_record, client, served
from .theatres import new_request

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def headers(account):
    return {"Origin": served().url, "Cookie": f"glioscope={client(account).token}"}


def ask(account, method, path, **body):
    import httpx

    sent = {"json": body} if body else {}
    return httpx.request(method, served().url + path, headers=headers(account), timeout=20, **sent)


def new_specimen(**facts):
    store = served().store
    case = store.open_case(OPERATOR, case_record(**facts), data_kind="simulated", request_id=new_request())
    return add_specimen(store, case.case_id)


def test_a_case_and_its_specimens_are_given_as_they_are_kept():
    shown = ask("operator", "GET", f"/api/cases/{served().case_id}").json()
    assert shown["record"]["patient_id"] == served().store.case(served().case_id).record.patient_id
    kept = [specimen.specimen_id for specimen in served().taken]
    assert [specimen["specimen_id"] for specimen in shown["specimens"]][: len(kept)] == kept
    assert all(specimen["revealed"] for specimen in shown["specimens"])


def test_a_blind_reader_gets_no_answer_before_the_reading():
    specimen = new_specimen(blind_reading=True)
    path = f"/api/specimens/{specimen.specimen_id}"
    before = ask(SURGEON.account, "GET", path)
    assert before.json()["revealed"] is False
    assert "0.93" not in before.text
    said = {"kind": "reading", "reader": SURGEON.account, "reading": 1, "rating": 4}
    assert ask(SURGEON.account, "POST", path + "/entries", request_id=new_request(), said=said).status_code == 201
    assert "0.93" in ask(SURGEON.account, "GET", path).text


def test_a_pathologist_gets_neither_answer_nor_opinions_before_giving_one():
    specimen = new_specimen()
    path = f"/api/specimens/{specimen.specimen_id}"
    other = Pathology(pathologist=SECOND.account, pathology="tumor", diagnosis="Oligodendroglioma")
    served().store.add_entry(SECOND, specimen.specimen_id, other, request_id=new_request())
    before = ask(PATHOLOGIST.account, "GET", path).text
    assert "Oligodendroglioma" not in before
    assert "0.93" not in before
    said = {"kind": "pathology", "pathologist": PATHOLOGIST.account, "pathology": "non-tumor"}
    ask(PATHOLOGIST.account, "POST", path + "/entries", request_id=new_request(), said=said)
    after = ask(PATHOLOGIST.account, "GET", path).text
    assert "Oligodendroglioma" in after
    assert "0.93" in after


def test_the_same_request_is_stored_once():
    specimen = new_specimen()
    body = {"request_id": new_request(), "said": {"kind": "annotation", "text": "blood on it"}}
    for _ in range(3):
        answer = ask("operator", "POST", f"/api/specimens/{specimen.specimen_id}/entries", **body)
        assert answer.status_code == 201
    assert len(served().store.specimen(specimen.specimen_id).entries) == 1


@pytest.mark.parametrize(
    ("account", "method", "path", "body", "status"),
    [
        ("operator", "GET", "/api/cases/nowhere", {}, 404),
        ("operator", "GET", "/api/specimens/nowhere", {}, 404),
        ("operator", "POST", "/api/take", {"request_id": "a-request-1", "sector": 9}, 422),
        ("operator", "POST", "/api/take", {"request_id": "short"}, 422),
        ("operator", "POST", "/api/take", {"request_id": "a-request-1", "patient": "x"}, 422),
        ("pathologist", "POST", "/api/take", {"request_id": "a-request-1"}, 403),
        ("administrator", "GET", "/api/cases", {}, 403),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(account, method, path, body, status):
    answer = ask(account, method, path, **body)
    assert answer.status_code == status
    if status in (404, 422):
        assert set(answer.json()) == {"error"}
        assert PASSWORD not in answer.text


def test_whatever_is_sent_no_answer_is_an_error_of_the_server():
    app = FastAPI()
    add_api(app, SimpleNamespace(theatre=None, store=None))
    counted = fuzz(app, served().url, headers=headers("operator"), examples=8)
    assert len(counted) >= 13
    assert ask("operator", "GET", "/api/status").status_code == 200

"""A theatre from the first key press to the closed case, on the simulated unit. Everything is SIMULATED."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import pytest

from glioscope.cases import CaseErased, CaseStore, NotAllowed, Reading
from glioscope.console._capture import CaptureError
from glioscope.console._taken import Taken
from glioscope.console._theatre import Theatre
from glioscope.core import Decision, InputError
from glioscope.devices import CameraFault, open_case, read_phantom

from ..suites import copy_suite, lenient_suite
from .theatres import (
    ADMINISTRATOR,
    OPERATOR,
    PATHOLOGIST,
    SURGEON,
    lit,
    make_theatre,
    new_request,
    record,
    served_suite,
    switch_on,
)

T = TypeVar("T")

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("theatre")


@pytest.fixture(scope="module")
def theatre(folder: Path, request: pytest.FixtureRequest) -> Iterator[Theatre]:
    """Lit, with one specimen under it; answered by the demo's suite, or a tiny one that answers whatever it sees."""
    if (served_suite() / "suite.json").is_file():
        suite = copy_suite(served_suite(), folder / "suite")
    else:
        suite = lenient_suite(request.getfixturevalue("tiny_suite"), folder / "suite")
    with make_theatre(folder, suite=suite, recordings=folder / "recordings", take_timeout_s=4.0) as made, lit(made):
        lay(made)
        yield made


@pytest.fixture(autouse=True)
def no_case_left(theatre: Theatre) -> Iterator[None]:
    yield
    if theatre.case_id is not None:
        theatre.close_case(OPERATOR)


@pytest.fixture
def case_id(theatre: Theatre) -> str:
    case = theatre.open_case(OPERATOR, record(), request_id=new_request())
    switch_on(theatre, "page")
    return case.case_id


def lay(theatre: Theatre) -> None:
    theatre.simulator.next_specimen()  # type: ignore[union-attr]
    time.sleep(0.3)


def patiently(theatre: Theatre, work: Callable[[], T]) -> T:
    """What a busy machine holds up is asked again, as an operator would."""
    for _ in range(8):
        try:
            return work()
        except CaptureError as error:
            if any(words in str(error) for words in ("nothing lies", "specimens in the frame")):
                raise
            time.sleep(0.5)
            if theatre.status().light.state != "emitting":  # type: ignore[union-attr]
                switch_on(theatre, "page")
    return work()


def take(theatre: Theatre, *, sector: int = 1, request_id: str | None = None) -> Taken:
    wanted = request_id or new_request()
    return patiently(theatre, lambda: theatre.take(OPERATOR, sector=sector, request_id=wanted))


def take_tray(theatre: Theatre, request_id: str) -> list[Taken]:
    return patiently(theatre, lambda: theatre.take_tray(OPERATOR, sector=2, request_id=request_id))


def test_a_specimen_is_on_disk_with_its_answer_pictures_and_conditions(theatre, folder, case_id):
    heard: list[tuple[str, dict]] = []
    leave = theatre.listen(lambda kind, facts: heard.append((kind, facts)))
    request_id = new_request()
    try:
        taken = take(theatre, sector=3, request_id=request_id)
    finally:
        leave()
    kept = theatre.store.case(case_id).specimens[-1]
    assert kept == taken.specimen == theatre.store.find_request(request_id)
    assert (kept.number, kept.sector, kept.account) == (1, 3, OPERATOR.account)
    assert kept.record.diagnosis == taken.diagnosis.to_json()
    assert kept.record.suite_sha256 == theatre.suite_sha256
    assert kept.record.fl_exposure_ms == 100.0
    assert 40 < kept.record.irradiance_mw_cm2 < 60
    assert 290 < kept.record.distance_mm < 310
    for slot in ("fl", "wl"):
        data = np.frombuffer(theatre.store.image(case_id, kept.record.images[slot]), np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        shown = taken.diagnosis.pixels[slot]
        assert np.array_equal(pixels if slot == "fl" else pixels[..., ::-1], shown)
    told = [facts for kind, facts in heard if kind == "specimen"]
    assert told == [{"specimen_id": kept.specimen_id, "number": 1, "sector": 3, "case_id": case_id}]
    theatre.close_case(OPERATOR)
    recorded = open_case(folder / "recordings" / case_id)
    assert [row["diagnosis"]["specimen_id"] for row in recorded.diagnoses] == [kept.specimen_id]
    numbers = {row.facts["sequence"] for row in recorded.streams["fl"].rows}
    assert kept.record.fl_sequence in numbers


def test_the_answer_does_not_depend_on_having_been_asked_before(theatre, case_id):
    request_id = new_request()
    first = take(theatre, request_id=request_id)
    again = theatre.take(SURGEON, sector=5, request_id=request_id)
    assert again.specimen == first.specimen
    assert again.took_ms == 0.0
    assert len(theatre.store.case(case_id).specimens) == 1


def test_many_key_presses_at_once_make_one_specimen_or_a_sentence(theatre, case_id):
    request_id, found, said = new_request(), [], []

    def press(request: str) -> None:
        try:
            found.append(theatre.take(OPERATOR, sector=1, request_id=request).specimen.specimen_id)
        except CaptureError as error:
            said.append(str(error))

    presses = [threading.Thread(target=press, args=(request_id,)) for _ in range(4)]
    presses += [threading.Thread(target=press, args=(new_request(),)) for _ in range(4)]
    for thread in presses:
        thread.start()
    for thread in presses:
        thread.join()
    kept = [specimen.specimen_id for specimen in theatre.store.case(case_id).specimens]
    assert set(found) == set(kept)
    assert len(kept) == len(set(kept))
    assert len(found) + len(said) == 8
    assert any("wait for its answer" in sentence for sentence in said)


def test_an_empty_plate_and_several_specimens_are_told_and_not_stored(theatre, case_id):
    theatre.simulator.empty()
    time.sleep(0.6)
    with pytest.raises(CaptureError, match="nothing lies under the cameras"):
        take(theatre)
    with pytest.raises(CaptureError, match="nothing lies under the cameras"):
        take_tray(theatre, new_request())
    theatre.simulator.tray(4)
    time.sleep(0.6)
    with pytest.raises(CaptureError, match="use the tray"):
        take(theatre)
    assert theatre.store.case(case_id).specimens == ()
    lay(theatre)


def test_a_tray_is_stored_once_with_all_its_specimens(theatre, case_id):
    theatre.simulator.tray(4)
    time.sleep(0.6)
    request_id = "r" * 64
    first = take_tray(theatre, request_id)
    again = take_tray(theatre, request_id)
    kept = theatre.store.case(case_id).specimens
    assert len(kept) >= 3
    assert [taken.specimen for taken in first] == [taken.specimen for taken in again] == list(kept)
    assert {specimen.record.tray for specimen in kept} == {request_id}
    assert [specimen.number for specimen in kept] == list(range(1, len(kept) + 1))
    lay(theatre)


def test_a_stored_specimen_is_diagnosed_again_to_the_same_answer_and_map(theatre, case_id):
    taken = take(theatre)
    specimen_id = taken.specimen.specimen_id
    at_once = theatre.heatmap(specimen_id, "tumor")
    theatre._taking._answers.clear()
    later = theatre.heatmap(specimen_id, "tumor")
    again = theatre._taking._answers[specimen_id]
    assert again.tasks[0].y_score == pytest.approx(taken.diagnosis.tasks[0].y_score, abs=0.02)
    assert again.decision == taken.diagnosis.decision
    pictures = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).astype(int) for data in (at_once, later)]
    assert np.abs(pictures[0] - pictures[1]).mean() < 2
    with pytest.raises(InputError, match="answers no task"):
        theatre.heatmap(specimen_id, "weather")


def test_without_a_case_with_a_wrong_sector_or_role_nothing_is_taken(theatre):
    with pytest.raises(InputError, match="no case is open"):
        theatre.take(OPERATOR, sector=1, request_id=new_request())
    with pytest.raises(InputError, match="no case is open"):
        theatre.close_case(OPERATOR)
    for sector in (0, 9, -1):
        with pytest.raises(InputError, match="not one of 1 to 8"):
            theatre.take(OPERATOR, sector=sector, request_id=new_request())
    for actor in (PATHOLOGIST, ADMINISTRATOR):
        with pytest.raises(NotAllowed):
            theatre.take(actor, sector=1, request_id=new_request())
        with pytest.raises(NotAllowed):
            theatre.take_tray(actor, sector=1, request_id=new_request())
    for actor in (SURGEON, PATHOLOGIST, ADMINISTRATOR):
        with pytest.raises(NotAllowed):
            theatre.phantom_check(actor)
        with pytest.raises(NotAllowed):
            theatre.open_case(actor, record(), request_id=new_request())


def test_one_case_at_a_time_and_a_repeated_request_finds_it(theatre):
    request_id = new_request()
    case = theatre.open_case(OPERATOR, record(), request_id=request_id)
    assert theatre.open_case(OPERATOR, record(), request_id=request_id).case_id == case.case_id
    with pytest.raises(InputError, match="close it first"):
        theatre.open_case(OPERATOR, record(patient_id="P-002"), request_id=new_request())
    kept = theatre.store.case(case.case_id).record
    assert kept.suite_sha256 == theatre.suite_sha256
    assert kept.unit == "simulated unit"
    assert kept.unit_settings["fl"]["exposure_ms"] == 20.0
    theatre.close_case(OPERATOR)
    assert theatre.case_id is None
    with pytest.raises(InputError, match="is closed"):
        theatre.resume_case(OPERATOR, case.case_id)


def test_a_case_that_was_closed_or_erased_elsewhere_takes_no_specimen_and_is_left(theatre):
    closed = theatre.open_case(OPERATOR, record(), request_id=new_request())
    theatre.store.close_case(OPERATOR, closed.case_id)
    with pytest.raises(InputError, match="closed"):
        take(theatre)
    assert theatre.case_id is None
    erased = theatre.open_case(OPERATOR, record(), request_id=new_request())
    theatre.store.erase_case(ADMINISTRATOR, erased.case_id, "consent withdrawn")
    with pytest.raises(CaseErased):
        take(theatre)
    assert theatre.case_id is None


def test_a_case_goes_on_after_a_restart(theatre, case_id):
    taken = take(theatre)
    theatre._case.leave()  # as after a restart: the store knows the case, the theatre does not
    assert theatre.resume_case(OPERATOR, case_id).specimens[-1].specimen_id == taken.specimen.specimen_id
    assert take(theatre).specimen.number == 2


def test_a_blind_reader_sees_the_answer_after_the_own_reading_only(theatre):
    case = theatre.open_case(OPERATOR, record(blind_reading=True), request_id=new_request())
    specimen = take(theatre).specimen
    assert not theatre.revealed(specimen, case, OPERATOR)
    said = Reading(reader=SURGEON.account, reading=1, rating=4)
    read = theatre.store.add_entry(SURGEON, specimen.specimen_id, said, request_id=new_request())
    assert theatre.revealed(read, case, SURGEON)
    assert not theatre.revealed(read, case, OPERATOR)
    theatre.close_case(OPERATOR)
    assert theatre.revealed(specimen, theatre.store.case(case.case_id), OPERATOR)


def test_a_camera_that_dies_is_named_nothing_is_stored_and_the_case_goes_on(theatre, case_id):
    camera = theatre.unit.parts.wl
    camera.inject(CameraFault.STUCK)
    time.sleep(0.3)
    try:
        with pytest.raises(CaptureError, match="white-light camera"):
            theatre.take(OPERATOR, sector=1, request_id=new_request())
        assert theatre.status().faults
    finally:
        camera.heal()
    deadline = time.monotonic() + 20
    while theatre.status().wl.state != "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    switch_on(theatre, "page")  # it went dark with the camera
    assert take(theatre).specimen.number == 1
    assert len(theatre.store.case(case_id).specimens) == 1


def test_in_the_dark_nothing_is_taken(theatre, case_id):
    theatre.light_off(SURGEON)
    time.sleep(0.3)
    try:
        with pytest.raises(CaptureError, match="switch the light on"):
            theatre.take(OPERATOR, sector=1, request_id=new_request())
        assert theatre.store.case(case_id).specimens == ()
    finally:
        switch_on(theatre, "page")


def test_another_suite_on_the_disk_is_refused_until_the_old_one_is_back(theatre, folder, case_id):
    path = folder / "suite" / "suite.json"
    before = path.read_bytes()
    path.unlink()
    path.write_bytes(json.dumps({**json.loads(before), "name": "another"}).encode())
    try:
        with pytest.raises(InputError, match="suite on disk has changed"):
            theatre.take(OPERATOR, sector=1, request_id=new_request())
        assert theatre.status().suite.changed
        assert any("suite on disk" in sentence for sentence in theatre.status().faults)
    finally:
        path.unlink()
        path.write_bytes(before)
    assert take(theatre).specimen.record.suite_sha256 == theatre.suite_sha256


def test_a_case_of_another_suite_goes_on_with_a_sentence(theatre):
    facts = {"suite": "old", "suite_sha256": "0" * 64}
    begun = theatre.store.open_case(OPERATOR, record(**facts), data_kind="simulated", request_id=new_request())
    theatre.resume_case(OPERATOR, begun.case_id)
    assert any("begun with suite old" in sentence for sentence in theatre.status().faults)
    theatre.close_case(OPERATOR)
    assert not theatre.status().faults
    real = theatre.store.open_case(OPERATOR, record(), data_kind="real", request_id=new_request())
    with pytest.raises(InputError, match="is real"):
        theatre.resume_case(OPERATOR, real.case_id)


def test_a_phantom_check_is_judged_kept_and_shown(theatre, folder):
    result = theatre.phantom_check(OPERATOR)
    kept = sorted((folder / "store" / "phantom").glob("*.json"))
    assert read_phantom(kept[-1]) == result
    shown = theatre.status().phantom
    assert shown.verdict == result.verdict.value
    assert shown.current
    assert shown.age_hours < 0.1


def test_a_clock_that_jumps_is_told(theatre, monkeypatch):
    jumped = time.time
    monkeypatch.setattr(time, "time", lambda: jumped() + 3600)
    deadline = time.monotonic() + 5
    while not theatre.status().clock and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "set forward by 3600 s" in theatre.status().clock


def test_the_state_says_everything_in_less_than_a_millisecond(theatre, case_id):
    time.sleep(0.7)
    status = theatre.status()
    assert status.data_kind == "simulated"
    assert status.case_id == case_id
    assert status.light.state == "emitting"
    assert status.distance.inside
    assert status.exposure_ms == 100.0
    assert status.suite.sha256 == theatre.suite_sha256
    assert status.recording.state == "recording"
    assert status.quality.n_specimens == 1
    json.dumps(status.to_json())
    times = []
    for _ in range(50):
        started_s = time.perf_counter()
        theatre.status()
        times.append(time.perf_counter() - started_s)
    assert np.median(times) < 0.001


def test_a_disk_without_room_for_a_recording_does_not_stop_the_case(tmp_path, theatre):
    blocked = tmp_path / "recordings"
    blocked.write_text("a file where the folder should be")
    theatre._recording._folder, before = blocked, theatre._recording._folder
    try:
        theatre.open_case(OPERATOR, record(), request_id=new_request())
        assert any("not recorded" in sentence for sentence in theatre.status().faults)
        assert take(theatre).diagnosis.decision in Decision
        theatre.close_case(OPERATOR)
    finally:
        theatre._recording._folder = before


def test_a_store_that_cannot_write_is_told_and_no_specimen_is_said_to_be_there(theatre, case_id, monkeypatch):
    def full(*_: object, **__: object) -> str:
        raise InputError("the disk of the case store is full; nothing was stored")

    with monkeypatch.context() as patched:
        patched.setattr(theatre.store.images, "put", full)
        with pytest.raises(InputError, match="disk of the case store is full"):
            take(theatre)
    assert theatre.store.case(case_id).specimens == ()
    assert theatre.case_id == case_id
    assert take(theatre).specimen.number == 1


def test_closing_leaves_the_case_open_in_the_store(tmp_path, folder, theatre):
    with make_theatre(tmp_path, suite=folder / "suite") as theatre:
        case = theatre.open_case(OPERATOR, record(), request_id=new_request())
        theatre.close()
        assert theatre.acquisition is None
        assert theatre.case_id is None
    with CaseStore.open(tmp_path / "store") as store:
        assert store.case(case.case_id).closed_at is None

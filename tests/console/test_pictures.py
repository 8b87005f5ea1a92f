"""Pictures, heatmap, label and report over HTTP, and what a person who owes a reading is refused."""

from types import SimpleNamespace
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from glioscope.cases import Reading
from glioscope.console import ConsoleSettings, TheatreSettings, Words
from glioscope.console._live_scale import LEVELS, LiveScale, colours
from glioscope.console._pictures import BRIGHTER, SCALES, colour_fl, specimen_scale
from glioscope.core import InputError

from .record_server import (
    OPERATOR,
    PATHOLOGIST,
    SURGEON,
    Served,
    add_specimen,
    case_record,
    client,
    new_request,
    served,
)

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@pytest.fixture(scope="module")
def console() -> Served:
    return served()


@pytest.fixture(scope="module")
def blind_specimen(console: Served) -> Any:
    case = console.store.open_case(
        OPERATOR, case_record(blind_reading=True), data_kind="simulated", request_id=new_request()
    )
    return add_specimen(console.store, case.case_id)


def pixels_of(answer: httpx.Response) -> Any:
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"] == "no-store"
    return cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR_RGB)


def fake(integrate: int, white_level: int = 60000, offset: float | None = 600.0) -> Any:
    theatre = TheatreSettings(integrate_frames=integrate, fl_offset_counts=offset)
    pair = SimpleNamespace(fl=SimpleNamespace(white_level=white_level))
    return SimpleNamespace(
        theatre=SimpleNamespace(newest=lambda: pair), settings=ConsoleSettings(theatre=theatre), words=Words()
    )


def test_counts_have_the_same_colour_in_every_picture_and_saturated_ones_a_colour_of_their_own() -> None:
    counts = np.array([[600, 5600, 10600, 65535]], np.uint16)
    shown = cv2.imdecode(np.frombuffer(colour_fl(counts, LiveScale(600, 10600)), np.uint8), cv2.IMREAD_COLOR_RGB)
    table = colours()
    assert shown[0].tolist() == [table[i].tolist() for i in (0, round((LEVELS - 1) / 2), LEVELS - 1, 255)]


@pytest.mark.parametrize("brighter", SCALES)
def test_the_scale_is_that_of_the_live_view_times_the_frames_that_are_added_up(brighter: int) -> None:
    assert specimen_scale(fake(5), brighter) == LiveScale(600, 600 + (60000 // 8 - 600) * 5 // brighter)


def test_the_scale_ends_at_the_top_of_the_cameras_range_and_no_other_scale_can_be_asked_for() -> None:
    assert specimen_scale(fake(16), 1).high == 60000
    with pytest.raises(InputError, match="brighter is 1, 2, 4, 8, not 3"):
        specimen_scale(fake(5), 3)


def test_the_fluorescence_picture_is_the_stored_one_in_the_colours_of_its_counts(console: Served) -> None:
    specimen = console.taken[0]
    browser = client("surgeon")
    shown = pixels_of(browser.get(f"/specimens/{specimen.specimen_id}/image/fl"))
    stored = console.store.image(specimen.case_id, specimen.record.images["fl"])
    counts = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_UNCHANGED)
    offset, white_level = 600.0, 65535
    high = int(offset) + (white_level // 8 - int(offset)) * 5 // BRIGHTER
    share = np.clip((counts.astype(float) - offset) / (high - offset), 0, 1)
    expected = colours()[np.rint(share * (LEVELS - 1)).astype(int)]
    assert shown.shape == (*counts.shape, 3)
    assert (shown == expected).all(axis=-1).mean() > 0.99


def test_the_white_light_picture_is_the_stored_one(console: Served) -> None:
    specimen = console.taken[0]
    browser = client("pathologist")
    answer = browser.get(f"/specimens/{specimen.specimen_id}/image/wl")
    assert answer.content == console.store.image(specimen.case_id, specimen.record.images["wl"])


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/specimens/nobody/image/fl", 404, "no specimen nobody"),
        ("/specimens/{id}/image/uv", 404, "no such picture"),
        ("/specimens/{id}/image/fl?brighter=3", 400, "brighter is 1, 2, 4, 8"),
        ("/specimens/{id}/heatmap/nothing", 400, "nothing"),
        ("/specimens/nobody/label.svg", 404, "no specimen nobody"),
        ("/cases/nobody/report.pdf", 404, "no case nobody"),
    ],
)
def test_what_cannot_be_shown_is_answered_with_a_sentence(
    console: Served, path: str, status: int, sentence: str
) -> None:
    browser = client("surgeon")
    answer = browser.get(path.format(id=console.taken[0].specimen_id))
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/plain; charset=utf-8")
    assert sentence in answer.text


def test_the_heatmap_is_a_picture_of_the_size_of_the_specimen(console: Served) -> None:
    specimen = console.taken[0]
    browser = client("surgeon")
    shown = pixels_of(browser.get(f"/specimens/{specimen.specimen_id}/heatmap/tumor"))
    fl = pixels_of(browser.get(f"/specimens/{specimen.specimen_id}/image/fl"))
    assert shown.shape == fl.shape


def test_who_owes_a_blind_reading_gets_pictures_and_no_heatmap(console: Served, blind_specimen: Any) -> None:
    browser = client("surgeon")
    assert browser.get(f"/specimens/{blind_specimen.specimen_id}/image/fl").status_code == 200
    heatmap = f"/specimens/{blind_specimen.specimen_id}/heatmap/tumor"
    refused = browser.get(heatmap)
    assert (refused.status_code, "hidden until" in refused.text) == (403, True)
    said = Reading(reader=SURGEON.account, reading=1)
    console.store.add_entry(SURGEON, blind_specimen.specimen_id, said, request_id=new_request())
    assert browser.get(heatmap).status_code != 403


def test_a_pathologist_sees_no_heatmap_before_an_opinion_of_his_own(console: Served) -> None:
    browser = client(PATHOLOGIST.account)
    assert browser.get(f"/specimens/{console.taken[1].specimen_id}/heatmap/tumor").status_code == 403


def test_the_label_is_a_drawing_that_holds_no_patient(console: Served) -> None:
    browser = client("operator")
    answer = browser.get(f"/specimens/{console.taken[0].specimen_id}/label.svg")
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert "<svg" in answer.text
    assert "P-017" not in answer.text


def test_the_report_is_a_pdf_for_who_may_read_and_not_for_an_administrator(console: Served) -> None:
    pytest.importorskip("weasyprint")
    browser = client("operator")
    answer = browser.get(f"/cases/{console.case_id}/report.pdf", timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
    assert answer.content.startswith(b"%PDF")
    browser = client("administrator")
    assert browser.get(f"/cases/{console.case_id}/report.pdf").status_code == 403

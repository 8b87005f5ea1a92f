"""The page of a specimen: independent opinions, consensus, corrections; and nothing of an answer that is owed."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from glioscope.cases import Pathology, Reading, Specimen, Withdrawal
from glioscope.console import Words
from glioscope.console._pathology_form import CONSENSUS, PathologyForm, ki67_sentence, read_pathology
from glioscope.console._pathology_panel import agreement
from glioscope.console._visible import Visible, visible
from glioscope.core import InputError
from glioscope.runtime import MEANING

from .record_server import (
    OPERATOR,
    PATHOLOGIST,
    SECOND,
    SURGEON,
    add_specimen,
    browser_page,
    case_record,
    chromium,
    new_request,
    served,
)

pytestmark = pytest.mark.alone

WORDS = Words()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


def new_specimen(**facts: Any) -> Specimen:
    """A specimen of a new case, called tumour at 0.93."""
    store = served().store
    case = store.open_case(OPERATOR, case_record(**facts), data_kind="simulated", request_id=new_request())
    return add_specimen(store, case.case_id)


def press(page: Any, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def text_of(page: Any) -> str:
    return str(page.inner_text("main"))


def test_counted_nuclei_give_the_percentage() -> None:
    form = PathologyForm("tumor", 4, " Glioblastoma,\n IDH-wildtype ", ki67_counted="500", ki67_positive="62")
    said = read_pathology(form, "anna", WORDS)
    assert (said.ki67_percent, said.ki67_positive, said.ki67_counted) == (12.4, 62, 500)
    assert said.diagnosis == "Glioblastoma, IDH-wildtype"
    assert ki67_sentence(form, WORDS) == "Ki-67 = 62 of 500 nuclei = 12.4 %"


def test_what_belongs_to_tumours_only_is_left_out_of_a_non_tumour() -> None:
    form = PathologyForm("non-tumor", 3, "Gliosis", ki67_percent="3", idh="mutant")
    said = read_pathology(form, "anna", WORDS)
    assert (said.who_grade, said.ki67_percent, said.idh, said.diagnosis) == (None, None, None, "Gliosis")


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        (PathologyForm(), "Say first whether"),
        (PathologyForm("tumor", ki67_percent="120"), "Ki-67 in % must be at most 100, not 120"),
        (PathologyForm("tumor", ki67_percent="a few"), "Ki-67 in % a few is no number"),
        (PathologyForm("tumor", ki67_percent="nan"), "Ki-67 in %"),
        (PathologyForm("tumor", ki67_counted="12.5", ki67_positive="3"), "no whole number"),
        (PathologyForm("tumor", ki67_counted="500"), "give both numbers"),
        (PathologyForm("tumor", ki67_counted="5", ki67_positive="7"), "7 positive nuclei of 5 counted"),
        (PathologyForm("tumor", ki67_counted="5", ki67_positive="-1"), "positive (at least 0)"),
        (PathologyForm("tumor", ki67_percent="9", ki67_counted="5", ki67_positive="1"), "not both"),
        (PathologyForm("tumor", diagnosis="x" * 201), "Diagnosis is longer than 200 letters"),
    ],
)
def test_what_cannot_be_is_refused_in_the_words_of_the_form(form: PathologyForm, sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        read_pathology(form, "anna", WORDS)
    assert sentence in str(refused.value)


def test_a_form_gives_back_the_record_that_it_was_filled_from() -> None:
    said = Pathology(
        pathologist="anna", pathology="tumor", who_grade=2, diagnosis="Astrocytoma", ki67_percent=4.0,
        ki67_positive=8, ki67_counted=200, idh="mutant", codel_1p19q="no",
    )  # fmt: skip
    assert read_pathology(PathologyForm.of(said), "anna", WORDS) == said


def test_a_consensus_begins_with_what_all_opinions_have_in_common() -> None:
    opinions = (
        Pathology(pathologist="anna", pathology="tumor", who_grade=3, ki67_percent=10, idh="mutant"),
        Pathology(pathologist="ben", pathology="tumor", who_grade=4, ki67_percent=20, idh="mutant"),
    )
    common = agreement(SimpleNamespace(opinions=opinions))  # type: ignore[arg-type]
    assert common == PathologyForm(pathology="tumor", idh="mutant")
    assert read_pathology(common, CONSENSUS, WORDS).consensus


def test_a_pathologist_sees_answer_and_other_opinions_only_after_an_opinion_of_his_own() -> None:
    theatre = SimpleNamespace(revealed=lambda *_: True)
    other = Pathology(pathologist="ben", pathology="tumor")
    before = SimpleNamespace(opinions=(other,), withdrawn="")
    own = Pathology(pathologist=PATHOLOGIST.account, pathology="tumor")
    after = SimpleNamespace(opinions=(other, own), withdrawn="")
    assert visible(theatre, before, None, PATHOLOGIST) == Visible(answer=False, opinions=False)  # type: ignore[arg-type]
    assert visible(theatre, after, None, PATHOLOGIST) == Visible(answer=True, opinions=True)  # type: ignore[arg-type]
    assert visible(theatre, before, None, SURGEON) == Visible(answer=True, opinions=True)  # type: ignore[arg-type]
    owing = SimpleNamespace(revealed=lambda *_: False)
    assert visible(owing, after, None, SURGEON) == Visible(answer=False, opinions=False)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_pathologist_gives_an_opinion_and_only_then_sees_the_answer(browser: Any) -> None:
    specimen = new_specimen()
    with browser_page(browser, PATHOLOGIST.account, f"/specimens/{specimen.specimen_id}") as page:
        assert "Hidden until your own" in text_of(page)
        assert "0.93" not in page.content()
        press(page, "▲ Tumour")
        press(page, "IV")
        page.get_by_label("Diagnosis").fill("Glioblastoma, IDH-wildtype")
        page.get_by_label("or nuclei counted").fill("500")
        page.get_by_label("of these positive").fill("620")
        press(page, "wildtype")
        press(page, "Store my opinion")
        page.get_by_role("alert").get_by_text("620 positive nuclei of 500 counted").wait_for()
        assert served().store.specimen(specimen.specimen_id).entries == ()
        page.get_by_label("of these positive").fill("62")
        page.get_by_text("Ki-67 = 62 of 500 nuclei = 12.4 %").wait_for()
        press(page, "Store my opinion")
        page.get_by_text("0.93, 0.83–1.00").first.wait_for()
    (said,) = served().store.specimen(specimen.specimen_id).opinions
    assert said == Pathology(
        pathologist=PATHOLOGIST.account, pathology="tumor", who_grade=4, diagnosis="Glioblastoma, IDH-wildtype",
        ki67_percent=12.4, ki67_positive=62, ki67_counted=500, idh="wildtype",
    )  # fmt: skip


@pytest.mark.slow
def test_a_second_pathologist_is_independent_and_a_consensus_becomes_the_truth(browser: Any) -> None:
    specimen, store = new_specimen(), served().store
    first = Pathology(pathologist=PATHOLOGIST.account, pathology="tumor", who_grade=3, diagnosis="Astrocytoma of Anna")
    store.add_entry(PATHOLOGIST, specimen.specimen_id, first, request_id=new_request())
    with browser_page(browser, SECOND.account, f"/specimens/{specimen.specimen_id}") as page:
        assert "Anna" not in page.content()
        press(page, "● Non-tumour")
        press(page, "Store my opinion")
        page.get_by_text("Astrocytoma of Anna").first.wait_for()
        press(page, "Enter consensus…")
        press(page, "▲ Tumour")
        press(page, "II")
        press(page, "Store consensus")
        page.get_by_role("button", name="Correct consensus…").wait_for()
        press(page, "Correct my opinion…")
        press(page, "▲ Tumour")
        press(page, "Store corrected opinion")
        page.get_by_text(f"pathology (pathologist-2): {WORDS['theatre.word.tumour']}").first.wait_for()
        assert f"pathology (pathologist-2): {WORDS['theatre.word.non_tumour']}" in text_of(page)
    found = store.specimen(specimen.specimen_id)
    assert found.truth is not None
    assert (found.truth.consensus, found.truth.who_grade) == (True, 2)
    assert [said.pathology for said in found.opinions] == ["tumor", "tumor"]
    assert len(found.entries) == 4


@pytest.mark.slow
def test_a_blind_reader_sees_no_answer_anywhere_on_the_page_until_the_reading_is_given(browser: Any) -> None:
    specimen, store = new_specimen(blind_reading=True), served().store
    store.add_entry(
        PATHOLOGIST,
        specimen.specimen_id,
        Pathology(pathologist=PATHOLOGIST.account, pathology="tumor", diagnosis="Astrocytoma of Anna"),
        request_id=new_request(),
    )
    for path in (f"/specimens/{specimen.specimen_id}", f"/cases/{specimen.case_id}"):
        with browser_page(browser, SURGEON.account, path) as page:
            assert "0.93" not in page.content()
            assert "Anna" not in page.content()
            assert not page.get_by_role("button", name="Heatmap").count()
    store.add_entry(SURGEON, specimen.specimen_id, Reading(reader="surgeon", reading=1), request_id=new_request())
    with browser_page(browser, SURGEON.account, f"/specimens/{specimen.specimen_id}") as page:
        assert "0.93" in text_of(page)
        assert "Astrocytoma of Anna" in text_of(page)


@pytest.mark.slow
def test_a_heatmap_never_stands_without_its_meaning(browser: Any) -> None:
    specimen = served().taken[0]
    with browser_page(browser, SURGEON.account, f"/specimens/{specimen.specimen_id}") as page:
        assert MEANING.lower() not in text_of(page).lower()
        press(page, "Heatmap: Tumour")
        page.get_by_text(MEANING, exact=False).wait_for()
        picture = page.locator(".gs-heatmap img")
        page.wait_for_function("document.querySelector('.gs-heatmap img').naturalWidth > 0")
        assert picture.get_attribute("alt")
        press(page, "Scale ×8")
        page.wait_for_function("document.querySelector('.gs-pictures img').src.endsWith('brighter=8')")


@pytest.mark.slow
def test_an_unknown_specimen_is_one_sentence_and_a_withdrawn_one_stays_struck_through(browser: Any) -> None:
    with browser_page(browser, SURGEON.account, "/specimens/nobody") as page:
        page.get_by_role("alert").get_by_text("There is no specimen nobody").wait_for()
    specimen = new_specimen()
    withdrawal = Withdrawal(reason="dropped")
    served().store.add_entry(SURGEON, specimen.specimen_id, withdrawal, request_id=new_request())
    with browser_page(browser, SURGEON.account, f"/specimens/{specimen.specimen_id}") as page:
        assert "WITHDRAWN: dropped" in text_of(page)
        assert page.locator(".gs-title.gs-struck").count() == 1

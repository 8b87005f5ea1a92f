"""The case report: what it must say, what it must not, and that it prints."""

import re
import shutil
import subprocess
from html import unescape

import pytest

from glioscope.cases._records import Annotation, Correction, Withdrawal
from glioscope.console._case_report import case_report_html, case_report_pdf
from glioscope.console._case_report_pictures import small_pictures
from glioscope.console._cavity_svg import cavity_svg
from glioscope.console._words import Words
from glioscope.stats import clopper_pearson

from ..cases.filled import (
    OPENED,
    OPERATOR,
    SURGEON,
    answer,
    begin,
    make_store,
    pathology,
    read_blind,
    say,
    take,
)

WORDS = Words()
HOSTILE = "<script>alert(1)</script> & \"mixed\" 'up'"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with make_store(tmp_path_factory.mktemp("report") / "store") as made:
        yield made


@pytest.fixture(scope="module")
def case(store):
    """Ten specimens in five sectors, with everything that can be said of them."""
    made = begin(store, icg_mg_per_kg=5.0, note="Second operation.")
    tumour = {"tumor": answer(0.93), "grade": answer(0.88, answer="GBM"), "ki67": answer(0.7, answer="Ki-67 >= 10 %")}
    reason = {"name": "fl_saturated", "sentence": "FL is saturated: shorten the exposure", "slot": "fl"}
    unlike = {"tumor": answer(None, "not_assessable", reasons=[reason])}
    taken = [
        take(store, made, sector=1, tasks=tumour),
        take(store, made, 0.88, sector=1),
        take(store, made, 0.05, sector=2),
        take(store, made, 0.11, sector=2),
        take(store, made, 0.5, sector=4, tasks={"tumor": answer(0.5, "indeterminate")}),
        take(store, made, sector=4, tasks=unlike, images={}, framing="full"),
        take(store, made, 0.97, sector=6),
        take(store, made, 0.2, sector=6),
        take(store, made, 0.08, sector=None),
        take(store, made, 0.81, sector=7, suite_sha256="ab" * 32),
    ]
    say(store, SURGEON, taken[6], Withdrawal(reason=HOSTILE))
    say(store, SURGEON, taken[3], Correction(sector=3, reason="miscounted"))
    say(store, OPERATOR, taken[2], Annotation(text="from the wall towards the ventricle"))
    pathology(store, taken[0], who_grade=4, diagnosis="Glioblastoma", ki67_percent=30.0, idh="wildtype")
    pathology(store, taken[1], "non-tumor")
    pathology(store, taken[2], "non-tumor")
    pathology(store, taken[3], who_grade=2, who=0)
    pathology(store, taken[3], "non-tumor", who=1)
    return store.close_case(OPERATOR, made.case_id)


@pytest.fixture(scope="module")
def html(case, store):
    return case_report_html(case, store, WORDS)


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub("<[^>]+>", " ", re.sub("(?s)<style>.*?</style>", "", html))).split())


def test_it_says_what_the_data_are_and_what_it_is_for(html):
    assert "Research use only" in html
    assert "SIMULATED DATA" in html


def test_facts_of_the_case_are_in_it_with_what_is_odd_about_icg(html, case):
    text = text_of(html)
    for words in (case.case_id, "P-07", "5 mg/kg", "48.", "bench 2", "suite 5f5f5f5f", "exposure 100 ms", "2021"):
        assert words in text
    assert "The ICG dose is 5 mg/kg; 1 mg/kg is expected" in text
    assert "Second operation." in text
    assert "laser.setpoint_mw_cm2 = 50.0" in text


def test_every_specimen_has_its_line_with_answer_pathology_and_remarks(html):
    lines = [text_of(line) for line in re.findall("(?s)<tr>.*?</tr>", html)[1:]]
    assert len(lines) == 10
    assert "TUMOUR 0.93, 0.83–1.00" in lines[0]
    assert "Grade: GBM, P(GBM) 0.88" in lines[0]
    assert "Glioblastoma, WHO grade 4, Ki-67 30 %" in lines[0]
    assert "2 pathologists, no consensus yet" in lines[3]
    assert "sector corrected from 2 to 3" in lines[3]
    assert "INDETERMINATE" in lines[4]
    assert "NOT ASSESSABLE" in lines[5]
    assert "FL is saturated: shorten the exposure" in lines[5]
    assert "no picture" in lines[5]
    assert "Withdrawn: " in lines[6]
    assert "another suite: abababab" in lines[9]


def test_what_people_wrote_is_text_and_not_markup(html):
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_counts_and_accuracy_say_how_few_they_rest_on(html):
    text = text_of(html)
    assert "TUMOUR: 4" in text
    assert f"{WORDS['theatre.word.non_tumour']}: 4" in text
    assert "INDETERMINATE: 1" in text
    assert "NOT ASSESSABLE: 1" in text
    interval = clopper_pearson(1, 2)
    assert f"1 of 2; 95 % {interval.low:.2f}–{interval.high:.2f}" in text
    assert "One patient's specimens resemble one another" in text


def test_the_newest_link_of_the_audit_trail_is_in_it(html, store):
    from sqlmodel import col, select

    from glioscope.cases._tables import AuditRow

    with store.database.session() as session:
        newest = session.exec(select(AuditRow.link).order_by(col(AuditRow.seq).desc())).first()
    assert newest in html


def test_a_reading_that_is_owed_keeps_the_answer_out_of_it(store):
    made = begin(store, "P-08", blind_reading=True)
    owed = take(store, made, 0.93217, sector=1)
    given = take(store, made, 0.71, sector=2)
    read_blind(store, given, 0)
    pathology(store, owed, who_grade=4, diagnosis="Glioblastoma")
    html = case_report_html(store.case(made.case_id), store, WORDS)
    text = text_of(html)
    assert "0.93" not in text
    assert "Glioblastoma" not in text
    assert "WHO grade 4" not in text
    assert "YOUR READING FIRST" in text
    assert "0.71" in text
    assert "until the blind reading is given" in text
    shown = case_report_html(store.case(made.case_id), store, WORDS, hidden=())
    assert "0.93" in text_of(shown)


def test_an_empty_case_is_a_report_too(store):
    made = begin(store, "P-09", icg_mg_per_kg=None, icg_given_at=None)
    text = text_of(case_report_html(made, store, WORDS))
    assert "No specimen was taken." in text
    assert "ICG dose is not recorded" in text
    assert "still open" in text


def test_a_damaged_picture_is_named_and_the_others_are_shown(store):
    made = begin(store, "P-10")
    hurt, whole = take(store, made), take(store, made)
    path = next((store.folder / "images").glob(f"*/{hurt.record.images['fl']}"))
    path.write_bytes(path.read_bytes()[:-1])
    case = store.case(made.case_id)
    pictures = small_pictures(case, store)
    assert "was changed" in pictures.missing[hurt.specimen_id, "fl"]
    assert set(pictures.shown) == {(hurt.specimen_id, "wl"), (whole.specimen_id, "fl"), (whole.specimen_id, "wl")}
    assert "was changed" in text_of(case_report_html(case, store, WORDS))


def test_the_map_has_a_sign_for_each_specimen_in_its_sector(case):
    svg = cavity_svg(case, WORDS)
    marks = re.findall(r"translate\(([\d.]+) ([\d.]+)\)", svg)
    assert len(marks) == len(case.specimens)
    x, y = (float(value) - 160 for value in marks[0])
    assert x > 0 > y  # sector 1 is right of the top
    x, y = (float(value) - 160 for value in marks[9])
    assert x < 0 > y or (x < 0 and abs(y) < 60)  # sector 7 is on the left
    assert svg.count("stroke-dasharray") == 1
    assert "×7" in svg


@pytest.fixture(scope="module")
def pages(case, store, tmp_path_factory):
    pytest.importorskip("weasyprint", reason="needs glioscope[pdf]", exc_type=(ImportError, OSError))
    poppler = shutil.which("pdftotext")
    if poppler is None:
        pytest.skip("pdftotext (poppler-utils) is not installed")
    path = tmp_path_factory.mktemp("pdf") / "case.pdf"
    path.write_bytes(case_report_pdf(case, store, WORDS))
    ran = subprocess.run([poppler, "-layout", path, "-"], capture_output=True, text=True, check=True)
    return ran.stdout.split("\f")[:-1]


def test_every_printed_page_says_research_use_and_simulated(pages):
    for page in pages:
        assert "Research use only. Not a medical device." in page
        assert "SIMULATED DATA" in page


def test_ten_specimens_fit_on_two_pages(pages):
    assert len(pages) <= 2
    assert "WITHDRAWN" in " ".join(pages).upper()


def test_times_are_of_the_day_of_the_case(html):
    assert OPENED.astimezone().strftime("%Y-%m-%d") in html

"""Labels: the code leads to the record, and nothing of the patient is on it."""

import re
import shutil
import subprocess
from datetime import UTC, datetime

import cv2
import pytest

from glioscope.cases._records import Case, CaseRecord, Entry, Specimen, SpecimenRecord, Withdrawal
from glioscope.console._label import label_sheet_html, label_svg
from glioscope.console._words import Words

NOW = datetime(2026, 3, 4, tzinfo=UTC)
BASE = "https://theatre-1.clinic.test:8443"


def specimen(number: int = 4, sector: int | None = 3, **facts) -> Specimen:
    record = SpecimenRecord(sector=sector, diagnosis={"tasks": {}})
    known = {"specimen_id": f"s{number:016x}", "case_id": "c0123456789abcdef", "taken_at": NOW, "account": "operator"}
    return Specimen(**(known | facts), number=number, record=record)


def rendered(svg: str, folder, dots_per_inch: int = 300):
    """The label as a printer of 300 dpi sees it."""
    weasyprint = pytest.importorskip("weasyprint", reason="needs glioscope[pdf]", exc_type=(ImportError, OSError))
    poppler = shutil.which("pdftoppm")
    if poppler is None:
        pytest.skip("pdftoppm (poppler-utils) is not installed")
    page = f"<style>@page {{ size: 50mm 25mm; margin: 0 }} body {{ margin: 0 }} svg {{ display: block }}</style>{svg}"
    weasyprint.HTML(string=page).write_pdf(folder / "label.pdf")
    subprocess.run([poppler, "-r", str(dots_per_inch), "-png", folder / "label.pdf", folder / "label"], check=True)
    (path,) = folder.glob("label*.png")
    return cv2.imread(str(path))


@pytest.mark.parametrize("dots_per_inch", [203, 300])
def test_a_printed_label_leads_to_the_record(tmp_path, dots_per_inch):
    made = specimen()
    picture = rendered(label_svg(made, BASE + "/"), tmp_path, dots_per_inch)
    link, *_ = cv2.QRCodeDetector().detectAndDecode(picture)
    assert link == f"{BASE}/specimens/{made.specimen_id}"
    assert picture.shape[:2] == pytest.approx((25 / 25.4 * dots_per_inch, 50 / 25.4 * dots_per_inch), abs=2)


def test_a_label_has_number_and_sector_and_only_the_beginning_of_the_case():
    svg = label_svg(specimen(), BASE)
    said = re.findall("<text[^>]*>([^<]*)</text>", svg)
    assert said[:3] == ["No. 4", "sector 3", "case c0123456"]
    assert "c0123456789" not in svg
    assert "width='50mm' height='25mm'" in svg
    assert "no sector" in label_svg(specimen(sector=None), BASE)


def test_a_label_of_simulated_tissue_says_so():
    assert "SIMULATED" in label_svg(specimen(), BASE, simulated=True)
    assert "SIMULATED" not in label_svg(specimen(), BASE)


def test_an_address_cannot_break_out_of_the_label():
    assert "<script>" not in label_svg(specimen(case_id="<script>"), "http://x/'><script>")


def test_the_sheet_has_a_label_for_each_specimen_that_counts_and_no_patient():
    gone = Entry(entry_id="e1", account="operator", at=NOW, said=Withdrawal(reason="dropped"))
    specimens = (specimen(1), specimen(2, entries=(gone,)), specimen(3))
    case = Case(
        case_id="c0123456789abcdef",
        data_kind="simulated",
        opened_at=NOW,
        opened_by="operator",
        version=1,
        record=CaseRecord(patient_id="Pseudonym-7", consent=True),
        specimens=specimens,
    )
    sheet = label_sheet_html(case, BASE, Words())
    assert sheet.count("<svg") == 2
    assert "No. 2<" not in sheet
    assert "Pseudonym-7" not in sheet
    assert sheet.count(">SIMULATED<") == 2

import re
import shutil
import subprocess
import sys
import zlib

import pytest
from tests.report import sample

from glioscope.report._figure_files import write_figures
from glioscope.report._html import render_html
from glioscope.report._pdf import PdfUnavailable, write_pdf

POPPLER = shutil.which("pdftotext")


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    document = sample.document()
    figures = [figure for section in document.sections for figure in section.figures]
    return render_html(document, write_figures(figures, tmp_path_factory.mktemp("figures")))


@pytest.fixture(scope="module")
def pdf(html, tmp_path_factory):
    pytest.importorskip("weasyprint", reason="needs glioscope[pdf]", exc_type=(ImportError, OSError))
    path = tmp_path_factory.mktemp("pdf") / "new" / "report.pdf"
    write_pdf(html, path)
    return path


@pytest.fixture(scope="module")
def pages(pdf) -> list[str]:
    if POPPLER is None:
        pytest.skip("pdftotext (poppler-utils) is not installed")
    ran = subprocess.run([POPPLER, "-layout", pdf, "-"], capture_output=True, text=True, check=True)
    return ran.stdout.split("\f")[:-1]


def test_every_page_says_what_the_data_are_and_its_number(pages):
    assert len(pages) > 4
    for number, page in enumerate(pages, 1):
        assert page.count("Research use only. Not a medical device.") >= 1
        assert "SIMULATED DATA" in page
        assert re.search(rf"\b{number} ?/ ?{len(pages)}\s*$", page)


def test_text_tables_and_drawings_are_text_in_it(pages):
    text = " ".join(" ".join(pages).split())
    for words in (sample.HOSTILE, "0.822 (0.729, 0.877)", "Table 6. By patient", "Sensitivity", "FL-CNN <AUC> & 0.945"):
        assert words in text
    assert "Show as printed" not in text
    assert "addEventListener" not in text


def test_a_wide_table_lies_on_its_side_whole(pages, pdf):
    (page,) = (page for page in pages if "Table 4. Every rate" in page)
    rows = [line for line in page.splitlines() if line.strip().startswith(("FL-CNN 0", "Reader 3 5"))]
    assert len(rows) == 2
    assert all(row.count("(") == 7 and row.split()[-1][0] in "0<" for row in rows)
    info = subprocess.run(["pdfinfo", "-f", "1", "-l", "99", pdf], capture_output=True, text=True, check=True).stdout
    assert info.count("841.89 x 595") == 1


def test_a_short_table_is_whole_and_a_tall_one_repeats_its_head(pages):
    (page,) = (page for page in pages if "Table 3. Tumour, strict" in page)
    assert page.count("Reader (FL)") == 1
    assert "Intervals by patient" in page
    tall = [page for page in pages if re.search(r"^ *P\d\d ", page, flags=re.MULTILINE)]
    assert sum(len(re.findall(r"^ *P\d\d ", page, flags=re.MULTILINE)) for page in tall) == 40
    assert all(re.search(r"Patient +Specimens +Accuracy", page) for page in tall)


def inflated(pdf: bytes) -> bytes:
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, flags=re.DOTALL)
    return b"\n".join(zlib.decompressobj().decompress(stream) for stream in streams if stream[:1] == b"x")


def test_figures_keep_their_alternative_text_and_fonts_are_embedded(pdf):
    content = pdf.read_bytes()
    content += inflated(content)
    assert content.count(b"/Alt (ROC curve, AUC 0.945.") == 6
    assert content.count(b"/FontFile") >= content.count(b"/FontDescriptor ") > 0


def test_the_same_page_gives_the_same_bytes(html, pdf, tmp_path):
    write_pdf(html, tmp_path / "again.pdf")
    assert (tmp_path / "again.pdf").read_bytes() == pdf.read_bytes()


def test_without_weasyprint_one_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(PdfUnavailable, match=r"pip install 'glioscope\[pdf\]'.*apt install libpango"):
        write_pdf("<p>", tmp_path / "report.pdf")
    assert not list(tmp_path.iterdir())


def test_without_pango_the_same_sentence_names_the_library(monkeypatch, tmp_path):
    (tmp_path / "weasyprint.py").write_text("raise OSError('cannot load library libpango-1.0-0')")
    monkeypatch.delitem(sys.modules, "weasyprint", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PdfUnavailable, match=r"apt install libpango.*cannot load library libpango-1\.0-0"):
        write_pdf("<p>", tmp_path / "report.pdf")

import io
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from PIL import Image
from tests.report import sample

from glioscope.core import InputError
from glioscope.report._figure_files import write_figures
from glioscope.report._style import COLUMN

SUFFIXES = ("svg", "pdf", "png")


def small(count: int) -> list:
    return [sample.figure(index, COLUMN, 2.0, 1, 1) for index in range(count)]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Six figures: more than one process draws them."""
    folder = tmp_path_factory.mktemp("figures")
    return write_figures(small(6), folder), folder


def test_every_figure_is_written_three_times_and_its_svg_is_given_back(written):
    texts, folder = written
    assert {path.name for path in folder.iterdir()} == {f"figure-{i}.{s}" for i in range(1, 7) for s in SUFFIXES}
    assert texts == {f"figure-{i}": (folder / f"figure-{i}.svg").read_text() for i in range(1, 7)}


def test_files_are_what_their_names_say(written):
    _, folder = written
    root = ET.parse(folder / "figure-1.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("width") == f"{COLUMN * 72:g}pt"
    assert any("AUC" in (element.text or "") for element in root.iter())
    pdf = (folder / "figure-1.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert b"/FontFile2" in pdf  # TrueType, which journals ask for, is embedded
    with Image.open(io.BytesIO((folder / "figure-1.png").read_bytes())) as image:
        assert image.size == (int(COLUMN * 300), 600)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_bytes_depend_neither_on_time_nor_on_how_many_draw(written, tmp_path):
    _, folder = written
    write_figures(small(1), tmp_path)
    for suffix in SUFFIXES:
        assert (tmp_path / f"figure-1.{suffix}").read_bytes() == (folder / f"figure-1.{suffix}").read_bytes()


def test_drawing_a_figure_twice_changes_nothing(tmp_path):
    figures = small(1)
    first = write_figures(figures, tmp_path)
    assert write_figures(figures, tmp_path) == first


def test_bad_names_are_refused_before_anything_is_drawn(tmp_path):
    (figure,) = small(1)
    with pytest.raises(InputError, match="used 2 times"):
        write_figures([figure, figure], tmp_path)
    with pytest.raises(InputError, match="figure name"):
        write_figures([replace(figure, name="../x")], tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_figures_is_no_error(tmp_path):
    assert write_figures([], tmp_path) == {}

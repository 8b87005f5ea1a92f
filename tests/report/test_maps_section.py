import json

import pytest
from tests.report.layout import collisions, words

from glioscope.core import InputError
from glioscope.report._document import Document
from glioscope.report._html import render_html
from glioscope.report._maps_section import maps_section
from glioscope.report._tables import table_html

STAGES = ["head", "bn2", "conv_head", *(f"blocks.{i}" for i in range(6, -1, -1)), "bn1", "conv_stem"]
VIEWS = ("coloured_gcam", "gcam_saliency", "saliency_x_image", "gcam_heatmap", "heatmap_x_image")


def view(name, source="glioscope", ssim=0.3):
    reference = source == "reference"
    alike = {"ssim": ssim, "spearman": 0.2, "hog": 0.1, "abs_spearman": 0.3, "empty": 0.05}
    steps = [] if reference else [{**alike, "ssim": 1 - (1 - ssim) * (i + 1) / len(STAGES)} for i in range(len(STAGES))]
    return {
        "name": name,
        "source": source,
        "randomised": None if reference else alike,
        "cascade": steps,
        "independent": steps,
        "permuted": None if reference else {"ssim": 0.123, "spearman": 0.456, "hog": 0.1},
        "deletion": {
            "fractions": [0.2, 0.4, 0.6, 0.8],
            "most_first": [1.0, 0.5, -1.25, -2.0],
            "least_first": [2.0, 2.0, 1.75, 0.0],
            "gain": 1.875,
        },
        "pointing": {
            "accuracy": 0.75,
            "low": 0.6,
            "high": 0.85,
            "chance": 0.42,
            "energy": 0.5,
            "tumor_share": 0.4,
            "n": 60,
        },
        "reacts": None if reference else ssim < 0.5,
    }


def record(**changes):
    views = [view(name) for name in VIEWS[:-1]] + [view(VIEWS[-1], ssim=0.7)]
    views += [view("guided_gradient"), view("plain_gradient")]
    views += [view(name, "pytorch-grad-cam") for name in ("grad_cam", "guided_grad_cam", "guided_gradient")]
    views += [view(name, "reference") for name in ("brightness", "coarse_brightness", "noise")]
    made = {
        "kind": "glioscope evidence on maps",
        "schema_version": 1,
        "limit": 0.5,
        "theatre_view": "gcam_heatmap",
        "unreactive": ["heatmap_x_image"],
        "network": "tumor-fl",
        "image": "fl",
        "target": "tumour",
        "images_kind": "simulated",
        "n_images": 60,
        "n_checked": 12,
        "n_draws": 3,
        "stages": STAGES,
        "guided_plain_correlation": 0.04,
        "views": views,
    }
    return {**made, **changes}


@pytest.fixture
def section(tmp_path):
    return maps_section(written(tmp_path, record()))


def written(folder, content):
    path = folder / "evidence.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_view_that_does_not_react_is_named_in_text_and_table(section):
    assert "not evidence of what the network learnt: Heatmap × image" in section.paragraphs[1]
    reacts = {row[0]: row[-1] for row in section.tables[0].rows}
    assert reacts["Heatmap × image"] == "NO"
    assert reacts["GCAM heatmap"] == "yes"
    assert "Image brightness" not in reacts


def test_numbers_stand_where_the_record_has_them(section):
    randomisation, truth = section.tables
    assert randomisation.rows[0][1:7] == (0.3, 0.2, 0.1, 0.05, 0.123, 0.456)
    row = truth.rows[0]
    assert row[1:4] == (-1.25, 1.75, 1.875)
    assert (row[4].value, row[4].low, row[4].high, row[5]) == (0.75, 0.6, 0.85, 0.42)
    assert "60 %" in truth.notes[0]


def test_the_figure_has_a_line_a_view_and_a_row_a_map_and_nothing_collides(section):
    (figure,) = section.figures
    cascade, game = figure.plot.axes
    lines = [line for line in cascade.lines if len(line.get_xdata()) == len(STAGES) + 1]
    assert len(lines) == len(VIEWS)
    assert lines[-1].get_ydata()[-1] == pytest.approx(0.7)
    assert len(game.get_yticks()) == len(record()["views"])
    assert collisions(figure.plot) == []
    assert "SIMULATED" in figure.caption
    assert "conv_stem" in words(figure.plot)


def test_the_section_prints_as_a_page(section):
    drawings = {figure.name: "<svg></svg>" for figure in section.figures}
    page = render_html(Document("Maps", "simulated", (), (), (section,)), drawings)
    assert "What the explanation maps mean" in page
    assert all(table_html(table) for table in section.tables)


def test_without_a_known_tumour_there_is_no_pointing_game(tmp_path):
    views = [{**one, "pointing": None, "permuted": None} for one in record()["views"]]
    made = maps_section(written(tmp_path, record(views=views, images_kind="real")))
    assert len(made.figures[0].plot.axes) == 1
    assert made.tables[1].rows[0][4] is None
    assert "SIMULATED" not in made.figures[0].caption


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"kind": "something else"}, "is no evidence record"),
        (record(schema_version=2), "has schema 2; this version reads 1"),
        ({key: value for key, value in record().items() if key != "stages"}, "damaged"),
        (record(views=[{}]), "damaged"),
        (record(views=[]), "damaged"),
        ([1, 2], "is no evidence record"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        maps_section(written(tmp_path, content))


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(InputError, match="no readable evidence record"):
        maps_section(tmp_path / "missing.json")

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs glioscope[train]")

from glioscope.cohort import load_manifest, sources
from glioscope.core import InputError
from glioscope.explain import Explainer, FigureRow, Scale, explanation_figure, write_explanation_figure


@pytest.fixture(scope="module")
def rows(tiny_suite, tiny_cohort):
    source = sources(load_manifest(tiny_cohort))[0]
    found = []
    for name in ("fl", "wl"):
        explanation = Explainer.load(tiny_suite, f"tumor-{name}").explain(source)
        found.append(FigureRow(explanation, name, Scale.of(explanation.images[name].views), "tumour"))
    return found


def texts(plot):
    inside = [text.get_text() for axes in plot.axes for text in (axes.title, *axes.texts)]
    return "\n".join([*(text.get_text() for text in plot.texts), *inside])


def test_a_row_has_the_image_and_the_five_views_and_says_what_it_is(rows):
    plot = explanation_figure(rows, images_kind="simulated", note="chosen by hand")
    assert sum(bool(axes.images) for axes in plot.axes) == 2 * 6
    said = texts(plot)
    for word in ("Coloured GCAM", "GCAM saliency", "Saliency × image", "GCAM heatmap", "Heatmap × image"):
        assert word in said
    answer = rows[0].explanation.answer
    assert f"score {answer.y_score:.2f}" in said
    assert f"answer: {answer.answer}" in said
    for word in ("pathology: tumour", "evidence for", "SIMULATED", "Research use only", "chosen by hand", "tumor-fl"):
        assert word in said
    assert "5 mm" not in said or rows[0].explanation.mm_per_px


def test_an_empty_map_says_so(rows):
    shown = rows[0].explanation.images["fl"]
    empty = replace(shown, views=replace(shown.views, gcam_heatmap=np.zeros_like(shown.views.gcam_heatmap)))
    row = replace(rows[0], explanation=replace(rows[0].explanation, images={"fl": empty}))
    assert "nothing here speaks" in texts(explanation_figure([row], images_kind="real"))
    assert "nothing here speaks" not in texts(explanation_figure(rows[1:], images_kind="real"))


def test_it_is_written_as_png_and_svg_the_same_every_time(rows, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        written = write_explanation_figure(explanation_figure(rows, images_kind="real"), folder)
        assert sorted(path.name for path in written) == ["figure.png", "figure.svg"]
    for name in ("figure.png", "figure.svg"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert b"SIMULATED" in (first / "figure.svg").read_bytes()  # what the network was trained on


def test_nothing_runs_out_of_the_page(rows):
    plot = explanation_figure(rows, images_kind="simulated", signed=True, note="a note")
    plot.canvas.draw()
    width, height = plot.get_size_inches() * plot.dpi
    boxes = [text.get_window_extent() for text in plot.texts]
    boxes += [axes.get_tightbbox() for axes in plot.axes]
    for box in boxes:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height


def test_a_figure_of_nothing_or_of_a_missing_image_is_refused(rows):
    with pytest.raises(InputError, match="at least one explained image, got 0"):
        explanation_figure([], images_kind="")
    with pytest.raises(InputError, match="no 'wl' image"):
        explanation_figure([FigureRow(rows[0].explanation, "wl", rows[0].scale)], images_kind="")
    assert np.isfinite(rows[0].scale.heatmap)

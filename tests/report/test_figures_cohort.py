import json

import numpy as np
import pytest
from tests.report.layout import bars, collisions, words

from glioscope.core import InputError
from glioscope.report import _figures_cohort as figures
from glioscope.report._figures_cohort import NO_LABEL, ClassSize, SplitPatient, cohort_counts, dataset_split
from glioscope.report._style import NEGATIVE, PALE, PALETTE, POSITIVE

# The paper's counts; patients are made up.
PAPER = (
    ClassSize("tumour", "non-tumour", 550, 20),
    ClassSize("tumour", "tumour", 1324, 23),
    ClassSize("tumour", NO_LABEL, 0),
    ClassSize("grade", "DLGG", 833, 15),
    ClassSize("grade", "GBM", 99, 1),
    ClassSize("grade", NO_LABEL, 392),
)
LEVELS = (
    ClassSize("grade4", "WHO 1", 0, 0),
    ClassSize("grade4", "WHO 2", 400, 8),
    ClassSize("grade4", "WHO 3", 433, 7),
    ClassSize("grade4", "WHO 4", 99, 4),
    ClassSize("grade4", NO_LABEL, 392),
    ClassSize("codel", "1p/19q intact and everything else", 12000, 900),
    ClassSize("codel", "1p/19q co-deleted by sequencing", 1, 1),
    ClassSize("codel", NO_LABEL, 98765),
)


def split_of(*sizes):
    return [SplitPatient(f"P{i:02d}", role, size) for i, (role, size) in enumerate(sizes)]


def test_cohort_counts_tell_every_number_in_picture_and_words():
    figure = cohort_counts(PAPER, "23 patients")
    assert figure.caption == "23 patients"
    shown = words(figure.plot)
    for text in ("550 + 1324 + 0 = 1874", "833 + 99 + 392 = 1324", "tumour (23 patients)", "GBM (1 patient)"):
        assert text in shown
    assert "grade: DLGG 833 (15 patients), GBM 99 (1 patient), no label 392" in figure.alt


def test_bars_are_as_long_as_their_counts():
    axes = cohort_counts(PAPER, "").plot.axes[0]
    drawn = [bar for colour in (NEGATIVE, POSITIVE, PALE) for bar in bars(axes, colour)]
    lengths = np.array([width for _, _, width, height in drawn if height > 0.16])  # the key's swatches are lower
    counts = np.array([550, 833, 1324, 99, 0, 392])
    np.testing.assert_allclose(lengths / lengths.sum(), counts / counts.sum(), atol=1e-9)


def test_cohort_option_holds_the_counts_and_patients():
    option = json.loads(json.dumps(cohort_counts(PAPER, "").option))
    assert option["yAxis"]["data"] == ["tumour", "grade"]
    found = {series["name"]: series["data"] for series in option["series"]}
    assert found == {
        "non-tumour": [[550, 0, 20]],
        "tumour": [[1324, 0, 23]],
        "DLGG": [[833, 1, 15]],
        "GBM": [[99, 1, 1]],
        NO_LABEL: [[0, 0, None], [392, 1, None]],
    }
    assert option["series"][-1]["name"] == NO_LABEL


@pytest.mark.parametrize("sizes", [PAPER, LEVELS, PAPER + LEVELS, (ClassSize("t", "a", 1), ClassSize("t", "b", 0))])
def test_texts_of_cohort_counts_do_not_collide(sizes):
    assert collisions(cohort_counts(sizes, "").plot) == []


def test_sets_show_one_bar_a_set_even_where_one_lacks_a_class():
    sizes = [
        ClassSize(task, name, count, role=role)
        for task, role, row in (
            ("tumour", "train", {"non-tumour": 275, "tumour": 744}),
            ("tumour", "test", {"non-tumour": 208, "tumour": 400}),
            ("grade", "train", {"DLGG": 450, "GBM": 50}),
            ("grade", "test", {"DLGG": 263}),
        )
        for name, count in row.items()
    ]
    figure = figures.test_sets(sizes, "")
    assert {"275 + 744 = 1019", "208 + 400 = 608", "450 + 50 = 500", "263", "train", "test"} <= set(words(figure.plot))
    assert figure.option["yAxis"]["data"] == ["tumour, train", "tumour, test", "grade, train", "grade, test"]
    assert "tumour (test): non-tumour 208, tumour 400" in figure.alt
    assert collisions(figure.plot) == []


def test_patients_are_sorted_by_size_within_their_role():
    patients = split_of(("train", 20), ("test", 50), ("train", 90), ("test", 7))
    figure = dataset_split(patients, "")
    assert figure.option["xAxis"]["data"] == ["P02", "P00", "P01", "P03"]
    assert [series["data"] for series in figure.option["series"]] == [
        [["P02", 90], ["P00", 20]],
        [["P01", 50], ["P03", 7]],
    ]
    axes = figure.plot.axes[0]
    assert [round(height) for *_, height in bars(axes, PALETTE[0])] == [90, 20]
    assert [round(height) for *_, height in bars(axes, PALETTE[1])] == [50, 7]
    assert figure.alt == (
        "Specimens per patient, 7 to 90. train: 2 patients, 110 specimens; test: 2 patients, 57 specimens."
    )


@pytest.mark.parametrize("count", [1, 2, 23, 200])
def test_texts_of_the_split_do_not_collide(count):
    sizes = [(f"fold {i % 10}", 1 + 37 * i % 200) for i in range(count)]
    assert collisions(dataset_split(split_of(*sizes), "").plot) == []


@pytest.mark.parametrize(
    "draw",
    [
        lambda: cohort_counts([], ""),
        lambda: figures.test_sets([ClassSize("t", "a", -1)], ""),
        lambda: dataset_split([], ""),
        lambda: dataset_split([SplitPatient("P1", "train", -1)], ""),
    ],
)
def test_nothing_to_draw_and_negative_counts_are_refused(draw):
    with pytest.raises(InputError, match="specimens"):
        draw()

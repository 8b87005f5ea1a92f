import json

import numpy as np
import pytest
from tests.report.layout import bars, collisions, words

from glioscope.core import InputError
from glioscope.report._figures_errors import RaterPair, ReaderErrors, agreement, errors_matrix
from glioscope.report._style import PALETTE
from glioscope.stats import ErrorTable, Estimate

MODEL_ERRORS, SPECIMENS = 62, 608
# The paper's readers: errors and how many of them FL-CNN corrected.
PAPER = {"FL": ((121, 90), (117, 86), (116, 85)), "WL": ((108, 82), (108, 83), (110, 85))}
LEVELS = ("I", "II", "III", "IV")


def table(errors, corrected):
    both_wrong = errors - corrected
    introduced = MODEL_ERRORS - both_wrong
    return ErrorTable(SPECIMENS - errors - introduced, corrected, introduced, both_wrong)


def paper():
    return [
        ReaderErrors(f"R{i}", modality, table(*counts))
        for modality, readers in PAPER.items()
        for i, counts in enumerate(readers, start=1)
    ]


def pair(first="P1", second="P2", scale=1, kappa=None):
    counts = scale * np.arange(16).reshape(4, 4)
    rows = tuple(tuple(int(count) for count in row) for row in counts)
    return RaterPair(first, second, rows, kappa or Estimate(0.812, 0.743, 0.881))


def test_errors_of_the_papers_readers_print_what_the_model_does_to_them():
    figure = errors_matrix(paper(), "Tumour, 608 specimens.")
    shown = words(figure.plot)
    for text in ("90 of 121 (74 %)", "86 of 117 (74 %)", "85 of 116 (73 %)", "82 of 108 (76 %)", "37 of 498 (7 %)"):
        assert text in shown
    assert (
        "R1 (FL): corrected 90 of 121 (74 %), introduced 31 of 487 (6 %), both right 456, both wrong 31" in figure.alt
    )
    assert figure.caption.startswith("Tumour, 608 specimens. Corrected:")


def test_parts_of_every_bar_add_up_to_all_specimens():
    option = json.loads(json.dumps(errors_matrix(paper(), "").option))
    parts = np.array([series["data"] for series in option["series"]])
    np.testing.assert_array_equal(parts.sum(axis=0), SPECIMENS)
    named = {series["name"]: series["data"] for series in option["series"]}
    assert named["corrected by the model"] == [90, 86, 85, 82, 83, 85]
    assert named["introduced by the model"] == [31, 31, 31, 36, 37, 37]
    wrong = np.add(named["both wrong"], named["introduced by the model"])
    np.testing.assert_array_equal(wrong, MODEL_ERRORS)


def test_bars_are_as_long_as_their_counts():
    axes = errors_matrix(paper(), "").plot.axes[0]
    corrected = [width for _, _, width, height in bars(axes, PALETTE[2]) if height > 0.16]
    np.testing.assert_allclose(np.array(corrected) / corrected[0], np.array([90, 86, 85, 82, 83, 85]) / 90)


def test_a_reader_without_errors_has_no_share():
    figure = errors_matrix([ReaderErrors("R1", "FL", ErrorTable(5, 0, 2, 0))], "")
    assert "corrected 0 of 0, introduced 2 of 7 (29 %)" in figure.alt


@pytest.mark.parametrize(
    "rows",
    [
        paper(),
        [ReaderErrors("R", "FL", ErrorTable(1, 0, 0, 0))],
        [ReaderErrors("Surgeon with a very long name", f"modality {i}", ErrorTable(10**5, 7, 7, 1)) for i in range(24)],
    ],
)
def test_texts_of_errors_do_not_collide(rows):
    assert collisions(errors_matrix(rows, "").plot) == []


def test_readers_without_specimens_are_refused():
    with pytest.raises(InputError, match="no readers"):
        errors_matrix([], "")
    with pytest.raises(InputError, match=r"R9 \(FL\) has 0 specimens"):
        errors_matrix([ReaderErrors("R9", "FL", ErrorTable(0, 0, 0, 0))], "")


def test_agreement_shows_every_count_and_kappa():
    figure = agreement([pair()], LEVELS, "c")
    shown = words(figure.plot)
    assert {str(count) for count in range(16)} <= set(shown)
    assert "κ 0.812 (0.743, 0.881)" in shown
    assert figure.alt == "P1 and P2: κ 0.812 (0.743, 0.881), the same level for 30 of 120 specimens."
    assert figure.option is None


def test_agreement_has_the_first_rater_in_rows():
    plot = agreement([pair()], LEVELS, "").plot
    mesh = plot.axes[0].collections[0]
    np.testing.assert_array_equal(mesh.get_array(), np.arange(16).reshape(4, 4))
    height = {item.get_text(): item.get_position()[1] for item in plot.axes[0].texts}
    assert height["1"] == pytest.approx(height["3"])
    assert height["4"] > height["1"]  # the vertical axis is in inches from the top


@pytest.mark.parametrize("count", [1, 2, 3, 6, 12])
def test_texts_of_agreement_do_not_collide(count):
    pairs = [
        pair(f"P{i} of the University Hospital of a Town", "Second rater from far away", 6000) for i in range(count)
    ]
    assert collisions(agreement(pairs, LEVELS, "").plot) == []


def test_a_kappa_that_does_not_exist_is_a_dash():
    assert "κ –" in words(agreement([pair(kappa=Estimate(float("nan")))], LEVELS, "").plot)


@pytest.mark.parametrize(
    ("pairs", "levels", "message"),
    [([], LEVELS, "0 pairs"), ([pair()] * 13, LEVELS, "13 pairs"), ([pair()], LEVELS[:3], "3 x 3 counts")],
)
def test_wrong_pairs_are_refused(pairs, levels, message):
    with pytest.raises(InputError, match=message):
        agreement(pairs, levels, "")

import pytest
from tests.report.layout import collisions, words

from glioscope.core import InputError
from glioscope.report._figures_sampling import SectorSize, sampling


def test_sectors_tell_specimens_and_share_of_tumour():
    sectors = [SectorSize(i, 100 + i, 100, 10 * i) for i in range(1, 9)]
    figure = sampling(sectors, "80 a patient", without_sector=3)
    assert {str(100 + i) for i in range(1, 9)} <= set(words(figure.plot))
    assert {f"{10 * i} %" for i in range(1, 9)} <= set(words(figure.plot))
    assert "sector 8: 108, 80 tumour of 100 labelled" in figure.alt
    assert "3 specimens have no sector" in figure.caption
    assert "sketch" not in figure.title
    assert collisions(figure.plot) == []


def test_sectors_darken_with_the_share_of_tumour():
    plot = sampling([SectorSize(i, 10, 10, i) for i in range(1, 9)], "").plot
    brightness = [sum(patch.get_facecolor()[:3]) for patch in plot.axes[0].patches]
    assert brightness == sorted(brightness, reverse=True)


def test_sampling_without_sectors_says_that_it_is_a_sketch():
    figure = sampling([], "")
    assert "sketch" in figure.title
    assert words(figure.plot).count("about") == 8
    assert "(sketch)" in words(figure.plot)
    assert collisions(figure.plot) == []


def test_a_sector_without_labels_has_no_share():
    shown = words(sampling([SectorSize(2, 10, 0, 0)], "").plot)
    assert shown.count("–") == 1
    assert shown.count("0") == 7


@pytest.mark.parametrize(
    ("sectors", "message"),
    [
        ([SectorSize(9, 1, 1, 1)], "sector 9"),
        ([SectorSize(1, 1, 1, 1), SectorSize(1, 2, 2, 2)], "given twice"),
        ([SectorSize(1, 1, 2, 1)], "1 tumour, 2 labelled, 1 specimens"),
    ],
)
def test_wrong_sectors_are_refused(sectors, message):
    with pytest.raises(InputError, match=message):
        sampling(sectors, "")

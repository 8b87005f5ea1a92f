"""Descriptions of fluorescence targets: ours are good, and what cannot be used is refused in one sentence."""

import pytest

from glioscope.core import InputError
from glioscope.devices._phantom_target import edge_corners, read_target, shipped_targets


def text_of(name: str = "glioscope-cast") -> str:
    from importlib import resources

    return (resources.files("glioscope.devices") / "_phantom_targets" / f"{name}.toml").read_text("utf-8")


def test_two_targets_are_shipped_and_read():
    assert shipped_targets() == ("glioscope-cast", "glioscope-mask")
    cast, mask = (read_target(name) for name in shipped_targets())
    assert [well.concentration_nm for well in cast.wells] == [0, 1, 3, 10, 30, 100, 300, 1000]
    assert [well.depth_mm for well in cast.depths] == [0, 1, 2, 3, 4]
    assert mask.wells == mask.depths == ()


@pytest.mark.parametrize("name", ["glioscope-cast", "glioscope-mask"])
def test_no_two_regions_of_our_targets_overlap(name):
    import cv2
    import numpy as np

    target = read_target(name)
    outlines = [*target.regions_mm().values()]
    seen = np.zeros((round(40 * target.size_mm[1]), round(40 * target.size_mm[0])), np.uint8)
    for outline in outlines:
        one = np.zeros_like(seen)
        cv2.fillPoly(one, [np.rint(40 * (outline + np.asarray(target.size_mm) / 2)).astype(np.int32)], 1)
        seen += one
    assert seen.max() == 1


def test_the_edge_is_slanted_clockwise():
    (x0, y0), (x1, y1), *_ = edge_corners(read_target("glioscope-cast").edge)
    assert y1 > y0
    assert (y1 - y0) / (x1 - x0) == pytest.approx(0.2126, abs=1e-3)


def test_the_hash_tells_targets_apart_and_survives_reformatting(tmp_path):
    (tmp_path / "same.toml").write_text("# a comment\n" + text_of())
    (tmp_path / "other.toml").write_text(text_of().replace("concentration_nm = 10.0", "concentration_nm = 11.0"))
    ours = read_target("glioscope-cast").sha256
    assert read_target(tmp_path / "same.toml").sha256 == ours
    assert read_target(tmp_path / "other.toml").sha256 != ours


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "glioscope-cast"', "name = ", "is not a TOML file"),
        ("size_mm = [50.0, 40.0]", "size_mm = [30.0, 40.0]", "a region lies outside of the plate"),
        ("[-16.5, -17.5]]", "[0.0, 0.0]]", "look the same turned by 180 degrees or in a mirror"),
        ("[-16.5, -17.5]]", "[-20.0, -17.5]]", "nearer than 1.5 diameters"),
        ("concentration_nm = 0.0", "concentration_nm = 2.0", "wells need a blank (0 nM)"),
        ("angle_deg = 12.0", "angle_deg = 0.0", "edge.angle_deg"),
        ("diameter_mm = 2.4", "diameter_m = 2.4", "fiducials.diameter_m"),
        ("concentration_nm = 1000.0", "concentration_nm = inf", "wells.8.concentration_nm"),
        ("date = 2026-11-24", "", "date: is missing"),
    ],
)
def test_a_target_that_cannot_be_used_is_refused(tmp_path, old, new, said):
    assert old in text_of()
    path = tmp_path / "t.toml"
    path.write_text(text_of().replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read_target(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_missing_target_says_which_are_known(tmp_path):
    with pytest.raises(InputError, match=r"does not exist; targets known by name are glioscope-cast, glioscope-mask"):
        read_target(tmp_path / "none.toml")

"""Finding a target, on SIMULATED pictures whose true mapping is known, and refusing what is none."""

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from glioscope.core import ImageError
from glioscope.devices._phantom_locate import Located, check_turn, locate_target
from glioscope.devices._phantom_target import read_target
from glioscope.imaging import Target
from glioscope.sim import SimSettings, photograph_target, render_tray
from glioscope.sim._phantom import PhantomPair, render_phantom
from glioscope.sim._target import FL_LENS

TARGET = read_target("glioscope-cast")


@cache
def rendered(seed: int = 0, **changes: object) -> PhantomPair:
    return render_phantom(TARGET, np.random.default_rng(seed), **changes)  # type: ignore[arg-type]


def found_in_fl(fl: np.ndarray, target=TARGET) -> Located:
    return locate_target(cv2.medianBlur(fl, 3).astype(np.float32), target, bright=True, name="fluorescence")


def true_px(pair: PhantomPair, shift=(0.0, 0.0), turned=0.0) -> np.ndarray:
    angle = np.deg2rad(turned)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return pair.fl_lens.to_px(TARGET.fiducials_mm @ turn + shift)


@pytest.mark.parametrize(("shift", "turned"), [((0.0, 0.0), 0.0), ((2.0, -1.5), 4.0), ((-2.5, 1.0), -4.5)])
def test_discs_are_found_to_a_tenth_of_a_pixel(shift, turned):
    pair = rendered(shift_mm=shift, turned_deg=turned)
    located = found_in_fl(pair.fl)
    assert np.hypot(*(located.fiducials_px - true_px(pair, shift, turned)).T).max() < 0.1
    assert located.turned_deg == pytest.approx(turned + 0.8, abs=0.15)  # the camera itself is rolled by 0.8 degrees
    assert located.fit_mm < 0.05


@pytest.mark.parametrize("factor", [0.8, 1.1], ids=["farther", "nearer"])
def test_scale_follows_the_distance(factor):
    lens = replace(FL_LENS, focal_px=factor * FL_LENS.focal_px)
    located = found_in_fl(rendered(fl_lens=lens).fl)
    assert located.mm_per_px == pytest.approx(300 / 3000 / factor, rel=0.01)


def test_a_tilted_camera_is_no_obstacle():
    lens = replace(FL_LENS, tilt_deg=(8.0, -7.0))
    pair = rendered(fl_lens=lens)
    located = found_in_fl(pair.fl)
    assert np.hypot(*(located.fiducials_px - true_px(pair)).T).max() < 0.15


def test_millimetres_and_pixels_are_each_others_inverse():
    located = found_in_fl(rendered().fl)
    points = np.array([[0.0, 0.0], [20.0, -15.0], [-3.0, 7.0]])
    assert located.to_mm(located.to_px(points)) == pytest.approx(points, abs=1e-9)


def test_the_printed_target_is_found_too():
    mask = read_target("glioscope-mask")
    assert found_in_fl(render_phantom(mask, np.random.default_rng(1)).fl, mask).fit_mm < 0.05


def test_a_target_laid_turned_is_found_and_refused():
    located = found_in_fl(rendered(turned_deg=180.0).fl)
    assert abs(located.turned_deg) > 178
    with pytest.raises(
        ImageError, match=r"turned by -?1(79|80|81) degrees, 6 is the limit.*odd disc at the upper left"
    ):
        check_turn(located, TARGET)


def test_a_target_in_a_mirror_is_said_to_be_one():
    with pytest.raises(ImageError, match="seen in a mirror"):
        found_in_fl(np.ascontiguousarray(rendered().fl[:, ::-1]))


def test_a_target_partly_out_of_the_frame_is_refused():
    with pytest.raises(ImageError, match=r"not found|lies outside"):
        found_in_fl(np.ascontiguousarray(rendered().fl[:, :540]))


def test_a_covered_disc_is_counted():
    fl = rendered().fl.copy()
    x, y = np.rint(true_px(rendered())[1]).astype(int)
    fl[y - 18 : y + 18, x - 18 : x + 18] = 800
    with pytest.raises(ImageError, match="4 of 5 fiducials"):
        found_in_fl(fl)


def tray() -> np.ndarray:
    return render_tray(12, (512, 640), 0.1, SimSettings(), np.random.default_rng(5)).fl


def board() -> np.ndarray:
    return photograph_target(Target("circles", 5, 9, 4.8), np.random.default_rng(1)).fl


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(500, 700, (512, 640)).astype(np.uint16)


@pytest.mark.parametrize("other", [tray, board, noise], ids=["specimens", "registration target", "noise"])
def test_what_is_no_target_is_refused(other):
    with pytest.raises(ImageError, match=r"target 'glioscope-cast' is not found \(\d of 5 fiducials\)"):
        found_in_fl(other())


def test_an_even_picture_is_refused():
    with pytest.raises(ImageError, match="is not found"):
        found_in_fl(np.full((512, 640), 900, np.uint16))

"""The simulated target: what is dialled is what the pictures show."""

from functools import cache

import numpy as np
import pytest

from glioscope.devices._phantom_target import read_target
from glioscope.sim import SimSettings
from glioscope.sim._phantom import UNITS_PER_NM, PhantomFaults, PhantomPair, render_phantom

TARGET = read_target("glioscope-cast")


@cache
def rendered(
    faults: PhantomFaults | None = None, seed: int = 0, unit: int = 0, exposure_ms: float = 100.0
) -> PhantomPair:
    return render_phantom(TARGET, np.random.default_rng(seed), faults=faults, unit=unit, exposure_ms=exposure_ms)


def counts_at(pair: PhantomPair, x_mm: float, y_mm: float, *, dark: bool = False) -> float:
    x, y = np.rint(pair.fl_lens.to_px(np.array([[x_mm, y_mm]]))[0]).astype(int)
    return float(np.median((pair.dark if dark else pair.fl)[y - 8 : y + 9, x - 8 : x + 9].astype(float)))


def test_pictures_have_the_cameras_types_and_sizes():
    pair = rendered()
    assert (pair.fl.dtype, pair.fl.shape) == (np.uint16, (512, 640))
    assert (pair.wl.dtype, pair.wl.shape) == (np.uint8, (720, 1280, 3))
    assert pair.dark.shape == pair.fl.shape


def test_the_same_seed_gives_the_same_pictures():
    again = render_phantom(TARGET, np.random.default_rng(0))
    assert np.array_equal(again.fl, rendered().fl)
    assert np.array_equal(again.wl, rendered().wl)


def test_hot_pixels_are_the_units():
    assert np.array_equal(rendered().truth.bad, rendered(seed=1).truth.bad)
    assert not np.array_equal(rendered().truth.bad, rendered(unit=1).truth.bad)
    assert np.count_nonzero(rendered().truth.bad) == 400


def test_wells_hold_what_the_camera_equation_gives():
    camera, optics = SimSettings().infrared, SimSettings().optics
    per_unit = camera.photons_per_unit * camera.quantum_efficiency / camera.electrons_per_adu
    pair = rendered()
    for well in TARGET.wells[3:]:
        x, y = pair.fl_lens.to_px(np.array([well.centre_mm]))[0]
        light = pair.truth.illumination[round(y), round(x)] * pair.truth.slope / (per_unit * UNITS_PER_NM / 100)
        units = UNITS_PER_NM * well.concentration_nm + 0.02 + optics.ambient
        expected = pair.truth.dark_counts + per_unit * units * light
        assert counts_at(pair, *well.centre_mm) == pytest.approx(expected, rel=0.01)


def test_a_layer_attenuates_by_its_depth():
    levels = [counts_at(rendered(), *well.centre_mm) - counts_at(rendered(), 11.5, 0.0) for well in TARGET.depths[:3]]
    assert np.diff(np.log(levels)) == pytest.approx([-1 / 1.2] * 2, rel=0.05)


def test_the_dark_frame_sees_neither_target_nor_leak():
    leaking = rendered(PhantomFaults(leak=1.0))
    assert counts_at(leaking, 0.0, -12.8, dark=True) == pytest.approx(leaking.truth.dark_counts, abs=3)
    assert counts_at(leaking, 11.5, 0.0) > counts_at(rendered(), 11.5, 0.0) + 1000


def test_half_the_laser_is_half_the_light():
    def light(faults: PhantomFaults | None) -> float:
        return counts_at(rendered(faults), 0.0, -12.8) - counts_at(rendered(faults), 11.5, 0.0)

    assert light(PhantomFaults(laser=0.5)) == pytest.approx(0.5 * light(None), rel=0.01)
    assert rendered(PhantomFaults(laser=0.5)).truth.slope == pytest.approx(0.5 * rendered().truth.slope)


def test_exposure_scales_the_light():
    short = rendered(exposure_ms=50.0)
    assert short.truth.slope == pytest.approx(rendered().truth.slope)
    lights = [counts_at(pair, 0.0, -12.8) - counts_at(pair, 11.5, 0.0) for pair in (short, rendered())]
    assert lights[0] == pytest.approx(0.5 * lights[1], rel=0.01)


def test_dead_pixels_read_nothing_and_clipping_holds():
    pair = rendered(PhantomFaults(dead_pixels=100, clipped_at=20_000))
    assert np.count_nonzero(pair.fl == 0) == 100
    assert pair.fl.max() == 20_000


def test_a_blurred_lens_has_a_lower_resolution():
    assert rendered(PhantomFaults(blur_px=1.0)).truth.mtf50_lp_mm < 0.6 * rendered().truth.mtf50_lp_mm


def test_a_moved_camera_moves_the_white_light_picture_only():
    moved = rendered(PhantomFaults(moved_px=5.0))
    assert np.array_equal(moved.fl, rendered().fl)
    there, here = moved.wl[..., 1].astype(float), rendered().wl[..., 1].astype(float)
    assert np.abs(there[:, 5:] - here[:, :-5]).mean() < 0.3 * np.abs(there - here).mean() + 2

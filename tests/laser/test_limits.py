import math

import pytest

from glioscope.laser import (
    Beam,
    alpha_mrad,
    exposure_limits,
    eye_limit_mw_cm2,
    irradiance_mw_cm2,
    ocular_hazard_mm,
    power_mw,
    skin_limit_mw_cm2,
    spot_diameter_mm,
)


def test_limits_of_the_paper_laser_are_those_of_the_notes():
    # 808 nm, 100 s or more: C_A 1.64; skin 329, eye 1.6 (point), 62 (100 mrad or more) mW/cm2.
    assert skin_limit_mw_cm2(808, 100) / 200 == pytest.approx(1.64, abs=0.005)
    assert skin_limit_mw_cm2(808, 1000) == pytest.approx(329, abs=0.5)
    assert eye_limit_mw_cm2(808, 100) == pytest.approx(1.66, abs=0.005)
    assert eye_limit_mw_cm2(808, 100, 100) == pytest.approx(62.4, abs=0.05)
    assert eye_limit_mw_cm2(808, 30_000, 300) == pytest.approx(62.4, abs=0.05)


@pytest.mark.parametrize(
    ("wavelength", "seconds", "alpha", "joules_per_m2"),
    [
        (700, 1.0, 0, 18.0),  # 18 t^0.75
        (700, 0.25, 0, 6.364),  # 18 * 0.25^0.75
        (850, 0.25, 0, 12.70),  # C_A = 10^0.3 = 1.9953
        (1064, 0.25, 0, 31.82),  # C_A = 5
        (1175, 1.0, 0, 253.66),  # C_C = 10^0.45 = 2.8184, C_A = 5
        (700, 1.0, 15, 180.0),  # C_E = 10
        (700, 100.0, 1.5, 1012.2),  # beyond T2 = 10 s: 18 * 10^-0.25 * 100
        (700, 0.01, 100, 18 * 0.01**0.75 * 20 / 1.5),  # largest angle 200 sqrt(0.01) = 20 mrad
    ],
)
def test_eye_limits_worked_by_hand(wavelength, seconds, alpha, joules_per_m2):
    assert eye_limit_mw_cm2(wavelength, seconds, alpha) == pytest.approx(joules_per_m2 / seconds / 10, rel=1e-3)


@pytest.mark.parametrize(
    ("wavelength", "seconds", "w_per_m2"),
    [(500, 10, 2000), (700, 10, 2000), (1200, 60, 10_000), (600, 1, 11_000), (600, 1e-4, 11_000 * 1e3)],
)
def test_skin_limits_worked_by_hand(wavelength, seconds, w_per_m2):
    assert skin_limit_mw_cm2(wavelength, seconds) == pytest.approx(w_per_m2 / 10, rel=1e-6)


def test_no_limit_rises_with_the_duration():
    for limit in (lambda t: eye_limit_mw_cm2(808, t), lambda t: skin_limit_mw_cm2(808, t)):
        values = [limit(10**power) for power in (-4, -3, -2, -1, 0, 0.9, 1.1, 2, 3, 4)]
        assert values == sorted(values, reverse=True)
    extended = [eye_limit_mw_cm2(808, seconds, 40) for seconds in (0.25, 1, 5, 15, 20, 30, 100, 1000)]
    assert extended == sorted(extended, reverse=True)


@pytest.mark.parametrize(
    ("wavelength", "seconds"), [(650, 1), (1500, 1), (808, 0), (808, 1e-9), (808, math.nan), (808, 1e6)]
)
def test_where_the_tables_do_not_hold_there_is_an_error(wavelength, seconds):
    with pytest.raises(ValueError, match="outside"):
        eye_limit_mw_cm2(wavelength, seconds)


def test_irradiance_worked_by_hand():
    # 10 mm and 100 mrad at 200 mm: 30 mm across, 7.07 cm2.
    beam = Beam(diameter_mm=10, divergence_mrad=100, profile="flat")
    assert spot_diameter_mm(200, beam) == pytest.approx(30.02, abs=0.01)
    assert irradiance_mw_cm2(353.4, 200, beam) == pytest.approx(49.95, abs=0.05)
    gaussian = Beam(diameter_mm=10, divergence_mrad=100)
    assert irradiance_mw_cm2(100, 200, gaussian) == pytest.approx(2 * irradiance_mw_cm2(100, 200, beam))
    assert power_mw(50, 200, gaussian) == pytest.approx(353.9 / 2, rel=1e-3)


def test_nearer_is_stronger_and_power_is_the_inverse():
    beam = Beam()
    values = [irradiance_mw_cm2(100, distance, beam) for distance in (0, 50, 100, 200, 400)]
    assert values == sorted(values, reverse=True)
    assert irradiance_mw_cm2(power_mw(37, 123, beam), 123, beam) == pytest.approx(37)


def test_at_the_hazard_distance_the_beam_is_at_the_limit():
    for profile in ("flat", "gaussian"):
        beam = Beam(diameter_mm=5, divergence_mrad=50, profile=profile)
        distance = ocular_hazard_mm(beam, 500, 100)
        assert irradiance_mw_cm2(500, distance, beam) == pytest.approx(eye_limit_mw_cm2(808, 100))
    assert ocular_hazard_mm(beam, 0.0, 100) == 0
    assert ocular_hazard_mm(Beam(divergence_mrad=0), 500, 100) == math.inf


def test_the_source_is_no_larger_than_aperture_or_divergence():
    shown = exposure_limits(Beam(diameter_mm=5, divergence_mrad=200), 500, 250, 100)
    assert shown.alpha_mrad == pytest.approx(20, rel=1e-3) == alpha_mrad(5, 250)
    assert exposure_limits(Beam(diameter_mm=5, divergence_mrad=2), 500, 250, 100).alpha_mrad == 2
    assert shown.eye_point_mw_cm2 < shown.eye_mw_cm2 < shown.skin_mw_cm2

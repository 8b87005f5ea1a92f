"""Exposure limits of eye and skin for one wavelength from 700 (skin: 400) to 1400 nm.

ICNIRP, Guidelines on limits of exposure to laser radiation of wavelengths between 180 nm and 1000 um, Health Phys
105:271 (2013), tables 5 and 7; IEC 60825-1:2014 annex A has the same values here. Irradiance in mW/cm2 (1 mW/cm2 =
10 W/m2), exposure in seconds. They speak of intact skin and of healthy adult eyes, not of exposed brain.
"""

import math
from dataclasses import dataclass

from ._beam import GAUSSIAN_PEAK, Beam

ALPHA_MIN_MRAD = 1.5
"""A source that is seen smaller than this is a point to the eye."""
ALPHA_MAX_MRAD = 100.0
"""A source that is seen larger than this heats the retina as one of this size, from 0.25 s on."""
SHORTEST_S, LONGEST_S = 13e-6, 30_000.0
"""Durations for which these formulas hold."""
_PER_W_M2 = 0.1  # mW/cm2


@dataclass(frozen=True, slots=True)
class ExposureLimits:
    """What eye and skin may receive, and how far the beam is dangerous.

    Attributes
    ----------
    eye_point_mw_cm2 : at the cornea from a source seen as a point: the strictest.
    eye_mw_cm2 : at the cornea from a source of `alpha_mrad`.
    skin_mw_cm2 : on the skin.
    alpha_mrad : angle under which the source is seen.
    ocular_hazard_mm : distance beyond which the bare beam is under `eye_point_mw_cm2`; infinite if it does not widen.
    """

    eye_point_mw_cm2: float
    eye_mw_cm2: float
    skin_mw_cm2: float
    alpha_mrad: float
    ocular_hazard_mm: float


def exposure_limits(beam: Beam, power_mw: float, viewing_mm: float, exposure_s: float) -> ExposureLimits:
    """Limits beside which the irradiance of a beam is shown.

    The apparent source is the beam's aperture seen from `viewing_mm`, but never larger than the beam's divergence,
    because a collimated beam is focused to that angle.
    """
    alpha = min(alpha_mrad(beam.diameter_mm, viewing_mm), beam.divergence_mrad)
    return ExposureLimits(
        eye_point_mw_cm2=eye_limit_mw_cm2(beam.wavelength_nm, exposure_s),
        eye_mw_cm2=eye_limit_mw_cm2(beam.wavelength_nm, exposure_s, alpha),
        skin_mw_cm2=skin_limit_mw_cm2(beam.wavelength_nm, exposure_s),
        alpha_mrad=alpha,
        ocular_hazard_mm=ocular_hazard_mm(beam, power_mw, exposure_s),
    )


def alpha_mrad(diameter_mm: float, distance_mm: float) -> float:
    """Angle under which a disc is seen. Raises ValueError unless both lengths are positive."""
    if not (diameter_mm > 0 and distance_mm > 0):
        raise ValueError(f"a source of {diameter_mm:g} mm at {distance_mm:g} mm: both must be positive")
    return 2000 * math.atan(diameter_mm / (2 * distance_mm))


def skin_limit_mw_cm2(wavelength_nm: float, exposure_s: float) -> float:
    """Mean irradiance on the skin over an exposure: 2000 C_A W/m2 from 10 s on, 1.1e4 C_A t^0.25 J/m2 before."""
    c_a = _c_a(wavelength_nm)
    seconds = _duration(exposure_s)
    return _PER_W_M2 * c_a * (2000 if seconds >= 10 else 1.1e4 / math.pow(seconds, 0.75))


def eye_limit_mw_cm2(wavelength_nm: float, exposure_s: float, alpha: float = 0.0) -> float:
    """Mean irradiance at the cornea over an exposure (retinal heating): 18 C_A C_C C_E t^0.75 J/m2 until T2.

    Beyond T2 the irradiance stays at that of T2. `alpha` is the angle of the source in mrad; 0: a point. Raises
    ValueError outside 700 to 1400 nm, for visible light has photochemical limits too, which are not here.
    """
    if not 700 <= wavelength_nm <= 1400:
        raise ValueError(f"wavelength {wavelength_nm:g} nm is outside 700 to 1400 nm, where this eye limit holds")
    seconds = _duration(exposure_s)
    seen = min(max(alpha, ALPHA_MIN_MRAD), _alpha_max(seconds))
    t2 = 10 * 10 ** ((min(max(alpha, ALPHA_MIN_MRAD), ALPHA_MAX_MRAD) - ALPHA_MIN_MRAD) / 98.5)
    factor = 18 * _c_a(wavelength_nm) * _c_c(wavelength_nm) * seen / ALPHA_MIN_MRAD
    thermal = _PER_W_M2 * factor / math.pow(min(seconds, t2), 0.25)
    return min(thermal, skin_limit_mw_cm2(wavelength_nm, exposure_s)) if wavelength_nm > 1200 else thermal


def ocular_hazard_mm(beam: Beam, power_mw: float, exposure_s: float) -> float:
    """Nominal ocular hazard distance of the bare beam, with its peak irradiance against the limit of a point source."""
    limit = eye_limit_mw_cm2(beam.wavelength_nm, exposure_s)
    peak = GAUSSIAN_PEAK if beam.profile == "gaussian" else 1.0
    safe_diameter_mm = 10 * math.sqrt(4 * peak * power_mw / (math.pi * limit))
    if safe_diameter_mm <= beam.diameter_mm:
        return 0.0
    if beam.divergence_mrad == 0:
        return math.inf
    return (safe_diameter_mm - beam.diameter_mm) / (2 * math.tan(beam.divergence_mrad / 2000))


def _duration(exposure_s: float) -> float:
    if not SHORTEST_S <= exposure_s <= LONGEST_S:
        raise ValueError(f"an exposure of {exposure_s:g} s is outside {SHORTEST_S:g} to {LONGEST_S:g} s")
    return exposure_s


def _c_a(wavelength_nm: float) -> float:
    """C_A (C4 of IEC 60825-1): 1 in visible light, rising tenfold in 500 nm, 5 from 1050 nm."""
    if not 400 <= wavelength_nm <= 1400:
        raise ValueError(f"wavelength {wavelength_nm:g} nm is outside 400 to 1400 nm")
    return float(min(max(10 ** (0.002 * (wavelength_nm - 700)), 1.0), 5.0))


def _c_c(wavelength_nm: float) -> float:
    """C_C (C7): 1 up to 1150 nm, rising to 8 at 1200 nm."""
    return float(min(max(10 ** (0.018 * (wavelength_nm - 1150)), 1.0), 8.0))


def _alpha_max(exposure_s: float) -> float:
    return min(max(200 * math.sqrt(exposure_s), 5.0), ALPHA_MAX_MRAD)

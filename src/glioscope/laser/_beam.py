"""The beam: how strong it is on the tissue, from its power and how far away the tissue is."""

import math
from dataclasses import dataclass
from typing import Literal

GAUSSIAN_PEAK = 2.0
"""Peak of a Gaussian beam over its mean within the 1/e2 diameter: 2P/(pi w2) against P/(pi w2)."""


@dataclass(frozen=True, slots=True)
class Beam:
    """A round beam that leaves the unit.

    Attributes
    ----------
    diameter_mm : at the unit's reference plane; of a Gaussian beam where it falls to 1/e2.
    divergence_mrad : full angle; never negative, for a beam that narrows would be strongest far away.
    wavelength_nm : 700 to 1400, where the exposure limits hold.
    profile : "flat" has the same irradiance all over its disc, "gaussian" twice the mean in its middle.
    """

    diameter_mm: float = 5.0
    divergence_mrad: float = 200.0
    wavelength_nm: float = 808.0
    profile: Literal["flat", "gaussian"] = "gaussian"


def spot_diameter_mm(distance_mm: float, beam: Beam) -> float:
    """Diameter of the beam `distance_mm` from the reference plane."""
    return beam.diameter_mm + 2 * distance_mm * math.tan(beam.divergence_mrad / 2000)


def irradiance_mw_cm2(power_mw: float, distance_mm: float, beam: Beam) -> float:
    """Highest irradiance on tissue that faces the beam: the peak, not the mean, and nothing lost on the way."""
    area_cm2 = math.pi / 4 * (spot_diameter_mm(distance_mm, beam) / 10) ** 2
    return _peak(beam) * power_mw / area_cm2


def power_mw(irradiance: float, distance_mm: float, beam: Beam) -> float:
    """Power that gives this peak irradiance (mW/cm2) at this distance: the inverse of `irradiance_mw_cm2`."""
    area_cm2 = math.pi / 4 * (spot_diameter_mm(distance_mm, beam) / 10) ** 2
    return irradiance * area_cm2 / _peak(beam)


def _peak(beam: Beam) -> float:
    return GAUSSIAN_PEAK if beam.profile == "gaussian" else 1.0

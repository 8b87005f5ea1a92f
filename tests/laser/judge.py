"""An independent judge: from the truth of the world, may there be light? Imports nothing of glioscope."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Truth:
    """The world as it is; ages in seconds, negative: dated in the future; None: never."""

    key: bool
    lease_age: float | None
    beat_age: float | None
    streaming: bool
    distance_mm: float | None
    distance_age: float | None
    head_sound: bool
    power_mw: float


@dataclass(frozen=True)
class Rules:
    lease: float
    beat: float
    reading: float
    nearest_mm: float
    farthest_mm: float
    limit_mw_cm2: float
    commanded_mw: float
    aperture_mm: float
    divergence_mrad: float
    grace: float = 1e-9  # rounding


def against(truth: Truth, rules: Rules) -> set[str]:
    """All that speaks against light; a small grace covers the time that anything takes."""
    found = set()
    if not truth.key:
        found.add("key")
    for name, age, late in (
        ("lease", truth.lease_age, rules.lease),
        ("heartbeat", truth.beat_age, rules.beat),
        ("reading", truth.distance_age, rules.reading),
    ):
        if age is None or math.isnan(age) or age < -0.001 - rules.grace or age > late + rules.grace:
            found.add(name)
    if not truth.streaming:
        found.add("cameras")
    if not truth.head_sound or math.isnan(truth.power_mw):
        found.add("head")
    distance = truth.distance_mm
    if distance is None or math.isnan(distance) or distance < rules.nearest_mm or distance > rules.farthest_mm:
        found.add("window")
    else:
        radius_cm = (rules.aperture_mm / 2 + distance * math.tan(rules.divergence_mrad / 2 / 1000)) / 10
        strongest = max([rules.commanded_mw, truth.power_mw])
        if strongest / (math.pi * radius_cm * radius_cm) > rules.limit_mw_cm2 * (1 + 1e-9):
            found.add("irradiance")
    return found

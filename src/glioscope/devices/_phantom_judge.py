"""Whether the measures of a phantom check are as they should be: against limits, a baseline, and the suite in use."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from glioscope.core import BundleInfo, Reason

CONDITION_MARGIN = 0.1
"""How far outside of the trained range a setting may be, as in `runtime`."""
WARN_SHARE = 0.6
"""A measure that has gone this share of the way from the baseline to a limit is worth a warning."""

_Number = Annotated[float, Field(allow_inf_nan=False)]
_Change = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Verdict(StrEnum):
    """What a check, or one line of it, comes to."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    NOT_JUDGED = "not judged"


class Tolerance(BaseModel):
    """What one measure may be. None: not bounded on that side."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: _Number | None = None
    high: _Number | None = None
    """Bounds that hold for any unit."""
    below: _Change | None = None
    above: _Change | None = None
    """How far the measure may be from the baseline: a share of it, or its own unit where `absolute`."""
    absolute: bool = False

    def bounds(self, baseline: float | None) -> tuple[float | None, float | None]:
        """Lowest and highest value that pass."""
        lows, highs = [self.low], [self.high]
        if baseline is not None:
            unit = 1.0 if self.absolute else abs(baseline)
            lows.append(None if self.below is None else baseline - self.below * unit)
            highs.append(None if self.above is None else baseline + self.above * unit)
        low = max((value for value in lows if value is not None), default=None)
        high = min((value for value in highs if value is not None), default=None)
        return low, high


class PhantomLimits(BaseModel):
    """Limits of a phantom check. The changes are against the first accepted check of this unit and target.

    They are set so that a unit as it should be passes and faults that change an answer do not
    (`make bench-phantom`, simulated); another unit may need others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    uniformity: Tolerance = Tolerance(high=0.35, above=0.05, absolute=True)
    slope_counts_per_nm_ms: Tolerance = Tolerance(below=0.15, above=0.15)
    r2: Tolerance = Tolerance(low=0.98)
    nonlinearity: Tolerance = Tolerance(high=0.15, above=0.05, absolute=True)
    saturated_wells: Tolerance = Tolerance(above=0.5, absolute=True)
    lod_nm: Tolerance = Tolerance(above=2.0)
    """Wide: a weaker laser raises it too, and has its own line."""
    fl_mtf50_lp_mm: Tolerance = Tolerance(below=0.15, above=0.25)
    wl_mtf50_lp_mm: Tolerance = Tolerance(below=0.15, above=0.25)
    depth_1e_mm: Tolerance = Tolerance(below=0.15, above=0.15)
    background_counts: Tolerance = Tolerance(below=0.1, above=0.1)
    dark_counts: Tolerance = Tolerance(below=0.1, above=0.1)
    dark_noise_counts: Tolerance = Tolerance(above=0.35)
    bad_share: Tolerance = Tolerance(high=0.005, above=0.0005, absolute=True)
    registration_mm: Tolerance = Tolerance(high=0.2)
    mm_per_px: Tolerance = Tolerance(below=0.02, above=0.02)


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure of the check: what people call it, its unit, which picture it is about, and what to look at."""

    name: str
    label: str
    unit: str
    slot: str
    advice: str


MEASURES = (
    Measure("uniformity", "non-uniformity of the field", "", "fl", "look at the collimator's aim and for dirt"),
    Measure(
        *("slope_counts_per_nm_ms", "sensitivity", "counts/nM/ms", "fl"),
        "check laser power, filter, working distance and the age of the target",
    ),
    Measure("r2", "R2 of the sensitivity line", "", "fl", "check the wells and the camera's gain setting"),
    Measure("nonlinearity", "deviation from linearity", "", "fl", "check gamma or high-range modes of the camera"),
    Measure("saturated_wells", "saturated wells", "", "fl", "shorten the exposure, check the camera's pixel format"),
    Measure("lod_nm", "limit of detection", "nM", "fl", "look for stray light, check the camera's cooling"),
    Measure("fl_mtf50_lp_mm", "FL resolution (MTF50)", "lp/mm", "fl", "clean the lens, check focus and distance"),
    Measure("wl_mtf50_lp_mm", "WL resolution (MTF50)", "lp/mm", "wl", "clean the lens, check focus and distance"),
    Measure("depth_1e_mm", "depth to 1/e", "mm", "fl", "check the layers of the target and the filter"),
    Measure("background_counts", "dark area of the target", "counts", "fl", "look for light leaks, dim the room"),
    Measure("dark_counts", "dark level", "counts", "fl", "look for light leaks, check cooling and exposure"),
    Measure("dark_noise_counts", "noise of the dark level", "counts", "fl", "check the camera's cooling"),
    Measure("bad_share", "bad pixels", "share", "fl", "renew the bad-pixel calibration, check cooling"),
    Measure("registration_mm", "FL-WL registration residual", "mm", "pair", "a camera has moved: register again"),
    Measure("mm_per_px", "scale of the FL picture", "mm/px", "fl", "set the working distance"),
)


@dataclass(frozen=True, slots=True)
class PhantomLine:
    """One judged measure.

    Attributes
    ----------
    name : identifier that stays the same between versions. label, slot, unit : see `Measure`.
    value : what was measured. low, high : what passes; None: no bound.
    baseline : of the first accepted check; None: none given.
    against : where the bounds come from: "limits", "baseline" or the suite's name; "" where there are none.
    sentence : what is wrong and what to look at; "" where nothing is.
    """

    name: str
    label: str
    slot: str
    unit: str
    value: float
    low: float | None
    high: float | None
    baseline: float | None
    against: str
    verdict: Verdict
    sentence: str = ""

    def reason(self) -> Reason:
        """The line as everything else in glioscope says why."""
        low, high = self.low, self.high
        nearer_low = low is not None and (high is None or self.value - low < high - self.value)
        beyond = low if nearer_low else high
        return Reason(f"phantom_{self.name}", self.sentence, self.slot, self.value, beyond, self.unit)


def judge_measures(
    values: Mapping[str, float], limits: PhantomLimits, baseline: Mapping[str, float] | None
) -> tuple[PhantomLine, ...]:
    """A line for each measure that was taken and can be judged.

    Parameters
    ----------
    values : name -> value, as in `PhantomReading.values`.
    baseline : the same of the first accepted check; None: only the absolute limits hold.
    """
    lines = []
    for measure in MEASURES:
        value = values.get(measure.name)
        if value is None or (measure.name == "background_counts" and value == values.get("dark_counts")):
            continue
        tolerance: Tolerance = getattr(limits, measure.name)
        base = None if baseline is None else baseline.get(measure.name)
        low, high = tolerance.bounds(base)
        against = "" if low is None and high is None else ("limits" if base is None else "baseline")
        lines.append(_line(measure, value, low, high, base, against))
    return tuple(lines)


def judge_conditions(
    conditions: Mapping[str, float], background_counts: float, bundles: Sequence[BundleInfo], suite: str
) -> tuple[PhantomLine, ...]:
    """A line for each setting that the suite knows, and one for the background.

    Parameters
    ----------
    conditions : column of the manifest ("fl_exposure_ms", "fl_gain", "distance_mm", "mm_per_px",
        "irradiance_mw_cm2") -> what the unit has now.
    bundles : of the suite; those that read FL count, and what one of them does not bear the suite does not.
    suite : its name, for the lines.
    """
    lines = []
    bundles = [bundle for bundle in bundles if "fl" in bundle.modality.inputs]
    for name, (label, unit) in _CONDITIONS.items():
        ranges = [bundle.conditions[name] for bundle in bundles if name in bundle.conditions]
        if name not in conditions or not ranges:
            continue
        low = max(low for low, _ in ranges) * (1 - CONDITION_MARGIN)
        high = min(high for _, high in ranges) * (1 + CONDITION_MARGIN)
        measure = Measure(f"suite_{name}", f"{label}, for the suite", unit, "fl", "the suite was not trained with it")
        lines.append(_line(measure, conditions[name], low, high, None, suite))
    highest = [b.quality.fl_background_max for b in bundles if b.quality.fl_background_max is not None]
    if highest:
        measure = Measure(
            *("suite_fl_background", "dark area of the target, for the suite", "counts", "fl"),
            "its quality gate would refuse every picture: look for light leaks, dim the room",
        )
        lines.append(_line(measure, background_counts, None, min(highest), None, suite))
    return tuple(lines)


_CONDITIONS = {
    "fl_exposure_ms": ("FL exposure", "ms"),
    "fl_gain": ("FL gain", ""),
    "distance_mm": ("working distance", "mm"),
    "irradiance_mw_cm2": ("irradiance", "mW/cm2"),
    "mm_per_px": ("scale of the FL picture", "mm/px"),
}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """FAIL over WARN over OK."""
    found = set(verdicts)
    return next((v for v in (Verdict.FAIL, Verdict.WARN) if v in found), Verdict.OK)


def _line(
    measure: Measure, value: float, low: float | None, high: float | None, base: float | None, against: str
) -> PhantomLine:
    verdict = _verdict(value, low, high, base) if against else Verdict.NOT_JUDGED
    sentence = ""
    if verdict in (Verdict.FAIL, Verdict.WARN):
        limit = low if low is not None and (high is None or abs(value - low) < abs(value - high)) else high
        shown = "" if base is None else f" (baseline {base:.4g})"
        near = "" if verdict is Verdict.FAIL else "nearing the limit: "
        number = f"{value:.4g} {measure.unit}".rstrip()
        sentence = f"{near}{measure.label} is {number}, {limit:.4g} is the limit{shown}: {measure.advice}"
    name, label, slot, unit = measure.name, measure.label, measure.slot, measure.unit
    return PhantomLine(name, label, slot, unit, value, low, high, base, against, verdict, sentence)


def _verdict(value: float, low: float | None, high: float | None, base: float | None) -> Verdict:
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        return Verdict.FAIL
    if base is None:
        return Verdict.OK
    for limit in (low, high):
        if limit is not None and limit != base and (value - base) / (limit - base) > WARN_SHARE:
            return Verdict.WARN
    return Verdict.OK

"""The phantom check: is the imaging unit as it should be, from one pair of pictures of a fluorescence target?

Locate (`_phantom_locate`) -> measure (`_phantom_read`, from `_phantom_measure` and `_phantom_edge`) -> judge (here and
in `_phantom_judge`) -> a dated result (`_phantom_result`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from glioscope.core import BundleInfo, ImageError, InputError

from ._phantom_judge import PhantomLimits, Verdict, judge_conditions, judge_measures, worst
from ._phantom_read import PhantomReading
from ._phantom_result import PhantomResult, Places, utc_now
from ._phantom_target import Points

_FEWER_BITS = 8


@dataclass(frozen=True, slots=True)
class SuiteInUse:
    """The suite that the unit is to serve, and the settings that the unit has.

    `conditions`: column of the manifest -> value, for example "fl_gain", "distance_mm", "irradiance_mw_cm2"; exposure
    and scale are known from the check itself.
    """

    name: str
    bundles: Sequence[BundleInfo]
    data_kind: str = "unspecified"
    conditions: Mapping[str, float] = field(default_factory=dict)


def judge_phantom(
    reading: PhantomReading,
    *,
    data_kind: Literal["simulated", "real"],
    unit: str = "",
    limits: PhantomLimits | None = None,
    baseline: PhantomResult | None = None,
    suite: SuiteInUse | None = None,
) -> PhantomResult:
    """Judge a reading and date it.

    Raises
    ------
    InputError : a baseline of another unit, target, exposure or kind of data, or one that failed itself.
    ImageError : far fewer bits than the baseline had: the camera's pixel format was changed.
    """
    notes = _notes(reading, baseline, suite, data_kind)
    if baseline is not None:
        _check_baseline(reading, baseline, data_kind, unit)
    lines = judge_measures(reading.values, limits or PhantomLimits(), None if baseline is None else baseline.values)
    if suite is not None:
        now = {
            **suite.conditions,
            "fl_exposure_ms": reading.exposure_ms,
            "mm_per_px": reading.values["mm_per_px"],
        }
        lines += judge_conditions(now, reading.values["background_counts"], suite.bundles, suite.name)
    verdicts = [line.verdict for line in lines]
    return PhantomResult(
        created=utc_now(),
        unit=unit,
        target=reading.target.name,
        target_sha256=reading.target.sha256,
        data_kind=data_kind,
        exposure_ms=reading.exposure_ms,
        white_level=reading.picture.white_level,
        verdict=worst([*verdicts, Verdict.WARN] if baseline is None else verdicts),
        values=reading.values,
        lines=lines,
        notes=notes,
        dark_source=reading.dark_source,
        registration_source=reading.registration_source,
        suite="" if suite is None else suite.name,
        wells=reading.wells,
        depths=reading.depths,
        cells=reading.cells,
        fl_fiducials_px=_places(reading.fl.fiducials_px),
        wl_fiducials_px=_places(reading.wl.fiducials_px),
    )


def _check_baseline(reading: PhantomReading, baseline: PhantomResult, data_kind: str, unit: str) -> None:
    if baseline.unit != unit:
        raise InputError(f"the baseline is of unit {baseline.unit!r}, this is unit {unit!r}")
    if baseline.target_sha256 != reading.target.sha256:
        raise InputError(f"the baseline is of target {baseline.target!r}, not of this {reading.target.name!r}")
    if baseline.data_kind != data_kind:
        raise InputError(f"the baseline is of {baseline.data_kind} pictures, these are {data_kind}")
    if baseline.verdict is Verdict.FAIL:
        raise InputError(f"the baseline of {baseline.created} failed itself: use one that was accepted")
    if abs(reading.exposure_ms / baseline.exposure_ms - 1) > 0.001:
        raise InputError(
            f"exposure is {reading.exposure_ms:g} ms, the baseline had {baseline.exposure_ms:g} ms: use the same"
        )
    if baseline.dark_source != reading.dark_source:
        raise InputError(
            f"the dark level is from a {reading.dark_source}, the baseline's from a {baseline.dark_source}"
        )
    white = reading.picture.white_level
    if white * _FEWER_BITS <= baseline.white_level:
        raise ImageError(
            None,
            f"fluorescence picture: no pixel is over {white}, the baseline's range was {baseline.white_level}: check "
            "the camera's pixel format (12 bits in 16?), laser and exposure",
        )


def _notes(
    reading: PhantomReading, baseline: PhantomResult | None, suite: SuiteInUse | None, data_kind: str
) -> tuple[str, ...]:
    """What was not judged, and why."""
    notes = []
    if baseline is None:
        notes.append("no baseline: only limits that hold for any unit were judged; keep an accepted result as baseline")
    if suite is None:
        notes.append("no suite: whether the unit is as in its training was not judged")
    elif not any(bundle.conditions for bundle in suite.bundles):
        notes.append(f"suite {suite.name} does not say with which settings it was trained")
    if suite is not None and suite.data_kind not in (data_kind, "unspecified"):
        notes.append(f"suite {suite.name} was trained on {suite.data_kind} images, these pictures are {data_kind}")
    if not reading.registration_source:
        notes.append("no registration and no baseline: the FL-WL residual was not measured")
    for present, words in (
        (reading.target.wells, "sensitivity"),
        (reading.target.depths, "depth"),
    ):
        if not present:
            notes.append(f"target {reading.target.name} has no wells for {words}: not measured")
    if reading.target.wells and reading.sensitivity is None:
        notes.append("fewer than three wells with dye are under saturation: sensitivity was not measured")
    for name, words in (("fl_mtf50_lp_mm", "FL"), ("wl_mtf50_lp_mm", "WL")):
        if name not in reading.values:
            notes.append(f"{words} resolution was not measured: the edge lies along the pixels or has no contrast")
    return tuple(notes)


def _places(points: Points) -> Places:
    return tuple((float(x), float(y)) for x, y in points)

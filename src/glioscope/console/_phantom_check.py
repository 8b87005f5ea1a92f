"""The phantom check from the console: pictures of the target under the unit, judged and kept with their date."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from glioscope.core import Frame, InputError
from glioscope.devices import (
    PhantomResult,
    SuiteInUse,
    is_current,
    judge_phantom,
    measure_phantom,
    read_phantom,
    read_target,
    write_phantom,
)
from glioscope.imaging import Registration
from glioscope.runtime import Cascade

from ._status import PhantomStatus
from ._theatre_settings import TheatreSettings


@dataclass(frozen=True, slots=True, eq=False)
class PhantomPictures:
    """Pictures of the target.

    Attributes
    ----------
    fl : uint16 (H, W), counts. wl : uint8 (h, w, 3) RGB, of its own size.
    exposure_ms : of `fl`. white_level : top of its range in counts.
    registration : of the cameras, to be held against the target; None: not judged.
    conditions : column of the manifest -> setting, to be held against the suite's training.
    """

    fl: NDArray[Any]
    wl: NDArray[Any]
    exposure_ms: float
    white_level: int = 65535
    registration: Registration | None = None
    conditions: Mapping[str, float] | None = None


class PhantomShelf:
    """The checks of one unit, in a folder; the newest is at hand.

    Parameters
    ----------
    folder : made with the first check.
    unit : name of the imaging unit. data_kind : of its pictures; results of others are passed over.
    """

    def __init__(self, folder: Path, unit: str, data_kind: str) -> None:
        self._folder = folder
        self.newest: PhantomResult | None = None
        self.fault = ""
        """Why the newest kept result cannot be used."""
        for path in sorted(folder.glob("*.json"), reverse=True):
            try:
                found = read_phantom(path)
            except InputError as error:
                self.fault = self.fault or str(error)
                continue
            if (found.unit, found.data_kind) == (unit, data_kind):
                self.newest = found
                break

    def keep(self, result: PhantomResult) -> None:
        """Write a result, and have it as the newest. Raises InputError where the disk refuses."""
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_phantom(self._folder / f"{stamp}.json", result)
        except OSError as error:
            raise InputError(f"the phantom check cannot be kept in {self._folder}: {error.strerror}") from error
        self.newest, self.fault = result, ""

    def status(self, max_age_hours: float) -> PhantomStatus | None:
        """Verdict and age of the newest; None: there is none."""
        result = self.newest
        if result is None:
            return None
        now = datetime.now(UTC)
        age = (now - datetime.fromisoformat(result.created)).total_seconds() / 3600
        reasons = tuple(reason.sentence for reason in result.reasons())
        return PhantomStatus(result.verdict.value, round(age, 3), is_current(result, now, max_age_hours), reasons)


def check_phantom(
    pictures: PhantomPictures,
    settings: TheatreSettings,
    *,
    unit: str,
    data_kind: Literal["real", "simulated"],
    suite: str,
    cascade: Cascade,
) -> PhantomResult:
    """Measure the target in the pictures, and judge the unit for the suite that it serves.

    Raises
    ------
    InputError, ImageError : no target in the pictures, or a baseline of another unit, target or exposure.
    """
    target = read_target(settings.phantom_target)
    baseline = None if settings.phantom_baseline is None else read_phantom(settings.phantom_baseline)
    reading = measure_phantom(
        pictures.fl,
        pictures.wl,
        target,
        pictures.exposure_ms,
        white_level=pictures.white_level,
        registration=pictures.registration,
        baseline=baseline,
    )
    bundles = [bundle.info for bundle in cascade.bundles.values()]
    in_use = SuiteInUse(suite, bundles, cascade.data_kind, pictures.conditions or {})
    return judge_phantom(reading, data_kind=data_kind, unit=unit, baseline=baseline, suite=in_use)


def pictures_of(fl: Frame, wl: Frame, registration: Registration | None) -> PhantomPictures:
    """Pictures from frames of the unit's own cameras.

    Raises
    ------
    InputError : a fluorescence frame that does not tell its exposure.
    """
    if fl.exposure_ms is None:
        raise InputError("the fluorescence camera does not tell its exposure, which a phantom check needs")
    known = {"fl_gain": fl.gain, "distance_mm": fl.distance_mm, "irradiance_mw_cm2": fl.irradiance_mw_cm2}
    conditions = {name: value for name, value in known.items() if value is not None}
    return PhantomPictures(fl.pixels, wl.pixels, fl.exposure_ms, fl.white_level or 65535, registration, conditions)

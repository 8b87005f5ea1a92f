"""The dated result of a phantom check, as it is kept on disk and shown on the console."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from glioscope.core import InputError, Reason, read_sealed, write_sealed

from ._phantom_judge import PhantomLine, Verdict
from ._phantom_measure import FieldCell, WellReading

PHANTOM_SCHEMA = 1
MAX_AGE_HOURS = 12.0
"""A check is for the operations of one day."""
_CLOCK_SLACK = timedelta(minutes=5)

Places = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class PhantomResult:
    """What one phantom check found.

    Attributes
    ----------
    created : UTC, ISO 8601.
    unit : name of the imaging unit. target, target_sha256 : what lay under it.
    data_kind : "simulated" or "real".
    exposure_ms : of the FL picture. white_level : top of its bit range in counts.
    verdict : the worst of the lines; WARN too where there was no baseline.
    values : measure -> value; the unit is in `docs/phantom.md` and in the name.
    lines : what was judged. notes : what could not be, and why.
    dark_source : "dark frame" or "dark area of the target".
    registration_source : "registration", "baseline" or "" (not measured).
    suite : folder name of the suite that it was judged for; "" for none.
    wells, depths, cells : what the measures rest on.
    fl_fiducials_px, wl_fiducials_px : where the discs were, so that a later check can tell whether a camera moved.
    """

    created: str
    unit: str
    target: str
    target_sha256: str
    data_kind: Literal["simulated", "real"]
    exposure_ms: float
    white_level: int
    verdict: Verdict
    values: dict[str, float]
    lines: tuple[PhantomLine, ...]
    notes: tuple[str, ...]
    dark_source: str
    registration_source: str
    suite: str
    wells: tuple[WellReading, ...]
    depths: tuple[WellReading, ...]
    cells: tuple[FieldCell, ...]
    fl_fiducials_px: Places
    wl_fiducials_px: Places

    def reasons(self) -> tuple[Reason, ...]:
        """What is wrong, or nearly so."""
        return tuple(line.reason() for line in self.lines if line.verdict in (Verdict.FAIL, Verdict.WARN))


def is_current(result: PhantomResult, now: datetime, max_age_hours: float = MAX_AGE_HOURS) -> bool:
    """Whether a result is young enough to be relied on; one from the future (a clock was set) is not.

    Parameters
    ----------
    now : timezone-aware.

    Raises
    ------
    InputError : `now` without a timezone, or an age that is not above 0.
    """
    if now.tzinfo is None:
        raise InputError("the time of asking has no timezone")
    if not 0 < max_age_hours < float("inf"):
        raise InputError(f"max_age_hours {max_age_hours:g} is out of range; give more than 0")
    age = now - datetime.fromisoformat(result.created)
    return -_CLOCK_SLACK <= age <= timedelta(hours=max_age_hours)


def write_phantom(path: Path | str, result: PhantomResult) -> None:
    """Write a result as JSON with its schema version and a hash of its content, whole or not at all."""
    write_sealed(path, "phantom", result, PHANTOM_SCHEMA)


def read_phantom(path: Path | str) -> PhantomResult:
    """Read a result.

    Raises
    ------
    InputError : missing, no JSON, another schema, changed since it was written, or a value that cannot be.
    """
    result = read_sealed(path, "phantom", PhantomResult, PHANTOM_SCHEMA, mend="check again")
    try:
        created = datetime.fromisoformat(result.created)
    except ValueError as error:
        raise InputError(f"{path}: created {result.created!r} is no date") from error
    if created.utcoffset() != timedelta(0):
        raise InputError(f"{path}: created {result.created!r} is not in UTC")
    return result


def utc_now() -> str:
    """Now, UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")

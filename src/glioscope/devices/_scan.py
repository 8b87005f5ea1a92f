"""A scan around the cavity: the eight sectors of the paper, one pair of frames at each."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from glioscope.core import DeviceError, InputError

from ._motion import Motion, MotionState

T = TypeVar("T")
_LOOK_S = 0.02
_TAKE_S = 3.0


@dataclass(frozen=True, slots=True)
class SectorTaken(Generic[T]):
    """One sector of a scan.

    Attributes
    ----------
    sector : 1 to the number of sectors.
    rotation_deg : where the unit was to stand.
    taken : what `take` gave; None if the sector was skipped.
    reason : why it was skipped; else empty.
    distance_mm : from the tissue when it was taken.
    """

    sector: int
    rotation_deg: float
    taken: T | None
    reason: str
    distance_mm: float | None
    monotonic_s: float


def scan_sectors(
    motion: Motion,
    take: Callable[[float], T | None],
    *,
    distance_mm: float | None = None,
    sectors: int = 8,
    settle_s: float = 0.3,
    timeout_s: float = 20.0,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], object] = time.sleep,
) -> Iterator[SectorTaken[T]]:
    """Turn to each sector in turn, wait until the unit stands, and take a pair there.

    A sector that cannot be reached is skipped with a reason; `motion.stop` (or a fault) skips all that are left. An
    iterator that is given up leaves the unit where it is.

    Parameters
    ----------
    take : (since_s) -> what was exposed wholly after `since_s`, the newest; None while there is none yet.
    distance_mm : working distance to keep; None: keeps what it keeps.
    settle_s : how long the unit has to stand still before.
    timeout_s : for reaching a sector.
    clock, wait : for tests in virtual time.

    Raises
    ------
    InputError : fewer than one sector, or a distance out of range.
    DeviceError : the unit is stopped or in a fault at the beginning.
    """
    if sectors < 1:
        raise InputError(f"{sectors} sectors are too few: at least 1")
    if distance_mm is not None:
        motion.hold(distance_mm)
    for number in range(sectors):
        rotation_deg = 360.0 * number / sectors
        reason = _reach(motion, rotation_deg, settle_s, timeout_s, clock, wait)
        taken: T | None = None
        if not reason:
            since_s = clock()
            while taken is None and clock() - since_s < _TAKE_S and not (reason := _halted(motion)):
                taken = take(since_s)
                if taken is None:
                    wait(_LOOK_S)
            if taken is None and not reason:
                reason = f"no pair of frames came within {_TAKE_S:g} s"
        yield SectorTaken(number + 1, rotation_deg, taken, reason, motion.report().distance_mm, clock())


def _halted(motion: Motion) -> str:
    report = motion.report()
    if report.state in (MotionState.STOPPED, MotionState.FAULT):
        return f"{report.state}: {report.reason}"
    return "the handle moved it" if report.state is MotionState.JOGGING else ""


def _reach(
    motion: Motion,
    rotation_deg: float,
    settle_s: float,
    timeout_s: float,
    clock: Callable[[], float],
    wait: Callable[[float], object],
) -> str:
    """Turn and wait until the unit has stood for `settle_s`; gives why not, or ""."""
    if reason := _halted(motion):
        return reason
    try:
        motion.move_to("rotation", rotation_deg)
    except (InputError, DeviceError) as error:
        return str(error)
    began = still_since = clock()
    while clock() - began < timeout_s:
        wait(_LOOK_S)
        if reason := _halted(motion):
            return reason
        report = motion.report()
        # A report from before the move was asked for knows nothing of it.
        standing = report.monotonic_s > began and report.state is not MotionState.MOVING
        if not standing or (report.target_mm is not None and not report.settled):
            still_since = clock()
        elif clock() - still_since >= settle_s:
            return ""
    return f"not reached within {timeout_s:g} s: {motion.report().reason or 'it did not come to rest'}"

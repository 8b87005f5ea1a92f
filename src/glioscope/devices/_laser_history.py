"""What the laser did lately, to tell of an exposure whether its light was on."""

import threading
from collections import deque

from glioscope.core import LaserReport, LaserState

_REPORTS = 64
_WORD_S = 0.01


class LaserHistory:
    """Words of the keeper over the last second or so. For any thread."""

    def __init__(self) -> None:
        self._reports: deque[LaserReport] = deque(maxlen=_REPORTS)
        self._lock = threading.Lock()

    def add(self, report: LaserReport) -> None:
        """Keep a word of the keeper."""
        with self._lock:
            self._reports.append(report)

    def during(self, start_s: float, end_s: float) -> dict[str, float | bool]:
        """`laser_on` and `irradiance_mw_cm2` of a frame exposed from `start_s` to `end_s`; empty when it changed.

        A word follows a change by some ms, so one shortly after the exposure counts for it too. A change in the last
        few ms of an exposure whose word has not come yet is not seen.
        """
        with self._lock:
            reports = list(self._reports)
        before = [report for report in reports if report.monotonic_s <= start_s][-1:]
        within = [report for report in reports if start_s < report.monotonic_s <= end_s + _WORD_S]
        if not before:
            return {}
        lit = {report.state == LaserState.EMITTING for report in (*before, *within)}
        if lit == {False}:
            return {"laser_on": False, "irradiance_mw_cm2": 0.0}
        known = [r.irradiance_mw_cm2 for r in (*before, *within) if r.irradiance_mw_cm2 is not None]
        if lit == {True}:
            return {"laser_on": True} | ({"irradiance_mw_cm2": sum(known) / len(known)} if known else {})
        return {}

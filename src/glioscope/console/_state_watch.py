"""A thread that looks at everything again and again: light, clock, devices, and what lies under the cameras."""

import threading
import time
from collections.abc import Callable
from typing import Final

from glioscope.core import Frame, GlioscopeError
from glioscope.devices import ImagingUnit
from glioscope.imaging import judge_quality, measure_quality, specimens_in_frames
from glioscope.runtime import Cascade

from ._light import Light
from ._recording import CaseRecording
from ._status import QualityStatus

_TURN_S: Final = 0.1
_QUALITY_S: Final = 0.5
_DEVICES_S: Final = 1.0
_CLOCK_STEP_S: Final = 2.0
Tell = Callable[[str, dict[str, object]], None]


class StateWatch:
    """Looks 10 times a second at the light, twice at the pictures, once at devices and clock.

    Parameters
    ----------
    picture : the newest pair as it would be diagnosed, FL and registered WL; None: none, or not now.
    tell : told of changes: "light" (state, reason), "fault" (sentence).

    Attributes
    ----------
    faults : of devices, one sentence each. clock : what is wrong with the clock; empty when all is well.
    fault : why this thread has ended.
    """

    def __init__(
        self,
        unit: ImagingUnit,
        cascade: Cascade,
        light: Light,
        recording: CaseRecording,
        *,
        picture: Callable[[], tuple[Frame, Frame | None] | None],
        tell: Tell,
    ) -> None:
        self._unit, self._cascade, self._light, self._recording = unit, cascade, light, recording
        self._picture, self._tell = picture, tell
        self.faults: tuple[str, ...] = ()
        self.clock = self.fault = ""
        self._ahead_s = _wall_ahead_s()
        self._seen: tuple[str, str] | None = None
        self._found: tuple[int, tuple[str, ...], float] | None = None
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._ending.clear()
        self._thread = threading.Thread(target=self._run, name="theatre state", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; twice does no harm."""
        self._ending.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def quality(self) -> QualityStatus | None:
        """What was found under the cameras last; None before the first look."""
        found = self._found
        return None if found is None else QualityStatus(found[0], found[1], round(time.monotonic() - found[2], 3))

    def look_at_clock(self) -> None:
        """Hold the wall clock against the monotonic one."""
        step_s = _wall_ahead_s() - self._ahead_s
        if abs(step_s) <= _CLOCK_STEP_S:
            return
        self._ahead_s += step_s
        way = "forward" if step_s > 0 else "back"
        self.clock = f"the clock of this machine was set {way} by {abs(step_s):.0f} s: times in the record jump there"
        self._recording.event("clock_set", seconds=round(step_s, 1))
        self._tell("fault", {"sentence": self.clock})

    def _run(self) -> None:
        try:
            quality_s = devices_s = time.monotonic()
            while not self._ending.wait(_TURN_S):
                now = time.monotonic()
                self._look_at_light()
                if now >= devices_s:
                    devices_s = now + _DEVICES_S
                    self.look_at_clock()
                    self._look_at_devices()
                if now >= quality_s:
                    quality_s = now + _QUALITY_S
                    self._look_at_picture(now)
        except BaseException as error:
            self.fault = f"the state of the theatre is not looked at any more: {error!r}"
            raise

    def _look_at_light(self) -> None:
        self._light.follow()
        laser = self._unit.parts.laser
        if laser is None:
            return
        report = laser.laser_report()
        seen = (report.state.value, report.reason)
        if seen != self._seen:
            self._seen = seen
            self._recording.event("laser", state=seen[0], reason=seen[1])
            self._tell("light", {"state": seen[0], "reason": seen[1]})

    def _look_at_devices(self) -> None:
        faults = tuple(f"{report.device}: {said}" for report in self._unit.report().values() for said in report.faults)
        for sentence in faults:
            if sentence not in self.faults:
                self._tell("fault", {"sentence": sentence})
        self.faults = faults
        self._recording.devices(self._unit)

    def _look_at_picture(self, now: float) -> None:
        try:
            picture = self._picture()
            if picture is not None:
                self._found = (*look(self._cascade, *picture), now)
        except GlioscopeError as error:  # what cannot be judged is not good; why is said instead
            self._found = (0, (str(error),), now)


def look(cascade: Cascade, fl: Frame, wl: Frame | None) -> tuple[int, tuple[str, ...]]:
    """How many specimens lie there, and what the quality gate of any bundle says of a single one.

    Parameters
    ----------
    fl : uint16 (H, W) with `mm_per_px`. wl : uint8 (H, W, 3), registered to `fl`; None: not known.

    Raises
    ------
    ImageError : a frame of the wrong type or size, or without `mm_per_px`.
    """
    found = specimens_in_frames(fl, wl, field_mm=cascade.settings.field_mm)
    if len(found) != 1:
        return len(found), ()
    measures = measure_quality(found[0])
    reasons = [reason for bundle in cascade.bundles.values() for reason in judge_quality(measures, bundle.info.quality)]
    said = [reason.sentence for reason in reasons]
    if found[0].touching_border:
        said.append("the specimen reaches the edge of the frame: move it into the middle")
    return 1, tuple(dict.fromkeys(said))


def _wall_ahead_s() -> float:
    return time.time() - time.monotonic()

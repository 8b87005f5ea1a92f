"""Reads the state of everything in a theatre, quickly: nothing here asks a device or the disk and waits."""

import time
from dataclasses import dataclass

from glioscope.core import DeviceState, Frame
from glioscope.devices import AcquisitionStatus, FramePair, ImagingUnit, KeptLaser, StreamStatus

from ._light import Light
from ._open_case import OpenCase
from ._phantom_check import PhantomShelf
from ._recording import CaseRecording
from ._state_watch import StateWatch
from ._status import CameraStatus, DistanceStatus, LightStatus, TheatreStatus
from ._suite_on_disk import SWAPPED, SuiteOnDisk
from ._theatre_settings import TheatreSettings

UNREGISTERED = "the cameras are not registered: white light is only scaled, and not diagnosed"


@dataclass(frozen=True, slots=True)
class Parts:
    """Whose state is read."""

    unit: ImagingUnit
    light: Light
    case: OpenCase
    suite: SuiteOnDisk
    shelf: PhantomShelf
    recording: CaseRecording
    watch: StateWatch


def read_status(
    parts: Parts, newest: FramePair | None, settings: TheatreSettings, *, registered: bool, taking: bool
) -> TheatreStatus:
    """The state now.

    Parameters
    ----------
    newest : pair, however old. registered : white light can be laid over fluorescence. taking : a specimen is taken.
    """
    unit = parts.unit
    acquisition = unit.acquisition.status() if unit.acquisition is not None else None
    fl = _camera(acquisition.fl if acquisition else None, newest.fl if newest else None)
    wl = _camera(acquisition.wl if acquisition else None, newest.wl if newest else None)
    suite = parts.suite.status()
    return TheatreStatus(
        data_kind=unit.data_kind,
        unit=unit.name,
        case_id=parts.case.case_id,
        light=_light(unit, parts.light),
        distance=_distance(unit),
        fl=fl,
        wl=wl,
        frames_per_second=min(fl.frames_per_second, wl.frames_per_second),
        lost=fl.lost + wl.lost,
        pairs=acquisition.pairs if acquisition else 0,
        pairs_dropped=acquisition.dropped if acquisition else 0,
        pair_age_s=_age(newest),
        exposure_ms=None if fl.exposure_ms is None else fl.exposure_ms * settings.integrate_frames,
        integrated=settings.integrate_frames,
        suite=suite,
        phantom=parts.shelf.status(settings.phantom_max_age_hours),
        quality=parts.watch.quality(),
        recording=parts.recording.status(),
        taking=taking,
        faults=_faults(parts, acquisition, registered=registered, swapped=suite.changed),
        clock=parts.watch.clock,
    )


def _light(unit: ImagingUnit, light: Light) -> LightStatus | None:
    if unit.parts.laser is None:
        return None
    said = unit.parts.laser.laser_report()
    return LightStatus(said.state.value, said.reason, said.power_mw, said.irradiance_mw_cm2, light.kept)


def _distance(unit: ImagingUnit) -> DistanceStatus:
    """Of the laser's window only the keeper's settings tell."""
    newest, laser = unit.distance(), unit.parts.laser
    now = None if newest is None else float(newest.distance_mm)
    if not isinstance(laser, KeptLaser):
        return DistanceStatus(now)
    limits = laser.settings.limits
    inside = None if now is None else limits.nearest_mm <= now <= limits.farthest_mm
    return DistanceStatus(now, limits.nearest_mm, limits.working_mm, limits.farthest_mm, inside)


def _camera(stream: StreamStatus | None, frame: Frame | None) -> CameraStatus:
    exposure_ms = None if frame is None else frame.exposure_ms
    gain = None if frame is None else frame.gain
    if stream is None:
        return CameraStatus(DeviceState.OFF.value, "", 0.0, 0, 0, exposure_ms, gain)
    refused = sum(stream.refused.values())
    rate = round(stream.frames_per_second, 2)
    return CameraStatus(stream.state.value, stream.sentence, rate, stream.lost, refused, exposure_ms, gain)


def _age(pair: FramePair | None) -> float | None:
    if pair is None:
        return None
    ended = min(frame.monotonic_s or 0.0 for frame in (pair.fl, pair.wl))
    return round(time.monotonic() - ended, 3)


def _faults(parts: Parts, acquisition: AcquisitionStatus | None, *, registered: bool, swapped: bool) -> tuple[str, ...]:
    suite, unit = parts.suite, parts.unit
    trained = parts.suite.data_kind
    said = [
        unit.fault,
        parts.watch.fault,
        "" if acquisition is not None else "the cameras do not stream",
        *((acquisition.fl.sentence, acquisition.wl.sentence) if acquisition is not None else ()),
        *parts.watch.faults,
        SWAPPED if swapped else "",
        f"suite {suite.name} was trained on {trained} images, this unit's are {unit.data_kind}"
        if {trained, unit.data_kind} == {"real", "simulated"}
        else "",
        "" if registered else UNREGISTERED,
        parts.case.note,
        parts.recording.fault,
        parts.shelf.fault,
    ]
    return tuple(dict.fromkeys(sentence for sentence in said if sentence))

"""The recording of the open case: begun with it, ended with it, and never in the way of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glioscope.core import Frame, GlioscopeError
from glioscope.devices import ImagingUnit, Recorder, RecorderState, RecorderStatus, Slot

from ._status import RecordingStatus

_MOST = 1000


class CaseRecording:
    """Records the case that is open, or nothing. Its methods may be called from any thread and never raise.

    Parameters
    ----------
    folder : in which each case gets a folder of its own; None: nothing is recorded.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._recorder: Recorder | None = None
        self.fault = ""
        """Why the open case is not recorded though it should be."""

    def begin(self, case_id: str, unit: ImagingUnit, settings: Mapping[str, Any]) -> None:
        """Record a case from now on; where that cannot be, `fault` says why and the case goes on."""
        self.end()
        self.fault = ""
        if self._folder is None:
            return
        try:
            self._recorder = Recorder(
                _free(self._folder, case_id),
                case_id=case_id,
                data_kind=unit.data_kind,
                unit=unit.name,
                unit_settings=settings,
                frames_per_second=unit.frames_per_second,
            )
        except GlioscopeError as error:
            self.fault = f"this case is not recorded: {error}"

    def end(self) -> None:
        """Write what waits, and stop."""
        recorder, self._recorder = self._recorder, None
        self.fault = ""
        if recorder is not None:
            recorder.close()

    def add(self, slot: Slot, frame: Frame) -> None:
        """Every frame of both cameras (a tap of the acquisition)."""
        recorder = self._recorder
        if recorder is not None:
            recorder.add(slot, frame)

    def event(self, kind: str, /, **facts: Any) -> None:
        """What happened; never free text of people, never a patient's pseudonym."""
        recorder = self._recorder
        if recorder is not None:
            recorder.event(kind, facts)

    def diagnosis(self, diagnosis: Mapping[str, Any]) -> None:
        """An answer (contract 6)."""
        recorder = self._recorder
        if recorder is not None:
            recorder.diagnosis(diagnosis)

    def devices(self, unit: ImagingUnit) -> None:
        """The state of every device, now."""
        recorder = self._recorder
        if recorder is not None:
            for report in unit.report().values():
                recorder.device(report)

    def status(self) -> RecordingStatus | None:
        """How it does; None where nothing is recorded."""
        recorder = self._recorder
        if recorder is None:
            return RecordingStatus(RecorderState.FAILED.value, self.fault, 0, None) if self.fault else None
        said: RecorderStatus = recorder.status()
        dropped = sum(said.dropped.values()) + sum(said.refused.values())
        return RecordingStatus(said.state.value, said.sentence, dropped, said.minutes_left)


def _free(folder: Path, case_id: str) -> Path:
    """A folder that is not there yet: a case that was resumed has several."""
    names = (case_id, *(f"{case_id}-{number}" for number in range(2, _MOST)))
    return next((folder / name for name in names if not (folder / name).exists()), folder / case_id)

"""The case that is open in this theatre: opened, resumed, closed, or gone because somebody ended it elsewhere."""

import threading
from collections.abc import Mapping
from typing import Any

from glioscope import __version__
from glioscope.cases import Action, Actor, Case, CaseErased, CaseRecord, CaseStore, NoSuchCase
from glioscope.core import InputError
from glioscope.devices import ImagingUnit

from ._recording import CaseRecording
from ._suite_on_disk import SuiteOnDisk


class OpenCase:
    """At most one case is open in a theatre. Its methods may be called from any thread.

    Attributes
    ----------
    case_id : of the open case; None: none.
    note : what whoever goes on with it has to know; empty when there is nothing.
    """

    def __init__(self, store: CaseStore, unit: ImagingUnit, suite: SuiteOnDisk, recording: CaseRecording) -> None:
        self._store, self._unit, self._suite, self._recording = store, unit, suite, recording
        self._lock = threading.RLock()
        self._request_id = ""
        self.case_id: str | None = None
        self.note = ""

    def open(self, actor: Actor, record: CaseRecord, request_id: str) -> Case:
        """Open a case with the unit, suite and software of now in its record; a repeated request finds its case.

        Raises
        ------
        NotAllowed : the role may not.
        InputError : another case is open here.
        """
        actor.check(Action.OPEN_CASE)
        with self._lock:
            if self.case_id is not None and request_id != self._request_id:
                raise InputError(f"case {self.case_id} is open here: close it first")
            settings = unit_settings(self._unit)
            facts = {
                "unit": self._unit.name,
                "unit_settings": settings,
                "suite": self._suite.name,
                "suite_sha256": self._suite.sha256,
                "software": f"glioscope {__version__}",
            }
            kind = self._unit.data_kind
            case = self._store.open_case(actor, record.model_copy(update=facts), data_kind=kind, request_id=request_id)
            if self.case_id is None:
                self._begin(case, settings, request_id)
        return case

    def resume(self, actor: Actor, case_id: str) -> Case:
        """Go on with a case, also one that another suite began: `note` says so, and each specimen has its suite.

        Raises
        ------
        NotAllowed : the role may not.
        NoSuchCase, CaseErased : it is not there, or not any more.
        InputError : another case is open here, it is closed, or its pictures are of another kind than this unit's.
        """
        actor.check(Action.OPEN_CASE)
        with self._lock:
            if self.case_id not in (None, case_id):
                raise InputError(f"case {self.case_id} is open here: close it first")
            case = self._store.case(case_id)
            if case.closed_at is not None:
                raise InputError(f"case {case_id} is closed: reopen it first")
            if case.data_kind != self._unit.data_kind:
                raise InputError(f"case {case_id} is {case.data_kind}, this unit's pictures are {self._unit.data_kind}")
            if self.case_id is None:
                self._begin(case, unit_settings(self._unit), "")
        return case

    def close(self, actor: Actor, wanted: str | None = None) -> None:
        """Close it in the store, and end its recording.

        Raises
        ------
        NotAllowed : the role may not.
        InputError : none is open, or another than the `wanted` one.
        """
        actor.check(Action.CLOSE_CASE)
        with self._lock:
            case_id = self.needed(wanted)
            self._store.close_case(actor, case_id)
            self._recording.event("case_closed", account=actor.account)
            self.leave()

    def needed(self, wanted: str | None = None) -> str:
        """The open case. Raises InputError where none is open, or another than the `wanted` one."""
        if self.case_id is None:
            raise InputError("no case is open: open one first")
        if wanted not in (None, self.case_id):
            raise InputError("another case was opened meanwhile: look at the case line, then press again")
        return self.case_id

    def is_gone(self) -> bool:
        """Whether somebody closed or erased it elsewhere; then it is left."""
        with self._lock:
            if self.case_id is None:
                return True
            try:
                gone = self._store.case(self.case_id).closed_at is not None
            except (NoSuchCase, CaseErased):
                gone = True
            if gone:
                self.leave()
        return gone

    def leave(self) -> None:
        """No case is open here any more; in the store it stays as it is."""
        with self._lock:
            self.case_id, self._request_id, self.note = None, "", ""
            self._recording.end()

    def _begin(self, case: Case, settings: Mapping[str, Any], request_id: str) -> None:
        if case.closed_at is not None:
            raise InputError(f"case {case.case_id} is closed: reopen it first")
        self.case_id, self._request_id, self.note = case.case_id, request_id, ""
        if case.record.suite_sha256 not in ("", self._suite.sha256):
            before = f"{case.record.suite or 'another suite'} ({case.record.suite_sha256[:12]})"
            now = f"{self._suite.name} ({self._suite.sha256[:12]})"
            self.note = f"this case was begun with suite {before}; from now on {now} answers"
        self._recording.begin(case.case_id, self._unit, settings)


def unit_settings(unit: ImagingUnit) -> dict[str, Any]:
    """What every device says of itself, by slot: plain types."""
    return {slot: {"model": report.model, **report.details} for slot, report in unit.report().items()}

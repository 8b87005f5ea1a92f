"""Taking specimens: capture, diagnose, store, tell; one key press at a time, and none twice."""

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from glioscope.cases import Action, Actor, CaseStore, Specimen
from glioscope.core import Diagnosis, Frame, GlioscopeError, InputError
from glioscope.devices import FramePair
from glioscope.runtime import Cascade

from ._capture import CaptureError
from ._open_case import OpenCase
from ._recording import CaseRecording
from ._suite_on_disk import SWAPPED, SuiteOnDisk
from ._taken import Taken, diagnose_stored, encode_images, heatmap_png, read_diagnosis, specimen_record

NOTHING: Final = "nothing lies under the cameras"
_REMEMBERED: Final = 16
"""Answers with their maps; those of older specimens are asked for again."""
_MOST_IN_TRAY: Final = 24


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """What a key press gave.

    Attributes
    ----------
    newest : pair whose exposures began after the key press.
    fl : uint16 (H, W), all fluorescence added up. wl : uint8 (H, W, 3), registered; None: not registered.
    """

    newest: FramePair
    fl: Frame
    wl: Frame | None


@dataclass(frozen=True, slots=True, eq=False)
class _Press:
    """One key press, whose specimens are being kept."""

    actor: Actor
    case_id: str
    sector: int | None
    pressed_s: float
    captured: Captured
    tray: str = ""


class Taking:
    """Takes specimens into the case that is open. Its methods may be called from any thread.

    Parameters
    ----------
    capture : time of a key press on the monotonic clock -> what is diagnosed; raises CaptureError.
    white_level : of the fluorescence camera.
    sectors : of the cavity.
    tell : told of "specimen" and "case".
    """

    def __init__(
        self,
        cascade: Cascade,
        store: CaseStore,
        case: OpenCase,
        suite: SuiteOnDisk,
        recording: CaseRecording,
        *,
        capture: Callable[[float], Captured],
        white_level: Callable[[], int],
        sectors: int,
        tell: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._cascade, self._store, self._case = cascade, store, case
        self._suite, self._recording = suite, recording
        self._capture, self._white_level, self._sectors, self._tell = capture, white_level, sectors, tell
        self._lock, self._request_id = threading.Lock(), ""
        self._answers: OrderedDict[str, Diagnosis] = OrderedDict()
        self._answers_lock = threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether a specimen is being taken now."""
        return self._lock.locked()

    @contextmanager
    def alone(self, request_id: str) -> Iterator[None]:
        """One at a time; a request that is sent again waits for its own answer. What is refused is noted."""
        if not self._lock.acquire(blocking=request_id == self._request_id):
            raise CaptureError("another specimen is being taken: wait for its answer")
        self._request_id = request_id
        try:
            yield
        except GlioscopeError as error:
            self._recording.event("take_refused", reason=str(error))
            raise
        finally:
            self._request_id = ""
            self._lock.release()

    def specimen(self, actor: Actor, sector: int | None, request_id: str, case_id: str | None = None) -> Taken:
        """Take the one specimen that lies there; see `Theatre.take`."""
        pressed_s = time.monotonic()
        self._check(actor, sector)
        with self.alone(request_id):
            known = self._store.find_request(request_id)
            if known is not None:
                return self._known(known)
            press = self._press(actor, sector, pressed_s, case_id)
            shown = press.captured
            diagnosis = self._cascade.diagnose(shown.fl, shown.wl, specimen_id=_new_specimen_id())
            _refuse(diagnosis)
            return self._keep(press, diagnosis, request_id)

    def tray(self, actor: Actor, sector: int | None, request_id: str, case_id: str | None = None) -> list[Taken]:
        """Take every specimen that lies there; see `Theatre.take_tray`."""
        pressed_s = time.monotonic()
        self._check(actor, sector)
        with self.alone(request_id):
            known = self._known_tray(request_id)
            if known:
                return known
            press = self._press(actor, sector, pressed_s, case_id, tray=request_id)
            shown = press.captured
            diagnoses = self._cascade.diagnose_tray(shown.fl, shown.wl, tray_id=_new_specimen_id())
            if not diagnoses:
                raise CaptureError(NOTHING)
            if len(diagnoses) > _MOST_IN_TRAY:
                raise CaptureError(f"{len(diagnoses)} specimens lie there, at most {_MOST_IN_TRAY} are taken at once")
            return self._keep_all(press, diagnoses, request_id)

    def _keep_all(self, press: _Press, diagnoses: Sequence[Diagnosis], request_id: str) -> list[Taken]:
        """Store a tray one by one; where the store fails in between, the sentence says what is there already."""
        kept: list[Taken] = []
        for number, diagnosis in enumerate(diagnoses):
            try:
                kept.append(self._keep(press, diagnosis, _tray_request(request_id, number)))
            except InputError as error:
                if not kept:
                    raise
                numbers = ", ".join(str(one.specimen.number) for one in kept)
                there = f"{len(kept)} of {len(diagnoses)} specimens of this tray are stored (no. {numbers})"
                raise InputError(f"{there}, the others are not: {error}") from error
        return kept

    def heatmap(self, specimen_id: str, task: str) -> bytes:
        """The map of an answer, PNG; see `Theatre.heatmap`."""
        with self._answers_lock:
            diagnosis = self._answers.get(specimen_id)
        specimen = self._store.specimen(specimen_id)  # also where the answer is at hand: its case may be erased
        if specimen.record.suite_sha256 != self._suite.sha256:
            raise InputError(f"another suite answered for specimen {specimen_id}: its maps cannot be drawn here")
        if diagnosis is None:
            stored = specimen.record.images
            images = {slot: self._store.image(specimen.case_id, name) for slot, name in stored.items()}
            diagnosis = self._remember(diagnose_stored(self._cascade, specimen, images, self._white_level()))
        return heatmap_png(diagnosis, task, self._cascade)

    def captured(self, pressed_s: float) -> Captured:
        """What lies under the cameras. Raises CaptureError; InputError where another suite lies on the disk."""
        if self._suite.changed():
            raise InputError(SWAPPED)
        return self._capture(pressed_s)

    def _check(self, actor: Actor, sector: int | None) -> None:
        actor.check(Action.TAKE)
        if sector is not None and not 1 <= sector <= self._sectors:
            raise InputError(f"sector {sector} is not one of 1 to {self._sectors}")

    def _press(self, actor: Actor, sector: int | None, pressed_s: float, wanted: str | None, tray: str = "") -> _Press:
        case_id = self._case.needed(wanted)
        return _Press(actor, case_id, sector, pressed_s, self.captured(pressed_s), tray)

    def _keep(self, press: _Press, diagnosis: Diagnosis, request_id: str) -> Taken:
        """Store, note and tell."""
        shown, sha256 = press.captured, self._suite.sha256
        record = specimen_record(
            diagnosis, shown.newest, shown.fl, sector=press.sector, suite_sha256=sha256, tray=press.tray
        )
        try:
            specimen = self._store.add_specimen(
                press.actor,
                press.case_id,
                record,
                images=encode_images(diagnosis),
                request_id=request_id,
                specimen_id=diagnosis.specimen_id,
            )
        except InputError:
            if self._case.is_gone():
                self._tell("case", {"case_id": None})
            raise
        self._remember(diagnosis)
        facts = {"specimen_id": specimen.specimen_id, "number": specimen.number, "sector": specimen.sector}
        self._recording.diagnosis(record.diagnosis)
        self._recording.event("specimen", **facts, fl=record.fl_sequence, wl=record.wl_sequence)
        self._tell("specimen", {**facts, "case_id": press.case_id})
        return Taken(specimen, diagnosis, (time.monotonic() - press.pressed_s) * 1000)

    def _known(self, specimen: Specimen) -> Taken:
        """What was stored under a request before."""
        with self._answers_lock:
            kept = self._answers.get(specimen.specimen_id)
        return Taken(specimen, kept or read_diagnosis(specimen.record.diagnosis, specimen.specimen_id), 0.0)

    def _known_tray(self, request_id: str) -> list[Taken]:
        found: list[Taken] = []
        while (kept := self._store.find_request(_tray_request(request_id, len(found)))) is not None:
            found.append(self._known(kept))
        return found

    def _remember(self, diagnosis: Diagnosis) -> Diagnosis:
        with self._answers_lock:
            self._answers[diagnosis.specimen_id] = diagnosis
            while len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
        return diagnosis


def _refuse(diagnosis: Diagnosis) -> None:
    """What is no specimen is told, not stored; tissue that cannot be assessed is a specimen."""
    if diagnosis.error is not None:
        raise CaptureError(diagnosis.error)
    named = {reason.name: reason for reason in diagnosis.reasons}
    if "no_specimen" in named:
        raise CaptureError(NOTHING)
    if "several_specimens" in named:
        raise CaptureError(named["several_specimens"].sentence)


def _new_specimen_id() -> str:
    return f"s{secrets.token_hex(8)}"


def _tray_request(request_id: str, number: int) -> str:
    """Of one specimen of a tray: the same each time, and no longer than others."""
    return f"t{hashlib.sha256(f'{request_id}/{number}'.encode()).hexdigest()[:32]}"

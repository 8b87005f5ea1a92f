"""Everything that happens in theatre, without any web: cases, specimens, light, phantom check, state.

Pages, the JSON routes and tests call the same methods; each either does what it says or raises one clear sentence.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from glioscope.cases import Action, Actor, Case, CaseRecord, CaseStore, Reading, Specimen
from glioscope.core import Frame, GlioscopeError
from glioscope.devices import Acquisition, FramePair, ImagingUnit, PhantomResult
from glioscope.imaging import Registration
from glioscope.runtime import Cascade

from ._capture import Capturer, PairRing
from ._diagnosed_frames import frames_to_diagnose, wl_over_fl
from ._light import Light
from ._listeners import Listener, Listeners
from ._open_case import OpenCase
from ._phantom_check import PhantomPictures, PhantomShelf, check_phantom, pictures_of
from ._recording import CaseRecording
from ._state_watch import StateWatch
from ._status import TheatreStatus
from ._suite_on_disk import SuiteOnDisk
from ._take import Captured, Taking
from ._taken import Taken
from ._theatre_settings import TheatreSettings
from ._theatre_status import Parts, read_status

_PAIR_S: Final = 0.2
_AGAIN_S: Final = 0.01


class Simulator(Protocol):
    """The plate under simulated cameras."""

    def next_specimen(self) -> None:
        """Lay another specimen, alone."""

    def empty(self) -> None:
        """Take everything away."""

    def tray(self, n: int) -> None:
        """Lay `n` specimens."""

    def phantom_pictures(self) -> tuple[NDArray[np.uint16], NDArray[np.uint8], float]:
        """FL (H, W) and WL RGB (h, w, 3) of a fluorescence target, and the exposure of FL in ms."""

    def truth(self) -> str:
        """What lies there."""


class Theatre:
    """A unit, a suite and a store at work together. Its methods may be called from any thread.

    Parameters
    ----------
    unit : nothing staged yet.
    cascade : loaded from `suite`.
    settings : what a key press does.
    suite : folder of the suite.
    registration : of white light to fluorescence; None: white light is diagnosed only if it has the same size.
    simulator : of the plate, for demonstrations.
    """

    def __init__(
        self,
        unit: ImagingUnit,
        cascade: Cascade,
        store: CaseStore,
        settings: TheatreSettings,
        *,
        suite: Path,
        registration: Registration | None = None,
        simulator: Simulator | None = None,
    ) -> None:
        self.unit, self.settings, self.registration, self.simulator = unit, settings, registration, simulator
        self.store, self._cascade = store, cascade
        self._listeners = Listeners()
        self._suite = SuiteOnDisk(suite, cascade)
        self._recording = CaseRecording(settings.recordings)
        self._case = OpenCase(store, unit, self._suite, self._recording)
        self._light = Light(unit.name, unit.parts.laser, self._recording.event)
        self._ring = PairRing(settings.integrate_frames)
        self._capturer = Capturer(self._ring, settings, shines=self._light.shines, trouble=self._camera_trouble)
        self._taking = Taking(
            cascade,
            store,
            self._case,
            self._suite,
            self._recording,
            capture=self._capture,
            white_level=lambda: unit.parts.fl.info().white_level,
            sectors=settings.sectors,
            tell=self.tell,
        )
        self._watch = StateWatch(unit, cascade, self._light, self._recording, picture=self._picture, tell=self.tell)
        self._shelf = self._phantoms()
        self._ending = threading.Event()
        self._follower: threading.Thread | None = None

    def start(self) -> None:
        """Stage the unit and stream. Raises DeviceError, InputError; then nothing is staged."""
        self.unit.stage()
        try:
            self.unit.start(taps=(self._recording.add,), event=self._happened)
        except BaseException:
            self.unit.unstage()
            raise
        self._shelf = self._phantoms()  # staging tells whether the pictures are real
        self._capturer.forget()
        self._ending.clear()
        self._follower = threading.Thread(target=self._follow, name="theatre pairs", daemon=True)
        self._follower.start()
        self._watch.start()

    def close(self) -> None:
        """Light off, recording ended, everything unstaged; the case stays open in the store. Twice does no harm."""
        self._ending.set()
        self._watch.stop()
        follower, self._follower = self._follower, None
        self.unit.unstage()
        if follower is not None:
            follower.join()
        self._case.leave()

    @property
    def acquisition(self) -> Acquisition | None:
        """While the cameras stream, else None."""
        return self.unit.acquisition

    @property
    def suite_sha256(self) -> str:
        """Of the suite that answers."""
        return self._suite.sha256

    def newest(self) -> FramePair | None:
        """The newest good pair, however old; None before the first."""
        return self._ring.newest()

    def register_wl(self, frame: Frame) -> NDArray[np.uint8]:
        """A white-light frame in the geometry of fluorescence, uint8 (H, W, 3) RGB.

        Without a registration it is only scaled to the size of fluorescence: for looking at, never for a diagnosis.

        Raises
        ------
        ImageError : of another size than was registered.
        """
        newest = self.newest()
        return wl_over_fl(frame, None if newest is None else newest.fl.pixels.shape, self.registration)

    def status(self) -> TheatreStatus:
        """Everything that must always be in sight; from any thread, in about a tenth of a millisecond."""
        parts = Parts(self.unit, self._light, self._case, self._suite, self._shelf, self._recording, self._watch)
        is_registered = self.registration is not None
        return read_status(parts, self.newest(), self.settings, registered=is_registered, taking=self._taking.busy)

    @property
    def busy(self) -> bool:
        """Whether a specimen is being taken now."""
        return self._taking.busy

    @property
    def case_id(self) -> str | None:
        """The case that is open here; None: none."""
        return self._case.case_id

    def open_case(self, actor: Actor, record: CaseRecord, *, request_id: str) -> Case:
        """Open a case with unit, suite and software of now in its record; a repeated request finds its case.

        Raises
        ------
        NotAllowed : the role may not.
        InputError : another case is open here.
        """
        case = self._case.open(actor, record, request_id)
        self.tell("case", {"case_id": case.case_id})
        return case

    def resume_case(self, actor: Actor, case_id: str) -> Case:
        """Go on with a case here, also with one that another suite began; `status().faults` says so then.

        Raises
        ------
        NotAllowed : the role may not.
        NoSuchCase, CaseErased : it is not there, or not any more.
        InputError : another case is open here, it is closed, or its pictures are of another kind than this unit's.
        """
        case = self._case.resume(actor, case_id)
        self.tell("case", {"case_id": case.case_id})
        return case

    def close_case(self, actor: Actor, case_id: str | None = None) -> None:
        """Close the case that is open here. Raises NotAllowed, or InputError where none or another is open."""
        self._case.close(actor, case_id)
        self.tell("case", {"case_id": None})

    def take(self, actor: Actor, *, sector: int | None, request_id: str, case_id: str | None = None) -> Taken:
        """Take the specimen that lies under the cameras; it is on disk when this returns.

        Parameters
        ----------
        sector : of the cavity, from 1; None: not told.
        request_id : of the key press; one that was answered before gives what was stored then.
        case_id : that the presser sees; where another is open by now, nothing is taken. None: whichever is open.

        Raises
        ------
        NotAllowed : the role may not.
        CaptureError : nothing or several lie there, light or cameras fail, it moves, or another is being taken.
        InputError : no case is open, it was closed or erased elsewhere, no such sector, another suite lies on the disk,
            or the store cannot keep it. Nothing was stored.
        """
        return self._taking.specimen(actor, sector, request_id, case_id)

    def take_tray(
        self, actor: Actor, *, sector: int | None, request_id: str, case_id: str | None = None
    ) -> list[Taken]:
        """Take every specimen that lies under the cameras, in reading order; all are on disk when this returns.

        Raises
        ------
        As `take`; where the store fails in between, those before are kept, and the same request gives those.
        """
        return self._taking.tray(actor, sector, request_id, case_id)

    def revealed(self, specimen: Specimen, case: Case, actor: Actor) -> bool:
        """Whether this account may see the answer: not while its own blind reading is owed."""
        if not case.record.blind_reading or case.closed_at is not None:
            return True
        return any(entry.account == actor.account and isinstance(entry.said, Reading) for entry in specimen.entries)

    def heatmap(self, specimen_id: str, task: str) -> bytes:
        """The map of an answer over its picture, PNG; it shows what the network used, not where tumour is.

        Raises
        ------
        NoSuchCase, CaseErased : no such specimen, or not any more.
        InputError : another suite answered then, or there is no map of the task.
        """
        return self._taking.heatmap(specimen_id, task)

    def phantom_check(self, actor: Actor) -> PhantomResult:
        """Check the unit with the target that lies under it, and keep the result.

        Raises
        ------
        NotAllowed : the role may not.
        CaptureError : as `take`.
        InputError, ImageError : no target in the pictures, or a baseline of another unit or target.
        """
        actor.check(Action.RUN_UNIT)
        pressed_s = time.monotonic()
        with self._taking.alone("phantom"):
            result = check_phantom(
                self._phantom_pictures(pressed_s),
                self.settings,
                unit=self.unit.name,
                data_kind=self.unit.data_kind,
                suite=self._suite.name,
                cascade=self._cascade,
            )
            self._shelf.keep(result)
        self.store.note(actor, "phantom_check", case_id=self.case_id or "")
        self._recording.event("phantom_check", account=actor.account, verdict=result.verdict.value)
        self.tell("phantom", {"verdict": result.verdict.value})
        return result

    def light_on(self, actor: Actor, owner: str) -> None:
        """Ask for light, which the beats of `owner` keep on.

        Raises
        ------
        NotAllowed : the role may not.
        DeviceError : no laser, or its keeper refuses, with the reason; then it is dark and off.
        """
        self._light.on(actor, owner)
        try:
            self.store.note(actor, "light_on", case_id=self.case_id or "")
        except GlioscopeError:  # light that leaves no trace is no light
            self._light.off(actor)
            raise

    def light_off(self, actor: Actor) -> None:
        """Dark and off, for whoever may watch. Raises NotAllowed."""
        self.dark(actor)
        self.store.note(actor, "light_off", case_id=self.case_id or "")

    def dark(self, actor: Actor) -> None:
        """Dark and off at once, without waiting for anything. Raises NotAllowed."""
        self._light.off(actor)

    def clear_fault(self, actor: Actor) -> None:
        """The operator has seen the laser's fault. Raises NotAllowed, or DeviceError while its cause stands."""
        self._light.clear(actor)

    def beat(self, owner: str) -> None:
        """A heartbeat; only that of who asked for the light counts."""
        self._light.beat(owner)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have `listener` told of "specimen", "entry", "case", "light", "phantom", "fault"; the result ends that.

        It is called in whatever thread something happens and must be quick. No answer is ever among the facts.
        """
        return self._listeners.add(listener)

    def tell(self, kind: str, facts: dict[str, Any]) -> None:
        """Tell all listeners, for example of an "entry" that a page has stored."""
        self._listeners.tell(kind, facts)

    def _capture(self, pressed_s: float) -> Captured:
        pairs = self._capturer.capture(pressed_s)
        offset = self.settings.fl_offset_counts
        return Captured(pairs[-1], *frames_to_diagnose(pairs, self.unit, offset, self.registration))

    def _phantom_pictures(self, pressed_s: float) -> PhantomPictures:
        """Those of the simulator where there is one; else what lies under the cameras."""
        if self.simulator is not None:
            return PhantomPictures(*self.simulator.phantom_pictures())
        captured = self._taking.captured(pressed_s)
        return pictures_of(captured.fl, captured.newest.wl, self.registration)

    def _picture(self) -> tuple[Frame, Frame | None] | None:
        """What would be diagnosed now; None while a specimen is taken, for that comes first."""
        pairs = self._ring.last(self.settings.integrate_frames)
        if self._taking.busy or len(pairs) < self.settings.integrate_frames:
            return None
        newest = pairs[-1].fl
        if time.monotonic() - (newest.monotonic_s or 0.0) > self.settings.fresh_s:
            return None
        alike = [pair for pair in pairs if (pair.fl.exposure_ms, pair.fl.gain) == (newest.exposure_ms, newest.gain)]
        return frames_to_diagnose(alike, self.unit, self.settings.fl_offset_counts, self.registration)

    def _phantoms(self) -> PhantomShelf:
        return PhantomShelf(self.store.folder / "phantom", self.unit.name, self.unit.data_kind)

    def _follow(self) -> None:
        """The thread that takes every pair as it comes."""
        while not self._ending.is_set():
            acquisition = self.acquisition
            pair = None if acquisition is None else acquisition.next_pair(_PAIR_S)
            if pair is None:
                self._ending.wait(_AGAIN_S)
            elif not pair.reasons:
                self._ring.add(pair)

    def _camera_trouble(self) -> str:
        status = self.status()
        for name, camera in (("fluorescence", status.fl), ("white-light", status.wl)):
            if camera.sentence or camera.state != "running":
                return f"the {name} camera gives no pictures ({camera.sentence or camera.state})"
        return ""

    def _happened(self, kind: str, facts: dict[str, Any]) -> None:
        """What the acquisition tells: cameras lost and back, frames refused."""
        self._recording.event(kind, **facts)
        if kind == "camera_lost":
            self.tell("fault", {"sentence": f"{facts['camera']}: {facts['reason']}"})

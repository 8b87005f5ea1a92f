"""Records a case without ever holding up those who bring the frames: they queue, threads of its own write."""

import errno
import shutil
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

from pydantic import ValidationError

from glioscope import __version__
from glioscope.core import DeviceReport, Frame, InputError

from ._case_folder import CASE_FILE, CLOSED, DEVICES, DIAGNOSES, EVENTS, FRAME_TABLE, SLOTS, TABLES, CaseInfo, to_line
from ._pairing import Slot
from ._record_files import AppendFile, replace_file
from ._record_fl import FLWriter
from ._record_lane import FrameWriter, Lane, wrong_kind
from ._record_status import RecorderSettings, RecorderState, RecorderStatus
from ._record_wl import WLWriter

_TICK_S = 0.25
_RATE_S = 10.0
_ROWS = 10_000
_AGAIN_S = 2.0
_FULL = (errno.ENOSPC, errno.EDQUOT)
_MB = 1e6


class Recorder:
    """Writes one case folder. Its methods may be called from any thread; but for `close` none waits or raises.

    Parameters
    ----------
    folder : new, or empty.
    case_id : pseudonym of the case.
    data_kind : "real" or "simulated".
    settings : how to record.
    unit, unit_settings, frames_per_second : of the imaging unit, for `case.json`.

    Raises
    ------
    InputError : the folder is not empty, cannot be made, or has too little room; a setting is wrong.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        case_id: str,
        data_kind: Literal["real", "simulated"],
        settings: RecorderSettings = RecorderSettings(),  # noqa: B008 frozen
        unit: str = "",
        unit_settings: Mapping[str, Any] | None = None,
        frames_per_second: float | None = None,
    ) -> None:
        self._folder, self._settings = Path(folder), settings
        info = _info(case_id, data_kind, unit, unit_settings, frames_per_second, settings)
        self._lock = threading.Lock()
        self._state, self._sentence = RecorderState.RECORDING, ""
        self._rows: dict[str, deque[bytes]] = {name: deque() for name in TABLES}
        self._rows_dropped = 0
        self._full_s = -_AGAIN_S
        self._rates: deque[tuple[float, int]] = deque()
        self._rate = self._free_mb = 0.0
        self._ending = threading.Event()
        try:
            self._open(info)
        except OSError as error:
            raise InputError(f"{self._folder}: cannot record here: {error.strerror or error}") from error
        self._rates.append((time.monotonic(), 0))
        self._keeper = threading.Thread(target=self._keep, name="recorder tables", daemon=True)
        self._keeper.start()

    def add(self, slot: Slot, frame: Frame) -> None:
        """Record a frame; its pixels must not be changed afterwards. Never waits, never raises; what is lost counts."""
        lane = self._lanes.get(slot)
        if lane is None:
            self.event("frames_refused", reason=f"there is no camera {slot!r}")
        elif wrong := wrong_kind(slot, frame):
            lane.refuse(frame.sequence, wrong)
        elif self._state is not RecorderState.RECORDING:
            lane.drop(frame.sequence, f"the recording is {self._state}")
        else:
            lane.offer(frame)

    def event(self, kind: str, facts: Mapping[str, Any] | None = None, /, **data: Any) -> None:
        """Note what happened; facts as a mapping, as keywords or both."""
        self._note(EVENTS, {"kind": kind, "data": {**(facts or {}), **data}})

    def device(self, report: DeviceReport) -> None:
        """Note the state of a device."""
        told = {name: getattr(report, name) for name in DeviceReport.__slots__}
        self._note(DEVICES, {**told, "details": dict(report.details)})

    def diagnosis(self, diagnosis: Mapping[str, Any]) -> None:
        """Note a diagnosis (contract 6)."""
        self._note(DIAGNOSES, {"diagnosis": dict(diagnosis)})

    def status(self) -> RecorderStatus:
        """How it does; from any thread."""
        with self._lock:
            state, sentence, rate, free = self._state, self._sentence, self._rate, self._free_mb
        if not sentence:
            sentence = self._loss_sentence()
        room = max(free - self._settings.reserve_mb, 0.0)
        return RecorderStatus(
            state,
            sentence,
            written=self._counts("written"),
            dropped=self._counts("dropped"),
            refused=self._counts("refused"),
            waiting=self._counts("waiting"),
            mb_per_s=rate,
            free_mb=free,
            minutes_left=room / rate / 60 if rate > 0 else None,
        )

    def close(self, timeout_s: float = 10.0) -> RecorderStatus:
        """Write what waits, mark the end, and stop; twice does no harm."""
        if not self._ending.is_set():
            deadline = time.monotonic() + timeout_s
            done = [lane.close(max(deadline - time.monotonic(), 0.1)) for lane in self._lanes.values()]
            if not all(done):
                self._turn(RecorderState.FAILED, f"the disk did not take all frames within {timeout_s:g} s")
            self._ending.set()
            self._keeper.join(max(deadline - time.monotonic(), 1.0))
        return self.status()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, info: CaseInfo) -> None:
        folder, settings = self._folder, self._settings
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder}: is not empty; a recording needs a new folder")
        above = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        self._free_mb = shutil.disk_usage(above).free / _MB
        minutes = (self._free_mb - settings.reserve_mb) / settings.expected_mb_per_s / 60
        if minutes < settings.minimum_minutes:
            raise InputError(
                f"{folder}: {self._free_mb:.0f} MB are free, room for {max(minutes, 0):.1f} minutes at "
                f"{settings.expected_mb_per_s:g} MB/s; {settings.minimum_minutes:g} minutes are needed"
            )
        for slot in SLOTS:
            (folder / slot).mkdir(parents=True)
        self._tables = {name: AppendFile(folder / name) for name in TABLES}
        frames = {slot: AppendFile(folder / slot / FRAME_TABLE) for slot in SLOTS}
        replace_file(folder / CASE_FILE, [info.model_dump_json(indent=1).encode()])
        self._identity = _identity(folder / CASE_FILE)
        rate, shard = info.frames_per_second, settings.shard_frames
        writers: dict[Slot, FrameWriter] = {
            "fl": FLWriter(folder, frames["fl"], shard_frames=shard, frames_per_second=rate),
            "wl": WLWriter(folder, frames["wl"], quality=settings.jpeg_quality),
        }
        self._frame_tables = frames
        depth, save_s = settings.queue_frames, settings.save_s
        self._lanes = {
            slot: Lane(slot, writer, depth=depth, save_s=save_s, trouble=self._trouble)
            for slot, writer in writers.items()
        }

    def _note(self, table: str, row: dict[str, Any]) -> None:
        when = {"monotonic_s": time.monotonic(), "utc": datetime.now(UTC).isoformat()}
        line = to_line({**when, **row})
        with self._lock:
            if len(self._rows[table]) >= _ROWS:
                self._rows_dropped += 1
            else:
                self._rows[table].append(line)

    def _turn(self, state: RecorderState, sentence: str) -> None:
        """Go to another state; a failure is final."""
        with self._lock:
            if self._state in (state, RecorderState.FAILED):
                return
            self._state, self._sentence = state, sentence
        kind = "resumed" if state is RecorderState.RECORDING else state
        self.event(f"recording_{kind}", sentence=sentence, free_mb=self._free_mb)

    def _trouble(self, slot: Slot, error: Exception) -> None:
        """A writer's thread hit an error."""
        if isinstance(error, OSError) and error.errno in _FULL:
            self._full_s = time.monotonic()
            self._turn(RecorderState.FULL, f"the disk of {self._folder} is full: frames are not recorded")
        else:
            self._turn(RecorderState.FAILED, f"{slot} frames cannot be written to {self._folder}: {error}")

    def _keep(self) -> None:
        """The thread of the tables: writes rows, watches folder and disk, measures the rate."""
        while not self._ending.wait(_TICK_S):
            self._watch()
            self._account()
            self._save_rows()
        self._account()
        self._watch()
        if self._state is not RecorderState.FAILED:
            names = ("written", "dropped", "refused")
            self.event(CLOSED, {name: dict(self._counts(name)) for name in names}, rows_dropped=self._rows_dropped)
        if self._save_rows():
            self._turn_closed()
        for file in (*self._tables.values(), *self._frame_tables.values()):
            file.close()

    def _turn_closed(self) -> None:
        with self._lock:
            if self._state is not RecorderState.FAILED:
                self._state, self._sentence = RecorderState.CLOSED, ""

    def _watch(self) -> None:
        """See whether the folder is still the one that was opened, and whether there is room."""
        try:
            if _identity(self._folder / CASE_FILE) != self._identity:
                raise FileNotFoundError(errno.ENOENT, "it was replaced by another")
            self._free_mb = shutil.disk_usage(self._folder).free / _MB
        except OSError as error:
            self._turn(RecorderState.FAILED, f"the recording folder {self._folder} is gone: {error.strerror}")
            return
        reserve = self._settings.reserve_mb
        if self._free_mb < reserve:
            sentence = f"{self._free_mb:.0f} MB are free on the disk of {self._folder}, the reserve is {reserve:g} MB"
            self._turn(RecorderState.FULL, f"{sentence}: frames are not recorded")
        elif self._state is RecorderState.FULL and self._free_mb >= 2 * reserve and self._rested:
            self._turn(RecorderState.RECORDING, "")
        self._measure()

    @property
    def _rested(self) -> bool:
        """A quota fills without the disk telling: then a try every few seconds, not every tick."""
        return time.monotonic() - self._full_s > _AGAIN_S

    def _measure(self) -> None:
        now, stored = time.monotonic(), sum(lane.stored for lane in self._lanes.values())
        self._rates.append((now, stored))
        while now - self._rates[0][0] > _RATE_S:
            self._rates.popleft()
        (then, before), elapsed = self._rates[0], now - self._rates[0][0]
        self._rate = (stored - before) / elapsed / _MB if elapsed > 0 and then < now else 0.0

    def _account(self) -> None:
        """Write down what the lanes lost: a gap is never silent."""
        for slot, lane in self._lanes.items():
            for loss in lane.take_losses():
                self.event(loss.kind, slot=slot, **{k: v for k, v in asdict(loss).items() if k != "kind"})

    def _save_rows(self) -> bool:
        """Append what waits to the tables; False while the disk refuses, the rows are kept then."""
        if self._state is RecorderState.FAILED and not self._folder.exists():
            return False
        for name, waiting in self._rows.items():
            with self._lock:
                lines = list(waiting)
            try:
                if lines:
                    self._tables[name].commit(b"".join(lines))
            except OSError as error:
                if error.errno not in _FULL:
                    self._turn(RecorderState.FAILED, f"tables cannot be written to {self._folder}: {error.strerror}")
                return False
            with self._lock:
                for _ in lines:
                    waiting.popleft()
        return True

    def _counts(self, name: str) -> Mapping[Slot, int]:
        return MappingProxyType({slot: getattr(lane, name) for slot, lane in self._lanes.items()})

    def _loss_sentence(self) -> str:
        told = [
            f"{count} {slot} frames were {what}"
            for what in ("dropped", "refused")
            for slot, count in self._counts(what).items()
            if count
        ]
        return "; ".join(told)


def _info(
    case_id: str,
    data_kind: Literal["real", "simulated"],
    unit: str,
    unit_settings: Mapping[str, Any] | None,
    frames_per_second: float | None,
    settings: RecorderSettings,
) -> CaseInfo:
    try:
        return CaseInfo(
            case_id=case_id,
            data_kind=data_kind,
            started=datetime.now(UTC),
            started_monotonic_s=time.monotonic(),
            unit=unit,
            settings={"unit": dict(unit_settings or {}), "recorder": settings.model_dump()},
            frames_per_second=frames_per_second,
            jpeg_quality=settings.jpeg_quality,
            glioscope_version=__version__,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{'.'.join(map(str, first['loc']))} is {first['input']!r}: {first['msg']}") from error


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino

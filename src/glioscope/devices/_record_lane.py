"""One camera's way to the disk: a bounded queue, a thread that writes, and an account of what did not get through."""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from glioscope.core import Frame

from ._case_folder import facts_of
from ._pairing import Slot

_WAIT_S = 0.2
_NICE = 10


class FrameWriter(Protocol):
    """What puts the frames of one camera on the disk: `FLWriter`, `WLWriter`."""

    stored: int
    oldest_s: float | None

    @property
    def pending(self) -> list[int]: ...
    def write(self, frame: Frame, facts: Mapping[str, Any]) -> int: ...
    def save(self) -> int: ...
    def abandon(self) -> list[int]: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Loss:
    """Frames that are not in the recording.

    Attributes
    ----------
    kind : "frames_dropped" (no room in time, or on the disk) or "frames_refused" (no frames of this camera's kind).
    reason : one sentence.
    frames : how many.
    first, last : their sequence numbers.
    """

    kind: str
    reason: str
    frames: int
    first: int
    last: int


class Lane:
    """Queue and writer thread of one camera.

    Parameters
    ----------
    slot : which camera.
    writer : used by this lane's thread only.
    depth : frames that may wait.
    save_s : the oldest frame that is not saved waits no longer than this.
    trouble : told, in this lane's thread, of an error that cost frames.
    """

    def __init__(
        self, slot: Slot, writer: FrameWriter, *, depth: int, save_s: float, trouble: Callable[[Slot, Exception], None]
    ) -> None:
        self.slot, self._writer = slot, writer
        self._depth, self._save_s, self._trouble = depth, save_s, trouble
        self._queue: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._losses: list[Loss] = []
        self.written = self.dropped = self.refused = 0
        self._thread = threading.Thread(target=self._run, name=f"recorder {slot}", daemon=True)
        self._thread.start()

    @property
    def stored(self) -> int:
        """Bytes on the disk."""
        return self._writer.stored

    @property
    def waiting(self) -> int:
        """Frames in the queue."""
        return len(self._queue)

    def offer(self, frame: Frame) -> None:
        """Queue a frame, or drop it when the queue is full. Never waits for the disk."""
        with self._changed:
            if self._closing:
                self._lose("frames_dropped", "the recording was being closed", [frame.sequence])
            elif len(self._queue) >= self._depth:
                reason = f"the writer lags: {self._depth} frames were waiting"
                self._lose("frames_dropped", reason, [frame.sequence])
            else:
                self._queue.append(frame)
                self._changed.notify()

    def drop(self, sequence: int, reason: str) -> None:
        """Count a frame that cannot be recorded now."""
        with self._changed:
            self._lose("frames_dropped", reason, [sequence])

    def refuse(self, sequence: int, reason: str) -> None:
        """Count a frame that is none of this camera's kind."""
        with self._changed:
            self._lose("frames_refused", reason, [sequence])

    def take_losses(self) -> list[Loss]:
        """What was lost since the last call."""
        with self._changed:
            losses, self._losses = self._losses, []
            return losses

    def close(self, timeout_s: float) -> bool:
        """Write what waits and end the thread; False when that took too long."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            return True
        with self._changed:
            left = [frame.sequence for frame in self._queue]
            self._queue.clear()
            self._lose("frames_dropped", f"the disk did not take them within {timeout_s:g} s", left)
        return False

    def _lose(self, kind: str, reason: str, sequences: list[int]) -> None:
        if not sequences:
            return
        if kind == "frames_refused":
            self.refused += len(sequences)
        else:
            self.dropped += len(sequences)
        last = self._losses[-1] if self._losses else None
        if last is not None and (last.kind, last.reason) == (kind, reason):
            self._losses[-1] = Loss(kind, reason, last.frames + len(sequences), last.first, sequences[-1])
        else:
            self._losses.append(Loss(kind, reason, len(sequences), sequences[0], sequences[-1]))

    def _run(self) -> None:
        _step_back()
        while self._one_turn():
            pass
        self._guard(self._writer.save)
        self._writer.close()

    def _one_turn(self) -> bool:
        """Write the next frame or save what has waited long enough; False when all is done."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._queue) or self._closing, _WAIT_S)
            frame = self._queue.popleft() if self._queue else None
            if frame is None and self._closing:
                return False
        if frame is not None:
            self._take(frame)
            del frame  # else its pixels stay until the next one comes
        oldest = self._writer.oldest_s
        if oldest is not None and time.monotonic() - oldest >= self._save_s:
            self._guard(self._writer.save)
        return True

    def _take(self, frame: Frame) -> None:
        try:
            facts = facts_of(frame)
        except (TypeError, ValueError) as error:
            self.refuse(frame.sequence, f"a field of the frame is wrong: {error}")
            return
        self._guard(lambda: self._writer.write(frame, facts), frame)

    def _guard(self, step: Callable[[], int], frame: Frame | None = None) -> None:
        """Count what a step saved; whatever goes wrong in this thread becomes a loss: nobody else could catch it."""
        try:
            saved = step()
        except Exception as error:
            self._give_up(error, frame)
            return
        with self._changed:
            self.written += saved

    def _give_up(self, error: Exception, frame: Frame | None) -> None:
        before = self._writer.pending
        try:
            lost = self._writer.abandon()
        except OSError:  # the first error tells more
            lost = before
        if frame is not None and frame.sequence not in lost:
            lost = [*lost, frame.sequence]
        with self._changed:
            self._lose("frames_dropped", f"could not be written: {error}", lost)
        self._trouble(self.slot, error)


def wrong_kind(slot: Slot, frame: Frame) -> str:
    """Why a frame does not belong into this camera's stream; empty if it does."""
    pixels: Any = frame.pixels
    want = "uint16 (H, W)" if slot == "fl" else "uint8 RGB (H, W, 3)"
    if not isinstance(pixels, np.ndarray):
        return f"a {type(pixels).__name__} is not {want}"
    found = f"{pixels.dtype} {pixels.shape}"
    if slot == "fl" and pixels.ndim == 3:
        return f"{found} is a colour frame; the fluorescence stream takes {want}"
    right = pixels.dtype == np.uint16 and pixels.ndim == 2 if slot == "fl" else _is_rgb(pixels)
    return "" if right and pixels.size else f"{found} is not {want}"


def _is_rgb(pixels: NDArray[Any]) -> bool:
    return pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3


def _step_back() -> None:
    """Let the threads that read the cameras go first. Linux has a priority for each thread; elsewhere all are equal."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)

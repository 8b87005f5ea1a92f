"""What comes out of an Aravis stream: whole frames only, numbered without end, none older than the reader deserves."""

import time
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ._aravis_pixels import Decode
from ._aravis_settings import AravisCameraSettings
from ._camera_clock import CameraClock

_GIGE_IDS = 65535


@dataclass(frozen=True, slots=True)
class Whole:
    """A frame without missing packets: its number since the start, its pixels, the end of its exposure."""

    sequence: int
    pixels: NDArray[Any]
    end_s: float


@dataclass(slots=True)
class Counts:
    """Frames since the start that were `broken` by lost packets, or `dropped` because the reader was far behind."""

    broken: int = 0
    dropped: int = 0


class AravisStream:
    """Reads an `Arv.Stream` whose buffers go round; one thread reads.

    Parameters
    ----------
    aravis, stream : library and stream; this object holds the only reference to the stream.
    payload : bytes of a frame.
    decode, rows, columns : how a buffer becomes pixels.
    settings : number of buffers, how many may wait, known delay.
    """

    def __init__(
        self,
        aravis: Any,
        stream: Any,
        payload: int,
        decode: Decode,
        shape: tuple[int, int],
        settings: AravisCameraSettings,
    ) -> None:
        self._success = aravis.BufferStatus.SUCCESS
        self._stream = stream
        for _ in range(settings.buffers):
            stream.push_buffer(aravis.Buffer.new_allocate(payload))
        self._decode, self._shape = decode, shape
        self._max_waiting = settings.max_waiting
        self.clock = CameraClock(settings.delay_ms / 1000)
        self.counts = Counts()
        self.heard_s = self._begun_s = time.monotonic()
        self._last_id: int | None = None
        self._sequence = 0

    def begin(self) -> None:
        """Forget what came so far; numbers and counts start anew."""
        _discard_waiting(self._stream)
        self.clock.restart()
        self.counts = Counts()
        self._last_id, self._sequence = None, 0
        self.heard_s = self._begun_s = time.monotonic()

    def release(self) -> Any:
        """Give the stream away; nothing can be read any more."""
        stream, self._stream = self._stream, None
        return stream

    def next(self, timeout_s: float) -> Whole | None:
        """The next buffer, if it comes in time and is whole, recent and in order."""
        stream = self._stream
        if stream is None:
            return None
        buffer = stream.timeout_pop_buffer(max(int(timeout_s * 1e6), 1))
        if buffer is None:
            return None
        self.heard_s = time.monotonic()
        if stream.get_n_buffers()[1] < self._max_waiting:
            whole = self._take(buffer)
        else:  # the reader is far behind: all that waits is old, the next new frame is the one to have
            whole = None
            self.counts.dropped += 1 + _discard_waiting(stream)
        stream.push_buffer(buffer)
        return whole

    def _take(self, buffer: Any) -> Whole | None:
        rows, columns = self._shape
        whole = buffer.get_status() == self._success
        if not whole or (buffer.get_image_height(), buffer.get_image_width()) != self._shape:
            self.counts.broken += 1
            return None
        camera_ns, received_ns = buffer.get_timestamp(), buffer.get_system_timestamp()
        end_s = self.clock.stamp(camera_ns * 1e-9 if camera_ns else None, received_ns * 1e-9 if received_ns else None)
        frame_id = buffer.get_frame_id()
        self._sequence += 0 if self._last_id is None else id_steps(self._last_id, frame_id)
        self._last_id = frame_id
        if end_s < self._begun_s:
            return None
        return Whole(self._sequence, self._decode(buffer.get_data(), rows, columns), end_s)


def _discard_waiting(stream: Any) -> int:
    dropped = 0
    while (buffer := stream.try_pop_buffer()) is not None:
        stream.push_buffer(buffer)
        dropped += 1
    return dropped


def id_steps(last: int, new: int) -> int:
    """Frames from one id to the next. GigE's 16-bit ids go from 65535 to 1; a camera that counts anew steps by 1."""
    if new >= last:
        return new - last
    steps = new - last + _GIGE_IDS
    return steps if last <= _GIGE_IDS and 0 < steps <= _GIGE_IDS // 2 else 1

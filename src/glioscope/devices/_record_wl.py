"""Writes white-light frames: JPEG pictures one after another in a Motion-JPEG stream, one file a minute."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numcodecs.checksum32 import crc32c_checksum
from numpy.typing import NDArray

from glioscope.core import Frame

from ._case_folder import FrameRow
from ._record_files import AppendFile

SEGMENT_S = 60.0


class WLWriter:
    """Encodes frames and appends them at once; the frame table follows when the disk has them. For one thread.

    Parameters
    ----------
    folder : of the case.
    table : the frame table.
    quality : of the JPEGs, 95 to 100; colour is never subsampled (4:4:4).
    """

    def __init__(self, folder: Path, table: AppendFile, *, quality: int) -> None:
        self._folder, self._table, self._quality = folder, table, quality
        self._encode(np.zeros((8, 8, 3), np.uint8))  # loads the encoder, which can take a second, before frames come
        self._segments = 0
        self._stream: AppendFile | None = None
        self._opened_s = 0.0
        self._shape: tuple[int, ...] = ()
        self._saved_size = 0
        self._rows: list[FrameRow] = []
        self.stored = 0
        """Bytes that the frames take on the disk."""
        self.oldest_s: float | None = None
        """When the oldest frame that is not saved yet came, monotonic; None if all are."""

    @property
    def pending(self) -> list[int]:
        """Sequence numbers of the frames that are not saved yet."""
        return [int(row.facts["sequence"]) for row in self._rows]

    def write(self, frame: Frame, facts: Mapping[str, Any]) -> int:
        """Take a frame, uint8 RGB (H, W, 3); gives how many frames were saved by it. Raises OSError."""
        now, saved = time.monotonic(), 0
        if self._stream is None or frame.pixels.shape != self._shape or now - self._opened_s > SEGMENT_S:
            saved = self.save()
            self._open(frame.pixels.shape, now)
        stream = self._stream
        if stream is None:
            raise FileNotFoundError("no stream is open")
        jpeg = self._encode(frame.pixels)
        rows, columns = self._shape[:2]
        name = str(stream.path.relative_to(self._folder))
        place = stream.append(jpeg)
        self._rows.append(FrameRow(name, place, len(jpeg), crc32c_checksum(jpeg), rows, columns, facts))
        if self.oldest_s is None:
            self.oldest_s = now
        return saved

    def save(self) -> int:
        """Have the disk hold every frame so far; gives how many were saved by it. Raises OSError."""
        if self._stream is None or not self._rows:
            return 0
        self._stream.sync()
        lines = b"".join(row.to_json() for row in self._rows)
        self._table.commit(lines)
        self.stored += self._stream.size - self._saved_size + len(lines)
        self._saved_size = self._stream.size
        saved, self._rows, self.oldest_s = len(self._rows), [], None
        return saved

    def abandon(self) -> list[int]:
        """Give up what is not saved and the segment; gives the sequence numbers lost. The next frame opens another."""
        lost, self._rows, self.oldest_s = self.pending, [], None
        if self._stream is not None:
            stream, self._stream = self._stream, None
            try:
                stream.cut(self._saved_size)
            finally:
                stream.close()
        return lost

    def close(self) -> None:
        """Close the stream."""
        if self._stream is not None:
            self._stream.close()

    def _encode(self, pixels: NDArray[Any]) -> bytes | bytearray:
        """JPEG of an RGB picture, by libjpeg-turbo without the GIL; as fast as OpenCV's, and takes RGB as it is."""
        return imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), level=self._quality, subsampling="444")

    def _open(self, shape: tuple[int, ...], now: float) -> None:
        self.close()
        self._stream = None
        self._segments += 1
        self._stream = AppendFile(self._folder / "wl" / f"{self._segments - 1:04d}.mjpeg")
        self._saved_size, self._opened_s, self._shape = 0, now, shape

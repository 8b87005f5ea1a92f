"""Writes fluorescence frames: OME-Zarr 0.5, lossless, one array a segment, a shard a second."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import MemoryStore

from glioscope.core import Frame

from ._case_folder import FrameRow
from ._record_files import AppendFile, make_folders, replace_file
from ._record_shard import checksum_of, compress, shard_parts


class FLWriter:
    """Compresses frames as they come and saves them by the shard. For one thread.

    What is saved grows in this order: shard, length of the array, frame table; so the table never names a frame that
    is not there. A shard that is saved before it is full is replaced later by a longer one.

    Parameters
    ----------
    folder : of the case.
    table : the frame table.
    shard_frames : frames in a full shard.
    frames_per_second : for the scale of the time axis; None if unknown.
    """

    def __init__(self, folder: Path, table: AppendFile, *, shard_frames: int, frames_per_second: float | None) -> None:
        self._folder, self._table = folder, table
        self._capacity, self._rate = shard_frames, frames_per_second
        self._segments = 0
        self._segment: Path | None = None
        self._array: dict[str, Any] = {}
        self._shape = (0, 0)
        self._shard, self._shard_size = 0, 0
        self._chunks: list[bytes] = []
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
        """Take a frame, uint16 (H, W); gives how many frames were saved by it. Raises OSError."""
        pixels = np.ascontiguousarray(frame.pixels)
        saved = 0
        if self._segment is None or pixels.shape != self._shape:
            saved = self.save()
            self._open((pixels.shape[0], pixels.shape[1]), frame.mm_per_px)
        chunk = compress(pixels)
        place = self._shard * self._capacity + len(self._chunks)
        self._rows.append(FrameRow(self._name(), place, len(chunk) - 4, checksum_of(chunk), *self._shape, facts))
        self._chunks.append(chunk)
        if self.oldest_s is None:
            self.oldest_s = time.monotonic()
        return saved + (self.save() if len(self._chunks) == self._capacity else 0)

    def save(self) -> int:
        """Have the disk hold every frame so far; gives how many were saved by it. Raises OSError."""
        if self._segment is None or not self._rows:
            return 0
        path = self._segment / "0" / "c" / str(self._shard) / "0" / "0"
        make_folders(path.parent, self._segment)
        size = replace_file(path, shard_parts(self._chunks, self._capacity))
        self._array["shape"][0] = self._rows[-1].place + 1
        replace_file(self._segment / "0" / "zarr.json", [json.dumps(self._array, indent=1).encode()])
        lines = b"".join(row.to_json() for row in self._rows)
        self._table.commit(lines)
        self.stored += size - self._shard_size + len(lines)
        self._shard_size = size
        saved, self._rows, self.oldest_s = len(self._rows), [], None
        if len(self._chunks) == self._capacity:
            self._next_shard()
        return saved

    def abandon(self) -> list[int]:
        """Give up what is not saved and the segment; gives the sequence numbers lost. The next frame opens another."""
        lost, self._rows, self.oldest_s, self._segment = self.pending, [], None, None
        self._next_shard()
        return lost

    def close(self) -> None:
        """Nothing stays open between saves."""

    def _next_shard(self) -> None:
        self._chunks, self._shard, self._shard_size = [], self._shard + 1, 0

    def _name(self) -> str:
        return f"fl/{self._segments - 1:04d}.ome.zarr"

    def _open(self, shape: tuple[int, int], mm_per_px: float | None) -> None:
        self._segment = None
        documents = array_documents(shape, self._capacity, self._rate, mm_per_px)
        self._segments += 1
        segment = self._folder / self._name()
        make_folders(segment / "0" / "c", self._folder)
        for name, text in documents.items():
            replace_file(segment / name, [text])
        self._array = json.loads(documents["0/zarr.json"])
        self._shape, self._segment = shape, segment
        self._chunks, self._shard, self._shard_size = [], 0, 0


def array_documents(
    shape: tuple[int, int], shard_frames: int, frames_per_second: float | None, mm_per_px: float | None
) -> dict[str, bytes]:
    """The metadata of an empty OME-Zarr 0.5 image with axes t, y, x, by path; zarr writes them."""
    documents: dict[str, Any] = {}
    group = zarr.create_group(
        MemoryStore(documents), attributes={"ome": _multiscales(frames_per_second, mm_per_px)}, zarr_format=3
    )
    group.create_array(
        "0",
        shape=(0, *shape),
        shards=(shard_frames, *shape),
        chunks=(1, *shape),
        dtype="uint16",
        compressors=[BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", typesize=2), Crc32cCodec()],
        fill_value=0,
        dimension_names=("t", "y", "x"),
    )
    return {name: document.to_bytes() for name, document in documents.items()}


def _multiscales(frames_per_second: float | None, mm_per_px: float | None) -> dict[str, Any]:
    time_axis = {"name": "t", "type": "time"} | ({"unit": "second"} if frames_per_second else {})
    length = {"type": "space"} | ({"unit": "millimeter"} if mm_per_px else {})
    scale = [1 / frames_per_second if frames_per_second else 1.0, mm_per_px or 1.0, mm_per_px or 1.0]
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": "fluorescence",
                "axes": [time_axis, {"name": "y", **length}, {"name": "x", **length}],
                "datasets": [
                    {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": list(map(float, scale))}]}
                ],
            }
        ],
    }

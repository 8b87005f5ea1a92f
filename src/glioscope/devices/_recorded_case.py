"""Reads a case folder: finished, killed, or still being written."""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import imagecodecs
import numpy as np
from numcodecs.checksum32 import crc32c_checksum
from numpy.typing import NDArray

from glioscope.core import Frame, ImageError, InputError

from ._case_folder import (
    CLOSED,
    DEVICES,
    DIAGNOSES,
    EVENTS,
    FRAME_TABLE,
    SLOTS,
    CaseInfo,
    FrameRow,
    read_case_info,
    read_frame_table,
    read_table,
)
from ._pairing import Slot
from ._record_shard import read_from_shard


class RecordedStream:
    """Frames of one camera, in the order in which they were recorded; pixels are read when asked for.

    `stream[i]`, `len(stream)` and iteration work as with a list. The frame table says what there is: a frame comes back
    only if its pixels are where the table says, with the checksum and the shape that it says.

    Attributes
    ----------
    slot : "fl" or "wl".
    rows : the frame table.
    """

    def __init__(self, folder: Path, slot: Slot, rows: tuple[FrameRow, ...]) -> None:
        self.slot, self.rows = slot, rows
        self._folder = folder
        self._arrays: dict[str, tuple[int, ...]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Frame:
        """Frame `i`, all of it as recorded. Raises ImageError with file and place when its pixels are damaged."""
        row = self.rows[i]
        pixels = self._fluorescence(row) if self.slot == "fl" else self._white_light(row)
        return row.frame(pixels)

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, *, skip_damaged: bool = False) -> Iterator[Frame]:
        """All frames; damaged ones raise ImageError, or are left out if asked."""
        for i in range(len(self)):
            try:
                frame = self[i]
            except ImageError:
                if not skip_damaged:
                    raise
                continue
            yield frame

    def damage(self) -> Iterator[ImageError]:
        """Read everything; give what is damaged."""
        for i in range(len(self)):
            try:
                self[i]
            except ImageError as error:
                yield error

    @property
    def missing(self) -> int:
        """Numbers that the camera gave and the recording lacks, where they rise."""
        numbers = [row.facts["sequence"] for row in self.rows]
        return sum(max(after - before - 1, 0) for before, after in itertools.pairwise(numbers))

    def _fluorescence(self, row: FrameRow) -> NDArray[np.uint16]:
        length, *shape, capacity = self._array(row.file)
        path = self._folder / row.file
        if (row.rows, row.columns) != tuple(shape):
            reason = f"frames of {shape[1]} x {shape[0]} px, the frame table says {row.columns} x {row.rows}"
            raise ImageError(path, reason)
        if row.place >= length:
            raise ImageError(path, f"has {length} frames, the frame table names number {row.place}")
        shard, place = divmod(row.place, capacity)
        return read_from_shard(path / f"0/c/{shard}/0/0", place, capacity, (shape[0], shape[1]), row.crc32c)

    def _array(self, name: str) -> tuple[int, ...]:
        """Length, rows, columns and frames in a shard of a segment."""
        if name not in self._arrays:
            path = self._folder / name / "0" / "zarr.json"
            try:
                array = json.loads(path.read_bytes())
                found = (*array["shape"], array["chunk_grid"]["configuration"]["chunk_shape"][0])
                kind = array["data_type"]
            except OSError as error:
                raise ImageError(path, f"cannot be read: {error.strerror}") from error
            except (ValueError, KeyError, TypeError, IndexError) as error:
                raise ImageError(path, f"is no description of a Zarr array: {error!r}") from error
            if len(found) != 4 or not all(isinstance(side, int) and side >= 0 for side in found) or kind != "uint16":
                raise ImageError(path, f"shape and shard {found} of {kind}, not (t, y, x, shard) of uint16")
            self._arrays[name] = found
        return self._arrays[name]

    def _white_light(self, row: FrameRow) -> NDArray[np.uint8]:
        path = self._folder / row.file
        try:
            with path.open("rb") as stream:
                stream.seek(row.place)
                jpeg = stream.read(row.size)
        except OSError as error:
            raise ImageError(path, f"cannot be read: {error.strerror}") from error
        if len(jpeg) < row.size:
            raise ImageError(path, f"the picture at byte {row.place} is cut off: {len(jpeg)} of {row.size} bytes")
        if crc32c_checksum(jpeg) != row.crc32c:
            raise ImageError(path, f"the picture at byte {row.place} is damaged: its checksum does not match")
        pixels: NDArray[np.uint8] = imagecodecs.jpeg8_decode(jpeg)
        if pixels.shape != (row.rows, row.columns, 3):
            reason = f"the picture at byte {row.place} has shape {pixels.shape}, the frame table says "
            raise ImageError(path, f"{reason}({row.rows}, {row.columns}, 3)")
        return pixels


@dataclass(frozen=True, slots=True)
class RecordedCase:
    """A case folder as it was when it was opened.

    Attributes
    ----------
    folder : where it is.
    info : `case.json`.
    streams : by camera, "fl" and "wl".
    events, devices, diagnoses : rows of the tables, oldest first.
    closed : whether the recording was ended in order; else it was cut off, or still goes on.
    torn : tables whose last line was half written and left out.
    """

    folder: Path
    info: CaseInfo
    streams: Mapping[Slot, RecordedStream]
    events: tuple[Mapping[str, Any], ...]
    devices: tuple[Mapping[str, Any], ...]
    diagnoses: tuple[Mapping[str, Any], ...]
    closed: bool
    torn: tuple[str, ...]

    @property
    def fl(self) -> RecordedStream:
        """Fluorescence frames."""
        return self.streams["fl"]

    @property
    def wl(self) -> RecordedStream:
        """White-light frames."""
        return self.streams["wl"]

    @property
    def sentence(self) -> str:
        """What whoever uses the case has to know, one sentence; empty for a whole case."""
        told = [] if self.closed else ["the recording was not closed: it was cut off or still goes on"]
        lost = [row["data"] for row in self.events if row.get("kind") in ("frames_dropped", "frames_refused")]
        frames = sum(int(data["frames"]) for data in lost if "frames" in data)
        told += [f"{frames} frames were not recorded, see {EVENTS}"] if frames else []
        return "; ".join(told)


def open_case(folder: Path | str) -> RecordedCase:
    """Open a case folder, whatever became of its recorder.

    Raises
    ------
    InputError : no case folder, another schema, or a damaged table; names file and line. Damaged pixels only raise
        when their frame is read.
    """
    folder = Path(folder)
    info = read_case_info(folder)
    torn = []
    streams: dict[Slot, RecordedStream] = {}
    # Events first: a recording that is closed while it is read has all of its frames then.
    tables = {}
    for name in (EVENTS, DEVICES, DIAGNOSES):
        tables[name], cut = read_table(folder / name)
        torn += [name] if cut else []
    for slot in SLOTS:
        path = folder / slot / FRAME_TABLE
        rows, cut = read_frame_table(path)
        _check_paths(path, slot, rows)
        streams[slot] = RecordedStream(folder, slot, rows)
        torn += [f"{slot}/{FRAME_TABLE}"] if cut else []
    events, devices, diagnoses = (tuple(tables[name]) for name in (EVENTS, DEVICES, DIAGNOSES))
    closed = any(row.get("kind") == CLOSED for row in events)
    return RecordedCase(folder, info, MappingProxyType(streams), events, devices, diagnoses, closed, tuple(torn))


def _check_paths(table: Path, slot: Slot, rows: tuple[FrameRow, ...]) -> None:
    """A table must not lead out of its case folder."""
    for name in {row.file for row in rows}:
        inside = Path(name)
        if inside.is_absolute() or ".." in inside.parts or inside.parts[:1] != (slot,):
            raise InputError(f"{table}: names the file {name!r}, which is not in {slot}/ of the case folder")

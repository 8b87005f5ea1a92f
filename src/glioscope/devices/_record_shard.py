"""One second of fluorescence frames in one file: the shard of Zarr version 3, a checksum on every frame.

Zarr's own writer takes a whole shard at once. Here frames are compressed as they come, so that no second of work falls
on one moment, and a frame that is not there is told from a black one. Tests read the files with zarr.
"""

import os
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numcodecs import Blosc
from numcodecs.checksum32 import crc32c_checksum
from numpy.typing import NDArray

from glioscope.core import ImageError

_ABSENT = 2**64 - 1
_BLOSC = Blosc("zstd", clevel=1, shuffle=Blosc.BITSHUFFLE)
# By measurement on noisy frames: 1.1 ms and a ratio of 1.8 a frame; lz4 0.3 ms and 1.7; zstd 3 2 ms and 1.8.


def compress(pixels: NDArray[np.uint16]) -> bytes:
    """One frame (H, W), compressed, with its checksum as the last 4 bytes. Releases the GIL."""
    packed: bytes = _BLOSC.encode(pixels)
    return packed + struct.pack("<I", crc32c_checksum(packed))


def checksum_of(chunk: bytes) -> int:
    """The CRC-32C that `compress` put at the end of a chunk."""
    return int(struct.unpack("<I", chunk[-4:])[0])


def shard_parts(chunks: Sequence[bytes], capacity: int) -> list[bytes]:
    """The parts of a shard file that holds up to `capacity` frames: chunks, index, checksum of the index."""
    index = np.full((capacity, 2), _ABSENT, "<u8")
    offset = 0
    for i, chunk in enumerate(chunks):
        index[i] = offset, len(chunk)
        offset += len(chunk)
    table = index.tobytes()
    return [*chunks, table, struct.pack("<I", crc32c_checksum(table))]


def read_from_shard(path: Path, place: int, capacity: int, shape: tuple[int, int], crc32c: int) -> NDArray[np.uint16]:
    """Frame `place` of a shard, uint16 `shape`, in new memory; `crc32c` is what the frame table says of it.

    Raises
    ------
    ImageError : the file is missing, cut off or damaged, or has no such frame.
    """
    chunk = _chunk(path, place, capacity)
    body = chunk[:-4]
    if not crc32c_checksum(body) == checksum_of(chunk) == crc32c:
        raise ImageError(path, f"frame {place} of this shard is damaged: its checksum does not match")
    pixels = np.empty(shape, np.uint16)
    try:
        _BLOSC.decode(body, out=pixels)
    except (RuntimeError, ValueError) as error:
        raise ImageError(path, f"frame {place} of this shard is not {shape[1]} x {shape[0]} px: {error}") from error
    return pixels


def _chunk(path: Path, place: int, capacity: int) -> bytes:
    length = 16 * capacity + 4
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            if size < length:
                raise ImageError(path, f"has {size} bytes, its index alone takes {length}: it is cut off")
            stream.seek(size - length)
            tail = stream.read(length)
            if crc32c_checksum(tail[:-4]) != struct.unpack("<I", tail[-4:])[0]:
                raise ImageError(path, "its index is damaged or cut off: the checksum does not match")
            begin, count = struct.unpack_from("<QQ", tail, 16 * place)
            if begin == _ABSENT or count <= 4 or begin + count > size - length:
                raise ImageError(path, f"frame {place} of this shard is not in it")
            stream.seek(begin)
            return stream.read(count)
    except OSError as error:
        raise ImageError(path, f"cannot be read: {error.strerror}") from error

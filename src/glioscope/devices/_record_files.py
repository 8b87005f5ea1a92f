"""Two ways to write that a kill or a power cut cannot tear: append, or replace whole."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path


class AppendFile:
    """A new file that only grows; an append that fails leaves it as it was. For one thread.

    Raises
    ------
    OSError : from the constructor and every method but `close`; FileExistsError if the file is there already.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.size = 0
        sync_folder(path.parent)

    def append(self, data: bytes | bytearray) -> int:
        """Add the bytes; gives the offset at which they begin."""
        begin, view = self.size, memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            self.cut(begin)
            raise
        self.size = begin + len(data)
        return begin

    def commit(self, data: bytes) -> None:
        """Add the bytes and have the disk hold them, or take them back."""
        begin = self.append(data)
        try:
            self.sync()
        except OSError:
            self.cut(begin)
            raise

    def cut(self, size: int) -> None:
        """Take back what was appended after `size` bytes."""
        os.ftruncate(self._descriptor, size)
        self.size = size

    def sync(self) -> None:
        """Have the disk hold all that was appended."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close; twice does no harm."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            with contextlib.suppress(OSError):  # nothing is buffered here, so nothing can be lost
                os.close(descriptor)


def replace_file(path: Path, parts: Iterable[bytes]) -> int:
    """Write the parts beside `path`, sync, and rename over it: the old file or the new one. Gives the bytes written.

    Raises
    ------
    OSError : then the old file stands.
    """
    # `core.atomic_file` sets the umask, which belongs to all threads; here several write at once.
    temporary = path.with_name(f".{path.name}.part")
    size = 0
    try:
        with temporary.open("wb", buffering=0) as stream:
            for part in parts:
                view = memoryview(part)
                while view:
                    view = view[stream.write(view) :]
                size += len(part)
            os.fdatasync(stream.fileno())
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return size


def make_folders(path: Path, root: Path) -> None:
    """Make `path` and what lies between it and `root`, and have the disk hold the new names. `root` must exist."""
    missing = [folder for folder in (path, *path.parents) if folder.is_relative_to(root) and not folder.is_dir()]
    for folder in reversed(missing):
        folder.mkdir()
        sync_folder(folder.parent)


def sync_folder(path: Path) -> None:
    """Have the disk hold the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

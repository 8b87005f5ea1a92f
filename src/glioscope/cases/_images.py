"""Pictures of specimens as sealed files, each named by the SHA-256 of its own bytes."""

import contextlib
import errno
import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from glioscope.core import InputError, atomic_file

from ._keys import CaseKey, sync_folder

_NAME: Final = re.compile(r"[0-9a-f]{64}")
_CONTEXT: Final = "image"
"""Which picture it is stands in the specimen's sealed record, by name: another one in its place has another name."""


class ImageFolder:
    """Sealed pictures in 256 subfolders, by the first two letters of their names.

    Parameters
    ----------
    folder : made if it is not there.

    Raises
    ------
    InputError : the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # All at once, so that no picture waits for, or forgets, the name of its subfolder.
            for number in range(256):
                (folder / f"{number:02x}").mkdir(exist_ok=True)
            sync_folder(folder)
            sync_folder(folder.parent)
        except OSError as error:
            raise InputError(f"{folder} cannot be used: {error.strerror}") from error

    def put(self, key: CaseKey, data: bytes) -> str:
        """Seal and keep a picture; file and folder are on disk before this returns.

        Returns
        -------
        str : its name, 64 hexadecimal digits. Sealing is random: the same picture twice gives two names.

        Raises
        ------
        InputError : the disk is full or cannot be written; no half picture stays.
        """
        sealed = key.seal(data, _CONTEXT)
        name = hashlib.sha256(sealed).hexdigest()
        path = self._path(name)
        try:
            with atomic_file(path) as temporary:
                temporary.write_bytes(sealed)
            sync_folder(path.parent)
        except OSError as error:
            what = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
            raise InputError(f"the picture cannot be kept in {self._folder}: {what}") from error
        return name

    def get(self, key: CaseKey, name: str) -> bytes:
        """Read and open a picture.

        Raises
        ------
        InputError : missing, changed, or of another case.
        """
        sealed = self._read(name)
        if hashlib.sha256(sealed).hexdigest() != name:
            raise InputError(f"image {name} was changed: its SHA-256 does not fit its name")
        try:
            return key.open(sealed, _CONTEXT)
        except InputError as error:
            raise InputError(f"image {name} does not open: it belongs to another case") from error

    def delete(self, name: str) -> None:
        """Remove a picture; one that is gone already does no harm.

        Raises
        ------
        InputError : the file cannot be removed.
        """
        path = self._path(name)
        try:
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
        except OSError as error:
            raise InputError(f"image {name} cannot be removed: {error.strerror}") from error

    def names(self) -> Iterator[str]:
        """All pictures there are, in the order of their names."""
        for subfolder in sorted(self._folder.glob("[0-9a-f][0-9a-f]")):
            yield from sorted(path.name for path in subfolder.iterdir() if _NAME.fullmatch(path.name))

    def damaged(self, name: str) -> str:
        """What is wrong with a picture, as a sentence, or empty; needs no key."""
        try:
            sealed = self._read(name)
        except InputError as error:
            return str(error)
        if hashlib.sha256(sealed).hexdigest() != name:
            return f"image {name} was changed: its SHA-256 does not fit its name"
        return ""

    def modified_s_ago(self, name: str) -> float:
        """Seconds since a picture was written, by the wall clock; what no row names may still be getting its row.

        Raises
        ------
        InputError : missing.
        """
        try:
            return time.time() - self._path(name).stat().st_mtime
        except OSError as error:
            raise InputError(f"image {name} cannot be read: {error.strerror}") from error

    def sweep(self, *, older_than_s: float = 3600.0) -> int:
        """Remove what crashes left half-written (never a picture that has its name); gives how many files."""
        removed = 0
        for path in self._folder.glob("[0-9a-f][0-9a-f]/.*"):
            with contextlib.suppress(FileNotFoundError):  # a picture that got its name meanwhile
                if time.time() - path.stat().st_mtime > older_than_s:
                    path.unlink()
                    removed += 1
        return removed

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise InputError(f"an image is named by 64 hexadecimal digits, not by {len(name)} other characters")
        return self._folder / name[:2] / name

    def _read(self, name: str) -> bytes:
        path = self._path(name)
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise InputError(f"image {name} is missing") from error
        except OSError as error:
            raise InputError(f"image {name} cannot be read: {error.strerror}") from error

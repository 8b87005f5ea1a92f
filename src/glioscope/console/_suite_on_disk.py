"""The suite that answers, held against what lies on the disk: one that is swapped in mid-case is noticed."""

import hashlib
from pathlib import Path

from glioscope.core import InputError
from glioscope.runtime import Cascade

from ._status import SuiteStatus

SWAPPED = "the suite on disk has changed since the start: restart the console"


class SuiteOnDisk:
    """The suite as it was at the start.

    Parameters
    ----------
    folder : of the suite. cascade : that was loaded from it.

    Attributes
    ----------
    name : of the folder. data_kind : of the images on which it was trained.
    sha256 : of `suite.json` at the start, which holds the hashes of all bundles.

    Raises
    ------
    InputError : `suite.json` cannot be read.
    """

    def __init__(self, folder: Path, cascade: Cascade) -> None:
        self._path, self._signed_by = folder / "suite.json", cascade.signed_by or ""
        self.name, self.data_kind = folder.resolve().name, cascade.data_kind
        self._stamp = self._look()
        try:
            self.sha256 = self._hash()
        except OSError as error:
            raise InputError(f"{self._path}: cannot be read: {error.strerror}") from error
        self._found = self.sha256

    def changed(self) -> bool:
        """Whether another `suite.json` lies there now, or none; hashed only when its size, time or inode changes."""
        stamp = self._look()
        if stamp != self._stamp:
            try:
                self._found = self._hash()
            except OSError:
                self._found = ""
            self._stamp = stamp
        return self._found != self.sha256

    def status(self) -> SuiteStatus:
        """For the strip."""
        return SuiteStatus(self.name, self.sha256, self._signed_by, self.data_kind, self.changed())

    def _look(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _hash(self) -> str:
        return hashlib.sha256(self._path.read_bytes()).hexdigest()

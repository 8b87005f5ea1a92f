"""Keys: one for each case, wrapped under the store's master key, so that a case is erased by destroying 32 bytes.

- `master.key`: 32 random bytes, mode 0600 (or the file that GLIOSCOPE_MASTER_KEY names)
- `keys/store.secret`: what the audit key is derived from, wrapped; opens under this store's master key only
- `keys/ID.key`: the key of a case, wrapped
- `keys/ID.erased`: the case was erased; no key under this name will do again
"""

import os
import re
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from glioscope.core import InputError

MASTER_KEY_VARIABLE: Final = "GLIOSCOPE_MASTER_KEY"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_SEAL: Final = b"\x01"
"""First byte of all that is sealed: AES-256-GCM with a nonce of 96 bits. Another cipher would get another one."""
_PSEUDONYM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class CaseErased(InputError):  # noqa: N818
    """The key of the case was destroyed after consent was withdrawn; what it sealed can never be read again."""

    def __init__(self, case_id: str) -> None:
        self.case_id = case_id
        super().__init__(f"case {case_id} was erased")


class CaseKey:
    """AES-256-GCM (NIST SP 800-38D) under the key of one case; any number of threads may use it.

    Nonces are random, so a key is good for 2**32 messages (SP 800-38D, 8.3); a case has some thousands.
    """

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, data: bytes, context: str) -> bytes:
        """Encrypt `data`; the result is 29 bytes longer, and opens with the same `context` only."""
        nonce = os.urandom(_NONCE_BYTES)
        return _SEAL + nonce + self._cipher.encrypt(nonce, data, _SEAL + context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt what `seal` gave.

        Raises
        ------
        InputError : changed, cut off, sealed under another key or for another `context`.
        """
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        if sealed[:1] != _SEAL or len(body) < _TAG_BYTES:
            raise InputError(f"what was sealed as {context!r} is damaged: {len(sealed)} bytes that are no sealed data")
        try:
            return self._cipher.decrypt(nonce, body, _SEAL + context.encode())
        except InvalidTag as error:
            raise InputError(
                f"what was sealed as {context!r} does not open: it was changed, or belongs to another case"
            ) from error


class KeyRing:
    """The keys of a store. Nothing of a case's key is kept in memory here: erased by one program, erased for all.

    Parameters
    ----------
    folder : the store's folder, which holds `master.key` and `keys/`.
    create : make what a new store needs. An existing master key named by GLIOSCOPE_MASTER_KEY is used as it is.

    Attributes
    ----------
    audit_key : 32 bytes for the audit trail, derived by HKDF-SHA256 (RFC 5869) from the store's secret.
    master_file : where the master key lies.

    Raises
    ------
    InputError : no key, a key that others may read, of another length, or of another store.
    """

    def __init__(self, folder: Path, *, create: bool) -> None:
        self._folder = folder / "keys"
        self.master_file = Path(os.environ.get(MASTER_KEY_VARIABLE) or folder / "master.key")
        secret_file = self._folder / "store.secret"
        fresh = create and not secret_file.exists()
        if fresh:
            self._begin()
        self._master = CaseKey(_master_key(self.master_file))
        if fresh:
            _write_new(secret_file, self._master.seal(os.urandom(_KEY_BYTES), "store secret"))
        self.audit_key = HKDF(SHA256(), _KEY_BYTES, salt=None, info=b"glioscope audit trail").derive(
            self._store_secret(secret_file)
        )
        self._finish_erasures()

    def new_case(self, case_id: str) -> CaseKey:
        """Make and keep a key; it is on disk before this returns.

        Raises
        ------
        CaseErased : there was a case of this name, and it was erased.
        InputError : there is a key of this name, or it cannot be written (nothing of it stays).
        """
        check_pseudonym("case", case_id)
        if self._tombstone(case_id).exists():
            raise CaseErased(case_id)
        key = os.urandom(_KEY_BYTES)
        _write_new(self._file(case_id), self._master.seal(key, case_id))
        return CaseKey(key)

    def case(self, case_id: str) -> CaseKey:
        """Read the key of a case.

        Raises
        ------
        CaseErased : the case was erased.
        InputError : the key is missing or damaged.
        """
        check_pseudonym("case", case_id)
        if self._tombstone(case_id).exists():
            raise CaseErased(case_id)
        try:
            wrapped = self._file(case_id).read_bytes()
        except OSError as error:
            raise InputError(f"the key of case {case_id} cannot be read: {error.strerror}") from error
        try:
            return CaseKey(self._master.open(wrapped, case_id))
        except InputError as error:
            raise InputError(f"the key of case {case_id} was changed or belongs to another store") from error

    def erase(self, case_id: str) -> None:
        """Destroy the key of a case, now and after any crash; twice does no harm.

        The tombstone comes first: should the machine stop in between, the next start destroys the rest.
        """
        check_pseudonym("case", case_id)
        if not self._tombstone(case_id).exists():
            _write_new(self._tombstone(case_id), b"")
        self._destroy(case_id)

    def _file(self, case_id: str) -> Path:
        return self._folder / f"{case_id}.key"

    def _tombstone(self, case_id: str) -> Path:
        return self._folder / f"{case_id}.erased"

    def _destroy(self, case_id: str) -> None:
        path = self._file(case_id)
        try:
            if path.exists():
                with path.open("r+b") as stream:
                    stream.write(os.urandom(max(path.stat().st_size, _KEY_BYTES)))
                    stream.flush()
                    os.fsync(stream.fileno())
                path.unlink()
            sync_folder(self._folder)
        except OSError as error:
            raise InputError(f"the key of case {case_id} cannot be destroyed: {error.strerror}") from error

    def _finish_erasures(self) -> None:
        for tombstone in self._folder.glob("*.erased"):
            if self._file(tombstone.stem).exists():
                self._destroy(tombstone.stem)

    def _begin(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(self._folder.parent)
        except OSError as error:
            raise InputError(f"{self._folder} cannot be made: {error.strerror}") from error
        if not self.master_file.exists():
            _write_new(self.master_file, os.urandom(_KEY_BYTES))

    def _store_secret(self, path: Path) -> bytes:
        try:
            return self._master.open(path.read_bytes(), "store secret")
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}): restore it from a backup") from error
        except InputError as error:
            raise InputError(f"{self.master_file} is not the master key of this store") from error


def check_pseudonym(what: str, name: str) -> None:
    """Raise InputError unless `name` has the shape of `Pseudonym`; the name itself is not repeated.

    What does not fit may be a person's name, or a path that leads out of the store.
    """
    if not _PSEUDONYM.fullmatch(name):
        raise InputError(
            f"the name of the {what} ({len(name)} characters) is no pseudonym:"
            " 1 to 64 letters, digits, dots, hyphens and underscores, a letter or digit first"
        )


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk: after a power loss, a file is there only if its name was."""
    if os.name == "nt":
        return  # NTFS keeps names in its journal; a folder cannot be opened there
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _master_key(path: Path) -> bytes:
    try:
        mode, key = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        raise InputError(f"the master key {path} cannot be read: {error.strerror}") from error
    if os.name != "nt" and mode & 0o077:
        raise InputError(f"the master key {path} is open to others (mode {mode & 0o777:04o}): chmod 600 it")
    if len(key) != _KEY_BYTES:
        raise InputError(f"the master key {path} has {len(key)} bytes, {_KEY_BYTES} are needed")
    return key


def _write_new(path: Path, data: bytes) -> None:
    """Write a file that must not be there yet, readable by its owner only; on disk before this returns."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    except FileExistsError as error:
        raise InputError(f"{path} exists already") from error
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        sync_folder(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error.strerror}") from error

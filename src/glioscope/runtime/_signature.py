"""Sign a suite, and refuse one that no trusted key has signed.

`suite.json` holds the SHA-256 of each bundle's `SHA256SUMS`, which holds that of every file: so a signature of
`suite.json` covers all. `cryptography` is imported where it is used: it would delay every start by 50 ms.
"""

import base64
import hashlib
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from glioscope.core import BundleError, InputError, write_text

from ._files import load_suite_info, read_list

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE_NAME: Final = "suite.json.sig"
_PREFIX: Final = b"glioscope suite signature 1\n"
"""Domain separation: a signature by the same key of something else never fits a suite."""
_MAX_SIGNATURE_BYTES: Final = 4096
_MAX_KEY_BYTES: Final = 65_536
_MAX_KEYS: Final = 1000
_PUBLIC_PEM: Final = re.compile(rb"-----BEGIN PUBLIC KEY-----\s.*?-----END PUBLIC KEY-----", re.DOTALL)


class _Signature(BaseModel):
    """Contents of `suite.json.sig`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    algorithm: Literal["Ed25519"] = "Ed25519"
    key_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the 32 bytes of the public key."""
    signed_at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    """By the clock of the machine that signed; covered by the signature."""
    signature: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{86}==$")]
    """64 bytes in base64."""


def new_key() -> tuple[bytes, bytes]:
    """A new Ed25519 key pair: private (PKCS 8, without a passphrase) and public (SubjectPublicKeyInfo), both as PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, public


def write_key_pair(stem: Path) -> tuple[Path, Path]:
    """Write a new pair to STEM.pem (mode 0600) and STEM.pub.pem; gives both paths.

    Raises
    ------
    InputError : one of them exists already; nothing is written then.
    """
    private, public = stem.with_name(f"{stem.name}.pem"), stem.with_name(f"{stem.name}.pub.pem")
    for path in (private, public):
        if os.path.lexists(path):
            raise InputError(f"{path}: exists already; a key is never overwritten")
    stem.parent.mkdir(parents=True, exist_ok=True)
    contents = new_key()
    _write_new(private, contents[0], 0o600)
    try:
        _write_new(public, contents[1], 0o644)
    except BaseException:
        private.unlink()
        raise
    return private, public


def _write_new(path: Path, content: bytes, mode: int) -> None:
    # Made with its mode, and only where nothing stands: no moment at which another user could read or swap it.
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise InputError(f"{path}: exists already; a key is never overwritten") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        path.unlink()
        raise


def read_private_key(path: Path) -> bytes:
    """Content of a private key file.

    Raises
    ------
    InputError : no such file, or no Ed25519 key in PEM without a passphrase.
    """
    content = _read_key_file(path)
    try:
        _private(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return content


def sign_suite(suite: Path, private_key: bytes) -> Path:
    """Sign `suite.json` as it stands and write `suite.json.sig` beside it (replacing an earlier one).

    Only `suite.json` is looked at: check the suite before you sign it, as `glioscope sign` does.

    Parameters
    ----------
    suite : folder of the suite.
    private_key : PEM, as `new_key` gives it.

    Raises
    ------
    InputError : not an Ed25519 private key.
    BundleError : no suite here.
    """
    from cryptography.hazmat.primitives import serialization

    key = _private(private_key)
    content = _suite_json(suite)
    load_suite_info(suite)
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    signed_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    signature = key.sign(_message(content, signed_at))
    record = _Signature(
        key_id=hashlib.sha256(public).hexdigest(), signed_at=signed_at, signature=base64.b64encode(signature).decode()
    )
    write_text(suite / SIGNATURE_NAME, record.model_dump_json(indent=2) + "\n")
    return suite / SIGNATURE_NAME


def verify_suite(suite: Path, trusted: Sequence[bytes], *, content: bytes | None = None) -> str:
    """Check that one of the trusted keys has signed `suite.json`.

    Parameters
    ----------
    suite : folder of the suite.
    trusted : public keys as PEM (see `trusted_keys`); with none, every suite is refused.
    content : of `suite.json`, where it was read already: then what is verified is what is used.

    Returns
    -------
    The key's id: SHA-256 of the raw public key, 64 hexadecimal digits.

    Raises
    ------
    BundleError : not signed, signed by another key, the signature does not fit, a malformed or oversized file.
    InputError : a trusted key is not an Ed25519 public key.
    """
    from cryptography.exceptions import InvalidSignature

    keys = {key_id(pem): _public(pem) for pem in trusted}
    if content is None:
        content = _suite_json(suite)
    path = suite / SIGNATURE_NAME
    if not path.is_file():
        raise BundleError(f"{suite}: is not signed ({SIGNATURE_NAME} is missing); only signed suites are accepted here")
    record = _read_signature(path)
    if record.key_id not in keys:
        raise BundleError(f"{path}: signed by key {record.key_id[:16]}, which is none of the {len(keys)} trusted ones")
    try:
        keys[record.key_id].verify(base64.b64decode(record.signature), _message(content, record.signed_at))
    except InvalidSignature as error:
        raise BundleError(f"{path}: the signature does not fit suite.json, which was changed after signing") from error
    return record.key_id


def key_id(public_key: bytes) -> str:
    """SHA-256 of the raw public key in a PEM, as 64 hexadecimal digits.

    Raises
    ------
    InputError : not an Ed25519 public key.
    """
    from cryptography.hazmat.primitives import serialization

    raw = _public(public_key).public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()


def trusted_keys(path: Path) -> tuple[bytes, ...]:
    """Public keys of a PEM file (one or several), or of all `*.pem` files of a folder, each as PEM.

    Raises
    ------
    InputError : no such file or folder, no key in it, a private key, another kind of key, a limit passed.
    """
    files = sorted(path.glob("*.pem")) if path.is_dir() else [path]
    keys: list[bytes] = []
    for file in files:
        content = _read_key_file(file)
        if b"PRIVATE KEY" in content:
            raise InputError(f"{file}: holds a private key; only public keys (*.pub.pem) belong among the trusted ones")
        found = _PUBLIC_PEM.findall(content)
        if not found:
            raise InputError(f"{file}: holds no public key (PEM)")
        for pem in found:
            try:
                key_id(pem)
            except InputError as error:
                raise InputError(f"{file}: {error}") from None
        keys += found
    if not keys:
        raise InputError(f"{path}: holds no public key (*.pem)")
    if len(keys) > _MAX_KEYS:
        raise InputError(f"{path}: holds {len(keys)} keys, over the limit of {_MAX_KEYS}")
    return tuple(keys)


def _suite_json(suite: Path) -> bytes:
    path = suite / "suite.json"
    if not path.is_file():
        raise BundleError(f"{suite}: no suite here (suite.json is missing)")
    return read_list(path)


def _message(suite_json: bytes, signed_at: str) -> bytes:
    return _PREFIX + signed_at.encode() + b"\n" + suite_json


def _private(pem: bytes) -> "Ed25519PrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError("is not a private key in PEM without a passphrase") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError("is a private key of another kind, Ed25519 is needed")
    return key


def _public(pem: bytes) -> "Ed25519PublicKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError("is not a public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InputError("is a public key of another kind, Ed25519 is needed")
    return key


def _read_signature(path: Path) -> _Signature:
    with path.open("rb") as stream:
        content = stream.read(_MAX_SIGNATURE_BYTES + 1)
    if len(content) > _MAX_SIGNATURE_BYTES:
        raise BundleError(f"{path}: is over the limit of {_MAX_SIGNATURE_BYTES} bytes")
    try:
        return _Signature.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise BundleError(f"{path}: is not a signature of a suite: {where}{first['msg']}") from error


def _read_key_file(path: Path) -> bytes:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with path.open("rb") as stream:
        content = stream.read(_MAX_KEY_BYTES + 1)
    if len(content) > _MAX_KEY_BYTES:
        raise InputError(f"{path}: is over the limit of {_MAX_KEY_BYTES} bytes for a key file")
    return content

"""The files of a suite, read once, checked against their hashes, and parsed."""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from glioscope.core import BUNDLE_SCHEMA, BundleError, BundleInfo, SuiteInfo

Record = TypeVar("Record", BundleInfo, SuiteInfo)

_MAX_BUNDLE_BYTES = 1 << 30
_MAX_LIST_BYTES = 1_000_000
_MAX_LIST_LINES = 1000
"""Of `suite.json` and `SHA256SUMS`, which are read before any hash is known."""
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Names of bundles and of their files: nothing that leads to another folder."""


def load_suite_info(folder: Path, content: bytes | None = None) -> SuiteInfo:
    """Read `suite.json`, or take its `content` where that was read (and its signature checked) before.

    Raises
    ------
    BundleError : no such file, not a suite, another schema, a bundle outside the folder or without its hash.
    """
    path = folder / "suite.json"
    info = parse_record(read_suite_file(folder) if content is None else content, path, SuiteInfo)
    if not info.answers:
        raise BundleError(f"{path}: names no bundle that answers a task")
    for name in (*info.answers.values(), *info.bundles, *info.sha256):
        if not is_plain_name(name):
            raise BundleError(f"{path}: {name!r} is not a folder of the suite")
        if name not in info.sha256:
            raise BundleError(f"{path}: names bundle {name!r} without its hash")
    return info


def read_suite_file(folder: Path) -> bytes:
    """Content of `suite.json`.

    Raises
    ------
    BundleError : no such file, or far too long for one.
    """
    path = folder / "suite.json"
    if not path.is_file():
        inside = folder / "suite"
        hint = f"; did you mean {inside}?" if (inside / "suite.json").is_file() else ""
        raise BundleError(f"{folder}: no suite here (suite.json is missing){hint}")
    return read_list(path)


def verified_files(folder: Path, sums_sha256: str | None, needed: Iterable[str]) -> dict[str, bytes]:
    """Content of every file that `SHA256SUMS` lists, by name; what was hashed is what is returned.

    Raises
    ------
    BundleError : a file is missing, changed, too large, outside the folder, or one of `needed` is not listed.
    """
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        raise BundleError(f"{folder}: no bundle here (SHA256SUMS is missing)")
    text = read_list(sums)
    if sums_sha256 is not None and hashlib.sha256(text).hexdigest() != sums_sha256:
        raise BundleError(f"{sums}: is not the file that the suite was locked with")
    contents: dict[str, bytes] = {}
    for line in text.decode("utf-8", "replace").splitlines():
        expected, _, name = line.partition("  ")
        if not is_plain_name(name):
            raise BundleError(f"{sums}: line {line!r} does not name a file of the bundle")
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{path}: is missing from the bundle")
        size = path.stat().st_size
        if size + sum(map(len, contents.values())) > _MAX_BUNDLE_BYTES:
            raise BundleError(f"{path}: with its {size} bytes the bundle is over the limit of {_MAX_BUNDLE_BYTES}")
        contents[name] = path.read_bytes()
        if hashlib.sha256(contents[name]).hexdigest() != expected:
            raise BundleError(f"{path}: was changed after the bundle was locked (its SHA-256 differs)")
    require_listed(contents, needed, folder)
    return contents


def require_listed(contents: dict[str, bytes], names: Iterable[str], folder: Path) -> None:
    """Refuse a bundle whose `SHA256SUMS` leaves one of these files out.

    Raises
    ------
    BundleError : names the first.
    """
    for name in names:
        if name not in contents:
            raise BundleError(f"{folder / 'SHA256SUMS'}: does not list {name}")


def read_list(path: Path) -> bytes:
    """Content of a file that is short unless something is wrong with it.

    Raises
    ------
    BundleError : too long.
    """
    with path.open("rb") as stream:
        content = stream.read(_MAX_LIST_BYTES + 1)
    if len(content) > _MAX_LIST_BYTES:
        raise BundleError(f"{path}: is over the limit of {_MAX_LIST_BYTES} bytes")
    lines = content.count(b"\n")
    if lines > _MAX_LIST_LINES:
        raise BundleError(f"{path}: has {lines} lines, over the limit of {_MAX_LIST_LINES}")
    return content


def is_plain_name(name: str) -> bool:
    """Whether `name` is that of an entry of the folder itself: no separator, no "..", not hidden."""
    return _PLAIN_NAME.fullmatch(name) is not None


def parse_record(content: bytes, path: Path, kind: type[Record]) -> Record:
    """A record of `bundle.json` or `suite.json`.

    Raises
    ------
    BundleError : not JSON, another schema, fields that are missing, unknown or out of range.
    """
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: not JSON: {error}") from error
    found = raw.get("schema_version") if isinstance(raw, dict) else None
    if found != BUNDLE_SCHEMA:
        raise BundleError(f"{path}: has schema version {found}; this glioscope reads version {BUNDLE_SCHEMA}")
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BundleError(f"{path}: {where}: {first['msg']} ({error.error_count()} problems)") from error

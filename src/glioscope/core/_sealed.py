"""Results that are kept and trusted later: JSON with a schema version and a hash of the content."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from glioscope import RESEARCH_USE

from ._errors import InputError
from ._files import write_text

Result = TypeVar("Result")


def write_sealed(path: Path | str, name: str, result: Any, schema_version: int) -> None:
    """Write a dataclass, whole or not at all, under `name` in a JSON object with its version and hash."""
    content = json.loads(json.dumps(asdict(result), allow_nan=False))
    document: dict[str, Any] = {
        "schema_version": schema_version,
        "sha256": sha256_of_content(content),
        "notice": RESEARCH_USE,
    }
    document[name] = content
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def read_sealed(path: Path | str, name: str, kind: type[Result], schema_version: int, *, mend: str) -> Result:
    """Read what `write_sealed` wrote.

    Parameters
    ----------
    kind : the dataclass.
    mend : what to do about a changed file, for the error: "register again".

    Raises
    ------
    InputError : missing, no JSON, another schema, changed since it was written, or a value that cannot be.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: does not exist") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not a {name} file: {error}") from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != schema_version:
        raise InputError(f"{path}: schema_version is {version!r}, {schema_version} is needed")
    if name not in document:
        raise InputError(f"{path}: is not a {name} file")
    if document.get("sha256") != sha256_of_content(document[name]):
        raise InputError(f"{path}: was changed after it was written (its sha256 does not fit); {mend}")
    try:
        return TypeAdapter(kind).validate_python(document[name])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise InputError(f"{path}: {where}: {first['msg']}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def sha256_of_content(content: Any) -> str:
    """SHA-256 of plain JSON values, whatever the order of keys and the layout of the file."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

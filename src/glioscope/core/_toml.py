"""Settings files: TOML into a typed model, and what is wrong with one in a sentence."""

import difflib
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ._errors import InputError

Model = TypeVar("Model", bound=BaseModel)

_REASONS: Final = {
    "missing": "is missing",
    "model_type": "input should be a table of fields",
    "model_attributes_type": "input should be a table of fields",
    "too_short": "needs at least one entry",
    "tuple_type": "input should be a list",
}
"""Where the words of pydantic speak of Python types, which a TOML file does not have."""


def read_toml(path: Path | str, model: type[Model]) -> Model:
    """Read a TOML file into a model.

    Raises
    ------
    InputError : missing file, no TOML, a field that is unknown or wrong; one sentence names the file and the field.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not a TOML file: {error}") from error
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {_sentence(error.errors()[0], model)}") from error


def _sentence(error: ErrorDetails, root: type[BaseModel]) -> str:
    """What is wrong with which field; entries of a list are counted from 1."""
    *parents, name = error["loc"] or ("",)
    models, place = _models_at(root, parents)
    where = ".".join((*place, str(name + 1) if isinstance(name, int) else name))
    if error["type"] == "extra_forbidden":
        known = [field for model in models for field in model.model_fields]
        return f"{where!r} is not known; {_suggest(str(name), known)}"
    if error["type"] == "union_tag_not_found":
        return f"{where}: {_context(error, 'discriminator')} is missing"
    if error["type"] == "union_tag_invalid":
        tag, known = _context(error, "tag"), _context(error, "expected_tags").split(", ")
        return f"{where}.{_context(error, 'discriminator')}: {tag!r} is not known; {_suggest(tag, known)}"
    message = error["msg"].removeprefix("Value error, ")
    reason = _REASONS.get(error["type"], message[0].lower() + message[1:])
    shown = f", not {error['input']!r}" if isinstance(error["input"], str | int | float) else ""
    return f"{where}: {reason}{shown}" if where else reason


def _suggest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"give {', '.join(known)}"


def _context(error: ErrorDetails, key: str) -> str:
    return str(error.get("ctx", {}).get(key, "")).replace("'", "")


def _models_at(root: type[BaseModel], parents: Sequence[str | int]) -> tuple[list[type[BaseModel]], list[str]]:
    """The models that may describe a place in the file, and its name there: tags of a union are not written there."""
    models, place = [root], []
    for name in parents:
        if isinstance(name, int):
            place.append(str(name + 1))
            continue
        tagged = [model for model in models if name in _tags(model)]
        fields = [model.model_fields[name] for model in models if name in model.model_fields]
        if fields:
            models = [inner for field in fields for inner in _models_in(field.annotation)]
            place.append(name)
        elif tagged:
            models = tagged
        else:
            place.append(name)
    return models, place


def _tags(model: type[BaseModel]) -> set[Any]:
    """Values that tell this model from the others of its union, such as its `backend`."""
    return {value for field in model.model_fields.values() for value in get_args(field.annotation)}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)

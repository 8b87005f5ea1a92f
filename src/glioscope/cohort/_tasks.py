"""Tasks beyond the built-in ones, from a TOML file."""

import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from glioscope.core import BUILT_IN_TASKS, InputError, Task


def load_tasks(path: Path | str) -> dict[str, Task]:
    """Read tasks from a TOML file: `[[task]]` tables with a `name`, or `[tasks.NAME]` tables.

    Returns
    -------
    dict of name -> Task, in the order of the file.

    Raises
    ------
    InputError : missing file, no TOML, no task, a field that is wrong, a name that is built in or stands twice.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not a TOML file: {error}") from error
    found: dict[str, Task] = {}
    for entry in _entries(path, content):
        task = _task(path, entry)
        if task.name in BUILT_IN_TASKS:
            raise InputError(f"{path}: task {task.name!r} is built in; choose another name")
        if task.name in found:
            raise InputError(f"{path}: task {task.name!r} stands twice")
        found[task.name] = task
    if not found:
        raise InputError(f"{path}: has no task; give [[task]] tables or [tasks.NAME] tables")
    return found


def _entries(path: Path, content: dict[str, Any]) -> list[dict[str, Any]]:
    unknown = sorted(set(content) - {"task", "tasks"})
    if unknown:
        raise InputError(f"{path}: {unknown[0]!r} is not known; give [[task]] tables or [tasks.NAME] tables")
    listed, named = content.get("task", []), content.get("tasks", {})
    if not isinstance(listed, list) or not isinstance(named, dict):
        raise InputError(f"{path}: give [[task]] tables or [tasks.NAME] tables")
    entries = [*listed, *({"name": name, **_table(path, name, fields)} for name, fields in named.items())]
    for entry in entries:
        _table(path, "task", entry)
    return entries


def _table(path: Path, name: str, fields: Any) -> dict[str, Any]:
    if not isinstance(fields, dict):
        raise InputError(f"{path}: {name!r} is not a table of fields")
    return fields


def _task(path: Path, entry: dict[str, Any]) -> Task:
    try:
        return Task.model_validate(entry)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        name = entry.get("name", "without a name")
        reason = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{path}: task {name}: {where + ': ' if where else ''}{reason}") from error


def resolve_tasks(names: Iterable[str], toml: Path | str | None = None, ki67_cut_off: float = 10.0) -> dict[str, Task]:
    """The tasks of these names, built in or from a TOML file.

    Parameters
    ----------
    names : in the order wanted; a name that stands twice counts once.
    toml : file with more tasks, see `load_tasks`.
    ki67_cut_off : percent, above 0 and at most 100; the built-in `ki67` is positive at or above it.

    Raises
    ------
    InputError : unknown name, no name, a cut-off out of range, or a TOML file that is wrong.
    """
    if not 0 < ki67_cut_off <= 100:
        raise InputError(f"Ki-67 cut-off {ki67_cut_off:g} % is out of range; give above 0 and at most 100")
    known = dict(BUILT_IN_TASKS)
    if ki67_cut_off != known["ki67"].cut_off:
        names_of = {"positive_name": f"Ki-67 >= {ki67_cut_off:g} %", "negative_name": f"Ki-67 < {ki67_cut_off:g} %"}
        known["ki67"] = known["ki67"].model_copy(update={"cut_off": float(ki67_cut_off), **names_of})
    if toml is not None:
        known |= load_tasks(toml)
    chosen: dict[str, Task] = {}
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise InputError(f"task {name!r} is not known; there are {', '.join(known)}{hint}")
        chosen[name] = known[name]
    if not chosen:
        raise InputError(f"no task was named; there are {', '.join(known)}")
    return chosen

"""The few exceptions of the project. Each carries facts and reads as one sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class GlioscopeError(Exception):
    """Base of all errors that glioscope raises on purpose."""


class InputError(GlioscopeError):
    """Something the user gave is wrong. The command line prints the sentence and exits with 2."""


class ImageError(InputError):
    """One image cannot be used.

    Attributes
    ----------
    path : the file, or None when the pixels came from memory.
    reason : what is wrong, with the value and the limit.
    """

    def __init__(self, path: Path | str | None, reason: str) -> None:
        self.path = Path(path) if path is not None else None
        self.reason = reason
        super().__init__(f"{path}: {reason}" if path is not None else reason)


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding in a table: where, what was found, what would be right.

    `row` is the line number in the file as a spreadsheet shows it (the header is row 1), or None for the whole table.
    """

    row: int | None
    column: str | None
    value: str
    message: str

    def __str__(self) -> str:
        where = ", ".join(
            part for part in (f"row {self.row}" if self.row is not None else "", self.column or "") if part
        )
        shown = f" {self.value!r}" if self.value else ""
        return f"{where or 'table'}{':' if where else ''}{shown} {self.message}".strip()


class ManifestError(InputError):
    """A manifest with errors; `problems` holds all of them."""

    def __init__(self, path: Path | str, problems: Sequence[Problem]) -> None:
        self.path = Path(path)
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{path}: {self.problems[0]}" if count else f"{path}: unusable"
        super().__init__(head if count <= 1 else f"{head} (and {count - 1} more problems)")


class DeviceError(GlioscopeError):
    """A device of the imaging unit is missing, lost, or does not do what it was told.

    Attributes
    ----------
    device : its name in the unit.
    reason : what is wrong and what to look at, with the value and the limit.
    """

    def __init__(self, device: str, reason: str) -> None:
        self.device = device
        self.reason = reason
        super().__init__(f"{device}: {reason}")


class SplitError(InputError):
    """Patients cannot be divided as asked."""


class BundleError(InputError):
    """A model bundle or suite is incomplete, changed or of another version."""

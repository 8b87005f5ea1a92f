"""The case folder (contract 7): its names, its description, its tables and how their rows are written and read.

Every file is either replaced whole or only appended to, so that what a killed recorder leaves can be read. The layout
is in docs/case-folder.md.
"""

import json
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic_core
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from glioscope.core import Frame, InputError

from ._pairing import Slot

CASE_FILE = "case.json"
FRAME_TABLE = "frames.jsonl"
EVENTS, DEVICES, DIAGNOSES = "events.jsonl", "devices.jsonl", "diagnoses.jsonl"
TABLES = (EVENTS, DEVICES, DIAGNOSES)
CLOSED = "recording_closed"
"""Kind of the event that ends a recording; without it the recording was cut off or still goes on."""

SLOTS: tuple[Slot, ...] = ("fl", "wl")


class CaseInfo(BaseModel):
    """`case.json`: written once at the start, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    """Version of the folder's layout."""
    case_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    """Pseudonym of the case: letters, digits, dot, dash, underscore; never a name."""
    data_kind: Literal["real", "simulated"]
    """Whether cameras saw tissue or a simulation."""
    started: AwareDatetime
    """Wall-clock time of the start."""
    started_monotonic_s: float
    """The same moment on the monotonic clock that frames and rows refer to, in seconds."""
    unit: str = ""
    """Name of the imaging unit."""
    settings: dict[str, Any] = {}
    """Settings of the unit, as they were at the start."""
    frames_per_second: float | None = None
    """Nominal rate; None if unknown."""
    jpeg_quality: int = 95
    """Quality of the white-light pictures."""
    glioscope_version: str = ""
    """Version that recorded."""
    note: str = "Research use only."
    """For whoever opens the file."""


def read_case_info(folder: Path) -> CaseInfo:
    """Read `case.json`.

    Raises
    ------
    InputError : no case folder, not readable, or of another schema; names file and field.
    """
    path = folder / CASE_FILE
    try:
        return CaseInfo.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path}: does not exist, so {folder} is no case folder") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(f"{path}: {place}: {first['msg']}") from error


def _utc_text(value: datetime) -> str:
    if value.utcoffset() is None:
        raise ValueError("utc has no offset from UTC")
    return value.isoformat()


# How each field of a frame goes into JSON; numbers of NumPy become plain ones.
_PLAIN: Mapping[str, Callable[[Any], Any]] = {
    "camera": str,
    "sequence": operator.index,
    "monotonic_s": float,
    "utc": _utc_text,
    "white_level": operator.index,
    "exposure_ms": float,
    "gain": float,
    "laser_on": bool,
    "irradiance_mw_cm2": float,
    "distance_mm": float,
    "mm_per_px": float,
}
_FROM_JSON: Mapping[str, Callable[[Any], Any]] = {**_PLAIN, "utc": datetime.fromisoformat}


@dataclass(frozen=True, slots=True)
class FrameRow:
    """One row of a frame table: where the pixels are, and all that a frame says but its pixels.

    Attributes
    ----------
    file : relative to the case folder: an OME-Zarr (FL) or a stream of JPEGs (WL).
    place : index on the array's time axis (FL), offset in bytes (WL).
    size : bytes of the compressed picture, without its checksum.
    crc32c : of the compressed picture.
    rows, columns : of the picture, in pixels.
    facts : fields of `core.Frame`, without the pixels.
    """

    file: str
    place: int
    size: int
    crc32c: int
    rows: int
    columns: int
    facts: Mapping[str, Any]

    def frame(self, pixels: NDArray[Any]) -> Frame:
        """The frame with its pixels."""
        return Frame(pixels, **self.facts)

    def to_json(self) -> bytes:
        """The row as a line of JSON, newline included. Floats are exact; nan and infinities become strings."""
        row: dict[str, Any] = {name: getattr(self, name) for name in _PLACE}
        for name, value in self.facts.items():
            row[name] = _utc_text(value) if isinstance(value, datetime) else _finite(value)
        return json.dumps(row, allow_nan=False, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """A row of a table. Raises KeyError, TypeError or ValueError where the row is wrong."""
        facts = {name: None if row[name] is None else read(row[name]) for name, read in _FROM_JSON.items()}
        numbers = {name: operator.index(row[name]) for name in _PLACE if name != "file"}
        if min(numbers.values()) < 0:
            raise ValueError("a place or size is negative")
        return cls(file=str(row["file"]), facts=facts, **numbers)


_PLACE = ("file", "place", "size", "crc32c", "rows", "columns")


def facts_of(frame: Frame) -> dict[str, Any]:
    """All that a frame says but its pixels, in plain types.

    Raises
    ------
    ValueError, TypeError : a field of another type, or a UTC time without offset.
    """
    facts = {}
    for name, plain in _PLAIN.items():
        value = getattr(frame, name)
        if value is not None and name == "utc":
            _utc_text(value)
        elif value is not None:
            value = plain(value)
        facts[name] = value
    return facts


def _finite(value: Any) -> Any:
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


def to_line(row: Mapping[str, Any]) -> bytes:
    """A row of events, devices or diagnoses as a line of JSON, newline included; whatever JSON lacks becomes text."""
    try:
        line = pydantic_core.to_json(row, inf_nan_mode="strings", fallback=_as_plain)
    except (ValueError, TypeError, RecursionError) as error:  # such as half a surrogate pair in a text
        told = {"unwritable": ascii(row)[:2000], "error": str(error)}
        line = json.dumps({key: row[key] for key in ("monotonic_s", "utc", "kind") if key in row} | told).encode()
    return line + b"\n"


def _as_plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else str(value)


def read_table(path: Path) -> tuple[list[dict[str, Any]], bool]:
    """Rows of an append-only table, and whether a torn last line was left out.

    Raises
    ------
    InputError : missing, or a line before the last that is no JSON object; names file and line.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: does not exist, the case folder is incomplete") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    *lines, rest = data.split(b"\n")
    return list(_parsed(path, lines)), bool(rest)


def _parsed(path: Path, lines: Iterable[bytes]) -> Iterable[dict[str, Any]]:
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}: line {number} is damaged: {error}") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}: line {number} is no JSON object")
        yield row


def read_frame_table(path: Path) -> tuple[tuple[FrameRow, ...], bool]:
    """Rows of a frame table, and whether a torn last line was left out. Raises InputError with file and line."""
    found, torn = read_table(path)
    rows = []
    for number, row in enumerate(found, start=1):
        try:
            rows.append(FrameRow.from_json(row))
        except KeyError as error:
            raise InputError(f"{path}: line {number} has no {error}") from error
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: line {number}: {error}") from error
    return tuple(rows), torn

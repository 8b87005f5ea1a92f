"""Reading a table file as text cells with the row numbers that a spreadsheet shows."""

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from glioscope.core import ManifestError, Problem

SUFFIXES = (".csv", ".xlsx", ".parquet")


@dataclass(frozen=True, slots=True)
class RawTable:
    """A table as text. `rows` are (row number, one cell a column); blank rows are left out."""

    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    problems: tuple[Problem, ...] = ()


def read_table(path: Path) -> RawTable:
    """Read a .csv, .xlsx or .parquet file.

    Raises
    ------
    ManifestError : missing or unreadable file, not a table, no header, no rows, a column name that stands twice.
    """
    kind = path.suffix.lower()
    if not path.is_file():
        raise _unusable(path, "does not exist" if not path.exists() else "is not a file")
    if kind not in SUFFIXES:
        raise _unusable(path, f"has the suffix {kind or '(none)'}; a table is .csv, .xlsx or .parquet")
    if path.stat().st_size == 0:
        raise _unusable(path, "is empty (0 bytes)")
    try:
        cells = list({".csv": _csv, ".xlsx": _xlsx, ".parquet": _parquet}[kind](path))
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror or error}") from error
    return _checked(path, [(number, row) for number, row in cells if any(row)])


def _unusable(path: Path, message: str) -> ManifestError:
    return ManifestError(path, [Problem(None, None, "", message)])


def _checked(path: Path, cells: list[tuple[int, tuple[str, ...]]]) -> RawTable:
    if not cells:
        raise _unusable(path, "has no header and no rows")
    header = cells[0][1]
    while header and not header[-1]:
        header = header[:-1]
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise ManifestError(path, [Problem(cells[0][0], name, "", "stands twice in the header") for name in repeated])
    if "" in header:
        raise _unusable(path, f"has no name over column {header.index('') + 1}")
    if len(cells) == 1:
        raise _unusable(path, "has a header and no rows")
    rows, problems = [], []
    for number, row in cells[1:]:
        while len(row) > len(header) and not row[-1]:
            row = row[:-1]
        if len(row) != len(header):
            message = f"has {len(row)} cells and the header {len(header)}; is a comma inside a value not quoted?"
            problems.append(Problem(number, None, "", message))
        rows.append((number, (row + ("",) * len(header))[: len(header)]))
    return RawTable(header, tuple(rows), tuple(problems))


def _csv(path: Path) -> Iterable[tuple[int, tuple[str, ...]]]:
    data = path.read_bytes()
    if b"\x00" in data[:4096]:
        raise _unusable(path, "is not a text table (it has zero bytes); save it as CSV UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = data[: error.start].count(b"\n") + 1
        raise _unusable(path, f"is not UTF-8 text (byte {data[error.start]:#x} in line {where})") from None
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    try:
        records = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise _unusable(path, f"is not a CSV table: {error}") from error
    return [(number, tuple(cell.strip() for cell in row)) for number, row in enumerate(records, start=1)]


def _xlsx(path: Path) -> Iterable[tuple[int, tuple[str, ...]]]:
    import zipfile

    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, openpyxl.utils.exceptions.InvalidFileException) as error:
        raise _unusable(path, f"is not an Excel workbook: {error}") from error
    try:
        sheet = book["manifest"] if "manifest" in book.sheetnames else book.worksheets[0]
        return [(number, tuple(_shown(cell) for cell in row)) for number, row in enumerate(sheet.iter_rows(), start=1)]
    finally:
        book.close()


def _shown(cell: Any) -> str:
    """A cell as the spreadsheet shows it: 7 under the format "000" reads 007, and 0.12 under "0%" reads 12%."""
    text = as_text(cell.value)
    shape = str(getattr(cell, "number_format", "") or "")
    if "%" in shape and isinstance(cell.value, int | float):
        return f"{100 * cell.value:.12g}%"
    return text.zfill(len(shape)) if re.fullmatch("0+", shape) and text.isdigit() else text


def _parquet(path: Path) -> Iterable[tuple[int, tuple[str, ...]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
        raise _unusable(path, f"is not a Parquet file: {str(error).splitlines()[0]}") from error
    columns = [column.to_pylist() for column in table.columns]
    rows = [tuple(as_text(column[i]) for column in columns) for i in range(table.num_rows)]
    return [(1, tuple(str(name).strip() for name in table.column_names)), *enumerate(rows, start=2)]


def as_text(value: Any) -> str:
    """A typed cell as text; None and NaN are blank, 2.0 is "2", dates are ISO 8601."""
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return value.isoformat() if hasattr(value, "isoformat") else str(value).strip()

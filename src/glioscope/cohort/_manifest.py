"""The manifest (contract 1): read, check everything, and keep it as one typed table."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from glioscope.core import ManifestError, Problem, sha256_of

from ._checks import check_table
from ._columns import COLUMNS, DERIVED, nearest_column
from ._files import check_images, check_paths
from ._labels import grade_class
from ._table import RawTable, read_table

if TYPE_CHECKING:
    from glioscope.imaging import SpecimenSource

_REQUIRED = ("patient_id", "specimen_id")


@dataclass(frozen=True, eq=False)
class Cohort:
    """A manifest that was read and checked.

    Attributes
    ----------
    path : the manifest file. root : the resolved folder that its image paths start from.
    table : one row an image set. Every column of contract 1 is there, whether or not the manifest has it: text is ""
        where blank, numbers NaN or NA; `row` is the row number in a spreadsheet, `grade_class` is DLGG, GBM or "";
        other columns of the manifest follow as text.
    sha256 : of the manifest file. data_kind : "simulated", "real" or "unspecified".
    warnings : findings that do not stop anything. problems : errors, only with `on_error="keep"`.
    """

    path: Path
    root: Path
    table: pd.DataFrame = field(repr=False)
    sha256: str
    data_kind: str
    warnings: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()


def load_manifest(
    path: Path | str,
    *,
    check_pixels: bool = False,
    on_error: Literal["raise", "keep"] = "raise",
    progress: Callable[[int, int], None] | None = None,
) -> Cohort:
    """Read a manifest and find every problem in it at once.

    Parameters
    ----------
    path : .csv (UTF-8 with or without byte-order mark; comma, semicolon or tab), .xlsx (sheet `manifest`, else the
        first) or .parquet.
    check_pixels : decode every image, not only its header.
    on_error : "raise", or "keep": problems go into `Cohort.problems`, wrong values become blank, images that cannot
        be read stay listed, and rows without patient or specimen are left out. A file that is no table, or lacks
        required columns, raises all the same.
    progress : called with (images done, images in all).

    Raises
    ------
    ManifestError : with all problems.
    """
    path = Path(path)
    raw = read_table(path)
    problems, warnings = _check_header(path, raw)
    problems += raw.problems
    table, found = _typed(raw)
    problems += found
    table = _with_grade_class(table)
    found, noted = check_table(table)
    problems, warnings = problems + found, warnings + noted
    root = path.resolve().parent
    table, found = check_paths(table, root)
    problems += found
    found, noted = check_images(table, root, check_pixels=check_pixels, progress=progress or _silent)
    problems, warnings = problems + found, warnings + noted
    ordered = sorted(problems, key=lambda problem: problem.row or 0)
    if ordered and on_error == "raise":
        raise ManifestError(path, ordered)
    kinds = sorted(set(table["data_kind"]))
    kind = kinds[0] if len(kinds) == 1 and kinds[0] else "unspecified"
    return Cohort(path, root, table, sha256_of(path), kind, tuple(warnings), tuple(ordered))


def sources(cohort: Cohort) -> "list[SpecimenSource]":
    """What `imaging` needs to load each row's images; one for each row of `Cohort.table`, in its order."""
    from glioscope.imaging import SpecimenSource

    def image(text: str) -> Path | None:
        return cohort.root / text if text else None

    def number(value: float) -> float | None:
        return None if pd.isna(value) else float(value)

    return [
        SpecimenSource(
            specimen_id=str(row["specimen_id"]),
            fl_image=image(row["fl_image"]),
            wl_image=image(row["wl_image"]),
            framing=row["framing"],
            roi=parse_roi(row["roi"]),
            mm_per_px=number(row["mm_per_px"]),
            fl_exposure_ms=number(row["fl_exposure_ms"]),
            fl_gain=number(row["fl_gain"]),
            distance_mm=number(row["distance_mm"]),
            irradiance_mw_cm2=number(row["irradiance_mw_cm2"]),
            fl_dark=image(row["fl_dark"]),
            fl_flat=image(row["fl_flat"]),
        )
        for row in cohort.table.to_dict("records")
    ]


def parse_roi(text: str) -> tuple[int, int, int, int] | None:
    """The region "x,y,w,h" of `Cohort.table` as numbers; None where blank."""
    if not text:
        return None
    x, y, width, height = (int(part) for part in text.split(","))
    return x, y, width, height


def _silent(done: int, total: int) -> None:
    """Progress that nobody watches."""


def _check_header(path: Path, raw: RawTable) -> tuple[list[Problem], list[Problem]]:
    """Required columns (raises), reserved names (errors), near misses (warnings)."""
    extra = [name for name in raw.header if name not in COLUMNS]
    near = {name: nearest_column(name) for name in extra}
    missing = [
        Problem(None, wanted, "", f"is a required column that is missing{_hint(near, wanted)}")
        for wanted in _REQUIRED
        if wanted not in raw.header
    ]
    if "fl_image" not in raw.header and "wl_image" not in raw.header:
        hint = _hint(near, "fl_image") or _hint(near, "wl_image")
        missing.append(Problem(None, "fl_image, wl_image", "", f"are both missing; at least one is required{hint}"))
    if missing:
        raise ManifestError(path, missing)
    reserved = [
        Problem(1, name, "", "is a column that glioscope derives itself; remove or rename it")
        for name in extra
        if name in DERIVED
    ]
    warnings = [
        Problem(1, name, "", f"is kept as an extra column; did you mean {known!r}?")
        for name, known in near.items()
        if known is not None and known not in raw.header
    ]
    return reserved, warnings


def _hint(near: dict[str, str | None], wanted: str) -> str:
    written = next((name for name, known in near.items() if known == wanted), None)
    return f"; rename {written!r}?" if written else ""


def _typed(raw: RawTable) -> tuple[pd.DataFrame, list[Problem]]:
    """Parse every cell; a wrong one is a problem and becomes blank. Rows without an identifier are left out."""
    problems: list[Problem] = []
    kept = []
    where = {name: raw.header.index(name) for name in raw.header}
    for number, cells in raw.rows:
        blank = [name for name in _REQUIRED if not cells[where[name]]]
        problems += [Problem(number, name, "", "is blank; every row needs one") for name in blank]
        if not blank:
            kept.append((number, cells))
    columns: dict[str, pd.Series] = {"row": pd.Series([number for number, _ in kept], dtype="int64")}
    for name, column in COLUMNS.items():
        values: list[object] = []
        for number, cells in kept:
            text = cells[where[name]] if name in where else ""
            try:
                values.append(column.parse(text) if text else None)
            except ValueError as error:
                values.append(None)
                problems.append(Problem(number, name, text, str(error)))
        series = pd.Series(values, dtype="object" if column.dtype == "str" else column.dtype)
        columns[name] = series.fillna("").astype("str") if column.dtype == "str" else series
    columns["framing"] = columns["framing"].replace("", "cut")
    for name in raw.header:
        if name not in columns and name not in DERIVED:
            columns[name] = pd.Series([cells[where[name]] for _, cells in kept], dtype="str")
    return pd.DataFrame(columns), problems


def _with_grade_class(table: pd.DataFrame) -> pd.DataFrame:
    """Add `grade_class`, from what all rows of a specimen say together."""
    written = ["who_grade", "who_edition", "diagnosis", "idh"]
    whole = table[written].where(table[written] != "", None).groupby(table["specimen_id"]).transform("first").fillna("")
    classes = [grade_class(*map(str, values)) for values in whole.itertuples(index=False)]
    place = list(table.columns).index("data_kind") + 1
    result = table.copy()
    result.insert(place, "grade_class", pd.Series(classes, index=table.index, dtype="str"))
    return result

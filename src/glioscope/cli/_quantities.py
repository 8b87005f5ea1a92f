"""`quantities`: brightness of every specimen of a manifest against plate and excitation, as a table."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glioscope._terminal import out as terminal
from glioscope._terminal import progress, say
from glioscope.core import ImageError, InputError, atomic_file

from ._app import ManifestArgument, app

if TYPE_CHECKING:
    from glioscope.imaging import RegionQuantities, SpecimenSource

_MEASURED = (
    "signal_counts",
    "background_counts",
    "contrast_counts",
    "sbr",
    "cnr",
    "counts_per_ms",
    "counts_per_ms_mw_cm2",
    "contrast_per_ms_mw_cm2",
)
_KEPT = ("patient_id", "specimen_id", "image_id", "pathology", "fl_exposure_ms", "irradiance_mw_cm2", "data_kind")
COLUMNS = (
    *_KEPT,
    *(name for value in _MEASURED for name in (value, f"{value}_se")),
    "offset",
    "n_pixels",
    "n_background",
    "saturated_share",
    "background_saturated_share",
    "saturated",
    "problem",
)
"""Of the table, in order (docs/quantities.md)."""


@app.command()
def quantities(
    manifest: ManifestArgument,
    out: Annotated[Path, typer.Option(help="CSV file to write: one row a fluorescence image.")],
    offset_counts: Annotated[
        float | None,
        typer.Option("--offset-counts", help="Counts of the camera without light, for rows without fl_dark."),
    ] = None,
    gap_mm: Annotated[float, typer.Option(help="Plate nearer to the specimen than this is not background.")] = 0.5,
) -> None:
    """Signal-to-background (TBR), contrast-to-noise, and counts per ms and mW/cm2 of every specimen, as a table."""
    from glioscope.cohort import load_manifest, sources

    if out.suffix.lower() != ".csv":
        raise InputError(f"{out}: the table is written as CSV; give a name that ends in .csv")
    if not 0 <= gap_mm < 100:
        raise InputError(f"--gap-mm {gap_mm:g} is out of range; give 0 to 100")
    cohort = load_manifest(manifest)
    kept = cohort.table[list(_KEPT)].to_dict("records")
    pairs = [(row, source) for row, source in zip(kept, sources(cohort), strict=True) if source.fl_image is not None]
    if not pairs:
        raise InputError(f"{manifest}: no row has a fluorescence image")
    rows: list[dict[str, Any]] = []
    with progress("measuring") as advance:
        for number, (row, source) in enumerate(pairs, start=1):
            rows.append({**_written(row), **_measure(source, offset_counts, gap_mm)})
            advance(number, len(pairs))
    _write(out, rows)
    _summarise(out, rows, cohort.data_kind)


def _measure(source: "SpecimenSource", offset_counts: float | None, gap_mm: float) -> dict[str, Any]:
    from glioscope.imaging import open_specimen, quantify_specimen

    try:
        found = quantify_specimen(open_specimen(source), offset_counts=offset_counts, gap_mm=gap_mm)
    except (ImageError, InputError) as error:
        # A row that cannot be measured stays in the table and says why; the others are measured all the same.
        return {"problem": str(error)}
    return _cells(found)


def _cells(found: "RegionQuantities") -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name in _MEASURED:
        measured = getattr(found, name)
        if measured is not None:
            cells[name], cells[f"{name}_se"] = f"{measured.value:.6g}", f"{measured.standard_error:.3g}"
    return {
        **cells,
        "offset": found.offset,
        "n_pixels": found.n_pixels,
        "n_background": found.n_background,
        "saturated_share": f"{found.saturated_share:.4g}",
        "background_saturated_share": f"{found.background_saturated_share:.4g}",
        "saturated": "yes" if found.saturated else "no",
    }


def _written(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Cells of the manifest; a number that is unknown is blank."""
    return {str(name): "" if value != value else value for name, value in row.items()}


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _summarise(path: Path, rows: list[dict[str, Any]], data_kind: str) -> None:
    import numpy as np

    problems = [row for row in rows if row.get("problem")]
    unknown = sum(row.get("offset") == "unknown" for row in rows)
    terminal.print(f"{path}: {len(rows) - len(problems)} of {len(rows)} images measured ({data_kind})", soft_wrap=True)
    for label in ("tumor", "non-tumor"):
        for name in ("sbr", "cnr"):
            values = [float(row[name]) for row in rows if row["pathology"] == label and row.get(name)]
            if values:
                low, middle, high = np.percentile(values, (25, 50, 75))
                spread = f"{middle:.3g} (quartiles {low:.3g}, {high:.3g})"
                terminal.print(f"{label}: {name} {spread}, {len(values)} images", soft_wrap=True)
    if unknown:
        say("warning", "yellow", f"{unknown} images without fl_dark: no SBR; give --offset-counts (docs/quantities.md)")
    if problems:
        first = problems[0]
        say(
            "warning",
            "yellow",
            f"{len(problems)} images not measured, first {first['specimen_id']}: {first['problem']}",
        )

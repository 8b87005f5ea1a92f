"""Labels for specimen containers: a QR code that leads to the record, and nothing of the patient."""

from html import escape
from typing import Final

import segno

from glioscope.cases import Case, Specimen

from ._words import Words

WIDTH_MM: Final = 50.0
HEIGHT_MM: Final = 25.0
_QR_MM: Final = 22.0
_MARGIN_MM: Final = (HEIGHT_MM - _QR_MM) / 2
_QUIET: Final = 4
"""Modules of white round the code (ISO/IEC 18004)."""
_SHORT: Final = 8
"""Letters of a case's identifier on a label: enough to tell the cases of a day apart."""
_LETTERS: Final = "font-family='DejaVu Sans, Arial, sans-serif'"


def label_svg(specimen: Specimen, base_url: str, *, words: Words | None = None, simulated: bool = False) -> str:
    """A label of 50 x 25 mm: QR code with BASE_URL/specimens/ID, number, sector, and the beginning of the case's name.

    The code has error correction M (a seventh of it may be dirty; ISO/IEC 18004) and the quiet zone that it needs.
    Whoever scans it has to log in; the label itself holds no data of the patient.

    Parameters
    ----------
    base_url : of the console, as a tablet in the ward reaches it.
    simulated : print that word.
    """
    said = words or Words()
    sector = said["report.label.no_sector"]
    if specimen.sector is not None:
        sector = said("report.label.sector", sector=specimen.sector)
    case = specimen.case_id[:_SHORT]
    title = said("report.label.scan", number=specimen.number, case=case, sector=sector)
    link = f"{base_url.rstrip('/')}/specimens/{specimen.specimen_id}"
    x = _MARGIN_MM + _QR_MM + 1.5
    lines = [
        _line(x, 8.2, 5.4, said("report.label.number", number=specimen.number), bold=True),
        _line(x, 13.4, 3.6, sector),
        _line(x, 18.2, 2.7, said("report.label.case", case=case)),
        _line(x, 22.4, 2.2, said["report.label.simulated"] if simulated else "", bold=True),
    ]
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH_MM:g}mm' height='{HEIGHT_MM:g}mm' "
        f"viewBox='0 0 {WIDTH_MM:g} {HEIGHT_MM:g}'><title>{escape(title)}</title>"
        f"<rect width='{WIDTH_MM:g}' height='{HEIGHT_MM:g}' fill='#ffffff'/>"
        f"{_code(link)}{''.join(lines)}</svg>"
    )


def label_sheet_html(case: Case, base_url: str, words: Words) -> str:
    """All labels of a case that are not withdrawn, as one page to print at 100 %."""
    simulated = case.data_kind == "simulated"
    standing = [specimen for specimen in case.specimens if not specimen.withdrawn]
    drawn = [label_svg(specimen, base_url, words=words, simulated=simulated) for specimen in standing]
    labels = "".join(f"<div>{label}</div>" for label in drawn)
    title = escape(words("report.label.sheet", case=case.case_id[:_SHORT]))
    hint = escape(words["report.label.sheet_hint"])
    return (
        f"<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>{title}</title><style>"
        f"@page {{ size: A4; margin: 10mm }} body {{ margin: 0; font: 9pt Arial, sans-serif }} "
        f".sheet {{ display: grid; grid-template-columns: repeat(3, {WIDTH_MM:g}mm); gap: 3mm }} "
        f".sheet div {{ height: {HEIGHT_MM:g}mm; outline: 0.2mm dashed #999; break-inside: avoid }} "
        f".sheet svg {{ display: block }}</style></head><body><p>{title}. {hint}</p>"
        f"<div class='sheet'>{labels}</div></body></html>"
    )


def _code(link: str) -> str:
    """The code as one path of squares, moved to its place in millimetres."""
    rows = [bytes(row) for row in segno.make(link, error="m", micro=False).matrix_iter(border=_QUIET)]
    size = _QR_MM / len(rows)
    runs = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark)
    return (
        f"<path transform='translate({_MARGIN_MM:g} {_MARGIN_MM:g}) scale({size:.6g})' shape-rendering='crispEdges' "
        f"fill='#000000' d='{runs}'/>"
    )


def _line(x: float, y: float, size: float, said: str, *, bold: bool = False) -> str:
    weight = " font-weight='bold'" if bold else ""
    return f"<text x='{x:g}' y='{y:g}' font-size='{size:g}'{weight} {_LETTERS} fill='#000000'>{escape(said)}</text>"

"""What a report is made of: tables, figures and text in sections; how it is printed is none of its business.

Analyses fill a `Document`; `_tables` writes its tables as CSV, LaTeX and HTML, `_figures` its figures as SVG, PDF and
PNG, `_html` the whole as one page.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from glioscope.stats import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Plot


@dataclass(frozen=True, slots=True)
class PValue:
    """A P value as tables print it: "0.0123", "< 0.0001"; `smallest` is the least it could have been (0: no floor)."""

    value: float
    smallest: float = 0.0


Cell = str | int | float | Estimate | PValue | None
"""One cell: text, a count, a number, a value with its interval, a P value, or nothing."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table.

    `name` is the file name without suffix ("table-1-tumor-strict"); `title` is printed above, each of `notes` below.
    Every row has one cell a column. Columns named in `foldable` stand below the table in print where all of their cells
    are the same; the CSV has them always.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    foldable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: for print (matplotlib) and, where it is worth touching, for the screen (an Apache ECharts option).

    `name` is the file name without suffix ("figure-2a-roc"). `alt` tells a reader who cannot see it what it shows,
    with its numbers. `option` is plain JSON: no functions.
    """

    name: str
    title: str
    caption: str
    alt: str
    plot: "Plot"
    option: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report: `anchor` is its id in the page, `paragraphs` are plain text."""

    anchor: str
    title: str
    paragraphs: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report.

    `data_kind` is "simulated", "real" or "unspecified" and stands on every page. `warnings` say where the data cannot
    carry a claim; `facts` are (name, value) pairs of the head: counts, protocol, date, version.
    """

    title: str
    data_kind: str
    facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    sections: tuple[Section, ...] = field(default=())

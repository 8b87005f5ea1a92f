"""Tables of the report as files: CSV for computers, LaTeX for a manuscript, HTML for the page."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Final

from glioscope.core import InputError, write_text
from glioscope.stats import Estimate

from ._document import Cell, PValue, Table
from ._style import interval_text, p_text

DASH: Final = "–"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")
_LONG: Final = 28
"""A text of more letters is broken into lines."""
_TALL: Final = 30
"""A table of more rows may be broken between pages."""
_DENSE, _WIDE = 115, 155
"""Letters side by side: a table has normal print up to the first, small print up to the second, over it a page that
lies on its side."""
_NUMBER: Final = re.compile(r"Table \w+[.:]\s*")
_ALIGNMENT: Final = {"number": "r", "short": "l", "long": r"p{0.3\linewidth}", "solid": r"p{0.3\linewidth}"}
_LATEX: Final = str.maketrans(
    {
        **{letter: f"\\{letter}" for letter in "{}$&#_%"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        # A row that begins with one of these would be read as an argument of the line break above it.
        **{letter: f"{{{letter}}}" for letter in "[]*"},
        "–": r"\textendash{}",
        "−": "$-$",
        "∞": r"$\infty$",
        "≥": r"$\geq$",
        "≤": r"$\leq$",
        "×": r"$\times$",
        "±": r"$\pm$",
        "α": r"$\alpha$",
        "κ": r"$\kappa$",
        "µ": r"$\mu$",
        "μ": r"$\mu$",
        "²": r"$^2$",
    }
)


def cell_text(cell: Cell) -> str:
    """A cell as every printed form shows it.

    Proportions have 3 decimals, floats of 10 and more have 1, counts none, P values 4; a P value with a floor names it:
    "0.0156 (least 0.0156)". Missing values are an en dash.
    """
    match cell:
        case None:
            return DASH
        case str():
            return cell
        case Estimate():
            return interval_text(cell).replace("-", "−")
        case PValue():
            floor = f" (least {cell.smallest:.4f})" if cell.smallest > 0 and not math.isnan(cell.value) else ""
            return p_text(cell.value).removeprefix("P ").removeprefix("= ") + floor
        case int():
            return str(cell).replace("-", "−")
    return _float_text(cell)


def _float_text(value: float) -> str:
    if math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return (f"{value:z.3f}" if abs(value) < 10 else f"{value:.1f}").replace("-", "−")


def write_tables(tables: Iterable[Table], folder: Path | str) -> None:
    """Write NAME.csv, NAME.tex and NAME.html of every table into `folder`, each file atomically.

    Raises
    ------
    InputError : two tables of one name, a name that is no file name, a row that does not have one cell a column.
    OSError : the folder cannot be written.
    """
    tables = list(tables)
    check_names("table", [table.name for table in tables])
    for table in tables:
        write_text(Path(folder) / f"{table.name}.csv", table_csv(table))
        write_text(Path(folder) / f"{table.name}.tex", table_latex(table))
        write_text(Path(folder) / f"{table.name}.html", table_html(table))


def table_csv(table: Table) -> str:
    """The numbers at full precision, one header line.

    A column of estimates becomes `X`, `X_low`, `X_high`, `X_ci_method`, one of P values with a floor `X`, `X_smallest`.
    Missing values are blank.
    """
    parts = [part for name, cells in _columns(table) for part in _csv_columns(name, cells)]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([name for name, _ in parts])
    writer.writerows(zip(*(cells for _, cells in parts), strict=True))
    return stream.getvalue()


def table_latex(table: Table) -> str:
    r"""A `table` with a booktabs `tabular`, for `\input` into any document that uses the package booktabs."""
    table = _folded(table)
    columns = _columns(table)
    alignment = "".join(_ALIGNMENT[_kind(cells)] for _, cells in columns)
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\footnotesize",
        # LaTeX numbers tables itself.
        rf"\caption{{{_latex(_NUMBER.sub('', table.title, count=1))}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        _latex_row(table.columns),
        r"\midrule",
        *(_latex_row(map(cell_text, row)) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par {_latex(note)}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def table_html(table: Table) -> str:
    """The table as a fragment of HTML5; `data-sort` of a cell is what it sorts by, its tooltip how it was computed."""
    table = _folded(table)
    columns = _columns(table)
    kinds = [_kind(cells) for _, cells in columns]
    heads = "".join(
        f'<th scope="col" class="{kind}">{escape(name)}</th>' for name, kind in zip(table.columns, kinds, strict=True)
    )
    rows = "\n".join(f"<tr>{_html_row(row, kinds)}</tr>" for row in table.rows)
    notes = "".join(f"\n<p>{escape(note)}</p>" for note in table.notes)
    size = "wide" if is_wide(table) else "dense" if _letters(columns) > _DENSE else "normal"
    tall = " tall" if len(table.rows) > _TALL else ""
    return (
        f'<div class="table {size}{tall}" id="{table.name}">\n<table>\n<caption>{escape(table.title)}</caption>\n'
        f"<thead>\n<tr>{heads}</tr>\n</thead>\n<tbody>\n{rows}\n</tbody>\n</table>{notes}\n</div>\n"
    )


def is_wide(table: Table) -> bool:
    """Whether the table needs a page that lies on its side."""
    return _letters(_columns(_folded(table))) > _WIDE


def _folded(table: Table) -> Table:
    """The table as it is printed: foldable columns that say the same in every row are a note instead."""
    same = {
        name: cells[0]
        for name, cells in _columns(table)
        if name in table.foldable and cells and all(cell == cells[0] for cell in cells)
    }
    if not same:
        return table
    kept = [index for index, name in enumerate(table.columns) if name not in same]
    return replace(
        table,
        columns=tuple(table.columns[index] for index in kept),
        rows=tuple(tuple(row[index] for index in kept) for row in table.rows),
        notes=(f"In every row: {', '.join(f'{name} {cell_text(cell)}' for name, cell in same.items())}.", *table.notes),
        foldable=(),
    )


def check_names(kind: str, names: Sequence[str]) -> None:
    """Names of files and of parts of the page: letters, digits, dot, hyphen and underscore, each used once."""
    for name, count in Counter(names).items():
        if not _NAME.fullmatch(name):
            raise InputError(f"{kind} name {name!r} is not 1 to 120 letters, digits, dots, hyphens or underscores")
        if count > 1:
            raise InputError(f"{kind} name {name!r} is used {count} times; each needs a file of its own")


def _columns(table: Table) -> list[tuple[str, list[Cell]]]:
    for index, row in enumerate(table.rows):
        if len(row) != len(table.columns):
            raise InputError(f"table {table.name}: row {index} has {len(row)} cells for {len(table.columns)} columns")
    return [(name, [row[index] for row in table.rows]) for index, name in enumerate(table.columns)]


def _csv_columns(name: str, cells: list[Cell]) -> list[tuple[str, list[object]]]:
    columns: list[tuple[str, list[object]]] = [(name, [_value(cell) for cell in cells])]
    if any(isinstance(cell, Estimate) for cell in cells):
        estimates = [cell if isinstance(cell, Estimate) else Estimate(math.nan) for cell in cells]
        columns.append((f"{name}_low", [_value(estimate.low) for estimate in estimates]))
        columns.append((f"{name}_high", [_value(estimate.high) for estimate in estimates]))
        columns.append((f"{name}_ci_method", [estimate.method for estimate in estimates]))
    if any(isinstance(cell, PValue) and cell.smallest > 0 for cell in cells):
        columns.append((f"{name}_smallest", [cell.smallest if isinstance(cell, PValue) else None for cell in cells]))
    return columns


_FORMULA: Final = ("=", "+", "@", "\t")
"""How a text begins that a spreadsheet would run; a quote before it makes it text."""


def _value(cell: Cell) -> str | int | float | None:
    """The one number or text that a cell stands for; None where there is none."""
    value = cell.value if isinstance(cell, Estimate | PValue) else cell
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return None if isinstance(value, float) and math.isnan(value) else value


def _kind(cells: Iterable[Cell]) -> str:
    """What a column holds: "number" (with or without blanks), "short" texts, "long" ones, or "solid" ones.

    Solid texts have words that must be broken. They are kept apart, because working out a break after every letter
    takes WeasyPrint several seconds in a checklist.
    """
    texts = [cell for cell in cells if isinstance(cell, str)]
    if not texts:
        return "number"
    if max(map(len, texts)) <= _LONG:
        return "short"
    return "solid" if any(len(word) > _LONG for text in texts for word in text.split()) else "long"


def _letters(columns: Iterable[tuple[str, list[Cell]]]) -> int:
    """Width of the table in letters, where long texts are broken and heads too, after half of that."""
    widths = ((min(len(name), _LONG // 2), [len(cell_text(cell)) for cell in cells]) for name, cells in columns)
    return sum(2 + max(head, min(max(body, default=0), _LONG)) for head, body in widths)


def _latex(text: str) -> str:
    # Two hyphens in a row would be set as one dash.
    return " ".join(text.split()).translate(_LATEX).replace("--", "-{}-")


def _latex_row(texts: Iterable[str]) -> str:
    return " & ".join(map(_latex, texts)) + r" \\"


def _html_row(row: Sequence[Cell], kinds: Sequence[str]) -> str:
    cells = [
        f' class="{kind}"{_attributes(cell)}>{escape(cell_text(cell))}' for cell, kind in zip(row, kinds, strict=True)
    ]
    return f'<th scope="row"{cells[0]}</th>' + "".join(f"<td{cell}</td>" for cell in cells[1:])


def _attributes(cell: Cell) -> str:
    """What the cell sorts by (blank: last) and, for an estimate, how it was computed."""
    if isinstance(cell, str):
        return ""
    value = _value(cell)
    key = "" if value is None else str(value).replace("inf", "Infinity")
    return f' data-sort="{key}"{_tooltip(cell)}'


def _tooltip(cell: Cell) -> str:
    if not isinstance(cell, Estimate):
        return ""
    parts = (
        cell.method,
        f"{cell.n_resamples} resamples" if cell.n_resamples else "",
        f"{cell.n_groups} patients" if cell.n_groups else "",
        cell.note,
    )
    text = ", ".join(part for part in parts if part)
    return f' title="{escape(text)}"' if text else ""

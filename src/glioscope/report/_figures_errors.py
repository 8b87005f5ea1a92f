"""Figures of errors: what the model corrects and introduces against each reader, and where pathologists differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot

from glioscope.core import InputError
from glioscope.stats import ErrorTable, Estimate

from ._document import Figure
from ._echarts import Json, chart, value_axis
from ._style import (
    CHARACTER,
    INK,
    LINE,
    MUTED,
    PAGE,
    PALE,
    PALETTE,
    canvas,
    draw_key,
    filled,
    interval_text,
    journal,
    wrapped,
)

# The reader's errors lie side by side (corrected, both wrong), and so do the model's (both wrong, introduced).
_OUTCOMES: Final = {
    "both_right": ("both right", (PALE, "")),
    "corrected": ("corrected by the model", (PALETTE[2], "////")),
    "both_wrong": ("both wrong", (MUTED, "")),
    "introduced": ("introduced by the model", (PALETTE[1], "xxxx")),
}
_COLUMN: Final = 1.15
"""Width in inches of the columns of numbers beside the bars."""
_LONGEST: Final = 36
"""Characters of a reader's name that are printed."""
_MOST_PAIRS: Final = 12
_PANEL: Final = PAGE / 3
_PANEL_HEIGHT: Final = 2.45
_TABLE: Final = 1.65
"""Inches of a panel with its margins, and of its table's sides."""
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ReaderErrors:
    """A reader's errors with one modality ("FL", "WL") beside the model's (`a` of the table)."""

    reader: str
    modality: str
    errors: ErrorTable

    @property
    def label(self) -> str:
        """Reader and modality as the figure names them."""
        return f"{self.reader} ({self.modality})"


@dataclass(frozen=True, slots=True)
class RaterPair:
    """Two raters of the same specimens.

    `counts[i][j]` are specimens that `first` gave level i and `second` level j.
    """

    first: str
    second: str
    counts: tuple[tuple[int, ...], ...]
    kappa: Estimate


def errors_matrix(readers: Sequence[ReaderErrors], caption: str, *, name: str = "figure-s4-errors") -> Figure:
    """Whose errors the model corrects and which it introduces, one bar a reader and modality (the paper's Fig. S4).

    Raises
    ------
    InputError : no reader, or one without specimens.
    """
    if not readers:
        raise InputError("there are no readers to compare with the model")
    for row in readers:
        if row.errors.n <= 0:
            raise InputError(f"{row.label} has {row.errors.n} specimens; at least 1 is needed")
    with journal():
        plot = _draw_errors(readers)
    words = [
        f"{row.label}: corrected {_corrected(row.errors)}, introduced {_introduced(row.errors)}, "
        f"both right {row.errors.both_right}, both wrong {row.errors.both_wrong}"
        for row in readers
    ]
    note = "Corrected: of the reader's errors. Introduced: of what the reader has right."
    title = "Errors corrected and introduced by the model"
    return Figure(name, title, f"{caption} {note}".strip(), f"{'. '.join(words)}.", plot, _errors_option(readers))


def _corrected(errors: ErrorTable) -> str:
    return _of(errors.corrected, errors.corrected + errors.both_wrong)


def _introduced(errors: ErrorTable) -> str:
    return _of(errors.introduced, errors.introduced + errors.both_right)


def _of(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.0f} %)" if whole else "0 of 0"


def _draw_errors(readers: Sequence[ReaderErrors]) -> Plot:
    height = 0.1 + LINE * (2.7 + 1.3 * len(readers))
    plot, axes = canvas(PAGE, height)
    labels = [row.label if len(row.label) <= _LONGEST else f"{row.label[: _LONGEST - 1]}…" for row in readers]
    left = CHARACTER * max(map(len, labels)) + 0.15
    right = PAGE - 2 * _COLUMN
    top = draw_key(axes, _OUTCOMES.values(), 0.05, 0.05) + 0.3 * LINE
    for x, head in ((right, "corrected"), (right + _COLUMN, "introduced")):
        axes.text(x + 0.1, top + LINE / 2, head, va="center", weight="bold", fontsize=7)
    tops = [top + LINE * (1 + 1.3 * index) for index in range(len(readers))]
    write = partial(axes.text, va="center", fontsize=7)
    for row, label, y in zip(readers, labels, tops, strict=True):
        write(left - 0.08, y + LINE / 2, label, ha="right")
        write(right + 0.1, y + LINE / 2, _corrected(row.errors))
        write(right + _COLUMN + 0.1, y + LINE / 2, _introduced(row.errors))
    _draw_outcomes(axes, [row.errors for row in readers], left, right, tops)
    return plot


def _draw_outcomes(axes: Axes, tables: Sequence[ErrorTable], left: float, right: float, tops: Sequence[float]) -> None:
    """A bar from `left` to `right` for every table; a number where its part has room for it."""
    start = np.full(len(tables), left)
    for field, (_, fill) in _OUTCOMES.items():
        counts = [getattr(errors, field) for errors in tables]
        widths = np.array([count / errors.n for count, errors in zip(counts, tables, strict=True)]) * (right - left)
        axes.add_patch(filled(np.column_stack([start, tops, widths, np.full(len(tables), LINE)]), fill))
        box = {"facecolor": fill[0], "edgecolor": "none", "pad": 1} if fill[1] else None
        write = partial(axes.text, ha="center", va="center", fontsize=7, bbox=box)
        for count, x, y, width in zip(counts, start.tolist(), tops, widths.tolist(), strict=True):
            if width > CHARACTER * (len(str(count)) + 0.5):
                write(x + width / 2, y + LINE / 2, str(count), color=INK if fill[0] == PALE else "white")
        start = start + widths


def _errors_option(readers: Sequence[ReaderErrors]) -> Json:
    series = [
        {
            "type": "bar",
            "name": text,
            "stack": "specimens",
            "data": [getattr(row.errors, field) for row in readers],
            "itemStyle": {"color": fill[0]},
        }
        for field, (text, fill) in _OUTCOMES.items()
    ]
    return chart(
        series,
        [text for text, _ in _OUTCOMES.values()],
        grid={"left": 8, "right": 24, "top": 8, "bottom": 64, "containLabel": True},
        tooltip={"trigger": "axis", "axisPointer": {"type": "shadow"}, "confine": True},
        xAxis=value_axis("specimens", high=None),
        yAxis={"type": "category", "inverse": True, "data": [row.label for row in readers]},
    )


def agreement(
    pairs: Sequence[RaterPair], levels: Sequence[str], caption: str, *, name: str = "figure-agreement"
) -> Figure:
    """Where pathologists differ: a confusion matrix for each pair, with its kappa.

    Parameters
    ----------
    levels : names of the K levels ("I" to "IV"), from lowest to highest.

    Raises
    ------
    InputError : no pair or more than twelve, or counts that are not K x K numbers of 0 or more.
    """
    if not 1 <= len(pairs) <= _MOST_PAIRS:
        raise InputError(f"{len(pairs)} pairs of raters; a figure shows 1 to {_MOST_PAIRS}")
    tables = [_as_table(pair, len(levels)) for pair in pairs]
    columns = min(3, len(pairs))
    with journal():
        plot, axes = canvas(_PANEL * columns, _PANEL_HEIGHT * -(-len(pairs) // columns))
        for place, (pair, table) in enumerate(zip(pairs, tables, strict=True)):
            row, column = divmod(place, columns)
            _draw_table(axes, pair, table, levels, (_PANEL * column + 0.6, _PANEL_HEIGHT * row + 0.25))
    words = [
        f"{pair.first} and {pair.second}: κ {interval_text(pair.kappa)}, "
        f"the same level for {np.trace(table)} of {table.sum()} specimens"
        for pair, table in zip(pairs, tables, strict=True)
    ]
    return Figure(name, "Agreement between pathologists", caption, f"{'. '.join(words)}.", plot)


def _as_table(pair: RaterPair, size: int) -> Counts:
    table = np.array(pair.counts, dtype=np.int64)
    if table.shape != (size, size) or table.min() < 0:
        raise InputError(f"{pair.first} and {pair.second} need {size} x {size} counts of 0 or more; got {pair.counts}")
    return table


def _draw_table(axes: Axes, pair: RaterPair, table: Counts, levels: Sequence[str], corner: tuple[float, float]) -> None:
    """One matrix whose upper left cell begins at `corner`, in inches."""
    left, top = corner
    edges = np.linspace(0, _TABLE, len(levels) + 1)
    highest = max(int(table.max()), 1)
    axes.pcolormesh(left + edges, top + edges, table, cmap="Blues", vmin=0, vmax=highest)
    middles = (edges[:-1] + edges[1:]) / 2
    write = partial(axes.text, va="center", ha="center", fontsize=7)
    for (i, j), count in np.ndenumerate(table):
        write(
            left + float(middles[j]),
            top + float(middles[i]),
            str(count),
            color="white" if count > 0.6 * highest else INK,
        )
    for level, middle in zip(levels, middles.tolist(), strict=True):
        write(left + middle, top + _TABLE + LINE / 2, level)
        write(left - 0.06, top + middle, level, ha="right")
    half = top + _TABLE / 2
    write(left + _TABLE / 2, top - 0.12, f"κ {interval_text(pair.kappa)}", fontsize=8)
    write(left + _TABLE / 2, top + _TABLE + 1.1 * LINE, wrapped(pair.second), va="top")
    write(left - 0.42, half, wrapped(pair.first), rotation=90)

"""How figures look: a palette that colour-blind readers and grey printers can tell apart, sizes of a journal page."""

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure as Plot
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from glioscope.core import InputError
from glioscope.stats import Estimate

# Okabe and Ito 2008, in an order of falling darkness steps so that neighbours differ in grey as well.
PALETTE: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
LINES: Final = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
NEGATIVE: Final = "#56B4E9"
POSITIVE: Final = "#D55E00"
MUTED: Final = "#767676"
PALE: Final = "#E4E4E4"
INK: Final = "#262626"

COLUMN: Final = 3.35
"""Width of one text column in inches (85 mm)."""
PAGE: Final = 6.9
"""Width of the text of an A4 page in inches (175 mm)."""
LEGEND: Final = 52
"""Letters that fit on one line of a legend under a column."""
TALLEST: Final = 9.2
"""Height in inches that a figure may take of an A4 page, so that its caption still fits."""
LINE: Final = 0.17
"""Height of a line of text in inches."""
CHARACTER: Final = 0.062
"""Width of a character of 7 points in inches, on the safe side: for layouts that cannot ask a renderer."""

RC: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.4,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "svg.hashsalt": "glioscope",
    "figure.constrained_layout.use": True,
}


@contextmanager
def journal() -> Iterator[None]:
    """Draw inside this context: fonts, sizes and lines of the report."""
    with mpl.rc_context(RC):
        yield


def new_plot(width: float = COLUMN, height: float = 3.0) -> Plot:
    """An empty figure of this size in inches; no pyplot, so nothing stays in memory and no display is needed."""
    return Plot(figsize=(width, height))


def canvas(width: float, height: float) -> tuple[Plot, Axes]:
    """A figure for diagrams, whose one axes has inches from the top left corner as its coordinates.

    So text, which has a fixed size, keeps its distance from everything whatever the data.
    """
    plot = Plot(figsize=(width, height))
    plot.set_layout_engine("none")
    axes = plot.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return plot, axes


@dataclass(frozen=True, slots=True)
class Look:
    """How one method looks: a colour, and a line, marker and hatch for eyes and printers that do not see it.

    `line`, `marker` and `hatch` are matplotlib's words; `dash` and `symbol` are the same for ECharts.
    """

    color: str
    line: Any
    marker: str
    hatch: str
    dash: str | list[int]
    symbol: str


_DASHES: Final[tuple[str | list[int], ...]] = (
    "solid",
    "dashed",
    [8, 3, 2, 3],
    "dotted",
    [10, 2],
    [6, 2, 2, 2, 2, 2],
    [2, 2],
)
_HATCHES: Final = ("", "////", "..", "xxxx", "----", "\\\\\\\\", "++++")
_SYMBOLS: Final = ("circle", "rect", "triangle", "diamond", "arrow", "pin", "roundRect")
_LOOKS: Final = tuple(map(Look, PALETTE, LINES, MARKERS, _HATCHES, _DASHES, _SYMBOLS))


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """A look for every method, in this order: the same order gives the same looks in every figure.

    Raises
    ------
    InputError : no method, or more than seven.
    """
    names = tuple(dict.fromkeys(methods))
    if not 1 <= len(names) <= len(_LOOKS):
        raise InputError(f"a figure of {len(names)} methods cannot be drawn; it shows 1 to {len(_LOOKS)}")
    return dict(zip(names, _LOOKS, strict=False))


def method_handles(methods: Mapping[str, str], styles: Mapping[str, Look], *, markers: bool = False) -> list[Line2D]:
    """What the legend under a column says of each method: its line, its name and a text."""
    handles = []
    for method, text in methods.items():
        look, label = styles[method], wrapped(f"{method}: {text}" if text else method, LEGEND)
        handles.append(Line2D([], [], color=look.color, linestyle=look.line, markersize=4, label=label))
        handles[-1].set_marker(look.marker if markers else "")
    return handles


def legend_height(handles: Iterable[Artist]) -> float:
    """Height in inches of a legend of one column."""
    return LINE * sum(str(handle.get_label()).count("\n") + 1 for handle in handles)


def wrapped(name: str, width: int = 30) -> str:
    """A long name on several lines."""
    return textwrap.fill(name, width)


def rate_ends(values: Iterable[float]) -> tuple[float, float]:
    """Ends of an axis of rates: from the tenth below the lowest finite value, 0.8 at the most, to a little over 1."""
    lowest = min([1.0, *(value for value in values if math.isfinite(value))])
    return min(0.8, math.floor(lowest * 10) / 10) - 0.02, 1.02


def interval_text(estimate: Estimate) -> str:
    """As in "0.945 (0.925, 0.960)"; no brackets where there is no interval, an en dash where there is no value."""
    if not math.isfinite(estimate.value):
        return "–"
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f}, {estimate.high:.3f})"


def p_text(pvalue: float) -> str:
    """As the paper's figures print it: "P = 0.0123" or "P < 0.0001"; "P –" where there is none."""
    if math.isnan(pvalue):
        return "P –"
    return "P < 0.0001" if pvalue < 0.0001 else f"P = {pvalue:.4f}"


def class_fills(count: int) -> list[tuple[str, str]]:
    """Colour and hatch of `count` classes from lowest to highest; of three or more, from light to dark."""
    if count <= 2:
        return [(NEGATIVE, ""), (POSITIVE, "////")][:count]
    ramp = mpl.colormaps["cividis_r"]
    return [(to_hex(ramp(0.05 + 0.85 * i / (count - 1))), _HATCHES[i % len(_HATCHES)]) for i in range(count)]


def filled(boxes: npt.ArrayLike, fill: tuple[str, str], **parts: Any) -> PathPatch:
    """Rectangles (n, 4: x, y, width, height) of one colour and hatch: one patch, as Agg pays for hatches by patch."""
    x, y, width, height = np.asarray(boxes, dtype=np.float64).T
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    outline = Path.make_compound_path_from_polys(np.array(corners).transpose(2, 0, 1))
    return PathPatch(outline, facecolor=fill[0], hatch=fill[1], edgecolor="white", linewidth=0.6, **parts)


def draw_key(axes: Axes, entries: Iterable[tuple[str, tuple[str, str]]], left: float, top: float) -> float:
    """On a `canvas`, a swatch and a name for every fill, on as many lines as it takes; the y below them in inches."""
    x = left
    for label, fill in entries:
        width = CHARACTER * len(label) + 0.5
        if x > left and x + width > PAGE:
            x, top = left, top + LINE
        axes.add_patch(filled([(x, top + 0.03, 0.22, LINE - 0.06)], fill))
        axes.text(x + 0.28, top + LINE / 2, label, va="center", fontsize=7)
        x += width
    return top + LINE

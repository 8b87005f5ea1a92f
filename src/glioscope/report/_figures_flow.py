"""Figure of the cascade: every specimen from what it is, through what each network answered, to the end."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from glioscope.core import InputError

from ._document import Figure
from ._echarts import Json, chart
from ._style import CHARACTER, INK, MUTED, NEGATIVE, PAGE, POSITIVE, canvas, journal, wrapped

_GAP: Final = 0.3
"""Inches between the nodes of a column: two lines of text, so that labels of empty nodes do not touch."""
_BODY: Final = 2.3
"""Inches that all specimens together are high."""
_HEAD: Final = 0.45
_NODE: Final = 0.1
_LABELS: Final = 1.45
"""Inches to the right of the last column."""
Node = tuple[int, str]
"""A column and one of its answers."""


@dataclass(frozen=True, slots=True)
class FlowColumn:
    """One step: its title and its answers from top to bottom."""

    title: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FlowPath:
    """Specimens that took the same path: their answer in each column, None from where they were asked no further."""

    answers: tuple[str | None, ...]
    specimens: int


@dataclass(frozen=True, slots=True)
class Ribbon:
    """Specimens of one `origin` (answer of the first column) that go from an answer of `column` to one of the next.

    Answers are given by their place in their column. `start` and `end` are the specimens above the ribbon at the node
    where it leaves and at the one where it arrives.
    """

    column: int
    source: int
    target: int
    origin: int
    specimens: int
    start: int
    end: int


def cascade_flow(
    columns: Sequence[FlowColumn], paths: Sequence[FlowPath], caption: str, *, name: str = "figure-cascade"
) -> Figure:
    """How specimens go through the cascade, in the colour of what they are (the first column).

    Every specimen is one path, so what flows into an answer is what it holds. Specimens asked by two networks side by
    side (grade, Ki-67) go through both columns one after the other.

    Parameters
    ----------
    columns : the reference standard first, then one a network.
    paths : joint counts; paths that occur twice are added up.

    Raises
    ------
    InputError : fewer than two columns, an answer that its column lacks, a path that goes on after None, a negative
        count, or no specimens at all.
    """
    held = _held(columns, paths)
    origins = columns[0].answers
    words = [
        f"{column.title}: {', '.join(_in_words(answer, held[i, answer], origins, i) for answer in column.answers)}"
        for i, column in enumerate(columns)
    ]
    flows = ribbons(columns, paths)
    with journal():
        plot = _draw(columns, held, flows)
    note = f"Colour: {columns[0].title}. Below each answer: its specimens as {', '.join(origins)}."
    title = "Specimens through the cascade"
    return Figure(name, title, f"{caption} {note}".strip(), f"{'. '.join(words)}.", plot, _option(columns, held, flows))


def ribbons(columns: Sequence[FlowColumn], paths: Iterable[FlowPath]) -> list[Ribbon]:
    """What flows between neighbouring columns, stacked in the order of the answers so that few ribbons cross."""
    flows: Counter[tuple[int, int, int, int]] = Counter()
    for path in (path for path in paths if path.specimens):
        places = [
            c.answers.index(answer) for c, answer in zip(columns, path.answers, strict=True) if answer is not None
        ]
        for column, (source, target) in enumerate(pairwise(places)):
            flows[column, source, target, places[0]] += path.specimens
    left: Counter[tuple[int, int]] = Counter()
    arrived: Counter[tuple[int, int]] = Counter()
    stacked = []
    for (column, source, target, origin), specimens in sorted(flows.items()):
        start, end = left[column, source], arrived[column, target]
        stacked.append(Ribbon(column, source, target, origin, specimens, start, end))
        left[column, source] += specimens
        arrived[column, target] += specimens
    return stacked


def _held(columns: Sequence[FlowColumn], paths: Sequence[FlowPath]) -> dict[Node, Counter[str]]:
    """Specimens at every node by the answer of the first column; 0 where no path goes."""
    if len(columns) < 2:
        raise InputError(f"a flow of {len(columns)} columns cannot be drawn; it needs at least 2")
    held: dict[Node, Counter[str]] = {(i, answer): Counter() for i, c in enumerate(columns) for answer in c.answers}
    for path in paths:
        asked = [answer for answer in path.answers if answer is not None]
        if len(path.answers) != len(columns) or tuple(asked) != path.answers[: len(asked)] or not asked:
            raise InputError(f"path {path.answers} must have {len(columns)} answers, with None only at its end")
        if path.specimens < 0:
            raise InputError(f"path {path.answers} has {path.specimens} specimens; it must be 0 or more")
        for column, answer in enumerate(asked):
            if (column, answer) not in held:
                raise InputError(f"{columns[column].title} has no answer {answer!r}")
            held[column, answer][asked[0]] += path.specimens
    if not any(counter.total() for counter in held.values()):
        raise InputError("no specimens flow through the cascade")
    return held


def _in_words(answer: str, counter: Counter[str], origins: Sequence[str], column: int) -> str:
    parts = ", ".join(f"{counter[origin]} {origin}" for origin in origins if counter[origin])
    return f"{answer} {counter.total()}" + (f" ({parts})" if column and parts else "")


def _fills(origins: Sequence[str]) -> list[tuple[str, str]]:
    """Colour and hatch of what specimens are: the first two answers, and grey for those after them (no label)."""
    return [(POSITIVE, ""), (NEGATIVE, "////"), *[(MUTED, "....")] * len(origins)][: len(origins)]


def _draw(columns: Sequence[FlowColumn], held: Mapping[Node, Counter[str]], flows: Sequence[Ribbon]) -> Plot:
    most = max(len(column.answers) for column in columns)
    height = _HEAD + _BODY + _GAP * (most - 0.4)
    plot, axes = canvas(PAGE, height)
    scale = _BODY / sum(held[0, answer].total() for answer in columns[0].answers)
    step = (PAGE - _LABELS - 0.05) / (len(columns) - 1)
    corners = [_corners(column, i, held, 0.05 + i * step, scale) for i, column in enumerate(columns)]
    for origin, fill in enumerate(_fills(columns[0].answers)):
        _draw_ribbons(axes, [flow for flow in flows if flow.origin == origin], corners, scale, fill)
    for i, column in enumerate(columns):
        title = wrapped(column.title, int(min(step, _LABELS) / (1.2 * CHARACTER)))
        axes.text(0.05 + i * step, _HEAD - 0.1, title, weight="bold", va="bottom", fontsize=7)
        for answer, corner in zip(column.answers, corners[i], strict=True):
            counter = held[i, answer]
            axes.add_patch(Rectangle(corner, _NODE, counter.total() * scale, facecolor=INK, edgecolor=INK, lw=0.8))
            parts = [counter[origin] for origin in columns[0].answers] if i else []
            _write(axes, answer, counter.total(), parts, corner[0], corner[1] + counter.total() * scale / 2)
    return plot


def _corners(
    column: FlowColumn, index: int, held: Mapping[Node, Counter[str]], x: float, scale: float
) -> list[tuple[float, float]]:
    """Upper left corner of every node of a column, in inches."""
    above = accumulate((held[index, answer].total() * scale + _GAP for answer in column.answers), initial=_HEAD)
    return [(x, y) for y, _ in zip(above, column.answers, strict=False)]


def _write(axes: Axes, answer: str, total: int, parts: Sequence[int], x: float, y: float) -> None:
    """Beside a node its answer and number, below them what they are made of."""
    box = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
    below = f"\n{' + '.join(map(str, parts))}" if total and len(parts) > 1 else ""
    axes.text(x + _NODE + 0.05, y, f"{answer}  {total}{below}", va="center", fontsize=7, bbox=box, linespacing=1.1)


def _draw_ribbons(
    axes: Axes,
    flows: Sequence[Ribbon],
    corners: Sequence[Sequence[tuple[float, float]]],
    scale: float,
    fill: tuple[str, str],
) -> None:
    """All ribbons of a colour as one path; its outline shows those that are thinner than a dot of the printer."""
    outlines = []
    for flow in flows:
        left, top = corners[flow.column][flow.source]
        right, below = corners[flow.column + 1][flow.target]
        sides = left + _NODE, top + flow.start * scale, right, below + flow.end * scale
        outlines.append(_outline(*sides, flow.specimens * scale))
    if outlines:
        path = Path.make_compound_path(*outlines)
        axes.add_patch(PathPatch(path, facecolor=fill[0], alpha=0.55, linewidth=0))
        axes.add_patch(PathPatch(path, facecolor="none", edgecolor=fill[0], hatch=fill[1], linewidth=0.6))


def _outline(left: float, start: float, right: float, end: float, thickness: float) -> Path:
    """A ribbon that leaves and arrives level: two Bezier curves."""
    middle = (left + right) / 2
    upper = [(left, start), (middle, start), (middle, end), (right, end)]
    lower = [(x, y + thickness) for x, y in reversed(upper)]
    codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
    return Path([*upper, *lower, (left, start)], codes)


def _option(columns: Sequence[FlowColumn], held: Mapping[Node, Counter[str]], flows: Sequence[Ribbon]) -> Json:
    colours = [colour for colour, _ in _fills(columns[0].answers)]
    names = [[f"{column.title}: {answer}" for answer in column.answers] for column in columns]
    nodes = [
        {
            "name": names[i][j],
            "depth": i,
            "value": held[i, answer].total(),
            "itemStyle": {"color": INK if i else colours[j]},
            "label": {"formatter": f"{answer} {held[i, answer].total()}"},
        }
        for i, column in enumerate(columns)
        for j, answer in enumerate(column.answers)
        if held[i, answer].total()
    ]
    links = [
        {
            "source": names[flow.column][flow.source],
            "target": names[flow.column + 1][flow.target],
            "value": flow.specimens,
            "lineStyle": {"color": colours[flow.origin], "opacity": 0.5},
        }
        for flow in flows
    ]
    shape = {"nodeAlign": "left", "layoutIterations": 0, "nodeGap": 26}
    place = {"left": 10, "right": 150, "top": 10, "bottom": 20}
    return chart([{"type": "sankey", "data": nodes, "links": links, **shape, **place}])

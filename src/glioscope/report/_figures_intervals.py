"""Figures of intervals in rows: strict against paper protocol, and operating points against published ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from glioscope.core import InputError
from glioscope.stats import Estimate

from ._document import Figure
from ._echarts import FloatArray, Json, across, chart, dots, labelled, row_axis, scrolled, segments, value_axis
from ._figures_performance import RatePoint
from ._style import MUTED, PAGE, TALLEST, Look, interval_text, journal, looks, new_plot, rate_ends, wrapped

_PROTOCOLS: Final = ("Paper protocol", "Strict protocol")


@dataclass(frozen=True, slots=True)
class ProtocolPair:
    """One metric of one method by both protocols."""

    method: str
    metric: str
    paper: Estimate
    strict: Estimate


def protocols(pairs: Sequence[ProtocolPair], *, name: str, title: str, caption: str) -> Figure:
    """A forest plot: for every method its metrics in rows, each with the paper's interval and the strict one.

    Parameters
    ----------
    pairs : one row each, those of one method together.
    name : file name without suffix. title : of the figure. caption : specimens and patients.

    Raises
    ------
    InputError : no pair.
    """
    if not pairs:
        raise InputError("a figure of protocols needs at least one pair of estimates; it has none")
    styles = looks(_PROTOCOLS)
    heads, rows, n_rows = _rows(pairs)
    with journal():
        plot = new_plot(PAGE, min(TALLEST, 0.21 * n_rows + 0.85))
        ends = _ends([estimate for pair in pairs for estimate in (pair.paper, pair.strict)])
        axes = plot.add_subplot(xlim=ends, xlabel="Value with 95 % confidence interval", ylim=(n_rows - 0.4, -0.9))
        for index, (protocol, look) in enumerate(styles.items()):
            estimates = [(pair.paper, pair.strict)[index] for pair in pairs]
            _draw_intervals(axes, estimates, rows + (index - 0.5) * 0.34, look)
            _write_column(axes, 8 + 95 * index, [-0.6, *rows], [protocol, *map(interval_text, estimates)])
        _label_rows(axes, rows, [wrapped(pair.metric) for pair in pairs])
        for row, method in heads.items():
            axes.text(0, row, wrapped(method, 60), transform=axes.get_yaxis_transform(), weight="bold", va="center")
        plot.legend(handles=_handles(styles), loc="outside lower left", ncols=2)
    words = [f"{p.method} {p.metric}: paper {interval_text(p.paper)}, strict {interval_text(p.strict)}" for p in pairs]
    return Figure(
        name=name,
        title=title,
        caption=f"Circles: paper protocol; squares: strict protocol. {caption}",
        alt=f"{title}. " + "; ".join(words) + ".",
        plot=plot,
        option=_protocols_option(pairs, styles),
    )


def against_published(
    ours: Sequence[RatePoint], published: Sequence[RatePoint], *, name: str, title: str, caption: str
) -> Figure:
    """Sensitivity and specificity beside published operating points, with intervals where they are known.

    Parameters
    ----------
    ours : methods and readers of this study. published : operating points from publications, drawn hollow; dotted
    lines carry them through the rows.
    name : file name without suffix. title : of the figure. caption : protocol, specimens and patients; sources.

    Raises
    ------
    InputError : nothing of ours or nothing published.
    """
    if not ours or not published:
        raise InputError(f"{len(ours)} points against {len(published)} published ones; both need at least one")
    points, first = [*published, *ours], len(published)
    labels = [wrapped(point.name, 40) + (" *" if row < first else "") for row, point in enumerate(points)]
    rows = np.arange(len(points), dtype=np.float64)
    with journal():
        plot = new_plot(PAGE, min(TALLEST, 0.25 * sum(label.count("\n") + 1 for label in labels) + 0.55))
        for axes, metric in zip(plot.subplots(1, 2, sharey=True), ("sensitivity", "specificity"), strict=True):
            estimates: list[Estimate] = [getattr(point, metric) for point in points]
            axes.set(xlabel=metric.capitalize(), xlim=_ends(estimates), ylim=(len(points) - 0.4, -0.6))
            _draw_intervals(axes, estimates[:first], rows[:first], _PUBLISHED, fill="white")
            _draw_intervals(axes, estimates[first:], rows[first:], _OURS)
            values = [estimate.value for estimate in estimates[:first]]
            axes.vlines(values, rows[:first], len(points), MUTED, "dotted", linewidth=0.8, zorder=1)
            _label_rows(axes, rows, labels)
            _write_column(axes, 5, rows, list(map(interval_text, estimates)))
    words = [f"{point.name} sensitivity {interval_text(point.sensitivity)}, "
             f"specificity {interval_text(point.specificity)}" for point in points]  # fmt: skip
    return Figure(
        name=name,
        title=title,
        caption=f"Hollow and marked *: published. Lines are 95 % confidence intervals where they are known. {caption}",
        alt=f"{title}. " + "; ".join(words) + ".",
        plot=plot,
        option=_published_option(points, first),
    )


_OURS, _MIDDLE, _PUBLISHED = list(looks(("ours", "", "published")).values())


def _rows(pairs: Sequence[ProtocolPair]) -> tuple[dict[int, str], FloatArray, int]:
    """Rows that name a method, the row of every pair, and how many rows there are."""
    heads: dict[int, str] = {}
    rows: list[int] = []
    for index, pair in enumerate(pairs):
        if index == 0 or pair.method != pairs[index - 1].method:
            heads[len(heads) + len(rows)] = pair.method
        rows.append(len(heads) + len(rows))
    return heads, np.array(rows, dtype=np.float64), len(heads) + len(rows)


def _draw_intervals(
    axes: Axes, estimates: Sequence[Estimate], rows: FloatArray, look: Look, fill: str | None = None
) -> None:
    axes.hlines(rows, [each.low for each in estimates], [each.high for each in estimates], look.color, linewidth=1.3)
    values = [each.value for each in estimates]
    axes.plot(values, rows, look.marker, color=look.color, markersize=5, markerfacecolor=fill or look.color)


def _write_column(axes: Axes, offset: float, rows: Iterable[float], texts: Sequence[str]) -> None:
    """Texts beside the rows, `offset` points right of the axes."""
    for row, text in zip(rows, texts, strict=True):
        axes.annotate(text, (1, row), (offset, 0), axes.get_yaxis_transform(), "offset points", fontsize=7, va="center")


def _label_rows(axes: Axes, rows: FloatArray, labels: Sequence[str]) -> None:
    axes.set_yticks(rows, labels)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _ends(estimates: Sequence[Estimate]) -> tuple[float, float]:
    return rate_ends(end for estimate in estimates for end in (estimate.value, estimate.low))


def _handles(styles: dict[str, Look]) -> list[Line2D]:
    return [Line2D([], [], color=look.color, marker=look.marker, label=label) for label, look in styles.items()]


def _protocols_option(pairs: Sequence[ProtocolPair], styles: dict[str, Look]) -> Json:
    """Two rows of a category axis a pair: its intervals would lie on each other in one."""
    series = []
    for index, (protocol, look) in enumerate(styles.items()):
        found = [((pair.paper, pair.strict)[index], 2 * row + index, pair) for row, pair in enumerate(pairs)]
        points = [(labelled(f"{pair.method} {pair.metric}", value), value.value, row) for value, row, pair in found]
        lines = segments([across(value, row) for value, row, _ in found], look.color, 2)
        series.append(dots(protocol, points, look.color, look.symbol, markLine=lines))
    labels = [text for pair in pairs for text in (f"{pair.method} {pair.metric}", "")]
    ends = _ends([estimate for pair in pairs for estimate in (pair.paper, pair.strict)])
    wide = {"left": 190, "right": 25, "top": 20, "bottom": 85}
    return chart(
        series, styles, xAxis=value_axis("Value", *ends), yAxis=row_axis(labels), grid=wide, **scrolled(len(labels))
    )


def _published_option(points: Sequence[RatePoint], first: int) -> Json:
    series, x_axes = [], []
    for index, metric in enumerate(("sensitivity", "specificity")):
        estimates: list[Estimate] = [getattr(point, metric) for point in points]
        x_axes.append(value_axis(metric.capitalize(), *_ends(estimates), gridIndex=index, splitNumber=4))
        for who, look, symbol, rows in (
            ("Published", _PUBLISHED, "emptyTriangle", range(first)),
            ("This study", _OURS, "circle", range(first, len(points))),
        ):
            marks = [(labelled(f"{points[i].name}, {metric}", estimates[i]), estimates[i].value, i) for i in rows]
            lines = segments([across(estimates[i], i) for i in rows], look.color, 2)
            place = {"xAxisIndex": index, "yAxisIndex": index}
            series.append(dots(who, marks, look.color, symbol, markLine=lines, **place))
    grids = [{"left": left, "width": "32%", "top": 20, "bottom": 85} for left in ("27%", "64%")]
    names = [point.name for point in points]
    y_axes = [row_axis(names, gridIndex=0), row_axis([""] * len(names), gridIndex=1)]
    parts = {"grid": grids, "xAxis": x_axes, "yAxis": y_axes, **scrolled(len(names), 2)}
    return chart(series, ("Published", "This study"), **parts)

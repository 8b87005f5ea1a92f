"""Figures of metrics by method with P values on brackets (Fig. 2b and Fig. 4 of Shen et al. 2021)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from glioscope.core import InputError
from glioscope.stats import Estimate

from ._document import Figure
from ._echarts import Json, Segment, chart, labelled, plain, segments, value_axis
from ._style import COLUMN, MUTED, PAGE, Look, filled, interval_text, journal, looks, new_plot, p_text, wrapped

_GROUP: Final = 0.8
"""Share of a group's room that its bars take."""
_UNIT: Final = 2.2
"""Height in inches of a bar of 1."""
_STEP: Final = 0.085
"""Height of one bracket with its text, in units of a bar."""
_P_WIDTH: Final = 0.62
"""Width in inches of "P < 0.0001" over a bracket."""

Metrics = Mapping[str, Mapping[str, Estimate]]


@dataclass(frozen=True, slots=True)
class Bracket:
    """A comparison of methods `a` and `b` in one metric, drawn as a bracket over their bars."""

    metric: str
    a: str
    b: str
    pvalue: float


def bars(metrics: Metrics, brackets: Sequence[Bracket] = (), *, name: str, title: str, caption: str) -> Figure:
    """Grouped bars of metrics with their intervals, and P values on brackets.

    Parameters
    ----------
    metrics : for each metric, in the order of the groups, each method's estimate. A method may lack a metric.
    brackets : comparisons whose metric and methods are among them.
    name : file name without suffix. title : of the figure. caption : protocol, specimens and patients.

    Raises
    ------
    InputError : no or too many methods, a bracket that names an unknown metric or method.
    """
    styles = looks(method for group in metrics.values() for method in group)
    _check_brackets(metrics, brackets)
    heights = _heights(metrics, brackets)
    lows = [end for group in metrics.values() for each in group.values() for end in (each.value, each.low)]
    bottom = float(np.nanmin([0.0, *lows]))
    top = max([1.02, *(height + _STEP for height in heights)])
    with journal():
        width = COLUMN if len(metrics) * len(styles) <= 8 and len(metrics) <= 2 else PAGE
        labels = [wrapped(method) for method in styles]
        columns = _legend_columns(labels, width)
        n_lines = -(-sum(label.count("\n") + 1 for label in labels) // columns)
        plot = new_plot(width, _UNIT * (top - bottom) + 0.4 + 0.17 * n_lines)
        axes = plot.add_subplot(xlim=(-0.5, len(metrics) - 0.5), ylim=(bottom, top))
        handles = _draw_bars(axes, metrics, styles)
        for bracket, height in zip(brackets, heights, strict=True):
            _draw_bracket(axes, metrics, list(styles), bracket, height, width)
        axes.set_xticks(range(len(metrics)), [wrapped(metric, 14) for metric in metrics])
        axes.set_yticks(np.arange(np.ceil(bottom * 5), 6) / 5)
        axes.tick_params(axis="x", length=0)
        axes.spines["left"].set_bounds(bottom, 1)
        plot.legend(handles=handles, loc="outside lower left", ncols=columns, handleheight=1.2)
    return Figure(
        name=name,
        title=title,
        caption=f"Bars are values, lines their 95 % confidence intervals. {caption}",
        alt=f"{title}. {_words(metrics, brackets)}.",
        plot=plot,
        option=_option(metrics, brackets, styles, heights, (bottom, top)),
    )


def _check_brackets(metrics: Metrics, brackets: Sequence[Bracket]) -> None:
    for bracket in brackets:
        for method in (bracket.a, bracket.b):
            if method not in metrics.get(bracket.metric, {}):
                raise InputError(f"a bracket compares {method} in {bracket.metric}, which has no bar of that method")


def _heights(metrics: Metrics, brackets: Sequence[Bracket]) -> list[float]:
    """Where each bracket lies: the first of a metric above its highest interval, every other one step higher."""
    free = {
        metric: max([0.0, *(end for value in group.values() for end in (value.value, value.high) if np.isfinite(end))])
        for metric, group in metrics.items()
    }
    heights = []
    for bracket in brackets:
        free[bracket.metric] += _STEP if free[bracket.metric] else 2 * _STEP
        heights.append(free[bracket.metric] - _STEP / 2)
    return heights


def _legend_columns(labels: Sequence[str], width: float) -> int:
    """How many columns of the longest label, with its patch, fit into `width` inches."""
    longest = max(len(line) for label in labels for line in label.split("\n"))
    return min(len(labels), max(1, int(width / (0.55 + 0.06 * longest))))


def _place(index: int, count: int) -> float:
    """Centre of one of `count` bars within its group, in units of a group."""
    return (index - (count - 1) / 2) * _GROUP / count


def _draw_bars(axes: Axes, metrics: Metrics, styles: Mapping[str, Look]) -> list[Patch]:
    """The bars, one patch a method, which are also what the legend shows."""
    width, handles = _GROUP / len(styles) * 0.92, []
    for index, (method, look) in enumerate(styles.items()):
        drawn = [(group, values[method]) for group, values in enumerate(metrics.values()) if method in values]
        xs = np.array([group for group, _ in drawn]) + _place(index, len(styles))
        values = np.array([value.value for _, value in drawn])
        known = np.isfinite(values)
        boxes = [(x - width / 2, 0, width, value) for x, value in zip(xs[known], values[known], strict=True)]
        if boxes:
            axes.add_patch(filled(boxes, (look.color, look.hatch)))
        axes.vlines(xs, [value.low for _, value in drawn], [value.high for _, value in drawn], "black", linewidth=1)
        for x in xs[~known]:
            axes.text(x, 0.01, "no value", rotation=90, ha="center", va="bottom", fontsize=6, color=MUTED)
        handles.append(Patch(facecolor=look.color, hatch=look.hatch, edgecolor="white", label=wrapped(method)))
    return handles


def _draw_bracket(
    axes: Axes, metrics: Metrics, methods: Sequence[str], bracket: Bracket, height: float, width: float
) -> None:
    group = list(metrics).index(bracket.metric)
    left, right = sorted(group + _place(methods.index(method), len(methods)) for method in (bracket.a, bracket.b))
    foot = height - _STEP * 0.2
    axes.plot([left, left, right, right], [foot, height, height, foot], color="black", linewidth=0.7)
    # The text stays over its own group, however near the edge of it the bracket lies.
    room = 0.5 - _P_WIDTH / 2 / (width - 0.5) * len(metrics)
    middle = min(max((left + right) / 2, group - room), group + room) if room > 0 else group
    axes.text(middle, height + 0.005, p_text(bracket.pvalue), ha="center", va="bottom", fontsize=6.5)


def _words(metrics: Metrics, brackets: Sequence[Bracket]) -> str:
    bars_ = [
        f"{metric}: " + ", ".join(f"{method} {interval_text(value)}" for method, value in group.items())
        for metric, group in metrics.items()
    ]
    return "; ".join([*bars_, *(f"{b.metric}, {b.a} against {b.b}: {p_text(b.pvalue)}" for b in brackets)])


def _option(
    metrics: Metrics,
    brackets: Sequence[Bracket],
    styles: Mapping[str, Look],
    heights: Sequence[float],
    ends: tuple[float, float],
) -> Json:
    """Every bar has a category of its own, so that intervals and brackets, drawn by category, lie on the bars."""
    groups, methods = list(metrics), list(styles)

    def category(metric: str, method: str) -> int:
        return groups.index(metric) * (len(methods) + 2) + 1 + methods.index(method)

    series: list[Json] = []
    for method, look in styles.items():
        found = {metric: group[method] for metric, group in metrics.items() if method in group}
        bars_ = [
            {"name": labelled(f"{method}, {metric}", value), "value": [category(metric, method), plain(value.value)]}
            for metric, value in found.items()
        ]
        whiskers: list[Segment] = [
            ((category(metric, method), value.low), (category(metric, method), value.high))
            for metric, value in found.items()
        ]
        drawn: Json = {"type": "bar", "name": method, "color": look.color, "data": bars_, "barGap": "-100%"}
        drawn |= {"barCategoryGap": "6%", "tooltip": {"formatter": "{b}"}, "markLine": segments(whiskers, "#000000")}
        series.append(drawn)
    spans = [
        [{"coord": [category(b.metric, b.a), plain(height)], "name": p_text(b.pvalue)},
         {"coord": [category(b.metric, b.b), plain(height)]}]
        for b, height in zip(brackets, heights, strict=True)
    ]  # fmt: skip
    over: Json = {
        "silent": True,
        "symbol": "none",
        "data": spans,
        "label": {"formatter": "{b}", "position": "middle", "fontSize": 10},
    }
    series.append(
        {"type": "line", "data": [], "markLine": {**over, "lineStyle": {"type": "solid", "color": "#000000"}}}
    )
    hidden = {"type": "category", "data": [""] * (len(groups) * (len(methods) + 2)), "show": False}
    shown = {"type": "category", "data": groups, "position": "bottom", "axisTick": {"show": False}}
    shown |= {"axisLabel": {"interval": 0, "fontSize": 11}}
    return chart(series, methods, xAxis=[hidden, shown], yAxis=value_axis("", *ends))

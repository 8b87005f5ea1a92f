"""Figure of how scores become decisions: scores by class, thresholds and counts (S3 of Shen et al. 2021)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from glioscope.core import InputError
from glioscope.stats import Confusion, confusion

from ._document import Figure
from ._echarts import FloatArray, Json, chart, pairs, value_axis, vertical
from ._style import COLUMN, NEGATIVE, PAGE, POSITIVE, journal, new_plot, wrapped

_MOST_PANELS: Final = 12
_COLUMNS: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class ScoredClasses:
    """One panel: what one model scored.

    `y_true`: (n_specimens,), 0 or 1. `y_score`: (n_specimens,), raw scores. Positive at `y_score >= threshold`.
    """

    model: str
    y_true: npt.ArrayLike
    y_score: npt.ArrayLike
    threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class _Panel:
    """A panel counted: the share of each class in every bin of score."""

    model: str
    threshold: float
    counts: Confusion
    edges: FloatArray
    positive: FloatArray
    negative: FloatArray


def decisions(
    scored: Sequence[ScoredClasses],
    *,
    positive: str = "tumour",
    negative: str = "non-tumour",
    name: str,
    title: str,
    caption: str,
) -> Figure:
    """Histograms of the raw score, positives upwards and negatives downwards, with the threshold and its counts.

    Parameters
    ----------
    scored : one to twelve models. positive, negative : what the classes are called.
    name : file name without suffix. title : of the figure. caption : protocol, specimens and patients.

    Raises
    ------
    InputError : no or too many models, bad labels or scores (see `glioscope.stats.confusion`).
    """
    if not 1 <= len(scored) <= _MOST_PANELS:
        raise InputError(f"decisions of {len(scored)} models cannot be drawn; it shows 1 to {_MOST_PANELS}")
    panels = [_count(one) for one in scored]
    columns = min(len(panels), _COLUMNS)
    rows = -(-len(panels) // columns)
    with journal():
        plot = new_plot(COLUMN if columns == 1 else PAGE, 1.75 * rows + 0.45)
        grid = plot.subplots(rows, columns, squeeze=False)
        for axes, panel in zip(grid.flat, panels, strict=False):
            _draw(axes, panel)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        plot.supxlabel("Raw score", fontsize=8)
        plot.supylabel("Share of the class", fontsize=8)
        plot.legend(
            handles=[Patch(label=positive, **_POSITIVE), Patch(label=negative, **_NEGATIVE)],
            loc="outside upper right",
            ncols=2,
        )
    return Figure(
        name=name,
        title=title,
        caption=f"Upwards: {positive}; downwards: {negative}; a dashed line is a threshold. {caption}",
        alt=f"{title}. " + "; ".join(map(_words, panels)) + ".",
        plot=plot,
        option=_option(panels, positive, negative),
    )


_POSITIVE: Final[dict[str, Any]] = {"facecolor": POSITIVE, "edgecolor": POSITIVE}
_NEGATIVE: Final[dict[str, Any]] = {"facecolor": NEGATIVE, "edgecolor": "white", "hatch": "////"}


def _count(scored: ScoredClasses) -> _Panel:
    counts = confusion(scored.y_true, scored.y_score, scored.threshold)
    labels, scores = np.asarray(scored.y_true) == 1, np.asarray(scored.y_score, dtype=np.float64)
    if not np.isfinite(scores).all():
        raise InputError(f"the scores of {scored.model} have infinite values; a histogram needs finite ones")
    n_bins = int(np.clip(np.sqrt(scores.size), 10, 40))
    edges = np.linspace(min(0.0, scores.min()), max(1.0, scores.max()), n_bins + 1)
    shares = [np.histogram(scores[chosen], edges)[0] / max(1, chosen.sum()) for chosen in (labels, ~labels)]
    return _Panel(scored.model, scored.threshold, counts, edges, *shares)


def _draw(axes: Axes, panel: _Panel) -> None:
    axes.stairs(panel.positive, panel.edges, fill=True, linewidth=0, **_POSITIVE)
    axes.stairs(-panel.negative, panel.edges, fill=True, linewidth=0, **_NEGATIVE)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.axvline(panel.threshold, color="black", linewidth=1, linestyle="--")
    counts, top = panel.counts, 1.45 * max(panel.positive.max(), panel.negative.max())
    axes.set(xlim=(panel.edges[0], panel.edges[-1]), ylim=(-top, top))
    axes.set_title(wrapped(panel.model, 28), fontsize=8)
    left, right, upper, lower = (0.02, "left"), (0.98, "right"), (0.98, "top"), (0.02, "bottom")
    corners: Any = ((left, upper, f"FN {counts.fn}"), (right, upper, f"TP {counts.tp}"),
                    (left, lower, f"TN {counts.tn}"), (right, lower, f"FP {counts.fp}"))  # fmt: skip
    blank = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    for (x, ha), (y, va), text in corners:
        axes.text(x, y, text, transform=axes.transAxes, fontsize=7, ha=ha, va=va, bbox=blank)
    axes.yaxis.set_major_formatter(lambda share, _: f"{abs(share):.2g}")


def _words(panel: _Panel) -> str:
    counts = panel.counts
    rates = f"TP {counts.tp}, FN {counts.fn}, FP {counts.fp}, TN {counts.tn}"
    return f"{panel.model} at threshold {panel.threshold:.3f}: {rates}"


def _option(panels: Sequence[_Panel], positive: str, negative: str) -> Json:
    columns = min(len(panels), 2)
    width, height = 100 / columns, 92 / -(-len(panels) // columns)
    series: list[Json] = []
    titles, grids, x_axes, y_axes = [], [], [], []
    for index, panel in enumerate(panels):
        left, top = width * (index % columns) + 4, height * (index // columns)
        text = f"{panel.model}\n{_words(panel).rpartition(': ')[2]}"
        titles.append(
            {"text": text, "left": f"{left}%", "top": f"{top}%", "textStyle": {"fontSize": 11, "lineHeight": 15}}
        )
        grids.append({"left": f"{left}%", "top": f"{top + 9}%", "width": f"{width - 8}%", "height": f"{height - 15}%"})
        place = {"xAxisIndex": index, "yAxisIndex": index, "markLine": vertical(panel.threshold, "", "#000000")}
        x_axes.append(value_axis("", panel.edges[0], panel.edges[-1], gridIndex=index))
        y_axes.append({"type": "value", "gridIndex": index, "show": False})
        series.append({**_steps(positive, panel.edges, panel.positive, POSITIVE), **place})
        series.append({**_steps(negative, panel.edges, -panel.negative, NEGATIVE), **place})
    return chart(series, (positive, negative), title=titles, grid=grids, xAxis=x_axes, yAxis=y_axes)


def _steps(name: str, edges: FloatArray, shares: FloatArray, color: str) -> Json:
    """A histogram as a filled step line."""
    drawn: Json = {"type": "line", "name": name, "step": "end", "symbol": "none", "color": color}
    drawn |= {"lineStyle": {"width": 1}, "areaStyle": {"opacity": 0.8}}
    return {**drawn, "data": pairs(edges, np.append(shares, shares[-1]))}

"""Figure of calibration: what share of specimens is positive at each predicted probability."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ._document import Figure
from ._echarts import FloatArray, Json, chart, line, segments, value_axis
from ._figures_curves import check_lengths
from ._style import COLUMN, MUTED, Look, journal, legend_height, looks, method_handles, new_plot

_N_BINS: Final = 20


@dataclass(frozen=True, slots=True, eq=False)
class ReliabilityLine:
    """Calibration of one model.

    `mean_probability`, `observed`, `low`, `high`: float64 (n_bins,), the observed share with its interval.
    `y_probability`: (n_specimens,), for the histogram. `text`: what the legend adds ("Brier 0.081, ECE 0.031").
    """

    name: str
    mean_probability: FloatArray
    observed: FloatArray
    low: FloatArray
    high: FloatArray
    y_probability: FloatArray
    text: str = ""


def reliability(curves: Sequence[ReliabilityLine], *, name: str, title: str, caption: str) -> Figure:
    """Observed share against probability, with the histogram of the probabilities below.

    Parameters
    ----------
    curves : one to seven models.
    name : file name without suffix. title : of the figure. caption : protocol, specimens and patients.

    Raises
    ------
    InputError : no or too many models, vectors of different length.
    """
    styles = looks(curve.name for curve in curves)
    for curve in curves:
        check_lengths(curve.name, curve.mean_probability, curve.observed, curve.low, curve.high)
    edges = np.linspace(0, 1, _N_BINS + 1)
    shares = [np.histogram(curve.y_probability, edges)[0] / max(1, len(curve.y_probability)) for curve in curves]
    with journal():
        handles = method_handles({curve.name: curve.text for curve in curves}, styles, markers=True)
        plot = new_plot(COLUMN, 3.9 + legend_height(handles))
        upper, lower = plot.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        upper.plot([0, 1], [0, 1], color=MUTED, linewidth=0.6, linestyle=":")
        for curve, share in zip(curves, shares, strict=True):
            look = styles[curve.name]
            upper.vlines(curve.mean_probability, curve.low, curve.high, look.color, linewidth=0.9)
            upper.plot(
                curve.mean_probability, curve.observed, look.marker, color=look.color, linestyle=look.line, markersize=4
            )
            lower.stairs(share, edges, color=look.color, linestyle=look.line, linewidth=1.1)
        upper.set(ylabel="Observed share of positives", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        lower.set(xlabel="Predicted probability", ylabel="Share of\nspecimens", ylim=(0, None))
        plot.legend(handles=handles, loc="outside lower left", handlelength=3)
    return Figure(
        name=name,
        title=title,
        caption=f"Vertical lines are 95 % confidence intervals; below, how the probabilities are spread. {caption}",
        alt=f"{title}. " + "; ".join(map(_reliability_words, curves)) + ".",
        plot=plot,
        option=_reliability_option(curves, shares, edges, styles),
    )


def _reliability_words(curve: ReliabilityLine) -> str:
    bins = ", ".join(f"{p:.2f}: {o:.2f}" for p, o in zip(curve.mean_probability, curve.observed, strict=True))
    return f"{curve.name} {curve.text} (probability: observed {bins})".replace("  ", " ")


def _reliability_option(
    curves: Sequence[ReliabilityLine], shares: Sequence[FloatArray], edges: FloatArray, styles: Mapping[str, Look]
) -> Json:
    series = []
    for curve, share in zip(curves, shares, strict=True):
        look, name = styles[curve.name], f"{curve.name}: {curve.text}" if curve.text else curve.name
        bars = [((x, low), (x, high))
                for x, low, high in zip(curve.mean_probability, curve.low, curve.high, strict=True)]  # fmt: skip
        shown = {"symbol": look.symbol, "itemStyle": {}, "dimensions": ["probability", "observed"]}
        marks = segments(bars, look.color, 1)
        series.append(line(name, curve.mean_probability, curve.observed, look, markLine=marks, **shown))
        below = {"xAxisIndex": 1, "yAxisIndex": 1, "step": "end", "symbol": "none"}
        series.append(line(name, edges, np.append(share, share[-1]), look, **below))
    grids = [{"left": 65, "right": 25, "top": 20, "height": "52%"}, {"left": 65, "right": 25, "top": "66%"}]
    grids[1]["bottom"] = 85
    x_axes = [value_axis("", gridIndex=0), value_axis("Predicted probability", gridIndex=1)]
    y_axes = [value_axis("Observed share", gridIndex=0), value_axis("Share", 0, None, gridIndex=1, splitNumber=2)]
    return chart(series, [str(one["name"]) for one in series], grid=grids, xAxis=x_axes, yAxis=y_axes)

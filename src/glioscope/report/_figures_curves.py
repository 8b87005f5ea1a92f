"""Figures of curves over a choice: net benefit over the threshold, and risk over how much the model may abstain."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure as Plot
from matplotlib.lines import Line2D

from glioscope.core import InputError

from ._document import Figure
from ._echarts import FloatArray, Json, chart, dots, line, value_axis
from ._style import COLUMN, LINE, MUTED, Look, journal, legend_height, looks, method_handles, new_plot

_MOST_POINTS: Final = 400
_NONE: Final = "None positive"


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A named curve: `x`, `y` float64 (n_points,); `text` is what the legend adds."""

    name: str
    x: FloatArray
    y: FloatArray
    text: str = ""


def decision_curve(
    curves: Sequence[Curve],
    treat_all: Curve,
    readers: Mapping[str, Sequence[Curve]] | None = None,
    *,
    name: str,
    title: str,
    caption: str,
) -> Figure:
    """Net benefit over threshold probability (Vickers and Elkin 2006), with readers as thin lines.

    Parameters
    ----------
    curves : one to seven models; `x` the threshold probabilities, `y` the net benefit.
    treat_all : the same for calling every specimen positive; calling none positive has net benefit 0.
    readers : for each modality, up to four, the curves of its readers.
    name : file name without suffix. title : of the figure. caption : protocol, specimens and patients.

    Raises
    ------
    InputError : no or too many models or modalities, vectors of different length.
    """
    readers, styles = readers or {}, looks(curve.name for curve in curves)
    everyone = [*curves, treat_all, *(reader for group in readers.values() for reader in group)]
    for curve in everyone:
        check_lengths(curve.name, curve.x, curve.y)
    if len(readers) > len(_READER_LINES):
        raise InputError(f"readers of {len(readers)} modalities cannot be drawn; at most {len(_READER_LINES)}")
    top = _top(everyone)
    return Figure(
        name=name,
        title=title,
        caption=f"Net benefit counts a false positive as the odds of the threshold probability. {caption}",
        alt=f"{title}. " + "; ".join(map(_net_benefit_words, everyone)) + ".",
        plot=_plot_net_benefit(curves, treat_all, readers, styles, top),
        option=_net_benefit_option(curves, treat_all, readers, styles, top),
    )


def risk_coverage(
    curves: Sequence[Curve],
    points: Sequence[tuple[str, float, float]] = (),
    *,
    name: str,
    title: str,
    caption: str,
) -> Figure:
    """Share of wrong calls among the specimens that are answered, as the least certain ones are left out.

    Parameters
    ----------
    curves : one to seven models; `x` the coverage in [0, 1], `y` the risk in [0, 1].
    points : locked abstention bands as (model, coverage, risk), each on the curve of its model.
    name : file name without suffix. title : of the figure. caption : protocol, specimens and patients.

    Raises
    ------
    InputError : no or too many models, vectors of different length, a point of a model without a curve.
    """
    styles = looks(curve.name for curve in curves)
    for curve in curves:
        check_lengths(curve.name, curve.x, curve.y)
    for model, _, _ in points:
        if model not in styles:
            raise InputError(f"a point of {model} has no curve to lie on; curves are of {', '.join(styles)}")
    curves = [_thinned(curve) for curve in curves]
    words = [f"{curve.name} {curve.text} risk {curve.y[-1]:.3f} at coverage {curve.x[-1]:.3f}".replace("  ", " ")
             for curve in curves]  # fmt: skip
    words += [f"{model} locked band: coverage {coverage:.3f}, risk {risk:.3f}" for model, coverage, risk in points]
    bands = "; stars are locked abstention bands" if points else ""
    return Figure(
        name=name,
        title=title,
        caption=f"The least certain specimens are left out first{bands}. {caption}",
        alt=f"{title}. " + "; ".join(words) + ".",
        plot=_plot_risk(curves, points, styles),
        option=_risk_option(curves, points, styles),
    )


_READER_LINES: Final = (
    ((0, (6, 2)), "dashed"),
    ((0, (1, 1.5)), "dotted"),
    ((0, (6, 2, 1, 2)), [6, 2, 1, 2]),
    ("-", "solid"),
)


def _plot_net_benefit(
    curves: Sequence[Curve],
    treat_all: Curve,
    readers: Mapping[str, Sequence[Curve]],
    styles: Mapping[str, Look],
    top: float,
) -> Plot:
    with journal():
        handles = method_handles({curve.name: curve.text for curve in curves}, styles)
        plot = new_plot(COLUMN, 2.65 + legend_height(handles) + LINE * (len(readers) + 2))
        axes = plot.add_subplot(xlabel="Threshold probability", ylabel="Net benefit")
        handles += axes.plot(treat_all.x, treat_all.y, color=MUTED, linewidth=2, label=treat_all.name)
        handles.append(axes.axhline(0, color="black", linewidth=0.8, label=_NONE))
        for (modality, group), (dash, _) in zip(readers.items(), _READER_LINES, strict=False):
            style: dict[str, Any] = {"color": "#505050", "linewidth": 0.6, "linestyle": dash}
            for reader in group:
                axes.plot(reader.x, reader.y, **style)
            handles.append(Line2D([], [], label=f"Readers ({modality}), {len(group)}", **style))
        for curve in curves:
            axes.plot(curve.x, curve.y, color=styles[curve.name].color, linestyle=styles[curve.name].line)
        # Net benefit falls without end below zero; what lies there is only "worse than doing nothing".
        axes.set(xlim=(0, 1), ylim=(-0.2 * top, top))
        plot.legend(handles=handles, loc="outside lower left", handlelength=3)
    return plot


def _plot_risk(curves: Sequence[Curve], points: Sequence[tuple[str, float, float]], styles: Mapping[str, Look]) -> Plot:
    with journal():
        handles = method_handles({curve.name: curve.text for curve in curves}, styles)
        plot = new_plot(COLUMN, 2.65 + legend_height(handles) + LINE * bool(points))
        axes = plot.add_subplot(xlabel="Coverage (share answered)", ylabel="Risk (share of answers wrong)")
        for curve in curves:
            look = styles[curve.name]
            marker = look.marker if len(curve.x) == 1 else ""
            axes.plot(curve.x, curve.y, color=look.color, linestyle=look.line, marker=marker)
        star: dict[str, Any] = {"marker": "*", "linestyle": "", "markeredgecolor": "white"}
        for model, coverage, risk in points:
            axes.plot(coverage, risk, color=styles[model].color, markersize=11, clip_on=False, zorder=4, **star)
        if points:
            handles.append(Line2D([], [], color=MUTED, markersize=9, label="Locked band", **star))
        axes.set(xlim=(0, 1.01), ylim=(0, _top(curves)))
        plot.legend(handles=handles, loc="outside lower left", handlelength=3)
    return plot


def _top(curves: Iterable[Curve]) -> float:
    """A little above the highest value of the curves, so that the line does not lie on the frame."""
    return 1.05 * max([0.05, *(float(y) for curve in curves for y in curve.y if np.isfinite(y))])


def _thinned(curve: Curve) -> Curve:
    """The curve at no more points than print can show."""
    kept = np.unique(np.linspace(0, len(curve.x) - 1, _MOST_POINTS).astype(int))
    return Curve(curve.name, np.asarray(curve.x)[kept], np.asarray(curve.y)[kept], curve.text)


def check_lengths(name: str, *vectors: FloatArray) -> None:
    """Refuse a curve whose vectors differ in length or are empty."""
    sizes = [len(vector) for vector in vectors]
    if min(sizes) == 0 or len(set(sizes)) > 1:
        raise InputError(f"the curve of {name} has vectors of {sizes} values; they must be of one length, at least 1")


def _net_benefit_words(curve: Curve) -> str:
    """Net benefit at the threshold probabilities nearest to 0.2, 0.5 and 0.8."""
    found = [int(np.argmin(np.abs(np.asarray(curve.x) - wanted))) for wanted in (0.2, 0.5, 0.8)]
    return f"{curve.name} net benefit " + ", ".join(f"{curve.y[i]:.3f} at {curve.x[i]:.2f}" for i in found)


def _net_benefit_option(
    curves: Sequence[Curve],
    treat_all: Curve,
    readers: Mapping[str, Sequence[Curve]],
    styles: Mapping[str, Look],
    top: float,
) -> Json:
    ink = looks(("ink",))["ink"]
    plain_ = {"dimensions": ["threshold", "net benefit"]}
    series = [line(curve.name, curve.x, curve.y, styles[curve.name], **plain_) for curve in curves]
    series.append(line(treat_all.name, treat_all.x, treat_all.y, ink, color=MUTED, **plain_))
    series.append(line(_NONE, [0, 1], [0, 0], ink, color="#000000", **plain_))
    for (modality, group), (_, dash) in zip(readers.items(), _READER_LINES, strict=False):
        thin = {"color": "#303030", "lineStyle": {"type": dash, "width": 1}, **plain_}
        series += [line(f"Readers ({modality})", reader.x, reader.y, ink, **thin) for reader in group]
    axes = {"xAxis": value_axis("Threshold probability"), "yAxis": value_axis("Net benefit", -0.2 * top, top)}
    return chart(series, [str(one["name"]) for one in series], **axes)


def _risk_option(
    curves: Sequence[Curve], points: Sequence[tuple[str, float, float]], styles: Mapping[str, Look]
) -> Json:
    named = {"dimensions": ["coverage", "risk"]}
    series = [line(curve.name, curve.x, curve.y, styles[curve.name], **named) for curve in curves]
    for model, coverage, risk in points:
        mark = (f"{model}, locked band: coverage {coverage:.3f}, risk {risk:.3f}", coverage, risk)
        series.append(dots(model, [mark], styles[model].color, "diamond", 14))
    axes = {"xAxis": value_axis("Coverage"), "yAxis": value_axis("Risk", 0, _top(curves))}
    return chart(series, styles, **axes)

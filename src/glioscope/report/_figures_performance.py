"""Figures of diagnostic performance: ROC curves with readers (Fig. 2a and S5 of Shen et al. 2021)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from glioscope.core import InputError
from glioscope.stats import Estimate

from ._document import Figure
from ._echarts import FloatArray, Json, Segment, band, chart, dots, labelled, line, segments, value_axis
from ._style import COLUMN, MUTED, Look, interval_text, journal, legend_height, looks, method_handles, new_plot

# Readers are black whatever their modality, so that no method's colour is spent on them: matplotlib, ECharts, filled.
_READERS: Final = (("o", "circle", True), ("s", "emptyRect", False), ("^", "triangle", True), ("v", "emptyPin", False))
_MOST_POINTS: Final = 1000
_MOST_INSIDE: Final = 6


@dataclass(frozen=True, slots=True)
class RatePoint:
    """Sensitivity and specificity of a method at its threshold, or of a reader.

    `modality` and `mean` concern readers: what they read ("FL"), and whether this is the mean of all of them.
    """

    name: str
    sensitivity: Estimate
    specificity: Estimate
    modality: str = ""
    mean: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class RocLine:
    """One method's ROC curve.

    `fpr`, `tpr`: float64 (n_points,) in [0, 1], not decreasing. `band`: false positive rates, low and high sensitivity,
    each (n_grid,). `point`: its operating point.
    """

    name: str
    fpr: FloatArray
    tpr: FloatArray
    auc: Estimate
    band: tuple[FloatArray, FloatArray, FloatArray] | None = None
    point: RatePoint | None = None


def roc(curves: Sequence[RocLine], readers: Sequence[RatePoint] = (), *, name: str, title: str, caption: str) -> Figure:
    """ROC curves with bands and operating points; readers as points, their mean larger with both intervals.

    Parameters
    ----------
    curves : one to seven methods. readers : any number, up to four modalities.
    name : file name without suffix. title : of the figure. caption : protocol, specimens and patients.

    Raises
    ------
    InputError : no or too many curves, more than four modalities, `fpr` and `tpr` of different length.
    """
    styles = looks(curve.name for curve in curves)
    curves = [_thinned(curve) for curve in curves]
    by_modality = _by_modality(readers)
    with journal():
        plot = new_plot(COLUMN)
        axes = plot.add_subplot(
            xlabel="1 − specificity", ylabel="Sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), box_aspect=1
        )
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.6, linestyle=":")
        handles = method_handles({curve.name: f"AUC {interval_text(curve.auc)}" for curve in curves}, styles)
        for curve in curves:
            _draw_curve(axes, curve, styles[curve.name])
        if any(curve.point for curve in curves):
            handles.append(Line2D([], [], color=MUTED, marker="*", markersize=9, linestyle="", label="Operating point"))
        for (modality, points), (marker, _, filled) in zip(by_modality.items(), _READERS, strict=False):
            handles += _draw_readers(axes, modality, points, marker, "black" if filled else "white")
        plot.set_figheight(COLUMN + legend_height(handles))
        plot.legend(handles=handles, loc="outside lower left", handlelength=3)
    return Figure(
        name=name,
        title=title,
        caption=f"{_ROC_CAPTION}{_READER_CAPTION if readers else ''} {caption}",
        alt=f"{title}. " + "; ".join([*map(_curve_words, curves), *map(_point_words, readers)]) + ".",
        plot=plot,
        option=_roc_option(curves, by_modality, styles),
    )


_ROC_CAPTION: Final = "Lines are ROC curves, bands their 95 % confidence intervals; stars are operating points."
_READER_CAPTION: Final = " Black symbols are readers; the large ones are their means with 95 % confidence intervals."


def _thinned(curve: RocLine) -> RocLine:
    """The curve at no more points than print can show: those nearest to even steps along it."""
    if len(curve.fpr) != len(curve.tpr):
        raise InputError(f"the ROC curve of {curve.name} has {len(curve.fpr)} fpr and {len(curve.tpr)} tpr values")
    if len(curve.fpr) <= _MOST_POINTS:
        return curve
    along = np.asarray(curve.fpr) + np.asarray(curve.tpr)
    steps = np.searchsorted(along, np.linspace(along[0], along[-1], _MOST_POINTS))
    kept = np.unique(np.append(steps, len(along) - 1))
    return RocLine(curve.name, curve.fpr[kept], curve.tpr[kept], curve.auc, curve.band, curve.point)


def _by_modality(readers: Sequence[RatePoint]) -> dict[str, list[RatePoint]]:
    found: dict[str, list[RatePoint]] = {}
    for reader in readers:
        found.setdefault(reader.modality, []).append(reader)
    if len(found) > len(_READERS):
        raise InputError(f"readers of {len(found)} modalities cannot be drawn; at most {len(_READERS)}")
    return found


def _draw_curve(axes: Axes, curve: RocLine, look: Look) -> None:
    if curve.band is not None:
        axes.fill_between(*curve.band, color=look.color, alpha=0.15, linewidth=0)
    if curve.point is not None:
        place = 1 - curve.point.specificity.value, curve.point.sensitivity.value
        axes.plot(*place, "*", color=look.color, markersize=11, markeredgecolor="white", zorder=4, clip_on=False)
    axes.plot(curve.fpr, curve.tpr, color=look.color, linestyle=look.line)


def _draw_readers(axes: Axes, modality: str, points: Sequence[RatePoint], marker: str, fill: str) -> list[Line2D]:
    handles: list[Line2D] = []
    among = f" ({modality})" if modality else ""
    for mean, size, label in ((False, 3.5, f"Readers{among}"), (True, 6.5, f"Mean of readers{among}")):
        chosen = [point for point in points if point.mean is mean]
        xs = [1 - point.specificity.value for point in chosen]
        ys = [point.sensitivity.value for point in chosen]
        style: dict[str, Any] = {"color": "black", "linestyle": "", "markersize": size, "markerfacecolor": fill}
        for (x0, y0), (x1, y1) in (ends for point in chosen if mean for ends in _cross(point)):
            axes.plot([x0, x1], [y0, y1], color="black", linewidth=1, zorder=4)
        if chosen:
            handles += axes.plot(xs, ys, marker=marker, markeredgewidth=0.8, zorder=5, label=label, **style)
    return handles


def _cross(point: RatePoint) -> tuple[Segment, Segment]:
    """Both intervals of a point as segments in the ROC plane."""
    x, y = 1 - point.specificity.value, point.sensitivity.value
    across = (1 - point.specificity.high, y), (1 - point.specificity.low, y)
    return across, ((x, point.sensitivity.low), (x, point.sensitivity.high))


def _curve_words(curve: RocLine) -> str:
    at = f", at its operating point {_point_words(curve.point)}" if curve.point else ""
    return f"{curve.name} AUC {interval_text(curve.auc)}{at}"


def _point_words(point: RatePoint) -> str:
    rates = f"sensitivity {interval_text(point.sensitivity)}, specificity {interval_text(point.specificity)}"
    return f"{point.name} {rates}"


def _roc_option(
    curves: Sequence[RocLine], by_modality: Mapping[str, Sequence[RatePoint]], styles: Mapping[str, Look]
) -> Json:
    series: list[Json] = []
    for curve in curves:
        look, label = styles[curve.name], labelled(f"{curve.name} AUC", curve.auc)
        series.append(line(label, curve.fpr, curve.tpr, look, dimensions=["1 − specificity", "sensitivity"]))
        series += band(label, *curve.band, look.color) if curve.band is not None else []
        if curve.point is not None:
            series.append(_rate_dots(label, [curve.point], look.color, "diamond", 14))
    names = list(dict.fromkeys(str(part["name"]) for part in series))
    for (modality, points), (_, symbol, _) in zip(by_modality.items(), _READERS, strict=False):
        for mean, size, who in ((False, 7, "Readers"), (True, 14, "Mean of readers")):
            chosen = [point for point in points if point.mean is mean]
            if chosen:
                names.append(f"{who} ({modality})" if modality else who)
                series.append(_rate_dots(names[-1], chosen, "#000000", symbol, size, crossed=mean))
    option = chart(series, names, xAxis=value_axis("1 − specificity"), yAxis=value_axis("Sensitivity"))
    if len(names) <= _MOST_INSIDE:
        # A few lines of legend fit into the lower right, which ROC curves leave free.
        inside = {"orient": "vertical", "right": 30, "bottom": 90, "align": "left"}
        text = {"width": 240, "overflow": "truncate", "fontSize": 11}
        option["legend"] = {"data": names, "textStyle": text, **inside}
    return option


def _rate_dots(
    name: str, points: Sequence[RatePoint], color: str, symbol: str, size: float, *, crossed: bool = False
) -> Json:
    places = [(_point_words(point), 1 - point.specificity.value, point.sensitivity.value) for point in points]
    crosses = [segment for point in points for segment in _cross(point)] if crossed else []
    return dots(name, places, color, symbol, size, z=4, markLine=segments(crosses, color))

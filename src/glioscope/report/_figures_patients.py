"""Figure of the spread between patients: every patient's own result, by method, beside the pooled one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from glioscope.core import InputError
from glioscope.stats import Estimate

from ._document import Figure
from ._echarts import FloatArray, Json, across, chart, dots, labelled, row_axis, scrolled, segments, value_axis
from ._style import LEGEND, MUTED, PAGE, TALLEST, Look, interval_text, journal, looks, new_plot, rate_ends, wrapped

_MOST_LABELS: Final = 50
"""Patients that can still be named on one page."""
_AREA: Final = (10.0, 60.0)
"""Area in square points of the smallest and the largest patient's marker."""


@dataclass(frozen=True, slots=True)
class PatientSize:
    """A patient's specimens, and how many of them are positive."""

    patient_id: str
    n: int
    n_positive: int

    @property
    def one_class(self) -> bool:
        """Whether all specimens are of one class, so that no AUC exists."""
        return self.n_positive in (0, self.n)


@dataclass(frozen=True, slots=True)
class Spread:
    """A metric of a method: its value for each patient (NaN where undefined) and the pooled one."""

    metric: str
    method: str
    by_patient: tuple[float, ...]
    pooled: Estimate


def patient_spread(
    patients: Sequence[PatientSize], spreads: Sequence[Spread], *, name: str, title: str, caption: str
) -> Figure:
    """Every patient's own results, sorted by the first of `spreads`; hollow where a patient has one class only.

    Parameters
    ----------
    patients : one row each. spreads : one panel a metric, one marker a method, values in the order of `patients`.
    name : file name without suffix. title : of the figure. caption : protocol, specimens and patients.

    Raises
    ------
    InputError : nothing to draw, too many methods, a spread with another number of values than there are patients.
    """
    styles = looks(spread.method for spread in spreads)
    _check(patients, spreads)
    # NaN sorts last, which puts the patients without a value at the foot.
    order = np.argsort(-np.array(spreads[0].by_patient), kind="stable")
    patients = [patients[i] for i in order]
    spreads = [replace(spread, by_patient=tuple(np.array(spread.by_patient)[order])) for spread in spreads]
    metrics = list(dict.fromkeys(spread.metric for spread in spreads))
    with journal():
        handles = [*_method_handles(spreads, styles), *_size_handles(patients)]
        below = 0.55 + 0.17 * len(handles)
        pitch = min(0.11 + 0.045 * len(styles), (TALLEST - below) / (len(patients) + 1))
        plot = new_plot(PAGE, pitch * (len(patients) + 1) + below)
        for axes, metric in zip(plot.subplots(1, len(metrics), sharey=True, squeeze=False)[0], metrics, strict=True):
            _draw_panel(axes, patients, [spread for spread in spreads if spread.metric == metric], styles)
        _label_rows(plot.axes[0], patients)
        plot.legend(handles=handles, loc="outside lower left", handlelength=3)
    return Figure(
        name=name,
        title=title,
        caption=f"{_CAPTION} {caption}",
        alt=f"{title}. " + "; ".join(map(_words, spreads)) + ".",
        plot=plot,
        option=_option(patients, spreads, styles),
    )


_CAPTION: Final = (
    "One row a patient, with positive of all specimens in brackets; marker area grows with the specimens, hollow "
    "markers are patients of one class. At the foot and as vertical lines: all patients, with 95 % intervals."
)


def _check(patients: Sequence[PatientSize], spreads: Sequence[Spread]) -> None:
    if not patients:
        raise InputError("a figure of the spread between patients needs at least one patient; it has none")
    for spread in spreads:
        if len(spread.by_patient) != len(patients):
            n = len(spread.by_patient)
            raise InputError(f"{spread.metric} of {spread.method} has {n} values for {len(patients)} patients")


def _draw_panel(
    axes: Axes, patients: Sequence[PatientSize], spreads: Sequence[Spread], styles: Mapping[str, Look]
) -> None:
    areas, hollow = _areas(patients), np.array([patient.one_class for patient in patients])
    rows, last = np.arange(len(patients)), len(patients)
    for spread in spreads:
        look, pooled = styles[spread.method], spread.pooled
        shift = (list(styles).index(spread.method) - (len(styles) - 1) / 2) * 0.7 / len(styles)
        faces = np.where(hollow, "white", look.color).tolist()
        axes.scatter(
            spread.by_patient, rows + shift, areas, faces, marker=look.marker, edgecolors=look.color, linewidths=0.8
        )
        axes.axvline(pooled.value, color=look.color, linestyle=look.line, linewidth=0.9, zorder=0.9)
        axes.hlines(last + shift, pooled.low, pooled.high, look.color, linewidth=1.5)
        axes.plot(pooled.value, last + shift, look.marker, color=look.color, markersize=4.5)
    axes.axhline(last - 0.5, color="black", linewidth=0.8)
    axes.set(xlabel=spreads[0].metric, ylim=(last + 0.5, -0.6), xlim=_ends(spreads[0].metric, spreads))
    axes.grid(axis="y", color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    if last <= _MOST_LABELS:
        for row in rows[np.isnan([spread.by_patient for spread in spreads]).all(axis=0)]:
            why = "one class only" if patients[row].one_class else "no value"
            axes.text(0.02, row, why, transform=axes.get_yaxis_transform(), fontsize=6, color=MUTED, va="center")


def _ends(metric: str, spreads: Sequence[Spread]) -> tuple[float, float]:
    shown = [spread for spread in spreads if spread.metric == metric]
    return rate_ends(value for spread in shown for value in (*spread.by_patient, spread.pooled.low))


def _label_rows(axes: Axes, patients: Sequence[PatientSize]) -> None:
    pooled = f"All ({sum(patient.n_positive for patient in patients)}/{sum(patient.n for patient in patients)})"
    if len(patients) <= _MOST_LABELS:
        axes.set_yticks(range(len(patients) + 1), [*map(_label, patients), pooled], fontsize=7)
    else:
        axes.set_yticks([len(patients)], [pooled], fontsize=7)
        axes.set_ylabel(f"{len(patients)} patients")


def _label(patient: PatientSize) -> str:
    return f"{patient.patient_id} ({patient.n_positive}/{patient.n})"


def _areas(patients: Sequence[PatientSize]) -> FloatArray:
    least, most = _AREA
    sizes = np.array([patient.n for patient in patients], dtype=np.float64)
    areas: FloatArray = least + (most - least) * sizes / max(1.0, sizes.max())
    return areas


def _method_handles(spreads: Sequence[Spread], styles: Mapping[str, Look]) -> list[Line2D]:
    handles = []
    for method, look in styles.items():
        pooled = ", ".join(f"{one.metric} {interval_text(one.pooled)}" for one in spreads if one.method == method)
        label = wrapped(f"{method}: {pooled}", 2 * LEGEND)
        handles.append(Line2D([], [], color=look.color, linestyle=look.line, marker=look.marker, label=label))
    return handles


def _size_handles(patients: Sequence[PatientSize]) -> list[Line2D]:
    sizes = sorted({min(patient.n for patient in patients), max(patient.n for patient in patients)})
    areas = _areas([PatientSize("", n, 0) for n in sizes])
    return [
        Line2D([], [], color=MUTED, linestyle="", marker="o", markersize=float(area) ** 0.5, label=f"{n} specimens")
        for n, area in zip(sizes, areas, strict=True)
    ]


def _words(spread: Spread) -> str:
    known = np.array([value for value in spread.by_patient if np.isfinite(value)])
    between = f", from {known.min():.3f} to {known.max():.3f}" if known.size else ""
    name = f"{spread.method} {spread.metric}: pooled {interval_text(spread.pooled)}"
    return f"{name}, {known.size} of {len(spread.by_patient)} patients with a value{between}"


def _option(patients: Sequence[PatientSize], spreads: Sequence[Spread], styles: Mapping[str, Look]) -> Json:
    metrics = list(dict.fromkeys(spread.metric for spread in spreads))
    share = 76 / len(metrics)
    grids: list[Json] = [
        {"left": f"{18 + share * i}%", "width": f"{share - 4}%", "top": 20, "bottom": 85} for i in range(len(metrics))
    ]
    labels, sizes = [*map(_label, patients), "All"], np.sqrt(_areas(patients)).round(1).tolist()
    series = []
    for spread in spreads:
        look, axis = styles[spread.method], metrics.index(spread.metric)
        points = [(f"{spread.method}, {label}: {value:.3f}", value, row)
                  for row, (label, value) in enumerate(zip(labels, spread.by_patient, strict=False))]  # fmt: skip
        points.append((labelled(f"{spread.method}, pooled", spread.pooled), spread.pooled.value, len(patients)))
        interval = segments([across(spread.pooled, len(patients))], look.color, 2)
        place = {"xAxisIndex": axis, "yAxisIndex": axis}
        drawn = dots(spread.method, points, look.color, look.symbol, 7, markLine=interval, **place)
        for mark, patient, size in zip(drawn["data"], patients, sizes, strict=False):
            face = {"itemStyle": {"color": "#FFFFFF", "borderColor": look.color}} if patient.one_class else {}
            mark |= {"symbolSize": size, **face}
        series.append(drawn)
    x_axes = [
        value_axis(metric, *_ends(metric, spreads), gridIndex=i, splitNumber=4) for i, metric in enumerate(metrics)
    ]
    y_axes = [row_axis(labels if i == 0 else [""] * len(labels), gridIndex=i) for i in range(len(metrics))]
    scroll = scrolled(len(labels), len(metrics))
    return chart(series, styles, grid=grids, xAxis=x_axes, yAxis=y_axes, **scroll)

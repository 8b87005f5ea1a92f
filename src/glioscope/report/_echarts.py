"""Parts of the Apache ECharts options that figures share: plain JSON, drawn by the page without a function."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from glioscope.stats import Estimate

from ._style import MUTED, PALETTE, Look, interval_text

FloatArray = npt.NDArray[np.float64]
Json = dict[str, Any]
Segment = tuple[tuple[float, float], tuple[float, float]]

_DECIMALS: Final = 5
_FONT: Final = 13
_MOST_ROWS: Final = 28


def chart(series: Sequence[Json], legend: Iterable[str] = (), **parts: Any) -> Json:
    """A whole option: `parts` are its grid and axes; the legend names each of `legend` once, scrolling below."""
    return {
        "animation": False,
        "aria": {"enabled": True, "decal": {"show": True}},
        "color": list(PALETTE),
        "textStyle": {"fontSize": _FONT},
        "tooltip": {"trigger": "item", "confine": True},
        "legend": {"type": "scroll", "bottom": 0, "data": list(dict.fromkeys(legend))},
        "grid": {"left": 65, "right": 25, "top": 20, "bottom": 85},
        **parts,
        "series": list(series),
    }


def value_axis(name: str, low: float | None = 0, high: float | None = 1, **parts: Any) -> Json:
    """A numeric axis with its name in the middle; None leaves an end to the data. Its ticks stay round numbers."""
    ends = {"min": low, "max": high}
    return {
        "type": "value",
        "name": name,
        "nameLocation": "middle",
        "nameGap": 32,
        "nameTextStyle": {"fontSize": _FONT},
        "axisLabel": {"showMinLabel": _round(low), "showMaxLabel": _round(high)},
        **{end: plain(value) for end, value in ends.items() if value is not None},
        **parts,
    }


def _round(end: float | None) -> bool:
    """Whether an end of an axis reads well as a tick: at most one decimal."""
    return end is None or bool(abs(end * 10 - round(end * 10)) < 1e-9)


def row_axis(labels: Sequence[str], **parts: Any) -> Json:
    """A category axis of rows, read from the top, each named."""
    shown = {"interval": 0, "width": 175, "overflow": "truncate"}
    return {"type": "category", "data": list(labels), "inverse": True, "axisLabel": shown, **parts}


def scrolled(n_rows: int, n_axes: int = 1) -> Json:
    """The part of an option that scrolls rows when a screen cannot name them all at once, else nothing."""
    if n_rows <= _MOST_ROWS:
        return {}
    window = {"yAxisIndex": list(range(n_axes)), "startValue": 0, "endValue": _MOST_ROWS - 1, "filterMode": "none"}
    return {"dataZoom": [{"type": "slider", "right": 0, "width": 16, "showDetail": False, **window}]}


def line(name: str, x: npt.ArrayLike, y: npt.ArrayLike, look: Look, **parts: Any) -> Json:
    """A curve whose points answer to the mouse but do not show until then."""
    points = pairs(x, y)
    return {
        "type": "line",
        "name": name,
        "data": points,
        "color": look.color,
        "lineStyle": {"type": look.dash, "width": 2},
        "symbol": "circle",
        "symbolSize": 7,
        "itemStyle": {"opacity": int(len(points) == 1)},
        "emphasis": {"itemStyle": {"opacity": 1}},
        **parts,
    }


def band(name: str, x: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike, color: str) -> list[Json]:
    """A shaded band: an invisible line at `low` and a filled one stacked on it. Points without a band are left out."""
    ends = np.column_stack([np.asarray(values, dtype=np.float64) for values in (x, low, high)])
    ends = ends[np.isfinite(ends).all(axis=1)]
    shared: Json = {
        "type": "line",
        "name": name,
        "stack": f"{name} band",
        "symbol": "none",
        "silent": True,
        "z": 1,
        "lineStyle": {"opacity": 0},
        "itemStyle": {"decal": {"color": "transparent"}},
        "color": color,
    }
    width = {"data": pairs(ends[:, 0], ends[:, 2] - ends[:, 1]), "areaStyle": {"opacity": 0.15}}
    return [{**shared, "data": pairs(ends[:, 0], ends[:, 1])}, {**shared, **width}]


def dots(
    name: str, points: Iterable[tuple[str, float, float]], color: str, symbol: str, size: float = 10, **parts: Any
) -> Json:
    """Markers, each with a label that the mouse shows."""
    return {
        "type": "scatter",
        "name": name,
        "data": [{"name": label, "value": [plain(x), plain(y)]} for label, x, y in points],
        "color": color,
        "symbol": symbol,
        "symbolSize": size,
        "tooltip": {"formatter": "{b}"},
        **parts,
    }


def segments(drawn: Iterable[Segment], color: str, width: float = 1.5, style: str = "solid") -> Json:
    """Straight lines between pairs of points, as the `markLine` of a series: intervals and reference lines."""
    return {
        "silent": True,
        "symbol": "none",
        "label": {"show": False},
        "lineStyle": {"type": style, "color": color, "width": width},
        "data": [
            [{"coord": [plain(x), plain(y)]} for x, y in segment] for segment in drawn if np.isfinite(segment).all()
        ],
    }


def vertical(x: float, label: str, color: str = MUTED) -> Json:
    """A dashed line over the whole height at `x`, as the `markLine` of a series."""
    return {
        "silent": True,
        "symbol": "none",
        "lineStyle": {"type": "dashed", "color": color, "width": 1.5},
        "data": [{"xAxis": plain(x), "label": {"formatter": label, "position": "insideEndTop"}}],
    }


def across(estimate: Estimate, row: float) -> Segment:
    """The interval of an estimate as a horizontal segment at `row`."""
    return (estimate.low, row), (estimate.high, row)


def labelled(name: str, estimate: Estimate) -> str:
    """What the mouse shows at an estimate: its name, value and interval."""
    return f"{name}: {interval_text(estimate)}"


def pairs(x: npt.ArrayLike, y: npt.ArrayLike) -> list[list[float | None]]:
    """`[[x, y], ...]` rounded to five decimals, None where there is no number."""
    columns = np.column_stack([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)])
    return [[plain(first), plain(second)] for first, second in columns.tolist()]


def plain(value: float) -> float | None:
    """The number rounded to five decimals, None where it is NaN or infinite (JSON has neither)."""
    return round(float(value), _DECIMALS) if np.isfinite(value) else None

"""The phantom check on one page: what was found where, and what it says."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glioscope import RESEARCH_USE
from glioscope.core import atomic_file

from ._phantom_judge import PhantomLine, Verdict
from ._phantom_locate import Image, Located
from ._phantom_read import PhantomReading
from ._phantom_result import PhantomResult
from ._phantom_target import PhantomTarget, circle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito 2008: distinct for colour-blind readers.
_COLOURS = {Verdict.OK: "#009E73", Verdict.WARN: "#E69F00", Verdict.FAIL: "#D55E00", Verdict.NOT_JUDGED: "#767676"}
_BLUE, _INK, _GREY = "#0072B2", "#262626", "#767676"
_FIDUCIAL = "#56B4E9"


def draw_phantom(path: Path | str, reading: PhantomReading, result: PhantomResult, wl: NDArray[np.uint8]) -> None:
    """Write the page as PNG.

    Parameters
    ----------
    wl : uint8 (H, W, 3), the white-light picture that was measured.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    look: dict[Any, Any] = {"font.size": 8, "axes.titlesize": 9, "axes.spines.top": False, "axes.spines.right": False}
    with mpl.rc_context(look):
        figure = Figure(figsize=(11.7, 8.3), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(_title(result), color=_COLOURS[result.verdict], fontsize=12, fontweight="bold")
        figure.supxlabel(RESEARCH_USE, fontsize=7, color=_GREY)
        grid = figure.add_gridspec(3, 12, height_ratios=(1.25, 1.0, 1.15))
        _fl_axes(figure.add_subplot(grid[0:2, 0:8]), reading)
        _wl_axes(figure.add_subplot(grid[0, 8:12]), reading, wl)
        _field_axes(figure.add_subplot(grid[1, 8:12]), reading)
        _sensitivity_axes(figure.add_subplot(grid[2, 0:3]), reading)
        _edge_axes(figure.add_subplot(grid[2, 3:6]), reading)
        _table_axes(figure.add_subplot(grid[2, 6:12]), result)
        with atomic_file(Path(path)) as temporary:
            figure.savefig(temporary, dpi=130, format="png")


def _title(result: PhantomResult) -> str:
    kind = "SIMULATED · " if result.data_kind == "simulated" else ""
    unit = f"unit {result.unit} · " if result.unit else ""
    return f"Phantom check: {result.verdict.upper()}  ({kind}{unit}target {result.target} · {result.created})"


def _fl_axes(axes: "Axes", reading: PhantomReading) -> None:
    counts = reading.picture.counts
    dark = reading.values["background_counts"]
    # Two decades and more of concentration: shown by their logarithm, from noise to full scale.
    floor = max(2 * reading.values["dark_noise_counts"], 1.0)
    shown = np.log10(np.clip(counts - dark, floor, None))
    axes.imshow(shown, cmap="gray", vmin=np.log10(floor), vmax=float(shown.max()))
    _outlines(axes, reading.fl, reading.target)
    rows, columns = np.nonzero(reading.picture.bad)
    axes.plot(columns, rows, ".", color="#CC79A7", markersize=1.5, linestyle="none")
    for wells, label in (
        (reading.target.wells, "{0.concentration_nm:g} nM"),
        (reading.target.depths, "{0.depth_mm:g} mm"),
    ):
        for well in wells:
            x, y = reading.fl.to_px(np.array([well.centre_mm]) + np.array([[0, well.diameter_mm / 2 + 0.35]]))[0]
            axes.text(x, y, label.format(well), color="white", ha="center", va="top", fontsize=6.5)
    share = 100 * reading.values["bad_share"]
    axes.set_title(
        f"Fluorescence, log scale; {reading.values['bad_pixels']:.0f} bad pixels ({share:.2f} %) in pink",
        loc="left",
    )
    _bare(axes, counts)


def _wl_axes(axes: "Axes", reading: PhantomReading, wl: NDArray[np.uint8]) -> None:
    axes.imshow(wl)
    _outlines(axes, reading.wl, reading.target)
    residual = reading.values.get("registration_mm")
    words = "not measured" if residual is None else f"{residual:.3f} mm (from the {reading.registration_source})"
    axes.set_title(f"White light. FL-WL residual: {words}", loc="left")
    _bare(axes, wl)


def _bare(axes: "Axes", picture: Image | NDArray[np.uint8]) -> None:
    axes.set(xlim=(-0.5, picture.shape[1] - 0.5), ylim=(picture.shape[0] - 0.5, -0.5), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _outlines(axes: "Axes", located: Located, target: PhantomTarget) -> None:
    for name, outline in target.regions_mm().items():
        style = "--" if name == "dark" else "-"
        _closed(axes, located.to_px(outline), "#F0E442", style)
    for place in target.fiducials.places_mm:
        _closed(axes, located.to_px(circle(place, target.fiducials.diameter_mm / 2)), _FIDUCIAL, "-")
    axes.plot(*located.fiducials_px.T, "+", color=_FIDUCIAL, markersize=5, linestyle="none")


def _closed(axes: "Axes", points: NDArray[np.float64], colour: str, style: str) -> None:
    axes.plot(*np.vstack([points, points[:1]]).T, color=colour, linewidth=0.8, linestyle=style)


def _field_axes(axes: "Axes", reading: PhantomReading) -> None:
    x, y, counts = (np.array([getattr(cell, name) for cell in reading.cells]) for name in ("x_mm", "y_mm", "counts"))
    percent = 100 * (counts / counts.mean() - 1)
    reach = max(float(np.abs(percent).max()), 1.0)
    dots = axes.scatter(x, y, c=percent, cmap="RdBu_r", vmin=-reach, vmax=reach, marker="s", s=45)
    colours = axes.figure.colorbar(dots, ax=axes, shrink=0.9, pad=0.01)
    colours.set_label("% off the mean", fontsize=7)
    half = [side / 2 for side in reading.target.size_mm]
    axes.set(xlim=(-half[0], half[0]), ylim=(half[1], -half[1]), aspect="equal", xlabel="mm", ylabel="mm")
    values = reading.values
    axes.set_title(f"Field: (max-min)/(max+min) {values['uniformity']:.3f}, CV {values['field_cv']:.3f}", loc="left")


def _sensitivity_axes(axes: "Axes", reading: PhantomReading) -> None:
    found = reading.sensitivity
    axes.set_title("Sensitivity", loc="left")
    if found is None:
        _said(axes, "not measured")
        return
    used = [well for well in reading.wells if well.concentration_nm > 0]
    for saturated, colour, marker in ((False, _BLUE, "o"), (True, _COLOURS[Verdict.FAIL], "x")):
        those = [well for well in used if well.saturated == saturated and well.counts > 0]
        axes.plot([w.concentration_nm for w in those], [w.counts for w in those], marker, color=colour, markersize=4)
    x = np.geomspace(min(w.concentration_nm for w in used) / 2, 1.5 * max(w.concentration_nm for w in used), 50)
    axes.plot(x, np.clip(found.intercept + found.slope * x, 0.1, None), color=_INK, linewidth=1)
    axes.axvline(found.lod_nm, color=_GREY, linestyle=":", linewidth=1)
    axes.text(
        found.lod_nm * 1.1,
        0.97,
        f"LoD {found.lod_nm:.2g} nM",
        transform=axes.get_xaxis_transform(),
        va="top",
        fontsize=7,
    )
    axes.set(xscale="log", yscale="log", xlabel="nM", ylabel="counts above the plate")
    slope = found.slope / reading.exposure_ms
    axes.text(
        *(0.97, 0.05, f"{slope:.3g} counts/nM/ms\nR2 {found.r2:.4f}\noff the line {100 * found.nonlinearity:.1f} %"),
        transform=axes.transAxes,
        ha="right",
        fontsize=7,
    )


def _edge_axes(axes: "Axes", reading: PhantomReading) -> None:
    axes.set_title("Slanted edges (FL)", loc="left")
    if not reading.edges:
        _said(axes, "not measured")
        return
    inset = axes.inset_axes((0.62, 0.16, 0.38, 0.42))
    for edge, colour in zip(reading.edges, (_BLUE, "#D55E00", "#009E73", "#CC79A7"), strict=False):
        axes.plot(edge.distance_px * reading.fl.mm_per_px, edge.level, color=colour, linewidth=0.9, label=edge.side)
        inset.plot(edge.frequency_lp_mm, edge.mtf, color=colour, linewidth=0.9)
    inset.axhline(0.5, color=_GREY, linestyle=":", linewidth=0.8)
    half = 0.5 / reading.fl.mm_per_px
    inset.set(xlim=(0, half), ylim=(0, 1.05), yticks=[0, 0.5, 1])
    inset.set_xlabel("lp/mm", fontsize=6)
    inset.tick_params(labelsize=6)
    axes.set(xlabel="mm across the edge", ylabel="level", xlim=(-1.0, 1.0), ylim=(-0.05, 1.1))
    axes.legend(fontsize=6, loc="upper left", frameon=False)
    if "fl_mtf50_lp_mm" in reading.values:
        inset.set_title(f"MTF50 {reading.values['fl_mtf50_lp_mm']:.2f} lp/mm", fontsize=7)


def _table_axes(axes: "Axes", result: PhantomResult) -> None:
    from matplotlib.transforms import Bbox

    axes.axis("off")
    rows = [
        (line.label, f"{line.value:.4g} {line.unit}".rstrip(), span(line), line.verdict.value) for line in result.lines
    ]
    table = axes.table(
        rows or [("", "", "", "")],
        colLabels=["measure", "value", "passes", "verdict"],
        colWidths=[0.44, 0.25, 0.2, 0.11],
        cellLoc="left",
        bbox=Bbox.unit(),
    )
    table.auto_set_font_size(False)
    table.set_fontsize(6.5)
    for (row, column), cell in table.get_celld().items():
        cell.set(edgecolor="#E4E4E4", linewidth=0.5)
        if row == 0:
            cell.set_text_props(fontweight="bold")
        elif column == 3 and result.lines:
            cell.set_text_props(color=_COLOURS[result.lines[row - 1].verdict], fontweight="bold")


def span(line: PhantomLine) -> str:
    """The values of a line that pass, as people write it."""
    low, high = line.low, line.high
    if low is not None and high is not None:
        return f"{low:.3g} to {high:.3g}"
    if high is not None:
        return f"up to {high:.3g}"
    return "" if low is None else f"from {low:.3g}"


def _said(axes: "Axes", words: str) -> None:
    axes.axis("off")
    text: Any = axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", color=_GREY)
    text.set_fontsize(9)

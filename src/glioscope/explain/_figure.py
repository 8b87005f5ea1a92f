"""The views of several images as one figure, laid out as Fig. 3 of Shen et al. 2021."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from glioscope import RESEARCH_USE
from glioscope._drawing import OPTIONS, draw
from glioscope.core import InputError, atomic_file

from ._colours import SIGNED, UNSIGNED, draw_views
from ._explainer import Explanation
from ._views import VIEWS, Scale

TITLES: Final = {
    "coloured_gcam": "Coloured GCAM",
    "gcam_saliency": "GCAM saliency",
    "saliency_x_image": "Saliency × image",
    "gcam_heatmap": "GCAM heatmap",
    "heatmap_x_image": "Heatmap × image",
}
NAMES: Final = {"fl": "FL", "wl": "WL"}
_CELL: Final = 1.32
"""Width of a picture in inches."""
_TEXT: Final = 1.75
_BOTTOM: Final = 0.95
_TOP: Final = 0.42
_BAR_MM: Final = 5.0
_RC: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "svg.fonttype": "none",
    "svg.hashsalt": "glioscope",
    "image.interpolation": "nearest",
}


@dataclass(frozen=True, slots=True)
class FigureRow:
    """One image of an explained specimen, its scale, and what the pathologist says of it ("" if unknown)."""

    explanation: Explanation
    image: str
    """Input: "fl" or "wl"."""
    scale: Scale
    label: str = ""


def explanation_figure(rows: Sequence[FigureRow], *, images_kind: str, signed: bool = False, note: str = "") -> Figure:
    """One row an image: the image and its five views; left what was answered and explained, below what it means.

    Parameters
    ----------
    rows : in the order of the paper's Fig. 3: FL non-tumour, FL tumour, WL non-tumour, WL tumour.
    images_kind : "simulated", "real" or "unspecified": what the images are.
    signed : draw signed heatmaps.
    note : how the rows were chosen.

    Raises
    ------
    InputError : no row, or an image that the explanation does not have.
    """
    if not rows:
        raise InputError("a figure needs at least one explained image, got 0")
    for row in rows:
        if row.image not in row.explanation.images:
            raise InputError(f"the explanation of {row.explanation.specimen_id} has no {row.image!r} image")
    shares = [_height(row) for row in rows]
    width, height = _TEXT + 6 * _CELL, _TOP + sum(shares) + _BOTTOM
    with mpl.rc_context(_RC):
        plot = Figure(figsize=(width, height))
        top = height - _TOP
        for number, (row, share) in enumerate(zip(rows, shares, strict=True)):
            top -= share
            _draw_row(plot, row, top, share, signed=signed, titled=number == 0)
        _draw_foot(plot, rows, images_kind, note, signed=signed)
    return plot


def write_explanation_figure(plot: Figure, folder: Path, name: str = "figure") -> list[Path]:
    """Write NAME.png and NAME.svg; gives their paths."""
    paths = {suffix: folder / f"{name}.{suffix}" for suffix in OPTIONS if suffix in ("png", "svg")}
    with mpl.rc_context(_RC):
        for suffix, path in paths.items():
            with atomic_file(path) as temporary:
                draw(plot, {suffix: temporary})
    return list(paths.values())


def _height(row: FigureRow) -> float:
    pixels = row.explanation.images[row.image].image
    return _CELL * float(min(max(pixels.shape[0] / pixels.shape[1], 0.5), 1.6))


def _draw_row(plot: Figure, row: FigureRow, bottom: float, share: float, *, signed: bool, titled: bool) -> None:
    shown = row.explanation.images[row.image]
    views = draw_views(shown.views, shown.image, shown.mask, row.scale, signed=signed)
    width, height = plot.get_size_inches()
    pictures = {"image": shown.image, **{name: views[name] for name in VIEWS}}
    for column, (name, picture) in enumerate(pictures.items()):
        place = ((_TEXT + column * _CELL + 0.03) / width, (bottom + 0.03) / height)
        axes = plot.add_axes((*place, (_CELL - 0.06) / width, (share - 0.06) / height))
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
        axes.set_axis_off()
        if titled:
            axes.set_title(TITLES.get(name, "Image"), fontsize=8)
        if column == 0:
            _draw_bar(axes, row)
        if column == 1 and not shown.views.gcam_heatmap.any():
            words = "nothing here speaks\nfor the class"
            axes.text(0.5, 0.5, words, transform=axes.transAxes, color="white", ha="center", va="center", fontsize=6.5)
    plot.text(0.06 / width, (bottom + share / 2) / height, _row_text(row), va="center", fontsize=6.5, linespacing=1.35)


def _draw_bar(axes: Axes, row: FigureRow) -> None:
    """A bar of 5 mm, where the size of a pixel is known."""
    mm_per_px = row.explanation.mm_per_px
    height, width = row.explanation.images[row.image].image.shape[:2]
    if mm_per_px is None or _BAR_MM / mm_per_px > 0.8 * width:
        return
    length = _BAR_MM / mm_per_px
    x, y = 0.05 * width, 0.94 * height
    axes.add_patch(Rectangle((x, y), length, 0.015 * height, color="white"))
    axes.text(x + length / 2, y - 0.02 * height, f"{_BAR_MM:g} mm", color="white", ha="center", va="bottom", fontsize=6)


def _row_text(row: FigureRow) -> str:
    explanation = row.explanation
    answer = explanation.answer
    lines = [f"{NAMES[row.image]}  {_shortened(explanation.specimen_id)}"]
    if row.label:
        lines.append(f"pathology: {row.label}")
    lines.append(f"answer: {answer.answer}")
    lines += [f"({textwrap.shorten(reason.name, 24)})" for reason in answer.reasons[:1] if answer.y_score is None]
    if answer.y_score is not None:
        side = ""
        if answer.threshold is not None:
            side = f" {'≥' if answer.y_score >= answer.threshold else '<'} {answer.threshold:.2f}"
        lines.append(f"score {answer.y_score:.2f}{side}")
    lines.append(f"shown: evidence for\n{explanation.target.name}")
    return "\n".join(lines)


def _shortened(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"


def _draw_foot(plot: Figure, rows: Sequence[FigureRow], images_kind: str, note: str, *, signed: bool) -> None:
    width, height = plot.get_size_inches()
    names = sorted({row.explanation.info.name for row in rows})
    kinds = {row.explanation.info.provenance.data_kind for row in rows}
    _draw_key(plot, ("against", "for") if signed else ("none", "strong"), signed=signed)
    scales = "; ".join(dict.fromkeys(row.scale.note for row in rows))
    lines = [
        f"Scale: {scales}. Views are cut to the specimen's outline.",
        "Coloured GCAM: black is nothing; colours are those image channels whose rise speaks for the class. "
        f"GCAM (gradient-weighted class activation map): {_cells(rows)} cells.",
        note,
        f"Network{'s' if len(names) > 1 else ''}: {', '.join(names)}. {_data_note(images_kind, kinds)} {RESEARCH_USE}",
    ]
    text = "\n".join(line for line in lines if line)
    plot.text(_TEXT / width, 0.08 / height, text, fontsize=6.5, va="bottom", linespacing=1.4)


def _cells(rows: Sequence[FigureRow]) -> str:
    """How coarse the heatmaps are, as in "4 × 4"."""
    shapes = dict.fromkeys(row.explanation.images[row.image].cam.shape for row in rows)
    return " or ".join(f"{height} × {width}" for height, width in shapes)


def _draw_key(plot: Figure, ends: tuple[str, str], *, signed: bool) -> None:
    width, height = plot.get_size_inches()
    axes = plot.add_axes((0.2 / width, 0.5 / height, (_TEXT - 0.55) / width, 0.1 / height))
    colours = ScalarMappable(Normalize(0, 1), SIGNED if signed else UNSIGNED)
    bar = plot.colorbar(colours, cax=axes, orientation="horizontal", ticks=[0, 1])
    bar.ax.set_xticklabels(ends, fontsize=6)
    bar.ax.set_title("evidence (heatmap)" if signed else "evidence (saliency, heatmap)", fontsize=6.5, pad=3)
    bar.outline.set_visible(False)


def _data_note(images_kind: str, trained_on: set[str]) -> str:
    def said(kind: str) -> str:
        return {"simulated": "SIMULATED", "real": "real"}.get(kind, "of unstated origin")

    trained = " and ".join(sorted(said(kind) for kind in trained_on))
    return f"Images: {said(images_kind)}; trained on images {trained}." if images_kind else f"Trained on: {trained}."

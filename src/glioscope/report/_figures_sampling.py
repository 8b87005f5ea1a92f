"""Figure of the sampling scheme: where on the tumour's margin the specimens came from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Plot
from matplotlib.patches import Wedge

from glioscope.core import InputError

from ._document import Figure
from ._style import COLUMN, INK, journal, new_plot


@dataclass(frozen=True, slots=True)
class SectorSize:
    """Specimens from one sector (1-8) of the tumours' cross-sections: all, those with a label, tumour among these."""

    sector: int
    specimens: int
    labelled: int
    tumour: int


def sampling(
    sectors: Sequence[SectorSize], caption: str, *, without_sector: int = 0, name: str = "figure-s2-sampling"
) -> Figure:
    """The sampling scheme (the paper's Fig. S2): the tumour's margin in 8 sectors, what came from each.

    Parameters
    ----------
    sectors : at most one for each of 1-8. Empty: the scheme as the paper describes it, said to be a sketch.
    without_sector : specimens whose sector is not recorded.

    Raises
    ------
    InputError : a sector outside 1-8 or given twice, or counts that contradict each other.
    """
    _check_sectors(sectors)
    with journal():
        plot = _draw_ring({size.sector: size for size in sectors})
    if not sectors:
        alt = "Sketch: the margin of the tumour in 8 equal sectors, about 10 specimens a patient from each."
        return Figure(name, "Sampling scheme (sketch: no sectors recorded)", f"{caption} {alt}".strip(), alt, plot)
    counts = [f"sector {s.sector}: {s.specimens}, {s.tumour} tumour of {s.labelled} labelled" for s in sectors]
    alt = f"Specimens by sector of the tumour's margin. {'; '.join(counts)}. Without a sector: {without_sector}."
    note = "Bold: sector. Inside: specimens, and the share of tumour among those with a label; darker is more."
    missing = f" {without_sector} specimens have no sector." if without_sector else ""
    return Figure(name, "Sampling scheme", f"{caption} {note}{missing}".strip(), alt, plot)


def _check_sectors(sectors: Sequence[SectorSize]) -> None:
    seen: set[int] = set()
    for size in sectors:
        if not 1 <= size.sector <= 8 or size.sector in seen:
            raise InputError(f"sector {size.sector} is given twice or is not one of 1 to 8")
        if not 0 <= size.tumour <= size.labelled <= size.specimens:
            counts = f"{size.tumour} tumour, {size.labelled} labelled, {size.specimens} specimens"
            raise InputError(f"sector {size.sector} has {counts}; each must be at least 0 and at most the next")
        seen.add(size.sector)


def _draw_ring(sectors: Mapping[int, SectorSize]) -> Plot:
    """Eight sectors clockwise from the top; shade is the share of tumour."""
    shades = ScalarMappable(Normalize(0, 1), mpl.colormaps["Oranges"])
    plot = new_plot(COLUMN, 2.9)
    axes = plot.add_subplot()
    for sector in range(1, 9):
        middle = 90 - 45 * (sector - 0.5)
        size = sectors.get(sector)
        share = size.tumour / size.labelled if size is not None and size.labelled else None
        colour = "white" if share is None else shades.cmap(share)
        axes.add_patch(Wedge((0, 0), 1, middle - 22.5, middle + 22.5, width=0.6, fc=colour, ec=INK, lw=0.8))
        dark = share is not None and share > 0.6
        inside = _sector_text(size, bool(sectors))
        _write(axes, 0.71, middle, inside, color="white" if dark else INK, fontsize=7)
        _write(axes, 1.1, middle, str(sector), weight="bold")
    _write(axes, 0, 0, "tumour\ncross-section" + ("" if sectors else "\n(sketch)"), fontsize=7)
    axes.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
    axes.set_axis_off()
    if sectors:
        bar = plot.colorbar(shades, ax=axes, shrink=0.6, ticks=[0, 0.5, 1], label="share of tumour")
        bar.ax.set_yticklabels(["0 %", "50 %", "100 %"])
    return plot


def _write(axes: Axes, radius: float, degrees: float, text: str, **look: Any) -> None:
    angle = math.radians(degrees)
    axes.text(radius * math.cos(angle), radius * math.sin(angle), text, ha="center", va="center", **look)


def _sector_text(size: SectorSize | None, recorded: bool) -> str:
    if not recorded:
        return "about\n10"
    if size is None or not size.specimens:
        return "0"
    return f"{size.specimens}\n{100 * size.tumour / size.labelled:.0f} %" if size.labelled else f"{size.specimens}\n–"

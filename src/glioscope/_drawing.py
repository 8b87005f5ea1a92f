"""Drawing a figure into files: what worker processes run.

It imports nothing of ours and of others only matplotlib, so that workers start quickly and stay small.

Every PDF embeds a subset of its font (TrueType, as journals want it), and to subset it the whole font is read: most of
DejaVu Sans are layout tables that matplotlib does not use. Without them a PDF takes a quarter of the time.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from fontTools import subset
from matplotlib import font_manager
from matplotlib.figure import Figure as Plot

DPI: Final = 300
# No dates: the same figure gives the same bytes. zlib's quickest level saves a third of a PNG's time.
OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
    "png": {"pil_kwargs": {"compress_level": 1}},
}
FAMILY: Final = "DejaVu Sans"
_LAYOUT_TABLES: Final = ("GSUB", "GPOS", "GDEF")
_CHARACTERS: Final = (*range(0x20, 0x250), *range(0x370, 0x400), *range(0x2000, 0x2300))
"""Latin, Greek, punctuation, arrows and mathematical signs. Anything else is taken from the whole font."""


def draw(plot: Plot, files: Mapping[str, Path]) -> None:
    """Draw one figure into a file of each suffix of `OPTIONS`; the layout is made once and is the same in all."""
    engine = plot.get_layout_engine()
    if engine is not None:
        engine.execute(plot)
        plot.set_layout_engine("none")
    for suffix, file in files.items():
        plot.savefig(file, dpi=DPI, format=suffix, **OPTIONS[suffix])


def set_up(settings: dict[Any, Any]) -> None:
    """Prepare a process for drawing: matplotlib's settings, and the fonts."""
    mpl.rcParams.update(settings)
    # A name with a character that no font here has is drawn with a box; that is all there is to say of it.
    warnings.filterwarnings("ignore", "Glyph .* missing from font")
    use_print_fonts()


def use_print_fonts() -> None:
    """Put the reduced fonts before the whole ones; made once and kept in matplotlib's cache."""
    listed = font_manager.fontManager.ttflist
    for weight in ("normal", "bold"):
        path = _reduced(weight)
        if not any(entry.fname == str(path) for entry in listed):
            font_manager.fontManager.addfont(path)
            listed.insert(0, listed.pop())


def _reduced(weight: str) -> Path:
    path = Path(mpl.get_cachedir()) / f"glioscope-{mpl.__version__}-{weight}.ttf"
    if not path.is_file():
        whole = font_manager.findfont(font_manager.FontProperties(family=FAMILY, weight=weight))
        options = subset.Options(glyph_names=True, notdef_outline=True, layout_features=[])
        options.drop_tables += _LAYOUT_TABLES
        font = subset.load_font(whole, options)
        wanted = subset.Subsetter(options)
        wanted.populate(unicodes=_CHARACTERS)
        wanted.subset(font)
        part = path.with_suffix(f".{id(font)}.part")
        font.save(part)
        part.replace(path)
    return path

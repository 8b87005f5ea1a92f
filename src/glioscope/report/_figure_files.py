"""Figures of the report as files: SVG and PDF for a journal, PNG of 300 dpi for slides."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from joblib import Parallel, cpu_count, delayed

from glioscope.core import atomic_file

from ._document import Figure
from ._style import journal
from ._tables import check_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Plot

_DPI: Final = 300
# No dates: the same figure gives the same bytes. zlib's quickest level saves a third of a PNG's time.
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
    "png": {"pil_kwargs": {"compress_level": 1}},
}
_FIGURES_PER_WORKER: Final = 4
"""A worker takes as long to start as this many figures take to draw."""
_MAX_WORKERS: Final = 4
"""Each holds about 130 MB."""


def write_figures(figures: Sequence[Figure], folder: Path | str) -> dict[str, str]:
    """Write NAME.svg, NAME.pdf and NAME.png of every figure into `folder`, each file atomically.

    Several figures are drawn in parallel processes. The bytes do not depend on when, where or in how many.

    Returns
    -------
    The SVG text of each figure by name, as `render_html` takes it.

    Raises
    ------
    InputError : two figures of one name, or a name that is no file name.
    OSError : the folder cannot be written.
    """
    check_names("figure", [figure.name for figure in figures])
    workers = max(1, min(cpu_count(), len(figures) // _FIGURES_PER_WORKER, _MAX_WORKERS))
    # Memory-mapped arrays would come back read-only, which matplotlib's artists are not made for.
    pool = Parallel(n_jobs=workers, max_nbytes=None, return_as="generator")
    drawn = pool(delayed(draw)(figure.plot) for figure in figures)
    texts = {}
    for figure, files in zip(figures, drawn, strict=True):
        for suffix, content in files.items():
            with atomic_file(Path(folder) / f"{figure.name}.{suffix}") as temporary:
                temporary.write_bytes(content)
        texts[figure.name] = files["svg"].decode("utf-8")
    return texts


def draw(plot: "Plot") -> dict[str, bytes]:
    """The figure as bytes of each format, by suffix; fixes its layout, which is the same in all three."""
    with journal():
        engine = plot.get_layout_engine()
        if engine is not None:
            engine.execute(plot)
            plot.set_layout_engine("none")
        return {suffix: _draw_as(plot, suffix) for suffix in _OPTIONS}


def _draw_as(plot: "Plot", suffix: str) -> bytes:
    stream = io.BytesIO()
    plot.savefig(stream, format=suffix, dpi=_DPI, **_OPTIONS[suffix])
    return stream.getvalue()

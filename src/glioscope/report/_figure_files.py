"""Figures of the report as files: SVG and PDF for a journal, PNG of 300 dpi for slides."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from joblib import Parallel, cpu_count, delayed

from glioscope._print_fonts import set_up, use_print_fonts
from glioscope.core import atomic_file

from ._document import Figure
from ._style import RC, journal
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
_FIGURES_PER_WORKER: Final = 3
"""A worker takes as long to start as this many figures take to draw."""
_MAX_WORKERS: Final = 4
"""Each holds about 120 MB."""


def write_figures(figures: Sequence[Figure], folder: Path | str) -> dict[str, str]:
    """Write NAME.svg, NAME.pdf and NAME.png of every figure into `folder`, each file atomically; fixes their layout.

    Many figures are drawn in parallel processes. The bytes do not depend on when, where or in how many.

    Returns
    -------
    The SVG text of each figure by name, as `render_html` takes it.

    Raises
    ------
    InputError : two figures of one name, or a name that is no file name.
    OSError : the folder cannot be written.
    """
    check_names("figure", [figure.name for figure in figures])
    use_print_fonts()
    with journal(), ExitStack() as files:
        jobs = []
        for figure in figures:
            _fix_layout(figure.plot)
            for suffix, options in _OPTIONS.items():
                file = files.enter_context(atomic_file(Path(folder) / f"{figure.name}.{suffix}"))
                jobs.append(delayed(figure.plot.savefig)(file, dpi=_DPI, **options))
        _pool(len(figures))(jobs)
    return {figure.name: (Path(folder) / f"{figure.name}.svg").read_text(encoding="utf-8") for figure in figures}


def _fix_layout(plot: "Plot") -> None:
    """Place the parts of a figure once, which takes as long as drawing, and alike for all formats."""
    engine = plot.get_layout_engine()
    if engine is not None:
        engine.execute(plot)
        plot.set_layout_engine("none")


def _pool(count: int) -> Parallel:
    """Processes for `count` figures, this one alone for few.

    Workers call functions of matplotlib only and import nothing of ours, which saves two seconds and half the memory.
    They are not forked: the fork of a process with threads, NumPy's or a progress bar's, can wait for ever.
    """
    workers = min(cpu_count(), count // _FIGURES_PER_WORKER, _MAX_WORKERS)
    if workers < 2:
        return Parallel(n_jobs=1)
    # Memory-mapped arrays would come back read-only, which matplotlib's artists are not made for.
    return Parallel(n_jobs=workers, backend="loky", max_nbytes=None, initializer=set_up, initargs=(RC,))

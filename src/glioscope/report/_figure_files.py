"""Figures of the report as files: SVG and PDF for a journal, PNG of 300 dpi for slides."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import Final

from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky import get_reusable_executor

from glioscope._drawing import OPTIONS, draw, set_up, use_print_fonts
from glioscope.core import atomic_file

from ._document import Figure
from ._style import RC, journal
from ._tables import check_names

_FIGURES_PER_WORKER: Final = 3
"""A worker takes as long to start as this many figures take to draw."""
_MAX_WORKERS: Final = 4
"""Each holds about 120 MB."""


@contextmanager
def drawing_workers() -> Iterator[None]:
    """Inside it the processes that `write_figures` draws in start while something else is done; after it they are gone.

    Left alone they would keep a command waiting for most of a second at its end.
    """
    pool = _pool(_MAX_WORKERS * _FIGURES_PER_WORKER)
    starting = Thread(target=pool, args=([delayed(int)() for _ in range(pool.n_jobs)],), daemon=True)
    starting.start()
    try:
        yield
    finally:
        starting.join()
        get_reusable_executor().shutdown(wait=False, kill_workers=True)


def write_figures(figures: Sequence[Figure], folder: Path | str) -> dict[str, str]:
    """Write NAME.svg, NAME.pdf and NAME.png of every figure into `folder`, each file atomically.

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
    with journal(), ExitStack() as stack:
        jobs = []
        for figure in figures:
            names = {suffix: Path(folder) / f"{figure.name}.{suffix}" for suffix in OPTIONS}
            files = {suffix: stack.enter_context(atomic_file(name)) for suffix, name in names.items()}
            jobs.append(delayed(draw)(figure.plot, files))
        _pool(len(figures))(jobs)
    return {figure.name: (Path(folder) / f"{figure.name}.svg").read_text(encoding="utf-8") for figure in figures}


def _pool(count: int) -> Parallel:
    """Processes for `count` figures, this one alone for few.

    They do not fork, because a fork of a process with threads (NumPy's, a progress bar's) can wait for ever.
    """
    workers = min(cpu_count(), count // _FIGURES_PER_WORKER, _MAX_WORKERS)
    if workers < 2:
        return Parallel(n_jobs=1)
    # Memory-mapped arrays would come back read-only, which matplotlib's artists are not made for.
    return Parallel(n_jobs=workers, backend="loky", max_nbytes=None, initializer=set_up, initargs=(RC,))

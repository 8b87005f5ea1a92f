"""What a split must put on each side: specimens per patient and class, and which classes are indispensable."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glioscope.core import SplitError, Task

from ._labels import labels, specimen_patients
from ._manifest import Cohort

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Needs:
    """Counts that a split is judged by. K patients in sorted order, M cells (a cell is a class of a task).

    Attributes
    ----------
    sizes : float64 (K,), specimens of each patient. counts : float64 (K, M), specimens of each patient in each cell.
    hard : bool (M,), cells that training and test must both have. positive : bool (M,), positive classes of binary
        tasks. binary : bool (M,), both classes of binary tasks. names : what an error calls each cell.
    """

    patients: tuple[str, ...]
    sizes: FloatArray
    counts: FloatArray
    hard: BoolArray
    positive: BoolArray
    binary: BoolArray
    names: tuple[str, ...]

    def missing(self, side: BoolArray) -> list[str]:
        """Names of the hard cells that a set of patients (bool (K,)) has none of."""
        absent = self.hard & ~np.any(self.counts[side] > 0, axis=0)
        return [name for name, gone in zip(self.names, absent, strict=True) if gone]


@dataclass(frozen=True, slots=True)
class _Cell:
    name: str
    members: BoolArray
    hard: bool
    positive: bool = False
    binary: bool = True


def find_needs(cohort: Cohort, tasks: Mapping[str, Task] | Iterable[Task]) -> Needs:
    """Count the cells of all tasks.

    A binary task has two hard cells. An ordinal task has two hard cells as well: below and above the boundary between
    levels that has most patients on its scarcer side, so that at least one logit can be trained and tested; its
    levels are cells that are wished for.

    Raises
    ------
    SplitError : a task without labels or with one class, or a hard cell that only one patient has.
    """
    owners = specimen_patients(cohort)
    patients = tuple(sorted(set(owners)))
    index = {patient: k for k, patient in enumerate(patients)}
    rows = np.array([index[patient] for patient in owners], dtype=np.intp)
    if len(patients) < 2:
        raise SplitError(f"{cohort.path}: all specimens are of patient {patients[0]}; a split needs two patients")
    chosen = list(tasks.values()) if isinstance(tasks, Mapping) else list(tasks)
    cells: list[_Cell] = []
    for task in chosen:
        values = labels(cohort, task).to_numpy(dtype=np.float64)
        cells += _ordinal_cells(cohort, task, values, rows) if task.ordinal else _binary_cells(cohort, task, values)
    counts = np.zeros((len(patients), len(cells)))
    for m, cell in enumerate(cells):
        counts[:, m] = np.bincount(rows[cell.members], minlength=len(patients))
    needs = Needs(
        patients,
        np.bincount(rows, minlength=len(patients)).astype(np.float64),
        counts,
        np.array([cell.hard for cell in cells], dtype=np.bool_),
        np.array([cell.positive for cell in cells], dtype=np.bool_),
        np.array([cell.binary for cell in cells], dtype=np.bool_),
        tuple(cell.name for cell in cells),
    )
    _check_possible(cohort, needs)
    return needs


def _binary_cells(cohort: Cohort, task: Task, values: FloatArray) -> list[_Cell]:
    cells = []
    for level, name in enumerate(task.class_names):
        if not np.any(values == level):
            raise SplitError(f"{cohort.path}: task {task.name}: no specimen is {name}; both classes are needed")
        cells.append(_Cell(f"{name} (task {task.name})", values == level, hard=True, positive=level == 1))
    return cells


def _ordinal_cells(cohort: Cohort, task: Task, values: FloatArray, rows: npt.NDArray[np.intp]) -> list[_Cell]:
    present = [level for level in range(len(task.levels)) if np.any(values == level)]
    if len(present) < 2:
        found = f"all have level {task.levels[present[0]]}" if present else "no specimen has a label"
        raise SplitError(f"{cohort.path}: task {task.name}: {found}; two levels are needed")

    def scarcer(level: int) -> int:
        below, above = rows[values < level], rows[values >= level]
        return min(np.unique(below).size, np.unique(above).size)

    boundary = max(present[1:], key=scarcer)
    name = task.levels[boundary]
    cells = [
        _Cell(f"level below {name} (task {task.name})", values < boundary, hard=True, binary=False),
        _Cell(f"level {name} or above (task {task.name})", values >= boundary, hard=True, binary=False),
    ]
    wished = [level for level in present if np.unique(rows[values == level]).size > 1]
    return cells + [
        _Cell(f"level {task.levels[level]} (task {task.name})", values == level, hard=False, binary=False)
        for level in wished
    ]


def _check_possible(cohort: Cohort, needs: Needs) -> None:
    for m in np.flatnonzero(needs.hard):
        owners = np.flatnonzero(needs.counts[:, m] > 0)
        if owners.size == 1:
            only = needs.patients[int(owners[0])]
            raise SplitError(
                f"{cohort.path}: only patient {only} has {needs.names[m]}; training and test need one patient each"
            )

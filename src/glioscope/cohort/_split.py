"""Dividing patients into train, tune and test, so that no patient is ever on two sides.

How a set is accepted. Many random sets of patients are drawn; each takes patients in random order up to the number of
specimens nearest to the fraction wanted. The first one drawn that meets the strictest step is taken:

1. share of specimens within 15 % of the fraction (0.255-0.345 for 0.3); share of every class of every binary task
   between 2/3 and 3/2 of it (0.20-0.45); ordinal levels on both sides; two patients of each class left for training;
2. as 1, for positive classes only; 3. as 2, between 1/3 and twice the fraction;
4. share of specimens within 15 %; 5. within 30 %; 6. the set nearest to the fraction of all that were drawn.

Every step has every class of every task on both sides. Tuning patients are drawn the same way out of the training
patients; they may lack a class (a note says so), but never take the last one from training.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from glioscope.core import Role, SplitError, Task

from ._manifest import Cohort
from ._needs import BoolArray, FloatArray, Needs, find_needs

SPLIT_COLUMNS = ("patient_id", "fold", "role")
DEFAULT_TUNE_FRACTION = 0.2
_MAX_TRIES = 20_000
_MAX_DRAWN = 4_000_000
_RESTARTS = 64
Tasks = Mapping[str, Task] | Iterable[Task]


@dataclass(frozen=True, eq=False)
class Split:
    """Who is used for what. `table` has one row a patient and fold: patient_id, fold (0, 1, ...), role."""

    table: pd.DataFrame = field(repr=False)
    seed: int
    scheme: str
    notes: tuple[str, ...] = ()

    @property
    def folds(self) -> tuple[int, ...]:
        """Numbers of the folds, rising."""
        return tuple(sorted(int(fold) for fold in self.table["fold"].unique()))

    def roles(self, fold: int = 0) -> dict[str, Role]:
        """The role of every patient in a fold.

        Raises
        ------
        SplitError : there is no such fold.
        """
        rows = self.table[self.table["fold"] == fold]
        if rows.empty:
            raise SplitError(f"the split has no fold {fold}; it has {', '.join(map(str, self.folds))}")
        return {str(patient): Role(role) for patient, role in zip(rows["patient_id"], rows["role"], strict=True)}

    def patients(self, role: Role | str, fold: int = 0) -> tuple[str, ...]:
        """The patients with a role in a fold, in sorted order."""
        return tuple(sorted(patient for patient, given in self.roles(fold).items() if given == role))


def split_patients(
    cohort: Cohort,
    tasks: Tasks,
    *,
    test_fraction: float = 0.3,
    tune_fraction: float = DEFAULT_TUNE_FRACTION,
    seed: int,
) -> Split:
    """One random split as in the paper, accepted by the steps above.

    Parameters
    ----------
    tasks : every one of them has all its classes among training and test patients; one split serves all.
    test_fraction : of all specimens, between 0 and 1. tune_fraction : of the training specimens, from 0 to below 1.
    seed : the same cohort (in any row order), tasks and seed give the same split.

    Raises
    ------
    SplitError : one patient only, a class that no or only one patient has, or no assignment found.
    """
    _check_fraction("test_fraction", test_fraction, zero=False)
    _check_fraction("tune_fraction", tune_fraction, zero=True)
    needs, rng = find_needs(cohort, tasks), np.random.default_rng(seed)
    test, notes = _choose_test(needs, test_fraction, rng, cohort)
    tune, more = _choose_tune(needs, ~test, tune_fraction, rng)
    notes += _lacking(needs, test) + more
    scheme = f"holdout, test fraction {test_fraction:g}, tune fraction {tune_fraction:g}"
    return Split(_table(needs, [(test, tune)]), seed, scheme, tuple(notes))


def group_folds(
    cohort: Cohort, tasks: Tasks, *, n_folds: int, tune_fraction: float = DEFAULT_TUNE_FRACTION, seed: int
) -> Split:
    """Stratified K-fold by patient: every patient is in test exactly once; classes are spread as evenly as found.

    Raises
    ------
    SplitError : as `split_patients`; fewer patients than folds; or a fold that would leave training without a class.
    """
    needs, rng = find_needs(cohort, tasks), np.random.default_rng(seed)
    if not 2 <= n_folds <= len(needs.patients):
        raise SplitError(f"{n_folds} folds of {len(needs.patients)} patients; give from 2 to the number of patients")
    assigned = _spread(needs, n_folds, rng)
    return _folds(
        cohort, needs, assigned, tune_fraction, seed, f"{n_folds} folds, tune fraction {tune_fraction:g}", rng
    )


def leave_one_patient_out(
    cohort: Cohort, tasks: Tasks, *, tune_fraction: float = DEFAULT_TUNE_FRACTION, seed: int
) -> Split:
    """One fold a patient, who alone is in test; folds follow the sorted patients.

    Raises
    ------
    SplitError : as `split_patients`.
    """
    needs, rng = find_needs(cohort, tasks), np.random.default_rng(seed)
    scheme = f"leave one patient out, tune fraction {tune_fraction:g}"
    return _folds(cohort, needs, np.arange(len(needs.patients)), tune_fraction, seed, scheme, rng)


def _check_fraction(name: str, value: float, *, zero: bool) -> None:
    if not (0 <= value < 1 and (zero or value > 0)):
        raise SplitError(f"{name} {value:g} is out of range; give {'from 0' if zero else 'above 0'} to below 1")


def _draw(sizes: FloatArray, fraction: float, widest: tuple[float, float], rng: np.random.Generator) -> BoolArray:
    """Random sets of patients (n_tries, K): in random order, up to the share of specimens nearest to a target.

    The target is `fraction` in the first half of the tries and anything in `widest` in the second, because a few large
    patients can leave no acceptable set near `fraction`.
    """
    count = sizes.size
    tries = int(np.clip(_MAX_DRAWN // count, 200, _MAX_TRIES))
    order = np.argsort(rng.random((tries, count)), axis=1)
    targets = np.where(np.arange(tries) < tries // 2, fraction, rng.uniform(*widest, tries))
    share = np.cumsum(sizes[order], axis=1) / sizes.sum()
    last = np.abs(share[:, :-1] - targets[:, None]).argmin(axis=1)
    drawn = np.zeros((tries, count), dtype=np.bool_)
    np.put_along_axis(drawn, order, np.arange(count) <= last[:, None], axis=1)
    return drawn


def _within(share: FloatArray, low: float, high: float) -> BoolArray:
    inside: BoolArray = (share >= low - 1e-9) & (share <= high + 1e-9)
    return inside


def _choose_test(
    needs: Needs, fraction: float, rng: np.random.Generator, cohort: Cohort
) -> tuple[BoolArray, list[str]]:
    drawn = _draw(needs.sizes, fraction, (0.0, 1.0), rng)
    has = (needs.counts > 0).astype(np.float64)
    in_test, in_rest = drawn @ has, (~drawn) @ has
    share = drawn @ needs.sizes / needs.sizes.sum()
    class_share = drawn @ needs.counts / needs.counts.sum(axis=0)
    possible = np.all((in_test > 0)[:, needs.hard], axis=1) & np.all((in_rest > 0)[:, needs.hard], axis=1)
    roomy = np.minimum(2, has.sum(axis=0) - 1)
    wished = possible & np.all(in_test > 0, axis=1) & np.all(in_rest >= np.where(needs.hard, roomy, 1), axis=1)
    near = _within(share, 0.85 * fraction, 1.15 * fraction)
    even = _within(class_share, 2 / 3 * fraction, 3 / 2 * fraction)
    loose = _within(class_share, fraction / 3, 2 * fraction)
    steps = (
        wished & near & np.all(even[:, needs.binary], axis=1),
        wished & near & np.all(even[:, needs.positive], axis=1),
        wished & near & np.all(loose[:, needs.positive], axis=1),
        possible & near,
        possible & _within(share, 0.7 * fraction, 1.3 * fraction),
        possible,
    )
    for number, accepted in enumerate(steps, start=1):
        if accepted.any():
            off = np.abs(share - fraction) if number == len(steps) else np.zeros(len(share))
            chosen = int(np.argmin(np.where(accepted, off, np.inf)))
            note = f"test set accepted at step {number} of {len(steps)}: {share[chosen]:.3f} of the specimens"
            return drawn[chosen], [note]
    scarce = needs.hard & (np.all(in_test == 0, axis=0) | np.all(in_rest == 0, axis=0))
    rarest = np.where(needs.hard, has.sum(axis=0), np.inf)
    worst = int(np.flatnonzero(scarce)[0]) if scarce.any() else int(np.argmin(rarest))
    raise SplitError(
        f"{cohort.path}: none of {len(drawn)} random assignments has every class in training and in test; "
        f"the scarcest is {needs.names[worst]}, which {int(has[:, worst].sum())} patients have"
    )


def _choose_tune(
    needs: Needs, rest: BoolArray, fraction: float, rng: np.random.Generator, where: str = ""
) -> tuple[BoolArray, list[str]]:
    """Tuning patients out of `rest` (bool (K,)); what they lack goes into the notes."""
    none = np.zeros_like(rest)
    if fraction == 0:
        return none, []
    _check_fraction("tune_fraction", fraction, zero=True)
    index = np.flatnonzero(rest)
    if index.size < 2:
        return none, [f"{where}no tuning patients: training has one patient only"]
    sizes, counts = needs.sizes[index], needs.counts[index]
    drawn, has = _draw(sizes, fraction, (fraction, 1.75 * fraction), rng), (counts > 0).astype(np.float64)
    keeps = np.all(((~drawn) @ has > 0)[:, needs.hard], axis=1)
    if not keeps.any():
        return none, [f"{where}no tuning patients: any of them would take a class from training"]
    lacks = ((drawn @ has == 0) & needs.hard).sum(axis=1)
    share = drawn @ sizes / sizes.sum()
    total = counts.sum(axis=0)
    class_share = np.divide(drawn @ counts, total, out=np.full((len(drawn), total.size), fraction), where=total > 0)
    near, even = _within(share, 0.75 * fraction, 1.25 * fraction), _within(class_share, fraction / 3, 2 * fraction)
    step = 2 - near.astype(int) - (near & np.all(even[:, needs.positive], axis=1)).astype(int)
    rank = np.where(keeps, lacks * 10 + step, np.iinfo(np.int64).max)
    tune = none.copy()
    tune[index[drawn[int(np.argmin(rank))]]] = True
    return tune, [f"{where}tune has no {name}" for name in needs.missing(tune)]


def _lacking(needs: Needs, test: BoolArray) -> list[str]:
    """Notes on wished-for cells (ordinal levels) that are not on both sides."""
    notes = []
    for m in np.flatnonzero(~needs.hard):
        for side, name in ((test, "test"), (~test, "train")):
            if not np.any(needs.counts[side, m] > 0):
                notes.append(f"{name} has no {needs.names[m]}")
    return notes


def _spread(needs: Needs, n_folds: int, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """The fold of each patient (K,): the best of several greedy assignments in random order.

    A patient goes where the sum of squared shares (of specimens and of every cell) grows least, which keeps folds
    even. Best means: fewest classes missing from some training side, then from some test side, then most even.
    """
    shares = np.column_stack([needs.sizes, needs.counts]) / np.append(needs.sizes.sum(), needs.counts.sum(axis=0))
    best: tuple[tuple[float, ...], np.ndarray[tuple[int], np.dtype[np.intp]]] | None = None
    for _ in range(_RESTARTS):
        weight = np.linalg.norm(shares, axis=1) * np.exp(rng.normal(0, 0.3, len(shares)))
        filled, fold_of = np.zeros((n_folds, shares.shape[1])), np.zeros(len(shares), dtype=np.intp)
        for patient in np.argsort(-weight):
            cost = filled @ shares[patient] + rng.random(n_folds) * 1e-12
            fold_of[patient] = np.argmin(cost)
            filled[fold_of[patient]] += shares[patient]
        hard = filled[:, 1:][:, needs.hard]
        rank = (float(np.sum(hard > 1 - 1e-9)), float(np.sum(hard <= 0)), float(np.sum(filled**2)))
        if best is None or rank < best[0]:
            best = (rank, fold_of)
    if best is None:
        raise SplitError("no assignment to folds was tried")
    return best[1]


def _folds(
    cohort: Cohort,
    needs: Needs,
    assigned: np.ndarray[tuple[int], np.dtype[np.intp]],
    tune_fraction: float,
    seed: int,
    scheme: str,
    rng: np.random.Generator,
) -> Split:
    sides, notes = [], []
    for fold in range(int(assigned.max()) + 1):
        test = assigned == fold
        gone = needs.missing(~test)
        if gone:
            raise SplitError(f"{cohort.path}: fold {fold} would leave training without {', '.join(gone)}")
        if test.sum() > 1:  # one patient alone lacks classes as a matter of course
            notes += [f"fold {fold}: test has no {name}" for name in needs.missing(test)]
        tune, more = _choose_tune(needs, ~test, tune_fraction, rng, where=f"fold {fold}: ")
        notes += more
        sides.append((test, tune))
    return Split(_table(needs, sides), seed, scheme, tuple(notes))


def _table(needs: Needs, sides: list[tuple[BoolArray, BoolArray]]) -> pd.DataFrame:
    parts = []
    for fold, (test, tune) in enumerate(sides):
        roles = np.where(test, Role.TEST.value, np.where(tune, Role.TUNE.value, Role.TRAIN.value))
        parts.append(pd.DataFrame({"patient_id": list(needs.patients), "fold": fold, "role": roles.tolist()}))
    return pd.concat(parts, ignore_index=True)

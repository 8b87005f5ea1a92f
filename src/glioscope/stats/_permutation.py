"""Permutation tests of paired methods, exact where units (patients, donors, folds) are few."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glioscope.core import InputError

from ._estimate import Comparison
from ._input import BoolArray, FloatArray, as_groups, as_labels, as_pair, as_vector
from ._rates import call_cells, rate
from ._resampling import ScoreOrder, chunks

_MAX_UNITS = 20


def permutation_test(
    y_true: npt.ArrayLike,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    metric: str = "auc",
    groups: npt.ArrayLike | None = None,
    ranks: bool = False,
    n_resamples: int = 10_000,
    rng: np.random.Generator | int,
) -> Comparison:
    """Test the difference of two methods on the same specimens by swapping their answers.

    Under no difference, which method gave which of the two answers to a specimen is a coin's toss (Venkatraman and
    Begg 1996 for AUC; Good 2000). With `groups` the answers to all specimens of a patient are swapped together, because
    specimens of a patient are alike. Where all swaps are at most `n_resamples` they are enumerated and P is exact; else
    P = (b + 1) / (B + 1) (Davison and Hinkley 1997).

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1.
    a, b : array-like (n_specimens,); scores for "auc", for other metrics decisions: 0 or 1, or a panel's share of
        positive readings.
    metric : "auc" or a name of `RATES`.
    groups : array-like (n_specimens,) or None; patients.
    ranks : "auc" only: compare ranks within each method, for scores on different scales.
    rng : generator or seed; not used where the swaps are enumerated.

    Returns
    -------
    Comparison, `a - b`, without an interval. `p_smallest_attainable` is the smallest two-sided P: 2 of 2^K for K
    patients that differ, more where swaps cannot be told apart; 1 / (B + 1) for random swaps.

    Raises
    ------
    InputError : one class only for "auc", NaN, unknown metric, lengths that differ.
    """
    if n_resamples < 1:
        raise InputError(f"n_resamples {n_resamples} is below 1")
    if metric == "auc":
        observed, drawn, exact = _swap_scores(y_true, a, b, ranks, groups, n_resamples, rng)
    else:
        observed, drawn, exact = _swap_calls(y_true, a, b, metric, groups, n_resamples, rng)
    unit = "specimens" if groups is None else "patients"
    n_groups = 0 if groups is None else len(set(map(str, np.asarray(groups, object))))
    drawn = drawn[~np.isnan(drawn)]
    if np.isnan(observed) or not drawn.size:
        return Comparison(observed, method=f"permutation of {unit}", n_groups=n_groups, note="it does not exist")
    # Differences that are equal on paper differ by rounding; the slack counts them as equal.
    slack = 1e-10
    extra = 0 if exact else 1

    def share(swaps: BoolArray) -> float:
        return float((swaps.sum() + extra) / (drawn.size + extra))

    distance = np.abs(drawn)
    return Comparison(
        observed,
        p_two_sided=share(distance >= abs(observed) - slack),
        p_one_sided=share(drawn >= observed - slack),
        p_smallest_attainable=share(distance >= distance.max() - slack) if exact else 1 / (drawn.size + 1),
        method=f"permutation of {unit} ({f'exact, {drawn.size}' if exact else f'{drawn.size} random'} swaps)",
        n_groups=n_groups,
    )


def _swap_scores(
    y_true: npt.ArrayLike,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    ranks: bool,
    groups: npt.ArrayLike | None,
    n_resamples: int,
    rng: np.random.Generator | int,
) -> tuple[float, FloatArray, bool]:
    """Difference of AUCs as observed and for each swap, and whether these are all the swaps there are."""
    labels, score_a = as_pair(y_true, a)
    score_b = as_pair(labels, b)[1]
    if ranks:
        score_a, score_b = _ranks(score_a), _ranks(score_b)
    # One order of all scores of both methods: a method is a set of weights on it.
    order = ScoreOrder(np.concatenate([labels, labels]), np.concatenate([score_a, score_b]))
    all_above, all_own = order.pairs(np.ones((1, 2 * labels.size)))
    n_pairs = int(labels.sum()) * int((~labels).sum())

    def difference(swap: FloatArray) -> FloatArray:
        above, own = order.pairs(np.concatenate([1 - swap, swap], axis=1))
        # The other method has what is left, so one pass gives both.
        right_a = np.einsum("ij,ij->i", above, own)
        right_b = np.einsum("ij,ij->i", all_above - above, all_own - own)
        return np.asarray((right_a - right_b) / n_pairs)

    units, n_units = (None, labels.size) if groups is None else as_groups(groups, labels.size)
    exact = _enumerable(n_units, n_resamples)
    patterns = _all_patterns(n_units, labels.size) if exact else _random(n_units, n_resamples, labels.size, rng)
    drawn = [difference(pattern if units is None else pattern[:, units]) for pattern in patterns]
    return float(difference(np.zeros((1, labels.size)))[0]), np.concatenate(drawn), exact


def _swap_calls(
    y_true: npt.ArrayLike,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    metric: str,
    groups: npt.ArrayLike | None,
    n_resamples: int,
    rng: np.random.Generator | int,
) -> tuple[float, FloatArray, bool]:
    """The same for a metric of the two-by-two table, to which each unit adds what its swap changes.

    Units that change nothing need no swap, and units that change the same are counted, not listed: a million specimens
    cost no more than their few kinds.
    """
    labels, calls_a, calls_b = as_labels(y_true), as_vector(a, "a"), as_vector(b, "b")
    for name, calls in (("a", calls_a), ("b", calls_b)):
        if calls.size != labels.size:
            raise InputError(f"y_true has {labels.size} values and {name} {calls.size}; they must match")
    cells_a, cells_b = call_cells(labels, calls_a), call_cells(labels, calls_b)
    change = (cells_b - cells_a)[:, :2]
    if groups is not None:
        index, n_groups = as_groups(groups, labels.size)
        change = np.stack([np.bincount(index, column, n_groups) for column in change.T], axis=1)
    change = change[np.abs(change).max(axis=1, initial=0) > 1e-12]
    exact = _enumerable(len(change), n_resamples)
    if exact:
        moved = np.concatenate([pattern @ change for pattern in _all_patterns(len(change), len(change))])
    else:
        kinds, counts = np.unique(change, axis=0, return_counts=True)
        generator = np.random.default_rng(rng)
        swapped = (generator.binomial(counts, 0.5, (n, counts.size)) for n in chunks(n_resamples, counts.size))
        moved = np.concatenate([part @ kinds for part in swapped])
    whole_a, whole_b = cells_a.sum(axis=0), cells_b.sum(axis=0)

    def difference(moved: FloatArray) -> FloatArray:
        table_a, table_b = whole_a[:2] + moved, whole_b[:2] - moved
        return rate(metric, *table_a.T, *whole_a[2:]) - rate(metric, *table_b.T, *whole_b[2:])

    return float(difference(np.zeros((1, 2)))[0]), difference(moved), exact


def _ranks(scores: FloatArray) -> FloatArray:
    """Ranks from 1, ties at their mean."""
    _, index, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks: FloatArray = (np.cumsum(count) - (count - 1) / 2)[index]
    return ranks


def _enumerable(n_units: int, n_resamples: int) -> bool:
    return n_units < 63 and 2**n_units <= n_resamples


def _all_patterns(n_units: int, width: int) -> Iterator[FloatArray]:
    first = 0
    for count in chunks(2**n_units, width):
        numbers = np.arange(first, first + count)
        yield ((numbers[:, None] >> np.arange(n_units)) & 1).astype(np.float64)
        first += count


def _random(n_units: int, n_resamples: int, width: int, rng: np.random.Generator | int) -> Iterator[FloatArray]:
    generator = np.random.default_rng(rng)
    for count in chunks(n_resamples, width):
        bits = np.unpackbits(np.frombuffer(generator.bytes(count * ((n_units + 7) // 8)), np.uint8))
        yield bits.reshape(count, -1)[:, :n_units].astype(np.float64)


@dataclass(frozen=True, slots=True)
class SignFlipResult:
    """Exact two-sided P of a mean difference of zero, and the smallest P these differences could have reached."""

    mean: float
    pvalue: float
    smallest_attainable: float
    n: int


def sign_flip_pvalue(differences: npt.ArrayLike) -> SignFlipResult:
    """Exact two-sided sign-flip test by enumeration of all 2^n sign patterns.

    Parameters
    ----------
    differences : array-like (n,), paired differences of independent units, n from 1 to 20, finite.

    Returns
    -------
    SignFlipResult; `pvalue` is the share of patterns whose sum is at least as far from zero as the observed one.
    The smallest P is 2 / 2^n (0.0625 for five units), more where differences are zero.

    Raises
    ------
    InputError : no values, NaN or infinite values, more than 20 units.
    """
    values = as_vector(differences, "differences")
    if values.size > _MAX_UNITS:
        raise InputError(f"{values.size} differences are over the {_MAX_UNITS} that can be enumerated")
    if not np.isfinite(values).all():
        raise InputError("differences has infinite values")
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    size = np.abs(values).sum()
    # Sums that are equal on paper differ by rounding; the slack counts them as equal.
    slack = 1e-12 * size
    distance = np.abs(sums)
    pvalue = float(np.mean(distance >= abs(values.sum()) - slack))
    return SignFlipResult(float(values.mean()), pvalue, float(np.mean(distance >= size - slack)), int(values.size))

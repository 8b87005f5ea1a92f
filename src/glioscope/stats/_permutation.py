"""Permutation tests of paired methods, exact where units (patients, donors, folds) are few."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from glioscope.core import InputError

from ._estimate import Comparison
from ._input import BoolArray, FloatArray, as_groups, as_labels, as_pair, as_vector
from ._rates import call_cells, rate
from ._resampling import ScoreOrder, chunks

_MAX_UNITS = 20
_Difference = Callable[[FloatArray], FloatArray]
"""Which specimens are swapped, float64 0 or 1 (n_resamples, n_specimens) -> difference (n_resamples,)."""


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
    if metric == "auc":
        labels, difference = _auc_difference(y_true, a, b, ranks)
    else:
        labels, difference = _rate_difference(y_true, a, b, metric)
    units, n_units = (None, labels.size) if groups is None else as_groups(groups, labels.size)
    observed = float(difference(np.zeros((1, labels.size)))[0])
    swapped = "patients" if groups is not None else "specimens"
    n_groups = n_units if groups is not None else 0
    if np.isnan(observed):
        return Comparison(observed, method=f"permutation of {swapped}", n_groups=n_groups, note="it does not exist")
    exact = n_units < 63 and 2**n_units <= n_resamples
    patterns = (
        _all_patterns(n_units, labels.size) if exact else _random_patterns(n_units, n_resamples, labels.size, rng)
    )
    drawn = np.concatenate([difference(pattern if units is None else pattern[:, units]) for pattern in patterns])
    drawn = drawn[~np.isnan(drawn)]
    # Differences that are equal on paper differ by rounding; the slack counts them as equal.
    slack = 1e-10
    extra = 0 if exact else 1
    distance = np.abs(drawn)

    def share(count: np.integer | int) -> float:
        return (int(count) + extra) / (drawn.size + extra)

    largest = np.sum(distance >= distance.max(initial=abs(observed)) - slack)
    return Comparison(
        observed,
        p_two_sided=share(np.sum(distance >= abs(observed) - slack)),
        p_one_sided=share(np.sum(drawn >= observed - slack)),
        p_smallest_attainable=share(largest) if exact else 1 / (drawn.size + 1),
        method=f"permutation of {swapped} ({f'exact, {drawn.size}' if exact else f'{drawn.size} random'} swaps)",
        n_groups=n_groups,
    )


def _auc_difference(
    y_true: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike, ranks: bool
) -> tuple[BoolArray, _Difference]:
    labels, score_a = as_pair(y_true, a)
    score_b = as_pair(labels, b)[1]
    if ranks:
        score_a, score_b = stats.rankdata(score_a), stats.rankdata(score_b)
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

    return labels, difference


def _rate_difference(
    y_true: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike, metric: str
) -> tuple[BoolArray, _Difference]:
    labels, calls_a, calls_b = as_labels(y_true), as_vector(a, "a"), as_vector(b, "b")
    for name, calls in (("a", calls_a), ("b", calls_b)):
        if calls.size != labels.size:
            raise InputError(f"y_true has {labels.size} values and {name} {calls.size}; they must match")
    cells_a, cells_b = call_cells(labels, calls_a), call_cells(labels, calls_b)
    whole_a, whole_b, change = cells_a.sum(axis=0), cells_b.sum(axis=0), cells_b - cells_a

    def difference(swap: FloatArray) -> FloatArray:
        moved = swap @ change
        return rate(metric, *(whole_a + moved).T) - rate(metric, *(whole_b - moved).T)

    return labels, difference


def _all_patterns(n_units: int, width: int) -> Iterator[FloatArray]:
    first = 0
    for count in chunks(2**n_units, width):
        numbers = np.arange(first, first + count)
        yield ((numbers[:, None] >> np.arange(n_units)) & 1).astype(np.float64)
        first += count


def _random_patterns(
    n_units: int, n_resamples: int, width: int, rng: np.random.Generator | int
) -> Iterator[FloatArray]:
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

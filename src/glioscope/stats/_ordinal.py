"""Ordered levels: agreement, their probabilities, and how well each is told from the rest."""

import numpy as np
import numpy.typing as npt

from glioscope.core import InputError

from ._input import FloatArray, as_vector
from ._roc import auc


def quadratic_kappa(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Cohen's kappa with quadratic weights (Cohen 1968).

    Parameters
    ----------
    y_true, y_pred : array-like (n_specimens,), whole-number levels (0..K-1 or 1..K; only differences count).

    Returns
    -------
    float, at most 1; NaN where both are the same constant, because chance alone then agrees fully.

    Raises
    ------
    InputError : NaN, levels that are not whole numbers, lengths that differ.
    """
    truth, guess = as_vector(y_true, "y_true"), as_vector(y_pred, "y_pred")
    if truth.size != guess.size:
        raise InputError(f"y_true has {truth.size} values and y_pred {guess.size}; they must match")
    for name, levels in (("y_true", truth), ("y_pred", guess)):
        wrong = levels[~np.isfinite(levels) | (levels != np.round(levels))]
        if wrong.size:
            raise InputError(f"{name} has level {wrong[0]:g}; levels are whole numbers")
    # Mean squared difference over all pairs (i, j) follows from the two means and variances alone.
    chance = truth.var() + guess.var() + (truth.mean() - guess.mean()) ** 2
    return float(1 - np.mean((truth - guess) ** 2) / chance) if chance > 0 else float("nan")


def level_probabilities(probability: npt.ArrayLike) -> FloatArray:
    """Probability of each of K levels from K-1 cumulative ones ("level > k").

    Cumulative answers of a network may cross where data are few: they are forced to fall before differences are taken,
    so that no level gets a negative probability.

    Parameters
    ----------
    probability : array-like (n_specimens, K-1) in [0, 1].

    Returns
    -------
    float64 (n_specimens, K); the most probable level is its argmax.
    """
    above = np.minimum.accumulate(np.asarray(probability, dtype=np.float64), axis=1)
    edge = np.ones((len(above), 1))
    levels: FloatArray = -np.diff(np.concatenate([edge, above, 0 * edge], axis=1), axis=1)
    return levels


def one_against_rest_auc(y_true: npt.ArrayLike, probability: npt.ArrayLike) -> FloatArray:
    """AUC of each level against all others, by the probability of that level.

    Parameters
    ----------
    y_true : array-like (n_specimens,), levels 0..K-1.
    probability : array-like (n_specimens, K), of each level (`level_probabilities`); higher is more of that level.

    Returns
    -------
    float64 (K,) in [0, 1]; NaN for a level that no specimen, or every specimen, has.

    Raises
    ------
    InputError : NaN, a label that is no level, shapes that do not match.
    """
    truth, columns = as_vector(y_true, "y_true"), np.asarray(probability, dtype=np.float64)
    if columns.ndim != 2 or len(columns) != truth.size:
        raise InputError(f"probability has shape {columns.shape}; {truth.size} specimens need ({truth.size}, levels)")
    n_levels = columns.shape[1]
    wrong = truth[~np.isin(truth, np.arange(n_levels))]
    if wrong.size:
        raise InputError(
            f"y_true has level {wrong[0]:g}; {n_levels} columns of probability have levels 0..{n_levels - 1}"
        )
    present = [bool(0 < np.sum(truth == level) < truth.size) for level in range(n_levels)]
    return np.array([auc(truth == k, columns[:, k]) if present[k] else np.nan for k in range(n_levels)])

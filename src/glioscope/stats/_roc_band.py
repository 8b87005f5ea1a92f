"""Pointwise confidence band of a ROC curve."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ._input import FloatArray, as_groups, as_pair, check_level
from ._resampling import ScoreOrder, bootstrap_weights


@dataclass(frozen=True, slots=True)
class RocBand:
    """Sensitivity at given false positive rates.

    Attributes
    ----------
    fpr : float64 (n_points,), from 0 to 1.
    low, high : float64 (n_points,), interval of the sensitivity there.
    """

    fpr: FloatArray
    low: FloatArray
    high: FloatArray


def roc_band(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
    n_resamples: int = 1000,
    n_points: int = 101,
    rng: np.random.Generator | int,
) -> RocBand:
    """Percentile band from bootstrap resamples of specimens, with `groups` of whole patients (as pROC's `ci.se`).

    The sensitivity at a false positive rate is that of the lowest threshold whose own rate is not above it. The band
    is pointwise, and with few patients too narrow, as all percentile intervals of few patients are.

    Raises
    ------
    InputError : one class only, NaN, lengths that differ.
    """
    labels, scores = as_pair(y_true, y_score)
    level = check_level(confidence_level)
    index, n_groups = (None, 0) if groups is None else as_groups(groups, labels.size)
    order, grid = ScoreOrder(labels, scores), np.linspace(0, 1, n_points)
    generator = np.random.default_rng(rng)
    drawn = bootstrap_weights(labels, index, n_groups, n_resamples, index is None, generator)
    parts = [_at(*order.curves(weights), grid) for weights in drawn]
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.nanquantile(np.concatenate(parts), tails, axis=0)
    return RocBand(grid, low, high)


def _at(tp: FloatArray, fp: FloatArray, grid: FloatArray) -> FloatArray:
    """Sensitivity (n_resamples, n_points) on the grid; NaN where a class has no weight."""
    usable = (tp[:, -1] > 0) & (fp[:, -1] > 0)
    tp, fp = tp[usable], fp[usable]
    rows = np.arange(len(tp))[:, None]
    # Rates lie in [0, 1]: shifted by two a row, all rows are one sorted vector.
    flat = (fp / fp[:, -1:] + 2 * rows).ravel()
    last = np.searchsorted(flat, (grid + 1e-12 + 2 * rows).ravel(), "right").reshape(len(tp), grid.size) - 1
    return np.asarray((tp / tp[:, -1:]).ravel()[last])

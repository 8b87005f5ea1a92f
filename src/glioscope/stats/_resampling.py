"""The kernel of all resampling: scores are sorted once, and a resample is nothing but a weight a specimen.

Bootstrap, jackknife and permutation differ only in how the weights come about. Weights are handled in chunks of many
resamples at once, so there is no loop over resamples and memory stays bounded; time grows linearly with specimens.
"""

from collections.abc import Iterator

import numpy as np

from ._input import BoolArray, FloatArray, IntArray

# Of what fits a core's cache: 16 MB at a time take twice as long.
_CHUNK_BYTES = 2_000_000


class ScoreOrder:
    """Labels and scores of one method, sorted from the highest score down, with tied scores as one step.

    Attributes
    ----------
    thresholds : float64 (n_thresholds,), +inf and the distinct scores, falling; a specimen is positive at
        `score >= threshold`. The first calls nobody positive.
    """

    def __init__(self, labels: BoolArray, scores: FloatArray) -> None:
        order = np.argsort(-scores, kind="stable")
        ordered, positive = scores[order], labels[order]
        last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), scores.size - 1)
        self.thresholds: FloatArray = np.append(np.inf, ordered[last])
        self._positives, self._negatives = order[positive], order[~positive]
        # Positives (negatives) at or above each threshold: places in the cumulative weights of that class.
        self._tp_at, self._fp_at = np.append(0, np.cumsum(positive)[last]), np.append(0, np.cumsum(~positive)[last])
        step = np.searchsorted(last, np.flatnonzero(~positive))
        self._above, self._level = self._tp_at[step], self._tp_at[step + 1]

    def curves(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Weighted true and false positives at every threshold.

        Parameters
        ----------
        weights : float64 (n_resamples, n_specimens), in the order of the specimens as given.

        Returns
        -------
        tp, fp : float64 (n_resamples, n_thresholds), rising along the thresholds.
        """
        tp = _cumulative(np.take(weights, self._positives, axis=1))
        fp = _cumulative(np.take(weights, self._negatives, axis=1))
        return np.take(tp, self._tp_at, axis=1), np.take(fp, self._fp_at, axis=1)

    def pairs(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """For every negative the weight of the positives above it (ties half), and its own weight.

        Returns
        -------
        above, own : float64 (n_resamples, n_negatives). Their product, summed, counts the pairs in the right order.
        """
        tp = _cumulative(np.take(weights, self._positives, axis=1))
        above = np.take(tp, self._above, axis=1)
        if not np.array_equal(self._above, self._level):
            above = (above + np.take(tp, self._level, axis=1)) / 2
        return above, np.take(weights, self._negatives, axis=1)

    def auc(self, weights: FloatArray) -> FloatArray:
        """Area under the weighted ROC curve: (n_resamples,), NaN where a class has no weight."""
        above, own = self.pairs(weights)
        total = np.take(weights, self._positives, axis=1).sum(axis=1) * own.sum(axis=1)
        right = np.einsum("ij,ij->i", above, own)
        areas: FloatArray = np.divide(right, total, out=np.full(total.shape, np.nan), where=total > 0)
        return areas


def _cumulative(weights: FloatArray) -> FloatArray:
    """Cumulative sums along each row, with a zero in front."""
    total = np.zeros((len(weights), weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=total[:, 1:])
    return total


def chunks(n_resamples: int, width: int) -> Iterator[int]:
    """Numbers of resamples to take at a time, so that a float64 array of that many rows by `width` stays small."""
    step = max(1, _CHUNK_BYTES // (8 * max(width, 1)))
    for start in range(0, n_resamples, step):
        yield min(step, n_resamples - start)


def bootstrap_weights(
    labels: BoolArray,
    index: IntArray | None,
    n_groups: int,
    n_resamples: int,
    stratified: bool,
    rng: np.random.Generator,
) -> Iterator[FloatArray]:
    """How often each specimen is in each resample, in chunks of float64 (n, n_specimens).

    With `index` (group of each specimen) whole patients are drawn; else specimens, positives and negatives apart where
    `stratified`.
    """
    for count in chunks(n_resamples, labels.size):
        if index is not None:
            yield _multiplicities(n_groups, count, rng)[:, index]
        elif not stratified:
            yield _multiplicities(labels.size, count, rng)
        else:
            weights = np.empty((count, labels.size))
            for rows in (labels, ~labels):
                weights[:, rows] = _multiplicities(int(rows.sum()), count, rng)
            yield weights


def jackknife_weights(index: IntArray, n_groups: int) -> Iterator[FloatArray]:
    """Weights that leave out one group after the other, in chunks of float64 (n, n_specimens)."""
    first = 0
    for count in chunks(n_groups, index.size):
        yield (index != np.arange(first, first + count)[:, None]).astype(np.float64)
        first += count


def _multiplicities(size: int, count: int, rng: np.random.Generator) -> FloatArray:
    """`count` draws of `size` out of `size` with replacement, as counts."""
    drawn = rng.integers(0, size, (count, size), dtype=np.int32).astype(np.int64)
    drawn += np.arange(count)[:, None] * size
    return np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size).astype(np.float64)

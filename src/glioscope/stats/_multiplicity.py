"""Several tests at once."""

import numpy as np
import numpy.typing as npt

from ._input import FloatArray


def holm(pvalues: npt.ArrayLike) -> FloatArray:
    """P values adjusted for the family they form, by Holm's step-down method (Holm 1979).

    Parameters
    ----------
    pvalues : array-like (n_tests,), in [0, 1]; NaN where a test does not exist, which then is not of the family.

    Returns
    -------
    float64 (n_tests,), at most 1; NaN where `pvalues` is.
    """
    raw = np.asarray(pvalues, np.float64)
    adjusted = np.full(raw.shape, np.nan)
    places = np.flatnonzero(~np.isnan(raw))
    order = places[np.argsort(raw[places], kind="stable")]
    steps = raw[order] * np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted

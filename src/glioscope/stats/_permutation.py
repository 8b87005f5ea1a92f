"""Exact P values for few independent units: patients, donors, folds."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glioscope.core import InputError

from ._input import as_vector

_MAX_UNITS = 20


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

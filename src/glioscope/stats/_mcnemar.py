"""Two methods on the same specimens: which errors one corrects and which it introduces, and tests of the difference."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from glioscope.core import InputError

from ._confusion import clopper_pearson
from ._estimate import NAN, Comparison
from ._input import BoolArray, FloatArray, as_groups, as_vector, check_level

# An interval that is narrower than this is one of rounding.
_ROUNDING = 1e-9

_UNTESTED = Comparison(
    0.0, p_two_sided=1.0, p_one_sided=1.0, p_smallest_attainable=1.0, note="they do not differ: nothing to test"
)


@dataclass(frozen=True, slots=True)
class ErrorTable:
    """Specimens by who is right, where `a` is the algorithm and `b` the reader it is compared with.

    `corrected` are errors of b that a does not make, `introduced` errors of a that b does not make.
    """

    both_right: int
    corrected: int
    introduced: int
    both_wrong: int

    @property
    def n(self) -> int:
        """Specimens in the table."""
        return self.both_right + self.corrected + self.introduced + self.both_wrong


def error_table(a_right: npt.ArrayLike, b_right: npt.ArrayLike) -> ErrorTable:
    """Errors that `a` corrects and introduces against `b`.

    Parameters
    ----------
    a_right, b_right : array-like (n_specimens,), bool (or 0 and 1): whether each is right.

    Raises
    ------
    InputError : values other than 0 and 1, blanks, lengths that differ.
    """
    a, b = _as_right(a_right, b_right)
    return ErrorTable(
        both_right=int(np.sum(a & b)),
        corrected=int(np.sum(a & ~b)),
        introduced=int(np.sum(~a & b)),
        both_wrong=int(np.sum(~a & ~b)),
    )


def mcnemar_exact(a_right: npt.ArrayLike, b_right: npt.ArrayLike, *, confidence_level: float = 0.95) -> Comparison:
    """Exact McNemar test of two methods on independent specimens.

    Given how many specimens only one of them has right, either is as likely to be that one: a binomial test.

    Parameters
    ----------
    a_right, b_right : array-like (n_specimens,), bool (or 0 and 1): whether each is right.
    confidence_level : between 0 and 1.

    Returns
    -------
    Comparison; `difference` of the shares that are right, with the interval that Clopper and Pearson's of the
    binomial gives, given the specimens that differ. It leaves zero out where `p_two_sided` is below 1 - confidence
    level. The smallest P is that of one method having all of these right.

    Raises
    ------
    InputError : values other than 0 and 1, blanks, lengths that differ.

    References
    ----------
    McNemar, Psychometrika 12, 1947; Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions, 2003.
    """
    table, level = error_table(a_right, b_right), check_level(confidence_level)
    n_differ = table.corrected + table.introduced
    if not n_differ:
        return replace(_UNTESTED, method="McNemar, exact")
    share = clopper_pearson(table.corrected, n_differ, level)
    return Comparison(
        difference=(table.corrected - table.introduced) / table.n,
        low=n_differ / table.n * (2 * share.low - 1),
        high=n_differ / table.n * (2 * share.high - 1),
        p_two_sided=min(1.0, 2 * float(special.bdtr(min(table.corrected, table.introduced), n_differ, 0.5))),
        p_one_sided=float(special.bdtr(table.introduced, n_differ, 0.5)),
        p_smallest_attainable=min(1.0, 2 * 0.5**n_differ),
        method="McNemar, exact",
    )


def mcnemar_clustered(
    a_right: npt.ArrayLike,
    b_right: npt.ArrayLike,
    groups: npt.ArrayLike,
    *,
    method: Literal["obuchowski", "durkalski"] = "obuchowski",
    confidence_level: float = 0.95,
) -> Comparison:
    """McNemar's test where specimens come in patients.

    Parameters
    ----------
    a_right, b_right : array-like (n_specimens,), bool (or 0 and 1): whether each is right.
    groups : array-like (n_specimens,), the patient of each specimen.
    method : "obuchowski" compares the shares of all specimens that are right, "durkalski" the mean over patients of
        each patient's share, so that a patient with many specimens counts as one with few.
    confidence_level : between 0 and 1.

    Returns
    -------
    Comparison. P is from chi-square with one degree of freedom, as published; it is large-sample in the number of
    patients. The interval does not assume that there is no difference and has t quantiles of K-1 degrees of freedom,
    so that with few patients it can hold zero where P is small. The smallest P is that of every patient's difference
    having the same sign. NaN for one patient.

    Raises
    ------
    InputError : values other than 0 and 1, blanks, lengths that differ, an unknown method.

    References
    ----------
    Obuchowski, Stat. Med. 17, 1998 (in the form of Yang et al., Biom. J. 52, 2010); Durkalski et al., Stat. Med. 22,
    2003.
    """
    if method not in ("obuchowski", "durkalski"):
        raise InputError(f"method {method!r} is unknown; give obuchowski or durkalski")
    a, b = _as_right(a_right, b_right)
    level = check_level(confidence_level)
    index, n_groups = as_groups(groups, a.size)
    unit: FloatArray = np.bincount(index).astype(np.float64)
    excess: FloatArray = np.bincount(index, a.astype(np.float64) - b).astype(np.float64)
    if method == "durkalski":
        unit, excess = np.ones(n_groups), excess / unit
    name = f"McNemar by patient, {'Obuchowski 1998' if method == 'obuchowski' else 'Durkalski 2003'}"
    difference = float(excess.sum() / unit.sum())
    if n_groups < 2:
        return Comparison(difference, method=name, n_groups=n_groups, note="one patient: no test")
    if not excess.any():
        return replace(_UNTESTED, method=name, n_groups=n_groups)
    # Obuchowski's variance is estimated from K patients; Durkalski's sum of squares has no such factor.
    scale = ((n_groups - 1) / n_groups if method == "obuchowski" else 1.0) / np.sum(excess**2)
    chi_square, largest = scale * excess.sum() ** 2, scale * np.abs(excess).sum() ** 2
    low, high = _interval(excess, unit, level)
    return Comparison(
        difference=difference,
        low=low,
        high=high,
        p_two_sided=float(special.chdtrc(1, chi_square)),
        p_one_sided=float(special.ndtr(-math.copysign(math.sqrt(chi_square), difference))),
        p_smallest_attainable=float(special.chdtrc(1, largest)),
        method=name,
        n_groups=n_groups,
        note="every patient differs alike: no interval" if math.isnan(low) else "",
    )


def _interval(excess: FloatArray, unit: FloatArray, level: float) -> tuple[float, float]:
    """Interval of a ratio of sums over patients, cut to [-1, 1]; NaN where patients do not vary."""
    n_groups, ratio = excess.size, float(excess.sum() / unit.sum())
    variance = n_groups / (n_groups - 1) * np.sum((excess - unit * ratio) ** 2) / unit.sum() ** 2
    half = float(special.stdtrit(n_groups - 1, (1 + level) / 2)) * math.sqrt(variance)
    return (max(ratio - half, -1.0), min(ratio + half, 1.0)) if half > _ROUNDING else (NAN, NAN)


def _as_right(a_right: npt.ArrayLike, b_right: npt.ArrayLike) -> tuple[BoolArray, BoolArray]:
    a, b = as_vector(a_right, "a_right"), as_vector(b_right, "b_right")
    if a.size != b.size:
        raise InputError(f"a_right has {a.size} values and b_right {b.size}; they must match")
    for name, right in (("a_right", a), ("b_right", b)):
        wrong = right[(right != 0) & (right != 1)]
        if wrong.size:
            raise InputError(f"{name} has {wrong[0]:g}; a specimen is wrong (0) or right (1)")
    return a == 1, b == 1

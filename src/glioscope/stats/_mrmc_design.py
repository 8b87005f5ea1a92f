"""Which of readers and cases are random, and the standard errors, intervals and tests that follow (Hillis 2007)."""

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from scipy import special

from glioscope.core import InputError

from ._estimate import NAN, Comparison, Estimate
from ._input import FloatArray, check_level
from ._mrmc_covariance import Covariance, ReadingMetrics

Factor = Literal["random", "fixed"]

# No metric of countable cases has a smaller standard error: below it there is only rounding.
NO_SPREAD = 1e-8
# Beyond it F is chi-square to all digits, and its own series fails.
_MANY_DF = 1e12


@dataclass(frozen=True, slots=True)
class ReaderMean(Estimate):
    """The mean of readers (or one algorithm), with its standard error and degrees of freedom (inf: normal)."""

    standard_error: float = NAN
    df: float = NAN


@dataclass(frozen=True, slots=True)
class ReaderDifference(Comparison):
    """A difference between means of readers, with its standard error and degrees of freedom (inf: normal)."""

    standard_error: float = NAN
    df: float = NAN

    @property
    def statistic(self) -> float:
        """The difference in standard errors: t, or z where `df` is infinite."""
        return self.difference / self.standard_error if self.standard_error > NO_SPREAD else NAN


@dataclass(frozen=True, slots=True)
class Design:
    """Random and fixed factors of a study, with what every result of it repeats.

    `panel` and `covariance` are words for the method, `n_groups` is the number of patients (0 without groups), `note`
    says why there are no intervals ("" where there are).
    """

    readers: Factor
    cases: Factor
    confidence_level: float
    n_groups: int
    panel: str
    covariance: str
    note: str

    @property
    def method(self) -> str:
        """What results call their method."""
        return f"Obuchowski-Rockette ({self.panel}, {self.cases} cases, {self.covariance})"

    def limit(self, df: float) -> float:
        """Degrees of freedom, which with patients are never above K-1: random patients are few as well."""
        return min(df, self.n_groups - 1.0) if self.n_groups and self.cases == "random" else df

    def alone(self) -> "Design":
        """The design of one algorithm: nothing but its cases can vary."""
        fixed = self.cases == "fixed"
        note = "cases are fixed: no interval" if fixed else self.note
        return replace(self, readers="fixed", panel="one algorithm", note=note)


def study_design(
    readers: Factor, cases: Factor, n_readers: int, covariance: Covariance, level: float, fit: ReadingMetrics
) -> Design:
    """The design of a study, checked; one reader is a fixed one."""
    for name, factor in (("readers", readers), ("cases", cases)):
        if factor not in get_args(Factor):
            raise InputError(f"{name} {factor!r} is unknown; give random or fixed")
    readers = "fixed" if n_readers == 1 else readers
    if readers == cases == "fixed":
        which = "one reader is a fixed one, so cases must be random" if n_readers == 1 else "make one of them random"
        raise InputError(f"readers and cases are both fixed; {which}")
    return Design(
        readers=readers,
        cases=cases,
        confidence_level=check_level(level),
        n_groups=fit.n_groups,
        panel="one reader" if n_readers == 1 else f"{readers} readers",
        covariance=f"{covariance} by patient" if fit.n_groups else covariance,
        note=fit.note if cases == "random" else "",
    )


def mean_error(theta: FloatArray, sigma: FloatArray, design: Design) -> tuple[float, float]:
    """Standard error of the mean of `theta` (n_readers,) with covariance `sigma`, and its degrees of freedom."""
    if design.readers == "fixed":
        return root(float(sigma.mean()) if design.cases == "random" else NAN), design.limit(math.inf)
    shared = float(sigma[~np.eye(theta.size, dtype=bool)].mean())
    denominator, df = random_readers(float(theta.var(ddof=1)), theta.size - 1, shared, theta.size, design)
    return root(denominator / theta.size), df


def random_readers(mean_square: float, df: int, shared: float, n_readers: int, design: Design) -> tuple[float, float]:
    """Variance of random readers as a denominator, and its degrees of freedom (Hillis 2007).

    `mean_square`, with `df`, says how readers vary on these cases; random cases add the covariance `shared` that their
    errors have in common, which is taken as known.
    """
    if design.cases == "fixed":
        return mean_square, float(df)
    denominator = mean_square + n_readers * _positive(shared)
    published = df * (denominator / mean_square) ** 2 if mean_square > NO_SPREAD**2 else math.inf
    return denominator, design.limit(published)


def estimate(value: float, error: float, df: float, design: Design) -> ReaderMean:
    """A mean with its interval, cut to [0, 1]."""
    half = _half_width(error, df, design)
    return ReaderMean(
        value=value,
        low=max(value - half, 0.0) if half > 0 else NAN,
        high=min(value + half, 1.0) if half > 0 else NAN,
        method=design.method,
        n_groups=design.n_groups,
        note=_note(error, design),
        standard_error=error,
        df=df,
    )


def difference(value: float, error: float, df: float, design: Design) -> ReaderDifference:
    """A difference with its interval and P values."""
    half = _half_width(error, df, design)
    t = value / error if half > 0 else NAN
    return ReaderDifference(
        difference=value,
        low=value - half,
        high=value + half,
        p_two_sided=2 * float(special.stdtr(df, -abs(t))),
        p_one_sided=float(special.stdtr(df, -t)),
        method=design.method,
        n_groups=design.n_groups,
        note=_note(error, design),
        standard_error=error,
        df=df,
    )


def root(variance: float) -> float:
    """Standard error of an estimated variance, which rounding or sampling can make negative; NaN stays."""
    return math.sqrt(_positive(variance))


def f_pvalue(f: float, df1: int, df2: float) -> float:
    """Probability of a larger F; chi-square over `df1` where `df2` is infinite."""
    return float(special.fdtrc(df1, df2, f) if df2 < _MANY_DF else special.chdtrc(df1, df1 * f))


def _half_width(error: float, df: float, design: Design) -> float:
    """NaN where the estimated variance is zero: no interval then says how sure the value is."""
    return float(special.stdtrit(df, (1 + design.confidence_level) / 2)) * error if error > NO_SPREAD else NAN


def _note(error: float, design: Design) -> str:
    return design.note or ("" if error > NO_SPREAD else "the estimated variance is zero: no interval")


def _positive(value: float) -> float:
    """`value`, or 0 for a negative one; NaN stays."""
    return 0.0 if value < 0 else value

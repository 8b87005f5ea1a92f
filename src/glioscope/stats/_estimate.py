"""What every analysis gives back: a value with its interval, or a difference with its P values."""

import math
from dataclasses import dataclass
from typing import Any

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its confidence interval.

    `low` and `high` are NaN where the data do not allow an interval; `note` then says why. `n_resamples` is the number
    of resamples that could be used (0 where none were drawn), `n_groups` the number of patients (0 without groups).
    """

    value: float
    low: float = NAN
    high: float = NAN
    method: str = ""
    n_resamples: int = 0
    n_groups: int = 0
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """`{value, low, high, ci_method}` of `metrics.json`, None where there is no number; a `note`, if any."""
        shown = {"value": finite(self.value), "low": finite(self.low), "high": finite(self.high)}
        return {**shown, "ci_method": self.method or "none", **({"note": self.note} if self.note else {})}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A difference `a - b` between two methods on the same specimens, with its interval and P values.

    `p_two_sided` is against no difference, `p_one_sided` against "a is not better than b" (small where a is larger).
    `p_smallest_attainable` is the smallest two-sided P that these data could have given, 0 where there is no such
    floor worth naming. NaN where a test does not exist; `note` then says why.
    """

    difference: float
    low: float = NAN
    high: float = NAN
    p_two_sided: float = NAN
    p_one_sided: float = NAN
    p_smallest_attainable: float = 0.0
    method: str = ""
    n_groups: int = 0
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The numbers of `metrics.json`'s `comparisons[]`, None where one does not exist."""
        names = ("difference", "low", "high", "p_two_sided", "p_one_sided", "p_smallest_attainable")
        numbers = {name: finite(getattr(self, name)) for name in names}
        return {**numbers, "method": self.method, **({"note": self.note} if self.note else {})}


def finite(value: float) -> float | None:
    """The value as a plain float, or None where it is NaN or infinite (JSON has neither)."""
    return float(value) if math.isfinite(value) else None

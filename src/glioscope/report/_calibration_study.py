"""Whether a probability means what it says: as given, as the raw score, and as calibrators fitted on tuning rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from glioscope.stats import (
    CalibrationLine,
    Calibrator,
    Method,
    ReliabilityCurve,
    RiskCoverageCurve,
    brier_score,
    calibration_line,
    clipped_logit,
    expected_calibration_error,
    finite,
    fit_isotonic,
    fit_temperature,
    fit_venn_abers,
    reliability_curve,
    risk_coverage_curve,
)

FloatArray = npt.NDArray[np.float64]
_Fit = Callable[[FloatArray, FloatArray], Calibrator]

RAW: Final = "raw score"
GIVEN: Final = "as given"
CALIBRATORS: Final[dict[str, _Fit]] = {
    "temperature and bias": lambda y, logit: fit_temperature(y, logit, bias=True),
    "temperature": fit_temperature,
    "isotonic": fit_isotonic,
    "Venn-Abers": fit_venn_abers,
}
"""The first is the one that decision curves are drawn with: two parameters are what few tuning patients can bear."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Probabilities of one model on the test specimens, and how well they are calibrated."""

    model: str
    source: str
    y_true: FloatArray
    probability: FloatArray
    brier: float
    ece: float
    line: CalibrationLine | None
    curve: ReliabilityCurve

    def to_json(self) -> dict[str, Any]:
        """One of `calibration[]` of `metrics.json`."""
        entry = {"model": self.model, "source": self.source, "brier": finite(self.brier), "ece": finite(self.ece)}
        if self.line is None:
            return entry
        names = ("in_the_large", "intercept", "slope")
        return {**entry, **{name: getattr(self.line, name).to_json() for name in names}}


def calibrations(method: Method) -> list[Calibrated]:
    """All probabilities of a model that there are: the first is the one to use."""
    found = {}
    if method.y_probability.size and not np.isnan(method.y_probability).any():
        found[GIVEN] = method.y_probability
    for name, fit in CALIBRATORS.items():
        fitted = _fitted(method, fit)
        if fitted is not None:
            found[name] = fitted
    found[RAW] = method.raw_score
    return [_judged(method, source, probability) for source, probability in found.items()]


def _fitted(method: Method, fit: _Fit) -> FloatArray | None:
    """Test probabilities from a calibrator for each fold, fitted on the fold's own tuning rows."""
    y_true, y_score, fold = method.tuning
    probability = np.empty(method.raw_score.size)
    for k in np.unique(method.fold):
        own = fold == k
        if np.unique(y_true[own]).size < 2:
            return None
        calibrator = fit(y_true[own], clipped_logit(y_score[own]))
        probability[method.fold == k] = calibrator(clipped_logit(method.raw_score[method.fold == k]))
    return np.clip(probability, 0.0, 1.0)


def _judged(method: Method, source: str, probability: FloatArray) -> Calibrated:
    by_patient = len(set(method.patients)) > 1
    return Calibrated(
        model=method.name,
        source=source,
        y_true=method.y_true,
        probability=probability,
        brier=brier_score(method.y_true, probability),
        ece=expected_calibration_error(method.y_true, probability),
        line=calibration_line(method.y_true, probability, groups=method.patients if by_patient else None)
        if method.both_classes
        else None,
        curve=reliability_curve(method.y_true, probability, groups=method.patients if by_patient else None),
    )


def risk_coverage(method: Method) -> RiskCoverageCurve | None:
    """Errors at the locked threshold, the least sure left out first; None where calls are no cut of the score."""
    if method.operating is None or not method.operating.thresholds or not method.answered.any():
        return None
    at = np.array([method.operating.thresholds.get(int(k), np.nan) for k in method.fold])
    if method.operating.chosen_on == "test":
        at = np.full(method.fold.size, next(iter(method.operating.thresholds.values())))
    kept = method.answered & ~np.isnan(at)
    score = method.y_score if method.operating.chosen_on == "test" else method.raw_score
    right = (method.calls > 0.5) == (method.y_true > 0.5)
    return risk_coverage_curve(right[kept], np.abs(score - at)[kept])

"""Selective prediction: how the error falls when the least sure answers are withheld."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glioscope.core import InputError

from ._calibration import as_probabilities
from ._input import FloatArray, as_pair

# Distances that are equal on paper, such as 0.5 - 0.3 and 0.7 - 0.5, differ by rounding.
_DECIMALS = 12


@dataclass(frozen=True, slots=True)
class RiskCoverageCurve:
    """Points of the risk-coverage curve, one for each distinct confidence, from the surest specimens to all.

    Attributes
    ----------
    coverage : float64 (n_points,), share of specimens that get an answer, rising to 1.
    risk : float64 (n_points,), share of wrong answers among those.
    confidence : float64 (n_points,), falling; an answer is given at this confidence or above.
    area : mean risk over the coverages 1/n, 2/n, ..., 1 (AURC; lower is better). Within a group of equal confidence
        the errors are spread evenly, which is the mean over all orders that the group could have.
    """

    coverage: FloatArray
    risk: FloatArray
    confidence: FloatArray
    area: float


def risk_coverage_curve(correct: npt.ArrayLike, confidence: npt.ArrayLike) -> RiskCoverageCurve:
    """The risk-coverage curve of answers that are right or wrong.

    Parameters
    ----------
    correct : array-like (n_specimens,), 1 where the answer is right and 0 where it is wrong.
    confidence : array-like (n_specimens,), higher is surer. Specimens of equal confidence enter together.

    Raises
    ------
    InputError : no specimen, NaN, flags other than 0 and 1, lengths that differ.

    References
    ----------
    Geifman and El-Yaniv, NeurIPS 2017; Geifman et al., ICLR 2019.
    """
    right, sure = as_pair(correct, confidence, both_classes=False)
    distinct, index = np.unique(-sure, return_inverse=True)
    count = np.bincount(index)
    wrong = np.bincount(index, ~right)
    answered = np.cumsum(count)
    spread = np.cumsum((wrong / count)[np.sort(index)])
    return RiskCoverageCurve(
        coverage=answered / right.size,
        risk=np.cumsum(wrong) / answered,
        confidence=-distinct,
        area=float(np.mean(spread / np.arange(1, right.size + 1))),
    )


def binary_risk_coverage(
    y_true: npt.ArrayLike, y_probability: npt.ArrayLike, threshold: float = 0.5
) -> RiskCoverageCurve:
    """The risk-coverage curve of a two-class decision; confidence is the distance of probability and threshold.

    Parameters
    ----------
    y_true : array-like (n_specimens,), 0 or 1.
    y_probability : array-like (n_specimens,), in [0, 1]; positive at `probability >= threshold`.
    threshold : in [0, 1].

    Raises
    ------
    InputError : probabilities or threshold outside [0, 1], NaN, labels other than 0 and 1, lengths that differ.
    """
    labels, probability = as_probabilities(y_true, y_probability)
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold {threshold:g} is not between 0 and 1")
    return risk_coverage_curve((probability >= threshold) == labels, np.abs(probability - threshold).round(_DECIMALS))

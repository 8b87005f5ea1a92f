"""What a bundle knows of its own certainty: calibration and abstention band, from out-of-fold logits."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glioscope.core import Abstention, Calibration, Task, Threshold
from glioscope.stats import abstention_band, fit_calibration

from ._fit import FoldData


@dataclass(frozen=True, slots=True)
class Certainty:
    """One `Calibration` an output, and the abstention band of a task of two classes; empty where there are none."""

    calibration: tuple[Calibration, ...] = ()
    abstention: Abstention | None = None


def fit_certainty(
    task: Task, logits: pd.DataFrame, data: FoldData, threshold: Threshold, miscoverage: float
) -> Certainty:
    """Calibration of every output and, for two classes, the abstention band.

    Parameters
    ----------
    logits : as `out_of_fold_logits` gives them.

    Returns
    -------
    An empty one where the logits are of fewer than two patients, or an output has one class only.
    """
    if logits.empty:
        return Certainty()
    targets = data.targets_of(logits["specimen_id"])
    scores = logits.filter(like="logit_").to_numpy(np.float64)
    patients = logits["patient_id"].to_numpy(object)
    if len(np.unique(patients)) < 2 or not np.all((targets.min(0) == 0) & (targets.max(0) == 1)):
        return Certainty()
    calibration = tuple(fit_calibration(y, logit, patients) for y, logit in zip(targets.T, scores.T, strict=True))
    if task.ordinal:
        return Certainty(calibration)
    band = abstention_band(
        targets[:, 0],
        scores[:, 0],
        patients,
        threshold=threshold.logit[0],
        miscoverage=miscoverage,
        class_names=task.class_names,
    )
    return Certainty(calibration, band)


def probabilities(logit: NDArray[np.float64], calibration: Calibration) -> NDArray[np.float64]:
    """Calibrated probability of the positive class for logits (N,)."""
    return np.array([calibration.probability(float(value))[0] for value in logit], np.float64)

"""The predictions table (contract 3) of one model."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glioscope.core import BundleInfo
from glioscope.stats import LEVEL_PROBABILITY, level_probabilities

from ._certainty import probabilities
from ._fit import FittedModel, FoldData


def predictions_table(info: BundleInfo, fitted: FittedModel, data: FoldData, fold: int) -> pd.DataFrame:
    """Contract 3 for one model: `y_score` is the sigmoid of the logit (ordinal: mean over the cumulative ones).

    `decision` is that at the threshold: readers, with whom it is compared, had to answer as well; what the abstention
    band costs and achieves stands in the model card. An ordinal task has no positive decision: `level` is the one that
    theatre answers, the most probable.
    """
    table = fitted.logits
    logits = table.filter(like="logit_").to_numpy(float)
    targets = data.targets_of(table["specimen_id"])
    y_true = pd.array(np.where(np.isnan(targets).any(1), np.nan, targets.sum(1)), dtype="Float64").astype("Int64")
    score = 1 / (1 + np.exp(-logits))
    levels = _levels(info, logits) if info.task.ordinal else np.empty((len(table), 0))
    calibrated = np.full(len(table), np.nan)
    if info.task.ordinal:
        decision = np.full(len(table), "", object)
        level = pd.array(levels.argmax(1), dtype="Int64")
    else:
        decision = np.where(logits[:, 0] >= info.threshold.logit[0], "positive", "negative")
        if info.calibration:
            calibrated = probabilities(logits[:, 0], info.calibration[0])
        level = pd.array([pd.NA] * len(table), dtype="Int64")
    return pd.DataFrame(
        {
            "patient_id": table["patient_id"],
            "specimen_id": table["specimen_id"],
            "task": info.task.name,
            "model": f"{info.modality.value}-{info.provenance.strategy}",
            "split": table["split"],
            "fold": fold,
            "y_true": y_true,
            "y_score": score.mean(1),
            "y_probability": calibrated,
            "decision": decision,
            "level": level,
            **{f"{LEVEL_PROBABILITY}{k}": column for k, column in enumerate(levels.T)},
        }
    )


def _levels(info: BundleInfo, logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of each level (N, K), from the calibrated cumulative outputs where there is a calibration."""
    if not info.calibration:
        return level_probabilities(1 / (1 + np.exp(-logits)))
    return level_probabilities(
        np.stack([probabilities(x, c) for x, c in zip(logits.T, info.calibration, strict=True)], 1)
    )

"""Three simulated surgeons who read every image: brightness in fluorescence, colour and context in white light."""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ._design import Bools
from ._oracle import posteriors, reference_population
from ._settings import SimSettings

Floats = npt.NDArray[np.float64]

_RATING_EDGES = (-1.0, -0.4, 0.0, 0.7)
"""Distance to the reader's threshold, in standard deviations; a rating of 4 or 5 is a reading of tumour."""


def draw_readings(
    specimen_ids: list[str],
    columns: dict[str, Floats],
    label_tumor: Bools,
    settings: SimSettings,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """Readings of all readers, FL and WL: rows of the contract's readings table.

    A reader of fluorescence goes by brightness. A reader of white light has the operation in view and so knows more
    than the image shows: an evidence of `context` for the true label is added, which is why readers may beat the
    WL ceiling. Thresholds meet the paper's sensitivities in the reference population.
    """
    rows: list[dict[str, Any]] = []
    for reader in range(settings.readers.n_readers):
        for modality in ("fl", "wl"):
            threshold, spread = _threshold(settings, modality)
            seen = _perceived(columns, label_tumor, modality, settings, rng)
            distance = (seen - threshold) / spread + 0.05 * rng.standard_normal()
            ratings = 1 + np.searchsorted(_RATING_EDGES, distance, side="right")
            order = rng.permutation(len(specimen_ids)) + 1
            rows += [
                {
                    "reader": f"R{reader + 1}",
                    "specimen_id": specimen_id,
                    "modality": modality,
                    "reading": int(rating >= 4),
                    "rating": int(rating),
                    "read_order": int(position),
                }
                for specimen_id, rating, position in zip(specimen_ids, ratings, order, strict=True)
            ]
    return rows


@lru_cache(maxsize=8)
def _threshold(settings: SimSettings, modality: str) -> tuple[float, float]:
    """Where a reader calls tumour, and the spread of what is perceived, from the reference population."""
    reference = reference_population(settings)
    label = reference.labels["tumor"][0]
    seen = _perceived(reference.columns, label, modality, settings, np.random.default_rng(0))
    wanted = settings.readers.fl_sensitivity if modality == "fl" else settings.readers.wl_sensitivity
    return float(np.quantile(seen[label], 1 - wanted)), float(seen.std())


def _perceived(
    columns: dict[str, Floats], label: Bools, modality: str, settings: SimSettings, rng: np.random.Generator
) -> Floats:
    readers = settings.readers
    noise = rng.standard_normal(len(label))
    if modality == "fl":
        return np.asarray(columns["fl_log_intensity"] + readers.fl_noise * noise)
    posterior = np.clip(posteriors(settings)["tumor", "wl"](columns), 1e-6, 1 - 1e-6)
    context = readers.context * np.where(label, 0.5, -0.5) + np.sqrt(readers.context) * rng.standard_normal(len(label))
    return np.asarray(np.log(posterior / (1 - posterior)) + context + readers.wl_noise * noise)

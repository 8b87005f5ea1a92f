"""What the images were like that a network was trained on: what the runtime compares those of the theatre with."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from glioscope.core import Envelope, Modality, QualityLimits
from glioscope.imaging import fit_quality_limits

from ._envelope import fit_envelope
from ._finetune import PREDICT_BATCH, ImageSet
from ._fit import FoldData
from ._network import ExportedNet, SpecimenNet
from ._probe import FrozenFeatures

CAM_SAMPLE = 256
"""Training images looked at to find the range of the maps."""
CAM_PERCENTILES = (1.0, 99.0)
MIN_ENVELOPE_PATIENTS = 3
MIN_ENVELOPE_IMAGES = 20
"""With fewer there is no envelope: a distance without one of the patients would rest on next to nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainedOn:
    """The fields of `BundleInfo` of the same names, and the vectors that belong to the envelope."""

    quality: QualityLimits = field(default_factory=QualityLimits)
    conditions: dict[str, tuple[float, float]] = field(default_factory=dict)
    cam_range: dict[str, tuple[float, float]] = field(default_factory=dict)
    envelope: Envelope | None = None
    vectors: NDArray[np.float32] | None = None


def describe_training(
    network: SpecimenNet,
    modality: Modality,
    data: FoldData,
    frozen: FrozenFeatures | None,
    seed: int,
) -> TrainedOn:
    """Look at the image sets of training and tuning patients that have every image of the modality.

    Images without a label count: they are of the same patients and cameras. The range of the maps is that of at most
    256 training images, drawn by `seed`.

    Parameters
    ----------
    frozen : the features of all rows, if those of `network` are the pretrained ones; None: they are computed.
    """
    train, tune = (data.rows(modality, role, labelled=False) for role in ("train", "tune"))
    rows = np.concatenate([train, tune])
    _, maps = survey(network, data.image_set(modality, some_rows(train, seed)))
    envelope, vectors = None, None
    if len(np.unique(data.patients[rows])) >= MIN_ENVELOPE_PATIENTS and len(rows) >= MIN_ENVELOPE_IMAGES:
        known = frozen.of(data.images, modality)[rows] if frozen else survey(network, data.image_set(modality, rows))[0]
        envelope, vectors = fit_envelope(known, data.patients[rows], data.roles[rows] == "tune")
    return TrainedOn(
        quality=fit_quality_limits([data.images.quality[row] for row in rows]),
        conditions=_conditions(modality, data, rows),
        cam_range=cam_range(maps),
        envelope=envelope,
        vectors=vectors,
    )


def _conditions(modality: Modality, data: FoldData, rows: NDArray[np.int64]) -> dict[str, tuple[float, float]]:
    """Lowest and highest of how the images were taken, where known; exposure and gain are the FL camera's."""
    found = {}
    for name, values in data.images.conditions.items():
        known = values[rows][~np.isnan(values[rows])]
        if known.size and (not name.startswith("fl_") or "fl" in modality.inputs):
            found[name] = (float(known.min()), float(known.max()))
    return found


@torch.no_grad()
def survey(network: SpecimenNet, images: ImageSet) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """Features (N, d) and, for each input, signed maps (N, h, w) of images without augmentation."""
    exported = ExportedNet(network).eval().to(memory_format=torch.channels_last)
    parts = [exported(*images.plain(rows)) for rows in torch.split(torch.arange(len(images)), PREDICT_BATCH)]
    # The logit stands first, the features last.
    _, *maps, features = (torch.cat(pieces).numpy() for pieces in zip(*parts, strict=True))
    return features, dict(zip(network.modality.inputs, maps, strict=True))


def cam_range(maps: dict[str, NDArray[np.float32]]) -> dict[str, tuple[float, float]]:
    """Input -> 1st and 99th percentile of the signed maps: the scale that pictures of this network share."""
    found = {name: np.percentile(values, CAM_PERCENTILES) for name, values in maps.items()}
    return {name: (float(low), float(high)) for name, (low, high) in found.items()}


def some_rows(rows: NDArray[np.int64], seed: int, most: int = CAM_SAMPLE) -> NDArray[np.int64]:
    """At most `most` of the rows, drawn by the seed, in rising order."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))

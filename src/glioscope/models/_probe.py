"""Logistic regression on frozen features, folded into the network's linear head."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits
from torch import nn

from glioscope.core import Modality

from ._finetune import PREDICT_BATCH
from ._images import PreparedImages
from ._loss import class_weights
from ._network import SpecimenNet
from ._settings import ProbeSettings
from ._weights import create_backbone

Floats = NDArray[np.float64]

STD_FLOOR = 0.1
"""Smallest standard deviation used to standardise a feature, as a share of the median one."""


class FrozenFeatures:
    """Features of a pretrained backbone for every row of a cohort, computed once for all tasks and folds.

    Parameters
    ----------
    backbone, weights : as `create_backbone` takes them.
    """

    def __init__(self, backbone: str, weights: str) -> None:
        self._backbone, self.origin = create_backbone(backbone, weights)
        self._images: PreparedImages | None = None
        self._features: dict[str, NDArray[np.float32]] = {}

    def backbones(self, modality: Modality) -> list[nn.Module]:
        """A copy of the pretrained backbone for each input of the modality."""
        return [copy.deepcopy(self._backbone) for _ in modality.inputs]

    def of(self, images: PreparedImages, modality: Modality) -> NDArray[np.float32]:
        """Pooled features (N, d) of all N rows, inputs concatenated; meaningless where a row lacks the image."""
        if images is not self._images:
            self._images, self._features = images, {}
        for name in modality.inputs:
            if name not in self._features:
                self._features[name] = self._extract(images, Modality(name))
        return np.concatenate([self._features[name] for name in modality.inputs], axis=1)

    @torch.no_grad()
    def _extract(self, images: PreparedImages, modality: Modality) -> NDArray[np.float32]:
        n = len(images.present[modality.value])
        everything = images.subset(modality, np.arange(n), np.zeros((n, 1)))
        network = self._backbone.eval().to(memory_format=torch.channels_last)
        parts = [network(*everything.plain(rows)).mean((2, 3)) for rows in torch.split(torch.arange(n), PREDICT_BATCH)]
        return torch.cat(parts).numpy()


def fit_probe(
    network: SpecimenNet,
    features: NDArray[np.float32],
    targets: Floats,
    patients: NDArray[np.object_],
    settings: ProbeSettings,
) -> tuple[SpecimenNet, float]:
    """Fit the head of `network` on frozen features; returns the network and the chosen C.

    Parameters
    ----------
    features : float32 (N, d) of the training image sets.
    targets : (N, K) of 0 and 1.
    patients : (N,) patient ids; C is chosen by leaving patients out, never by splitting one.
    """
    chosen = _choose(features, targets, patients, settings)
    weight, bias = fit_head(features, targets, chosen)
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(weight))
        network.head.bias.copy_(torch.from_numpy(bias))
    return network.eval(), chosen


def fit_head(features: NDArray[np.float32], targets: Floats, inverse_l2: float) -> tuple[Floats, Floats]:
    """Class-weighted logistic regression: weight (K, d) and bias (K,) on raw features, standardisation folded in."""
    rows = features.astype(np.float64)
    mean, std = rows.mean(0), rows.std(0)
    # A channel that hardly ever fires would get a huge weight after folding, and amplify rounding in theatre.
    std = np.maximum(std, STD_FLOOR * np.median(std) + 1e-6)
    alpha_p, alpha_n = (a.numpy() for a in class_weights(torch.from_numpy(targets)))
    weights, biases = [], []
    for k in range(targets.shape[1]):
        importance = np.where(targets[:, k] > 0.5, alpha_p[k], alpha_n[k])
        model = LogisticRegression(C=inverse_l2, max_iter=300, tol=1e-4)
        with threadpool_limits(1):  # the problem is small: more threads only wait for each other
            model.fit((rows - mean) / std, targets[:, k], sample_weight=importance)
        weights.append(model.coef_[0] / std)
        biases.append(model.intercept_[0] - (model.coef_[0] / std) @ mean)
    return np.stack(weights), np.array(biases)


def _choose(
    features: NDArray[np.float32], targets: Floats, patients: NDArray[np.object_], settings: ProbeSettings
) -> float:
    """C with the lowest weighted log-loss on left-out training patients (ties: the stronger regularisation)."""
    candidates = sorted(settings.inverse_l2)
    n_groups = len(np.unique(patients))
    if len(candidates) == 1 or n_groups < 2:
        return candidates[0]
    folds = [
        (train, held)
        for train, held in GroupKFold(min(4, n_groups)).split(targets, groups=patients)
        if all(0 < targets[train, k].sum() < len(train) for k in range(targets.shape[1]))
    ]
    if not folds:
        return candidates[0]
    losses = [np.mean([_held_out_loss(features, targets, train, held, c) for train, held in folds]) for c in candidates]
    return candidates[int(np.argmin(np.round(losses, 4)))]


def _held_out_loss(
    features: NDArray[np.float32], targets: Floats, train: NDArray[np.int64], held: NDArray[np.int64], c: float
) -> float:
    weight, bias = fit_head(features[train], targets[train], c)
    logit = features[held].astype(np.float64) @ weight.T + bias
    y = targets[held]
    alpha_p, alpha_n = (a.numpy() for a in class_weights(torch.from_numpy(targets[train])))
    loss = y * alpha_p * np.logaddexp(0, -logit) + (1 - y) * alpha_n * np.logaddexp(0, logit)
    return float(loss.mean())

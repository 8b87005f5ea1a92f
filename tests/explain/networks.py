"""Small networks and images to explain."""

import numpy as np
import torch
from torch import nn

from glioscope.core import Modality
from glioscope.models import SpecimenNet


def small_backbone(activation: type[nn.Module] = nn.SiLU, seed: int = 0) -> nn.Module:
    """Three convolutions with batch norm; (N, 3, S, S) -> (N, 8, S/4, S/4)."""
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), activation()),
        *(nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), activation()),
        *(nn.Conv2d(8, 8, 3, padding=1), activation()),
    )


def small_network(modality: Modality = Modality.FL, outputs: int = 1, activation: type[nn.Module] = nn.SiLU):
    backbones = [small_backbone(activation, seed) for seed, _ in enumerate(modality.inputs)]
    network = SpecimenNet(modality, backbones, outputs)
    nn.init.normal_(network.head.weight)
    nn.init.normal_(network.head.bias)
    return network.eval()


def noise(modality: Modality = Modality.FL, count: int = 2, size: int = 32) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {name: rng.standard_normal((count, 3, size, size)).astype(np.float32) for name in modality.inputs}

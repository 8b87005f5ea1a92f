"""One network for every modality: a backbone per image, pooled, concatenated, one linear head."""

import torch
from torch import nn

from glioscope.core import Modality


class SpecimenNet(nn.Module):
    """Backbone(s), global average pooling, dropout 0.5, one linear layer of K neurons.

    Two inputs (`fusion`) have a backbone each and share the head, so that the mean of an FL and a WL network's logits
    is one setting of its weights: `late_average` builds it.

    Parameters
    ----------
    modality : which inputs.
    backbones : one an input, in the order of `modality.inputs`.
    n_outputs : K; 1 for two classes.
    """

    def __init__(self, modality: Modality, backbones: list[nn.Module], n_outputs: int = 1, dropout: float = 0.5):
        super().__init__()
        if len(backbones) != len(modality.inputs):
            raise ValueError(f"{modality} takes {len(modality.inputs)} backbones, not {len(backbones)}")
        self.modality = modality
        self.backbones = nn.ModuleDict(dict(zip(modality.inputs, backbones, strict=True)))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(sum(_width(b) for b in backbones), n_outputs)
        nn.init.xavier_normal_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def maps(self, *images: torch.Tensor) -> list[torch.Tensor]:
        """The tensor entering global pooling, (N, d, h, w), for each input."""
        return [backbone(image) for backbone, image in zip(self.backbones.values(), images, strict=True)]

    def features(self, *images: torch.Tensor) -> torch.Tensor:
        """Pooled features (N, d), inputs concatenated."""
        return torch.cat([m.mean((2, 3)) for m in self.maps(*images)], dim=1)

    def forward(self, *images: torch.Tensor) -> torch.Tensor:
        """Logits (N, K) of normalised images (N, 3, H, W), one tensor an input."""
        logit: torch.Tensor = self.head(self.dropout(self.features(*images)))
        return logit


class ExportedNet(nn.Module):
    """A `SpecimenNet` in evaluation mode with all outputs of contract 4."""

    def __init__(self, network: SpecimenNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, *images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Logit (N, K), one cam (N, h, w) an input, features (N, d).

        Cams are signed, without ReLU: over all inputs and pixels they sum, with the bias, to the mean logit.
        """
        maps = self.network.maps(*images)
        features = torch.cat([m.mean((2, 3)) for m in maps], dim=1)
        # An ordinal task has K-1 rows; their mean row explains the expected level.
        row = self.network.head.weight.mean(0)
        cams, start = [], 0
        for m in maps:
            weight = row[start : start + m.shape[1]]
            cams.append((m * weight[None, :, None, None]).sum(1) / (m.shape[2] * m.shape[3]))
            start += m.shape[1]
        return (self.network.head(features), *cams, features)


def late_average(fl: SpecimenNet, wl: SpecimenNet) -> SpecimenNet:
    """The fusion network whose logit is the mean of the two networks' logits. Its backbones are copies."""
    import copy

    n_outputs = fl.head.out_features
    fused = SpecimenNet(
        Modality.FUSION,
        [copy.deepcopy(fl.backbones["fl"]), copy.deepcopy(wl.backbones["wl"])],
        n_outputs,
        fl.dropout.p,
    )
    with torch.no_grad():
        fused.head.weight.copy_(torch.cat([fl.head.weight, wl.head.weight], dim=1) / 2)
        fused.head.bias.copy_((fl.head.bias + wl.head.bias) / 2)
    return fused


def _width(backbone: nn.Module) -> int:
    with torch.no_grad():
        training = backbone.training
        width = int(backbone.eval()(torch.zeros(1, 3, 64, 64)).shape[1])
        backbone.train(training)
    return width

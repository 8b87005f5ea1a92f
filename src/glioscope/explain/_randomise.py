"""Networks whose weights were drawn anew, in part or whole: a map that stays as it was does not show the network."""

import copy
from collections.abc import Iterable, Sequence
from itertools import zip_longest

import numpy as np
import torch
from torch import nn

from glioscope.core import InputError
from glioscope.models import SpecimenNet

from ._maps import Images

HEAD = "head"
_BATCH_NORM = nn.modules.batchnorm._BatchNorm


def stages(network: SpecimenNet) -> tuple[str, ...]:
    """Names of the parts that hold weights, from the head back to the input.

    A part is a direct child of a backbone; a row of blocks counts block by block. Two backbones go side by side.
    """
    return tuple(_stages(network))


def randomised(network: SpecimenNet, names: Iterable[str], images: Images, rng: np.random.Generator) -> SpecimenNet:
    """A copy with the weights of these stages drawn as for a new network; the network is left as it is.

    Batch norm of these stages takes its means and variances from `images`, as the first batch of a training would:
    otherwise signals would die out or overflow, and a map of nothing resembles no other.

    Parameters
    ----------
    names : of `stages`. images : input -> float32 (N, 3, S, S), as the network reads them.

    Raises
    ------
    InputError : the network has no such stage.
    """
    fresh = copy.deepcopy(network)
    known = _stages(fresh)
    chosen = []
    for name in names:
        if name not in known:
            raise InputError(f"the network has no stage {name!r}; it has {', '.join(known)}")
        chosen += [layer for part in known[name] for layer in part.modules()]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))
        for layer in chosen:
            _reset(layer)
    _settle([layer for layer in chosen if isinstance(layer, _BATCH_NORM)], fresh, images)
    return fresh.eval()


def cascade(network: SpecimenNet, images: Images, rng: np.random.Generator) -> Iterable[tuple[str, SpecimenNet]]:
    """Networks with the head drawn anew, then the head and the last stage, and so on to the input.

    References
    ----------
    Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018, section 3.1.
    """
    names = stages(network)
    for count, name in enumerate(names, start=1):
        yield name, randomised(network, names[:count], images, rng)


def independent(network: SpecimenNet, images: Images, rng: np.random.Generator) -> Iterable[tuple[str, SpecimenNet]]:
    """Networks with one stage drawn anew and all others as trained (section 3.2 there)."""
    for name in stages(network):
        yield name, randomised(network, [name], images, rng)


def _stages(network: SpecimenNet) -> dict[str, list[nn.Module]]:
    found: dict[str, list[nn.Module]] = {HEAD: [network.head]}
    columns = [list(reversed(_parts(backbone))) for backbone in network.backbones.values()]
    for row in zip_longest(*columns):
        present = [part for part in row if part is not None]
        found[present[0][0]] = [module for _, module in present]
    return found


def _parts(backbone: nn.Module) -> Sequence[tuple[str, nn.Module]]:
    parts = []
    for name, child in backbone.named_children():
        if isinstance(child, nn.Sequential):
            parts += [(f"{name}.{key}", module) for key, module in child.named_children()]
        else:
            parts.append((name, child))
    return [(name, module) for name, module in parts if any(True for _ in module.parameters())]


def _reset(layer: nn.Module) -> None:
    """Draw the layer's own weights, not those of layers in it."""
    own = list(layer.parameters(recurse=False))
    if not own:
        return
    reset = getattr(layer, "reset_parameters", None)
    if callable(reset):
        reset()
        return
    for weight in own:
        nn.init.trunc_normal_(weight, std=0.02)


@torch.no_grad()
def _settle(layers: Sequence[nn.Module], network: SpecimenNet, images: Images) -> None:
    if not layers:
        return
    for layer in layers:
        layer.momentum = None  # type: ignore[assignment]  # the mean over all batches seen, here one
        layer.train()
    network.maps(*(torch.from_numpy(images[name]) for name in network.backbones))

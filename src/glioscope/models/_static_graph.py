"""A network whose graph the theatre's engine runs fastest: the same numbers, nothing left to work out at run time."""

import copy
from collections.abc import Callable

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import get_same_padding
from torch import nn

from ._network import SpecimenNet


def static_copy(network: SpecimenNet, images: list[torch.Tensor]) -> SpecimenNet:
    """A copy in which "same" padding, which depends on the image's size, is fixed to that of these images.

    TensorFlow's padding is traced as some twenty nodes a convolution, which keep ONNX Runtime from its own layout; a
    fixed one becomes part of the convolution.

    Parameters
    ----------
    network : in evaluation mode.
    images : float32 (N, 3, S, S), one tensor an input; S is the size that a bundle's plan fixes.
    """
    fixed = copy.deepcopy(network).eval()
    sizes = _input_sizes(fixed, images)
    for name, size in sizes.items():
        parent, _, own = name.rpartition(".")
        layer = fixed.get_submodule(name)
        if isinstance(layer, Conv2dSame):
            setattr(fixed.get_submodule(parent), own, _fixed(layer, size))
    return fixed


@torch.no_grad()
def _input_sizes(network: SpecimenNet, images: list[torch.Tensor]) -> dict[str, tuple[int, int]]:
    """Name of each convolution with "same" padding -> height and width of what it is given."""
    found: dict[str, tuple[int, int]] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[torch.Tensor]], None]:
        return lambda _, inputs: found.update({name: (inputs[0].shape[2], inputs[0].shape[3])})

    same = [(name, module) for name, module in network.named_modules() if isinstance(module, Conv2dSame)]
    hooks = [module.register_forward_pre_hook(note(name)) for name, module in same]
    network(*(image[:1] for image in images))
    for hook in hooks:
        hook.remove()
    return found


def _fixed(layer: Conv2dSame, size: tuple[int, int]) -> nn.Module:
    """An ordinary convolution with the padding that `layer` would work out for an input of this size."""
    pads = [
        get_same_padding(side, kernel, stride, dilation)
        for side, kernel, stride, dilation in zip(size, layer.kernel_size, layer.stride, layer.dilation, strict=True)
    ]
    plain = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        _two(layer.kernel_size),
        _two(layer.stride),
        0,
        _two(layer.dilation),
        layer.groups,
        layer.bias is not None,
    )
    plain.load_state_dict(layer.state_dict())
    (top, bottom), (left, right) = ((pad // 2, pad - pad // 2) for pad in pads)
    return nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), plain)


def _two(values: tuple[int, ...]) -> tuple[int, int]:
    return values[0], values[1]

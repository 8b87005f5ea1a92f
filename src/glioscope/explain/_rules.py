"""Guided back-propagation for networks whose activation is smooth (SiLU) as well as for ReLU.

Springenberg et al. 2015 let a gradient g pass a ReLU only where it is positive and where the unit is active:
g_in = relu(g) 1[f(x) > 0]. The usual hooks look for `nn.ReLU` and so leave EfficientNet (SiLU) untouched: what they
give is the plain gradient under another name. The rule here is the same two conditions on any activation f,

    g_in = relu(g) * 1[f(x) > 0] * f'(x).

It is theirs exactly for ReLU, whose f' is 1 where f > 0. For SiLU, f(x) = x s(x) with the sigmoid s:

- f(x) > 0 is the same as x > 0, as s > 0: the two ways of saying "active" agree.
- There f'(x) = s(x) (1 + x (1 - s(x))) lies between 0.5 and 1.1: it weighs, and never turns a positive gradient.
- Without the condition on activity f' is negative below x = -1.278, and evidence against would pass as evidence for.
- With 1[f'(x) > 0] instead, units between -1.278 and 0 would pass as well. Their output is negative: the map would
  show what could switch off a negative unit, not what excites the network.
- Leaving f' out (SiLU taken for ReLU) would follow the gradient of another network.
"""

import copy
from typing import Any, TypeVar

import torch
from torch import nn

from glioscope.core import InputError

RECTIFIERS = frozenset(
    {
        *("ReLU", "ReLU6", "LeakyReLU", "ELU", "SiLU", "Swish", "SwishMe", "Hardswish", "HardSwish", "HardSwishMe"),
        *("GELU", "GELUTanh", "Mish", "MishMe"),
    }
)
"""Activations that the rule replaces, by class name in torch and timm. Each is positive exactly where its input is."""
GATES = frozenset({"Sigmoid", "Hardsigmoid", "HardSigmoid", "HardSigmoidMe", "Tanh", "Identity"})
"""Left alone. The sigmoid of a squeeze-and-excitation block is a factor, always positive: both of its sides, the
channels and the gate, get their plain gradient. The rectifier inside the block is replaced like any other."""
_HOMES = ("torch.nn.modules.activation", "timm.layers.activations")

Network = TypeVar("Network", bound=nn.Module)


class GuidedActivation(nn.Module):
    """An activation whose forward pass is as before and whose backward pass is guided."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """f(x) for a tensor of any shape; f' is autograd's own, so it is right for every activation."""
        y: torch.Tensor = _Guide.apply(self.activation(x))
        return y


class _Guide(torch.autograd.Function):
    """Identity forwards; backwards relu(g) where the value is positive."""

    @staticmethod
    def forward(ctx: Any, y: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(y > 0)
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        active: torch.Tensor = ctx.saved_tensors[0]
        return gradients[0].clamp(min=0) * active


def guided_copy(network: Network) -> Network:
    """A copy of a network for guided back-propagation: same answers, other gradients. The network is left as it is.

    Raises
    ------
    InputError : the network has no activation module of `RECTIFIERS`, so that the rule would do nothing, or one that
        is neither there nor in `GATES`.

    References
    ----------
    Springenberg et al., Striving for simplicity: the all convolutional net, ICLR workshop 2015, section 3.4.
    """
    guided = copy.deepcopy(network).requires_grad_(False)
    if _replace(guided) == 0:
        raise InputError(
            f"{type(network).__name__} has no activation module that guided back-propagation knows "
            f"({', '.join(sorted(RECTIFIERS))}), so the guided views cannot be made"
        )
    return guided


def _replace(module: nn.Module) -> int:
    """Wrap the rectifiers below `module`; gives how many."""
    count = 0
    for name, child in module.named_children():
        kind = type(child).__name__
        if kind in RECTIFIERS:
            if hasattr(child, "inplace"):
                setattr(child, "inplace", False)  # noqa: B010  (the input must still be there for f')
            setattr(module, name, GuidedActivation(child))
            count += 1
        elif type(child).__module__.startswith(_HOMES) and kind not in GATES:
            raise InputError(f"guided back-propagation has no rule for the activation {kind}")
        else:
            count += _replace(child)
    return count

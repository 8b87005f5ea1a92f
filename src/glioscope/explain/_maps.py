"""Grad-CAM and gradients of one class, for any task, modality and class. Nothing is drawn here."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from glioscope.core import InputError, Task
from glioscope.models import SpecimenNet

Images = Mapping[str, NDArray[np.float32]]
"""Input ("fl", "wl") -> float32 (N, 3, S, S), as `imaging.network_input` gives them."""
EXPECTED_LEVEL = "expected level"


@dataclass(frozen=True, slots=True)
class Target:
    """What is explained: the class as a person reads it, and the weights (K,) whose sum with the logits is its score.

    Two classes share one logit z: the positive class has weight 1, the negative one -1. Level k of an ordinal task
    with cumulative logits z_0.. ("level > k") has z_{k-1} - z_k: evidence that the level is at least k, and not more.
    `EXPECTED_LEVEL` is the mean logit, which is what the `cam` output of a bundle explains.
    """

    name: str
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Maps:
    """What one pass explains of N images of one input.

    `cam`: float32 (N, h, w), signed Grad-CAM at the tensor that enters global pooling, in logits per cell: over all
    cells and inputs it sums, with the bias, to the target's score. Its positive part is Grad-CAM. `guided`: float32
    (N, 3, S, S), guided gradient of the score by the input.
    """

    cam: NDArray[np.float32]
    guided: NDArray[np.float32]


def class_target(task: Task, name: str | None = None) -> Target:
    """The target for a class of a task.

    Parameters
    ----------
    task : contract 2.
    name : a class as a person reads it ("non-tumour", "GBM", "3"), a value of the label column ("non-tumor"),
        "positive" or "negative"; for an ordinal task also "expected level". None: the positive class, or the expected
        level.

    Raises
    ------
    InputError : the task has no such class; names those it has.
    """
    if task.ordinal:
        return _level_target(task, EXPECTED_LEVEL if name is None else name)
    negative, positive = task.class_names
    if name is None or name in (positive, "positive", *task.positive):
        return Target(positive, (1.0,))
    if name in (negative, "negative", *task.negative):
        return Target(negative, (-1.0,))
    raise InputError(f"task {task.name} has no class {name!r}; it has {positive} and {negative}")


def _level_target(task: Task, name: str) -> Target:
    count = task.n_outputs
    if name == EXPECTED_LEVEL:
        return Target(EXPECTED_LEVEL, (1 / count,) * count)
    if name not in task.levels:
        raise InputError(
            f"task {task.name} has no level {name!r}; it has {', '.join(task.levels)} and {EXPECTED_LEVEL}"
        )
    level = task.levels.index(name)
    return Target(f"level {name}", tuple(float(k == level - 1) - float(k == level) for k in range(count)))


def grad_cam(network: SpecimenNet, images: Images, target: Target) -> dict[str, NDArray[np.float32]]:
    """Signed Grad-CAM (N, h, w) of each input, by autograd at the tensor that enters global pooling.

    Its positive part is the Grad-CAM of Selvaraju et al.: the channels' mean gradients weigh the channels, summed.
    For the expected level, and the only logit of a two-class task, it equals the bundle's `cam` output.

    Raises
    ------
    InputError : the network is in training mode, or images or weights do not fit it.

    References
    ----------
    Selvaraju et al., Grad-CAM: visual explanations from deep networks via gradient-based localization, ICCV 2017.
    """
    inputs = _tensors(network, images)
    weights = _weights(network, target)
    with torch.no_grad():
        reached = network.maps(*inputs)
    maps = [m.detach().requires_grad_() for m in reached]
    logit = network.head(torch.cat([m.mean((2, 3)) for m in maps], dim=1))
    # Specimens do not see each other in evaluation mode: the gradient of the sum holds that of each.
    gradients = torch.autograd.grad((logit @ weights).sum(), maps)
    cams = [(g.mean((2, 3), keepdim=True) * m).sum(1) for g, m in zip(gradients, maps, strict=True)]
    return {name: cam.detach().numpy() for name, cam in zip(network.backbones, cams, strict=True)}


def input_gradients(network: SpecimenNet, images: Images, target: Target) -> dict[str, NDArray[np.float32]]:
    """Gradient (N, 3, S, S) of the target's score by each input; of a `guided_copy` it is the guided one.

    Raises
    ------
    InputError : as `grad_cam`.
    """
    inputs = [x.requires_grad_() for x in _tensors(network, images)]
    logit = network(*inputs)
    gradients = torch.autograd.grad((logit @ _weights(network, target)).sum(), inputs)
    return {name: g.numpy() for name, g in zip(network.backbones, gradients, strict=True)}


def explain_maps(network: SpecimenNet, guided: SpecimenNet, images: Images, target: Target) -> dict[str, Maps]:
    """What the five views are made of, for each input; `guided` is the network's `guided_copy`.

    Raises
    ------
    InputError : as `grad_cam`.
    """
    cams = grad_cam(network, images, target)
    gradients = input_gradients(guided, images, target)
    return {name: Maps(cams[name], gradients[name]) for name in cams}


def _tensors(network: SpecimenNet, images: Images) -> list[torch.Tensor]:
    if network.training:
        raise InputError("the network to explain is in training mode; call its eval() first")
    missing = [name for name in network.backbones if name not in images]
    if missing:
        raise InputError(f"the network reads {' and '.join(network.backbones)}; {missing[0]} was not given")
    arrays = [images[name] for name in network.backbones]
    for name, array in zip(network.backbones, arrays, strict=True):
        if array.dtype != np.float32 or array.ndim != 4 or array.shape[1] != 3 or len(array) != len(arrays[0]):
            raise InputError(f"{name} images are {array.dtype} {array.shape}; float32 (N, 3, S, S) is needed")
    return [torch.tensor(array) for array in arrays]


def _weights(network: SpecimenNet, target: Target) -> torch.Tensor:
    count = int(network.head.out_features)
    if len(target.weights) != count:
        raise InputError(f"target {target.name!r} has {len(target.weights)} weights; the network has {count} logits")
    return torch.tensor(target.weights, dtype=torch.float32)

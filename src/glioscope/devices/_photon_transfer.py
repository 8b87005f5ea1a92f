"""Electrons per count and read noise of a camera, from pairs of flat frames (the photon-transfer method)."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from glioscope.core import Frame, ImageError, InputError

MIN_PAIRS = 4
MIN_SPAN = 4.0
"""The brightest pair must have this many times the light of the dimmest."""
_HIGHEST = 0.8
_MAX_RESIDUAL = 0.2


class PhotonTransfer(BaseModel):
    """Result of the method.

    Attributes
    ----------
    electrons_per_count, standard_error : gain of the camera at these settings.
    read_noise_counts : standard deviation of one pixel without light (0 where the fit gives less than none).
    n_pairs : that were used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    electrons_per_count: float = Field(gt=0)
    standard_error: float = Field(ge=0)
    read_noise_counts: float = Field(ge=0)
    n_pairs: int


def photon_transfer(
    pairs: Sequence[tuple[Frame, Frame]], dark: NDArray[np.float32], *, white_level: int
) -> PhotonTransfer:
    """Fit variance = light / electrons per count + read noise squared over pairs of flat frames at rising light.

    Half the variance of the difference of two frames is free of the sensor's fixed pattern. Pairs above 80 % of the
    range are left out; pixels that differ by over 6 robust deviations are not counted.

    Parameters
    ----------
    pairs : each of one steady light; at least 4, of which the brightest has 4 times the light of the dimmest.
    dark : float32 (H, W), mean dark frame.

    Raises
    ------
    InputError : too few pairs, too little span, or points that lie on no rising straight line.
    ImageError : pixels of another type or size.

    References
    ----------
    J. R. Janesick, Photon Transfer, SPIE Press, 2007, chapter 5.
    """
    points = [_point(first, second, dark) for first, second in pairs]
    used = np.array([p for p in points if p[2] <= _HIGHEST * white_level], np.float64).reshape(-1, 3)
    if len(used) < MIN_PAIRS:
        raise InputError(
            f"{len(used)} pairs of flat frames are below {100 * _HIGHEST:g} % of the range, {MIN_PAIRS} needed"
        )
    light, variance = used[:, 0], used[:, 1]
    if not variance.min() > 0:
        raise InputError("the two frames of a pair are the same: give two exposures")
    if not light.max() >= MIN_SPAN * max(float(light.min()), 1e-9):
        raise InputError(
            f"light of the pairs spans {light.min():.0f} to {light.max():.0f} counts, a factor of 4 is needed"
        )
    # The standard error of a variance is proportional to it, so each point weighs by the inverse of its own.
    design = np.stack([light, np.ones_like(light)], axis=1) / variance[:, None]
    (slope, intercept), *_ = np.linalg.lstsq(design, np.ones_like(light))
    residual = (slope * light + intercept) / variance - 1
    if not slope > 0 or np.abs(residual).max() > _MAX_RESIDUAL:
        worst = 100 * float(np.abs(residual).max())
        raise InputError(f"variance against light is no rising straight line: off by up to {worst:.0f} %")
    scatter = float(residual @ residual) / max(len(light) - 2, 1)
    slope_error = float(np.sqrt(scatter * np.linalg.inv(design.T @ design)[0, 0]))
    return PhotonTransfer(
        electrons_per_count=float(1 / slope),
        standard_error=slope_error / float(slope) ** 2,
        read_noise_counts=float(np.sqrt(max(float(intercept), 0.0))),
        n_pairs=len(light),
    )


def _point(first: Frame, second: Frame, dark: NDArray[np.float32]) -> tuple[float, float, float]:
    """Light above dark, variance of one frame, and the brightest percentile, in counts."""
    for frame in (first, second):
        if frame.pixels.dtype != np.uint16 or frame.pixels.shape != dark.shape:
            raise ImageError(
                None, f"flat frame is {frame.pixels.dtype} {frame.pixels.shape}, the dark one {dark.shape}"
            )
    a, b = (frame.pixels.astype(np.float32) - dark for frame in (first, second))
    level = (float(np.median(a)) + float(np.median(b))) / 2
    # A lamp that changed a little between the two is no noise: scale to the same light where there is any.
    ratio = float(cv2.mean(a)[0] / cv2.mean(b)[0]) if level > 1 else 1.0
    difference = a - np.float32(ratio) * b
    spread = 1.4826 * float(np.median(np.abs(difference)))
    kept = np.abs(difference) <= 6 * max(spread, 1e-6)
    light = float((a[kept].mean() + b[kept].mean()) / 2)
    return light, float(difference[kept].var()) / 2, float(np.percentile(first.pixels, 99))

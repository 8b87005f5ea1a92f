"""Whether a map points at the tumour, where it is known: the pointing game, and the share of a map in the tumour."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.stats import binomtest

from glioscope.core import InputError

from ._similarity import Masks, Stack, strength

TOLERANCE = 0.03
"""How far off a hit may be, as a share of the canvas' side (4 px of 128; Zhang et al. used 15 px of about 500)."""


@dataclass(frozen=True, slots=True)
class Pointing:
    """Pointing game over `n` images.

    `accuracy` with its 95 % interval (Wilson; images are taken as independent): how often the maximum lies in the
    tumour or within the tolerance of it. `chance`: how often a random point of the specimen would. `energy`: mean share
    of the map that lies in the tumour. `tumor_share`: mean share of the specimen that is tumour, which is the energy
    of an even map. A map with nothing in it misses, and its energy is that of an even one.
    """

    accuracy: float
    low: float
    high: float
    chance: float
    energy: float
    tumor_share: float
    n: int


def pointing(maps: Stack, tumor: Masks, specimen: Masks, tolerance: float = TOLERANCE) -> Pointing:
    """Play the pointing game.

    Parameters
    ----------
    maps : float32 (N, S, S), or (N, S, S, 3), which is summed; at least 0. tumor, specimen : bool (N, S, S).
    tolerance : share of S.

    Raises
    ------
    InputError : shapes that do not fit, or an image without tumour.

    References
    ----------
    Zhang et al., Top-down neural attention by excitation backprop, IJCV 2018. Wang et al., Score-CAM, CVPR workshops
    2020 (the share of the energy).
    """
    values = strength(maps) * specimen
    if not values.shape == tumor.shape == specimen.shape:
        raise InputError(f"maps of {maps.shape} do not fit masks of {tumor.shape} and {specimen.shape}")
    if not (tumor & specimen).any(axis=(1, 2)).all():
        raise InputError("the pointing game needs tumour in every image; one has 0 pixels of it")
    near = np.array([_grown(mask, tolerance) for mask in tumor]) & specimen
    hits = [bool(v.any() and goal.flat[int(v.argmax())]) for v, goal in zip(values, near, strict=True)]
    area = specimen.sum(axis=(1, 2))
    share = (tumor & specimen).sum(axis=(1, 2)) / area
    total = values.sum(axis=(1, 2))
    energy = np.where(total > 0, (values * tumor).sum(axis=(1, 2)) / np.where(total > 0, total, 1), share)
    interval = binomtest(sum(hits), len(hits)).proportion_ci(method="wilson")
    return Pointing(
        float(np.mean(hits)),
        float(interval.low),
        float(interval.high),
        float((near.sum(axis=(1, 2)) / area).mean()),
        float(energy.mean()),
        float(share.mean()),
        len(hits),
    )


def _grown(mask: Masks, tolerance: float) -> Masks:
    radius = round(tolerance * mask.shape[0])
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc) > 0)

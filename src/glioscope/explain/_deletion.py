"""Whether what a map marks is what the network uses: deletion with imputed pixels, ROAD.

Blackening pixels leaves a hole whose outline the network reads, so that curves say more of the holes than of the
map. ROAD replaces removed pixels by what their neighbours suggest, plus a little noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from glioscope.core import InputError
from glioscope.models import SpecimenNet

from ._maps import Images, Target
from ._similarity import Masks, Stack, strength

FRACTIONS = (0.2, 0.4, 0.6, 0.8)
_NOISE = 0.01
"""Standard deviation of the noise in the network's units, as in Rong et al.'s implementation."""
_DIRECT, _DIAGONAL = 1 / 6, 1 / 12
"""Weights of the eight neighbours."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """Mean score of the explained class, in logits, with shares of the specimen removed.

    `most_first`: what the map marks most is removed first (deletion; it should fall). `least_first`: what it marks
    least is removed first (insertion read backwards; it should last). `gain`: mean of least_first - most_first over
    the fractions; 0 for a map that knows nothing.
    """

    fractions: tuple[float, ...]
    most_first: tuple[float, ...]
    least_first: tuple[float, ...]
    gain: float


def deletion(
    network: SpecimenNet,
    images: Images,
    name: str,
    maps: Stack,
    specimen: Masks,
    target: Target,
    rng: np.random.Generator,
    fractions: Sequence[float] = FRACTIONS,
) -> Deletion:
    """Remove pixels of the specimen in input `name` in the order of the map, and ask the network.

    Parameters
    ----------
    images : input -> float32 (N, 3, S, S). maps : float32 (N, S, S) or (N, S, S, 3), of `name`.
    specimen : bool (N, S, S); nothing is removed outside, where nothing is shown either.
    fractions : of the specimen's pixels, each above 0 and below 1. Equal values of a map are taken in random order.

    Raises
    ------
    InputError : shapes that do not fit, or a fraction out of range.

    References
    ----------
    Rong et al., A consistent and efficient evaluation strategy for attribution methods, ICML 2022.
    """
    if not all(0 < fraction < 1 for fraction in fractions):
        raise InputError(f"fractions {tuple(fractions)} to remove are not all between 0 and 1")
    values = strength(maps)
    if values.shape != specimen.shape or images[name].shape[2:] != specimen.shape[1:]:
        raise InputError(f"maps of {maps.shape} do not fit masks of {specimen.shape} or images {images[name].shape}")
    orders = [_order(v, mask, rng) for v, mask in zip(values, specimen, strict=True)]
    curves = {}
    for kind, step in (("most_first", 1), ("least_first", -1)):
        curves[kind] = tuple(
            _score(network, {**images, name: _without(images[name], orders, step, fraction, rng)}, target)
            for fraction in fractions
        )
    gain = float(np.mean(np.subtract(curves["least_first"], curves["most_first"])))
    return Deletion(tuple(fractions), curves["most_first"], curves["least_first"], gain)


def impute(
    image: NDArray[np.float32], removed: NDArray[np.bool_], rng: np.random.Generator, noise: float = _NOISE
) -> NDArray[np.float32]:
    """Fill pixels by noisy linear imputation: each is the weighted mean of its neighbours, known or filled, plus noise.

    Parameters
    ----------
    image : float32 (3, S, S). removed : bool (S, S), not everything. noise : standard deviation, in the image's units.

    Raises
    ------
    InputError : every pixel is removed.
    """
    if removed.all():
        raise InputError(f"nothing is left to impute from: all {removed.size} pixels are removed")
    if not removed.any():
        return image.copy()
    weights = _neighbours(image.shape[1], image.shape[2])
    holes = np.flatnonzero(removed)
    rows = weights[holes]
    own = sparse.diags(np.asarray(rows.sum(axis=1)).ravel()) - rows[:, holes]
    known = image.reshape(3, -1).T.astype(np.float64)
    known[holes] = 0
    filled = image.copy()
    found = splu(sparse.csc_matrix(own)).solve(rows @ known)
    filled[:, removed] = (found + noise * rng.standard_normal(found.shape)).T.astype(np.float32)
    return filled


@cache
def _neighbours(rows: int, columns: int) -> sparse.csr_matrix:
    """Sparse (rows * columns)^2 matrix of the weights of each pixel's neighbours."""
    index = np.arange(rows * columns).reshape(rows, columns)
    i, j, weight = [], [], []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = index[: rows - dy, max(-dx, 0) : columns - max(dx, 0)].ravel()
        there = index[dy:, max(dx, 0) : columns + min(dx, 0)].ravel()
        i += [here, there]
        j += [there, here]
        weight += [np.full(2 * here.size, _DIAGONAL if dy and dx else _DIRECT)]
    size = rows * columns
    return sparse.csr_matrix((np.concatenate(weight), (np.concatenate(i), np.concatenate(j))), shape=(size, size))


def _order(values: NDArray[np.float32], mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Flat indices of the specimen's pixels, strongest first."""
    inside = np.flatnonzero(mask)
    return inside[np.lexsort((rng.random(inside.size), -values.ravel()[inside]))]


def _without(
    images: NDArray[np.float32],
    orders: Sequence[NDArray[np.int64]],
    step: int,
    fraction: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    filled = []
    for image, order in zip(images, orders, strict=True):
        removed = np.zeros(image.shape[1] * image.shape[2], np.bool_)
        removed[order[::step][: round(fraction * order.size)]] = True
        filled.append(impute(image, removed.reshape(image.shape[1:]), rng))
    return np.stack(filled)


@torch.no_grad()
def _score(network: SpecimenNet, images: Images, target: Target) -> float:
    logit = network(*(torch.from_numpy(images[name]) for name in network.backbones))
    return float((logit @ torch.tensor(target.weights, dtype=logit.dtype)).mean())

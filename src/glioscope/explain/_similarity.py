"""How alike two sets of maps are: SSIM, rank correlation and correlation of gradient histograms, on the specimen."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from skimage.feature import hog
from skimage.metrics import structural_similarity

from glioscope.core import InputError

Stack = NDArray[np.float32]
"""Maps of N images: float32 (N, S, S) or, for colours, (N, S, S, 3); at least 0."""
Masks = NDArray[np.bool_]
_CELLS = 8
"""Cells of the gradient histograms along each side of the canvas."""


@dataclass(frozen=True, slots=True)
class Similarity:
    """Means over images, 1 for equal maps.

    `ssim`, `spearman`, and `hog` (Pearson's r of histograms): -1 to 1. `abs_spearman`: mean of |Spearman's r|, as draws
    that agree and draws that oppose average out. `empty`: share of the second maps that had nothing in them.
    Maps that are mostly 0 agree on that wherever they were made, which SSIM counts and ranks count less.
    """

    ssim: float
    spearman: float
    hog: float
    abs_spearman: float
    empty: float

    @classmethod
    def mean(cls, parts: Sequence["Similarity"]) -> "Similarity":
        """The mean of each.

        Raises
        ------
        InputError : nothing to average.
        """
        if not parts:
            raise InputError("a mean similarity needs at least one, got 0")
        return cls(*(float(np.mean([getattr(part, field.name) for part in parts])) for field in fields(cls)))


def similarity(first: Stack, second: Stack, specimen: Masks) -> Similarity:
    """Compare maps image by image; each is first divided by its largest value.

    A map with nothing in it stays 0: its ranks and histograms agree with none (0), its SSIM is what it is.

    Parameters
    ----------
    first, second : float32 (N, S, S) or (N, S, S, 3), at least 0. specimen : bool (N, S, S); only these pixels count.

    Raises
    ------
    InputError : shapes that do not fit, values below 0, or an empty specimen.

    References
    ----------
    Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018 (the three measures). Wang et al. 2004: SSIM with
    Gaussian windows of 1.5 px.
    """
    if first.shape != second.shape or first.shape[:3] != specimen.shape:
        raise InputError(f"maps of {first.shape} and {second.shape} on masks of {specimen.shape} cannot be compared")
    if min(first.min(), second.min()) < 0:
        raise InputError(f"maps with values below 0 ({min(first.min(), second.min()):.3g}) cannot be compared by SSIM")
    if not specimen.any(axis=(1, 2)).all():
        raise InputError("maps cannot be compared on an empty specimen: its mask has 0 pixels")
    return Similarity.mean([_pair(unit(a), unit(b), mask) for a, b, mask in zip(first, second, specimen, strict=True)])


def unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map divided by its largest value; one with nothing in it stays 0."""
    top = values.max(initial=0)
    return np.asarray(values / top if top > 0 else values, np.float32)


def strength(values: Stack) -> Stack:
    """Maps as (N, S, S): colours are summed."""
    return values.sum(axis=3) if values.ndim == 4 else values


def _pair(a: NDArray[np.float32], b: NDArray[np.float32], mask: NDArray[np.bool_]) -> Similarity:
    coloured = a.ndim == 3
    _, local = structural_similarity(  # type: ignore[no-untyped-call]
        a,
        b,
        data_range=1.0,
        channel_axis=2 if coloured else None,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    rank = pearson(*(rankdata(values[mask], axis=None) for values in (a, b)))
    cells = pearson(*(_histogram(values) for values in (a, b)))
    return Similarity(float(local[mask].mean()), rank, cells, abs(rank), float(not b[mask].any()))


def _histogram(values: NDArray[np.float32]) -> NDArray[np.float64]:
    side = max(values.shape[0] // _CELLS, 1)
    grey = strength(values[None])[0]
    return np.asarray(hog(grey, pixels_per_cell=(side, side), cells_per_block=(2, 2)), np.float64)


def pearson(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Pearson's correlation of two vectors; 0 where either does not vary."""
    a, b = (values.astype(np.float64) - values.mean(dtype=np.float64) for values in (a, b))
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 0.0

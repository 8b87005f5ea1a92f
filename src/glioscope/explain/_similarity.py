"""How alike two sets of maps are: SSIM, rank correlation and correlation of gradient histograms, on the specimen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from skimage.feature import hog
from skimage.metrics import structural_similarity

from glioscope.core import InputError

Stack = NDArray[np.float32]
"""Maps of N images: float32 (N, S, S), at least 0, or (N, S, S, 3), signed."""
Masks = NDArray[np.bool_]
_CELLS = 8
"""Cells of the gradient histograms along each side of the canvas."""


@dataclass(frozen=True, slots=True)
class Similarity:
    """Means over images, 1 for equal maps. `ssim`: -1 to 1; `spearman` and `hog` (Pearson's r of histograms): -1 to 1.

    Maps that are mostly 0 agree on that wherever they were made, which SSIM counts and ranks count less.
    """

    ssim: float
    spearman: float
    hog: float

    @classmethod
    def mean(cls, parts: Sequence["Similarity"]) -> "Similarity":
        """The mean of each.

        Raises
        ------
        InputError : nothing to average.
        """
        if not parts:
            raise InputError("a mean similarity needs at least one, got 0")
        return cls(*(float(np.mean([getattr(part, name) for part in parts])) for name in ("ssim", "spearman", "hog")))


def similarity(first: Stack, second: Stack, specimen: Masks) -> Similarity:
    """Compare maps image by image; each is first divided by its largest absolute value.

    A map with nothing in it stays 0: its ranks and histograms agree with none (0), its SSIM is what it is.

    Parameters
    ----------
    first, second : float32 (N, S, S) or (N, S, S, 3). specimen : bool (N, S, S); only these pixels count.

    Raises
    ------
    InputError : shapes that do not fit, or an empty specimen.

    References
    ----------
    Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018 (the three measures). Wang et al. 2004: SSIM with
    Gaussian windows of 1.5 px.
    """
    if first.shape != second.shape or first.shape[:3] != specimen.shape:
        raise InputError(f"maps of {first.shape} and {second.shape} on masks of {specimen.shape} cannot be compared")
    if not specimen.any(axis=(1, 2)).all():
        raise InputError("maps cannot be compared on an empty specimen: its mask has 0 pixels")
    return Similarity.mean([_pair(unit(a), unit(b), mask) for a, b, mask in zip(first, second, specimen, strict=True)])


def unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map divided by its largest absolute value; one with nothing in it stays 0."""
    top = np.abs(values).max(initial=0)
    return np.asarray(values / top if top > 0 else values, np.float32)


def strength(values: Stack) -> Stack:
    """Maps as (N, S, S), at least 0: absolute values, summed over colours."""
    return np.abs(values).sum(axis=3) if values.ndim == 4 else np.abs(values)


def _pair(a: NDArray[np.float32], b: NDArray[np.float32], mask: NDArray[np.bool_]) -> Similarity:
    coloured = a.ndim == 3
    # SSIM takes light for positive: signed maps are laid around mid-grey.
    shown = [0.5 + 0.5 * values if coloured else values for values in (a, b)]
    _, local = structural_similarity(  # type: ignore[no-untyped-call]
        *shown,
        data_range=1.0,
        channel_axis=2 if coloured else None,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    ranks = [rankdata(values[mask], axis=None) for values in (a, b)]
    cells = [_histogram(values) for values in (a, b)]
    return Similarity(float(local[mask].mean()), _pearson(*ranks), _pearson(*cells))


def _histogram(values: NDArray[np.float32]) -> NDArray[np.float64]:
    side = max(values.shape[0] // _CELLS, 1)
    grey = strength(values[None])[0]
    return np.asarray(hog(grey, pixels_per_cell=(side, side), cells_per_block=(2, 2)), np.float64)


def _pearson(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Correlation; 0 where either does not vary."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 0.0

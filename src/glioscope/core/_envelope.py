"""The envelope of training images: how far the features of an image may be from theirs (contract 4)."""

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ._errors import BundleError

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Envelope(BaseModel):
    """How far features may be from those of the training images; the vectors are in `envelope.npy`.

    Features f become u, the square roots of their sizes with their signs, scaled to length 1: what a dim image makes
    small is then compared by its pattern (Arandjelovic and Zisserman, CVPR 2012). The distance D of u from the mean m
    is a Mahalanobis distance (Lee et al., NeurIPS 2018) with a variance for each of the leading principal components
    and one, s, for every direction that they leave out (Tipping and Bishop 1999, eq. 7):
    d D^2 = |u - m|^2 / s - |A (u - m)|^2. `envelope.npy` is float32 (rank + 1, d): m, then A, whose row of a component
    with variance v is its direction times sqrt(1 / s - 1 / v). Variances are shrunk towards s before, see `models`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["Mahalanobis of unit square roots"] = "Mahalanobis of unit square roots"
    rank: Annotated[int, Field(ge=1, le=1024)]
    residual_variance: Positive
    """s: variance in each of the d - rank directions that the components leave out."""
    limit: Positive
    """Largest D that is answered."""
    rule: str
    """How the limit was chosen."""
    n_images: Annotated[int, Field(ge=2)]
    n_patients: Annotated[int, Field(ge=1)]
    n_held_out_patients: Annotated[int, Field(ge=0)] = 0
    """Those of them whose images the network was not trained on."""

    def distance(self, features: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distance D as a multiple of the limit: above 1 an image is not assessable.

        Parameters
        ----------
        features : float32 (N, d), the network's output `features`.
        vectors : float32 (rank + 1, d), the content of `envelope.npy`, for which `check` holds.

        Returns
        -------
        float64 (N,), at least 0; infinite where a feature is not finite, or all are 0.
        """
        return root_mean_square(unit_roots(features), vectors, self.residual_variance) / self.limit

    def check(self, vectors: NDArray[Any], n_features: int) -> None:
        """Refuse vectors that are not those of this record.

        Raises
        ------
        BundleError : another type or shape than float32 (rank + 1, n_features), or a value that is not finite.
        """
        wanted = (self.rank + 1, n_features)
        if vectors.dtype != np.float32 or vectors.shape != wanted:
            raise BundleError(f"envelope.npy is {vectors.dtype} {vectors.shape}, float32 {wanted} is needed")
        if not np.isfinite(vectors).all():
            raise BundleError(f"envelope.npy has {np.count_nonzero(~np.isfinite(vectors))} values that are not finite")


def unit_roots(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Square roots of the sizes of features (N, d) with their signs, each row of length 1 (NaN where it has none)."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        roots = np.copysign(np.sqrt(np.abs(features)), features)
        lengths = np.sqrt(np.einsum("nd,nd->n", roots, roots, dtype=np.float64))
        unit: NDArray[np.float32] = roots / lengths[:, None].astype(np.float32)
    return unit


def root_mean_square(
    unit: NDArray[np.float32], vectors: NDArray[np.float32], residual_variance: float
) -> NDArray[np.float64]:
    """D of `Envelope`, float64 (N,), of `unit_roots` float32 (N, d)."""
    with np.errstate(invalid="ignore", over="ignore"):
        # In float64: how sums are ordered depends on where in memory a row lies, and must not show.
        wide = vectors.astype(np.float64)
        centred = unit - wide[0]
        inner = centred @ wide[1:].T
        squared = np.einsum("nd,nd->n", centred, centred) / residual_variance - np.einsum("nr,nr->n", inner, inner)
        distance: NDArray[np.float64] = np.sqrt(np.maximum(squared, 0.0) / unit.shape[1])
    # A comparison with NaN is false: without this, damaged features would count as familiar ones.
    return np.where(np.isfinite(distance), distance, np.inf)

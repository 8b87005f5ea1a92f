"""Fit the envelope of training images at export: where features lie, and how far out a new patient's may be."""

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from glioscope.core import InputError
from glioscope.core._envelope import Envelope, root_mean_square, unit_roots

RANK = 64
"""Principal components kept (fewer where images are few): decision 0011."""
IMAGES_PER_COMPONENT = 4
SHRINKAGE = 0.25
"""Exponent on a component's variance, in units of the residual one: 1 is Mahalanobis', 0 is Euclid's distance."""
VARIANCE_FLOOR = 1e-12
"""Of vectors of length 1: less than this in a direction is rounding."""
MAX_GROUPS = 10
"""Patients are left out one at a time, or, where there are more, in this many groups."""
QUANTILE = 0.995
"""Share of a new patient's images that the limit is meant to let in."""
TAIL = 0.9
"""Quantile beyond which distances are taken to fall off exponentially."""
MARGIN_IMAGES = 8.0
"""The limit is widened by this over the number of images: by 13 % at 60, by under 1 % at 1000."""

Floats = NDArray[np.float64]


def fit_envelope(
    features: NDArray[np.float32], patients: NDArray[np.object_], held_out: NDArray[np.bool_]
) -> tuple[Envelope, NDArray[np.float32]]:
    """Fit the distance of `core.Envelope` and its limit.

    The distance is fitted on all images, with the components' variances shrunk towards that of the rest. For the
    limit, patients are left out in turn: the distance is fitted again without them, and theirs is measured, as that of
    a new patient will be. A fine-tuned network has seen its training patients, so their features lie closer than a new
    patient's even when the distance has not seen them; the patients in `held_out` (tuning patients), which it has not
    seen, say by how much, and that factor widens the limit.

    Parameters
    ----------
    features : float32 (N, d) of the images that the network was trained and tuned on.
    patients : (N,) patient ids; at least 2.
    held_out : bool (N,), True for images of patients that the network was not trained on; may be all False.

    Returns
    -------
    The record, and the vectors float32 (rank + 1, d) for `envelope.npy`.

    Raises
    ------
    InputError : shapes that do not fit, features that are not finite or all alike, fewer than 2 patients.
    """
    _check(features, patients, held_out)
    unit = unit_roots(features)
    with threadpool_limits(1):  # the problem is small: more threads only wait for each other
        limit, rule = _limit(left_out_distances(unit, patients), held_out)
        vectors, variance = _fit(unit.astype(np.float64), RANK)
    record = Envelope(
        rank=len(vectors) - 1,
        residual_variance=variance,
        limit=limit,
        rule=rule,
        n_images=len(features),
        n_patients=len(np.unique(patients.astype(str))),
        n_held_out_patients=len(np.unique(patients[held_out].astype(str))),
    )
    return record, vectors


def left_out_distances(unit: NDArray[np.float32], patients: NDArray[np.object_], rank: int = RANK) -> Floats:
    """Distance D (N,) of every image, given as `unit_roots`, from an envelope that was fitted without its patient.

    With more than `MAX_GROUPS` patients, several are left out at once.
    """
    ids, codes = np.unique(patients.astype(str), return_inverse=True)
    # Patients with many images are dealt out first, so that groups are of like size.
    order = np.argsort(-np.bincount(codes), kind="stable")
    group_of = np.empty(len(ids), np.int64)
    group_of[order] = np.arange(len(ids)) % MAX_GROUPS
    groups = group_of[codes]
    rows = unit.astype(np.float64)
    distances = np.empty(len(rows))
    for group in np.unique(groups):
        out = groups == group
        vectors, variance = _fit(rows[~out], rank)
        distances[out] = root_mean_square(unit[out], vectors, variance)
    return distances


def _fit(rows: Floats, rank: int) -> tuple[NDArray[np.float32], float]:
    """Vectors float32 (rank + 1, d) and residual variance of `core.Envelope`; `rows` (N, d)."""
    n, d = rows.shape
    rank = max(1, min(rank, n // IMAGES_PER_COMPONENT, d - 1))
    mean = rows.mean(0)
    centred = rows - mean
    _, singular, directions = randomized_svd(centred, rank, n_iter=4, random_state=0)
    variances = np.square(singular) / n
    residual = (float(np.square(centred).sum()) / n - float(variances.sum())) / (d - rank)
    if not residual > VARIANCE_FLOOR:
        raise InputError(f"the features of {n} images vary in {rank} directions or fewer: no envelope can be fitted")
    shrunk = residual * np.maximum(variances / residual, 1.0) ** SHRINKAGE
    scaled = directions * np.sqrt(1 / residual - 1 / shrunk)[:, None]
    return np.concatenate([mean[None], scaled]).astype(np.float32), residual


def _limit(left_out: Floats, held_out: NDArray[np.bool_]) -> tuple[float, str]:
    """Limit of D and the sentence that says how it came about.

    Few tuning patients tell a scale well and a high quantile badly, so theirs gives the factor, and the shape of the
    tail comes from all: quantile q beyond u is t + mean excess over t x ln((1 - u) / (1 - q)), t the quantile u.
    """
    factor = 1.0
    if held_out.any() and not held_out.all():
        factor = max(1.0, float(np.median(left_out[held_out]) / np.median(left_out[~held_out])))
    scaled = np.where(held_out, left_out, left_out * factor)
    start = float(np.quantile(scaled, TAIL))
    excess = float((scaled[scaled >= start] - start).mean())
    margin = 1 + MARGIN_IMAGES / len(scaled)
    limit = margin * (start + excess * float(np.log((1 - TAIL) / (1 - QUANTILE))))
    rule = (
        f"{QUANTILE:.1%} of images of patients left out in turn, by an exponential tail, x {margin:.3f} for their "
        f"number; patients that the network was trained on count {factor:.3f} x their distance"
    )
    return limit, rule


def _check(features: NDArray[np.float32], patients: NDArray[np.object_], held_out: NDArray[np.bool_]) -> None:
    if features.ndim != 2 or not len(features) == len(patients) == len(held_out):
        raise InputError(
            f"an envelope needs one patient a row: {len(features)} rows of features, {len(patients)} patients and "
            f"{len(held_out)} marks of held-out patients do not fit"
        )
    useless = ~(np.isfinite(features).all(axis=1) & features.any(axis=1))
    if useless.any():
        raise InputError(f"{np.count_nonzero(useless)} of {len(features)} rows of features are all 0 or not finite")
    n_patients = len(np.unique(patients.astype(str)))
    if n_patients < 2:
        raise InputError(f"an envelope needs images of at least 2 patients, there is {n_patients} patient")

"""The distance of an envelope against a covariance that is inverted the long way."""

import numpy as np
import pytest

from glioscope.core import BundleError
from glioscope.core._envelope import Envelope, unit_roots

RANK, WIDTH, RESIDUAL, MEAN = 3, 20, 0.01, 0.2
VARIANCES = np.array([0.9, 0.4, 0.05])


def _directions() -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(0).standard_normal((WIDTH, WIDTH)))[0][:RANK]


def _vectors() -> np.ndarray:
    scaled = _directions() * np.sqrt(1 / RESIDUAL - 1 / VARIANCES)[:, None]
    return np.concatenate([np.full((1, WIDTH), MEAN), scaled]).astype(np.float32)


def _envelope(limit: float = 1.5) -> Envelope:
    return Envelope(rank=RANK, residual_variance=RESIDUAL, limit=limit, rule="test", n_images=9, n_patients=3)


def _features(n: int = 7) -> np.ndarray:
    return np.random.default_rng(1).normal(2.0, 3.0, (n, WIDTH)).astype(np.float32)


def test_distance_is_that_of_the_inverted_covariance() -> None:
    directions = _directions()
    covariance = RESIDUAL * np.eye(WIDTH) + directions.T @ np.diag(VARIANCES - RESIDUAL) @ directions
    features = _features().astype(float)
    roots = np.sign(features) * np.sqrt(np.abs(features))
    off = roots / np.linalg.norm(roots, axis=1, keepdims=True) - MEAN
    expected = np.sqrt(np.einsum("ni,ij,nj->n", off, np.linalg.inv(covariance), off) / WIDTH)
    assert _envelope(1.5).distance(_features(), _vectors()) == pytest.approx(expected / 1.5, rel=1e-5)


def test_one_image_alone_is_as_far_as_among_others() -> None:
    together = _envelope().distance(_features(), _vectors())
    alone = [_envelope().distance(_features()[i : i + 1], _vectors())[0] for i in range(7)]
    assert together == pytest.approx(np.array(alone), rel=1e-6)


def test_a_dim_image_is_as_far_as_a_bright_one_of_the_same_pattern() -> None:
    distance = _envelope().distance(_features(), _vectors())
    assert _envelope().distance(_features() * np.float32(1e-3), _vectors()) == pytest.approx(distance, rel=1e-4)


def test_the_mean_has_distance_zero_and_a_wider_limit_brings_images_nearer() -> None:
    alike = np.full((1, WIDTH), 7.0, np.float32)
    vectors = _vectors()
    vectors[0] = unit_roots(alike)[0]
    assert _envelope().distance(alike, vectors) == pytest.approx([0.0], abs=1e-5)
    near, far = (_envelope(limit).distance(_features(), _vectors()) for limit in (3.0, 1.5))
    assert near == pytest.approx(far / 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_damaged_features_are_never_near(value: float) -> None:
    features = _features(2)
    features[0, 4] = value
    distance = _envelope().distance(features, _vectors())
    assert distance[0] == np.inf
    assert _envelope().distance(np.zeros((1, WIDTH), np.float32), _vectors())[0] == np.inf
    assert np.isfinite(distance[1])


def test_vectors_that_are_not_those_of_the_record_are_refused() -> None:
    _envelope().check(_vectors(), WIDTH)
    with pytest.raises(BundleError, match=r"envelope.npy is float64 \(4, 20\), float32 \(4, 20\) is needed"):
        _envelope().check(_vectors().astype(np.float64), WIDTH)
    with pytest.raises(BundleError, match=r"float32 \(4, 21\) is needed"):
        _envelope().check(_vectors(), WIDTH + 1)
    with pytest.raises(BundleError, match="1 values that are not finite"):
        _envelope().check(np.where(np.arange(80).reshape(4, 20) == 33, np.nan, _vectors()).astype(np.float32), WIDTH)

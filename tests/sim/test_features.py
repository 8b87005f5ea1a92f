"""Hand-made features on pictures whose answers are known."""

import numpy as np
import pytest

from glioscope.core import ImageError
from glioscope.sim import HAND_MADE_FEATURES, hand_made_features, specimen_mask


def _disc(level: float, background: float = 800.0, noise: float = 15.0) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:128, :160]
    mask = np.hypot(y - 64, x - 80) < 35
    picture = np.where(mask, level, background) + noise * np.random.default_rng(0).standard_normal(mask.shape)
    return picture.astype(np.uint16), mask


def _named(image: np.ndarray, mask: np.ndarray | None = None) -> dict[str, float]:
    return dict(zip(HAND_MADE_FEATURES, hand_made_features(image, mask), strict=True))


def test_levels_are_those_of_the_picture() -> None:
    image, mask = _disc(4000.0)
    found = _named(image, mask)
    assert np.exp(found["mean"]) == pytest.approx(4000, rel=0.01)
    assert np.exp(found["background"]) == pytest.approx(800, rel=0.01)
    assert np.exp(found["ratio"]) == pytest.approx(3200, rel=0.01)


def test_mask_is_the_specimen() -> None:
    image, mask = _disc(2000.0)
    found = specimen_mask(image)
    assert (found & mask).sum() / (found | mask).sum() > 0.85


def test_texture_features_do_not_depend_on_gain() -> None:
    rng = np.random.default_rng(1)
    image, mask = _disc(4000.0, noise=0.0)
    texture = np.where(mask, 600 * rng.standard_normal(mask.shape), 0)
    first = _named((image + texture).clip(0).astype(np.uint16), mask)
    second = _named((3 * (image + texture)).clip(0).astype(np.uint16), mask)
    for name in ("sd", "p05", "p95", "skewness", "gradient", "fine_texture"):
        assert second[name] == pytest.approx(first[name], rel=0.02, abs=0.02)


def test_a_rotated_picture_has_the_same_features() -> None:
    rng = np.random.default_rng(2)
    image = (3000 + 500 * rng.standard_normal((96, 96))).astype(np.uint16)
    mask = np.ones((96, 96), dtype=bool)
    mask[:20] = False
    np.testing.assert_allclose(
        hand_made_features(np.rot90(image).copy(), np.rot90(mask).copy()), hand_made_features(image, mask), rtol=1e-4
    )


@pytest.mark.parametrize("image", [np.zeros((8, 8), np.float32), np.zeros((8, 8, 3), np.uint16)])
def test_other_arrays_are_refused(image: np.ndarray) -> None:
    with pytest.raises(ImageError, match="2-D uint16"):
        hand_made_features(image)


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(ImageError, match="empty"):
        hand_made_features(np.zeros((8, 8), np.uint16), np.zeros((8, 8), bool))


def test_flat_images_give_finite_features() -> None:
    for level in (0, 700, 65535):
        assert np.isfinite(hand_made_features(np.full((64, 64), level, np.uint16))).all()

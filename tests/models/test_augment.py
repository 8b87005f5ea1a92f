import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs glioscope[train]")

from glioscope.models import FL_AUGMENT, WL_AUGMENT, AugmentSettings, augment, draw  # noqa: E402

PICTURE = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 1, 48, 48), dtype=np.uint8))
INDICES = np.arange(6)


def test_the_record_makes_the_same_image_again():
    first = augment(PICTURE, draw(FL_AUGMENT, seed=3, epoch=2, indices=INDICES))
    again = augment(PICTURE[4:5], draw(FL_AUGMENT, seed=3, epoch=2, indices=np.array([4])))
    assert torch.equal(first[4:5], again)


@pytest.mark.parametrize("changed", [{"seed": 4}, {"epoch": 3}])
def test_other_seed_or_epoch_draws_otherwise(changed):
    base = {"seed": 3, "epoch": 2}
    a = draw(WL_AUGMENT, indices=INDICES, **base)
    b = draw(WL_AUGMENT, indices=INDICES, **{**base, **changed})
    assert not np.array_equal(a.affine, b.affine)


def test_nothing_drawn_changes_nothing():
    still = AugmentSettings(flip_vertical=False, padding_px=0)
    out = augment(PICTURE, draw(still, seed=0, epoch=0, indices=INDICES))
    assert torch.allclose(out, PICTURE.float() / 255, atol=1e-5)


def test_shift_is_a_crop_of_the_padded_image():
    settings_ = AugmentSettings(flip_vertical=False, padding_px=16)
    draws = draw(settings_, seed=1, epoch=0, indices=INDICES)
    out = augment(PICTURE, draws)
    padded = torch.nn.functional.pad(PICTURE.float() / 255, (16, 16, 16, 16))
    for i in range(6):
        dx, dy = (int(v) for v in draws.affine[i, :, 2])
        crop = padded[i, :, 16 + dy : 64 + dy, 16 + dx : 64 + dx]
        assert torch.allclose(out[i], crop, atol=1e-4)


def test_vertical_flip_only_turns_rows():
    settings_ = AugmentSettings(flip_vertical=True, padding_px=0)
    draws = draw(settings_, seed=0, epoch=0, indices=np.arange(40))
    flips = draws.affine[:, 1, 1] < 0
    assert 8 < flips.sum() < 32
    i = int(np.flatnonzero(flips)[0])
    out = augment(PICTURE[:1], draw(settings_, seed=0, epoch=0, indices=np.array([i])))
    assert torch.allclose(out[0], PICTURE[0].flip(-2).float() / 255, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 1000))
def test_values_stay_in_range_and_are_never_all_black(seed, epoch):
    out = augment(PICTURE, draw(FL_AUGMENT, seed=seed, epoch=epoch, indices=INDICES))
    assert float(out.min()) >= 0
    assert float(out.max()) <= 1
    assert bool((out.amax((1, 2, 3)) > 0.1).all())


def test_brightness_agrees_with_torchvision():
    from torchvision.transforms.v2 import functional

    only = AugmentSettings(brightness=(0.5, 1.5), contrast=(0.5, 1.5), flip_vertical=False, padding_px=0)
    draws = draw(only, seed=5, epoch=0, indices=INDICES)
    out = augment(PICTURE, draws)
    for i in range(6):
        bright = functional.adjust_brightness(PICTURE[i].float() / 255, float(draws.brightness[i]))
        expected = functional.adjust_contrast(bright, float(draws.contrast[i]))
        assert torch.allclose(out[i], expected, atol=1e-4)

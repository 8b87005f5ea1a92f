import numpy as np
import pytest

pytest.importorskip("torch", reason="needs glioscope[train]")

import torch
from torch import nn

from glioscope.core import InputError, Modality
from glioscope.explain import Target
from glioscope.explain._deletion import deletion, impute
from glioscope.models import SpecimenNet

SIDE = 24
TARGET = Target("tumour", (1.0,))


class Corner(nn.Module):
    """Sees the brightness of the upper left quarter only; (N, 3, S, S) -> (N, 1, 2, 2)."""

    def forward(self, x):
        return nn.functional.adaptive_avg_pool2d(x.mean(1, keepdim=True), 2) * torch.tensor([[1.0, 0.0], [0.0, 0.0]])


def corner_network():
    network = SpecimenNet(Modality.FL, [Corner()]).eval()
    with torch.no_grad():
        network.head.weight.fill_(4.0)
    return network


def bright_left(count=2):
    images = np.full((count, 3, SIDE, SIDE), -1, np.float32)
    images[:, :, 2:12, 2:12] = 1
    return {"fl": images}


def run(maps, specimen=None, seed=0, target=TARGET):
    specimen = np.ones(maps.shape[:3], bool) if specimen is None else specimen
    return deletion(corner_network(), bright_left(), "fl", maps, specimen, target, np.random.default_rng(seed))


def true_map():
    maps = np.zeros((2, SIDE, SIDE), np.float32)
    maps[:, 2:12, 2:12] = 1
    return maps


def test_a_map_of_what_the_network_uses_beats_noise_and_its_opposite_loses():
    noise = np.random.default_rng(1).random((2, SIDE, SIDE)).astype(np.float32)
    right, random, wrong = (run(maps).gain for maps in (true_map(), noise, 1 - true_map()))
    assert right > 0.3
    assert abs(random) < 0.15
    assert wrong < -0.3


def test_removing_the_marked_pixels_lowers_the_score_and_the_others_leave_it():
    found = run(true_map())
    with torch.no_grad():
        whole = float(corner_network()(torch.from_numpy(bright_left()["fl"])).mean())
    assert found.most_first[0] < whole - 0.3
    assert found.least_first[0] == pytest.approx(whole, abs=0.1)
    assert len(found.most_first) == len(found.fractions) == 4


def test_the_negative_class_has_the_score_with_the_other_sign():
    positive, negative = run(true_map()), run(true_map(), target=Target("non-tumour", (-1.0,)))
    np.testing.assert_allclose(positive.most_first, np.negative(negative.most_first), atol=1e-5)


def test_nothing_outside_the_specimen_is_removed():
    specimen = np.zeros((2, SIDE, SIDE), bool)
    specimen[:, 14:, 14:] = True
    found = run(true_map(), specimen)
    with torch.no_grad():
        whole = float(corner_network()(torch.from_numpy(bright_left()["fl"])).mean())
    np.testing.assert_allclose([*found.most_first, *found.least_first], whole, atol=1e-5)


def test_imputed_pixels_continue_a_slope():
    """A plane solves the equations of the interior exactly, so a hole in it is filled without a trace."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    image = np.stack([x, y, x + y])
    removed = np.zeros((SIDE, SIDE), bool)
    removed[5:15, 7:18] = True
    filled = impute(np.where(removed, np.float32(99), image), removed, np.random.default_rng(0), noise=0)
    np.testing.assert_allclose(filled, image, atol=1e-4)


def test_imputation_solves_its_equations_at_the_edge_too():
    image = np.random.default_rng(2).random((3, 8, 8)).astype(np.float32)
    removed = np.zeros((8, 8), bool)
    removed[0, 0] = True
    filled = impute(image, removed, np.random.default_rng(0), noise=0)
    expected = (image[:, 0, 1] / 6 + image[:, 1, 0] / 6 + image[:, 1, 1] / 12) / (1 / 6 + 1 / 6 + 1 / 12)
    np.testing.assert_allclose(filled[:, 0, 0], expected, rtol=1e-5)
    np.testing.assert_array_equal(filled[:, 1:], image[:, 1:])


def test_imputation_agrees_with_pytorch_grad_cam():
    module = pytest.importorskip("pytorch_grad_cam.metrics.road", reason="needs grad-cam")
    image = np.random.default_rng(3).random((3, 16, 16)).astype(np.float32)
    removed = np.random.default_rng(4).random((16, 16)) < 0.4
    removed[0] = removed[-1] = removed[:, 0] = removed[:, -1] = False
    theirs = module.NoisyLinearImputer(noise=0.0)(torch.from_numpy(image), torch.from_numpy(~removed).float())
    np.testing.assert_allclose(impute(image, removed, np.random.default_rng(0), noise=0), theirs.numpy(), atol=1e-4)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="all 576 pixels are removed"):
        impute(bright_left()["fl"][0], np.ones((SIDE, SIDE), bool), np.random.default_rng(0))
    with pytest.raises(InputError, match="do not fit"):
        run(true_map()[:, :10])
    with pytest.raises(InputError, match="between 0 and 1"):
        deletion(corner_network(), bright_left(), "fl", true_map(), true_map() > 0, TARGET,
                 np.random.default_rng(0), (0.5, 1.0))  # fmt: skip

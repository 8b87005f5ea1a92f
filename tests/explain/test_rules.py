import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs glioscope[train]")

from torch import nn  # noqa: E402

from glioscope.core import (  # noqa: E402
    BUILT_IN_TASKS,
    InputError,
    Modality,
)
from glioscope.explain import class_target, guided_copy, input_gradients  # noqa: E402
from glioscope.models import SpecimenNet, create_backbone  # noqa: E402

from .networks import noise, small_network  # noqa: E402

TUMOUR = class_target(BUILT_IN_TASKS["tumor"])
ALL = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.Hardswish, nn.GELU, nn.Mish)


def springenberg(network, images):
    """Guided back-propagation as of 2015: every ReLU's backward pass changed by a hook, as its usual codes do."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_full_backward_hook(lambda _, gradients, __: (gradients[0].clamp(min=0),))
    x = torch.tensor(images["fl"], requires_grad=True)
    return torch.autograd.grad(network(x).sum(), x)[0].numpy()


def test_with_relu_the_rule_is_springenbergs_exactly():
    network, images = small_network(activation=nn.ReLU), noise()
    ours = input_gradients(guided_copy(network), images, TUMOUR)["fl"]
    # Clamped after the ReLU's own 1[x > 0] there, before it here: the two factors commute.
    np.testing.assert_array_equal(ours, springenberg(network, images))
    assert np.abs(ours).max() > 0


@pytest.mark.parametrize("kind", ALL)
def test_one_activation_follows_the_formula(kind):
    x = torch.linspace(-8, 8, 4001, dtype=torch.float64, requires_grad=True)
    upstream = torch.sin(37 * torch.arange(4001, dtype=torch.float64))
    activation = kind()
    (slope,) = torch.autograd.grad(activation(x).sum(), x)
    y = guided_copy(nn.Sequential(kind()))(x)
    (guided,) = torch.autograd.grad((y * upstream).sum(), x)
    np.testing.assert_array_equal(y.detach(), activation(x).detach())
    expected = upstream.clamp(min=0) * (x > 0) * slope
    np.testing.assert_allclose(guided, expected.detach(), rtol=1e-12, atol=0)
    # Active means the same by input and by output, and there no gradient changes its sign.
    np.testing.assert_array_equal(activation(x).detach() > 0, x.detach() > 0)
    assert (guided >= 0).all()


def test_of_silu_the_slope_is_as_the_derivation_says():
    x = torch.linspace(0, 30, 30001, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(nn.SiLU()(x).sum(), x)
    assert slope.min() == pytest.approx(0.5)
    assert slope.max() == pytest.approx(1.0998, abs=1e-4)
    low = torch.tensor([-1.2785, -1.2784], dtype=torch.float64, requires_grad=True)
    (around,) = torch.autograd.grad(nn.SiLU()(low).sum(), low)
    assert around[0] < 0 < around[1]


def test_the_copy_answers_the_same_and_the_original_keeps_its_gradients():
    network, images = small_network(), noise()
    before = input_gradients(network, images, TUMOUR)["fl"]
    modules = [type(m).__name__ for m in network.modules()]
    guided = guided_copy(network)
    x = torch.tensor(images["fl"])
    with torch.no_grad():
        np.testing.assert_array_equal(network(x).numpy(), guided(x).numpy())
    assert [type(m).__name__ for m in network.modules()] == modules
    np.testing.assert_array_equal(input_gradients(network, images, TUMOUR)["fl"], before)
    assert all(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("name", ["efficientnet_b0", "tf_efficientnet_lite0", "mobilenetv3_small_100", "resnet18"])
def test_in_networks_of_timm_guided_is_far_from_plain(name):
    torch.manual_seed(0)
    network = SpecimenNet(Modality.FL, [create_backbone(name, "none")[0]]).eval()
    images = noise(count=1, size=64)
    guided = guided_copy(network)
    plain = input_gradients(network, images, TUMOUR)["fl"]
    ours = input_gradients(guided, images, TUMOUR)["fl"]
    assert np.abs(ours).max() > 0
    assert abs(np.corrcoef(plain.ravel(), ours.ravel())[0, 1]) < 0.8
    left = [type(m).__name__ for m in guided.modules() if type(m) in (nn.SiLU, nn.ReLU, nn.ReLU6, nn.Hardswish)]
    wrapped = [m for m in guided.modules() if type(m).__name__ == "GuidedActivation"]
    assert len(left) == len(wrapped) > 10


def test_a_network_without_a_known_activation_is_refused():
    with pytest.raises(InputError, match="no activation module that guided"):
        guided_copy(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sigmoid()))
    with pytest.raises(InputError, match="no rule for the activation PReLU"):
        guided_copy(nn.Sequential(nn.ReLU(), nn.PReLU()))

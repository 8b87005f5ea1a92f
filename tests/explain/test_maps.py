import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs glioscope[train]")

from glioscope.core import BUILT_IN_TASKS, InputError, Modality  # noqa: E402
from glioscope.explain import (  # noqa: E402
    EXPECTED_LEVEL,
    Explainer,
    Target,
    class_target,
    explain_maps,
    grad_cam,
    guided_copy,
    input_gradients,
)
from glioscope.models import ExportedNet  # noqa: E402

from .networks import noise, small_network  # noqa: E402

TUMOR, GRADE4 = BUILT_IN_TASKS["tumor"], BUILT_IN_TASKS["grade4"]


def textbook_grad_cam(network, images, weights):
    """Selvaraju et al. 2017, with hooks on the whole network's forward and backward pass; positive part."""
    kept = {}

    def keep(name, out):
        out.retain_grad()
        kept[name] = out

    for name, backbone in network.backbones.items():
        backbone.register_forward_hook(lambda _, __, out, name=name: keep(name, out))
    tensors = [torch.tensor(images[name], requires_grad=True) for name in network.backbones]
    (network(*tensors) @ torch.tensor(weights)).sum().backward()
    found = {}
    for name, out in kept.items():
        alpha = out.grad.mean((2, 3), keepdim=True)
        found[name] = (alpha * out).sum(1).clamp(min=0).detach().numpy()
    return found


@pytest.mark.parametrize("modality", list(Modality))
def test_the_positive_part_is_textbook_grad_cam(modality):
    network, images = small_network(modality), noise(modality)
    cams = grad_cam(network, images, class_target(TUMOR))
    assert list(cams) == list(modality.inputs)
    for name, expected in textbook_grad_cam(network, images, [1.0]).items():
        np.testing.assert_allclose(np.maximum(cams[name], 0), expected, atol=1e-6)
        assert expected.max() > 0


@pytest.mark.parametrize("outputs", [1, 3])
def test_it_is_the_signed_cam_of_the_exported_network_and_sums_to_the_logit(outputs):
    modality = Modality.FUSION
    network, images = small_network(modality, outputs), noise(modality)
    target = class_target(TUMOR if outputs == 1 else GRADE4)
    cams = grad_cam(network, images, target)
    with torch.no_grad():
        logit, fl, wl, _ = ExportedNet(network)(*(torch.tensor(x) for x in images.values()))
        bias = float(network.head.bias.mean())
    np.testing.assert_allclose(cams["fl"], fl.numpy(), atol=1e-6)
    np.testing.assert_allclose(cams["wl"], wl.numpy(), atol=1e-6)
    total = cams["fl"].sum((1, 2)) + cams["wl"].sum((1, 2)) + bias
    np.testing.assert_allclose(total, logit.mean(1).numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ["tumor-fl", "tumor-wl", "tumor-fusion"])
def test_the_onnx_cam_of_a_trained_bundle_is_grad_cam_to_1e_4(tiny_suite, name):
    explainer = Explainer.load(tiny_suite, name)
    images = noise(explainer.bundle.info.modality, size=64)
    answer = explainer.bundle.run(images)
    ours = grad_cam(explainer.network, images, class_target(TUMOR))
    expected = textbook_grad_cam(explainer.network, images, [1.0])
    for key, cam in answer.cams.items():
        np.testing.assert_allclose(np.maximum(cam, 0), expected[key], atol=1e-4)
        np.testing.assert_allclose(cam, ours[key], atol=1e-4)
        assert np.abs(cam).max() > 1e-3


def test_non_tumour_is_the_negated_logit():
    network, images = small_network(), noise()
    against, towards = class_target(TUMOR, "non-tumour"), class_target(TUMOR, "tumour")
    np.testing.assert_array_equal(grad_cam(network, images, against)["fl"], -grad_cam(network, images, towards)["fl"])
    plain = input_gradients(network, images, towards)["fl"]
    np.testing.assert_allclose(input_gradients(network, images, against)["fl"], -plain, atol=1e-7)
    # Guided maps are no mirror images: what excites against is another path than what excites towards.
    guided = guided_copy(network)
    one, other = (input_gradients(guided, images, target)["fl"] for target in (against, towards))
    assert not np.allclose(one, -other)


@pytest.mark.parametrize("name", ["non-tumour", "non-tumor", "negative"])
def test_a_class_is_known_by_each_of_its_names(name):
    assert class_target(TUMOR, name) == Target("non-tumour", (-1.0,))


def test_levels_are_evidence_for_at_least_and_not_more():
    assert class_target(GRADE4, "1").weights == (-1.0, 0.0, 0.0)
    assert class_target(GRADE4, "3").weights == (0.0, 1.0, -1.0)
    assert class_target(GRADE4, "4").weights == (0.0, 0.0, 1.0)
    assert class_target(GRADE4) == class_target(GRADE4, EXPECTED_LEVEL) == Target(EXPECTED_LEVEL, (1 / 3,) * 3)
    network, images = small_network(outputs=3), noise()
    cams = [grad_cam(network, images, class_target(GRADE4, level))["fl"] for level in GRADE4.levels]
    np.testing.assert_allclose(sum(cams), 0, atol=1e-6)
    assert not np.allclose(cams[1], cams[2])


def test_a_gradient_is_that_of_finite_differences():
    network, images = small_network().double(), noise(count=1, size=16)
    target = class_target(TUMOR)
    with torch.no_grad():
        x = torch.tensor(images["fl"]).double()
        step = torch.zeros_like(x)
        step[0, 1, 7, 5] = 1e-5
        slope = float((network(x + step) - network(x - step)).sum() / 2e-5)
    gradient = input_gradients(small_network(), images, target)["fl"]
    assert gradient[0, 1, 7, 5] == pytest.approx(slope, rel=1e-3)


def test_an_image_is_explained_alike_alone_and_among_others():
    network, images = small_network(), noise(count=3)
    guided = guided_copy(network)
    together = explain_maps(network, guided, images, class_target(TUMOR))["fl"]
    alone = explain_maps(network, guided, {"fl": images["fl"][1:2]}, class_target(TUMOR))["fl"]
    np.testing.assert_allclose(alone.cam[0], together.cam[1], atol=1e-6)
    np.testing.assert_allclose(alone.guided[0], together.guided[1], atol=1e-6)


def test_what_does_not_fit_is_refused():
    network, images, target = small_network(), noise(), class_target(TUMOR)
    with pytest.raises(InputError, match="has no class 'GBM'; it has tumour and non-tumour"):
        class_target(TUMOR, "GBM")
    with pytest.raises(InputError, match="no level '5'; it has 1, 2, 3, 4 and expected level"):
        class_target(GRADE4, "5")
    with pytest.raises(InputError, match="3 weights; the network has 1 logits"):
        grad_cam(network, images, class_target(GRADE4))
    with pytest.raises(InputError, match="reads fl; fl was not given"):
        grad_cam(network, {"wl": images["fl"]}, target)
    with pytest.raises(InputError, match="float64"):
        input_gradients(network, {"fl": images["fl"].astype(float)}, target)
    with pytest.raises(InputError, match="training mode"):
        grad_cam(network.train(), images, target)

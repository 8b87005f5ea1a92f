import pytest

torch = pytest.importorskip("torch", reason="needs glioscope[train]")

from glioscope.core import Modality  # noqa: E402
from glioscope.models import ExportedNet, SpecimenNet, create_backbone, late_average  # noqa: E402

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = [torch.randn(2, 3, 96, 96, generator=GENERATOR) for _ in range(2)]


def network(modality, k=1, backbone="tf_efficientnet_lite0"):
    return SpecimenNet(modality, [create_backbone(backbone, "none")[0] for _ in modality.inputs], k).eval()


@pytest.mark.parametrize("modality", list(Modality))
def test_signed_cams_sum_to_the_logit(modality):
    net = network(modality)
    with torch.no_grad():
        logit, *rest = ExportedNet(net)(*IMAGES[: len(modality.inputs)])
    cams, features = rest[:-1], rest[-1]
    total = sum(c.sum((1, 2)) for c in cams) + net.head.bias
    assert torch.allclose(total, logit[:, 0], atol=1e-5)
    assert features.shape == (2, net.head.in_features)
    assert len(cams) == len(modality.inputs)


def test_positive_cam_is_grad_cam_of_the_logit():
    net = network(Modality.FL)
    maps = net.maps(IMAGES[0])[0].detach().requires_grad_()
    logit = net.head(maps.mean((2, 3)))
    (gradient,) = torch.autograd.grad(logit.sum(), maps)
    expected = (maps * gradient.mean((2, 3), keepdim=True)).sum(1).clamp(min=0)
    with torch.no_grad():
        cam = ExportedNet(net)(IMAGES[0])[1]
    assert torch.allclose(cam.clamp(min=0), expected, atol=1e-6)


def test_late_average_is_the_mean_of_the_two_logits():
    fl, wl = network(Modality.FL), network(Modality.WL)
    with torch.no_grad():
        expected = (fl(IMAGES[0]) + wl(IMAGES[1])) / 2
        assert torch.allclose(late_average(fl, wl).eval()(*IMAGES), expected, atol=1e-6)


def test_head_is_xavier_normal_with_dropout():
    torch.manual_seed(0)
    net = network(Modality.FL, k=3)
    assert net.head.weight.shape == (3, 1280)
    expected = (2 / (1280 + 3)) ** 0.5
    assert float(net.head.weight.detach().std()) == pytest.approx(expected, rel=0.05)
    assert net.dropout.p == 0.5


def test_backbone_without_a_spatial_map_is_refused():
    with pytest.raises(Exception, match=r"spatial map|64"):
        create_backbone("vit_tiny_patch16_224", "none")


def test_blending_halfway_is_the_mean_of_the_weights():
    from glioscope.models import blend

    start, end = network(Modality.FL), network(Modality.FL)
    expected = (start.head.weight + end.head.weight).detach() / 2
    assert torch.allclose(blend(end, start, 0.5).head.weight, expected)
    assert torch.equal(blend(end, start, 0.0).head.weight, end.head.weight)

import pytest

torch = pytest.importorskip("torch", reason="needs glioscope[train]")
timm = pytest.importorskip("timm", reason="needs glioscope[train]")

from timm.layers.conv2d_same import Conv2dSame  # noqa: E402

from glioscope.core import Modality  # noqa: E402
from glioscope.models import SpecimenNet  # noqa: E402
from glioscope.models._static_graph import static_copy  # noqa: E402


@pytest.mark.parametrize("side", [64, 67, 96])
@pytest.mark.parametrize("modality", [Modality.FL, Modality.FUSION])
def test_fixed_padding_gives_the_same_numbers(side, modality):
    backbones = [timm.create_model("tf_efficientnet_lite0", num_classes=0, global_pool="") for _ in modality.inputs]
    network = SpecimenNet(modality, backbones).eval()
    images = [torch.randn(2, 3, side, side) for _ in modality.inputs]
    fixed = static_copy(network, images)
    assert not any(isinstance(m, Conv2dSame) for m in fixed.modules())
    assert any(isinstance(m, Conv2dSame) for m in network.modules())
    with torch.no_grad():
        assert torch.equal(fixed(*images), network(*images))

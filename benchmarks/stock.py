"""The stock way that our benchmarks are held against: timm, pytorch-grad-cam, OpenCV, as a competent engineer does it.

Not a benchmark itself. `bench-latency` and `bench-throughput` time it in turn with ours. Per specimen:

1. OpenCV on the frame pair: median and Gaussian against noise, Otsu on an 8-bit copy, the largest contour's box, crop,
   resize to 224 px, three channels, ImageNet mean and standard deviation.
2. CNN 1 through pytorch-grad-cam, `GradCAM` at timm's last activation (`bn2`). Its one forward pass gives the
   probability as well, so there is no second forward of CNN 1; its backward pass is what the heatmap costs.
3. CNN 2 and CNN 3 eagerly under `torch.inference_mode`.
"""

import sys
from typing import Any

import cv2
import numpy as np
import timm
import torch
from numpy.typing import NDArray

SIZE_PX = 224
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
NETWORKS = 3


def prepare(image: NDArray[np.uint8]) -> torch.Tensor:
    """Network input (1, 3, 224, 224), float32, of a specimen's grey (H, W) or RGB (H, W, 3) image."""
    resized = cv2.resize(image, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
    colour = resized if resized.ndim == 3 else cv2.cvtColor(resized, cv2.COLOR_GRAY2RGB)
    scaled = (colour.astype(np.float32) / 255 - MEAN) / STD
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))[None]


def find_and_cut(fl: NDArray[np.uint16], wl: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The specimen's FL (h, w) and WL (h, w, 3) cut-outs from a frame pair; FL denoised and stretched to 8 bits."""
    clean = cv2.GaussianBlur(cv2.medianBlur(fl, 3), (5, 5), 0)
    eight = cv2.normalize(clean, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    _, mask = cv2.threshold(eight, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    x, y, width, height = cv2.boundingRect(max(contours, key=cv2.contourArea))
    return eight[y : y + height, x : x + width], wl[y : y + height, x : x + width]


class StockPipeline:
    """Three timm networks on FL, Grad-CAM of the first. `threads` is torch's, for the whole Python session.

    `fl` is what the networks see, as in our suites of benchmarks; WL is cut and prepared, for the screen.
    """

    def __init__(self, backbone: str = "efficientnet_b0", *, weights: Any = None, threads: int = 2) -> None:
        torch.set_num_threads(threads)
        self.networks = [timm.create_model(backbone, pretrained=False, num_classes=1).eval() for _ in range(NETWORKS)]
        for network, state in zip(self.networks, weights or (), strict=False):
            network.load_state_dict(state)
        self._cam = _grad_cam_class()(model=self.networks[0], target_layers=[self.networks[0].bn2])

    def diagnose(
        self, fl: NDArray[np.uint16], wl: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Probabilities (3,) and the heatmap (224, 224) of a frame pair: uint16 (H, W) and uint8 RGB (H, W, 3)."""
        fl_cut, wl_cut = find_and_cut(fl, wl)
        x = prepare(fl_cut)
        prepare(wl_cut)
        heatmap, first = self.explained(x)
        return np.concatenate([[first], self.probabilities(x, self.networks[1:])]), heatmap

    def explained(self, x: torch.Tensor) -> tuple[NDArray[np.float32], float]:
        """Grad-CAM (224, 224) of CNN 1 and its probability, from one forward and one backward pass of (1, 3, S, S)."""
        heatmap = self._cam(input_tensor=x, targets=[_first_output])[0]
        return heatmap, float(torch.sigmoid(self._cam.outputs[0, 0].detach()))

    @staticmethod
    def probabilities(x: torch.Tensor, networks: list[torch.nn.Module]) -> NDArray[np.float64]:
        """Probabilities, networks times N, of (N, 3, S, S)."""
        with torch.inference_mode():
            return np.concatenate([torch.sigmoid(network(x))[:, 0].numpy() for network in networks]).astype(float)


def _first_output(output: torch.Tensor) -> torch.Tensor:
    return output[..., 0]


def _grad_cam_class() -> Any:
    try:
        from pytorch_grad_cam import GradCAM
    except ImportError:
        sys.exit(
            "this benchmark compares with pytorch-grad-cam; install it without its OpenCV, which would replace ours: "
            f"{sys.executable} -m pip install --no-deps grad-cam ttach"
        )
    return GradCAM

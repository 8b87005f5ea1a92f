"""The self-test of a bundle: a stored picture must come out of the plan, and out of the network, as at export."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import BundleError, BundleInfo, ImageError
from glioscope.imaging import RawImage, apply_fl_plan, apply_wl_plan, infer_white_level, network_input, png_header

from ._files import require_listed

PROBE_GREY_LEVELS = 1
PROBE_LOGIT = 1e-3
_MAX_PROBE_SIDE_PX = 1024


def probe_answer(contents: dict[str, bytes], info: BundleInfo, folder: Path) -> NDArray[np.float64]:
    """The logits (K,) that `probe.json` promises.

    Raises
    ------
    BundleError : a probe file is not listed, or the logits are none, or not K.
    """
    for name in info.modality.inputs:
        require_listed(contents, (f"probe_{name}.png", f"probe_{name}_prepared.png"), folder)
    try:
        logit = np.array(json.loads(contents["probe.json"])["logit"], np.float64)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BundleError(f"{folder / 'probe.json'}: does not hold the logits of the probe image") from error
    if logit.shape != (info.task.n_outputs,):
        raise BundleError(
            f"{folder / 'probe.json'}: has logits of shape {logit.shape}; {(info.task.n_outputs,)} is needed"
        )
    return logit


def probe_inputs(contents: dict[str, bytes], info: BundleInfo, folder: Path) -> dict[str, NDArray[np.float32]]:
    """Network inputs (1, 3, H, W) of the stored prepared pictures, after preparing the raw ones and comparing.

    Raises
    ------
    BundleError : the plan makes something else of the raw picture (more than one grey level off), or a picture is
        damaged.
    """
    images = {}
    try:
        for name in info.modality.inputs:
            made = _prepare_probe(info, name, contents, folder)
            stored = _probe_pixels(contents, f"probe_{name}_prepared.png", folder).astype(np.int32)
            if stored.shape != made.shape:
                raise BundleError(f"{folder}: its probe image is {stored.shape}; its plan makes {made.shape}")
            worst = int(np.abs(made.astype(np.int32) - stored).max())
            if worst > PROBE_GREY_LEVELS:
                raise BundleError(f"{folder}: its probe image comes out of the plan {worst} grey levels off (limit 1)")
            plan = info.fl_plan if name == "fl" else info.wl_plan
            if plan is not None:
                images[name] = network_input(stored.astype(np.uint8)[None], plan)
    except ImageError as error:
        raise BundleError(f"{folder}: its probe image cannot be used: {error}") from error
    return images


def compare_probe(logit: NDArray[np.float32], expected: NDArray[np.float64], folder: Path) -> None:
    """Refuse a network whose logits (1, K) of the probe image are not those of export.

    Raises
    ------
    BundleError : another shape, or more than 1e-3 off.
    """
    if logit.shape != (1, len(expected)):
        raise BundleError(f"{folder / 'model.onnx'}: gives logits {logit.shape}; {(1, len(expected))} are needed")
    difference = float(np.abs(logit[0] - expected).max())
    if not difference <= PROBE_LOGIT:
        raise BundleError(f"{folder}: answers its probe image {difference:.2g} off (limit {PROBE_LOGIT:g})")


def _prepare_probe(info: BundleInfo, name: str, contents: dict[str, bytes], folder: Path) -> NDArray[np.uint8]:
    pixels = _probe_pixels(contents, f"probe_{name}.png", folder)
    counts = pixels.astype(np.uint16) if name == "fl" else pixels
    image = RawImage(counts, infer_white_level(pixels), folder / f"probe_{name}.png")
    if name == "fl" and info.fl_plan is not None:
        return apply_fl_plan(info.fl_plan, image, exposure_ms=100.0, irradiance_mw_cm2=50.0).image
    if name == "wl" and info.wl_plan is not None:
        return apply_wl_plan(info.wl_plan, image).image
    raise BundleError(f"{folder / 'bundle.json'}: input {name} has no preprocessing plan")


def _probe_pixels(contents: dict[str, bytes], name: str, folder: Path) -> NDArray[Any]:
    """A probe picture from the bytes that were hashed: uint16 or uint8 (H, W) of FL, uint8 (H, W, 3) RGB of WL."""
    content = contents[name]
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise BundleError(f"{folder}: its probe image cannot be used: {name} is no PNG image")
    # What a PNG announces, in any of its chunks, is checked before the decoder makes room for it.
    header = png_header(folder / name, content)
    if max(header.width, header.height) > _MAX_PROBE_SIDE_PX:
        raise BundleError(f"{folder}: its probe image {name} is over the limit of {_MAX_PROBE_SIDE_PX} px a side")
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    colour = name.startswith("probe_wl")
    if pixels is None or pixels.shape[2:] != ((3,) if colour else ()) or (colour and pixels.dtype != np.uint8):
        raise BundleError(f"{folder}: its probe image cannot be used: {name} is damaged or of another kind")
    return np.ascontiguousarray(pixels[..., ::-1]) if colour else pixels

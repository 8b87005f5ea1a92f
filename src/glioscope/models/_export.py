"""From a trained network to a locked bundle (contract 4): ONNX, checked against torch, with hashes and a probe."""

import json
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from glioscope.core import (
    BundleError,
    BundleInfo,
    FLPlan,
    Modality,
    SuiteInfo,
    WLPlan,
    atomic_folder,
    sha256_of,
    write_text,
)
from glioscope.imaging import apply_fl_plan, apply_wl_plan, network_input, read_fl, read_wl

from ._finetune import ImageSet
from ._network import ExportedNet, SpecimenNet
from ._static_graph import static_copy

OPSET = 17
PARITY = 1e-4
"""Largest difference of logits between ONNX Runtime and torch that an export may have."""
PARITY_IMAGES = 16


def export_bundle(
    folder: Path,
    network: SpecimenNet,
    info: BundleInfo,
    card: str,
    images: ImageSet,
    vectors: NDArray[np.float32] | None = None,
) -> Path:
    """Write a bundle to `folder`, or leave nothing there.

    Parameters
    ----------
    images : some that the network was trained on: ONNX and torch must agree on them.
    vectors : float32 (rank + 1, d) of the envelope, if `info` has one.

    Raises
    ------
    BundleError : the exported graph's logits differ from torch's by more than 1e-4.
    """
    inputs = [x.contiguous() for x in images.plain(torch.arange(min(len(images), PARITY_IMAGES)))]
    with atomic_folder(folder) as temporary:
        _export_onnx(temporary / "model.onnx", network, inputs)
        _check_parity(temporary / "model.onnx", network, inputs, info.name)
        weights = save({k: v.contiguous() for k, v in network.state_dict().items()})
        # Written by Python, so that a full disk is an OSError as everywhere else.
        (temporary / "model.safetensors").write_bytes(weights)
        if info.envelope is not None and vectors is not None:
            np.save(temporary / "envelope.npy", vectors, allow_pickle=False)
        _write_probe(temporary, network, info)
        (temporary / "bundle.json").write_text(info.model_dump_json(indent=2), encoding="utf-8")
        (temporary / "model_card.md").write_text(card, encoding="utf-8")
        _write_sums(temporary)
    return folder


def _export_onnx(path: Path, network: SpecimenNet, images: list[torch.Tensor]) -> None:
    inputs = network.modality.inputs
    outputs = ("logit", *(f"cam_{name}" for name in inputs), "features")
    exported = ExportedNet(static_copy(network, images)).eval().to(memory_format=torch.contiguous_format)
    with warnings.catch_warnings():
        # The TorchScript exporter is a tenth of the other's time and needs no further package (decision 0002).
        warnings.simplefilter("ignore")
        torch.onnx.export(
            exported,
            tuple(images),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: {0: "n"} for name in (*inputs, *outputs)},
        )


def _check_parity(path: Path, network: SpecimenNet, images: list[torch.Tensor], name: str) -> None:
    worst = _difference(path, network, images)
    if not worst <= PARITY:
        raise BundleError(
            f"bundle {name}: ONNX logits differ from torch by {worst:.2g}, over the limit of {PARITY:g}; the network "
            "amplifies rounding, for which freeze_batch_norm = true or a lower learning rate is the cure"
        )


def onnx_difference(network: SpecimenNet, images: list[torch.Tensor]) -> float:
    """Largest difference of logits between ONNX Runtime and torch.

    Parameters
    ----------
    images : float32 (N, 3, S, S) for each input, contiguous.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        _export_onnx(path, network, images)
        return _difference(path, network, images)


def _difference(path: Path, network: SpecimenNet, images: list[torch.Tensor]) -> float:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feed = {key: image.numpy() for key, image in zip(network.modality.inputs, images, strict=True)}
    answer = session.run(["logit"], feed)[0]
    with torch.no_grad():
        expected = network.eval()(*images).numpy()
    return float(np.abs(answer - expected).max())


def probe_images(seed: int = 0, shape: tuple[int, int] = (128, 160)) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """A drawn FL / WL pair that no patient gave: uint16 (128, 160) and uint8 (128, 160, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float64)
    blob = np.exp(-((((x - 78) / 38) ** 2 + ((y - 62) / 30) ** 2) ** 2))
    ripple = 1 + 0.3 * np.sin(x / 7) * np.cos(y / 5)
    fl = 600 + 9000 * blob * ripple + rng.normal(0, 30, shape)
    wl = np.stack([blob * c * ripple * 255 for c in (0.75, 0.5, 0.45)], axis=-1) + rng.normal(0, 3, (*shape, 3))
    return fl.clip(0, 65535).astype(np.uint16), wl.clip(0, 255).astype(np.uint8)


def _write_probe(folder: Path, network: SpecimenNet, info: BundleInfo) -> None:
    """Raw images, what the plan must make of them, and the logits that must follow."""
    fl, wl = probe_images()
    prepared: list[tuple[str, NDArray[np.uint8], FLPlan | WLPlan]] = []
    if info.fl_plan is not None:
        _write_png(folder / "probe_fl.png", fl)
        # Read back, as theatre will: a plan whose white is "type" depends on what the file says of its range.
        image = read_fl(folder / "probe_fl.png")
        made = apply_fl_plan(info.fl_plan, image, exposure_ms=100.0, irradiance_mw_cm2=50.0)
        prepared.append(("fl", made.image, info.fl_plan))
    if info.wl_plan is not None:
        _write_png(folder / "probe_wl.png", wl[..., ::-1])
        prepared.append(("wl", apply_wl_plan(info.wl_plan, read_wl(folder / "probe_wl.png")).image, info.wl_plan))
    for name, pixels, _ in prepared:
        _write_png(folder / f"probe_{name}_prepared.png", pixels if pixels.ndim == 2 else pixels[..., ::-1])
    with torch.no_grad():
        logit = network.eval()(*(torch.from_numpy(network_input(i[None], p)) for _, i, p in prepared))
    (folder / "probe.json").write_text(json.dumps({"logit": logit[0].tolist()}), encoding="utf-8")


def _write_png(path: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


def _write_sums(folder: Path) -> None:
    names = sorted(p.name for p in folder.iterdir())
    text = "".join(f"{sha256_of(folder / name)}  {name}\n" for name in names)
    (folder / "SHA256SUMS").write_text(text, encoding="utf-8")


def write_suite(folder: Path, bundles: dict[str, BundleInfo], data_kind: str) -> SuiteInfo:
    """Write `suite.json` over the bundles that stand in `folder`, choosing for each task the one that answers.

    The best AUC on tuning patients answers; ties go to FL, then to the simpler (one input before two). AUCs on
    different specimens do not compare: a bundle that was scored on fewer tuning specimens than another of its task,
    because they lack an image, does not answer.
    """
    order = {Modality.FL: 0, Modality.WL: 1, Modality.FUSION: 2}
    most: dict[str, int] = {}
    for info in bundles.values():
        most[info.task.name] = max(most.get(info.task.name, 0), info.metrics.tune_specimens)
    answers: dict[str, str] = {}
    for name, info in sorted(bundles.items(), key=lambda item: order[item[1].modality]):
        if info.metrics.tune_specimens < most[info.task.name]:
            continue
        current = answers.get(info.task.name)
        if current is None or _rank(info) > _rank(bundles[current]):
            answers[info.task.name] = name
    suite = SuiteInfo(
        data_kind=data_kind,
        answers=answers,
        bundles=tuple(sorted(bundles)),
        sha256={name: sha256_of(folder / name / "SHA256SUMS") for name in sorted(bundles)},
    )
    write_text(folder / "suite.json", suite.model_dump_json(indent=2))
    return suite


def _rank(info: BundleInfo) -> float:
    return -1.0 if info.metrics.tune_auc is None else round(info.metrics.tune_auc, 4)


def library_versions() -> dict[str, str]:
    """Versions that a bundle records."""
    return {
        name: version(name) for name in ("glioscope", "torch", "timm", "onnxruntime", "numpy", "opencv-python-headless")
    }

"""bench-explain: what each view of a network means, beside pytorch-grad-cam's maps of the same network. SIMULATED.

One FL tumour network (EfficientNet-Lite0, fine-tuned) of a simulated cohort, and the same on permuted labels. Maps are
judged on specimens that are part tumour, part normal: likeness under randomised weights (all of them drawn anew, mean
of several draws) and permuted labels, deletion by ROAD, pointing game against the known tumour. The rows of
pytorch-grad-cam need `pip install --no-deps grad-cam==1.5.7 ttach==0.0.3` (its own dependencies would replace our
OpenCV); without it they are left out.
"""

import importlib.util
import json
import logging
import tempfile
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import torch

from common import WORK, finish, parser
from glioscope.cohort import labels, load_manifest, sources
from glioscope.core import BUILT_IN_TASKS, Canvas, FLPlan, Modality, write_text
from glioscope.explain import class_target
from glioscope.explain._evidence import JudgedImages, evidence, guided_plain_correlation
from glioscope.imaging import RawImage, apply_fl_plan, infer_white_level, network_input, place
from glioscope.models import (
    LITE0,
    FinetuneSettings,
    FoldData,
    FrozenFeatures,
    SpecimenNet,
    TrainSettings,
    create_backbone,
    fit_model,
    predict_logits,
    prepare_images,
    resolve_white,
)
from glioscope.sim import SimSettings, draw_mixed_pairs, render_mixed, simulate
from glioscope.stats import auc

TASK = BUILT_IN_TASKS["tumor"]
SEED, MIXED_SEED = 31, 32
PEER = "pytorch-grad-cam"


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--size", type=int, default=128, help="side of the network's input in px")
    arguments.add_argument("--epochs", type=int, default=4)
    arguments.add_argument("--mixed", type=int, default=60, help="mixed specimens for the pointing game")
    arguments.add_argument("--checked", type=int, default=12, help="of these for randomisation and deletion")
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(2)
    started = time.perf_counter()
    data, plan = training_data(options.size)
    network, trained = train(data, options.epochs)
    permuted, confused = train(with_permuted_labels(data), options.epochs)
    say(f"trained: {trained}; on permuted labels: {confused}")
    images = mixed_images(options.mixed, plan)
    target = class_target(TASK, "positive")
    found = evidence(
        network,
        images,
        target,
        name=f"tumor-fl, {LITE0} at {options.size} px",
        images_kind="simulated",
        rng=np.random.default_rng(SEED),
        permuted=permuted,
        peers={PEER: peer_maps} if has_peer() else {},
        n_checked=options.checked,
        say=say,
    )
    say("judged")
    record = found.to_json()
    write_text(WORK / f"evidence-{options.size}.json", json.dumps(record, indent=1))
    finish(
        "bench-explain",
        {
            "data": "simulated",
            "network": found.network,
            "trained": trained,
            "permuted_labels": confused,
            "n_images": found.n_images,
            "n_checked": found.n_checked,
            "n_draws": found.n_draws,
            "guided_plain_correlation": round(found.guided_plain_correlation, 4),
            "guided_plain_correlation_silu": silu_correlation(images, target),
            "guided_plain_correlation_peer": peer_correlation(network, images.part(0, options.checked), target),
            "unreactive": list(found.unreactive),
            "views": {f"{view['source']}: {view['name']}": row(view) for view in record["views"]},
            "seconds": round(time.perf_counter() - started),
        },
        record=options.record,
    )


def say(text: str) -> None:
    print(f"{time.process_time():6.0f} s of processor: {text}", flush=True)


def training_data(size_px: int) -> tuple[FoldData, FLPlan]:
    """A cohort of 12 patients and 400 specimens, drawn once: nine patients train, three test."""
    folder = WORK / f"explain-{SimSettings().sha256[:8]}-{SEED}"
    if not (folder / "manifest.csv").is_file():
        simulate(folder, n_patients=12, n_specimens=400, seed=SEED, n_jobs=1)
    cohort = load_manifest(folder / "manifest.csv")
    items, table = sources(cohort), cohort.table
    specimens, patients = (table[name].to_numpy(object) for name in ("specimen_id", "patient_id"))
    held_out = sorted(set(patients))[-3:]
    roles = np.array(["test" if p in held_out else "train" for p in patients], object)
    plan = FLPlan(canvas=Canvas(size_px=size_px))
    plan = resolve_white(plan, [s for s, role in zip(items, roles, strict=True) if role == "train"])
    y = labels(cohort, TASK).reindex(specimens).to_numpy(float)[:, None]
    return FoldData(prepare_images(items, fl_plan=plan, wl_plan=None), specimens, patients, roles, y), plan


def with_permuted_labels(data: FoldData) -> FoldData:
    """The same with the labels of the training rows in random order; the test rows keep theirs."""
    targets = data.targets.copy()
    rows = data.rows(Modality.FL, "train")
    targets[rows] = np.random.default_rng(SEED).permutation(targets[rows])
    return FoldData(data.images, data.specimens, data.patients, data.roles, targets)


def train(data: FoldData, epochs: int) -> tuple[SpecimenNet, dict[str, float]]:
    """A fine-tuned network with its AUC on the labels it was trained on and on test patients."""
    settings = TrainSettings(finetune=FinetuneSettings(epochs=epochs), seed=SEED)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        frozen = FrozenFeatures(LITE0, "auto")
        network = fit_model(TASK, Modality.FL, data, settings, frozen, log_dir=log, progress=False).network
    scores = {}
    for role in ("train", "test"):
        rows = data.rows(Modality.FL, role)
        found = predict_logits(network, data.image_set(Modality.FL, rows))[:, 0]
        scores[f"{role}_auc"] = round(float(auc(data.targets[rows, 0], found)), 3)
    return network.to(memory_format=torch.contiguous_format).eval(), scores


def mixed_images(count: int, plan: FLPlan) -> JudgedImages:
    """Specimens of which a fifth to three fifths are tumour, as the network reads them."""
    rng = np.random.default_rng(MIXED_SEED)
    settings = SimSettings()
    prepared, masks = [], []
    for tumor, normal in draw_mixed_pairs(count, settings, rng):
        mixed = render_mixed(tumor, normal, (160, 128), settings, rng, tumor_share=float(rng.uniform(0.2, 0.6)))
        prepared.append(apply_fl_plan(plan, RawImage(mixed.fl, infer_white_level(mixed.fl))).image)
        masks.append([place(mask.astype(np.uint8) * 255, plan.canvas) > 127 for mask in (mixed.tumor, mixed.specimen)])
    pixels = np.stack(prepared)
    tumor, specimen = np.array(masks).transpose(1, 0, 2, 3)
    return JudgedImages({"fl": network_input(pixels, plan)}, "fl", pixels.astype(np.float32) / 255, specimen, tumor)


def has_peer() -> bool:
    if importlib.util.find_spec("pytorch_grad_cam") is not None:
        return True
    say("no rows of pytorch-grad-cam: pip install --no-deps grad-cam==1.5.7 ttach==0.0.3")
    return False


def peer_maps(network, images, target):
    """Grad-CAM and guided Grad-CAM of pytorch-grad-cam, cut to the specimen."""
    from pytorch_grad_cam import GradCAM

    backbone = network.backbones[images.name]
    with GradCAM(model=network, target_layers=[backbone]) as method:
        batch = torch.from_numpy(images.inputs[images.name])
        cam = method(batch, targets=[lambda output: output[0] * target.weights[0]] * len(batch))
    lines = peer_gradients(network, images)
    return {
        "grad_cam": cam * images.specimen,
        "guided_grad_cam": np.abs(lines * cam[..., None]).sum(axis=3) * images.specimen,
        "guided_gradient": np.abs(lines).sum(axis=3) * images.specimen,
    }


def peer_gradients(network, images):
    """Its guided gradients, (N, S, S, 3)."""
    from pytorch_grad_cam import GuidedBackpropReLUModel

    model = GuidedBackpropReLUModel(model=network, device="cpu")
    batch = torch.from_numpy(images.inputs[images.name])
    return np.stack([model(one[None], target_category=0) for one in batch])


def peer_correlation(network, images, target) -> float | None:
    """Its guided gradients against plain ones, as `guided_plain_correlation`."""
    if not has_peer():
        return None
    from glioscope.explain import input_gradients

    plain = input_gradients(network, images.inputs, target)[images.name].transpose(0, 2, 3, 1)
    theirs = peer_gradients(network, images)
    pairs = zip(plain, theirs, strict=True)
    return round(float(np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs])), 4)


def silu_correlation(images, target) -> float:
    """The same of ours in a network of SiLU, EfficientNet-B0 with random weights (the hub is not asked)."""
    torch.manual_seed(SEED)
    network = SpecimenNet(Modality.FL, [create_backbone("efficientnet_b0", "none")[0]]).eval()
    return round(guided_plain_correlation(network, images.part(0, 4), target), 4)


def row(view):
    """One view's line of the result."""
    randomised, permuted, hit = (view[name] or {} for name in ("randomised", "permuted", "pointing"))
    return {
        "ssim_randomised": randomised.get("ssim"),
        "spearman_randomised": randomised.get("spearman"),
        "abs_spearman_randomised": randomised.get("abs_spearman"),
        "hog_randomised": randomised.get("hog"),
        "empty_randomised": randomised.get("empty"),
        "ssim_label_randomised": permuted.get("ssim"),
        "spearman_label_randomised": permuted.get("spearman"),
        "empty_label_randomised": permuted.get("empty"),
        "road_gain": view["deletion"]["gain"],
        "pointing": hit.get("accuracy"),
        "pointing_interval": [hit.get("low"), hit.get("high")],
        "pointing_chance": hit.get("chance"),
        "energy": hit.get("energy"),
        "tumor_share": hit.get("tumor_share"),
        "reacts": view["reacts"],
    }


if __name__ == "__main__":
    cv2.setNumThreads(2)
    main()

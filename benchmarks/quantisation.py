"""bench-quantisation: does int8, bf16 or fp16 make a network faster here, and what does it cost in AUC?

Speed: one thread, 224 px, batch 1 and 8, CPU time in turn with float32 (a busy machine hardly moves it). AUC, by the
float32 network and by its int8 versions on the same images:

- REAL: T cells (tcell). Probes on three of donors 2, 3, 5, 6, scored on the fourth as a TUNING donor (the inner
  folds of outer donor 1); nothing of donors 1 and 4 is trained on or scored: no new look at test donors.
- SIMULATED: a cohort of seed 77, used nowhere else; FL tumour, its test patients.

Calibration images are of training patients. Static int8 is QDQ by onnxruntime.quantization: per channel, unsigned 8-bit
activations, signed weights of 8 bits, or of 7 (which processors without VNNI add up without saturating as well). The
classifier and the heatmap after the last convolution stay in float32; in one version the first 4 convolutions too,
chosen by the difference of logits on training images, without labels. Dynamic int8 and float16 are timed only: they
are slower. B0 has random weights (the hub is not asked): its AUC is that of a probe on random features, and says what
rounding does, not what B0 can do.

`within_the_limit` names the versions that are faster and lose less than 0.002 of AUC on every data set; what is
adopted, and why, stands in docs/decisions/0013-quantisation.md.
"""

import logging
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16

from cohorts import simulated
from common import WORK, finish, parser, shared_data
from glioscope.cohort import labels, load_manifest, sources, split_patients
from glioscope.core import BUILT_IN_TASKS, Canvas, FLPlan, Modality, Normalisation, Task
from glioscope.models import (
    LITE0,
    FinetuneSettings,
    FoldData,
    FrozenFeatures,
    ProbeSettings,
    SpecimenNet,
    TrainSettings,
    create_backbone,
    fit_model,
    prepare_images,
    resolve_white,
)
from glioscope.models._export import _export_onnx
from glioscope.stats import auc
from peak import open_session
from tcell import TASK as ACTIVITY
from tcell import plan as cell_plan

B0 = "efficientnet_b0"
TUNE_DONORS = ("donor-2", "donor-3", "donor-5", "donor-6")
SEED = 77
CALIBRATION_IMAGES = 96
BATCH = 16
LIMIT = 0.002
STATIC = ("static 8-bit", "static 7-bit weights", "static 8-bit, first 4 convolutions float32")
FLOAT_FIRST = 4
VERSIONS = (*STATIC, "dynamic", "float16")


@dataclass(frozen=True, slots=True)
class Trained:
    """A float32 network in `path`, the images it is calibrated on (n, 3, S, S), and those it is scored on."""

    path: Path
    calibration: NDArray[np.float32]
    images: NDArray[np.float32]
    y: NDArray[np.float64]


class Calibration(CalibrationDataReader):
    """Images one by one, as onnxruntime.quantization asks for them."""

    def __init__(self, images: NDArray[np.float32]) -> None:
        self._left = iter(images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next image as (1, 3, S, S); None after the last."""
        image = next(self._left, None)
        return None if image is None else {"fl": image[None]}


def quantised(path: Path, version: str, calibration: NDArray[np.float32]) -> Path:
    """A smaller version of a float32 network, beside it."""
    ready, made = path.with_suffix(".basic.onnx"), path.with_suffix(f".{VERSIONS.index(version)}.onnx")
    options = onnxruntime.SessionOptions()
    # Constants become initialisers; without that the clipping of ReLU6 stays between Conv and rounding, in float32.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(ready)
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    if version == "float16":
        onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), made)
        return made
    if version == "dynamic":
        quantize_dynamic(ready, made, per_channel=True, weight_type=QuantType.QInt8)
        return made
    model = onnx.load(ready)
    kept = after_last_convolution(model) + (first_convolutions(model) if "first" in version else [])
    quantize_static(
        ready,
        made,
        Calibration(calibration),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range="7-bit" in version,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=kept,
    )
    return made


def after_last_convolution(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that follow the last Conv and its activation: pooling, classifier, heatmap."""
    last = max(i for i, node in enumerate(model.graph.node) if node.op_type == "Conv")
    activations = ("Clip", "Sigmoid", "Relu")
    rest = [node for node in model.graph.node[last + 1 :] if node.op_type not in activations]
    swish = {f for node in model.graph.node[last + 1 :] if node.op_type == "Sigmoid" for f in node.output}
    return [node.name for node in rest if not swish & set(node.input)]


def first_convolutions(model: onnx.ModelProto) -> list[str]:
    """Names of the Convs at full and half resolution, whose rounding every later layer inherits."""
    return [node.name for node in model.graph.node if node.op_type == "Conv"][:FLOAT_FIRST]


def scores(path: Path, images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Logits (N,) of images (N, 3, S, S)."""
    session = open_session(path)
    parts = [session.run(["logit"], {"fl": images[i : i + BATCH]})[0] for i in range(0, len(images), BATCH)]
    return np.concatenate(parts)[:, 0].astype(np.float64)


def cells(backbone: str, weights: str, folder: Path) -> Iterator[Trained]:
    """A probe for each tuning donor of tcell, trained on the other three."""
    whole = load_manifest(shared_data("tcell") / "manifest.csv")
    y = labels(whole, ACTIVITY)
    mine = whole.table["patient_id"].isin(TUNE_DONORS).to_numpy()
    items = [item for item, kept in zip(sources(whole), mine, strict=True) if kept]
    table = whole.table[mine]
    point = Normalisation(kind="linear", white=100.0), Canvas(kind="field", field_px=100, size_px=160)
    images = prepare_images(items, fl_plan=cell_plan(*point), wl_plan=None)
    specimens, donors = table["specimen_id"].to_numpy(object), table["patient_id"].to_numpy(object)
    frozen, settings = (
        FrozenFeatures(backbone, weights),
        TrainSettings(strategy="probe", probe=ProbeSettings(inverse_l2=(3e-3,))),
    )
    for tune in TUNE_DONORS:
        roles = np.where(donors == tune, "tune", "train").astype(object)
        fold = FoldData(images, specimens, donors, roles, y.reindex(specimens).to_numpy(float)[:, None])
        yield trained(ACTIVITY, fold, settings, frozen, "tune", folder / f"{backbone}-{tune}.onnx")


def tumours(backbone: str, weights: str, folder: Path, *, strategy: str) -> Trained:
    """FL tumour on the simulated cohort: trained on its training patients, to be scored on its test patients."""
    cohort, task = load_manifest(simulated(SEED) / "manifest.csv"), BUILT_IN_TASKS["tumor"]
    given = split_patients(cohort, [task], seed=SEED).roles()
    patients = cohort.table["patient_id"].to_numpy(object)
    specimens = cohort.table["specimen_id"].to_numpy(object)
    roles = np.array([str(given[p]) for p in patients], object)
    items = sources(cohort)
    plan = FLPlan(canvas=Canvas(size_px=128 if strategy == "finetune" else 160))
    plan = resolve_white(plan, [s for s, role in zip(items, roles, strict=True) if role == "train"])
    images = prepare_images(items, fl_plan=plan, wl_plan=None)
    fold = FoldData(
        images, specimens, patients, roles, labels(cohort, task).reindex(specimens).to_numpy(float)[:, None]
    )
    settings = TrainSettings(strategy=strategy, finetune=FinetuneSettings(epochs=4))
    path = folder / f"{backbone}-{strategy}.onnx"
    return trained(task, fold, settings, FrozenFeatures(backbone, weights), "test", path)


def trained(
    task: Task, fold: FoldData, settings: TrainSettings, frozen: FrozenFeatures, scored: str, path: Path
) -> Trained:
    """Train, export, and gather the images for calibration and for scores."""
    log_dir = WORK / "quantisation" / path.stem
    fitted = fit_model(task, Modality.FL, fold, settings, frozen, log_dir=log_dir, resume=True, progress=False)

    def inputs(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        subset = fold.images.subset(Modality.FL, rows, fold.targets[rows])
        return np.ascontiguousarray(subset.plain(torch.arange(len(rows)))[0].numpy())

    rows, known = fold.rows(Modality.FL, scored), fold.rows(Modality.FL, "train")
    some = np.random.default_rng(0).choice(known, min(CALIBRATION_IMAGES, len(known)), replace=False)
    calibration = inputs(np.sort(some))
    _export_onnx(path, fitted.network, [torch.from_numpy(calibration[:2])])
    return Trained(path, calibration, inputs(rows), fold.targets[rows, 0])


def losses(networks: list[Trained]) -> dict[str, dict[str, float]]:
    """For every static version: mean AUC, mean and largest loss against float32, largest difference of logits."""
    before = [scores(n.path, n.images) for n in networks]
    whole = np.array([auc(n.y, s) for n, s in zip(networks, before, strict=True)])
    found = {"float32": {"auc": round(float(whole.mean()), 4)}}
    for version in STATIC:
        after = [scores(quantised(n.path, version, n.calibration), n.images) for n in networks]
        lost = whole - [auc(n.y, s) for n, s in zip(networks, after, strict=True)]
        moved = max(float(np.abs(a - b).max()) for a, b in zip(after, before, strict=True))
        found[version] = {
            "auc": round(float((whole - lost).mean()), 4),
            "loss": round(float(lost.mean()), 4),
            "largest_loss": round(float(lost.max()), 4),
            "largest_logit_difference": round(moved, 3),
            "spread_of_logits": round(float(np.mean([s.std() for s in before])), 3),
        }
    return found


def speeds(backbone: str, folder: Path, seconds: float) -> dict[str, dict[str, float]]:
    """How many times faster than float32 each version is, by batch; medians over rounds of the ratio of CPU times."""
    torch.manual_seed(0)
    network = SpecimenNet(Modality.FL, [create_backbone(backbone, "none")[0]]).eval()
    images = np.random.default_rng(0).normal(size=(8, 3, 224, 224)).astype(np.float32)
    path = folder / f"{backbone}-speed.onnx"
    _export_onnx(path, network, [torch.from_numpy(images[:2])])
    sessions = {"float32": open_session(path)}
    sessions |= {version: open_session(quantised(path, version, images[:4])) for version in VERSIONS}
    found: dict[str, dict[str, float]] = {}
    for batch in (1, 8):
        taken: dict[str, list[float]] = {name: [] for name in sessions}
        until = time.perf_counter() + seconds
        while time.perf_counter() < until or len(taken["float32"]) < 5:
            for name, session in sessions.items():
                taken[name].append(cpu_seconds(session, images[:batch]))
        whole = np.array(taken["float32"][1:])
        found[f"batch {batch}"] = {"float32_cpu_ms": round(float(np.median(whole)) * 1000 / batch, 2)} | {
            version: round(float(np.median(whole / taken[version][1:])), 2) for version in VERSIONS
        }
    return found


def cpu_seconds(session: onnxruntime.InferenceSession, images: NDArray[np.float32]) -> float:
    """CPU time of the second of two runs (the first brings the network into the cache)."""
    session.run(["logit"], {"fl": images})
    started = time.process_time()
    session.run(["logit"], {"fl": images})
    return time.process_time() - started


def half_precision(kind: int) -> str:
    """What ONNX Runtime's CPU provider says to one convolution in this type."""
    shapes = {"x": [1, 16, 8, 8], "w": [16, 16, 1, 1], "y": [1, 16, 8, 8]}
    x, w, y = (helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items())
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "one", [x, w], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own untyped kinds
        return str(error).strip().split("\n")[0][:160]
    return "accepted"


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=15.0, help="of each measurement of speed")
    arguments.add_argument("--finetune", action="store_true", help="fine-tune Lite0 on the simulated cohort as well")
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    result: dict[str, object] = {"bfloat16": half_precision(TensorProto.BFLOAT16)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, backbone, weights in (("lite0", LITE0, "auto"), ("b0, random weights", B0, "none")):
            entry: dict[str, object] = {"times_faster": speeds(backbone, folder, options.seconds)}
            entry["tcell, tuning donors (real)"] = losses(list(cells(backbone, weights, folder)))
            entry["simulated, test patients"] = losses([tumours(backbone, weights, folder, strategy="probe")])
            if options.finetune and backbone == LITE0:
                tuned = tumours(backbone, weights, folder, strategy="finetune")
                entry["simulated, test patients, fine-tuned"] = losses([tuned])
            print(label, entry, flush=True)
            result[label] = {**entry, "within_the_limit": within_the_limit(entry)}
    finish("bench-quantisation", {**result, "limit_of_auc_loss": LIMIT, "threads": 1}, record=options.record)


def within_the_limit(entry: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """The versions that are faster at every batch and lose less than the limit on every data set."""
    sets = [found for name, found in entry.items() if name != "times_faster"]
    return [
        version
        for version in STATIC
        if all(rates[version] > 1 for rates in entry["times_faster"].values())
        and all(found[version]["loss"] < LIMIT for found in sets)
    ]


if __name__ == "__main__":
    main()

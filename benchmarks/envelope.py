"""bench-envelope: which distance of features tells images unlike the training images, and what its limit costs.

Simulated cohorts (seed 401 for choosing, 411 and 412 for reporting; 128 px). Networks: frozen Lite0 ("probe") and the
same fine-tuned for tumour, one for FL and one for WL. Fitted on training and tuning patients, as an export does; false
rejection on the test patients. Methods are compared at 0.5 % of the test images; the one that is built is then held to
the limit it stores. Strange images: real (brain16, tcell, pictures of scikit-image), drawn (glove, noise,
gradient, blank plate), and simulated images spoilt in ways that the quality gate or the trained range of conditions is
there for ("gate").
"""

import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from skimage import data as pictures
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from cohorts import simulated
from common import WORK, finish, parser, shared_data
from glioscope.cohort import labels, load_manifest, sources, split_patients
from glioscope.core import BUILT_IN_TASKS, Canvas, FLPlan, Modality, WLPlan
from glioscope.core._envelope import unit_roots
from glioscope.imaging import RawImage, apply_fl_plan, apply_wl_plan, infer_white_level, network_input, read_fl, read_wl
from glioscope.models import (
    LITE0,
    FinetuneSettings,
    FoldData,
    FrozenFeatures,
    ProbeSettings,
    SpecimenNet,
    TrainSettings,
    fit_model,
    prepare_images,
    resolve_white,
)
from glioscope.models._envelope import fit_envelope
from glioscope.stats import auc

TUNED_ON, REPORTED_ON = 401, (411, 412)
FINETUNED_ON = (411,)
"""Fine-tuning takes minutes: nothing was chosen on it, and one cohort is reported."""
SIZE_PX = 128
N_STRANGE = 96
TRAIN_IMAGES = 20
"""Of each training patient, in fine-tuning, so that it is quick."""
EPOCHS = 2
NETWORKS = ("fl probe", "wl probe", "fl finetune", "wl finetune")
FRAME = (128, 160)
OFFSET = 600.0
"""Counts of the simulated camera without light."""
NATURAL = [
    *("camera", "astronaut", "coffee", "chelsea", "brick", "grass"),
    *("gravel", "coins", "moon", "clock", "rocket", "immunohistochemistry"),
]
PRINTED = ["text", "page", "colorwheel"]


def photographs(names: list[str], rng: np.random.Generator) -> list[np.ndarray]:
    """Crops uint8 (128, 160, 3) of scikit-image's pictures, of random place and size."""
    out = []
    for k in range(N_STRANGE):
        whole = np.asarray(getattr(pictures, names[k % len(names)])())
        whole = np.repeat(whole[..., None], 3, axis=2) if whole.ndim == 2 else whole[..., :3]
        height = int(rng.integers(min(128, whole.shape[0]), min(whole.shape[0], whole.shape[1] * 4 // 5) + 1))
        width = min(height * 5 // 4, whole.shape[1])
        y, x = rng.integers(0, whole.shape[0] - height + 1), rng.integers(0, whole.shape[1] - width + 1)
        out.append(cv2.resize(whole[y : y + height, x : x + width], FRAME[::-1], interpolation=cv2.INTER_AREA))
    return out


def sections(rng: np.random.Generator) -> list[np.ndarray]:
    """Cuts uint16 (128, 160) of the real tiles of brain16."""
    tiles = [read_fl(path).pixels for path in sorted(shared_data("brain16").glob("*.tif"))]
    corners = [(rng.integers(0, 512 - 128), rng.integers(0, 512 - 160)) for _ in range(N_STRANGE)]
    return [tiles[k % len(tiles)][y : y + 128, x : x + 160] for k, (y, x) in enumerate(corners)]


def cells(rng: np.random.Generator) -> list[np.ndarray]:
    """Real 8-bit images of single T cells, as uint16 counts."""
    paths = sorted((shared_data("tcell") / "images").iterdir())
    return [read_fl(paths[i]).pixels for i in rng.choice(len(paths), N_STRANGE, replace=False)]


def drawn(kind: str, rng: np.random.Generator) -> list[np.ndarray]:
    """Float (128, 160, 3) in [0, 1]: "glove", "noise", "gradient" or "blank plate"."""
    y, x = np.mgrid[0:128, 0:160].astype(np.float64)
    out = []
    for _ in range(N_STRANGE):
        level = rng.uniform(0.1, 0.9)
        if kind == "noise":
            image = np.repeat(rng.normal(level, rng.uniform(0.05, 0.3), (*FRAME, 1)), 3, axis=2)
        elif kind == "blank plate":
            image = np.repeat(rng.normal(0.08 * level, 0.004, (*FRAME, 1)), 3, axis=2)
        else:
            angle = rng.uniform(0, 2 * np.pi)
            along = (x - 80) * np.cos(angle) + (y - 64) * np.sin(angle)
            across = (y - 64) * np.cos(angle) - (x - 80) * np.sin(angle)
            if kind == "gradient":
                image = np.repeat((level + along / 160)[..., None], 3, axis=2)
            else:  # a finger that comes in from the border: a rounded bar, bright along its middle
                radius = rng.uniform(18, 32)
                far = np.where(along > 0, np.hypot(across, along), np.abs(across)) / radius
                shade = np.sqrt(np.clip(1 - far**2, 0, 1)) * (0.6 + 0.4 * level)
                image = shade[..., None] * np.array([0.35, 0.55, 0.85]) + 0.05
            image = image + rng.normal(0, 0.01, (*FRAME, 1))
        out.append(np.clip(image, 0, 1))
    return out


def zoomed(image: np.ndarray, factor: float) -> np.ndarray:
    """As a camera of another scale would show it, in a frame of the same size; the border is continued."""
    matrix = cv2.getRotationMatrix2D((80, 64), 0, factor)
    return cv2.warpAffine(image, matrix, FRAME[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def spoilt(top: float, dark: float) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """What the gate or the range of conditions should catch; each takes and gives counts as float32."""

    def exposed(factor: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda image: dark + (image - dark) * factor

    ramp = np.linspace(0.2, 1.0, FRAME[1], dtype=np.float32)[None, :]
    return {
        "exposure x 0.3": exposed(0.3),
        "exposure x 3": exposed(3.0),
        "defocus 2 px": lambda image: cv2.GaussianBlur(image, (0, 0), 2),
        "defocus 4 px": lambda image: cv2.GaussianBlur(image, (0, 0), 4),
        "defocus 8 px": lambda image: cv2.GaussianBlur(image, (0, 0), 8),
        "moved 16 px": lambda image: cv2.blur(image, (16, 1)),
        "ambient light": lambda image: image + 0.3 * top * (ramp if image.ndim == 2 else ramp[..., None]),
        "mm per px x 0.5": lambda image: zoomed(image, 2.0),
        "mm per px x 2": lambda image: zoomed(image, 0.5),
    }


def strange_fl(clean: list[np.ndarray], white_light: list[np.ndarray], top: float) -> dict[str, list[np.ndarray]]:
    """Images for the FL slot, uint16, by name; `clean` are uint16 FL, `white_light` uint8 RGB of the same specimens."""
    rng = np.random.default_rng(0)

    def counts(images: list[np.ndarray], share: float = 1.0) -> list[np.ndarray]:
        return [OFFSET + share * top * np.asarray(i, np.float32).mean(axis=2) for i in images]

    def of8(images: list[np.ndarray]) -> list[np.ndarray]:
        return [image.astype(np.float32) / 255 for image in images]

    bright = float(np.median([np.percentile(i, 99) for i in clean])) - OFFSET

    def brightened(images: list[np.ndarray]) -> list[np.ndarray]:
        """As bright as the specimens are: what is strange is then the pattern."""
        ends = [np.percentile(i, (1, 99)) for i in images]
        return [OFFSET + bright * (i - low) / (high - low) for i, (low, high) in zip(images, ends, strict=True)]

    brain, tcell = sections(rng), cells(rng)
    sets = {
        "brain16, as bright as specimens (real)": brightened(brain),
        "tcell, as bright as specimens (real)": brightened(tcell),
        "brain16 (real)": [i.astype(np.float32) for i in brain],
        "tcell (real)": [i.astype(np.float32) for i in tcell],
        "photographs (real)": counts(of8(photographs(NATURAL, rng))),
        "print (real)": counts(of8(photographs(PRINTED, rng))),
        **{kind: counts(drawn(kind, rng)) for kind in ("glove", "noise", "gradient", "blank plate")},
        "other slot": counts(of8(white_light)),
        "clean, turned by 90 deg": [np.rot90(i).astype(np.float32) for i in clean],
    }
    for name, change in spoilt(top, OFFSET).items():
        sets[f"gate: {name}"] = [change(i.astype(np.float32)) for i in clean]
    return {k: [np.clip(np.rint(i), 0, 65535).astype(np.uint16) for i in v] for k, v in sets.items()}


def strange_wl(clean: list[np.ndarray], fluorescence: list[np.ndarray]) -> dict[str, list[np.ndarray]]:
    """Images for the WL slot, uint8 RGB, by name."""
    rng = np.random.default_rng(1)

    def grey(images: list[np.ndarray]) -> list[np.ndarray]:
        """16-bit images as a viewer shows them: stretched to their own range."""
        out = []
        for image in images:
            low, high = np.percentile(image, (1, 99.5))
            out.append(np.repeat(np.clip((image - low) / max(high - low, 1) * 255, 0, 255)[..., None], 3, axis=2))
        return out

    sets = {
        "brain16 (real)": grey(sections(rng)),
        "tcell (real)": grey(cells(rng)),
        "photographs (real)": photographs(NATURAL, rng),
        "print (real)": photographs(PRINTED, rng),
        **{k: [i * 255 for i in drawn(k, rng)] for k in ("glove", "noise", "gradient", "blank plate")},
        "other slot": grey(fluorescence),
        "red and blue exchanged": [i[..., ::-1] for i in clean],
        "clean, turned by 90 deg": [np.rot90(i) for i in clean],
    }
    for name, change in spoilt(255.0, 0.0).items():
        sets[f"gate: {name}"] = [change(i.astype(np.float32)) for i in clean]
    return {k: [np.clip(np.rint(i), 0, 255).astype(np.uint8) for i in v] for k, v in sets.items()}


@torch.no_grad()
def features_of(network: SpecimenNet, images: list[np.ndarray], plan: FLPlan | WLPlan) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, d) and logits (N,) of raw images."""
    pixels = []
    for image in images:
        raw = RawImage(image, infer_white_level(image))
        made = apply_fl_plan(plan, raw) if isinstance(plan, FLPlan) else apply_wl_plan(plan, raw)
        pixels.append(made.image)
    tensor = torch.from_numpy(network_input(np.stack(pixels), plan)).contiguous(memory_format=torch.channels_last)
    features = torch.cat([network.eval().features(part) for part in torch.split(tensor, 64)])
    return features.numpy(), network.head(features)[:, 0].numpy()


def extract(seed: int, wanted: dict[str, Path]) -> None:
    """Train and write each network's "features", "logits", "patients", "roles" of its cohort, and of strange images."""
    cohort = load_manifest(simulated(seed) / "manifest.csv")
    items, table = sources(cohort), cohort.table
    task = BUILT_IN_TASKS["tumor"]
    roles_of = split_patients(cohort, [task], seed=seed).roles()
    specimens, patients = table["specimen_id"].to_numpy(object), table["patient_id"].to_numpy(object)
    roles = np.array([str(roles_of[p]) for p in patients], object)
    canvas = Canvas(size_px=SIZE_PX)
    fl_plan = resolve_white(FLPlan(canvas=canvas), [s for s, r in zip(items, roles, strict=True) if r == "train"])
    plans = {"fl": fl_plan, "wl": WLPlan(canvas=canvas)}
    images = prepare_images(items, fl_plan=fl_plan, wl_plan=plans["wl"])
    y = labels(cohort, task).reindex(specimens).to_numpy(float)[:, None]
    spare = (roles == "train") & (table.groupby("patient_id").cumcount().to_numpy() >= TRAIN_IMAGES)
    frozen = FrozenFeatures(LITE0, "auto")
    some = np.random.default_rng(seed).choice(np.flatnonzero(roles == "test"), N_STRANGE, replace=False)
    fl = [read_fl(items[i].fl_image).pixels for i in some]
    wl = [read_wl(items[i].wl_image).pixels for i in some]
    strange = {"fl": strange_fl(fl, wl, float(fl_plan.normalisation.white)), "wl": strange_wl(wl, fl)}
    for name, path in wanted.items():
        modality, strategy = Modality(name.split()[0]), name.split()[1]
        used = np.where(spare, "unused", roles).astype(object) if strategy == "finetune" else roles
        data = FoldData(images, specimens, patients, used, y)
        settings = TrainSettings(
            strategy=strategy,
            probe=ProbeSettings(inverse_l2=(1e-3,)),
            finetune=FinetuneSettings(epochs=EPOCHS),
            seed=seed,
        )
        with tempfile.TemporaryDirectory() as folder:
            fitted = fit_model(task, modality, data, settings, frozen, log_dir=Path(folder) / "log", progress=False)
        print(seed, name, fitted.metrics, flush=True)
        everything = images.subset(modality, np.arange(len(roles)), y)
        with torch.no_grad():
            rows = torch.split(torch.arange(len(roles)), 64)
            features = torch.cat([fitted.network.features(*everything.plain(r)) for r in rows])
            logits = fitted.network.head(features)[:, 0].numpy()
        entry = {"features": features.numpy(), "logits": logits, "patients": patients.astype(str)}
        entry["roles"] = used.astype(str)
        for kind, raw in strange[modality.value].items():
            entry[f"strange/{kind}"], entry[f"logits/{kind}"] = features_of(fitted.network, raw, plans[modality.value])
        np.savez(path, **entry)


def extracted(seed: int, networks: tuple[str, ...] = NETWORKS) -> dict[str, dict[str, np.ndarray]]:
    """Features of these networks on the cohort of this seed, kept in benchmarks/work."""
    folder = WORK / "envelope"
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{seed} {name}.npz" for name in networks}
    missing = {name: path for name, path in paths.items() if not path.is_file()}
    if missing:
        extract(seed, missing)
    return {name: dict(np.load(path)) for name, path in paths.items()}


Distance = Callable[[np.ndarray], np.ndarray]


def mahalanobis(rows: np.ndarray, rank: int, shrinkage: float) -> Distance:
    """Principal components and residual; shrinkage 1 takes variances as they are, 0 is Euclid's distance."""
    mean = rows.mean(0)
    _, singular, directions = randomized_svd(rows - mean, min(rank, len(rows) // 4), n_iter=4, random_state=0)
    variances = singular**2 / len(rows)
    rest = (np.square(rows - mean).sum() / len(rows) - variances.sum()) / (rows.shape[1] - len(variances))
    shrunk = rest * (variances / rest) ** shrinkage

    def distance(x: np.ndarray) -> np.ndarray:
        off = x - mean
        inner = off @ directions.T
        return np.sqrt((off**2).sum(1) / rest - (inner**2 * (1 / rest - 1 / shrunk)).sum(1))

    return distance


def neighbours(rows: np.ndarray, k: int = 5, n_kept: int = 400) -> Distance:
    """Distance to the k-th of 400 training images, drawn by chance (2 MB of vectors)."""
    kept = rows[np.random.default_rng(0).permutation(len(rows))[:n_kept]]

    def distance(x: np.ndarray) -> np.ndarray:
        squared = (x**2).sum(1)[:, None] - 2 * x @ kept.T + (kept**2).sum(1)
        return np.sqrt(np.maximum(np.partition(squared, k - 1, axis=1)[:, k - 1], 0))

    return distance


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


SCALES: dict[str, Distance] = {"raw": lambda x: x, "unit": unit, "unit roots": unit_roots}
METHODS: dict[str, tuple[str, Callable[[np.ndarray], Distance]]] = {
    **{f"Mahalanobis, {scale}": (scale, lambda rows: mahalanobis(rows, 64, 1.0)) for scale in SCALES},
    **{f"shrunk Mahalanobis, {scale}": (scale, lambda rows: mahalanobis(rows, 64, 0.25)) for scale in SCALES},
    "shrunk Mahalanobis, unit roots, rank 16": ("unit roots", lambda rows: mahalanobis(rows, 16, 0.25)),
    "shrunk Mahalanobis, unit roots, rank 128": ("unit roots", lambda rows: mahalanobis(rows, 128, 0.25)),
    "Euclid, unit roots": ("unit roots", lambda rows: mahalanobis(rows, 1, 0.0)),
    **{f"5th neighbour, {scale}": (scale, neighbours) for scale in SCALES},
}


def compared(entry: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Each method at the limit that lets in 99.5 % of the test images: a fair comparison of distances alone."""
    fitted, clean = np.isin(entry["roles"], ("train", "tune")), entry["roles"] == "test"
    kinds = [key.removeprefix("strange/") for key in entry if key.startswith("strange/")]
    out = {}
    for name, (scale, make) in METHODS.items():
        rows = SCALES[scale](entry["features"]).astype(float)
        distance = make(rows[fitted])
        out[name] = scored(
            distance(rows[clean]),
            {k: distance(SCALES[scale](entry[f"strange/{k}"]).astype(float)) for k in kinds},
        )
    sure = {k: -np.abs(entry[f"logits/{k}"]) for k in kinds}
    out["small |logit|"] = scored(-np.abs(entry["logits"][clean]), sure)
    return out


def scored(clean: np.ndarray, strange: dict[str, np.ndarray], limit: float | None = None) -> dict[str, Any]:
    """AUROC and share rejected by family; without `limit`, at the 99.5 % quantile of `clean`."""
    at = float(np.quantile(clean, 0.995)) if limit is None else limit
    labels_of = {k: np.r_[np.zeros(len(clean)), np.ones(len(d))] for k, d in strange.items()}
    return {
        "auroc": {k: float(auc(labels_of[k], np.r_[clean, d])) for k, d in strange.items()},
        "rejected": {k: float(np.mean(d > at)) for k, d in strange.items()},
    }


def stored(entry: dict[str, np.ndarray]) -> dict[str, Any]:
    """What `fit_envelope` gives: false rejection of test patients at the stored limit, and the families."""
    fitted, clean = np.isin(entry["roles"], ("train", "tune")), entry["roles"] == "test"
    held_out = entry["roles"][fitted] == "tune"
    envelope, vectors = fit_envelope(entry["features"][fitted], entry["patients"][fitted].astype(object), held_out)
    kinds = [key.removeprefix("strange/") for key in entry if key.startswith("strange/")]
    near = envelope.distance(entry["features"][clean], vectors)
    patients = entry["patients"][clean]
    return {
        "false_rejection": float(np.mean(near > 1)),
        "worst_patient": max(float(np.mean(near[patients == p] > 1)) for p in np.unique(patients)),
        "limit": envelope.limit,
        "rule": envelope.rule,
        **scored(near, {k: envelope.distance(entry[f"strange/{k}"], vectors) for k in kinds}, 1.0),
    }


def few(entry: dict[str, np.ndarray], n_patients: int = 5, n_each: int = 12, n_repeats: int = 10) -> dict[str, float]:
    """False rejection where the envelope rests on 5 patients and 60 images, over draws of them."""
    patients, shares = entry["patients"], []
    for repeat in range(n_repeats):
        rng = np.random.default_rng(repeat)
        ids = rng.permutation(np.unique(patients))
        rows = np.concatenate([rng.permutation(np.flatnonzero(patients == p))[:n_each] for p in ids[:n_patients]])
        envelope, vectors = fit_envelope(entry["features"][rows], patients[rows].astype(object), np.zeros(60, bool))
        new = np.isin(patients, ids[n_patients:])
        shares.append(float(np.mean(envelope.distance(entry["features"][new], vectors) > 1)))
    return {"false_rejection_mean": float(np.mean(shares)), "false_rejection_worst": max(shares)}


def milliseconds(entry: dict[str, np.ndarray], n_repeats: int = 300) -> dict[str, float]:
    """Median time of one specimen through three envelopes, in turn with 400 neighbours."""
    features, patients = entry["features"], entry["patients"].astype(object)
    three = [fit_envelope(features[k::3], patients[k::3], np.zeros(len(features[k::3]), bool)) for k in range(3)]
    kept = [unit(features[k::3][:400]) for k in range(3)]
    times: dict[str, list[float]] = {"three_envelopes_ms": [], "three_times_400_neighbours_ms": []}
    for repeat in range(n_repeats):
        one = features[repeat : repeat + 1]
        started = time.perf_counter()
        for envelope, vectors in three:
            envelope.distance(one, vectors)
        middle = time.perf_counter()
        for k in range(3):
            np.partition(unit(one) @ kept[k].T, -5, axis=1)
        times["three_times_400_neighbours_ms"].append(1e3 * (time.perf_counter() - middle))
        times["three_envelopes_ms"].append(1e3 * (middle - started))
    return {k: round(float(np.median(v)), 4) for k, v in times.items()}


def mean_over(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Means of equal dictionaries of numbers over seeds, rounded; words are kept as a list."""
    out: dict[str, Any] = {}
    for key, first in results[0].items():
        values = [r[key] for r in results]
        if isinstance(first, dict):
            out[key] = mean_over(values)
        else:
            out[key] = round(float(np.mean(values)), 4) if isinstance(first, float) else values
    return out


def summary(result: dict[str, Any]) -> dict[str, float]:
    """Mean and worst over families that are strange in themselves, not spoilt ("gate") and not turned."""
    own = [k for k in result["auroc"] if not k.startswith(("gate", "clean"))]
    return {
        "auroc_mean": round(float(np.mean([result["auroc"][k] for k in own])), 4),
        "auroc_worst": round(min(result["auroc"][k] for k in own), 4),
        "rejected_mean": round(float(np.mean([result["rejected"][k] for k in own])), 4),
        "rejected_worst": round(min(result["rejected"][k] for k in own), 4),
    }


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    result: dict[str, Any] = {"data": "simulated, and real pictures where said", "size_px": SIZE_PX}
    with threadpool_limits(1):
        chosen_on = {n: extracted(TUNED_ON, (n,))[n] for n in options.networks if n.endswith("probe")}
        result[f"chosen on seed {TUNED_ON}"] = {n: summary(stored(entry)) for n, entry in chosen_on.items()}
    for network in options.networks:
        seeds = FINETUNED_ON if network.endswith("finetune") else REPORTED_ON
        entries = [extracted(seed, (network,))[network] for seed in seeds]
        with threadpool_limits(1):
            methods = mean_over([compared(entry) for entry in entries])
            result[network] = {
                "seeds": seeds,
                "stored limit": mean_over([stored(entry) for entry in entries]),
                "methods at 0.5 % false rejection": {name: summary(found) for name, found in methods.items()},
                "5 patients, 60 images": mean_over([few(entry) for entry in entries]),
            }
        print(network, result[network], flush=True)
    result |= milliseconds(extracted(REPORTED_ON[0], options.networks[:1])[options.networks[0]])
    finish("bench-envelope", result, record=options.record)


if __name__ == "__main__":
    main()

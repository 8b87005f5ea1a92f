"""bench-throughput: 2,000 SIMULATED image pairs on disk through three B0 at 224 px, in turn with the stock way.

Ours is what `glioscope diagnose SUITE --manifest` runs: reading, gate, preparation, networks, envelope, calibration,
decision, one thread a network and a batch a core; every specimen goes through all three networks. Stock: OpenCV
reading and preparing in a torch DataLoader, timm eagerly in batches of 32 on two threads, probabilities only; the
better of loading in the loop and by two workers (spawned and warm before the clock starts). Its networks are of the
same kind and size. A round times ours on all pairs and stock on the first `--stock-images`, as its rate is steady.

`peak_fraction` is the share of the machine's float32 matrix-product peak (both cores, measured just before) that the
networks reach on prepared images; `end_to_end_peak_fraction` is that of the whole way from the files.
"""

import statistics
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from common import WORK, finish, parser
from glioscope.cli._measure import asking_everything, require_answers
from glioscope.cohort import load_manifest, sources
from glioscope.imaging import SpecimenSource
from glioscope.runtime import Cascade, RuntimeSettings
from glioscope.sim import simulate
from peak import first_network, network_flops, peak_gflops
from stock import NETWORKS, StockPipeline, prepare
from suites import B0, speed_suite

PAIRS = 2000
STOCK_BATCH = 32
CORES = 2


class Pairs(Dataset):
    """The stock way's images: a pair read, the fluorescence denoised, stretched to 8 bits and prepared."""

    def __init__(self, items: list[SpecimenSource]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> torch.Tensor:
        fl = cv2.imread(str(self.items[index].fl_image), cv2.IMREAD_UNCHANGED)
        cv2.imread(str(self.items[index].wl_image), cv2.IMREAD_COLOR)  # ours reads it as well, for the gate
        clean = cv2.GaussianBlur(cv2.medianBlur(fl, 3), (5, 5), 0)
        return prepare(cv2.normalize(clean, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U))[0]


def image_pairs() -> list[SpecimenSource]:
    """2,000 simulated pairs, 160 x 128 px: FL as 16-bit TIFF, WL as PNG; written once."""
    folder = WORK / "throughput-cohort"
    if not (folder / "manifest.csv").is_file():
        simulate(folder, n_patients=24, n_specimens=PAIRS, seed=31)
    return sources(load_manifest(folder / "manifest.csv"))


def ours(cascade: Cascade, items: list[SpecimenSource]) -> float:
    """Image pairs a second, files to answers."""
    started = time.perf_counter()
    answers = list(cascade.diagnose_many([item] for item in items))
    rate = len(items) / (time.perf_counter() - started)
    require_answers(answers)
    return rate


def loaders(items: list[SpecimenSource]) -> list[DataLoader]:
    """Loading in the loop, and by two workers that are kept; both have run once."""
    pairs = Pairs(items)
    made = [
        DataLoader(pairs, STOCK_BATCH),
        DataLoader(pairs, STOCK_BATCH, num_workers=2, multiprocessing_context="spawn", persistent_workers=True),
    ]
    for _ in made[1]:
        pass
    return made


def stock_rate(pipeline: StockPipeline, loader: DataLoader) -> float:
    """Image pairs a second, files to probabilities."""
    started, n = time.perf_counter(), 0
    for images in loader:
        pipeline.probabilities(images, pipeline.networks)
        n += len(images)
    return n / (time.perf_counter() - started)


def network_rate(cascade: Cascade, size_px: int, batches: int = 12) -> float:
    """Images a second through all networks of the suite, nothing else: a batch a core, as the archive does."""
    images = np.random.default_rng(0).normal(size=(cascade.settings.batch, 3, size_px, size_px)).astype(np.float32)

    def answer(_: int) -> None:
        for bundle in cascade.bundles.values():
            bundle.run({"fl": images})

    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(answer, range(CORES)))
        started = time.perf_counter()
        list(pool.map(answer, range(batches)))
        return batches * len(images) / (time.perf_counter() - started)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--images", type=int, default=PAIRS)
    arguments.add_argument("--stock-images", type=int, default=320)
    arguments.add_argument("--batch", type=int, default=RuntimeSettings().batch)
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    items = image_pairs()[: options.images]
    settings = RuntimeSettings(threads=1, workers=CORES, parallel=False, batch=options.batch)
    cascade = asking_everything(Cascade.load(speed_suite(B0), settings))
    gflop = NETWORKS * sum(network_flops(first_network(B0)).values()) / 1e9
    pipeline = StockPipeline(B0, threads=CORES)
    stock_loaders = loaders(items[: options.stock_images])
    ours(cascade, items[:32])
    rounds: list[dict[str, float]] = []
    for number in range(options.rounds):
        peak = peak_gflops(CORES)
        now = {
            "network": network_rate(cascade, 224),
            "ours": ours(cascade, items),
            "stock": max(stock_rate(pipeline, loader) for loader in stock_loaders),
        }
        now["ratio"] = now["ours"] / now["stock"]
        now["peak_fraction"] = now["network"] * gflop / peak
        now["end_to_end_peak_fraction"] = now["ours"] * gflop / peak
        now["peak_gflop_s"] = peak
        rounds.append(now)
        print(f"round {number + 1}:", {key: round(value, 3) for key, value in now.items()}, flush=True)
    middle = {key: statistics.median(entry[key] for entry in rounds) for key in rounds[0]}
    finish(
        "bench-throughput",
        {
            "images_per_s": round(middle["ours"], 1),
            "stock_images_per_s": round(middle["stock"], 1),
            "ratio": round(middle["ratio"], 2),
            "ratios": [round(entry["ratio"], 2) for entry in rounds],
            "peak_fraction": round(middle["peak_fraction"], 3),
            "end_to_end_peak_fraction": round(middle["end_to_end_peak_fraction"], 3),
            "network_images_per_s": round(middle["network"], 1),
            "peak_gflop_s": round(middle["peak_gflop_s"], 1),
            "gflop_a_specimen": round(gflop, 3),
            "images": len(items),
            "stock_images": options.stock_images,
            "batch": options.batch,
            "stock_batch": STOCK_BATCH,
            "rounds": options.rounds,
            "data": "simulated",
        },
        record=options.record,
    )


if __name__ == "__main__":
    main()

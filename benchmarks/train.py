"""bench-train: images per second of our fine-tuning against a plain timm + DataLoader loop, same size and batch.

Both train EfficientNet-Lite0 in float32 on the same simulated FL files with the same augmentation. The plain loop is
what a careful user writes first: a Dataset that decodes and prepares an image when asked, torchvision transforms, the
better of 0 and 2 workers. Ours is `models.finetune`, Lightning, checkpoint and tuning pass included.
"""

import logging
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import timm
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from common import WORK, finish, parser
from glioscope.cohort import labels, load_manifest, sources
from glioscope.core import BUILT_IN_TASKS, Canvas, FLPlan, Modality
from glioscope.imaging import prepare_specimen
from glioscope.models import (
    FL_AUGMENT,
    FinetuneSettings,
    SpecimenNet,
    create_backbone,
    finetune,
    prepare_images,
)
from glioscope.sim import simulate

SIZE, BATCH, N_IMAGES = 160, 32, 384


class PlainDataset(Dataset):
    """Decodes, prepares and augments one image at a time."""

    def __init__(self, items, y, plan):
        self.items, self.y, self.plan = items, y, plan
        self.transform = v2.Compose(
            [
                v2.ToDtype(torch.float32, scale=True),
                v2.ColorJitter(brightness=0.5, contrast=0.5),
                v2.RandomVerticalFlip(),
                v2.RandomCrop(SIZE, padding=16),
                v2.Normalize(plan.mean, plan.std),
            ]
        )

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        image = prepare_specimen(self.items[index], fl_plan=self.plan).fl.image
        return self.transform(torch.from_numpy(image)[None].expand(3, -1, -1)), torch.tensor([self.y[index]])


def plain_epoch(dataset, workers):
    model = timm.create_model("tf_efficientnet_lite0", num_classes=1, drop_rate=0.5).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4)
    loader = DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=workers, drop_last=True)
    started = time.perf_counter()
    for images, y in loader:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(images), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return len(loader) * BATCH / (time.perf_counter() - started)


def our_epoch(train, tune):
    network = SpecimenNet(Modality.FL, [create_backbone("tf_efficientnet_lite0", "none")[0]])
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        settings = FinetuneSettings(epochs=1, batch_size=BATCH, freeze_batch_norm=False)  # as the plain loop
        finetune(
            network,
            train,
            tune,
            augments={"fl": FL_AUGMENT},
            settings=settings,
            seed=0,
            log_dir=Path(folder) / "run",
            progress=False,
        )
        return len(train) / (time.perf_counter() - started)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(2)
    folder = WORK / "train-cohort"
    if not (folder / "manifest.csv").is_file():
        simulate(folder, n_patients=6, n_specimens=N_IMAGES + 64, seed=17)
    cohort = load_manifest(folder / "manifest.csv")
    y = labels(cohort, BUILT_IN_TASKS["tumor"]).to_numpy(np.float32)
    plan = FLPlan(canvas=Canvas(size_px=SIZE))
    items = sources(cohort)
    images = prepare_images(items, fl_plan=plan, wl_plan=None)
    train = images.subset(Modality.FL, np.arange(N_IMAGES), y[:N_IMAGES, None])
    tune = images.subset(Modality.FL, np.arange(N_IMAGES, len(y)), y[N_IMAGES:, None])
    plain = PlainDataset(items[:N_IMAGES], y[:N_IMAGES], plan)
    ours, stock, ratios = [], [], []
    for number in range(options.rounds):
        stock_now = max(plain_epoch(plain, workers) for workers in (0, 2))
        ours_now = our_epoch(train, tune)
        ours.append(ours_now)
        stock.append(stock_now)
        ratios.append(ours_now / stock_now)
        print(f"round {number + 1}: ours {ours_now:.1f} images/s, plain loop {stock_now:.1f}", flush=True)
    finish(
        "bench-train",
        {
            "images_per_s": round(statistics.median(ours), 1),
            "stock_images_per_s": round(statistics.median(stock), 1),
            "ratio": round(statistics.median(ratios), 2),
            "rounds": options.rounds,
            "size_px": SIZE,
            "batch": BATCH,
            "data": "simulated",
        },
        record=options.record,
    )


if __name__ == "__main__":
    main()

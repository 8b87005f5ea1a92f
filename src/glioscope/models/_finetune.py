"""Fine-tuning with Lightning. Order, augmentation and dropout are functions of (seed, epoch), so that a run resumed
from a checkpoint gives the weights of an uninterrupted one.
"""

import io
import logging
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from torchmetrics.classification import BinaryAUROC

from glioscope.core import atomic_file

from ._augment import AugmentSettings, augment, draw
from ._loss import class_weights, weighted_bce
from ._network import SpecimenNet
from ._settings import FinetuneSettings

PREDICT_BATCH = 64

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it advertises other products to the user


class ImageSet:
    """Prepared images of a set of rows, in memory: uint8 (N, C, S, S) an input, with targets (N, K).

    `mean` and `std` (C = 3 each) are those of the plans; FL has one stored channel that is repeated.
    """

    def __init__(
        self,
        images: dict[str, torch.Tensor],
        targets: torch.Tensor,
        normalisation: dict[str, tuple[tuple[float, ...], tuple[float, ...]]],
    ) -> None:
        self.images = images
        self.targets = targets
        self.mean = {k: torch.tensor(m)[None, :, None, None] for k, (m, _) in normalisation.items()}
        self.std = {k: torch.tensor(s)[None, :, None, None] for k, (_, s) in normalisation.items()}

    def __len__(self) -> int:
        return int(self.targets.shape[0])

    def normalised(self, name: str, pixels: torch.Tensor) -> torch.Tensor:
        """Network input float32 (N, 3, S, S), channels last, of pixels in [0, 1]."""
        mean, std = self.mean[name].to(pixels.device), self.std[name].to(pixels.device)
        return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)

    def plain(self, rows: torch.Tensor, device: torch.device | str = "cpu") -> list[torch.Tensor]:
        """Inputs of these rows without augmentation."""
        return [self.normalised(k, v[rows].to(device).float() / 255.0) for k, v in self.images.items()]

    def augmented(
        self,
        rows: torch.Tensor,
        settings: dict[str, AugmentSettings],
        *,
        seed: int,
        epoch: int,
        device: torch.device | str = "cpu",
    ) -> list[torch.Tensor]:
        """Inputs of these rows, augmented by what (seed, epoch, row) draws."""
        indices = rows.cpu().numpy().astype(np.int64)
        return [
            self.normalised(
                k, augment(v[rows.cpu()].to(device), draw(settings[k], seed=seed, epoch=epoch, indices=indices))
            )
            for k, v in self.images.items()
        ]


class _Finetuning(pl.LightningModule):
    alpha_p: torch.Tensor
    alpha_n: torch.Tensor

    def __init__(
        self,
        network: SpecimenNet,
        train: ImageSet,
        tune: ImageSet | None,
        augments: dict[str, AugmentSettings],
        settings: FinetuneSettings,
        seed: int,
    ) -> None:
        super().__init__()
        # Lightning leaves modes as they are, and a backbone that has just given features is in evaluation mode.
        self.network = network.to(memory_format=torch.channels_last).train()
        self.train_set, self.tune_set = train, tune
        self.augments, self.settings, self.seed = augments, settings, seed
        alpha_p, alpha_n = class_weights(train.targets)
        self.register_buffer("alpha_p", alpha_p, persistent=False)
        self.register_buffer("alpha_n", alpha_n, persistent=False)
        self.tune_auc = BinaryAUROC()
        self.steps_per_epoch = len(_batches(len(train), settings.batch_size, seed, 0))

    def train_dataloader(self) -> DataLoader[Any]:
        batches = _batches(len(self.train_set), self.settings.batch_size, self.seed, self.current_epoch)
        return DataLoader(batches, batch_size=None, shuffle=False)  # type: ignore[arg-type]

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        if self.tune_set is None:
            return []
        rows = torch.split(torch.arange(len(self.tune_set)), PREDICT_BATCH)
        return DataLoader(list(rows), batch_size=None, shuffle=False)  # type: ignore[arg-type]

    def on_train_epoch_start(self) -> None:
        if self.settings.freeze_batch_norm:
            for layer in self.network.modules():
                if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
                    layer.eval()

    def training_step(self, rows: torch.Tensor, batch: int) -> torch.Tensor:
        # Dropout draws from torch's generator, which data loaders use as well: tie it to the step itself.
        torch.manual_seed(int(np.random.SeedSequence((self.seed, self.current_epoch, batch)).generate_state(1)[0]))
        inputs = self.train_set.augmented(
            rows, self.augments, seed=self.seed, epoch=self.current_epoch, device=self.device
        )
        targets = self.train_set.targets[rows.cpu()].to(self.device)
        loss = weighted_bce(self.network(*inputs).float(), targets, self.alpha_p, self.alpha_n)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(rows))
        return loss

    def validation_step(self, rows: torch.Tensor, _: int) -> None:
        if self.tune_set is None:
            return
        targets = self.tune_set.targets[rows.cpu()]
        logit = self.network(*self.tune_set.plain(rows.cpu(), self.device)).float().cpu()
        self.tune_auc.update(logit.sigmoid().mean(1), (targets.mean(1) > 0.5).int())

    def on_validation_epoch_end(self) -> None:
        if len(self.tune_auc.target) == 0:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one class among the tuning patients: logged as 0, chosen by nobody
            self.log("tune_auc", self.tune_auc.compute(), prog_bar=True)
        self.tune_auc.reset()

    def configure_optimizers(self) -> Any:
        s = self.settings
        optimizer = torch.optim.Adam(self.network.parameters(), lr=s.learning_rate, weight_decay=s.weight_decay)
        total = s.epochs * self.steps_per_epoch
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: warmup_cosine(i, total, s.warmup_fraction))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _AtomicCheckpoints(TorchCheckpointIO):
    """Lightning's own writer goes through /tmp, so that on a full disk half a file replaces the last checkpoint."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with atomic_file(path) as temporary:
            temporary.write_bytes(content.getbuffer())


def warmup_cosine(iteration: int, total: int, warmup_fraction: float) -> float:
    """Factor on the learning rate: linear warm-up over the first share of iterations, then cosine to zero."""
    warmup = max(1, round(total * warmup_fraction))
    if iteration < warmup:
        return (iteration + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (iteration - warmup) / max(1, total - warmup)))


def _batches(n: int, batch_size: int, seed: int, epoch: int) -> list[torch.Tensor]:
    """Rows of each batch of an epoch. A last batch under half the size is left out (batch norm); order is drawn."""
    order = torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(n))
    parts = list(torch.split(order, batch_size))
    return parts[:-1] if len(parts) > 1 and len(parts[-1]) * 2 < batch_size else parts


def finetune(
    network: SpecimenNet,
    train: ImageSet,
    tune: ImageSet | None,
    *,
    augments: dict[str, AugmentSettings],
    settings: FinetuneSettings,
    seed: int,
    log_dir: Path,
    resume: bool = False,
    precision: str = "auto",
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
) -> SpecimenNet:
    """Train all of `network` and return it in evaluation mode.

    A checkpoint is kept after every epoch in `log_dir`, the curve in `log_dir/metrics.csv`; with `resume` the run goes
    on from the checkpoint if there is one.

    Raises
    ------
    KeyboardInterrupt : the user stopped it; the last whole epoch's checkpoint stays.
    """
    module = _Finetuning(network, train, tune, augments, settings, seed)
    checkpoint = ModelCheckpoint(dirpath=log_dir, filename="epoch", enable_version_counter=False, every_n_epochs=1)
    path = log_dir / "epoch.ckpt"
    if resume:
        _set_aside_curve(log_dir / "metrics.csv")
    bar: list[Callback] = [TQDMProgressBar(refresh_rate=5)] if progress else []
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore",
            message=".*(num_workers|tensorboard|does not have many workers|sample indices|treespec|Total length of).*",
        )
        trainer = pl.Trainer(
            accelerator="auto",
            devices=1,
            precision=resolved_precision(precision),  # type: ignore[arg-type]
            max_epochs=settings.epochs,
            logger=CSVLogger(log_dir.parent, name=log_dir.name, version=""),
            callbacks=[checkpoint, *bar, *callbacks],
            plugins=[_AtomicCheckpoints()],
            reload_dataloaders_every_n_epochs=1,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            enable_model_summary=False,
            enable_progress_bar=progress,
            deterministic="warn",
        )
        try:
            trainer.fit(module, ckpt_path=str(path) if resume and path.is_file() else None, weights_only=True)
        except SystemExit as error:  # what Lightning makes of Ctrl-C, with code 1
            if trainer.interrupted:
                raise KeyboardInterrupt from error
            raise
    return network.cpu().eval()


def _set_aside_curve(curve: Path) -> None:
    """Lightning's logger deletes the curve of the interrupted part when it starts again: keep it under a number."""
    if curve.is_file():
        part = 1 + sum(1 for _ in curve.parent.glob("metrics-part*.csv"))
        curve.replace(curve.with_name(f"metrics-part{part}.csv"))


def resolved_precision(wanted: str) -> str:
    """Lightning's name of the precision: "auto" is float32 on CPU, bfloat16 or float16 mixed on GPU."""
    if wanted != "auto":
        return wanted
    if not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"


@torch.no_grad()
def predict_logits(network: SpecimenNet, images: ImageSet) -> NDArray[np.float64]:
    """Logits (N, K) without augmentation, in evaluation mode."""
    network = network.eval().to(memory_format=torch.channels_last)
    parts = [network(*images.plain(rows)).double() for rows in torch.split(torch.arange(len(images)), PREDICT_BATCH)]
    return torch.cat(parts).numpy()

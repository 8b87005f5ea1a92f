import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs glioscope[train]")

from glioscope.core import Modality  # noqa: E402
from glioscope.models import (  # noqa: E402
    FL_AUGMENT,
    FinetuneSettings,
    ImageSet,
    SpecimenNet,
    create_backbone,
    finetune,
    warmup_cosine,
)

SCRIPT = """
import sys, time, warnings
from pathlib import Path
import numpy as np, torch
warnings.simplefilter("ignore")
torch.set_num_threads(1)
from lightning.pytorch.callbacks import Callback
from glioscope.core import Modality
from glioscope.models import FL_AUGMENT, FinetuneSettings, ImageSet, SpecimenNet, create_backbone, finetune
folder, mode = Path(sys.argv[1]), sys.argv[2]
rng = np.random.default_rng(0)
y = np.repeat([0, 1], 12)
pixels = rng.integers(0, 60, (24, 1, 64, 64)) + 120 * y[:, None, None, None]
plain = {"fl": ((0.45,) * 3, (0.22,) * 3)}
targets = torch.tensor(y[:, None], dtype=torch.float32)
images = ImageSet({"fl": torch.from_numpy(pixels.astype(np.uint8))}, targets, plain)
class Slow(Callback):
    def on_train_epoch_start(self, trainer, module):
        print("epoch", trainer.current_epoch, flush=True)
        if mode == "slow" and trainer.current_epoch == 2:
            time.sleep(60)
torch.manual_seed(0)
network = SpecimenNet(Modality.FL, [create_backbone("tf_efficientnet_lite0", "none")[0]])
settings = FinetuneSettings(epochs=4, batch_size=8)
finetune(network, images, images, augments={"fl": FL_AUGMENT}, settings=settings, seed=0, log_dir=folder / "logs",
         resume=mode == "resume", progress=False, callbacks=[Slow()])
torch.save(network.state_dict(), folder / "weights.pt")
"""


def run(folder: Path, mode: str) -> None:
    folder.mkdir(exist_ok=True)
    subprocess.run([sys.executable, "-c", SCRIPT, str(folder), mode], check=True, capture_output=True, timeout=300)


def killed_in_third_epoch(folder: Path, how: signal.Signals) -> None:
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), "slow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 2"):
            break
    time.sleep(0.2)
    os.kill(process.pid, how)
    process.wait(timeout=60)
    assert not (folder / "weights.pt").exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_resuming_after_a_kill_gives_the_same_weights(tmp_path, how):
    run(tmp_path / "whole", "plain")
    killed_in_third_epoch(tmp_path / "cut", how)
    run(tmp_path / "cut", "resume")
    whole = torch.load(tmp_path / "whole" / "weights.pt", weights_only=True)
    resumed = torch.load(tmp_path / "cut" / "weights.pt", weights_only=True)
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)
    log = (tmp_path / "cut" / "logs" / "metrics.csv").read_text()
    assert "train_loss" in (tmp_path / "cut" / "logs" / "metrics-part1.csv").read_text()
    assert "train_loss" in log
    assert "tune_auc" in log


def test_warmup_rises_linearly_then_cosine_falls_to_zero():
    factors = np.array([warmup_cosine(i, 100, 0.1) for i in range(101)])
    assert factors[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert (np.diff(factors[10:]) <= 0).all()
    assert factors[100] == pytest.approx(0)
    assert factors[55] == pytest.approx(0.5)


@pytest.mark.parametrize("frozen", [True, False])
def test_batch_norm_statistics_move_unless_frozen_and_all_weights_train(tmp_path, frozen):
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (16, 1, 64, 64)).astype(np.uint8))
    targets = torch.tensor([[0.0], [1.0]] * 8)
    images = ImageSet({"fl": pixels}, targets, {"fl": ((0.45,) * 3, (0.22,) * 3)})
    # As training gets it: a backbone that has just given features is in evaluation mode.
    network = SpecimenNet(Modality.FL, [create_backbone("tf_efficientnet_lite0", "none")[0].eval()])
    before = {k: v.clone() for k, v in network.state_dict().items()}
    settings = FinetuneSettings(epochs=1, batch_size=8, freeze_batch_norm=frozen)
    finetune(
        network,
        images,
        None,
        augments={"fl": FL_AUGMENT},
        settings=settings,
        seed=0,
        log_dir=tmp_path / "logs",
        progress=False,
    )
    after = network.state_dict()
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    statistics = {k for k in before if k.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    assert moved & statistics == (set() if frozen else statistics)
    assert moved >= {name for name, _ in network.named_parameters()}

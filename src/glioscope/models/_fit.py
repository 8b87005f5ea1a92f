"""Fit one model: a task, a modality, one fold; decide its threshold on tuning patients; score everybody else."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from glioscope.core import Metrics, Modality, Task, Threshold
from glioscope.stats import auc, default_rule, operating_point

from ._finetune import ImageSet, finetune, predict_logits
from ._images import PreparedImages
from ._network import SpecimenNet, late_average
from ._probe import FrozenFeatures, fit_probe
from ._settings import TrainSettings

Notes = dict[str, str | int | float | bool | None]
"""Choices made while training, for the bundle's provenance."""


@dataclass(frozen=True, slots=True)
class FoldData:
    """Rows of one fold and task.

    `targets` is (N, K) over all rows of the cohort, NaN where masked; `roles` (N,) of "train", "tune", "test".
    """

    images: PreparedImages
    specimens: NDArray[np.object_]
    patients: NDArray[np.object_]
    roles: NDArray[np.object_]
    targets: NDArray[np.float64]

    def rows(self, modality: Modality, role: str, *, labelled: bool = True) -> NDArray[np.int64]:
        """Rows with this role and every image of the modality (and a label, unless not asked for)."""
        keep = (self.roles == role) & self.images.usable(modality)
        return np.flatnonzero(keep & ~np.isnan(self.targets).any(1) if labelled else keep)

    def targets_of(self, specimens: Iterable[str]) -> NDArray[np.float64]:
        """Targets (M, K) of these specimens; all rows of a specimen have the same."""
        first = dict(zip(self.specimens[::-1], range(len(self.specimens) - 1, -1, -1), strict=True))
        return self.targets[[first[specimen] for specimen in specimens]]

    def image_set(self, modality: Modality, rows: NDArray[np.int64]) -> ImageSet:
        """Images and targets of these rows."""
        return self.images.subset(modality, rows, self.targets[rows])


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A trained network with its operating point and its logits on tuning and test rows."""

    network: SpecimenNet
    threshold: Threshold
    metrics: Metrics
    logits: pd.DataFrame
    """One row a specimen: specimen_id, patient_id, split, logit_0..K-1 (mean over the specimen's images)."""
    weights: str
    notes: Notes


def ordinal_targets(levels: NDArray[np.float64], n_outputs: int) -> NDArray[np.float64]:
    """Cumulative targets (N, K): output k is 1 where the level is above k; NaN stays NaN. K = 1: the label itself."""
    out = (levels[:, None] > np.arange(n_outputs)[None, :]).astype(np.float64)
    out[np.isnan(levels)] = np.nan
    return out


def fit_model(
    task: Task,
    modality: Modality,
    data: FoldData,
    settings: TrainSettings,
    frozen: FrozenFeatures,
    *,
    log_dir: Path,
    parts: dict[Modality, SpecimenNet] | None = None,
    resume: bool = False,
    progress: bool = True,
) -> FittedModel:
    """Train by the chosen strategy and lock the operating point.

    `frozen` holds the pretrained backbone with its features of all rows; `parts` the FL and WL networks of the same
    task and fold, from which fusion starts.
    """
    torch.manual_seed(settings.seed)
    notes: Notes = {}
    if settings.strategy == "probe":
        network = probed(task, modality, data, settings, frozen, notes)
    else:
        network = initial_network(task, modality, data, settings, frozen, parts, notes)
        network = finetuned(network, modality, data, settings, log_dir, resume=resume, progress=progress)
    if modality is Modality.FUSION and parts is not None:
        average = late_average(parts[Modality.FL], parts[Modality.WL])
        network = _better_fusion(average, network, data, notes)
    logits = score_specimens(network, data, modality)
    tuning = _tuning(logits, data)
    threshold = lock_threshold(task, tuning.targets, tuning.logits)
    return FittedModel(network, threshold, tuning.metrics(), logits, frozen.origin, notes)


def probed(
    task: Task, modality: Modality, data: FoldData, settings: TrainSettings, frozen: FrozenFeatures, notes: Notes
) -> SpecimenNet:
    """The pretrained backbone with a logistic regression on its features of the training rows as head."""
    network = SpecimenNet(modality, frozen.backbones(modality), task.n_outputs, settings.finetune.dropout)
    rows = data.rows(modality, "train")
    features = frozen.of(data.images, modality)[rows]
    network, notes["inverse_l2"] = fit_probe(network, features, data.targets[rows], data.patients[rows], settings.probe)
    return network


def initial_network(
    task: Task,
    modality: Modality,
    data: FoldData,
    settings: TrainSettings,
    frozen: FrozenFeatures,
    parts: dict[Modality, SpecimenNet] | None,
    notes: Notes,
) -> SpecimenNet:
    """The network that fine-tuning starts from; fusion starts from the mean of its trained parts."""
    if modality is Modality.FUSION:
        if parts is None:
            raise ValueError("fusion starts from the trained FL and WL networks of the same task")
        return late_average(parts[Modality.FL], parts[Modality.WL])
    if settings.finetune.start == "probe":
        return probed(task, modality, data, settings, frozen, notes)
    return SpecimenNet(modality, frozen.backbones(modality), task.n_outputs, settings.finetune.dropout)


def finetuned(
    network: SpecimenNet,
    modality: Modality,
    data: FoldData,
    settings: TrainSettings,
    log_dir: Path,
    *,
    resume: bool,
    progress: bool,
) -> SpecimenNet:
    """`network` trained as a whole on the training rows."""
    tune_rows = data.rows(modality, "tune")
    start = copy.deepcopy(network)
    tuned = finetune(
        network,
        data.image_set(modality, data.rows(modality, "train")),
        data.image_set(modality, tune_rows) if len(tune_rows) else None,
        augments={"fl": settings.fl_augment, "wl": settings.wl_augment},
        settings=settings.finetune,
        seed=settings.seed,
        log_dir=log_dir,
        resume=resume,
        precision=settings.precision,
        progress=progress,
    )
    return blend(tuned, start, settings.finetune.blend_with_start)


@torch.no_grad()
def blend(network: SpecimenNet, start: SpecimenNet, share: float) -> SpecimenNet:
    """Move the weights of `network` towards those of `start`: (1 - share) of its own, share of the start's."""
    begun = start.state_dict()
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(begun[name], share)
    return network


def _better_fusion(average: SpecimenNet, joint: SpecimenNet, data: FoldData, notes: Notes) -> SpecimenNet:
    """Late averaging or joint training: the better AUC on tuning patients (ties and no tuning AUC: late averaging)."""
    scores = {}
    for name, network in (("late average", average), ("joint", joint)):
        logits = score_specimens(network, data, Modality.FUSION, roles=("tune",))
        scores[name] = _tuning(logits, data).auc()
        notes[f"fusion_tune_auc_{name.replace(' ', '_')}"] = scores[name]
    better = (scores["joint"] or 0.0) > (scores["late average"] or 0.0)
    notes["fusion"] = "joint" if better else "late average"
    return joint if better else average


def score_specimens(
    network: SpecimenNet, data: FoldData, modality: Modality, roles: tuple[str, ...] = ("tune", "test")
) -> pd.DataFrame:
    """Mean logit per specimen, labelled or not, for the patients with these roles."""
    rows = np.concatenate([data.rows(modality, role, labelled=False) for role in roles])
    n_outputs = network.head.out_features
    columns = [f"logit_{k}" for k in range(n_outputs)]
    if len(rows) == 0:
        return pd.DataFrame(columns=["specimen_id", "patient_id", "split", *columns])
    return specimen_logits(data, rows, predict_logits(network, data.image_set(modality, rows)))


def specimen_logits(data: FoldData, rows: NDArray[np.int64], logits: NDArray[np.float64]) -> pd.DataFrame:
    """Mean of the logits (len(rows), K) over each specimen's rows: specimen_id, patient_id, split, logit_0..K-1."""
    columns = [f"logit_{k}" for k in range(logits.shape[1])]
    table = pd.DataFrame(logits, columns=columns)
    table.insert(0, "split", data.roles[rows])
    table.insert(0, "patient_id", data.patients[rows])
    table.insert(0, "specimen_id", data.specimens[rows])
    keys = ["specimen_id", "patient_id", "split"]
    return table.groupby(keys, sort=False, as_index=False)[columns].mean()


@dataclass(frozen=True, slots=True)
class _Labelled:
    """Specimens whose label is known: targets (M, K), logits (M, K), patients (M,)."""

    targets: NDArray[np.float64]
    logits: NDArray[np.float64]
    patients: NDArray[np.object_]

    def auc(self) -> float | None:
        """AUC, averaged over the outputs that have both classes; None where none has."""
        both = [k for k in range(self.targets.shape[1]) if 0 < self.targets[:, k].sum() < len(self.targets)]
        return float(np.mean([auc(self.targets[:, k], self.logits[:, k]) for k in both])) if both else None

    def metrics(self) -> Metrics:
        return Metrics(
            tune_auc=self.auc(), tune_specimens=len(self.targets), tune_patients=len(np.unique(self.patients))
        )


def _tuning(logits: pd.DataFrame, data: FoldData) -> _Labelled:
    part = logits[logits["split"] == "tune"]
    targets = data.targets_of(part["specimen_id"])
    keep = ~np.isnan(targets).any(1)
    scores = part.filter(like="logit_").to_numpy(np.float64)
    return _Labelled(targets[keep], scores[keep], part["patient_id"].to_numpy(object)[keep])


def lock_threshold(task: Task, targets: NDArray[np.float64], logits: NDArray[np.float64]) -> Threshold:
    """Threshold on the raw logit, chosen on tuning patients.

    `tumor`: the highest specificity with sensitivity of at least 0.90; other binary tasks: the ROC point nearest
    (0, 1); both as in the paper. Ordinal tasks decide by the most probable level: 0 on every cumulative logit.

    Parameters
    ----------
    targets, logits : (M, K) of tuning specimens with a known label.
    """
    if task.ordinal:
        return Threshold(logit=(0.0,) * task.n_outputs, rule="most probable level", chosen_on="fixed")
    y = targets[:, 0]
    if not 0 < y.sum() < len(y):
        missing = task.positive_name if y.sum() == 0 else task.negative_name
        return Threshold(logit=(0.0,), rule="fixed", chosen_on=f"no {missing} among the tuning patients")
    rule = default_rule(task.name)
    point = operating_point(y, logits[:, 0], rule)
    return Threshold(logit=(float(point.threshold),), rule=rule, chosen_on="tune")

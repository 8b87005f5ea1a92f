"""Logits of patients whom the scoring network had not seen, of all that are not tested: what calibration is fitted on.

The networks of these folds are trained like the model itself, on other patients, and thrown away. The model is taken
to behave towards new patients as they do towards those left out.
"""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from sklearn.model_selection import StratifiedGroupKFold

from glioscope.core import Modality, Task, atomic_file

from ._finetune import predict_logits
from ._fit import FoldData, Notes, finetuned, initial_network, specimen_logits
from ._network import SpecimenNet, late_average
from ._probe import FrozenFeatures, fit_head
from ._settings import TrainSettings

HELD = "held"
"""Role of the patients that a fold leaves out."""


def calibration_folds(data: FoldData, n_folds: int, seed: int) -> list[FoldData]:
    """The data of each fold: its patients have the role "held", all others that are not tested train.

    Patients without a label are in no fold. Folds are the same for all modalities, and their classes as even as
    patients allow. Fewer patients than folds: as many folds as patients; fewer than two: none.
    """
    known = np.isin(data.roles, ("train", "tune")) & ~np.isnan(data.targets).any(1)
    rows = np.flatnonzero(known)
    level = data.targets[rows].sum(1).astype(np.int64)
    patients = data.patients[rows]
    # No more folds than specimens of the commonest class, which the stratified folds of scikit-learn insist on.
    n = min(n_folds, len(np.unique(patients)), int(np.bincount(level).max(initial=0)))
    if n < 2:
        return []
    spread = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class with fewer specimens than folds: as even as it can be
        held = [set(patients[test]) for _, test in spread.split(level, level, patients)]
    roles = np.where(np.isin(data.roles, ("train", "tune")), "train", "unused").astype(object)
    return [
        replace(data, roles=np.where([p in some for p in data.patients], HELD, roles).astype(object)) for some in held
    ]


def out_of_fold_logits(
    task: Task,
    modality: Modality,
    data: FoldData,
    settings: TrainSettings,
    frozen: FrozenFeatures,
    choices: dict[Modality, Notes],
    *,
    logs: Path,
    resume: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Logits of the labelled specimens of training and tuning patients, each from a network that left the patient out.

    The strength of a probe and the kind of fusion are those that were chosen for the model itself, on all its
    patients: so each fold costs one fit instead of a search, for two choices that see the patients left out.

    Parameters
    ----------
    choices : modality -> what was chosen for its model of this task and fold.
    logs : folder of the logs; fine-tuned networks of the folds are kept in `TASK-MODALITY/calibration`.

    Returns
    -------
    specimen_id, patient_id, split, logit_0..K-1 (mean over the specimen's images), one row a specimen. A fold whose
    training images lack a class is left out, with its specimens.
    """
    tables = []
    for number, fold in enumerate(calibration_folds(data, settings.n_calibration_folds, settings.seed)):
        rows = fold.rows(modality, HELD)
        if len(rows) == 0 or not _learnable(fold, modality):
            continue
        if settings.strategy == "probe":
            logits = _probe_logits(modality, fold, rows, frozen, choices)
        else:
            training = _FoldTraining(task, fold, settings, frozen, choices, logs, number, progress)
            logits = predict_logits(training.network(modality, again=not resume), fold.image_set(modality, rows))
        tables.append(specimen_logits(data, rows, logits))
    columns = ["specimen_id", "patient_id", "split", *(f"logit_{k}" for k in range(task.n_outputs))]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _learnable(fold: FoldData, modality: Modality) -> bool:
    """Whether the training rows (for averaged fusion, of either part) have both classes of every output."""
    return all(
        0 < fold.targets[rows, k].sum() < len(rows)
        for part in {modality, *(Modality(name) for name in modality.inputs)}
        for rows in [fold.rows(part, "train")]
        for k in range(fold.targets.shape[1])
    )


def _probe_logits(
    modality: Modality,
    fold: FoldData,
    rows: NDArray[np.int64],
    frozen: FrozenFeatures,
    choices: dict[Modality, Notes],
) -> NDArray[np.float64]:
    if choices[modality].get("fusion") == "late average":
        parts = [_probe_logits(part, fold, rows, frozen, choices) for part in (Modality.FL, Modality.WL)]
        return np.asarray(np.mean(parts, axis=0), np.float64)
    features, train = frozen.of(fold.images, modality), fold.rows(modality, "train")
    weight, bias = fit_head(features[train], fold.targets[train], _strength(choices[modality]))
    logits: NDArray[np.float64] = features[rows].astype(np.float64) @ weight.T + bias
    return logits


def _strength(notes: Notes) -> float:
    """C of the model's own probe."""
    return float(notes["inverse_l2"] or 0.0)


@dataclass(frozen=True, slots=True)
class _FoldTraining:
    """Fine-tuning of one fold's networks, each kept on disk for the fusion that starts from it."""

    task: Task
    fold: FoldData
    settings: TrainSettings
    frozen: FrozenFeatures
    choices: dict[Modality, Notes]
    logs: Path
    number: int
    progress: bool

    def network(self, modality: Modality, *, again: bool = False) -> SpecimenNet:
        """The network of a modality; trained if it was not yet, or `again`. An interrupted one goes on."""
        parts = {m: self.network(m) for m in (Modality.FL, Modality.WL)} if modality is Modality.FUSION else None
        if parts is not None and self.choices[modality].get("fusion") == "late average":
            return late_average(parts[Modality.FL], parts[Modality.WL])
        folder = self.logs / f"{self.task.name}-{modality.value}" / "calibration" / f"fold-{self.number}"
        kept = folder / "network.safetensors"
        if kept.is_file() and not again:
            return self._load(modality, kept)
        torch.manual_seed(self.settings.seed)
        settings = self._settings_of(modality)
        network = initial_network(self.task, modality, self.fold, settings, self.frozen, parts, {})
        network = finetuned(network, modality, self.fold, settings, folder, resume=not again, progress=self.progress)
        with atomic_file(kept) as temporary:
            temporary.write_bytes(save({k: v.contiguous() for k, v in network.state_dict().items()}))
        # It holds the optimiser as well and is three times as large.
        (folder / "epoch.ckpt").unlink(missing_ok=True)
        return network

    def _load(self, modality: Modality, path: Path) -> SpecimenNet:
        backbones = self.frozen.backbones(modality)
        network = SpecimenNet(modality, backbones, self.task.n_outputs, self.settings.finetune.dropout)
        network.load_state_dict(load_file(path))
        return network.eval()

    def _settings_of(self, modality: Modality) -> TrainSettings:
        """The settings, with the strength of the model's own probe where training starts from one."""
        chosen = self.choices[modality]
        if "inverse_l2" not in chosen:
            return self.settings
        probe = self.settings.probe.model_copy(update={"inverse_l2": (_strength(chosen),)})
        return self.settings.model_copy(update={"probe": probe})

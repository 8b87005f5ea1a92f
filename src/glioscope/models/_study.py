"""Train a study: every task and modality of every fold, to a suite, predictions and metrics that can be resumed."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel

from glioscope.cohort import Cohort, Split, labels, present_levels, sources, write_predictions, write_split
from glioscope.core import (
    BundleInfo,
    FLPlan,
    InputError,
    Modality,
    Provenance,
    Task,
    atomic_file,
    write_text,
)
from glioscope.stats import LEVEL_PROBABILITY, evaluate_predictions, level_probabilities

from ._card import model_card
from ._export import OPSET, PARITY_IMAGES, export_bundle, library_versions, write_suite
from ._finetune import resolved_precision
from ._fit import FittedModel, FoldData, Notes, fit_model, ordinal_targets
from ._images import PreparedImages, prepare_images, resolve_white
from ._network import SpecimenNet
from ._probe import FrozenFeatures
from ._resume import claim, read_finished, write_finished
from ._settings import TrainSettings

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What a training run left behind."""

    out: Path
    suites: dict[int, Path]
    """Fold -> suite folder."""
    predictions: pd.DataFrame
    """Contract 3, tuning and test specimens."""
    metrics: dict[str, Any]
    """Contents of `metrics.json`: test specimens, strict protocol."""


def train_study(
    cohort: Cohort,
    tasks: Sequence[Task],
    modalities: Sequence[Modality],
    split: Split,
    settings: TrainSettings,
    out: Path,
    *,
    resume: bool = False,
    report: Report = print,
    progress: bool = True,
    prepare_progress: Callable[[int, int], None] | None = None,
) -> StudyResult:
    """Train all models of a split and write `out`: suites, `predictions.csv`, `split.csv`, `preparation.csv`, logs.

    With one fold the suite is `out/suite`; with several, `out/fold-K/suite` (as is `preparation.csv`). `resume` never
    trains a finished model again unless its files were changed; an unfinished one goes on from its last epoch.
    `prepare_progress` is called with the number of image sets prepared and their total.

    Raises
    ------
    InputError : `out` holds a run already (without `resume`), or one with other settings, or the cohort lacks an
        image that a modality needs.
    """
    # Whatever can be refused is refused before anything is written.
    run = _Run(cohort, settings, out, f"{split.scheme}, seed {split.seed}", resume, report, progress, prepare_progress)
    tasks = [run.learnable(task, split, modalities) for task in tasks]
    run.check_classes(split, tasks, modalities)
    claim(out, cohort, tasks, modalities, split, settings, resume=resume)
    write_split(split, out / "split.csv")
    folds = split.folds
    suites, tables = {}, []
    for fold in folds:
        folder = out if len(folds) == 1 else out / f"fold-{fold}"
        tables.append(run.fold(fold, split.roles(fold), tasks, modalities, folder))
        suites[fold] = folder / "suite"
    predictions = pd.concat(tables, ignore_index=True)
    write_predictions(out / "predictions.csv", predictions)
    levels = {task.name: task.levels for task in tasks if task.ordinal}
    metrics = {"data_kind": cohort.data_kind, **evaluate_predictions(predictions, levels)}
    write_text(out / "metrics.json", json.dumps(metrics, indent=1))
    return StudyResult(out, suites, predictions, metrics)


@dataclass
class _Run:
    """State that the folds of one run share: prepared images by plan."""

    cohort: Cohort
    settings: TrainSettings
    out: Path
    split_name: str
    resume: bool
    report: Report
    progress: bool
    prepare_progress: Callable[[int, int], None] | None

    def __post_init__(self) -> None:
        self._sources = sources(self.cohort)
        self._prepared: dict[str, PreparedImages] = {}
        self._frozen = FrozenFeatures(self.settings.backbone, self.settings.weights)
        self.report(f"{self.settings.backbone}: {self._frozen.origin}")
        table = self.cohort.table
        self._specimens = table["specimen_id"].to_numpy(object)
        self._patients = table["patient_id"].to_numpy(object)

    def learnable(self, task: Task, split: Split, modalities: Sequence[Modality]) -> Task:
        """The task with those of its levels that every fold and modality has among its training images."""
        narrowed = task
        for fold in split.folds:
            training = self._training(split, fold)
            for modality in _in_order(modalities):
                narrowed = present_levels(self.cohort, narrowed, self._specimens[training & self._has_images(modality)])
        dropped = [level for level in task.levels if level not in narrowed.levels]
        if dropped:
            self.report(
                f"task {task.name}: not every fold has training images of level {', '.join(dropped)}; "
                "its specimens are left out"
            )
        return narrowed

    def _training(self, split: Split, fold: int) -> NDArray[np.bool_]:
        roles = split.roles(fold)
        return np.array([roles.get(p) == "train" for p in self._patients], bool)

    def _targets(self, task: Task) -> NDArray[np.float64]:
        """Cumulative targets (N, K) of all rows of the cohort, NaN where masked."""
        return ordinal_targets(labels(self.cohort, task).loc[self._specimens].to_numpy(float), task.n_outputs)

    def check_classes(self, split: Split, tasks: Sequence[Task], modalities: Sequence[Modality]) -> None:
        """Refuse a task that would have one class only among the training images of a fold and modality."""
        for task in tasks:
            targets = self._targets(task)
            for fold in split.folds:
                training = self._training(split, fold)
                for modality in _in_order(modalities):
                    usable = training & self._has_images(modality) & ~np.isnan(targets).any(1)
                    self._require_both_classes(task, modality, fold, targets[usable])

    def _has_images(self, modality: Modality) -> NDArray[np.bool_]:
        columns = [f"{name}_image" for name in modality.inputs]
        return (self.cohort.table[columns] != "").all(axis=1).to_numpy(bool)

    def _require_both_classes(self, task: Task, modality: Modality, fold: int, targets: NDArray[np.float64]) -> None:
        for k in range(targets.shape[1]):
            if not 0 < targets[:, k].sum() < len(targets):
                names = task.class_names
                raise InputError(
                    f"{self.cohort.path}: task {task.name}: the {len(targets)} training image sets of fold {fold} with "
                    f"{modality.value} images are all on one side of {names[k]} / {names[k + 1]}; both are needed"
                )

    def fold(
        self, fold: int, roles: Mapping[str, str], tasks: Sequence[Task], modalities: Sequence[Modality], folder: Path
    ) -> pd.DataFrame:
        """Train, export and score one fold; returns its predictions."""
        row_roles = np.array([str(roles.get(p, "unused")) for p in self._patients], object)
        images, fl_plan = self._images(modalities, row_roles)
        bundles, tables = {}, []
        for task in tasks:
            data = FoldData(images, self._specimens, self._patients, row_roles, self._targets(task))
            parts: dict[Modality, SpecimenNet] = {}
            for modality in _in_order(modalities):
                info, table = self._model(task, modality, fold, data, parts, fl_plan, folder)
                bundles[info.name] = info
                tables.append(table)
        self._write_preparation(folder / "preparation.csv", images)
        write_suite(folder / "suite", bundles, self.cohort.data_kind)
        return pd.concat(tables, ignore_index=True)

    def _images(self, modalities: Sequence[Modality], roles: NDArray[np.object_]) -> tuple[PreparedImages, FLPlan]:
        inputs = {name for modality in modalities for name in modality.inputs}
        training = [s for s, role in zip(self._sources, roles, strict=True) if role == "train"]
        fl_plan = resolve_white(self.settings.fl_plan, training) if "fl" in inputs else self.settings.fl_plan
        key = fl_plan.model_dump_json()
        if key not in self._prepared:
            self.report(f"preparing {len(self._sources)} image sets")
            self._prepared = {
                key: prepare_images(
                    self._sources,
                    fl_plan=fl_plan if "fl" in inputs else None,
                    wl_plan=self.settings.wl_plan if "wl" in inputs else None,
                    progress=self.prepare_progress,
                )
            }
        return self._prepared[key], fl_plan

    def _write_preparation(self, path: Path, images: PreparedImages) -> None:
        """What the plans measured and decided on each image of the manifest, one row an image."""
        table = pd.DataFrame(images.decisions())
        rows = table.pop("image_set").to_numpy(int)
        table.insert(0, "row", self.cohort.table["row"].to_numpy(int)[rows])
        table.insert(0, "specimen_id", self._specimens[rows])
        with atomic_file(path) as temporary:
            table.to_csv(temporary, index=False)

    def _model(
        self,
        task: Task,
        modality: Modality,
        fold: int,
        data: FoldData,
        parts: dict[Modality, SpecimenNet],
        fl_plan: FLPlan,
        folder: Path,
    ) -> tuple[BundleInfo, pd.DataFrame]:
        name = f"{task.name}-{modality.value}"
        bundle, part = folder / "suite" / name, folder / "parts" / f"{name}.csv"
        done = read_finished(part, bundle) if self.resume else None
        if isinstance(done, str):
            self.report(f"fold {fold} {name}: {done}; trained again")
        elif done is not None:
            self.report(f"fold {fold} {name}: done before")
            parts[modality] = load_network(bundle, done[0], self.settings.finetune.dropout)
            return done
        fitted = fit_model(
            task,
            modality,
            data,
            self.settings,
            self._frozen,
            log_dir=folder / "logs" / name,
            parts=parts or None,
            resume=self.resume,
            progress=self.progress,
        )
        parts[modality] = fitted.network
        info = self._info(name, task, modality, fold, data, fitted, fl_plan)
        train_rows = data.rows(modality, "train")
        export_bundle(
            bundle, fitted.network, info, model_card(info), data.image_set(modality, train_rows[:PARITY_IMAGES])
        )
        table = _predictions(info, fitted, data, fold)
        write_finished(part, bundle, table)
        tune_auc = "none" if info.metrics.tune_auc is None else f"{info.metrics.tune_auc:.3f}"
        self.report(f"fold {fold} {name}: AUC on tuning patients {tune_auc}")
        return info, table

    def _info(
        self,
        name: str,
        task: Task,
        modality: Modality,
        fold: int,
        data: FoldData,
        fitted: FittedModel,
        fl_plan: FLPlan,
    ) -> BundleInfo:
        settings = self.settings
        targets = data.targets[data.rows(modality, "train")]
        level = targets.sum(1).astype(int)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        counts = {c: int((level == k).sum()) for k, c in enumerate(task.class_names)}
        return BundleInfo(
            name=name,
            task=task,
            modality=modality,
            backbone=settings.backbone,
            fl_plan=fl_plan if "fl" in modality.inputs else None,
            wl_plan=settings.wl_plan if "wl" in modality.inputs else None,
            threshold=fitted.threshold,
            metrics=fitted.metrics,
            provenance=Provenance(
                data_kind=self.cohort.data_kind,
                manifest_sha256=self.cohort.sha256,
                train_patients=_patients_with(data, "train"),
                tune_patients=_patients_with(data, "tune"),
                fold=fold,
                split=self.split_name,
                seed=settings.seed,
                strategy=settings.strategy,
                weights=fitted.weights,
                class_counts=counts,
                settings={**_choices(settings, modality), **fitted.notes, "created": created},
                versions=library_versions(),
            ),
            n_features=fitted.network.head.in_features,
            opset=OPSET,
        )


def _choices(settings: TrainSettings, modality: Modality) -> Notes:
    """What was chosen for this model: probing knows neither augmentation nor mixed precision."""
    if settings.strategy == "probe":
        return _flat(settings.probe)
    augments = {"fl": settings.fl_augment, "wl": settings.wl_augment}
    chosen = {**_flat(settings.finetune), "precision": resolved_precision(settings.precision)}
    for name in modality.inputs:
        chosen |= {f"{name}_augment.{key}": value for key, value in _flat(augments[name]).items()}
    return chosen


def _flat(settings: BaseModel) -> Notes:
    return {k: v if isinstance(v, str | int | float) else str(v) for k, v in settings.model_dump().items()}


def _in_order(modalities: Sequence[Modality]) -> list[Modality]:
    """FL, WL, then fusion, which starts from the two."""
    wanted = set(modalities) | ({Modality.FL, Modality.WL} if Modality.FUSION in modalities else set())
    return [m for m in Modality if m in wanted]


def _patients_with(data: FoldData, role: str) -> tuple[str, ...]:
    return tuple(sorted(set(data.patients[data.roles == role])))


def _predictions(info: BundleInfo, fitted: FittedModel, data: FoldData, fold: int) -> pd.DataFrame:
    """Contract 3 for one model: `y_score` is the sigmoid of the logit (ordinal: mean over the cumulative ones).

    An ordinal task has no positive decision: `level` is the one that theatre answers, the most probable.
    """
    table = fitted.logits
    logits = table.filter(like="logit_").to_numpy(float)
    targets = data.targets_of(table["specimen_id"])
    y_true = pd.array(np.where(np.isnan(targets).any(1), np.nan, targets.sum(1)), dtype="Float64").astype("Int64")
    probability = 1 / (1 + np.exp(-logits))
    levels = level_probabilities(probability) if info.task.ordinal else np.empty((len(table), 0))
    if info.task.ordinal:
        decision = np.full(len(table), "", object)
        level = pd.array(levels.argmax(1), dtype="Int64")
    else:
        decision = np.where(logits[:, 0] >= info.threshold.logit[0], "positive", "negative")
        level = pd.array([pd.NA] * len(table), dtype="Int64")
    return pd.DataFrame(
        {
            "patient_id": table["patient_id"],
            "specimen_id": table["specimen_id"],
            "task": info.task.name,
            "model": f"{info.modality.value}-{info.provenance.strategy}",
            "split": table["split"],
            "fold": fold,
            "y_true": y_true,
            "y_score": probability.mean(1),
            "decision": decision,
            "level": level,
            **{f"{LEVEL_PROBABILITY}{k}": column for k, column in enumerate(levels.T)},
        }
    )


def load_network(bundle: Path, info: BundleInfo, dropout: float = 0.5) -> SpecimenNet:
    """The torch network of a bundle, from `model.safetensors`, in evaluation mode; `dropout` matters to training on."""
    from safetensors.torch import load_file

    from ._weights import create_backbone

    backbones = [create_backbone(info.backbone, "none")[0] for _ in info.modality.inputs]
    network = SpecimenNet(info.modality, backbones, info.task.n_outputs, dropout)
    network.load_state_dict(load_file(bundle / "model.safetensors"))
    return network.eval()

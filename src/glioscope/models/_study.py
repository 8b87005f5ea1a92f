"""Train a study: every task and modality of every fold, to a suite, predictions and metrics that can be resumed."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glioscope.cohort import Cohort, Split, labels, present_levels, sources, write_predictions, write_split
from glioscope.core import BundleInfo, FLPlan, InputError, Modality, Task, atomic_file, write_text
from glioscope.stats import evaluate_predictions, promise_refusal

from ._card import model_card
from ._certainty import fit_certainty
from ._crossfit import out_of_fold_logits
from ._export import PARITY_IMAGES, export_bundle, write_suite
from ._fit import FittedModel, FoldData, Notes, fit_model, ordinal_targets
from ._images import PreparedImages, prepare_images, resolve_white
from ._network import SpecimenNet
from ._predictions import predictions_table
from ._probe import FrozenFeatures
from ._record import bundle_info, provenance
from ._resume import claim, read_finished, write_finished
from ._settings import TrainSettings
from ._survey import describe_training

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
        image that a modality needs, or patients for the `miscoverage` that was asked for.
    """
    # Whatever can be refused is refused before anything is written.
    run = _Run(cohort, settings, out, f"{split.scheme}, seed {split.seed}", resume, report, progress, prepare_progress)
    tasks = [run.learnable(task, split, modalities) for task in tasks]
    run.check_classes(split, tasks, modalities)
    run.check_promises(split, tasks, modalities)
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
        return self._with_roles(split, fold, "train")

    def _with_roles(self, split: Split, fold: int, *wanted: str) -> NDArray[np.bool_]:
        roles = split.roles(fold)
        return np.array([roles.get(p) in wanted for p in self._patients], bool)

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

    def check_promises(self, split: Split, tasks: Sequence[Task], modalities: Sequence[Modality]) -> None:
        """Say which class has too few patients for an abstention band; refuse the run if one was asked for.

        Raises
        ------
        InputError : `miscoverage` is given, and a class of a task, or the lack of calibration folds, rules it out.
        """
        asked, miscoverage = self.settings.miscoverage is not None, self.settings.promised_miscoverage
        if self.settings.n_calibration_folds == 0:
            if asked:
                raise InputError(f"miscoverage {miscoverage:g} needs at least 2 calibration folds; there are 0")
            return
        for task in tasks:
            if task.ordinal:
                continue
            for name, n_patients in self._fewest(split, task, modalities).items():
                refusal = promise_refusal(name, n_patients, miscoverage)
                if refusal and asked:
                    raise InputError(f"{self.cohort.path}: task {task.name}: {refusal}")
                if refusal:
                    self.report(f"task {task.name}: {refusal}; its answers come without")

    def _fewest(self, split: Split, task: Task, modalities: Sequence[Modality]) -> dict[str, int]:
        """Class -> training and tuning patients with it, in the fold and modality that has fewest."""
        targets = self._targets(task)[:, 0]
        counts = [
            [len(set(self._patients[usable & (targets == level)])) for level in (0, 1)]
            for fold in split.folds
            for modality in _in_order(modalities)
            for usable in [self._with_roles(split, fold, "train", "tune") & self._has_images(modality)]
        ]
        return dict(zip(task.class_names, np.min(counts, axis=0).tolist(), strict=True))

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
            choices: dict[Modality, Notes] = {}
            for modality in _in_order(modalities):
                info, table = self._model(task, modality, fold, data, parts, choices, fl_plan, folder)
                choices[modality] = info.provenance.settings
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
        choices: dict[Modality, Notes],
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
        info, vectors = self._described(name, task, modality, fold, data, fitted, choices, fl_plan, folder / "logs")
        shown = data.image_set(modality, data.rows(modality, "train")[:PARITY_IMAGES])
        export_bundle(bundle, fitted.network, info, model_card(info), shown, vectors)
        table = predictions_table(info, fitted, data, fold)
        write_finished(part, bundle, table)
        self.report(f"fold {fold} {name}: {_outcome(info)}")
        return info, table

    def _described(
        self,
        name: str,
        task: Task,
        modality: Modality,
        fold: int,
        data: FoldData,
        fitted: FittedModel,
        choices: dict[Modality, Notes],
        fl_plan: FLPlan,
        logs: Path,
    ) -> tuple[BundleInfo, NDArray[np.float32] | None]:
        """What the bundle says of a fitted model, and the vectors of its envelope."""
        settings = self.settings
        logits = out_of_fold_logits(
            task,
            modality,
            data,
            settings,
            self._frozen,
            {**choices, modality: fitted.notes},
            logs=logs,
            resume=self.resume,
            progress=self.progress,
        )
        certainty = fit_certainty(task, logits, data, fitted.threshold, settings.promised_miscoverage)
        frozen = self._frozen if settings.strategy == "probe" else None
        trained_on = describe_training(fitted.network, modality, data, frozen, settings.seed)
        source = provenance(self.cohort, task, modality, data, fitted, settings, fold, self.split_name)
        info = bundle_info(name, task, modality, fitted, certainty, trained_on, source, settings, fl_plan)
        return info, trained_on.vectors


def _outcome(info: BundleInfo) -> str:
    """One line on a finished model."""
    auc = "none" if info.metrics.tune_auc is None else f"{info.metrics.tune_auc:.3f}"
    line = f"AUC on tuning patients {auc}"
    if info.abstention is None:
        return line if info.calibration else line + "; no calibration"
    return f"{line}; answers {info.abstention.coverage:.0%} of the specimens of patients left out"


def _in_order(modalities: Sequence[Modality]) -> list[Modality]:
    """FL, WL, then fusion, which starts from the two."""
    wanted = set(modalities) | ({Modality.FL, Modality.WL} if Modality.FUSION in modalities else set())
    return [m for m in Modality if m in wanted]


def load_network(bundle: Path, info: BundleInfo, dropout: float = 0.5) -> SpecimenNet:
    """The torch network of a bundle, from `model.safetensors`, in evaluation mode; `dropout` matters to training on."""
    from safetensors.torch import load_file

    from ._weights import create_backbone

    backbones = [create_backbone(info.backbone, "none")[0] for _ in info.modality.inputs]
    network = SpecimenNet(info.modality, backbones, info.task.n_outputs, dropout)
    network.load_state_dict(load_file(bundle / "model.safetensors"))
    return network.eval()

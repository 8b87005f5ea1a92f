"""What a bundle says of itself: `BundleInfo` of a fitted model, from its settings, patients and images."""

from datetime import UTC, datetime

from pydantic import BaseModel

from glioscope.cohort import Cohort
from glioscope.core import BundleInfo, FLPlan, Modality, Provenance, Task

from ._certainty import Certainty
from ._export import OPSET, library_versions
from ._finetune import resolved_precision
from ._fit import FittedModel, FoldData, Notes
from ._settings import TrainSettings
from ._survey import TrainedOn


def bundle_info(
    name: str,
    task: Task,
    modality: Modality,
    fitted: FittedModel,
    certainty: Certainty,
    trained_on: TrainedOn,
    provenance: Provenance,
    settings: TrainSettings,
    fl_plan: FLPlan,
) -> BundleInfo:
    """The record of a bundle; `fl_plan` is the one with the white level that fits these training images."""
    return BundleInfo(
        name=name,
        task=task,
        modality=modality,
        backbone=settings.backbone,
        fl_plan=fl_plan if "fl" in modality.inputs else None,
        wl_plan=settings.wl_plan if "wl" in modality.inputs else None,
        threshold=fitted.threshold,
        calibration=certainty.calibration,
        abstention=certainty.abstention,
        envelope=trained_on.envelope,
        quality=trained_on.quality,
        conditions=trained_on.conditions,
        cam_range=trained_on.cam_range,
        metrics=fitted.metrics,
        provenance=provenance,
        n_features=fitted.network.head.in_features,
        opset=OPSET,
    )


def provenance(
    cohort: Cohort,
    task: Task,
    modality: Modality,
    data: FoldData,
    fitted: FittedModel,
    settings: TrainSettings,
    fold: int,
    split_name: str,
) -> Provenance:
    """Where a model comes from: its manifest, patients, choices and library versions."""
    level = data.targets[data.rows(modality, "train")].sum(1).astype(int)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    folds = settings.n_calibration_folds
    return Provenance(
        data_kind=cohort.data_kind,
        manifest_sha256=cohort.sha256,
        train_patients=_patients_with(data, "train"),
        tune_patients=_patients_with(data, "tune"),
        fold=fold,
        split=split_name,
        seed=settings.seed,
        strategy=settings.strategy,
        weights=fitted.weights,
        class_counts={c: int((level == k).sum()) for k, c in enumerate(task.class_names)},
        settings={**_choices(settings, modality), **fitted.notes, "calibration_folds": folds, "created": created},
        versions=library_versions(),
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


def _patients_with(data: FoldData, role: str) -> tuple[str, ...]:
    return tuple(sorted(set(data.patients[data.roles == role])))

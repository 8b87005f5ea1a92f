"""Tasks to trained, locked bundles: backbones, augmentation, probing and fine-tuning, export. Needs torch.

In: a `Cohort` with its split, tasks, modalities and `TrainSettings`. Out: a suite of bundles (contract 4) and a
predictions table (contract 3). Next: `runtime` answers with the suite, `stats` judges the predictions.
"""

from ._augment import FL_AUGMENT, WL_AUGMENT, AugmentSettings, Draws, augment, draw
from ._envelope import fit_envelope
from ._export import export_bundle, library_versions, onnx_difference, probe_images, write_suite
from ._finetune import ImageSet, finetune, predict_logits, warmup_cosine
from ._fit import FittedModel, FoldData, blend, fit_model, lock_threshold, ordinal_targets
from ._images import PreparedImages, prepare_images, resolve_white
from ._loss import class_weights, weighted_bce
from ._network import ExportedNet, SpecimenNet, late_average
from ._probe import FrozenFeatures, fit_probe
from ._settings import FinetuneSettings, ProbeSettings, TrainSettings
from ._study import StudyResult, load_network, train_study
from ._weights import LITE0, create_backbone, lite0_state_dict

__all__ = [
    "FL_AUGMENT",
    "LITE0",
    "WL_AUGMENT",
    "AugmentSettings",
    "Draws",
    "ExportedNet",
    "FinetuneSettings",
    "FittedModel",
    "FoldData",
    "FrozenFeatures",
    "ImageSet",
    "PreparedImages",
    "ProbeSettings",
    "SpecimenNet",
    "StudyResult",
    "TrainSettings",
    "augment",
    "blend",
    "class_weights",
    "create_backbone",
    "draw",
    "export_bundle",
    "finetune",
    "fit_envelope",
    "fit_model",
    "fit_probe",
    "late_average",
    "library_versions",
    "lite0_state_dict",
    "load_network",
    "lock_threshold",
    "onnx_difference",
    "ordinal_targets",
    "predict_logits",
    "prepare_images",
    "probe_images",
    "resolve_white",
    "train_study",
    "warmup_cosine",
    "weighted_bce",
    "write_suite",
]

"""Records, enums, errors and file primitives that every room shares; imports no other room.

In: nothing. Out: the vocabulary of the project: `Task`, `FLPlan` and `WLPlan`, `BundleInfo` and
`SuiteInfo`, `Diagnosis`, the errors, and `atomic_file`. Next room up: `imaging` (pixels) and `stats` (numbers).
"""

from ._bundle import (
    BUNDLE_SCHEMA,
    Abstention,
    BundleInfo,
    Calibration,
    Metrics,
    PatientRisk,
    Promise,
    Provenance,
    SuiteInfo,
    Threshold,
)
from ._envelope import Envelope
from ._errors import BundleError, GlioscopeError, ImageError, InputError, ManifestError, Problem, SplitError
from ._files import atomic_file, atomic_folder, sha256_of, write_text
from ._frame import Frame
from ._plan import Autocontrast, Canvas, Denoise, FLPlan, Normalisation, PlanRecord, WLPlan
from ._quality import QualityLimits
from ._records import Decision, Diagnosis, Modality, Reason, Role, TaskDiagnosis
from ._task import BUILT_IN_TASKS, Task

__all__ = [
    "BUILT_IN_TASKS",
    "BUNDLE_SCHEMA",
    "Abstention",
    "Autocontrast",
    "BundleError",
    "BundleInfo",
    "Calibration",
    "Canvas",
    "Decision",
    "Denoise",
    "Diagnosis",
    "Envelope",
    "FLPlan",
    "Frame",
    "GlioscopeError",
    "ImageError",
    "InputError",
    "ManifestError",
    "Metrics",
    "Modality",
    "Normalisation",
    "PatientRisk",
    "PlanRecord",
    "Problem",
    "Promise",
    "Provenance",
    "QualityLimits",
    "Reason",
    "Role",
    "SplitError",
    "SuiteInfo",
    "Task",
    "TaskDiagnosis",
    "Threshold",
    "WLPlan",
    "atomic_file",
    "atomic_folder",
    "sha256_of",
    "write_text",
]

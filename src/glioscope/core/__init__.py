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
from ._devices import (
    Axis,
    Camera,
    CameraInfo,
    Device,
    DeviceReport,
    DeviceState,
    Distance,
    Exposure,
    FrameSource,
    Handle,
    HandlePosition,
    Laser,
    LaserReport,
    LaserState,
    MotionStage,
    RangeFinder,
)
from ._envelope import Envelope
from ._errors import (
    BundleError,
    DeviceError,
    GlioscopeError,
    ImageError,
    InputError,
    ManifestError,
    Problem,
    SplitError,
)
from ._files import atomic_file, atomic_folder, sha256_of, write_text
from ._frame import Frame
from ._plan import Autocontrast, Canvas, Denoise, FLPlan, Normalisation, PlanRecord, WLPlan
from ._quality import QualityLimits
from ._records import Decision, Diagnosis, Modality, Reason, Role, TaskDiagnosis
from ._sealed import read_sealed, write_sealed
from ._task import BUILT_IN_TASKS, Task
from ._toml import read_toml

__all__ = [
    "BUILT_IN_TASKS",
    "BUNDLE_SCHEMA",
    "Abstention",
    "Autocontrast",
    "Axis",
    "BundleError",
    "BundleInfo",
    "Calibration",
    "Camera",
    "CameraInfo",
    "Canvas",
    "Decision",
    "Denoise",
    "Device",
    "DeviceError",
    "DeviceReport",
    "DeviceState",
    "Diagnosis",
    "Distance",
    "Envelope",
    "Exposure",
    "FLPlan",
    "Frame",
    "FrameSource",
    "GlioscopeError",
    "Handle",
    "HandlePosition",
    "ImageError",
    "InputError",
    "Laser",
    "LaserReport",
    "LaserState",
    "ManifestError",
    "Metrics",
    "Modality",
    "MotionStage",
    "Normalisation",
    "PatientRisk",
    "PlanRecord",
    "Problem",
    "Promise",
    "Provenance",
    "QualityLimits",
    "RangeFinder",
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
    "read_sealed",
    "read_toml",
    "sha256_of",
    "write_sealed",
    "write_text",
]

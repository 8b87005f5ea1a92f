"""What a model bundle and a suite say of themselves (contract 4). Written by `models`, read by `runtime`."""

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ._envelope import Envelope
from ._plan import FLPlan, WLPlan
from ._quality import QualityLimits
from ._records import Modality
from ._task import Task

BUNDLE_SCHEMA = 2


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Threshold(_Record):
    """The locked operating point.

    `logit` has one value per output; a specimen is positive at `logit >= threshold`.
    """

    logit: tuple[float, ...]
    rule: str
    """Name of the rule, for example "sensitivity>=0.90, highest specificity"."""
    chosen_on: str
    """"tune" (tuning patients), or why there were none."""


class Metrics(_Record):
    """AUC on tuning patients (None where a class is missing there) and the numbers it rests on."""

    tune_auc: float | None
    tune_specimens: Annotated[int, Field(ge=0)]
    tune_patients: Annotated[int, Field(ge=0)]


Finite = Annotated[float, Field(allow_inf_nan=False)]


class Calibration(_Record):
    """From a raw logit to a probability with an interval: P = sigmoid(slope * logit + intercept).

    Fitted on logits of specimens whose patient the scoring network had not seen (out of fold). The interval is
    symmetric on the logit of P: `reach` standard errors each way, from the patient-clustered covariance.
    """

    slope: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    intercept: Finite
    covariance: tuple[Finite, Finite, Finite]
    """Variance of the slope, their covariance, variance of the intercept."""
    reach: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Quantile of Student's t with n_patients - 1 degrees of freedom at `confidence_level`, two-sided."""
    confidence_level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    n_patients: Annotated[int, Field(ge=2)]
    n_specimens: Annotated[int, Field(ge=2)]
    method: str = "logistic, patient jackknife"

    def probability(self, logit: float) -> tuple[float, float, float]:
        """Probability of the positive class and its interval: value, low, high."""
        vs, vsi, vi = self.covariance
        centre = self.slope * logit + self.intercept
        error = self.reach * math.sqrt(max(vs * logit * logit + 2 * vsi * logit + vi, 0.0))
        return _sigmoid(centre), _sigmoid(centre - error), _sigmoid(centre + error)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


class Promise(_Record):
    """What is promised to the specimens of one class: how seldom they get the other class's name.

    `miscoverage` bounds the expected share, in a new patient, of this class's specimens that are answered as the
    other class (conformal risk control over patients).
    """

    class_name: str
    miscoverage: Annotated[float, Field(gt=0, lt=1)]
    limit: Finite | None
    """Raw logit beyond which the other class may be named; None where the promise is refused."""
    refused: str = ""
    """Why no promise is made, as a sentence; "" where one is."""
    n_patients: Annotated[int, Field(ge=0)]
    """Patients with specimens of this class."""
    achieved: Annotated[float, Field(ge=0, le=1)] | None
    """The same share on the calibration patients' out-of-fold scores, mean over patients."""
    worst: Annotated[float, Field(ge=0, le=1)] | None
    """...and in the worst patient."""


class PatientRisk(_Record):
    """What the band does to one calibration patient's specimens (out of fold)."""

    n: Annotated[int, Field(ge=0)]
    answered: Annotated[int, Field(ge=0)]
    wrong: Annotated[int, Field(ge=0)]


class Abstention(_Record):
    """The band of raw logits in which the system says "indeterminate": low <= logit < high."""

    target: Literal["class-conditional miscoverage"] = "class-conditional miscoverage"
    low: Finite
    high: Finite
    negative: Promise
    positive: Promise
    coverage: Annotated[float, Field(ge=0, le=1)]
    """Share of the calibration specimens that are answered, mean over patients."""
    by_patient: dict[str, PatientRisk]


class Provenance(_Record):
    """Where the model comes from."""

    data_kind: str
    """"simulated", "real" or "unspecified": printed with every answer that rests on it."""
    manifest_sha256: str
    train_patients: tuple[str, ...]
    tune_patients: tuple[str, ...]
    fold: int | None
    split: str = ""
    """How patients were divided, with the seed of that; blank in bundles of before it was recorded."""
    seed: int
    strategy: Literal["probe", "finetune"]
    weights: str
    """Which pretrained weights, and from where."""
    class_counts: dict[str, int]
    settings: dict[str, str | int | float | bool | None]
    """Batch size, epochs, warm-up, learning rate, augmentation, precision: the choices the paper does not state."""
    versions: dict[str, str]


class BundleInfo(_Record):
    """Contents of `bundle.json`."""

    schema_version: Literal[2] = 2
    name: str
    task: Task
    modality: Modality
    backbone: str
    fl_plan: FLPlan | None
    wl_plan: WLPlan | None
    threshold: Threshold
    calibration: tuple[Calibration, ...] = ()
    """One an output; empty: the bundle has none, and no probability is given."""
    abstention: Abstention | None = None
    """None: the bundle answers every specimen (ordinal tasks, or no out-of-fold scores)."""
    envelope: Envelope | None = None
    quality: QualityLimits = QualityLimits()
    conditions: dict[str, tuple[Finite, Finite]] = {}
    """Column of the manifest (fl_exposure_ms, fl_gain, distance_mm, mm_per_px) -> lowest and highest in training."""
    cam_range: dict[str, tuple[Finite, Finite]] = {}
    """Input -> 1st and 99th percentile of the signed map over training images: the shared scale of heatmaps."""
    metrics: Metrics
    provenance: Provenance
    n_features: int
    opset: int


class SuiteInfo(_Record):
    """Contents of `suite.json`: for each task the bundle that answers, and all that were trained.

    `answers`: task -> bundle folder; best AUC on tuning patients, ties to FL, then to the simpler. Where images are
    missing, only bundles that were scored on as many tuning specimens as any other are compared.
    """

    schema_version: Literal[2] = 2
    data_kind: str
    answers: dict[str, str]
    bundles: tuple[str, ...]
    sha256: dict[str, str]
    """Bundle folder -> SHA-256 of its SHA256SUMS."""

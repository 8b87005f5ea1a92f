"""What a model bundle and a suite say of themselves (contract 4). Written by `models`, read by `runtime`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ._plan import FLPlan, WLPlan
from ._records import Modality
from ._task import Task

BUNDLE_SCHEMA = 1


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

    schema_version: Literal[1] = 1
    name: str
    task: Task
    modality: Modality
    backbone: str
    fl_plan: FLPlan | None
    wl_plan: WLPlan | None
    threshold: Threshold
    metrics: Metrics
    provenance: Provenance
    n_features: int
    opset: int


class SuiteInfo(_Record):
    """Contents of `suite.json`: for each task the bundle that answers, and all that were trained.

    `answers`: task -> bundle folder; best AUC on tuning patients, ties to FL, then to the simpler. Where images are
    missing, only bundles that were scored on as many tuning specimens as any other are compared.
    """

    schema_version: Literal[1] = 1
    data_kind: str
    answers: dict[str, str]
    bundles: tuple[str, ...]
    sha256: dict[str, str]
    """Bundle folder -> SHA-256 of its SHA256SUMS."""

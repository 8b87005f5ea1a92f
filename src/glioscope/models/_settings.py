"""The choices of a training run, typed; every one is recorded in the bundle."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from glioscope.core import FLPlan, WLPlan

from ._augment import FL_AUGMENT, WL_AUGMENT, AugmentSettings
from ._weights import LITE0

Strategy = Literal["probe", "finetune"]
DEFAULT_MISCOVERAGE = 0.10


class FinetuneSettings(BaseModel):
    """Fine-tuning everything with Adam, weight decay 1e-4, linear warm-up and cosine annealing, as in the paper.

    The paper starts from a Xavier head at 1e-3. Ours starts from the probe's at 3e-4 and keeps the pretrained batch
    norm: not to be told apart on tuning patients, and its logits survive float32 (decision 0005). The rest is not in
    the paper.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: Annotated[int, Field(ge=1)] = 6
    batch_size: Annotated[int, Field(ge=2)] = 32
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of all iterations with linear warm-up."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    start: Literal["xavier", "probe"] = "probe"
    """The head at the start: the paper's Xavier normal, or the logistic regression on frozen features (gentler on
    pretrained features where images are few: Kumar et al., ICLR 2022)."""
    freeze_batch_norm: bool = True
    """Keep the pretrained means and variances: with a few hundred images those of small batches are noisy."""
    blend_with_start: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the starting weights in the final ones (Wortsman et al., CVPR 2022): 0.5 goes halfway back."""


class ProbeSettings(BaseModel):
    """Logistic regression on frozen features."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inverse_l2: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
    """Candidates for C; the best by leaving out training patients is used."""


class TrainSettings(BaseModel):
    """Everything that decides a training run beside the data and the split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: Strategy = "finetune"
    backbone: str = LITE0
    weights: str = "auto"
    fl_plan: FLPlan = FLPlan()
    wl_plan: WLPlan = WLPlan()
    fl_augment: AugmentSettings = FL_AUGMENT
    wl_augment: AugmentSettings = WL_AUGMENT
    finetune: FinetuneSettings = FinetuneSettings()
    probe: ProbeSettings = ProbeSettings()
    calibration_folds: Annotated[int, Field(ge=0)] | None = None
    """Folds of patients whose left-out logits fit calibration and abstention band; 0: the bundles have neither.
    None: 5 for a probe; 3 for fine-tuning, where each is nearly a training of its own."""
    miscoverage: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Largest expected share, in a new patient, of a class's specimens that get the other class's name. A number
    is insisted on: a class with too few patients for it stops the run. None: 0.10 for those classes that allow it."""
    seed: int = 0
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    """"auto": float32 on CPU, bfloat16 or float16 mixed on GPU."""

    @field_validator("calibration_folds")
    @classmethod
    def _not_one(cls, folds: int | None) -> int | None:
        if folds == 1:
            raise ValueError("one fold leaves nobody to train on; give 0 or at least 2")
        return folds

    @property
    def n_calibration_folds(self) -> int:
        """`calibration_folds`, or its default for the strategy."""
        if self.calibration_folds is not None:
            return self.calibration_folds
        return 5 if self.strategy == "probe" else 3

    @property
    def promised_miscoverage(self) -> float:
        """`miscoverage`, or its default."""
        return DEFAULT_MISCOVERAGE if self.miscoverage is None else self.miscoverage

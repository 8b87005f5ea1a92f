"""Preprocessing plans: typed, serialisable settings. `imaging` applies them; bundles carry them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Normalisation(_Settings):
    """Nonlinear map from counts above the offset to [0, 1].

    With c = max(counts - offset, 0) / white (`white` in counts above offset):
    gamma: clip(c)^gamma; asinh: asinh(c/knee)/asinh(1/knee); anscombe: the generalised Anscombe transform of the
    counts, scaled so that 0 counts give 0 and `white` gives 1; linear: clip(c).
    """

    kind: Literal["linear", "gamma", "asinh", "anscombe"] = "asinh"
    gamma: Annotated[float, Field(gt=0, le=4)] = 0.5
    knee: Annotated[float, Field(gt=0, le=10)] = 0.1
    """asinh: fraction of `white` at which the curve turns from linear to logarithmic."""
    gain_adu_per_electron: Annotated[float, Field(gt=0)] = 0.125
    """anscombe: camera gain."""
    read_noise_adu: Annotated[float, Field(ge=0)] = 15.0
    """anscombe: standard deviation of the camera's read noise."""
    white: Literal["type"] | Annotated[float, Field(gt=0)] = "type"
    """Counts above the offset that map to 1; "type": the top of the image's real bit range.

    A 16-bit file that does not state its range gets another "type" when it is dim than when it is bright, so a trained
    model carries the number of its cohort (`imaging.infer_white`)."""


class Autocontrast(_Settings):
    """Stretch only where a frame needs it (paper: "when needed"), by a fixed rule that is recorded per image.

    The robust range (percentile `high` - percentile `low` of the normalised specimen) is measured; below
    `needed_below` the image is stretched by at most `max_gain`, so that a weak image stays weaker than a strong one.
    """

    mode: Literal["off", "when_needed", "always"] = "when_needed"
    low: Annotated[float, Field(ge=0, lt=50)] = 1.0
    high: Annotated[float, Field(gt=50, le=100)] = 99.0
    needed_below: Annotated[float, Field(gt=0, le=1)] = 0.05
    max_gain: Annotated[float, Field(ge=1)] = 2.0


class Denoise(_Settings):
    """Denoise only where the noise estimated from the frame is above `needed_above` (normalised units, std)."""

    mode: Literal["off", "when_needed", "always"] = "when_needed"
    needed_above: Annotated[float, Field(gt=0, le=1)] = 0.03
    strength: Annotated[float, Field(gt=0, le=5)] = 1.0


class Canvas(_Settings):
    """How the specimen becomes a square of `size_px`.

    `square`: zero-pad to square, then resize (the paper's). `field`: zero-pad or centre-crop to a field of
    `field_px` source pixels, then resize, so that one source pixel has the same size in every image.
    """

    kind: Literal["square", "field"] = "square"
    size_px: Annotated[int, Field(ge=32, le=1024)] = 160
    field_px: Annotated[int, Field(ge=8, le=8192)] | None = None


class FLPlan(_Settings):
    """Everything that happens to a fluorescence image before the network (contract 4).

    Order: hot-pixel repair, dark frame or offset, flat frame, scaling to exposure and irradiance, normalisation,
    denoise, autocontrast, canvas. The result is uint8 (H, W); the network sees (value / 255 - mean) / std in three
    channels.
    """

    kind: Literal["fl"] = "fl"
    offset: Literal["auto"] | Annotated[float, Field(ge=0)] = "auto"
    """Counts of the camera without light; "auto" estimates it from the frame's background."""
    repair_hot_pixels: bool = True
    per_exposure: bool = False
    """Scale counts to 100 ms and 50 mW/cm2 by the manifest's exposure and irradiance; refuses a row that lacks them."""
    normalisation: Normalisation = Normalisation()
    autocontrast: Autocontrast = Autocontrast()
    denoise: Denoise = Denoise()
    canvas: Canvas = Canvas()
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


class WLPlan(_Settings):
    """Everything that happens to a white-light image before the network: canvas only. Result: uint8 (H, W, 3) RGB."""

    kind: Literal["wl"] = "wl"
    canvas: Canvas = Canvas()
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


class PlanRecord(_Settings):
    """What a plan measured and decided on one image."""

    offset: float = 0.0
    hot_pixels: int = 0
    noise: float = 0.0
    contrast: float = 0.0
    denoised: bool = False
    autocontrast_gain: float = 1.0
    saturated_fraction: float = 0.0

    def as_row(self) -> dict[str, Any]:
        """The record as a flat row of a table."""
        return self.model_dump()

"""What the theatre does at a key press, and what it keeps (`[theatre]` of the console's settings)."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class TheatreSettings(BaseModel):
    """How specimens are taken, and where recordings and phantom checks come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    integrate_frames: int = Field(default=1, ge=1, le=25)
    """Fluorescence frames added up for a diagnosis, so that together they are exposed as the suite's images are."""
    fl_offset_counts: float | None = Field(default=None, ge=0, lt=65536)
    """Counts of a fluorescence frame without any light; needed when frames are added up."""
    field_mm: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = None
    """Width and height cut round a specimen, for suites that were trained on images cut so."""
    fresh_s: float = Field(default=1.0, gt=0, le=5)
    """A frame older than this is never diagnosed."""
    take_timeout_s: float = Field(default=2.0, gt=0, le=30)
    """Longest wait for frames after a key press."""
    phantom_max_age_hours: float = Field(default=12.0, gt=0, le=24 * 31)
    """A phantom check that is older is not relied on."""
    recordings: Path | None = None
    """Folder in which each case is recorded, in a folder of its own; None: not recorded."""
    phantom_target: str = "glioscope-cast"
    """TOML file of the fluorescence target, or the name of one of ours."""
    phantom_baseline: Path | None = None
    """Result of the first accepted phantom check."""
    sectors: int = Field(default=8, ge=1, le=8)
    """Sectors into which the cavity is divided."""

    @model_validator(mode="after")
    def _offset_known(self) -> Self:
        if self.integrate_frames > 1 and self.fl_offset_counts is None:
            raise ValueError(f"integrate_frames = {self.integrate_frames} needs fl_offset_counts")
        return self

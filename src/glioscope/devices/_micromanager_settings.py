"""Settings of cameras and stages behind Micro-Manager, as they stand in a unit's TOML file."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from glioscope.core import Camera, MotionStage


class MicroManagerCameraSettings(BaseModel):
    """A camera through one of Micro-Manager's device adapters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Literal["micromanager"] = "micromanager"
    """Names this backend."""
    adapter_path: Path | None = None
    """Folder of the adapters; absent: the demo adapters where these hold `library`, else Micro-Manager's folder."""
    library: str | None = None
    """Adapter, for example DemoCamera or PICAM."""
    device: str = "Camera"
    """Camera's name in the adapter; with `config_file` its label there."""
    config_file: Path | None = None
    """Micro-Manager configuration (.cfg) to load instead of one device; for cameras that need a hub."""
    properties: dict[str, str] = Field(default_factory=dict)
    """Properties, set in this order; those that must be set before initialisation are set first."""
    colour: bool = False
    """Whether it gives RGB frames (white light); else grey ones (fluorescence)."""
    white_level: int | None = Field(default=None, ge=1, le=65535)
    """Highest count, where it is not the top of the bit depth that the adapter tells."""
    exposure_ms: float = Field(default=20.0, gt=0)
    """Exposure after staging."""
    gain: float | None = None
    """Gain after staging, in the adapter's unit; absent: as the camera has it."""
    gain_property: str = "Gain"
    """Property that holds the gain; a camera without it has none."""
    temperature_property: str = "CCDTemperature"
    """Property that holds the sensor's temperature in degrees Celsius; a camera without it tells none."""
    frame_rate_property: str | None = None
    """Property that sets frames per second; absent: the camera runs as fast as it can and frames are left out."""
    buffer_mb: int = Field(default=64, ge=4, le=4096)
    """Memory of Micro-Manager's circular buffer."""
    max_waiting: int = Field(default=8, ge=1)
    """Frames that may wait to be read; a reader further behind loses all of them and goes on with the next."""
    delay_ms: float = Field(default=0.0, ge=0)
    """Known time from the end of exposure to Micro-Manager's reception; taken off each frame's time."""
    silent_s: float = Field(default=1.0, gt=0)
    """A camera that gives nothing for this long, besides exposure and three periods, counts as lost."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.library is None) == (self.config_file is None):
            raise ValueError("give either library (and device) or config_file (and device)")
        return self

    def make(self, name: str) -> Camera:
        """The camera, not yet open."""
        from ._micromanager import MicroManagerCamera  # the camera takes these settings

        return MicroManagerCamera(name, self)


class MicroManagerAxisSettings(BaseModel):
    """One motor: a single-axis stage of Micro-Manager."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    library: str
    """Adapter, for example DemoCamera or Thorlabs."""
    device: str
    """Stage's name in the adapter."""
    properties: dict[str, str] = Field(default_factory=dict)
    """Properties, set in this order; those that must be set before initialisation are set first."""
    low: float
    """Soft limit in mm or degrees: no move goes below."""
    high: float
    """Soft limit in mm or degrees: no move goes above."""
    speed: float = Field(gt=0)
    """Highest speed in mm/s or degrees/s; jogs are held to it, moves run at the adapter's own speed."""
    per_um: float = 0.001
    """What a micrometre of the adapter is in mm or degrees; negative where the motor is mounted the other way."""
    zero: float = 0.0
    """Position in mm or degrees at the adapter's zero."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low is {self.low:g}, it must be below high ({self.high:g})")
        if self.per_um == 0:
            raise ValueError("per_um is 0, a micrometre must be something")
        return self


class MicroManagerStageSettings(BaseModel):
    """The motors of the unit through Micro-Manager."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Literal["micromanager"] = "micromanager"
    """Names this backend."""
    adapter_path: Path | None = None
    """Folder of the adapters; absent: the demo adapters where these hold the library, else Micro-Manager's folder."""
    distance: MicroManagerAxisSettings | None = None
    """Motor of the working distance (mm, larger is farther from the tissue)."""
    rotation: MicroManagerAxisSettings | None = None
    """Motor that turns the unit around the cavity (degrees)."""

    @model_validator(mode="after")
    def _any_axis(self) -> Self:
        if self.distance is None and self.rotation is None:
            raise ValueError("give distance, rotation or both")
        return self

    def make(self, name: str) -> MotionStage:
        """The stage, not yet open."""
        from ._micromanager_stage import MicroManagerStage  # the stage takes these settings

        return MicroManagerStage(name, self)

"""The settings file of a unit: which device stands in which slot, and the unit that they make."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from glioscope.core import FrameSource, InputError, read_toml
from glioscope.laser import irradiance_mw_cm2

from ._aravis_settings import AravisCameraSettings
from ._auto_exposure import AutoExposureSettings
from ._case_folder import read_case_info
from ._handle import JoystickSettings
from ._laser import KeptLaser, LaserSettings, SimulatedLaserSettings
from ._micromanager_settings import MicroManagerCameraSettings, MicroManagerStageSettings
from ._motion_control import MotionSettings
from ._pairing import Slot
from ._rangefinder import SerialRangeSettings
from ._record_status import RecorderSettings
from ._replay import ReplayCameraSettings
from ._simulated_bench import SimulatedBench, SimulatedBenchSettings
from ._simulated_camera import SimulatedCameraSettings
from ._unit import ImagingUnit, Parts, Scale

Sources = Callable[[], tuple[FrameSource, FrameSource]]
"""Makes what the simulated cameras see, FL and WL; room `sim` has such."""


class SimulatedPartSettings(BaseModel):
    """A rangefinder, stage or handle on the simulated bench of this unit (`[bench]`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Literal["simulated"]


CameraSettings = Annotated[
    AravisCameraSettings | MicroManagerCameraSettings | ReplayCameraSettings | SimulatedCameraSettings,
    Field(discriminator="backend"),
]
AnyLaserSettings = Annotated[LaserSettings | SimulatedLaserSettings, Field(discriminator="backend")]
RangeSettings = Annotated[SerialRangeSettings | SimulatedPartSettings, Field(discriminator="backend")]
StageSettings = Annotated[MicroManagerStageSettings | SimulatedPartSettings, Field(discriminator="backend")]
HandleSettings = Annotated[JoystickSettings | SimulatedPartSettings, Field(discriminator="backend")]


class ScaleSettings(BaseModel):
    """Size of a pixel of a camera that does not tell it, and the distance at which it was measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mm_per_px: float = Field(gt=0, le=10)
    distance_mm: float = Field(gt=0)


class UnitSettings(BaseModel):
    """A unit (docs/devices.md). Only the two cameras must be there; a unit without a rangefinder stays dark."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "unit"
    """Kept with every recording and phantom check."""
    frames_per_second: float = Field(default=25.0, gt=0, le=1000)
    """Of both cameras."""
    fl: CameraSettings
    """Fluorescence: 16-bit grey."""
    wl: CameraSettings
    """White light: RGB."""
    laser: AnyLaserSettings | None = None
    rangefinder: RangeSettings | None = None
    stage: StageSettings | None = None
    handle: HandleSettings | None = None
    fl_scale: ScaleSettings | None = None
    wl_scale: ScaleSettings | None = None
    """For cameras that do not tell the size of a pixel, which is all but the simulated and replayed ones."""
    fl_calibration: Path | None = None
    """Folder that `glioscope devices calibrate` wrote: checked at the start, applied by `ImagingUnit.correct`."""
    motion: MotionSettings = MotionSettings()
    """Speeds, least distance and the control loop."""
    auto_exposure: AutoExposureSettings | None = None
    """Of the FL camera; absent: the exposure stays as it is set."""
    bench: SimulatedBenchSettings = SimulatedBenchSettings()
    """The world that simulated devices share."""
    recording: RecorderSettings = RecorderSettings()

    @model_validator(mode="after")
    def _live(self) -> Self:
        for slot, camera in (("fl", self.fl), ("wl", self.wl)):
            if isinstance(camera, ReplayCameraSettings) and camera.time_source == "recorded":
                raise ValueError(f'{slot}: a unit refuses frames that are old; leave time_source at "now"')
        return self

    @property
    def needs_bench(self) -> bool:
        """Whether any device is one of the simulated bench."""
        fitted = (self.fl, self.wl, self.laser, self.rangefinder, self.stage, self.handle)
        return any(device is not None and device.backend == "simulated" for device in fitted)

    def data_kind(self) -> Literal["real", "simulated"]:
        """What its frames are; a driver's demo camera is simulated too, and a replay is what was recorded.

        Raises
        ------
        InputError : a replayed case that cannot be read.
        """
        return "simulated" if self.needs_bench or any(map(_is_simulated, (self.fl, self.wl))) else "real"


DEMO = UnitSettings.model_validate(
    {
        "name": "simulated unit",
        "fl": {"backend": "simulated"},
        "wl": {"backend": "simulated", "seed": 1},
        "laser": {
            "backend": "simulated",
            "key": True,
            "power_mw": 2000.0,
            "nearest_mm": 250.0,
            "working_mm": 300.0,
            "farthest_mm": 350.0,
            "watchdog_ms": 200.0,
        },
        "rangefinder": {"backend": "simulated"},
        "stage": {"backend": "simulated"},
        "handle": {"backend": "simulated"},
    }
)
"""Everything simulated, its key turned; like any unit it is dark until it is armed."""


def read_unit(path: Path | str) -> UnitSettings:
    """Read a unit's settings file. Raises InputError with file, field and what would be right."""
    return read_toml(path, UnitSettings)


def make_unit(settings: UnitSettings, sources: Sources | None = None) -> ImagingUnit:
    """The unit of these settings, nothing opened yet.

    Parameters
    ----------
    settings : of the unit.
    sources : asked once if a device is simulated.

    Raises
    ------
    InputError : a simulated camera without `sources`.
    """
    laser = settings.laser.make("laser") if settings.laser is not None else None
    bench = _bench(settings, sources, laser)
    parts = Parts(
        fl=_part("fl", settings.fl, bench),
        wl=_part("wl", settings.wl, bench),
        laser=laser,
        rangefinder=_part("rangefinder", settings.rangefinder, bench),
        stage=_part("stage", settings.stage, bench),
        handle=_part("handle", settings.handle, bench),
    )
    scales: dict[Slot, ScaleSettings | None] = {"fl": settings.fl_scale, "wl": settings.wl_scale}
    return ImagingUnit(
        parts,
        name=settings.name,
        data_kind=settings.data_kind(),
        frames_per_second=settings.frames_per_second,
        auto_exposure=settings.auto_exposure,
        motion_settings=settings.motion,
        scales={slot: Scale(made.mm_per_px, made.distance_mm) for slot, made in scales.items() if made is not None},
        calibration=settings.fl_calibration,
        gated=settings.laser is not None and settings.laser.gated,
    )


def _is_simulated(camera: Any) -> bool:
    if isinstance(camera, ReplayCameraSettings):
        return read_case_info(camera.folder).data_kind == "simulated"
    if isinstance(camera, MicroManagerCameraSettings):
        return camera.library == "DemoCamera"
    return isinstance(camera, AravisCameraSettings) and camera.interface == "fake"


def _bench(settings: UnitSettings, sources: Sources | None, laser: KeptLaser | None) -> SimulatedBench | None:
    """The world of the simulated devices, lit by the laser of this unit."""
    if not settings.needs_bench:
        return None
    if sources is None:
        raise InputError(f"{settings.name}: has simulated devices, and nothing to show them was given")

    def power_mw(start_s: float, end_s: float) -> float:
        light = laser.light if laser is not None else None
        return light.mean_power_mw(start_s, end_s) if light is not None else 0.0

    def on_tissue(power: float, distance_mm: float) -> float:
        return irradiance_mw_cm2(power, distance_mm, laser.settings.limits.beam) if laser is not None else 0.0

    fl, wl = sources()
    cameras = [camera if isinstance(camera, SimulatedCameraSettings) else None for camera in (settings.fl, settings.wl)]
    return SimulatedBench(
        fl,
        wl,
        settings=settings.bench,
        fl=cameras[0],
        wl=cameras[1],
        power_mw=power_mw,
        irradiance_mw_cm2=on_tissue,
    )


def _part(slot: str, settings: Any, bench: SimulatedBench | None) -> Any:
    """The device of a slot: one of the bench's, or one of its own; None where none is fitted."""
    if settings is None:
        return None
    on_bench = isinstance(settings, SimulatedCameraSettings | SimulatedPartSettings)
    return getattr(bench, slot) if on_bench else settings.make(slot)

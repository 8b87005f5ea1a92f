"""What a device of the imaging unit is to everyone else: protocols, reports and readings; each quantity names its unit.

Times called `monotonic_s` are seconds of `time.monotonic()` of this machine, which no clock setting moves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from ._frame import Frame


class DeviceState(StrEnum):
    """Where a device stands. `stage` leads from off to ready; starting it to running; `unstage` back to off."""

    OFF = "off"
    READY = "ready"
    RUNNING = "running"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """What a device says of itself.

    Attributes
    ----------
    device : its name in this unit, for example "fl".
    state : where it stands.
    model : maker's words, empty while unknown.
    temperature_c : of the sensor or head in degrees Celsius; None if the device does not tell.
    faults : one sentence each; empty when all is well.
    details : read-backs, the unit in each key ("exposure_ms").
    """

    device: str
    state: DeviceState
    model: str = ""
    temperature_c: float | None = None
    faults: tuple[str, ...] = ()
    details: Mapping[str, float | int | str | bool] = field(default_factory=dict)


@runtime_checkable
class Device(Protocol):
    """Anything of the imaging unit. After `__init__` nothing is open, nothing shines and nothing moves."""

    @property
    def name(self) -> str:
        """Name in this unit."""

    def stage(self) -> None:
        """Open and set up; emits no light and moves nothing. Raises DeviceError."""

    def stop(self) -> None:
        """Stop what runs, at once; from any thread, in any state, never raising."""

    def unstage(self) -> None:
        """Stop and release the hardware; twice does no harm."""

    def report(self) -> DeviceReport:
        """State, temperature and faults; from any thread, in any state, never raising."""


@dataclass(frozen=True, slots=True)
class CameraInfo:
    """What a staged camera can do.

    Attributes
    ----------
    rows, columns : of a frame, in pixels.
    colour : frames are uint8 RGB (rows, columns, 3); else uint16 (rows, columns).
    white_level : the highest count a pixel can take.
    exposure_ms, gain : lowest and highest setting.
    """

    model: str
    serial: str
    rows: int
    columns: int
    colour: bool
    white_level: int
    exposure_ms: tuple[float, float]
    gain: tuple[float, float]


@runtime_checkable
class Camera(Device, Protocol):
    """Gives frames. One thread reads; the others may call `stop`, `report` and the setters."""

    def info(self) -> CameraInfo:
        """What the staged camera can do. Raises DeviceError before `stage`."""

    def set_exposure_ms(self, exposure_ms: float) -> float:
        """Set the exposure of the frames that follow; gives the read-back. Raises InputError outside the range."""

    def set_gain(self, gain: float) -> float:
        """Set the gain of the frames that follow; gives the read-back. Raises InputError outside the range."""

    def start(self, frames_per_second: float) -> None:
        """Begin to stream at this rate; `sequence` starts anew. Raises DeviceError, InputError."""

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame in order, or None when none came in time. Raises DeviceError when the camera is lost.

        `sequence` is the camera's own count, so that a lost frame leaves a gap in it; `monotonic_s` is the end of
        the exposure. The pixels belong to the caller.
        """


@dataclass(frozen=True, slots=True)
class Distance:
    """One reading of the rangefinder: mm from the unit's reference plane to the tissue, and when it was taken."""

    distance_mm: float
    monotonic_s: float


@runtime_checkable
class RangeFinder(Device, Protocol):
    """Measures the working distance from `stage` on, continuously."""

    def read(self) -> Distance | None:
        """The newest reading, however old (its time tells); None before the first. Raises DeviceError when lost."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One motor. `unit` is "mm" or "deg"; `low` and `high` are soft limits, `speed` the highest, per second."""

    name: str
    unit: str
    low: float
    high: float
    speed: float


@runtime_checkable
class MotionStage(Device, Protocol):
    """Moves the unit. Positions are in the axis's own unit. Every move obeys the soft limits; `stop` always works."""

    @property
    def axes(self) -> Mapping[str, Axis]:
        """By name: "distance" (mm, larger is farther from the tissue) and "rotation" (deg) where fitted."""

    def position(self, axis: str) -> float:
        """Read-back of the encoder. Raises DeviceError when lost."""

    def move_to(self, axis: str, position: float) -> None:
        """Start a move and return. Raises InputError outside the soft limits, DeviceError in a fault."""

    def jog(self, axis: str, speed: float) -> None:
        """Go on at a signed speed (units/s) until told otherwise or 0.2 s have passed without another `jog`."""

    def moving(self, axis: str) -> bool:
        """Whether the axis moves now."""


@dataclass(frozen=True, slots=True)
class HandlePosition:
    """What the operator's hand does: dead-man button held, and deflection of each axis from -1 to 1."""

    held: bool
    deflection: Mapping[str, float]
    monotonic_s: float


@runtime_checkable
class Handle(Device, Protocol):
    """The handle by which the operator moves the unit; without its dead-man button held, nothing moves."""

    def read(self) -> HandlePosition | None:
        """The newest position, however old; None before the first. Raises DeviceError when lost."""


class LaserState(StrEnum):
    """States of the laser's safety machine; light leaves in `EMITTING` only."""

    OFF = "off"
    ARMED = "armed"
    EMITTING = "emitting"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class LaserReport:
    """What the keeper of the laser says.

    Attributes
    ----------
    state : of the safety machine.
    reason : why it is not emitting, one sentence; empty while it is.
    power_mw : optical output that the laser reads back.
    irradiance_mw_cm2 : on the tissue at the measured distance, at `power_mw`; None without a distance.
    monotonic_s : when this was true.
    """

    state: LaserState
    reason: str
    power_mw: float
    irradiance_mw_cm2: float | None
    monotonic_s: float


@runtime_checkable
class Laser(Device, Protocol):
    """The laser behind its keeper. Everything here asks; only the keeper decides, and withdraws at once."""

    def arm(self) -> None:
        """Ask for armed. Raises DeviceError with the reason when refused."""

    def emit(self) -> None:
        """Ask for light, from armed. Raises DeviceError with the reason when refused."""

    def hold(self) -> None:
        """Back to armed: dark, one step from light."""

    def clear(self) -> None:
        """The operator has seen the fault; from fault to off. Raises DeviceError while its cause stands."""

    def beat(self) -> None:
        """One heartbeat of the operator (a foot switch held, a page that is looked at)."""

    def observe(self, distance: Distance | None) -> None:
        """Hand over the newest reading of the rangefinder."""

    def set_streaming(self, streaming: bool) -> None:
        """Whether both cameras stream."""

    def laser_report(self) -> LaserReport:
        """The newest word of the keeper; never raises."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a simulated camera tells its frame source of one exposure.

    Attributes
    ----------
    end_s : end of the exposure on the monotonic clock.
    exposure_ms, gain : settings of the camera.
    irradiance_mw_cm2 : excitation on the tissue, mean over the exposure.
    distance_mm, rotation_deg : where the unit stands.
    """

    end_s: float
    exposure_ms: float
    gain: float
    irradiance_mw_cm2: float
    distance_mm: float
    rotation_deg: float = 0.0


class FrameSource(Protocol):
    """Renders what a camera would see; `sim` has such sources, and simulated cameras take them."""

    @property
    def info(self) -> CameraInfo:
        """The camera that is simulated."""

    def prepare(self, exposure: Exposure) -> None:
        """Do now what does not depend on the light of an exposure that is about to end; `render` comes next."""

    def render(self, exposure: Exposure) -> NDArray[Any]:
        """Pixels of one exposure, as `CameraInfo` says; new memory each time."""

    def mm_per_px(self, distance_mm: float) -> float:
        """Size of a pixel at the tissue."""

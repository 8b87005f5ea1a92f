"""A simulated bench: tissue that breathes, a unit above it, and the devices that look at both."""

import math
import time
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from glioscope.core import FrameSource

from ._handle import SimulatedHandle
from ._simulated_camera import SimulatedCameraSettings
from ._simulated_range import RangeSensor, SimulatedRangeFinder
from ._simulated_stage import SimulatedStage

_NEAREST_MM = 1.0


class SimulatedBenchSettings(BaseModel):
    """The simulated world."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    breathing_mm: float = Field(default=0.5, ge=0, le=20)
    """The tissue goes up and down by this much, from its lowest to its highest place."""
    breathing_hz: float = Field(default=0.25, gt=0, le=5)
    """Breaths in a second."""
    range_noise_mm: float = Field(default=1.0, ge=0)
    """Standard deviation of one measurement of the rangefinder."""
    seed: int = Field(default=0, ge=0)
    """Of the noise of the devices."""


def no_power(start_s: float, end_s: float) -> float:
    """The laser is off."""
    return 0.0


def no_irradiance(power_mw: float, distance_mm: float) -> float:
    """No beam is described."""
    return 0.0


class SimulatedBench:
    """One world and the devices built on it. Opens nothing by itself: stage its devices like any others.

    Parameters
    ----------
    fl_source, wl_source : what the cameras see; room `sim` has them.
    fl, wl : settings of the two cameras.
    power_mw : (start_s, end_s) -> mean optical power of the laser; dark unless given. May be set later.
    irradiance_mw_cm2 : (power_mw, distance_mm) -> irradiance of that power at the tissue.
    clock, wait : for tests in virtual time.

    Attributes
    ----------
    fl, wl : cameras on a common trigger.
    rangefinder, stage, handle : the other devices, the stage at 300 mm.
    sensor : what the rangefinder measures with, also for `SimulatedRangeHead`.
    """

    def __init__(
        self,
        fl_source: FrameSource,
        wl_source: FrameSource,
        *,
        settings: SimulatedBenchSettings | None = None,
        fl: SimulatedCameraSettings | None = None,
        wl: SimulatedCameraSettings | None = None,
        power_mw: Callable[[float, float], float] = no_power,
        irradiance_mw_cm2: Callable[[float, float], float] = no_irradiance,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self.settings = settings = settings or SimulatedBenchSettings()
        self.power_mw, self.irradiance_mw_cm2 = power_mw, irradiance_mw_cm2
        self._clock = clock
        self._jumps: tuple[tuple[float, float], ...] = ()
        self.stage = SimulatedStage("stage", clock=clock)
        self.handle = SimulatedHandle("handle", clock=clock)
        self.sensor = RangeSensor(self.distance_mm, noise_mm=settings.range_noise_mm, seed=settings.seed)
        self.rangefinder = SimulatedRangeFinder("rangefinder", self.sensor, clock=clock)
        cameras = fl or SimulatedCameraSettings(), wl or SimulatedCameraSettings(seed=1)
        world: Any = {"irradiance": self.irradiance, "pose": self.pose, "clock": clock, "wait": wait}
        self.fl = cameras[0].make("fl", fl_source, **world)
        self.wl = cameras[1].make("wl", wl_source, **world)

    def tissue_mm(self, when_s: float) -> float:
        """How far the tissue has come up to the unit from where it rests."""
        breath = math.sin(2 * math.pi * self.settings.breathing_hz * when_s) * self.settings.breathing_mm / 2
        return breath + sum(step for since_s, step in self._jumps if since_s <= when_s)

    def distance_mm(self, when_s: float) -> float:
        """True distance of the unit from the tissue."""
        return max(self.stage.true_position("distance", when_s) - self.tissue_mm(when_s), _NEAREST_MM)

    def pose(self, when_s: float) -> tuple[float, float]:
        """True distance in mm and rotation in degrees."""
        return self.distance_mm(when_s), self.stage.true_position("rotation", when_s)

    def irradiance(self, start_s: float, end_s: float, distance_mm: float) -> float:
        """Mean excitation of the tissue over an exposure."""
        return self.irradiance_mw_cm2(self.power_mw(start_s, end_s), distance_mm)

    def jump(self, up_mm: float) -> None:
        """The tissue comes up by this much at once; below 0 it sinks."""
        self._jumps = (*self._jumps, (self._clock(), up_mm))

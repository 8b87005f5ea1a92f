"""Settings of the laser, each with `make`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from glioscope.laser import Beam, KeeperSettings, Limits, check_settings

from ._kept_laser import KeptLaser
from ._laser_head import HeadWorld, SimulatedHead

__all__ = ["BeamSettings", "KeptLaser", "LaserSettings", "SimulatedLaserSettings"]


class BeamSettings(BaseModel):
    """Geometry of the beam."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    diameter_mm: float = 5.0
    """At the unit's reference plane, from which the rangefinder measures; 1/e2 of a Gaussian beam."""
    divergence_mrad: float = 200.0
    """Full angle."""
    wavelength_nm: float = 808.0
    profile: Literal["flat", "gaussian"] = "gaussian"


class _LaserLimits(BaseModel):
    """What every kept laser is told. With these defaults it cannot emit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    power_mw: float = 0.0
    """The highest power that may be commanded."""
    setpoint_mw_cm2: float = 50.0
    """Irradiance wanted at `working_mm`; fixes the power."""
    limit_mw_cm2: float = 55.0
    """Irradiance at the measured distance above which it goes dark."""
    nearest_mm: float = 0.0
    """Window of distances in which light may leave: from here ..."""
    working_mm: float = 0.0
    """... (the distance for which the power is chosen) ..."""
    farthest_mm: float = 0.0
    """... to here."""
    beam: BeamSettings = BeamSettings()
    heartbeat_ms: float = 500.0
    """The operator's heartbeat may be so old; 500 at most."""
    range_ms: float = 200.0
    """A reading of the rangefinder may be so old."""
    lease_ms: float = 80.0
    """The keeper goes dark when this program is silent for so long."""
    speed_mm_s: float = 500.0
    """The tissue cannot come or go faster; with `jitter_mm` it tells a jump of the rangefinder."""
    jitter_mm: float = 5.0
    timeout_ms: float = 20.0
    """An exchange with the head may take so long."""
    settle_ms: float = 10.0
    """After light is switched off, the head may read back light for so long."""
    weak_ms: float = 100.0
    """While emitting, the read-back may stay below what is commanded for so long."""
    gated: bool = False
    """Hardware gates the light as well (a camera's exposure line): a low read-back is no fault."""

    @model_validator(mode="after")
    def _sensible(self) -> "_LaserLimits":
        check_settings(self.keeper_settings(""))
        return self

    def keeper_settings(self, port: str) -> KeeperSettings:
        """What the keeper is told. The fields of `Limits` have the same names."""
        words = self.model_dump(include={name for name in Limits.__dataclass_fields__ if name != "beam"})
        return KeeperSettings(
            port=port, timeout_ms=self.timeout_ms, limits=Limits(**words, beam=Beam(**self.beam.model_dump()))
        )


class LaserSettings(_LaserLimits):
    """A laser head that speaks the words of Coherent's OBIS family. Untested on hardware.

    The key switch is the head's own, read from its status.
    """

    backend: Literal["obis"] = "obis"
    port: str = ""
    """Serial port of the head: `/dev/ttyACM0`, `COM4`."""

    def make(self, name: str) -> "KeptLaser":
        """The laser; nothing is opened yet."""
        return KeptLaser(name, self.keeper_settings(self.port))


class SimulatedLaserSettings(_LaserLimits):
    """A SIMULATED laser head; keeper and safety machine are the real ones."""

    backend: Literal["simulated"] = "simulated"
    key: bool = False
    """The simulated key switch is turned on."""
    watchdog_ms: float = 0.0
    """The simulated head goes dark by itself when it was not asked anything for so long; 0: never."""

    def make(self, name: str) -> "KeptLaser":
        """The laser with a head of its own; nothing is started yet."""
        head = SimulatedHead(f"{name} head", HeadWorld(key=self.key, watchdog_ms=self.watchdog_ms))
        return KeptLaser(name, self.keeper_settings(""), head)

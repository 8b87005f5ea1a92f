"""Laser safety: the safety machine, the exposure limits, the driver, and the keeper process that puts them together.

In: the operator's requests, what is known of the unit, and a port. Out: light, while all is well. Standard library and
pyserial only, so that the keeper starts fast and is small enough to be read. Next room up: `devices`.
"""

from ._beam import Beam, irradiance_mw_cm2, power_mw, spot_diameter_mm
from ._driver import DriverError, HeadReading, LaserDriver, ObisDriver
from ._limits import (
    ExposureLimits,
    alpha_mrad,
    exposure_limits,
    eye_limit_mw_cm2,
    ocular_hazard_mm,
    skin_limit_mw_cm2,
)
from ._machine import Inputs, Limits, Machine, Request, State, step
from ._settings import KeeperSettings, SettingsError, check_settings, read_settings, write_settings

__all__ = [
    "Beam",
    "DriverError",
    "ExposureLimits",
    "HeadReading",
    "Inputs",
    "KeeperSettings",
    "LaserDriver",
    "Limits",
    "Machine",
    "ObisDriver",
    "Request",
    "SettingsError",
    "State",
    "alpha_mrad",
    "check_settings",
    "exposure_limits",
    "eye_limit_mw_cm2",
    "irradiance_mw_cm2",
    "ocular_hazard_mm",
    "power_mw",
    "read_settings",
    "skin_limit_mw_cm2",
    "spot_diameter_mm",
    "step",
    "write_settings",
]

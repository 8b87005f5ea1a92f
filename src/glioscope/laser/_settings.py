"""Settings of the keeper: one line of JSON, checked by hand: the keeper has only the standard library."""

import dataclasses
import difflib
import json
import math
from dataclasses import dataclass, field
from typing import Any

from ._machine import Limits


class SettingsError(ValueError):
    """A setting of the laser that is unknown or out of its range; one sentence with value and limit."""


@dataclass(frozen=True, slots=True)
class KeeperSettings:
    """What the keeper is told at its start; it cannot be changed afterwards.

    Attributes
    ----------
    port : device file or URL of the laser head; empty: none.
    timeout_ms : hard limit of one exchange with the head.
    period_ms : one turn of the keeper's loop.
    limits : of the safety machine.
    """

    port: str = ""
    timeout_ms: float = 20.0
    period_ms: float = 5.0
    limits: Limits = field(default_factory=Limits)


def read_settings(line: str) -> KeeperSettings:
    """Settings from one JSON object; what is not there keeps its default, which cannot emit. Raises SettingsError."""
    try:
        words = json.loads(line)
    except ValueError as error:
        raise SettingsError(f"the settings of the laser are not JSON: {error}") from None
    settings: KeeperSettings = _build(KeeperSettings, words, "laser")
    check_settings(settings)
    return settings


def write_settings(settings: KeeperSettings) -> str:
    """The line that `read_settings` reads."""
    return json.dumps(dataclasses.asdict(settings))


def check_settings(settings: KeeperSettings) -> None:
    """Raise SettingsError with value and limit at the first value that makes no sense."""
    limits, beam = settings.limits, settings.limits.beam
    for name, value, low, high in (
        ("timeout_ms", settings.timeout_ms, 1, 50),
        ("period_ms", settings.period_ms, 1, 20),
        ("power_mw", limits.power_mw, 0, 10_000),
        ("setpoint_mw_cm2", limits.setpoint_mw_cm2, 0, 1000),
        ("limit_mw_cm2", limits.limit_mw_cm2, 0, 1000),
        ("nearest_mm", limits.nearest_mm, 0, 10_000),
        ("farthest_mm", limits.farthest_mm, 0, 10_000),
        ("heartbeat_ms", limits.heartbeat_ms, 1, 500),
        ("range_ms", limits.range_ms, 1, 1000),
        ("lease_ms", limits.lease_ms, 10, 200),
        ("head_ms", limits.head_ms, 10, 200),
        ("speed_mm_s", limits.speed_mm_s, 1, 10_000),
        ("jitter_mm", limits.jitter_mm, 0, 100),
        ("power_share", limits.power_share, 0.001, 0.5),
        ("dark_mw", limits.dark_mw, 0, 5),
        ("settle_ms", limits.settle_ms, 1, 100),
        ("weak_ms", limits.weak_ms, 10, 10_000),
        ("calm_ms", limits.calm_ms, 10, 60_000),
        ("diameter_mm", beam.diameter_mm, 0.1, 1000),
        ("divergence_mrad", beam.divergence_mrad, 0, 2000),
        ("wavelength_nm", beam.wavelength_nm, 700, 1400),
    ):
        if not low <= value <= high:
            raise SettingsError(f"laser {name} {value:g} is outside {low:g} to {high:g}")
    if beam.profile not in ("flat", "gaussian"):
        raise SettingsError(f"laser beam profile {beam.profile!r} is neither 'flat' nor 'gaussian'")
    if not limits.setpoint_mw_cm2 < limits.limit_mw_cm2:
        raise SettingsError(
            f"laser setpoint {limits.setpoint_mw_cm2:g} mW/cm2 is not below the limit of {limits.limit_mw_cm2:g} mW/cm2"
        )
    if not limits.nearest_mm <= limits.working_mm <= limits.farthest_mm:
        raise SettingsError(
            f"laser working_mm {limits.working_mm:g} is outside the window of {limits.nearest_mm:g} to "
            f"{limits.farthest_mm:g} mm"
        )


def _build(kind: Any, words: Any, where: str) -> Any:
    """A dataclass from a JSON object: every key known, every value of the default's kind."""
    if not isinstance(words, dict):
        raise SettingsError(f"{where} is {words!r}, not a table of settings")
    default = kind()
    known = [each.name for each in dataclasses.fields(kind)]
    values = {}
    for name, value in words.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            raise SettingsError(f"{where} has no setting {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
        values[name] = _value(getattr(default, name), value, f"{where} {name}")
    return kind(**values)


def _value(default: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(default):
        return _build(type(default), value, where)
    wanted = "a number" if isinstance(default, float) else "true or false" if isinstance(default, bool) else "text"
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    fits = number if isinstance(default, float) else isinstance(value, type(default))
    if not fits:
        raise SettingsError(f"{where} is {value!r}, not {wanted}")
    return float(value) if isinstance(default, float) else value

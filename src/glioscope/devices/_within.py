"""A setting outside of what a device can do, in a sentence."""

from glioscope.core import InputError


def check_within(device: str, quantity: str, value: float, limits: tuple[float, float], unit: str = "") -> None:
    """Raise InputError with value, limits and unit."""
    low, high = limits
    if not low <= value <= high * (1 + 1e-9):
        unit = f" {unit}" if unit else ""
        raise InputError(f"{device}: {quantity} {value:g}{unit} is outside {low:g} to {high:g}{unit}")

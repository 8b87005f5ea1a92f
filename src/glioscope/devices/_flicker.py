"""Exposures in which lamps that flicker give the same light every time."""

import math

from glioscope.core import InputError


def flicker_free_exposure_ms(wanted_ms: float, mains_hz: float, frame_period_ms: float | None = None) -> float:
    """The exposure nearest to `wanted_ms` that is a whole number of half waves of the mains, in ms.

    Lamps flicker at twice the mains frequency, so a half wave is 10 ms at 50 Hz and 8.33 ms at 60 Hz. A half rounds up,
    at least one half wave is given, and never more than fit into the frame period.

    Raises
    ------
    InputError : a number out of range, or a frame period shorter than one half wave.
    """
    if not 45 <= mains_hz <= 65:
        raise InputError(f"mains frequency of {mains_hz:g} Hz is outside the limits of 45 to 65 Hz")
    if not 0 < wanted_ms < math.inf:
        raise InputError(f"exposure of {wanted_ms:g} ms is out of range; give more than 0")
    half_wave = 1000.0 / (2.0 * mains_hz)
    count = max(1, math.floor(wanted_ms / half_wave + 0.5))
    if frame_period_ms is not None:
        fitting = math.floor(frame_period_ms / half_wave + 1e-9)
        if fitting < 1:
            raise InputError(
                f"frame period of {frame_period_ms:g} ms is shorter than a half wave of the mains, {half_wave:.3g} ms"
            )
        count = min(count, fitting)
    return count * half_wave

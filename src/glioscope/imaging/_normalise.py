"""Nonlinear intensity normalisation and autocontrast: counts above the offset to [0, 1], never changing their order."""

import math

import numpy as np
from numpy.typing import NDArray

from glioscope.core import Autocontrast, Normalisation


def normalise(counts: NDArray[np.float32], setting: Normalisation, white: float) -> NDArray[np.float32]:
    """Map counts above the offset to [0, 1] by the curve of `setting`; non-decreasing, 0 to 0, `white` to 1.

    Parameters
    ----------
    counts : float32, any shape; below 0 counts as 0.
    setting : the curve; its own `white` is not read here.
    white : counts that map to 1, above 0.

    References
    ----------
    asinh: Lupton, Gunn and Szalay, AJ 118, 1406, 1999. Generalised Anscombe: Starck, Murtagh and Bijaoui, Image
    Processing and Data Analysis, Cambridge 1998; for counts z = g e + N(0, s), f(z) = (2/g) sqrt(g z + 3/8 g^2 + s^2).
    """
    share = np.clip(counts * np.float32(1.0 / white), 0, 1)
    match setting.kind:
        case "linear":
            curve = share
        case "gamma":
            curve = np.power(share, np.float32(setting.gamma))
        case "asinh":
            curve = np.arcsinh(share * np.float32(1 / setting.knee)) * np.float32(1 / math.asinh(1 / setting.knee))
        case "anscombe":
            gain = setting.gain_adu_per_electron
            dark = 0.375 * gain**2 + setting.read_noise_adu**2
            low, high = math.sqrt(dark), math.sqrt(gain * white + dark)
            root = np.sqrt(share * np.float32(gain * white) + np.float32(dark))
            curve = (root - np.float32(low)) * np.float32(1 / (high - low))
    return np.asarray(np.clip(curve, 0, 1), np.float32)


def robust_range(image: NDArray[np.float32], setting: Autocontrast) -> tuple[float, float]:
    """Percentiles `low` and `high` of the setting: darkest and brightest level that count."""
    # as np.percentile interpolates, without its checks, which cost more than the ranking
    ranks = [(image.size - 1) * (percentile / 100) for percentile in (setting.low, setting.high)]
    below = [int(rank) for rank in ranks]
    above = [min(place + 1, image.size - 1) for place in below]
    levels = np.partition(image.ravel(), below + above)
    low, high = (
        float(levels[i]) + (rank - i) * float(levels[j] - levels[i])
        for rank, i, j in zip(ranks, below, above, strict=True)
    )
    return low, high


def autocontrast(image: NDArray[np.float32], setting: Autocontrast) -> tuple[NDArray[np.float32], float, float]:
    """Stretch where the rule says so.

    `when_needed`: below a contrast of `needed_below` the image is stretched round its dark level by needed_below /
    contrast, at most `max_gain`: a stretched image never gets more contrast than one that needed no stretch, so
    the order of images stays. `always` stretches the robust range to [0, 1] and erases absolute intensity.

    Returns
    -------
    The image, its contrast before (high - low percentile), and the gain applied.
    """
    low, high = robust_range(image, setting)
    contrast = high - low
    if setting.mode == "off" or contrast <= 0:
        return image, contrast, 1.0
    if setting.mode == "always":
        gain, base = 1.0 / contrast, 0.0
    elif contrast < setting.needed_below:
        gain, base = min(setting.max_gain, setting.needed_below / contrast), low
    else:
        return image, contrast, 1.0
    stretched = np.clip((image - np.float32(low)) * np.float32(gain) + np.float32(base), 0, 1)
    return stretched.astype(np.float32, copy=False), contrast, gain

"""Smooth random fields and specimen outlines, in float32 on a pixel grid."""

import numpy as np
import numpy.typing as npt
from scipy import fft

Image = npt.NDArray[np.float32]


def gaussian_field(
    shape: tuple[int, int],
    sigma_px: float,
    rng: np.random.Generator,
    *,
    log_elongation: float = 0.0,
    angle: float = 0.0,
) -> Image:
    """White noise smoothed by a Gaussian kernel, scaled to mean 0 and variance 1.

    Parameters
    ----------
    shape : (rows, columns) of the result.
    sigma_px : size of the kernel in pixels.
    log_elongation : logarithm of the kernel's length over its width; the texture becomes streaks.
    angle : direction of the streaks in radians.

    Returns
    -------
    float32 array of `shape`, periodic at its edges.

    Notes
    -----
    The kernel's area grows with elongation such that the mean squared gradient, hence the usual texture energies,
    stay the same: only the arrangement changes.
    """
    stretch = np.exp(0.5 * log_elongation)
    size = sigma_px * np.sqrt(np.cosh(log_elongation))
    along, across = size * stretch, size / stretch
    fy = fft.fftfreq(shape[0])[:, None]
    fx = fft.rfftfreq(shape[1])[None, :]
    u = fx * np.cos(angle) + fy * np.sin(angle)
    v = fy * np.cos(angle) - fx * np.sin(angle)
    gain = np.exp(-2 * np.pi**2 * ((along * u) ** 2 + (across * v) ** 2)).astype(np.float32)
    # Every frequency of the half plane but the first (and last) column stands for two of the full plane.
    weight = np.full(gain.shape[1], 2.0)
    weight[0] = 1.0
    if shape[1] % 2 == 0:
        weight[-1] = 1.0
    power = float((gain.astype(np.float64) ** 2 * weight).sum()) - 1.0
    gain[0, 0] = 0.0
    spectrum = fft.rfft2(rng.standard_normal(shape, dtype=np.float32)) * gain
    field = fft.irfft2(spectrum, s=shape)
    return np.asarray(field * np.sqrt(shape[0] * shape[1] / max(power, 1e-9)), dtype=np.float32)


def outline(
    shape: tuple[int, int],
    centre: tuple[float, float],
    radius_px: float,
    lobes_sd: float,
    rng: np.random.Generator,
) -> tuple[Image, Image]:
    """A star-shaped specimen with five random harmonics.

    Returns
    -------
    coverage : float32 in [0, 1], 1 inside, with an edge one pixel wide.
    rho : float32, distance from the centre as a share of the radius in that direction.
    """
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    dy, dx = y - np.float32(centre[0]), x - np.float32(centre[1])
    theta = np.arctan2(dy, dx)
    radius = np.ones(shape, dtype=np.float32)
    for order in range(2, 7):
        amplitude, phase = lobes_sd * rng.standard_normal() * 2 / order, rng.uniform(0, 2 * np.pi)
        radius += np.float32(amplitude) * np.cos(order * theta + np.float32(phase))
    radius = np.maximum(radius, np.float32(0.5)) * np.float32(radius_px)
    distance = np.hypot(dx, dy)
    coverage = np.clip(radius - distance + np.float32(0.5), 0, 1)
    return coverage.astype(np.float32), (distance / radius).astype(np.float32)


def patches(field: Image, share: float, softness: float = 0.25) -> Image:
    """Where a standard normal field is in its highest `share`: 0 to 1 with soft edges."""
    from scipy.special import ndtri

    level = np.float32(-ndtri(np.clip(share, 1e-4, 0.9)))
    return np.asarray(
        1 / (1 + np.exp(-np.clip((field - level) / np.float32(softness * 0.5), -30, 30))), dtype=np.float32
    )

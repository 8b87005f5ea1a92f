"""How far a specimen stands out of its background."""

import numpy as np
from numpy.typing import NDArray

from ._images import Pixels

_MIN_PIXELS = 9


def signal_to_background(
    pixels: Pixels, mask: NDArray[np.bool_], background_mask: NDArray[np.bool_] | None = None, offset: float = 0.0
) -> float:
    """Mean of the specimen divided by mean of the background, both above the camera's offset.

    SBR = (mean(S) - offset) / (mean(B) - offset), as fluorescence-guided surgery reports it. Without subtracting the
    offset it depends on the camera. Infinite where the background has no light.

    Parameters
    ----------
    pixels : (H, W) counts.
    mask : bool (H, W), the specimen.
    background_mask : bool (H, W); default: all outside `mask`.
    offset : camera counts without light (not the "auto" offset of a plan, which holds the background itself).

    References
    ----------
    Tichauer, Wang, Pogue and Liu, "Quantitative in vivo cell-surface receptor imaging in oncology: kinetic modeling
    and paired-agent principles", Phys. Med. Biol. 60, R239, 2015.
    """
    signal, background = _two(pixels, mask, background_mask)
    low = float(background.mean()) - offset
    high = float(signal.mean()) - offset
    return high / low if low > 0 else float("inf")


def contrast_to_noise(
    pixels: Pixels, mask: NDArray[np.bool_], background_mask: NDArray[np.bool_] | None = None
) -> float:
    """Difference of the means divided by the standard deviation of the background: (mean(S) - mean(B)) / std(B).

    Independent of any offset. Parameters as `signal_to_background`. Infinite for a background of one value.

    References
    ----------
    Bushberg et al., The Essential Physics of Medical Imaging, 3rd ed., 2012, section 4.8.
    """
    signal, background = _two(pixels, mask, background_mask)
    difference = float(signal.mean() - background.mean())
    spread = float(background.std(ddof=1))
    return difference / spread if spread > 0 else float("inf") * np.sign(difference) if difference else 0.0


def _two(
    pixels: Pixels, mask: NDArray[np.bool_], background_mask: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mask = np.asarray(mask, bool)
    outside = ~mask if background_mask is None else np.asarray(background_mask, bool)
    if mask.shape != pixels.shape or outside.shape != pixels.shape:
        raise ValueError(f"masks are {mask.shape} and {outside.shape}, the image is {pixels.shape}")
    signal, background = pixels[mask].astype(np.float64), pixels[outside].astype(np.float64)
    if signal.size < _MIN_PIXELS or background.size < _MIN_PIXELS:
        raise ValueError(
            f"specimen has {signal.size} px and background {background.size} px, {_MIN_PIXELS} each are needed"
        )
    return signal, background

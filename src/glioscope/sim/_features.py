"""Nine hand-made features of a fluorescence image: the baseline that a network has to beat."""

import cv2
import numpy as np
import numpy.typing as npt

from ..core import ImageError

HAND_MADE_FEATURES = (
    "mean",
    "background",
    "ratio",
    "sd",
    "p05",
    "p95",
    "skewness",
    "gradient",
    "fine_texture",
)
"""Names of what `hand_made_features` returns, in order; `mean` alone is the mean-intensity baseline."""


def specimen_mask(fl_image: npt.NDArray[np.uint16]) -> npt.NDArray[np.bool_]:
    """Largest region above Otsu's threshold of the median-filtered logarithm; (rows, columns) bool."""
    clean = cv2.medianBlur(fl_image, 5).astype(np.float32)
    log = np.log(np.maximum(clean - clean.min(), 0) + 50.0)
    log = cv2.GaussianBlur(log, (0, 0), 2.0)
    scaled = np.clip((log - log.min()) / max(float(np.ptp(log)), 1e-6) * 255, 0, 255).astype(np.uint8)
    _, binary = cv2.threshold(scaled, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(binary)
    if len(stats) < 2:
        return np.ones(fl_image.shape, dtype=np.bool_)
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), dtype=np.bool_)


def hand_made_features(
    fl_image: npt.NDArray[np.uint16], mask: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.float64]:
    """Intensity, ratio to the background and texture of the specimen.

    Parameters
    ----------
    fl_image : (rows, columns) uint16 counts.
    mask : (rows, columns) bool, True on the specimen; found by `specimen_mask` if absent.

    Returns
    -------
    (9,) float64: logarithm of mean counts, of background counts, and of their ratio above the darkest pixels; the
    specimen's standard deviation, 5th and 95th percentile, each as a share of the mean; skewness; mean gradient and
    mean fine texture (image minus its blur of 2 px) as shares of the mean.

    Raises
    ------
    ImageError : the image is not a two-dimensional array of counts, or the mask is of another shape or empty.
    """
    if fl_image.ndim != 2 or fl_image.dtype != np.uint16:
        raise ImageError(None, f"hand-made features need a 2-D uint16 image, not {fl_image.ndim}-D {fl_image.dtype}")
    inside = specimen_mask(fl_image) if mask is None else mask
    if inside.shape != fl_image.shape or not inside.any():
        raise ImageError(None, f"the mask of shape {inside.shape} is empty or does not fit {fl_image.shape}")
    clean = cv2.medianBlur(fl_image, 3).astype(np.float32)
    outside = ~cv2.dilate(inside.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(np.bool_)
    background = float(np.median(clean[outside])) if outside.any() else float(clean.min())
    values = clean[inside].astype(np.float64)
    mean = float(values.mean())
    above = max(mean - background, 1.0)
    centred = values - mean
    sd = max(float(values.std()), 1e-6)
    core = cv2.erode(inside.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(np.bool_)
    core = core if core.any() else inside
    gradient = np.hypot(cv2.Sobel(clean, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(clean, cv2.CV_32F, 0, 1) / 8)
    fine = np.abs(clean - cv2.GaussianBlur(clean, (0, 0), 2.0))
    return np.asarray(
        [
            np.log(max(mean, 1.0)),
            np.log(max(background, 1.0)),
            np.log(above),
            sd / above,
            float(np.percentile(values, 5) - background) / above,
            float(np.percentile(values, 95) - background) / above,
            float((centred**3).mean() / sd**3),
            float(gradient[core].mean()) / above,
            float(fine[core].mean()) / above,
        ]
    )

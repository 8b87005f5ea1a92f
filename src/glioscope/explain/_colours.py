"""Maps as colours that colour-blind readers can follow, and maps laid over the image."""

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Colormap, LinearSegmentedColormap
from numpy.typing import NDArray

from ._views import Scale, Views

RGB = NDArray[np.uint8]

UNSIGNED: Colormap = mpl.colormaps["viridis"]
"""Dark violet to yellow: lightness rises evenly, for the colour-blind as well. Not cividis, whose middle is the grey of
the tissue that it lies on."""
SIGNED: Colormap = LinearSegmentedColormap.from_list(
    "blue-orange", ["#003B73", "#0072B2", "#F2F2F2", "#D55E00", "#7A3000"]
)
"""Blue against, orange for, pale grey for nothing: Okabe and Ito's pair; lightness falls evenly to both sides."""
BACKGROUND = 0
"""Grey level outside the specimen."""
_OPAQUE = 0.65
"""Opacity of a map at full strength over the image: the tissue stays visible below it."""


def colour(values: NDArray[np.float32], limit: float, *, signed: bool = False) -> RGB:
    """Colours uint8 (H, W, 3) of a map (H, W): 0 to `limit`, or -`limit` to `limit`; beyond it the last colour.

    A limit of 0 (a map with nothing in it) gives the colour of 0.
    """
    share = _share(values, limit)
    table = SIGNED(share / 2 + 0.5) if signed else UNSIGNED(np.maximum(share, 0))
    return _to_uint8(table[..., :3])


def overlay(image: RGB, values: NDArray[np.float32], limit: float, *, signed: bool = False) -> RGB:
    """The map over the grey image, uint8 (H, W, 3): the stronger the map the more of its colour, none where it is 0.

    Parameters
    ----------
    image : uint8 (H, W) or (H, W, 3) RGB.
    values, limit : as `colour`.
    """
    alpha = (_OPAQUE * np.sqrt(np.abs(np.clip(_share(values, limit), -1 if signed else 0, 1))))[..., None]
    grey = np.repeat(luminance(image)[..., None], 3, axis=2)
    return _to_uint8((1 - alpha) * grey + alpha * colour(values, limit, signed=signed) / 255)


def draw_views(
    views: Views, image: RGB, mask: NDArray[np.bool_], scale: Scale, *, signed: bool = False
) -> dict[str, RGB]:
    """The five views as pictures uint8 (H, W, 3), by the names of `VIEWS`; grey 0 outside the specimen.

    Parameters
    ----------
    image : uint8 (H, W) or (H, W, 3), the specimen.
    mask : bool (H, W), the specimen's outline.
    scale : what is drawn at full strength.
    signed : draw the signed heatmap, what speaks against the class in blue, instead of Grad-CAM.
    """
    heat = views.signed_heatmap if signed else views.gcam_heatmap
    limit = scale.signed if signed else scale.heatmap
    # What speaks for the class, on black; the root lifts faint lines, so that sparse and dense can be told apart.
    coloured = _to_uint8(np.sqrt(np.maximum(_share(views.coloured_gcam, scale.coloured), 0)))
    pictures = {
        "coloured_gcam": coloured,
        "gcam_saliency": colour(views.gcam_saliency, scale.saliency),
        "saliency_x_image": overlay(image, views.gcam_saliency, scale.saliency),
        "gcam_heatmap": colour(heat, limit, signed=signed),
        "heatmap_x_image": overlay(image, heat, limit, signed=signed),
    }
    for name, picture in pictures.items():
        if "_x_image" not in name:
            picture[~mask] = BACKGROUND
    return pictures


def luminance(image: RGB) -> NDArray[np.float32]:
    """Brightness float32 (H, W) in [0, 1] of a grey or RGB image (ITU-R BT.601 weights)."""
    values = image.astype(np.float32) / np.float32(255)
    return values if image.ndim == 2 else np.asarray(values @ np.array([0.299, 0.587, 0.114], np.float32), np.float32)


def _share(values: NDArray[np.float32], limit: float) -> NDArray[np.float32]:
    """Values in units of the limit, clipped to [-1, 1]."""
    return np.clip(values / np.float32(limit), -1, 1) if limit > 0 else np.zeros_like(values)


def _to_uint8(image: NDArray[np.floating]) -> RGB:
    return np.asarray(np.rint(np.clip(image, 0, 1) * 255), np.uint8)

"""The paper's five views of one image as numbers, in the specimen's own pixels and cut to its outline."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glioscope.core import Canvas, InputError
from glioscope.imaging import unplace

from ._maps import Maps

VIEWS = ("coloured_gcam", "gcam_saliency", "saliency_x_image", "gcam_heatmap", "heatmap_x_image")
"""Names of the five views, in the paper's order; also names of the fields of `Views`."""
TRAINING_RANGE = "range of the training images"
_LINE_PERCENTILE = 99.5
"""Guided maps are thin lines: their few highest pixels must not darken all others."""


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """The five views of one image of H x W px, float32; 0 outside the specimen.

    Attributes
    ----------
    coloured_gcam : (H, W, 3), signed: the guided gradient by each colour channel, times `gcam_heatmap`.
    gcam_saliency : (H, W), at least 0: the absolute values of `coloured_gcam` summed over the channels.
    saliency_x_image : (H, W): `gcam_saliency` times the image's brightness in [0, 1].
    gcam_heatmap : (H, W), at least 0: the positive part of `signed_heatmap`, Grad-CAM.
    heatmap_x_image : (H, W): `gcam_heatmap` times the image's brightness in [0, 1].
    signed_heatmap : (H, W): what speaks for the class (above 0) and against it (below), in logits per cell of the map.
    outside : share of the Grad-CAM that lay outside the specimen and was cut away, 0 to 1.
    """

    coloured_gcam: NDArray[np.float32]
    gcam_saliency: NDArray[np.float32]
    saliency_x_image: NDArray[np.float32]
    gcam_heatmap: NDArray[np.float32]
    heatmap_x_image: NDArray[np.float32]
    signed_heatmap: NDArray[np.float32]
    outside: float


@dataclass(frozen=True, slots=True)
class Scale:
    """The values that are drawn at full strength. Maps that share a scale can be compared.

    `heatmap` and `signed` are in logits per cell, `saliency` and `coloured` in the guided gradient's units. `note`
    says what the scale rests on, for whoever looks at the picture.
    """

    heatmap: float
    signed: float
    saliency: float
    coloured: float
    note: str = "each map scaled by itself"

    @classmethod
    def of(cls, views: Views) -> "Scale":
        """The scale of one image: its largest values (99.5th percentile of the specimen for the guided views)."""
        return cls(
            heatmap=float(views.gcam_heatmap.max(initial=0)),
            signed=float(np.abs(views.signed_heatmap).max(initial=0)),
            saliency=_line_top(views.gcam_saliency),
            coloured=_line_top(np.abs(views.coloured_gcam).max(axis=2)),
        )

    @classmethod
    def shared(cls, scales: Iterable["Scale"]) -> "Scale":
        """The scale that fits a whole set: the largest of each.

        Raises
        ------
        InputError : no scale given.
        """
        given = list(scales)
        if not given:
            raise InputError("a shared scale needs at least one map, got 0")
        numbers = [field.name for field in fields(cls) if field.name != "note"]
        largest = {name: max(getattr(scale, name) for scale in given) for name in numbers}
        return cls(**largest, note=f"one scale for all {len(given)} images of this kind")

    def with_reference(self, low: float, high: float) -> "Scale":
        """The same with the heatmap's range replaced by that of a bundle's training images (`BundleInfo.cam_range`).

        The larger side counts for both classes, so that evidence for one compares with evidence for the other.
        """
        top = max(-low, high, 0.0)
        return Scale(top, top, self.saliency, self.coloured, f"heatmap: {TRAINING_RANGE}; guided views: {self.note}")


def make_views(
    maps: Maps, index: int, canvas: Canvas, brightness: NDArray[np.float32], mask: NDArray[np.bool_]
) -> Views:
    """The five views of image `index` of `maps`.

    Parameters
    ----------
    canvas : of the plan that prepared the image; its padding and resizing are undone.
    brightness : float32 (H, W) in [0, 1], the specimen's image.
    mask : bool (H, W), the specimen; nothing is shown outside.

    Raises
    ------
    InputError : `mask` and `brightness` have different sizes.
    """
    if brightness.shape != mask.shape:
        raise InputError(f"the mask is {mask.shape}, the image {brightness.shape}: they must be of one size")
    height, width = mask.shape
    signed = unplace(maps.cam[index], canvas, (height, width))
    guided = unplace(maps.guided[index].transpose(1, 2, 0), canvas, (height, width))
    whole = np.maximum(signed, 0)
    heatmap = whole * mask
    coloured = guided * heatmap[..., None]
    saliency = np.abs(coloured).sum(axis=2)
    total = float(whole.sum())
    return Views(
        coloured,
        saliency,
        saliency * brightness,
        heatmap,
        heatmap * brightness,
        signed * mask,
        1 - float(heatmap.sum()) / total if total > 0 else 0.0,
    )


def view_arrays(views: Views) -> dict[str, NDArray[np.float32]]:
    """The five views and the signed heatmap by name."""
    return {name: getattr(views, name) for name in (*VIEWS, "signed_heatmap")}


def _line_top(values: NDArray[Any]) -> float:
    inside = values[values > 0]
    return float(np.percentile(inside, _LINE_PERCENTILE)) if inside.size else 0.0

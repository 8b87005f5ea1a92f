"""The heatmap of an answer, from the network's own `cam` output: no further pass, no torch."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import Diagnosis, InputError, TaskDiagnosis, atomic_file
from glioscope.imaging import Pixels, unplace

from ._cascade import Cascade

MEANING = "heatmaps show what the network used, not where tumour is"
"""Stands wherever a heatmap is shown (decision 0014)."""
_STRONGEST = 0.65
"""Share of colour where the map is at the top of its scale: the tissue stays visible below."""


def heatmap(answer: TaskDiagnosis, name: str, diagnosis: Diagnosis, cascade: Cascade) -> NDArray[np.float32]:
    """The signed map of one answer in the specimen's own pixels, 0 outside its outline.

    Parameters
    ----------
    name : input, "fl" or "wl".

    Returns
    -------
    float32 (h, w), of the size of `diagnosis.pixels[name]`, in logits per cell: above 0 speaks for the positive class.

    Raises
    ------
    InputError : the answer has no map of that input.
    """
    if name not in answer.cams or name not in diagnosis.pixels:
        raise InputError(f"the answer of {answer.bundle} to specimen {diagnosis.specimen_id} has no {name} map")
    rows, columns = diagnosis.pixels[name].shape[:2]
    canvas = cascade.bundles[answer.task].plan(name).canvas
    values = unplace(answer.cams[name], canvas, (rows, columns))
    return values if diagnosis.mask is None else values * diagnosis.mask


def draw_heatmap(answer: TaskDiagnosis, name: str, diagnosis: Diagnosis, cascade: Cascade) -> NDArray[np.uint8]:
    """The image with what speaks for the positive class laid over it, on the scale of the training images.

    Returns
    -------
    uint8 (h, w, 3) RGB: the image in grey, coloured in viridis (which the colour-blind read as well) by strength.

    Raises
    ------
    InputError : the answer has no map of that input.
    """
    values = np.maximum(heatmap(answer, name, diagnosis, cascade), 0)
    top = max(cascade.bundles[answer.task].info.cam_range.get(name, (0.0, 0.0))[1], 0.0) or float(values.max()) or 1.0
    share = np.clip(values / np.float32(top), 0, 1)
    grey = _grey(diagnosis.pixels[name])
    colours = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1].astype(np.float32)
    weight = (_STRONGEST * share)[..., None]
    return np.asarray(np.rint(grey[..., None] * (1 - weight) + colours * weight), np.uint8)


def write_heatmaps(folder: Path, diagnosis: Diagnosis, cascade: Cascade) -> Diagnosis:
    """Write SPECIMEN-BUNDLE-INPUT.png for each map there is; returns the diagnosis that refers to them.

    Where a bundle reads two images, `heatmap` names the first.
    """
    tasks = []
    for answer in diagnosis.tasks:
        paths = [folder / f"{_file_name(diagnosis.specimen_id)}-{answer.bundle}-{name}.png" for name in answer.cams]
        for name, path in zip(answer.cams, paths, strict=True):
            picture = draw_heatmap(answer, name, diagnosis, cascade)
            with atomic_file(path) as temporary:
                temporary.write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
        tasks.append(replace(answer, heatmap=str(paths[0]) if paths else None))
    return replace(diagnosis, tasks=tuple(tasks))


def _grey(pixels: Pixels) -> NDArray[np.float32]:
    """The image as brightness 0 to 255; fluorescence from its 1st to its 99.8th percentile."""
    if pixels.ndim == 3:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)
    low, high = np.percentile(pixels, (1.0, 99.8))
    stretched = (pixels.astype(np.float32) - np.float32(low)) * np.float32(255 / max(high - low, 1.0))
    return np.asarray(np.clip(stretched, 0, 255), np.float32)


def _file_name(specimen_id: str) -> str:
    """A name that is a file of the folder, whatever the specimen is called."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in specimen_id).lstrip(".") or "specimen"

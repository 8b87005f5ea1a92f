"""Images of a locked bundle for `evidence`: what its network reads, and where the specimen is on its canvas."""

from collections.abc import Sequence

import numpy as np

from glioscope.core import ImageError, InputError
from glioscope.imaging import SpecimenSource, open_specimen, place

from ._colours import luminance
from ._evidence import JudgedImages
from ._explainer import Explainer, _network_inputs, _prepared, specimen_mask


def judged_images(explainer: Explainer, sources: Sequence[SpecimenSource], name: str) -> JudgedImages:
    """Read and prepare image sets; where the tumour is within a specimen is not known of them.

    Parameters
    ----------
    name : the input whose maps are judged, "fl" or "wl".

    Raises
    ------
    InputError : no source, or the bundle has no such input.
    ImageError : an image that the network needs is missing or cannot be used.
    """
    info = explainer.bundle.info
    if name not in info.modality.inputs:
        raise InputError(f"bundle {info.name} reads {' and '.join(info.modality.inputs)}, not {name}")
    if not sources:
        raise InputError("evidence on maps needs at least one image set, got 0")
    plan = explainer.bundle.plan(name)
    inputs, brightness, masks = [], [], []
    for source in sources:
        specimen = open_specimen(source)
        lacking = [key.upper() for key in info.modality.inputs if key not in specimen.has]
        if lacking:
            raise ImageError(None, f"no {' and '.join(lacking)} image of {specimen.specimen_id}")
        inputs.append(_network_inputs(specimen, explainer.bundle))
        brightness.append(luminance(_prepared(specimen, plan).image))
        outline = specimen_mask(specimen, name).astype(np.uint8) * np.uint8(255)
        masks.append(place(outline, plan.canvas) > 127)
    stacked = {key: np.concatenate([one[key] for one in inputs]) for key in info.modality.inputs}
    return JudgedImages(stacked, name, np.stack(brightness), np.stack(masks))

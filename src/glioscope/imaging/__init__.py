"""Reading every format, 16-bit preprocessing, finding specimens, and how well they stand out.

In: image files and plans of `core`. Out: `RawImage` (counts as stored), `SpecimenRegion` (where specimens are),
`Prepared` (uint8 squares with a record of what was decided), and `network_input` (float32 for a network). Training and
theatre both go through `prepare_specimen`, so a network sees the same bytes in both. Never torch, never Pillow on
fluorescence. Next rooms: `cohort` lists the images, `models` trains on them, `runtime` diagnoses from them.
"""

from ._apply import Prepared, apply_fl_plan, apply_wl_plan, fl_signal
from ._canvas import Box, cut, network_input, place
from ._find import SpecimenRegion, find_specimens
from ._images import ImageHeader, RawImage
from ._normalise import normalise
from ._offset import estimate_flat, estimate_offset
from ._pixels import denoise, estimate_noise, repair_hot_pixels
from ._prepare import PreparedSpecimen, SpecimenSource, prepare_specimen, read_frame, specimen_signal
from ._quality import contrast_to_noise, signal_to_background
from ._read import probe_image, read_fl, read_wl
from ._white import infer_white, infer_white_level, white_of_signals

__all__ = [
    "Box",
    "ImageHeader",
    "Prepared",
    "PreparedSpecimen",
    "RawImage",
    "SpecimenRegion",
    "SpecimenSource",
    "apply_fl_plan",
    "apply_wl_plan",
    "contrast_to_noise",
    "cut",
    "denoise",
    "estimate_flat",
    "estimate_noise",
    "estimate_offset",
    "find_specimens",
    "fl_signal",
    "infer_white",
    "infer_white_level",
    "network_input",
    "normalise",
    "place",
    "prepare_specimen",
    "probe_image",
    "read_fl",
    "read_frame",
    "read_wl",
    "repair_hot_pixels",
    "signal_to_background",
    "specimen_signal",
    "white_of_signals",
]

"""Reading every format, 16-bit preprocessing, finding specimens, and how well they stand out.

In: image files or frames, and plans of `core`. Out: `RawImage` (counts as stored), `SpecimenRegion` (where specimens
are), `SpecimenImages` (one specimen, cut), what the quality gate finds, `Prepared` (uint8 squares with a record of what
was decided), and `network_input` (float32 for a network). Training and theatre both go through `prepare`, so a network
sees the same bytes in both. Never torch, never Pillow on fluorescence. Next rooms: `cohort` lists the images, `models`
trains on them, `runtime` diagnoses from them.
"""

from ._apply import Prepared, apply_fl_plan, apply_wl_plan, fl_signal
from ._canvas import Box, cut, network_input, place, unplace
from ._contrast import (
    Quantity,
    RegionQuantities,
    box_mask,
    polygon_mask,
    quantify_region,
    quantify_specimen,
    specimen_mask,
)
from ._find import SpecimenRegion, find_specimens
from ._freshness import FrameWatch
from ._gate import fit_quality_limits, judge_quality, measure_quality
from ._images import ImageHeader, Pixels, RawImage
from ._normalise import normalise
from ._offset import divide_flat, estimate_flat, estimate_offset, subtract_dark
from ._pixels import denoise, estimate_noise, repair_hot_pixels
from ._prepare import PreparedSpecimen, prepare, prepare_specimen, specimen_signal
from ._quality import contrast_to_noise, signal_to_background
from ._raster import png_header
from ._read import probe_image, read_fl, read_wl
from ._registration import (
    Registration,
    Residual,
    check_registration,
    read_registration,
    register_cameras,
    write_registration,
)
from ._registration_target import Target
from ._specimen import SpecimenImages, SpecimenSource, open_specimen, read_frame, specimens_in_frames
from ._white import infer_white, infer_white_level, white_of_signals

__all__ = [
    "Box",
    "FrameWatch",
    "ImageHeader",
    "Pixels",
    "Prepared",
    "PreparedSpecimen",
    "Quantity",
    "RawImage",
    "RegionQuantities",
    "Registration",
    "Residual",
    "SpecimenImages",
    "SpecimenRegion",
    "SpecimenSource",
    "Target",
    "apply_fl_plan",
    "apply_wl_plan",
    "box_mask",
    "check_registration",
    "contrast_to_noise",
    "cut",
    "denoise",
    "divide_flat",
    "estimate_flat",
    "estimate_noise",
    "estimate_offset",
    "find_specimens",
    "fit_quality_limits",
    "fl_signal",
    "infer_white",
    "infer_white_level",
    "judge_quality",
    "measure_quality",
    "network_input",
    "normalise",
    "open_specimen",
    "place",
    "png_header",
    "polygon_mask",
    "prepare",
    "prepare_specimen",
    "probe_image",
    "quantify_region",
    "quantify_specimen",
    "read_fl",
    "read_frame",
    "read_registration",
    "read_wl",
    "register_cameras",
    "repair_hot_pixels",
    "signal_to_background",
    "specimen_mask",
    "specimen_signal",
    "specimens_in_frames",
    "subtract_dark",
    "unplace",
    "white_of_signals",
    "write_registration",
]

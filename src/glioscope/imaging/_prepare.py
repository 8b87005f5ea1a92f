"""The one path from a specimen's images to what a network reads, for training and theatre alike."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glioscope.core import FLPlan, ImageError, WLPlan

from ._apply import Prepared, apply_fl_plan, apply_wl_plan, fl_signal
from ._canvas import Box
from ._specimen import SpecimenImages, SpecimenSource, open_specimen


@dataclass(frozen=True, slots=True)
class PreparedSpecimen:
    """What the networks read of one specimen; None where no image or no plan was given. `box`: where it was cut."""

    specimen_id: str
    fl: Prepared | None
    wl: Prepared | None
    box: Box | None = None


def prepare(
    images: SpecimenImages, *, fl_plan: FLPlan | None = None, wl_plan: WLPlan | None = None
) -> PreparedSpecimen:
    """Apply the plans to a specimen's images.

    Raises
    ------
    ImageError : exposure or irradiance missing where the plan scales by them; dark or flat frame of another size.
    """
    fl, wl = images.fl, images.wl
    return PreparedSpecimen(
        images.specimen_id,
        apply_fl_plan(
            fl_plan,
            fl,
            exposure_ms=images.fl_exposure_ms,
            irradiance_mw_cm2=images.irradiance_mw_cm2,
            dark=images.dark,
            flat=images.flat,
        )
        if fl is not None and fl_plan is not None
        else None,
        apply_wl_plan(wl_plan, wl) if wl is not None and wl_plan is not None else None,
        images.box,
    )


def prepare_specimen(
    source: SpecimenSource, *, fl_plan: FLPlan | None = None, wl_plan: WLPlan | None = None
) -> PreparedSpecimen:
    """`open_specimen`, then `prepare`: from files to what the networks read.

    Raises
    ------
    ImageError : as those two.
    """
    images = open_specimen(source, want_fl=fl_plan is not None, want_wl=wl_plan is not None)
    return prepare(images, fl_plan=fl_plan, wl_plan=wl_plan)


def specimen_signal(source: SpecimenSource, plan: FLPlan) -> NDArray[np.float32]:
    """Counts (h, w) of the cut specimen as `plan` normalises them, see `fl_signal`; for `white_of_signals`.

    Raises
    ------
    ImageError : as `prepare_specimen`, and where the source has no fluorescence image.
    """
    images = open_specimen(source, want_wl=False)
    if images.fl is None:
        raise ImageError(None, f"specimen {source.specimen_id} has no FL image")
    return fl_signal(
        plan,
        images.fl,
        exposure_ms=images.fl_exposure_ms,
        irradiance_mw_cm2=images.irradiance_mw_cm2,
        dark=images.dark,
        flat=images.flat,
    )[0]

"""What the quality gate allows; `imaging` measures, bundles carry limits fitted to their training images."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Limit = Annotated[float, Field(allow_inf_nan=False)]


class QualityLimits(BaseModel):
    """Limits of the gate, on the measures of `imaging.measure_quality`; None: not checked.

    The defaults hold for any system. The others depend on device, scale and tissue: `imaging.fit_quality_limits`
    takes them from training images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fl_saturated_max: Limit | None = 0.03
    """Share of the specimen at full scale; there intensity and texture are lost."""
    fl_contrast_min: Limit | None = 3.0
    """Specimen above background as a multiple of the pixel noise; below 3 nothing is seen."""
    fl_byte_order_max: Limit | None = 3.0
    """Roughness as stored over roughness with the bytes swapped; pictures are smooth, so above 1 is the wrong order."""
    fl_bits_min: Limit | None = None
    fl_bits_max: Limit | None = None
    """Bits that the bright pixels take (log2 of the 99th percentile)."""
    fl_zero_bits_max: Limit | None = None
    """Low bits that are 0 in every pixel."""
    fl_background_min: Limit | None = None
    fl_background_max: Limit | None = None
    """Counts of the background; they fall with exposure and laser, and rise with ambient light."""
    fl_signal_min: Limit | None = None
    """Counts of the specimen above the background."""
    fl_sharpness_min: Limit | None = None
    fl_sharpness_max: Limit | None = None
    """Fine detail over coarser detail; scattering bounds it above, so what is sharper is no fluorescence."""
    wl_contrast_min: Limit | None = 4.0
    """Specimen beside its surroundings as a multiple of the pixel noise."""
    wl_saturated_max: Limit | None = 0.10
    """Share of the specimen that is white without colour; moist tissue has some glare."""
    wl_brightness_min: Limit | None = 12.0
    wl_brightness_max: Limit | None = None
    """Mean grey level of the specimen, 0 to 255."""
    wl_sharpness_min: Limit | None = None
    """Fine detail over coarser detail."""
    wl_colour_min: Limit | None = 1.0
    """Mean difference between the strongest and the weakest channel, in grey levels of 255.

    It is 0 for a grey picture; noise alone keeps that of a colour camera above 1.
    """
    wl_red_green_min: Limit | None = None
    wl_red_green_max: Limit | None = None
    wl_blue_green_min: Limit | None = None
    wl_blue_green_max: Limit | None = None
    """Colour of the specimen: log2 of red over green, and of blue over green."""
    pair_similarity_max: Limit | None = 0.95
    """Correlation of the two pictures inside the specimen; 1 where both slots hold the same picture."""
    pair_shift_px_max: Limit | None = None
    """Distance between the specimen in one picture and in the other."""

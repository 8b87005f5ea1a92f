"""The limits of the quality gate as a table: measure, side, meaning, and how a limit follows from training images."""

from dataclasses import dataclass
from typing import Literal

FL_SEEN, WL_SEEN = "fl_contrast_min", "wl_contrast_min"
WL_LIT = (WL_SEEN, "wl_brightness_min", "wl_brightness_max", "wl_saturated_max")


@dataclass(frozen=True, slots=True)
class Check:
    """One limit.

    `quantile` of the training images (counted from the checked side) and their median set the limit: as far beyond
    the quantile as `margin` times the distance of the two, at least `least`. No quantile: absolute, not fitted.
    `needs`: limits that must hold for this one to be asked; without a specimen in sight sharpness, for example, is
    that of the noise.
    """

    measure: str
    bound: Literal["min", "max"]
    reason: str
    sentence: str
    unit: str = ""
    factor: float = 1.0
    quantile: float | None = None
    margin: float = 1.0
    least: float = 0.0
    logarithmic: bool = False
    needs: tuple[str, ...] = ()

    @property
    def limit_name(self) -> str:
        """Field of `QualityLimits`."""
        return f"{self.measure}_{self.bound}"

    def beyond(self, value: float, limit: float) -> bool:
        """Whether the value is on the wrong side of the limit."""
        return value < limit if self.bound == "min" else value > limit


_BOTH: tuple[Literal["min", "max"], ...] = ("min", "max")
ROOT_CAUSES = ("fl_wrong_bits", "fl_wrong_modality", "wl_wrong_modality", "pair_same_picture")
"""Whatever else is wrong with the same images follows from these."""

_BITS = "fluorescence has the wrong bit range ({0}): check the camera's pixel format and the export"
_FL_SLOT = "the fluorescence slot does not hold fluorescence ({0}): check which camera is which"
_WL_SLOT = "the white-light slot does not hold a picture in white light ({0}): check which camera is which"
_COLOUR = "its colour, {0}, is {{value:+.2f}} octaves, {{limit:+.2f}} is the limit"

CHECKS: tuple[Check, ...] = (
    Check(
        measure="fl_byte_order",
        bound="max",
        reason="fl_wrong_bits",
        sentence=_BITS.format("bytes swapped: {value:.0f} times as rough as the other way round"),
        unit="times",
    ),
    Check(
        measure="fl_bits",
        bound="min",
        reason="fl_wrong_bits",
        sentence=_BITS.format("bright pixels take {value:.1f} bits, {limit:.1f} or more are usual"),
        unit="bit",
        quantile=0.005,
        margin=0.0,
        least=3.0,
    ),
    Check(
        measure="fl_bits",
        bound="max",
        reason="fl_wrong_bits",
        sentence=_BITS.format("bright pixels take {value:.1f} bits, {limit:.1f} or fewer are usual"),
        unit="bit",
        quantile=0.005,
        margin=0.0,
        least=3.0,
    ),
    Check(
        measure="fl_zero_bits",
        bound="max",
        reason="fl_wrong_bits",
        sentence=_BITS.format("the lowest {value:.0f} bits are 0 in every pixel"),
        unit="bit",
        quantile=0.0,
        margin=0.0,
        least=2.0,
    ),
    Check(
        measure="pair_similarity",
        bound="max",
        reason="pair_same_picture",
        sentence="both slots hold the same picture (correlation {value:.2f}): check which camera is which",
        needs=(FL_SEEN, WL_SEEN),
    ),
    Check(
        measure="fl_sharpness",
        bound="max",
        reason="fl_wrong_modality",
        sentence=_FL_SLOT.format("detail of {value:.2f}, scattering leaves {limit:.2f} at most"),
        quantile=0.005,
        logarithmic=True,
        needs=(FL_SEEN,),
    ),
    Check(
        measure="wl_colour",
        bound="min",
        reason="wl_wrong_modality",
        sentence=_WL_SLOT.format("it has no colour, {value:.1f} grey levels between channels"),
        unit="grey levels",
    ),
    *(
        Check(
            measure=measure,
            bound=bound,
            reason="wl_wrong_modality",
            sentence=_WL_SLOT.format(_COLOUR.format(words)) + " and the white balance",
            unit="octaves",
            quantile=0.005,
            margin=1.5,
            least=0.1,
            needs=WL_LIT,
        )
        for measure, words in (("wl_red_green", "red over green"), ("wl_blue_green", "blue over green"))
        for bound in _BOTH
    ),
    Check(
        measure="fl_saturated",
        bound="max",
        reason="fl_saturated",
        sentence="fluorescence saturated in {value:.0f} % of the specimen: shorten the exposure",
        unit="%",
        factor=100.0,
    ),
    Check(
        measure="fl_contrast",
        bound="min",
        reason="fl_blank",
        sentence="no specimen seen in fluorescence ({value:.1f} times the noise): check its place, laser and lens cap",
        unit="times the noise",
        quantile=0.005,
        margin=0.6,
        logarithmic=True,
    ),
    Check(
        measure="fl_background",
        bound="min",
        reason="fl_underexposed",
        sentence="fluorescence under-exposed (background of {value:.0f} counts): check laser, lengthen exposure",
        unit="counts",
        quantile=0.005,
    ),
    Check(
        measure="fl_signal",
        bound="min",
        reason="fl_underexposed",
        sentence="fluorescence under-exposed (specimen of {value:.0f} counts): check laser, lengthen exposure",
        unit="counts",
        quantile=0.005,
        margin=0.5,
        logarithmic=True,
        needs=(FL_SEEN,),
    ),
    Check(
        measure="fl_background",
        bound="max",
        reason="fl_ambient",
        sentence="too much ambient light (background of {value:.0f} counts): dim the room, shield the specimen",
        unit="counts",
        quantile=0.005,
    ),
    Check(
        measure="fl_sharpness",
        bound="min",
        reason="fl_defocused",
        sentence="fluorescence out of focus (detail of {value:.2f}, {limit:.2f} or more is usual): set the distance",
        quantile=0.005,
        margin=0.5,
        logarithmic=True,
        needs=(FL_SEEN,),
    ),
    Check(
        measure="wl_contrast",
        bound="min",
        reason="wl_blank",
        sentence="no specimen seen in white light ({value:.1f} times the noise): check its place, lamp and lens cap",
        unit="times the noise",
    ),
    Check(
        measure="wl_saturated",
        bound="max",
        reason="wl_saturated",
        sentence="white light saturated in {value:.0f} % of the specimen: shorten the exposure or dim the lamp",
        unit="%",
        factor=100.0,
    ),
    Check(
        measure="wl_brightness",
        bound="max",
        reason="wl_saturated",
        sentence="white light too bright (grey level {value:.0f} of 255): shorten the exposure or dim the lamp",
        unit="grey levels",
        quantile=0.005,
        needs=(WL_SEEN,),
    ),
    Check(
        measure="wl_brightness",
        bound="min",
        reason="wl_dark",
        sentence="white light too dark (grey level {value:.0f} of 255): switch on the lamp or lengthen the exposure",
        unit="grey levels",
        quantile=0.005,
    ),
    Check(
        measure="wl_sharpness",
        bound="min",
        reason="wl_defocused",
        sentence="white light out of focus (detail of {value:.2f}, {limit:.2f} or more is usual): set the distance",
        quantile=0.005,
        least=0.3,
        logarithmic=True,
        needs=WL_LIT,
    ),
    Check(
        measure="pair_shift_px",
        bound="max",
        reason="pair_moved",
        sentence="the specimen moved by {value:.0f} px between the two pictures: hold still and take both again",
        unit="px",
        quantile=0.025,
        least=3.0,
        needs=(FL_SEEN, WL_SEEN),
    ),
)

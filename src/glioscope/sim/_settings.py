"""All parameters of the simulator: typed, frozen, each with its unit and its source, and hashed."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

FEASIBILITY = "feasibility study of this project (prototype tuned on one cohort)"
TUNED = "tuned on cohort seed 1000 so that the cohort meets the seven requirements of docs/simulator.md"
NEAR_FEASIBILITY = "started from the feasibility study, then " + TUNED
ASSUMED = "assumed: plausible order of magnitude, no measurement at hand"
JOHANSSON = "brain optics at 1064 nm: Table 1 of PMC6366475"
HB = "haemoglobin absorption compiled by S. Prahl, omlc.org/spectra/hemoglobin, 150 g/l, 70 % saturation, rounded"
PAPER = "Shen et al. 2021"
INGAAS = (
    "order of magnitude for a cooled 640 x 512, 20 um InGaAs camera (Teledyne Princeton Instruments NIRvana 640 "
    "class); its technical note 'Signal and Noise' gives QE above 85 % from 900 to 1500 nm and dark currents from "
    "10 e-/s (nitrogen-cooled) to tens of thousands e-/s (uncooled); the data sheet itself was not at hand"
)


def _p(default: Any, unit: str, source: str) -> Any:
    """A parameter with its unit and its source, both kept in the schema and printed to settings.json."""
    return Field(default=default, json_schema_extra={"unit": unit, "source": source})


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Geometry(_Group):
    """Outline and thickness of a specimen: independent of its class."""

    mm_per_px: float = _p(0.1, "mm/px", FEASIBILITY)
    radius_mm: float = _p(3.9, "mm", FEASIBILITY)
    radius_patient_sd: float = _p(0.04, "log", "smaller than in the prototype, so that size says little of a patient")
    radius_sd: float = _p(0.13, "log", FEASIBILITY)
    lobes_sd: float = _p(0.055, "1", "relative amplitude of each of five outline harmonics; assumed")
    thickness_mm: tuple[float, float] = _p((2.0, 4.0), "mm", FEASIBILITY)


class Biology(_Group):
    """Latent state of the tissue, given its true class."""

    flipped_share: float = _p(0.02, "1", "pathology is not perfect: this share of labels of each class; " + TUNED)
    fraction_tumor: tuple[float, float] = _p((0.8, 0.8), "logit: mean, sd", NEAR_FEASIBILITY)
    fraction_normal: tuple[float, float] = _p((-2.7, 1.0), "logit: mean, sd", NEAR_FEASIBILITY)
    leak_gbm: float = _p(0.75, "log", FEASIBILITY + "; contrast of high-grade glioma 6.8 +- 2.2: PMC8613832")
    leak_wildtype: float = _p(0.15, "log", ASSUMED)
    leak_codeleted: float = _p(-0.10, "log", ASSUMED)
    leak_sd: float = _p(0.25, "log", FEASIBILITY)
    reactive_share: float = _p(0.45, "1", NEAR_FEASIBILITY)
    reactive_uptake: float = _p(1.0, "uptake", NEAR_FEASIBILITY)
    reactive_sd: float = _p(0.6, "log", FEASIBILITY)
    reactive_patient_sd: float = _p(0.4, "log", FEASIBILITY)
    grey_matter_sd: float = _p(1.0, "logit", ASSUMED)
    vascularity_tumor: float = _p(0.35, "sd", ASSUMED)
    vascularity_gbm: float = _p(0.6, "sd", "microvascular proliferation is a criterion of WHO grade IV; size assumed")
    vascularity_proliferation: float = _p(0.35, "sd per sd", ASSUMED)
    vascularity_wildtype: float = _p(0.3, "sd", ASSUMED)
    necrosis_gbm: tuple[float, float] = _p((-1.27, 0.7), "logit: mean (0.22), sd", FEASIBILITY)
    necrosis_dlgg: tuple[float, float] = _p((-3.5, 0.6), "logit: mean (0.03), sd", FEASIBILITY)
    necrosis_normal: tuple[float, float] = _p((-3.9, 0.5), "logit: mean (0.02), sd", ASSUMED)
    proliferation_gbm: float = _p(0.9, "sd", "GBM has a higher Ki-67 index; size assumed")
    proliferation_grade3: float = _p(0.5, "sd", ASSUMED)
    ki67_spread: float = _p(0.9, "log per sd", "Ki-67 of about 2-40 % around a cut-off of 10 %; assumed")


class FLAppearance(_Group):
    """How the latent state shows in fluorescence. `sd` is what hides it from any observer of the image."""

    uptake_base: float = _p(0.6, "uptake", FEASIBILITY)
    uptake_grey: float = _p(0.15, "uptake", FEASIBILITY)
    uptake_tumor: float = _p(3.8, "uptake per fraction", NEAR_FEASIBILITY)
    uptake_patient_sd: float = _p(0.20, "log", FEASIBILITY)
    bleaching_patient_sd: float = _p(0.08, "log", ASSUMED)
    uptake_sd: float = _p(0.24, "log", NEAR_FEASIBILITY)
    irradiance_patient_sd: float = _p(0.15, "log", FEASIBILITY)
    irradiance_sd: float = _p(0.08, "log", FEASIBILITY)
    streak_base: float = _p(1.0, "log elongation", TUNED)
    streak_fraction: float = _p(0.60, "log elongation per logit", "infiltration along fibre tracts; " + TUNED)
    streak_sd: float = _p(0.30, "log elongation", TUNED)
    grain_mm: float = _p(0.22, "mm", "sigma of the smoothing kernel; " + NEAR_FEASIBILITY)
    grain_proliferation: float = _p(-0.065, "log per sd", TUNED)
    grain_sd: float = _p(0.12, "log", TUNED)
    texture: float = _p(
        0.75, "log", "amplitude of the emission's texture, the same in all classes; " + NEAR_FEASIBILITY
    )
    texture_sd: float = _p(0.20, "log", ASSUMED)
    necrosis_share: float = _p(0.55, "logit per logit", TUNED)
    necrosis_sd: float = _p(0.75, "logit", TUNED)
    necrosis_darkness: float = _p(0.75, "1", "dead tissue takes up no dye; assumed")


class WLAppearance(_Group):
    """How the latent state shows in white light. `sd` is what hides it from any observer of the image."""

    greying_fraction: float = _p(0.56, "logit per logit", TUNED)
    greying_base: float = _p(-0.1, "logit", TUNED)
    greying_patient_sd: float = _p(0.24, "logit", TUNED)
    greying_sd: float = _p(0.58, "logit", TUNED)
    lamination_fraction: float = _p(-0.20, "log per logit", "tumour effaces the grey-white boundary; " + TUNED)
    lamination_base: float = _p(-0.55, "log", TUNED)
    lamination_sd: float = _p(0.50, "log", TUNED)
    blood_fraction: float = _p(0.018, "1", "cerebral blood volume of 2-5 %; " + ASSUMED)
    blood_vascularity: float = _p(0.25, "log per sd", TUNED)
    blood_patient_sd: float = _p(0.20, "log", ASSUMED)
    blood_sd: float = _p(0.28, "log", TUNED)
    vessels_vascularity: float = _p(0.30, "log per sd", TUNED)
    vessels_sd: float = _p(0.55, "log", TUNED)
    branching_codeleted: float = _p(0.9, "sd", "'chicken-wire' capillaries of oligodendroglioma; size assumed")
    mottle_proliferation: float = _p(0.60, "sd per sd", TUNED)
    mottle_sd: float = _p(1.0, "sd", TUNED)
    necrosis_share: float = _p(0.60, "logit per logit", TUNED)
    necrosis_sd: float = _p(0.65, "logit", TUNED)


class Colour(_Group):
    """Colours of tissue in white light (linear RGB reflectance) and absorption of blood."""

    white_matter: tuple[float, float, float] = _p((0.80, 0.74, 0.63), "reflectance", ASSUMED)
    grey_matter: tuple[float, float, float] = _p((0.58, 0.50, 0.45), "reflectance", ASSUMED)
    tumor: tuple[float, float, float] = _p((0.55, 0.52, 0.54), "reflectance", ASSUMED)
    necrosis: tuple[float, float, float] = _p((0.73, 0.60, 0.32), "reflectance", ASSUMED)
    plate: tuple[float, float, float] = _p((0.035, 0.055, 0.075), "reflectance", ASSUMED)
    blood_absorption_per_mm: tuple[float, float, float] = _p((1.2, 26.8, 20.4), "1/mm at 625, 545, 460 nm", HB)
    path_mm: tuple[float, float, float] = _p((1.6, 0.9, 1.0), "mm", "mean path of remitted light; assumed")
    patient_cast_sd: float = _p(0.012, "log per channel", "0.035 made green tissue in the prototype")
    light_patient_sd: float = _p(0.06, "log", ASSUMED)
    light_sd: float = _p(0.05, "log", ASSUMED)


class Optics(_Group):
    """From emitted light to the sensor."""

    depth_mm: float = _p(1.2, "mm", FEASIBILITY + "; 1/mu_eff: white matter 0.9 mm, grey 3.3 mm, " + JOHANSSON)
    near_blur_mm: float = _p(0.15, "mm", NEAR_FEASIBILITY)
    far_blur_mm: float = _p(1.2, "mm", FEASIBILITY)
    far_share: float = _p(0.45, "1", FEASIBILITY)
    lens_blur_px: float = _p(0.6, "px", ASSUMED)
    vignetting: float = _p(0.25, "1, loss at the corners of the full frame", FEASIBILITY)
    plate_emission: float = _p(0.25, "uptake", FEASIBILITY)
    ambient: float = _p(0.15, "uptake", FEASIBILITY)
    ambient_sd: float = _p(0.45, "log", FEASIBILITY)
    ambient_patient_sd: float = _p(0.40, "log", FEASIBILITY)
    distance_mm: tuple[float, float] = _p((300.0, 4.0), "mm: mean, sd", ASSUMED)


class InfraredCamera(_Group):
    """The InGaAs camera of the fluorescence channel."""

    columns: int = _p(640, "px", PAPER)
    rows: int = _p(512, "px", PAPER)
    bits: int = _p(16, "bit", PAPER)
    exposure_ms: float = _p(100.0, "ms", ASSUMED)
    photons_per_unit: float = _p(14000.0, "photons per uptake and pixel in 100 ms at 50 mW/cm2", FEASIBILITY)
    quantum_efficiency: float = _p(0.85, "1", INGAAS)
    dark_current: float = _p(300.0, "e-/s", INGAAS)
    read_noise: float = _p(120.0, "e- rms", INGAAS)
    electrons_per_adu: float = _p(8.0, "e-/ADU", INGAAS)
    offset_adu: float = _p(600.0, "ADU", ASSUMED)
    column_gain_sd: float = _p(0.01, "1", FEASIBILITY)
    hot_pixels: int = _p(400, "px of the full frame", FEASIBILITY + " (25 on a cut of 160 x 128)")
    hot_pixel_adu: tuple[float, float] = _p((3000.0, 30000.0), "ADU", ASSUMED)


class ColourCamera(_Group):
    """The colour camera of the white-light channel."""

    full_scale_electrons: float = _p(9000.0, "e-", ASSUMED)
    read_noise: float = _p(12.0, "e- rms", ASSUMED)
    blur_px: float = _p(0.7, "px", ASSUMED)
    exposure: float = _p(0.92, "1", ASSUMED)


class Readers(_Group):
    """Three simulated surgeons."""

    n_readers: int = _p(3, "1", PAPER)
    fl_sensitivity: float = _p(0.912, "1", PAPER)
    wl_sensitivity: float = _p(0.820, "1", PAPER)
    fl_noise: float = _p(0.35, "log intensity", ASSUMED)
    wl_noise: float = _p(2.1, "logit", ASSUMED)
    context: float = _p(0.5, "logit", "they read with the operation in view, so know more than the image; " + TUNED)


FROZEN_SETTINGS_SHA256 = "309a09b36286b9233407183dcb8db78f1bc0e3f6bed86a0ea8713c6ffb1fadef"
"""Hash of the defaults. They were tuned on cohort seed 1000 only; results are reported on other seeds."""


class SimSettings(_Group):
    """Every parameter of the simulator."""

    geometry: Geometry = Geometry()
    biology: Biology = Biology()
    fl: FLAppearance = FLAppearance()
    wl: WLAppearance = WLAppearance()
    colour: Colour = Colour()
    optics: Optics = Optics()
    infrared: InfraredCamera = InfraredCamera()
    colour_camera: ColourCamera = ColourCamera()
    readers: Readers = Readers()

    @property
    def sha256(self) -> str:
        """SHA-256 over all values as canonical JSON: 64 hexadecimal digits."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def described(self) -> dict[str, dict[str, Any]]:
        """Group -> parameter -> value, unit and source."""
        return {
            group: {
                name: {"value": getattr(getattr(self, group), name), **_extra(field.json_schema_extra)}
                for name, field in type(getattr(self, group)).model_fields.items()
            }
            for group in type(self).model_fields
        }


def _extra(extra: Any) -> dict[str, Any]:
    return dict(extra) if isinstance(extra, dict) else {}

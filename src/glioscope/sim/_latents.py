"""From true class to latent tissue state, and from there to what an image can carry.

The chain is class -> tissue -> appearance -> image. The renderer sees the appearance only, never a class or the
tissue; so whatever a network can know of a class passes through the columns of `FL_CARRIED` and `WL_CARRIED`, and
the posterior given exactly these columns bounds every observer of one specimen's images (see `_oracle`).
"""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from ._design import Design
from ._settings import SimSettings

Floats = npt.NDArray[np.float64]

FL_CARRIED = ("fl_log_intensity", "fl_streak", "fl_log_grain", "fl_necrosis")
"""All that a fluorescence image can carry of the class."""
WL_CARRIED = (
    "wl_greying",
    "wl_lamination",
    "wl_log_blood",
    "wl_log_vessels",
    "wl_branching",
    "wl_mottle",
    "wl_necrosis",
)
"""All that a white-light image can carry of the class."""
CARRIED = {"fl": FL_CARRIED, "wl": WL_CARRIED, "fusion": FL_CARRIED + WL_CARRIED}


@dataclass(frozen=True, slots=True)
class Tissue:
    """Latent state of every specimen; arrays of one entry a specimen."""

    fraction_logit: Floats
    grey_matter: Floats
    leak: Floats
    reactive: Floats
    vascularity: Floats
    necrosis_logit: Floats
    proliferation: Floats


@dataclass(frozen=True, slots=True)
class Appearance:
    """Everything the renderer needs of one specimen; the first eleven depend on class, the rest never."""

    fl_log_intensity: float
    fl_streak: float
    fl_log_grain: float
    fl_necrosis: float
    wl_greying: float
    wl_lamination: float
    wl_log_blood: float
    wl_log_vessels: float
    wl_branching: float
    wl_mottle: float
    wl_necrosis: float
    fl_texture: float
    radius_mm: float
    thickness_mm: float
    ambient: float
    light: float
    cast_red: float
    cast_green: float
    cast_blue: float


APPEARANCE_COLUMNS = tuple(field.name for field in fields(Appearance))


def draw_tissue(design: Design, settings: SimSettings, rng: np.random.Generator) -> Tissue:
    """Draw the latent state of all specimens given their true classes."""
    biology = settings.biology
    n = len(design.patient)
    tumor, gbm = design.true_tumor, design.true_tumor & design.gbm
    wildtype, codeleted = tumor & design.wildtype, tumor & design.codeleted

    def normal(where: npt.NDArray[np.bool_], *, yes: tuple[float, float], no: Floats) -> Floats:
        return np.where(where, yes[0] + yes[1] * rng.standard_normal(n), no)

    fraction = normal(
        tumor,
        yes=biology.fraction_tumor,
        no=biology.fraction_normal[0] + biology.fraction_normal[1] * rng.standard_normal(n),
    )
    leak = (
        biology.leak_gbm * gbm
        + biology.leak_wildtype * wildtype
        + biology.leak_codeleted * codeleted
        + biology.leak_sd * rng.standard_normal(n)
    )
    reactive_patient = biology.reactive_patient_sd * rng.standard_normal(design.n_patients)
    reactive = (rng.random(n) < biology.reactive_share) * (
        biology.reactive_uptake
        * np.exp(biology.reactive_sd * rng.standard_normal(n) + reactive_patient[design.patient])
    )
    proliferation = np.where(tumor, design.proliferation, design.proliferation.mean() - 1.0)
    vascularity = (
        biology.vascularity_tumor * tumor
        + biology.vascularity_gbm * gbm
        + biology.vascularity_wildtype * wildtype
        + biology.vascularity_proliferation * proliferation
        + rng.standard_normal(n)
    )
    normal_necrosis = biology.necrosis_normal[0] + biology.necrosis_normal[1] * rng.standard_normal(n)
    necrosis = normal(tumor & ~gbm, yes=biology.necrosis_dlgg, no=normal_necrosis)
    necrosis = normal(gbm, yes=biology.necrosis_gbm, no=necrosis)
    grey = 1 / (1 + np.exp(-biology.grey_matter_sd * rng.standard_normal(n)))
    return Tissue(fraction, grey, leak, reactive, vascularity, necrosis, proliferation)


def draw_appearance(
    design: Design, tissue: Tissue, settings: SimSettings, rng: np.random.Generator
) -> dict[str, Floats]:
    """Draw what the images will show: one array a column of `Appearance`."""
    columns = {
        **_fluorescence(design, tissue, settings, rng),
        **_white_light(design, tissue, settings, rng),
        **_nuisance(design, settings, rng),
    }
    return {name: columns[name] for name in APPEARANCE_COLUMNS}


def _fluorescence(design: Design, tissue: Tissue, settings: SimSettings, rng: np.random.Generator) -> dict[str, Floats]:
    fl, n = settings.fl, len(design.patient)
    fraction = 1 / (1 + np.exp(-tissue.fraction_logit))
    uptake = (
        fl.uptake_base
        + fl.uptake_grey * tissue.grey_matter
        + fl.uptake_tumor * fraction * np.exp(tissue.leak)
        + tissue.reactive
    )
    # Dye, bleaching and laser power of a patient act alike: their log-normal factors multiply.
    patient_sd = np.sqrt(fl.uptake_patient_sd**2 + fl.bleaching_patient_sd**2 + fl.irradiance_patient_sd**2)
    specimen_sd = np.hypot(fl.uptake_sd, fl.irradiance_sd)
    factor = _two_levels(design, patient_sd, specimen_sd, rng)
    return {
        "fl_log_intensity": np.log(uptake) + factor,
        "fl_streak": fl.streak_base + fl.streak_fraction * tissue.fraction_logit + fl.streak_sd * _noise(n, rng),
        "fl_log_grain": np.log(fl.grain_mm)
        + fl.grain_proliferation * tissue.proliferation
        + fl.grain_sd * _noise(n, rng),
        "fl_necrosis": -3.0 + fl.necrosis_share * (tissue.necrosis_logit + 3.0) + fl.necrosis_sd * _noise(n, rng),
        "fl_texture": fl.texture * np.exp(fl.texture_sd * _noise(n, rng)),
    }


def _white_light(design: Design, tissue: Tissue, settings: SimSettings, rng: np.random.Generator) -> dict[str, Floats]:
    wl, n = settings.wl, len(design.patient)
    greying = _two_levels(design, wl.greying_patient_sd, wl.greying_sd, rng)
    blood = _two_levels(design, wl.blood_patient_sd, wl.blood_sd, rng)
    codeleted = design.true_tumor & design.codeleted
    return {
        "wl_greying": wl.greying_base + wl.greying_fraction * tissue.fraction_logit + greying,
        "wl_lamination": wl.lamination_base
        + wl.lamination_fraction * tissue.fraction_logit
        + wl.lamination_sd * _noise(n, rng),
        "wl_log_blood": np.log(wl.blood_fraction) + wl.blood_vascularity * tissue.vascularity + blood,
        "wl_log_vessels": wl.vessels_vascularity * tissue.vascularity + wl.vessels_sd * _noise(n, rng),
        "wl_branching": wl.branching_codeleted * codeleted + _noise(n, rng),
        "wl_mottle": wl.mottle_proliferation * tissue.proliferation + wl.mottle_sd * _noise(n, rng),
        "wl_necrosis": -3.0 + wl.necrosis_share * (tissue.necrosis_logit + 3.0) + wl.necrosis_sd * _noise(n, rng),
    }


def _nuisance(design: Design, settings: SimSettings, rng: np.random.Generator) -> dict[str, Floats]:
    geometry, optics, colour = settings.geometry, settings.optics, settings.colour
    n = len(design.patient)
    size = _two_levels(design, geometry.radius_patient_sd, geometry.radius_sd, rng)
    ambient = _two_levels(design, optics.ambient_patient_sd, optics.ambient_sd, rng)
    casts = np.exp(colour.patient_cast_sd * rng.standard_normal((3, design.n_patients)))
    return {
        "radius_mm": geometry.radius_mm * np.exp(np.clip(size, -0.32, 0.32)),
        "thickness_mm": rng.uniform(*geometry.thickness_mm, n),
        "ambient": optics.ambient * np.exp(ambient),
        "light": np.exp(_two_levels(design, colour.light_patient_sd, colour.light_sd, rng)),
        "cast_red": casts[0][design.patient],
        "cast_green": casts[1][design.patient],
        "cast_blue": casts[2][design.patient],
    }


def _two_levels(design: Design, patient_sd: float, specimen_sd: float, rng: np.random.Generator) -> Floats:
    """A random effect of the patient plus one of the specimen."""
    patients = patient_sd * rng.standard_normal(design.n_patients)
    return np.asarray(patients[design.patient] + specimen_sd * _noise(len(design.patient), rng))


def _noise(n: int, rng: np.random.Generator) -> Floats:
    return rng.standard_normal(n)

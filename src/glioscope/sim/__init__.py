"""A synthetic cohort with a known ceiling, drawn from an explicit physical model. Everything it writes is SIMULATED.

In: numbers of patients and specimens, a seed, and `SimSettings`. Out: a folder with `manifest.csv`, `readings.csv`,
`oracle.csv`, `settings.json` and images, which `cohort` reads like any other. Design (`_design`) -> tissue and
appearance (`_latents`) -> painted specimen (`_render`, `_fields`) -> cameras (`_cameras`) -> files (`_write`,
`_trays`); ceilings (`_oracle`), readers (`_readers`) and the hand-made baseline (`_features`) stand beside. No torch.
Next room: `cohort`, which reads the manifest.
"""

from ._design import Design, draw_design
from ._features import HAND_MADE_FEATURES, hand_made_features, specimen_mask
from ._latents import CARRIED, Appearance, draw_appearance, draw_tissue
from ._live import FLSource, WLSource, make_sources
from ._live_plate import Ambient, LiveScene, Plate, lay_plate
from ._mixed import MixedSpecimen, draw_mixed_pairs, render_mixed
from ._oracle import oracle_columns
from ._phantom import PhantomFaults, PhantomPair, PhantomTruth, render_phantom
from ._settings import FROZEN_SETTINGS_SHA256, SimSettings
from ._target import Lens, TargetPair, photograph_target
from ._trays import Tray, TraySpecimen, render_tray
from ._write import SimulatedCohort, simulate

__all__ = [
    "CARRIED",
    "FROZEN_SETTINGS_SHA256",
    "HAND_MADE_FEATURES",
    "Ambient",
    "Appearance",
    "Design",
    "FLSource",
    "Lens",
    "LiveScene",
    "MixedSpecimen",
    "PhantomFaults",
    "PhantomPair",
    "PhantomTruth",
    "Plate",
    "SimSettings",
    "SimulatedCohort",
    "TargetPair",
    "Tray",
    "TraySpecimen",
    "WLSource",
    "draw_appearance",
    "draw_design",
    "draw_mixed_pairs",
    "draw_tissue",
    "hand_made_features",
    "lay_plate",
    "make_sources",
    "oracle_columns",
    "photograph_target",
    "render_mixed",
    "render_phantom",
    "render_tray",
    "simulate",
    "specimen_mask",
]

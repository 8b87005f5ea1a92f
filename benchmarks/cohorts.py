"""Simulated cohorts that benchmarks share, kept in benchmarks/work under the hash of the simulator's settings."""

from pathlib import Path

from common import WORK
from glioscope.sim import SimSettings, simulate


def simulated(seed: int) -> Path:
    """Folder of the full-size cohort of this seed, drawn once."""
    folder = WORK / f"sim-{SimSettings().sha256[:8]}-{seed}"
    if not (folder / "manifest.csv").is_file():
        simulate(folder, seed=seed)
    return folder

"""Simulated surgeons against the paper's operating points."""

import numpy as np
import pytest

from glioscope.sim import SimSettings
from glioscope.sim._oracle import Reference
from glioscope.sim._readers import draw_readings

SETTINGS = SimSettings()


@pytest.fixture(scope="module")
def points() -> dict[str, tuple[float, float]]:
    population = Reference(SETTINGS, 4, entropy=123)
    label = population.labels["tumor"][0]
    ids = [str(i) for i in range(len(label))]
    rows = draw_readings(ids, population.columns, label, SETTINGS, np.random.default_rng(0))
    out = {}
    for modality in ("fl", "wl"):
        read = np.array([row["reading"] for row in rows if row["modality"] == modality]).reshape(3, -1)
        out[modality] = (float(read[:, label].mean()), float(1 - read[:, ~label].mean()))
    return out


def test_fluorescence_readers_match_the_paper(points: dict[str, tuple[float, float]]) -> None:
    assert points["fl"][0] == pytest.approx(0.912, abs=0.03)
    assert points["fl"][1] == pytest.approx(0.606, abs=0.06)


def test_white_light_readers_match_the_paper(points: dict[str, tuple[float, float]]) -> None:
    assert points["wl"][0] == pytest.approx(0.820, abs=0.03)
    assert points["wl"][1] == pytest.approx(0.827, abs=0.04)

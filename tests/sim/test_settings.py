"""The defaults are frozen: tuned on one cohort seed, reported on others."""

import pytest
from pydantic import ValidationError

from glioscope.sim import FROZEN_SETTINGS_SHA256, SimSettings


def test_defaults_are_the_frozen_ones() -> None:
    assert SimSettings().sha256 == FROZEN_SETTINGS_SHA256


def test_every_parameter_has_a_unit_and_a_source() -> None:
    for group, parameters in SimSettings().described().items():
        for name, entry in parameters.items():
            assert set(entry) == {"value", "unit", "source"}, (group, name)
            assert entry["unit"], (group, name)
            assert len(entry["source"]) > 5, (group, name)


def test_a_changed_parameter_changes_the_hash() -> None:
    settings = SimSettings()
    other = settings.model_copy(update={"optics": settings.optics.model_copy(update={"ambient": 0.2})})
    assert other.sha256 != settings.sha256


def test_unknown_and_late_changes_are_refused() -> None:
    with pytest.raises(ValidationError):
        SimSettings.model_validate({"lens": {}})
    with pytest.raises(ValidationError):
        SimSettings().optics.ambient = 1.0

"""Whether the light was on during an exposure, from what the keeper said around it."""

import pytest

from glioscope.core import LaserReport, LaserState
from glioscope.devices._laser_history import LaserHistory


def history(*states: tuple[float, LaserState, float | None]) -> LaserHistory:
    made = LaserHistory()
    for time_s, state, irradiance in states:
        made.add(LaserReport(state, "", 0.0, irradiance, time_s))
    return made


def test_on_all_through_is_on_at_the_mean_irradiance() -> None:
    made = history((0.9, LaserState.EMITTING, 48.0), (1.02, LaserState.EMITTING, 50.0))
    assert made.during(1.0, 1.04) == {"laser_on": True, "irradiance_mw_cm2": pytest.approx(49.0)}


def test_dark_all_through_is_off() -> None:
    made = history((0.9, LaserState.ARMED, 0.0), (1.02, LaserState.FAULT, None))
    assert made.during(1.0, 1.04) == {"laser_on": False, "irradiance_mw_cm2": 0.0}


def test_a_change_within_the_exposure_is_neither() -> None:
    assert history((0.9, LaserState.ARMED, 0.0), (1.02, LaserState.EMITTING, 50.0)).during(1.0, 1.04) == {}


def test_a_change_after_the_exposure_does_not_count() -> None:
    made = history((0.9, LaserState.EMITTING, 50.0), (1.06, LaserState.FAULT, None))
    assert made.during(1.0, 1.04)["laser_on"] is True


def test_nothing_is_known_without_a_word_from_before() -> None:
    assert history((1.02, LaserState.EMITTING, 50.0)).during(1.0, 1.04) == {}


def test_a_word_just_after_the_exposure_counts_for_it() -> None:
    made = history((0.9, LaserState.EMITTING, 50.0), (1.045, LaserState.ARMED, 0.0))
    assert made.during(1.0, 1.04) == {}

import json
from dataclasses import replace

import pytest

from glioscope.laser import Beam, KeeperSettings, Limits, SettingsError, check_settings, read_settings, write_settings


def test_settings_survive_their_line():
    settings = KeeperSettings("socket://127.0.0.1:1", 10, 4, Limits(power_mw=3, beam=Beam(profile="flat"), gated=True))
    assert read_settings(write_settings(settings)) == settings


def test_an_empty_table_is_the_default_which_has_no_port_and_no_power():
    settings = read_settings("{}")
    assert settings == KeeperSettings()
    assert (settings.port, settings.limits.power_mw, settings.limits.farthest_mm) == ("", 0, 0)
    assert settings.limits.commanded_mw == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"prot": "COM4"}, "did you mean 'port'"),
        ({"limits": {"heartbeat": 400}}, "did you mean 'heartbeat_ms'"),
        ({"limits": {"beam": {"diameter": 4}}}, "did you mean 'diameter_mm'"),
        ({"limits": {"heartbeat_ms": 501}}, "501 is outside 1 to 500"),
        ({"limits": {"limit_mw_cm2": "55"}}, "not a number"),
        ({"limits": {"limit_mw_cm2": True}}, "not a number"),
        ({"limits": {"gated": 1}}, "not true or false"),
        ({"limits": {"limit_mw_cm2": 50}}, "not below the limit"),
        ({"limits": {"setpoint_mw_cm2": 60}}, "not below the limit"),
        ({"limits": {"working_mm": 5}}, "outside the window"),
        ({"limits": {"nearest_mm": 5, "working_mm": 5}}, "outside the window"),
        ({"limits": {"beam": {"divergence_mrad": -1}}}, "outside 0"),
        ({"limits": {"beam": {"profile": "square"}}}, "neither"),
        ({"limits": 5}, "not a table"),
        ([], "not a table"),
    ],
)
def test_what_makes_no_sense_is_named_with_value_and_limit(words, message):
    with pytest.raises(SettingsError, match=message):
        read_settings(json.dumps(words))


@pytest.mark.parametrize("line", ["", "{", "{'port': 1}"])
def test_what_is_not_json_is_an_error(line):
    with pytest.raises(SettingsError, match="not JSON"):
        read_settings(line)


def test_numbers_that_are_none_are_refused():
    with pytest.raises(SettingsError, match="not a number"):
        read_settings('{"limits": {"power_mw": NaN}}')
    with pytest.raises(SettingsError, match="power_mw"):
        check_settings(KeeperSettings(limits=replace(Limits(), power_mw=float("nan"))))

"""What the drivers see here, and what is said where one is absent."""

import importlib
import time

import pytest

from glioscope.core import DeviceError
from glioscope.devices._aravis_driver import load_aravis
from glioscope.devices._aravis_settings import AravisCameraSettings
from glioscope.devices._found_cameras import found_cameras
from glioscope.devices._micromanager_core import adapter_folders, load_pymmcore
from glioscope.devices._micromanager_settings import MicroManagerCameraSettings

REAL = importlib.import_module


def absent(*missing):
    def load(name):
        if name in missing:
            raise ImportError(name)
        return REAL(name)

    return load


def test_cameras_are_found_within_two_seconds_or_so():
    began = time.monotonic()
    found_cameras()
    assert time.monotonic() - began < 4.0  # 1.2 s on an idle machine


def test_the_demo_camera_is_listed_with_settings_that_open_it():
    try:
        load_pymmcore("test")
    except DeviceError as error:
        pytest.skip(error.reason)
    if not adapter_folders():
        pytest.skip("no Micro-Manager adapters: pip install mm-test-adapters")
    demo = next(device for device in found_cameras().devices if device.settings.get("device") == "DCam")
    assert (demo.kind, demo.settings["library"]) == ("camera", "DemoCamera")
    camera = MicroManagerCameraSettings(**demo.settings).make("fl")
    camera.stage()
    camera.unstage()


def test_the_fake_camera_is_listed_with_settings_that_open_it():
    try:
        load_aravis("test")
    except DeviceError as error:
        pytest.skip(error.reason)
    fake = next(device for device in found_cameras().devices if device.settings.get("interface") == "fake")
    camera = AravisCameraSettings(**fake.settings).make("fl")
    camera.stage()
    camera.unstage()


def test_absent_drivers_are_named_with_the_commands_that_install_them(monkeypatch):
    monkeypatch.setattr(importlib, "import_module", absent("gi", "pymmcore"))
    found = found_cameras()
    assert found.devices == ()
    assert len(found.notes) == 2
    assert "pip install 'glioscope[devices]'" in found.notes[0]
    assert "apt install gir1.2-aravis-0.8" in found.notes[1]


def test_a_driver_without_adapters_says_so(monkeypatch):
    monkeypatch.setattr("glioscope.devices._found_cameras.adapter_folders", list)
    monkeypatch.setattr(importlib, "import_module", absent("gi"))
    if any("glioscope[devices]" in note for note in found_cameras().notes):
        pytest.skip("Micro-Manager's driver is not installed")
    assert any("adapters are not installed: mmcore install" in note for note in found_cameras().notes)

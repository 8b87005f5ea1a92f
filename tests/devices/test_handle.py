"""The handle on a pipe that carries the kernel's bytes, and the simulated one."""

import os
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from glioscope.core import DeviceError, DeviceState, Handle, HandlePosition
from glioscope.devices._handle import JoystickHandle, JoystickSettings, SimulatedHandle

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="joysticks are read on Linux only")


def _event(value: int, kind: int, number: int) -> bytes:
    """`struct js_event` by the kernel's documentation, little-endian: u32 time, s16 value, u8 type, u8 number."""
    return struct.pack("<I", 123456) + struct.pack("<h", value) + bytes([kind, number])


def _soon(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 3
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return False


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[tuple[JoystickHandle, int]]:
    pipe = tmp_path / "js0"
    os.mkfifo(pipe)
    device = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    handle = JoystickHandle("handle", str(pipe), dead_man_button=2, dead_zone=0.0)
    handle.stage()
    yield handle, device
    handle.unstage()
    os.close(device)


def _position(handle: JoystickHandle) -> HandlePosition:
    position = handle.read()
    assert position is not None
    return position


def test_button_and_axes_are_read_from_the_kernels_bytes(rig: tuple[JoystickHandle, int]) -> None:
    handle, device = rig
    assert isinstance(handle, Handle)
    assert _soon(lambda: handle.read() is not None)
    assert not _position(handle).held
    os.write(device, _event(1, 0x01, 2) + _event(-16384, 0x02, 1) + _event(32767, 0x02, 0))
    assert _soon(lambda: _position(handle).held)
    assert _soon(lambda: _position(handle).deflection["rotation"] == 1.0)
    assert _position(handle).deflection["distance"] == pytest.approx(-0.5, abs=1e-3)
    os.write(device, _event(0, 0x01, 2))
    assert _soon(lambda: not _position(handle).held)


def test_other_buttons_and_axes_do_nothing(rig: tuple[JoystickHandle, int]) -> None:
    handle, device = rig
    os.write(device, _event(1, 0x01, 0) + _event(1, 0x01, 3) + _event(30000, 0x02, 7))
    time.sleep(0.2)
    assert not _position(handle).held
    assert set(_position(handle).deflection.values()) == {0.0}


def test_the_first_made_up_events_of_the_kernel_count(rig: tuple[JoystickHandle, int]) -> None:
    handle, device = rig
    os.write(device, _event(1, 0x81, 2) + _event(-32767, 0x82, 1))
    assert _soon(lambda: handle.read() is not None and _position(handle).held)
    assert _soon(lambda: _position(handle).deflection["distance"] == -1.0)


def test_a_device_that_is_silent_but_there_stays_fresh(rig: tuple[JoystickHandle, int]) -> None:
    handle, _ = rig
    assert _soon(lambda: handle.read() is not None)
    time.sleep(0.3)
    assert _soon(lambda: time.monotonic() - _position(handle).monotonic_s < 0.06)


def test_events_cut_in_two_are_put_together(rig: tuple[JoystickHandle, int]) -> None:
    handle, device = rig
    whole = _event(1, 0x01, 2)
    os.write(device, whole[:3])
    time.sleep(0.1)
    os.write(device, whole[3:])
    assert _soon(lambda: _position(handle).held)


def test_a_lost_device_is_not_held(tmp_path: Path) -> None:
    pipe = tmp_path / "js0"
    os.mkfifo(pipe)
    device = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    handle = JoystickHandle("handle", str(pipe))
    handle.stage()
    os.write(device, _event(1, 0x01, 0))
    assert _soon(lambda: handle.read() is not None and _position(handle).held)
    os.close(device)
    assert _soon(lambda: handle.report().state is DeviceState.FAULT)
    with pytest.raises(DeviceError, match=r"lost.*not held"):
        handle.read()
    assert handle.report().details["held"] is False
    handle.stop()
    handle.unstage()
    handle.unstage()


def test_a_dead_zone_is_at_rest_and_the_rest_is_stretched() -> None:
    handle = JoystickHandle("handle", "none", dead_zone=0.2, reversed_axes=frozenset({"distance"}))
    assert handle._scaled("rotation", 6000) == 0
    assert handle._scaled("rotation", 32767) == 1
    assert handle._scaled("rotation", round(0.6 * 32767)) == pytest.approx(0.5, abs=1e-3)
    assert handle._scaled("distance", -32768) == 1


def test_a_missing_device_is_named() -> None:
    with pytest.raises(DeviceError, match=r"handle: /dev/input/none does not open: No such file"):
        JoystickHandle("handle", "/dev/input/none").stage()
    with pytest.raises(DeviceError, match="not staged"):
        JoystickHandle("handle", "/dev/input/none").read()


def test_settings_make_it_and_refuse_a_typo() -> None:
    handle = JoystickSettings(backend="joystick", device="/dev/input/js1").make("handle")
    assert handle.report().details["device"] == "/dev/input/js1"
    with pytest.raises(ValidationError, match="buton"):
        JoystickSettings.model_validate({"backend": "joystick", "buton": 1})


def test_the_simulated_handle_is_let_go_at_first_and_lost_unplugged() -> None:
    handle = SimulatedHandle("handle")
    assert isinstance(handle, Handle)
    handle.stage()
    position = handle.read()
    assert position is not None and not position.held
    handle.push(True, distance=0.5)
    position = handle.read()
    assert position is not None and position.held and position.deflection == {"distance": 0.5}
    handle.unplug()
    with pytest.raises(DeviceError, match="not held"):
        handle.read()
    assert handle.report().state is DeviceState.FAULT and handle.report().details["held"] is False
    handle.unstage()
    with pytest.raises(DeviceError, match="no handle"):
        handle.stage()

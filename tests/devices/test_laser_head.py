import math
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from glioscope.core import DeviceError, InputError
from glioscope.devices._laser_head import HeadWorld, SimulatedHead
from glioscope.devices._laser_light import RING, TAU_S, LightFile, LightWatch
from glioscope.laser import DriverError, ObisDriver
from glioscope.laser._driver import fault_sentence
from glioscope.laser._simulated_head import Head


@pytest.fixture
def light(tmp_path):
    path = tmp_path / "light"
    file = LightFile(path)
    yield file, LightWatch(path)
    file.close()


def test_light_rises_and_falls_within_a_millisecond_or_two(light):
    file, watch = light
    file.go_to(100.0, 10.0)
    assert watch.power_mw(9.99) == 0
    assert watch.power_mw(10 + 0.001) > 90
    file.go_to(0.0, 11.0)
    assert watch.power_mw(11 + 0.003) < 0.1
    assert watch.power_mw(10.5) == pytest.approx(100)  # the past can be asked for


def test_mean_power_is_the_integral_of_the_power(light):
    file, watch = light
    for target, when in ((100.0, 1.0), (0.0, 1.002), (50.0, 1.0025), (80.0, 1.02), (0.0, 1.04)):
        file.go_to(target, when)
    for start, end in ((0.9, 0.95), (0.99, 1.001), (1.0, 1.05), (1.003, 1.0301), (1.035, 1.2), (0.5, 2.0)):
        times = np.linspace(start, end, 200_001)
        changes = watch.changes()
        index = np.searchsorted([each.monotonic_s for each in changes], times, side="right") - 1
        powers = np.zeros_like(times)
        for number, change in enumerate(changes):
            rest = (change.start_mw - change.target_mw) * np.exp(-np.maximum(times - change.monotonic_s, 0) / TAU_S)
            powers = np.where(index == number, change.target_mw + rest, powers)
        integral = np.trapezoid(powers, times) / (end - start)
        assert watch.mean_power_mw(start, end) == pytest.approx(integral, rel=1e-4, abs=1e-4)
    assert watch.mean_power_mw(1.01, 1.01) == pytest.approx(50, abs=0.1)


def test_the_ring_keeps_the_newest_changes(light):
    file, watch = light
    for number in range(RING + 100):
        file.go_to(float(number), float(number))
    changes = watch.changes()
    assert len(changes) == RING - 1
    assert [changes[0].monotonic_s, changes[-1].monotonic_s] == [101, RING + 99]
    assert [each.monotonic_s for each in watch.changes(RING + 90.5)] == list(range(RING + 90, RING + 100))


def test_what_is_no_light_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        LightWatch(tmp_path / "nothing")
    (tmp_path / "other").write_bytes(bytes(200_000))
    with pytest.raises(InputError, match="not the light"):
        LightWatch(tmp_path / "other")


def ask(head, *lines):
    return [head.answer(each) for each in lines][-1]


def test_the_head_speaks_the_words_of_a_real_one(light):
    head = Head(light[0])
    assert ask(head, "SOURce:AM:STATe?") == "OFF\r\nOK\r\n"
    assert ask(head, "SYSTem:LOCK?") == "OFF\r\nOK\r\n"
    assert ask(head, "nonsense") == "ERR-110\r\n"
    assert ask(head, "SOURce:POWer:LEVel:IMMediate:AMPLitude 99") == "ERR-100\r\n"
    assert ask(head, "SOURce:AM:STATe ON", "SOURce:AM:STATe?") == "OFF\r\nOK\r\n"  # the key is off
    head.change(key=True)
    assert ask(head, "SOURce:POWer:LEVel:IMMediate:AMPLitude 0.2", "SOURce:AM:STATe ON") == "OK\r\n"
    time.sleep(0.01)
    assert ask(head, "SOURce:POWer:LEVel?") == "0.200000\r\nOK\r\n"
    assert int(ask(head, "SYSTem:STATus?").split()[0], 16) == 2
    head.change(key=False)
    time.sleep(0.01)
    assert ask(head, "SOURce:POWer:LEVel?") == "0.000000\r\nOK\r\n"
    assert int(ask(head, "SYSTem:STATus?").split()[0], 16) == 8


@pytest.fixture(scope="module")
def staged():
    with SimulatedHead("head", HeadWorld(key=True)) as head:
        yield head


def polled(driver):
    while (reading := driver.poll()) is None:
        pass
    return reading


def test_the_driver_sets_reads_and_darkens(staged):
    driver = ObisDriver(staged.port, 50)
    driver.open()
    assert polled(driver).key and polled(driver).power_mw == 0
    driver.light(300)
    time.sleep(0.02)
    assert staged.light.power_mw(time.monotonic()) == pytest.approx(300)
    readings = [driver.poll() for _ in range(6)]
    assert readings[-1].power_mw == pytest.approx(300) and readings[-1].emission
    assert readings[-1].temperature_c == pytest.approx(25, abs=3)
    driver.dark()
    time.sleep(0.02)
    assert staged.light.power_mw(time.monotonic()) == pytest.approx(0, abs=1e-6)
    driver.close()


@pytest.mark.parametrize(
    ("world", "message"),
    [
        ({"mute": True}, "did not answer"),
        ({"unplugged": True}, "did not answer"),
        ({"garbled": True}, "answered"),
        ({"slow_ms": 80}, "did not answer"),
    ],
)
def test_the_driver_ends_every_exchange_in_time(staged, world, message):
    driver = ObisDriver(staged.port, 30)
    driver.open()
    staged.change(**world)
    try:
        began = time.monotonic()
        with pytest.raises(DriverError, match=message):
            driver.poll()
        assert time.monotonic() - began < 0.2
    finally:
        staged.change(mute=False, unplugged=False, garbled=False, slow_ms=0)
        driver.close()


def test_a_port_that_is_lost_or_was_never_there_is_a_driver_error():
    with pytest.raises(DriverError, match="cannot be opened"):
        ObisDriver("/dev/no-such-port", 20).open()
    with pytest.raises(DriverError, match="not open"):
        ObisDriver("/dev/no-such-port", 20).dark()
    with SimulatedHead() as head:
        driver = ObisDriver(head.port, 20)
        driver.open()
    with pytest.raises(DriverError, match=r"lost|did not answer"):
        for _ in range(5):
            driver.poll()


@pytest.mark.skipif(os.name == "nt", reason="pseudo-terminals of POSIX")
def test_a_serial_port_is_locked_for_one_keeper():
    _, slave = os.openpty()
    driver = ObisDriver(os.ttyname(slave), 20)
    driver.open()
    with pytest.raises(DriverError, match="cannot be opened"):
        ObisDriver(os.ttyname(slave), 20).open()
    driver.close()


def test_fault_words_become_sentences():
    assert fault_sentence(0) == ""
    assert "diode is too hot" in fault_sentence(2)
    assert "see its manual" in fault_sentence(0x80000000)


def test_a_head_without_parent_ends_dark(tmp_path):
    path = tmp_path / "light"
    words = [sys.executable, "-m", "glioscope.laser._simulated_head", str(path)]
    child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    port = child.stdout.readline()
    assert "port" in port
    child.stdin.write('{"key": true}\n')
    child.stdin.flush()
    child.stdout.readline()
    driver = ObisDriver(f"socket://127.0.0.1:{port.split(':')[1].strip(' }' + chr(10))}", 50)
    driver.open()
    driver.light(100)
    time.sleep(0.01)
    watch = LightWatch(path)
    assert watch.power_mw(time.monotonic()) > 90
    child.stdin.close()
    assert child.wait(5) == 0
    assert watch.power_mw(math.inf) == 0
    driver.close()
    child.stdout.close()


def test_a_head_that_is_not_staged_says_so():
    head = SimulatedHead()
    assert head.light is None and head.port == ""
    with pytest.raises(DeviceError, match="not staged"):
        head.change(key=True)
    head.unstage()

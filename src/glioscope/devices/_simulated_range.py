"""Simulated rangefinders: one in process, and a head on loopback that sends the bytes of the Benewake TF series."""

import socket
import threading
import time
from collections.abc import Callable
from enum import StrEnum

import numpy as np

from glioscope.core import DeviceError, DeviceReport, DeviceState, Distance

_RATE_HZ = 100.0
_STRENGTH = 2000
_WEAK_STRENGTH = 20
_TEMPERATURE_C = 35.0
_JUMP_MM = 150.0


class RangeFault(StrEnum):
    """What can be wrong with a simulated rangefinder: `JUMP` adds 150 mm, as a reflex does; `GARBAGE` is bad bytes."""

    SILENT = "silent"
    JUMP = "jump"
    GARBAGE = "garbage"
    WEAK = "weak"


class RangeSensor:
    """Measures a true distance at 100 Hz with noise; the same tick gives the same measurement to all who ask.

    Parameters
    ----------
    true_distance_mm : monotonic_s -> mm.
    noise_mm : standard deviation of one measurement.
    """

    def __init__(self, true_distance_mm: Callable[[float], float], *, noise_mm: float = 1.0, seed: int = 0) -> None:
        self._true, self._noise_mm, self._seed = true_distance_mm, noise_mm, seed
        self.fault: RangeFault | None = None

    def measure(self, now: float) -> Distance:
        """Of the newest tick at or before `now`."""
        tick = int(now * _RATE_HZ)
        then = tick / _RATE_HZ
        noise = float(np.random.default_rng((self._seed, tick)).standard_normal()) * self._noise_mm
        jump = _JUMP_MM if self.fault is RangeFault.JUMP else 0.0
        return Distance(max(self._true(then) + noise + jump, 0.0), then)


class SimulatedRangeFinder:
    """`core.RangeFinder` on a `RangeSensor`, without bytes; runs in virtual time as well.

    `inject` begins a fault; silent, weak and garbage all show as a reading that grows old.
    """

    def __init__(
        self, name: str, sensor: RangeSensor, *, silent_s: float = 0.2, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._sensor, self._silent_s, self._clock = name, sensor, silent_s, clock
        self._state, self._plugged = DeviceState.OFF, True
        self._newest: Distance | None = None
        self._staged_s = clock()

    @property
    def name(self) -> str:
        """Name in this unit."""
        return self._name

    def stage(self) -> None:
        """Measure from now on. Raises DeviceError while it is unplugged."""
        if not self._plugged:
            raise DeviceError(self._name, "no rangefinder is found: unplugged; look at the cable")
        self._newest, self._staged_s, self._state = None, self._clock(), DeviceState.RUNNING

    def read(self) -> Distance | None:
        """The newest reading. Raises DeviceError when lost or not staged."""
        if self._state is DeviceState.OFF:
            raise DeviceError(self._name, "is not staged")
        if not self._plugged or self._state is DeviceState.FAULT:
            self._state = DeviceState.FAULT
            raise DeviceError(self._name, "is lost: unplugged; look at the cable, then stage it anew")
        if self._sensor.fault in (None, RangeFault.JUMP):
            self._newest = self._sensor.measure(self._clock())
        return self._newest

    def stop(self) -> None:
        """Nothing: it measures from `stage` to `unstage`."""

    def unstage(self) -> None:
        """Measure no more."""
        self._state = DeviceState.OFF

    def report(self) -> DeviceReport:
        """State, and a fault when it has been silent."""
        state, now = self._state, self._clock()
        faults: tuple[str, ...] = ()
        if state is not DeviceState.OFF and not self._plugged:
            state, faults = DeviceState.FAULT, ("unplugged: look at the cable",)
        elif state is DeviceState.RUNNING and self._sensor.fault not in (None, RangeFault.JUMP):
            since = self._newest.monotonic_s if self._newest is not None else self._staged_s
            if now - since > self._silent_s:
                faults = (f"{self._sensor.fault}: no reading for {now - since:.1f} s, limit {self._silent_s:g} s",)
        staged = self._state is not DeviceState.OFF
        details: dict[str, float | int | str | bool] = {"simulated": True}
        if self._newest is not None:
            details |= {"distance_mm": self._newest.distance_mm, "age_s": round(now - self._newest.monotonic_s, 3)}
        model = "simulated rangefinder"
        return DeviceReport(self._name, state, model, _TEMPERATURE_C if staged else None, faults, details)

    def inject(self, fault: RangeFault) -> None:
        """Begin a fault in place of the one before."""
        self._sensor.fault = fault

    def heal(self) -> None:
        """End the fault."""
        self._sensor.fault = None

    def unplug(self) -> None:
        """Pull the cable."""
        self._plugged = False

    def plug(self) -> None:
        """Put the cable back; it has to be staged anew."""
        self._plugged = True


class SimulatedRangeHead:
    """A rangefinder's head on a loopback port: sends frames at 100 Hz to whoever connects. A context manager.

    Attributes
    ----------
    url : for `SerialRangeFinder`; empty until it is entered.
    """

    def __init__(self, sensor: RangeSensor) -> None:
        self.sensor = sensor
        self.url = ""
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._server: socket.socket | None = None

    def __enter__(self) -> "SimulatedRangeHead":
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.1)
        self.url = f"socket://127.0.0.1:{self._server.getsockname()[1]}"
        self._ending.clear()
        self._thread = threading.Thread(target=self._serve, args=(self._server,), name="range head", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        if self._thread is not None:
            self._thread.join()

    def _serve(self, server: socket.socket) -> None:
        with server:
            while not self._ending.is_set():
                try:
                    client, _ = server.accept()
                except TimeoutError:
                    continue
                with client:
                    self._send_to(client)

    def _send_to(self, client: socket.socket) -> None:
        rng = np.random.default_rng(0)
        while not self._ending.wait(1 / _RATE_HZ):
            try:
                client.sendall(self._bytes(rng))
            except OSError:  # the other side has closed its port, as it may
                return

    def _bytes(self, rng: np.random.Generator) -> bytes:
        fault = self.sensor.fault
        if fault is RangeFault.SILENT:
            return b""
        if fault is RangeFault.GARBAGE:
            return rng.bytes(9)
        strength = _WEAK_STRENGTH if fault is RangeFault.WEAK else _STRENGTH
        distance = self.sensor.measure(time.monotonic()).distance_mm
        return encoded(round(distance), strength, _TEMPERATURE_C)


def encoded(distance_mm: int, strength: int, temperature_c: float) -> bytes:
    """Nine bytes as the head sends them; values beyond 16 bits are cut to their range."""
    words = (distance_mm, strength, round((temperature_c + 256) * 8))
    head = b"\x59\x59" + b"".join(min(max(word, 0), 65535).to_bytes(2, "little") for word in words)
    return head + bytes([sum(head) & 0xFF])

"""A SIMULATED laser head in a process of its own, which speaks the SCPI words of a real one on a loopback port.

`python -m glioscope.laser._simulated_head LIGHT_FILE`: prints its port, takes orders to the simulated world (key,
faults) as JSON lines and answers each with the time from which it holds; ends, dark, with the process that started it.
It stands in this room because it has to start as fast as the keeper does; nothing but simulations uses it.
"""

import contextlib
import json
import os
import random
import selectors
import socket
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from ._priority import take_priority
from ._simulated_light import LightFile

OVER_TEMPERATURE = 0x2
TICK_S, IDLE_S = 0.002, 0.05
MODEL = "simulated 808 nm head"


@dataclass(frozen=True, slots=True)
class HeadWorld:
    """What can be done to the simulated head; the defaults are a sound head with its key turned off.

    Attributes
    ----------
    key : switch turned on. key_cuts : turning it off cuts the diode's current, as in a real head, besides telling so.
    interlock : the hardware loop is closed; open, it cuts the current whatever else is wrong.
    hot : over-temperature: fault bit and 70 degrees Celsius.
    stuck : switching off is acknowledged but does nothing.
    mute : hears, but does not answer. unplugged : neither hears nor answers.
    garbled : answers with noise. slow_ms : answers late.
    drift_mw_s : power creeps up by itself. weak : share of the power that is lost.
    watchdog_ms : goes dark by itself when nothing was asked for so long; 0: never, as heads usually do.
    max_mw : highest power it can be set to.
    """

    key: bool = False
    key_cuts: bool = True
    interlock: bool = True
    hot: bool = False
    stuck: bool = False
    mute: bool = False
    unplugged: bool = False
    garbled: bool = False
    slow_ms: float = 0.0
    drift_mw_s: float = 0.0
    weak: float = 0.0
    watchdog_ms: float = 0.0
    max_mw: float = 2000.0


class Head:
    """Physics and words of the head; every method may be called from any thread."""

    def __init__(self, light: LightFile) -> None:
        self._light = light
        self._lock = threading.Lock()
        self._on = False
        self._set_mw = 0.0
        self._target_mw = 0.0
        self._drift_since_s: float | None = None
        self._heard_s = time.monotonic()
        self.world = HeadWorld()

    def change(self, **words: Any) -> float:
        """Change the world; gives the time from which it holds."""
        with self._lock:
            self.world = replace(self.world, **words)
            now = time.monotonic()
            self._drift_since_s = (self._drift_since_s or now) if self.world.drift_mw_s else None
            self._follow(now)
            return now

    def tick(self) -> None:
        """Let time pass: drift and watchdog."""
        with self._lock:
            now = time.monotonic()
            watchdog_s = self.world.watchdog_ms / 1000
            if watchdog_s and now - self._heard_s > watchdog_s:
                self._on = False
            self._follow(now)

    def answer(self, words: str) -> str | None:
        """Obey one line; the answer with its handshake, or None when nothing comes back."""
        with self._lock:
            if self.world.unplugged:
                return None
            self._heard_s = time.monotonic()
            answer = self._obey(words)
            self._follow(time.monotonic())
            if self.world.mute:
                return None
            return "".join(random.choices("0fA.x?", k=9)) + "\r\n?\r\n" if self.world.garbled else answer

    @property
    def restless(self) -> bool:
        """Whether time alone changes the light."""
        return bool(self.world.drift_mw_s or self.world.watchdog_ms)

    def _obey(self, words: str) -> str:
        name, _, value = words.strip().upper().partition(" ")
        now = time.monotonic()
        if name == "SOURCE:AM:STATE" and value in ("ON", "OFF"):
            if value == "ON" and self.world.key and self.world.interlock:
                self._on = True
            elif value == "OFF" and not self.world.stuck:
                self._on = False
            return "OK\r\n"
        if name == "SOURCE:POWER:LEVEL:IMMEDIATE:AMPLITUDE":
            with contextlib.suppress(ValueError):
                if 0 <= float(value) * 1000 <= self.world.max_mw:
                    self._set_mw = float(value) * 1000
                    return "OK\r\n"
            return "ERR-100\r\n"
        power = self._light.power_mw(now)
        closed = self.world.key and self.world.interlock
        status = (1 if self.world.hot else 0) | (2 if self._on else 0) | (8 if not self.world.key else 0)
        answers = {
            "SOURCE:POWER:LEVEL?": f"{power / 1000:.6f}",
            "SOURCE:POWER:LEVEL:IMMEDIATE:AMPLITUDE?": f"{self._set_mw / 1000:.6f}",
            "SOURCE:AM:STATE?": "ON" if self._on else "OFF",
            "SYSTEM:STATUS?": f"{status:08X}",
            "SYSTEM:FAULT?": f"{OVER_TEMPERATURE if self.world.hot else 0:08X}",
            "SYSTEM:LOCK?": "ON" if closed else "OFF",
            "SOURCE:TEMPERATURE:DIODE?": "70.0C" if self.world.hot else f"{25 + power / 200:.1f}C",
            "SYSTEM:INFORMATION:MODEL?": MODEL,
        }
        return f"{answers[name]}\r\nOK\r\n" if name in answers else "ERR-110\r\n"

    def _follow(self, now: float) -> None:
        """Bring the light to where orders and world send it."""
        cut = not self.world.interlock or (not self.world.key and self.world.key_cuts)
        if cut:
            self._on = False
        target = self._set_mw * (1 - self.world.weak) if self._on else 0.0
        if target and self._drift_since_s is not None:
            target += self.world.drift_mw_s * (now - self._drift_since_s)
        if target != self._target_mw:
            self._target_mw = target
            self._light.go_to(target, now)


def serve(head: Head, server: socket.socket) -> None:
    """Answer one owner of the port after another, for ever."""
    selector = selectors.DefaultSelector()
    selector.register(server, selectors.EVENT_READ)
    received: dict[socket.socket, bytes] = {}
    while True:
        for key, _ in selector.select(TICK_S if head.restless else IDLE_S):
            if key.fileobj is server:
                connection, _ = server.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                received[connection] = b""
                selector.register(connection, selectors.EVENT_READ)
                continue
            connection = key.fileobj  # type: ignore[assignment]
            try:
                chunk = connection.recv(4096)
                *lines, rest = (received[connection] + chunk).split(b"\n")
                for line in lines:
                    answer = head.answer(line.decode("ascii", "replace"))
                    if answer is not None:
                        time.sleep(head.world.slow_ms / 1000)
                        connection.sendall(answer.encode("ascii"))
                received[connection] = rest
            except OSError:
                chunk = b""
            if not chunk:
                selector.unregister(connection)
                connection.close()
                del received[connection]
        head.tick()


def _orders(head: Head, lines: IO[str]) -> None:
    """Obey JSON lines about the world until they end; then the light goes and the process with it."""
    try:
        for line in lines:
            since = head.change(**json.loads(line))
            sys.stdout.write(json.dumps({"since_s": since}) + "\n")
            sys.stdout.flush()
    finally:
        head.change(interlock=False)
        os._exit(0)


def main(arguments: list[str]) -> None:
    """The process of the simulated head."""
    take_priority()  # a real head has a processor of its own
    head = Head(LightFile(Path(arguments[0])))
    server = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(json.dumps({"port": server.getsockname()[1]}) + "\n")
    sys.stdout.flush()
    threading.Thread(target=_orders, args=(head, sys.stdin), daemon=True).start()
    serve(head, server)


if __name__ == "__main__":
    main(sys.argv[1:])

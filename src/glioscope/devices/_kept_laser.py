"""The laser as the rest of the program sees it: everything asks the keeper, a process of its own, which decides."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from typing import IO, Any

from glioscope.core import DeviceError, DeviceReport, DeviceState, Distance, LaserReport, LaserState
from glioscope.laser import (
    ExposureLimits,
    KeeperSettings,
    Limits,
    check_settings,
    exposure_limits,
    write_settings,
)

from ._laser_head import MODEL, SimulatedHead
from ._laser_light import LightWatch

RENEW_S = 0.02
ANSWER_S = 1.0
"""Longest wait for the keeper's answer to a request."""
SILENT_S = 0.5
"""A keeper that says nothing for so long is lost."""
START_S = 5.0
LONG_EXPOSURE_S = 100.0
"""From here on the exposure limits of eye and skin do not fall any further."""


class KeptLaser:
    """A laser behind its keeper (`core.Laser`).

    A thread renews the keeper's lease every 20 ms. When the keeper dies or falls silent, a second process is started
    that only switches the laser off, and `laser_report` says so; only `unstage` and `stage` start a new keeper.

    Attributes
    ----------
    head : the simulated head, or None with a real one. One that is not staged is staged and unstaged with this laser.
    """

    def __init__(self, name: str, settings: KeeperSettings, head: SimulatedHead | None = None) -> None:
        check_settings(settings)
        self._name = name
        self._settings = settings
        self.head = head
        self._owns_head = False
        self._child: subprocess.Popen[str] | None = None
        self._threads: list[threading.Thread] = []
        self._ending = threading.Event()
        self._writing = threading.Lock()
        self._asking = threading.Lock()
        self._heard = threading.Condition()
        self._words: dict[str, Any] = {}
        self._lost = ""
        self._number = 0
        self._beat_s: float | None = None
        self._streaming = False
        self._distance: Distance | None = None
        self._exposure = _exposure(settings.limits)

    @property
    def name(self) -> str:
        """Name in this unit."""
        return self._name

    @property
    def light(self) -> LightWatch | None:
        """The light of a simulated head; None before `stage`, or with a real head."""
        return self.head.light if self.head else None

    @property
    def settings(self) -> KeeperSettings:
        """What the keeper is told."""
        return self._settings

    def stage(self) -> None:
        """Start the keeper, which switches the laser off before anything else. Raises DeviceError."""
        if self._child is not None:
            return
        if self.head is not None and not self.head.port:
            self.head.stage()
            self._owns_head = True
        self._words, self._lost, self._number = {}, "", 0
        self._beat_s, self._streaming, self._distance = None, False, None
        self._ending.clear()
        self._child = _start(self._name, self._line())
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._listen, self._renew)]
        for thread in self._threads:
            thread.start()
        with self._heard:
            self._heard.wait_for(lambda: self._words or self._lost, START_S)
            lost = self._lost or ("" if self._words else f"the keeper did not start within {START_S:g} s")
        if lost:
            self.unstage()
            raise DeviceError(self._name, lost)

    def stop(self) -> None:
        """Dark and off; does not wait."""
        with contextlib.suppress(OSError):
            self._send("off")

    def unstage(self) -> None:
        """End the keeper, which goes dark first."""
        self._ending.set()
        child, self._child = self._child, None
        if child is not None:
            with contextlib.suppress(OSError), self._writing:
                if child.stdin:
                    child.stdin.close()
            try:
                child.wait(2)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                self._darken()
            for thread in self._threads:
                thread.join(2)
            if child.stdout:
                child.stdout.close()
        if self.head is not None and self._owns_head:
            self.head.unstage()
            self._owns_head = False

    def report(self) -> DeviceReport:
        """State, faults, and the irradiance beside the exposure limits of eye and skin."""
        said = self.laser_report()
        staged = self._child is not None
        states = {LaserState.EMITTING: DeviceState.RUNNING, LaserState.FAULT: DeviceState.FAULT}
        return DeviceReport(
            device=self._name,
            state=states.get(said.state, DeviceState.READY) if staged else DeviceState.OFF,
            model=MODEL if self.head else "head with OBIS words",
            temperature_c=self._words.get("temperature_c"),
            faults=(said.reason,) if said.state is LaserState.FAULT else (),
            details={
                "laser_state": said.state.value,
                "reason": said.reason,
                "power_mw": said.power_mw,
                **({} if said.irradiance_mw_cm2 is None else {"irradiance_mw_cm2": said.irradiance_mw_cm2}),
                **self._limits_shown(),
                "key": bool(self._words.get("key", False)),
                "realtime": bool(self._words.get("realtime", False)),
            },
        )

    def arm(self) -> None:
        """Ask for armed. Raises DeviceError with the reason when refused."""
        self._ask("arm")

    def emit(self) -> None:
        """Ask for light, from armed. Raises DeviceError with the reason when refused."""
        self._ask("emit")

    def hold(self) -> None:
        """Back to armed: dark, one step from light."""
        self._ask("hold")

    def clear(self) -> None:
        """The operator has seen the fault; from fault to off. Raises DeviceError while its cause stands."""
        self._ask("clear")

    def beat(self) -> None:
        """One heartbeat of the operator."""
        self._beat_s = time.monotonic()

    def observe(self, distance: Distance | None) -> None:
        """Hand over the newest reading of the rangefinder; sent at once, so that no jump is missed."""
        self._distance = distance
        with contextlib.suppress(OSError):
            self._send()

    def set_streaming(self, streaming: bool) -> None:
        """Whether both cameras stream."""
        self._streaming = streaming
        with contextlib.suppress(OSError):
            self._send()

    def laser_report(self) -> LaserReport:
        """The newest word of the keeper."""
        words, lost = self._words, self._lost
        power, irradiance = words.get("power_mw", 0.0), words.get("irradiance_mw_cm2")
        when = words.get("monotonic_s", time.monotonic())
        if lost:
            return LaserReport(LaserState.FAULT, lost, power, irradiance, when)
        if not words or self._child is None:
            return LaserReport(LaserState.OFF, "the laser is not staged", 0.0, None, time.monotonic())
        return LaserReport(LaserState(words["state"]), words["reason"], power, irradiance, when)

    def _limits_shown(self) -> dict[str, float]:
        limits, exposure = self._settings.limits, self._exposure
        return {
            "setpoint_mw_cm2": limits.setpoint_mw_cm2,
            "limit_mw_cm2": limits.limit_mw_cm2,
            "skin_limit_mw_cm2": exposure.skin_mw_cm2,
            "eye_limit_mw_cm2": exposure.eye_mw_cm2,
            "eye_limit_point_mw_cm2": exposure.eye_point_mw_cm2,
            "ocular_hazard_mm": exposure.ocular_hazard_mm,
        }

    def _ask(self, request: str) -> None:
        with self._asking:
            try:
                number = self._send(request)
            except OSError as error:
                raise DeviceError(self._name, self._lost or f"the keeper cannot be asked: {error}") from error
            with self._heard:
                answered = self._heard.wait_for(
                    lambda: self._lost or self._words.get("answered", 0) >= number, ANSWER_S
                )
                if self._lost or not answered:
                    raise DeviceError(self._name, self._lost or f"the keeper did not answer within {ANSWER_S:g} s")
                if self._words["answered"] == number and self._words["refusal"]:
                    raise DeviceError(self._name, f"{request} was refused: {self._words['refusal']}")

    def _send(self, request: str = "") -> int:
        """One line to the keeper; raises OSError when it cannot be written."""
        with self._writing:
            child = self._child
            if child is None or child.stdin is None or child.stdin.closed:
                raise OSError("the laser is not staged")
            self._number += bool(request)
            distance = self._distance
            words = {
                "sent_s": time.monotonic(),
                "beat_s": self._beat_s,
                "streaming": self._streaming,
                "distance_mm": None if distance is None else float(distance.distance_mm),
                "distance_s": None if distance is None else float(distance.monotonic_s),
                "request": request,
                "number": self._number,
            }
            child.stdin.write(json.dumps(words) + "\n")
            child.stdin.flush()
            return self._number

    def _line(self) -> str:
        port = self.head.port if self.head else self._settings.port
        return write_settings(
            KeeperSettings(port, self._settings.timeout_ms, self._settings.period_ms, self._settings.limits)
        )

    def _listen(self) -> None:
        """Read what the keeper says until its end."""
        child = self._child
        error = ""
        for line in _lines(child.stdout if child else None):
            try:
                words = dict(json.loads(line))
            except (ValueError, TypeError):
                error = f"the keeper of the laser wrote {line[:60]!r}, which makes no sense"
                break
            if "error" in words:
                error = words["error"]
                continue
            with self._heard:
                self._words = words
                self._heard.notify_all()
        if not self._ending.is_set():
            self._lose(error or "the keeper of the laser has died")

    def _renew(self) -> None:
        """Renew the lease until the end, and notice when the keeper falls silent."""
        quiet, heard = 0, self._words
        while not self._ending.wait(RENEW_S):
            try:
                self._send()
            except OSError:
                return  # the keeper is gone; `_listen` says so
            # Counted in turns, not read from a clock: when this program was held up, it is not the keeper's silence.
            quiet, heard = (quiet + 1 if self._words is heard else 0), self._words
            if self._words and quiet * RENEW_S > SILENT_S and (child := self._child):
                child.kill()
                self._lose(f"the keeper of the laser has been silent for {SILENT_S * 1000:g} ms")
                return

    def _lose(self, reason: str) -> None:
        with self._heard:
            if self._lost:
                return
            ran = bool(self._words)  # so there may be light
            self._lost = f"{reason}; the laser may shine, a second process is told to switch it off" if ran else reason
            self._heard.notify_all()
        if ran:
            self._lost = f"{reason}; {self._darken()}"

    def _darken(self) -> str:
        """Have a second process switch the laser off; what came of it."""
        words = [sys.executable, "-m", "glioscope.laser", "--dark"]
        try:
            ended = subprocess.run(words, input=self._line() + "\n", capture_output=True, text=True, timeout=START_S)
        except (OSError, subprocess.TimeoutExpired):
            ended = None
        if ended and ended.returncode == 0:
            return "a second process switched the laser off; stage it again"
        return "THE LASER MAY SHINE: open its interlock or turn its key"


def _start(name: str, settings_line: str) -> "subprocess.Popen[str]":
    words = [sys.executable, "-m", "glioscope.laser"]
    try:
        child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    except OSError as error:
        raise DeviceError(name, f"the keeper cannot be started: {error}") from error
    if child.stdin:
        with contextlib.suppress(OSError):
            child.stdin.write(settings_line + "\n")
            child.stdin.flush()
    return child


def _lines(stream: IO[str] | None) -> IO[str] | tuple[()]:
    return stream if stream is not None else ()


def _exposure(limits: Limits) -> ExposureLimits:
    return exposure_limits(limits.beam, limits.commanded_mw, limits.working_mm or 100.0, LONG_EXPOSURE_S)

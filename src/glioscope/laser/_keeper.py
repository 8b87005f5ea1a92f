"""The keeper: one small process that alone owns the laser's port and lets light out only while all is well.

Its owner writes one JSON line of settings, then a line every few hundredths of a second, each a renewal of the lease
(`Message`). The keeper answers with JSON lines (`Keeper.words`). The end of its input, a signal, an exception: dark.
"""

import contextlib
import json
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import IO, Any, TypeVar

from ._beam import irradiance_mw_cm2
from ._driver import DriverError, HeadReading, LaserDriver, ObisDriver
from ._machine import Inputs, Limits, Machine, Request, State, step
from ._priority import take_priority
from ._settings import KeeperSettings, SettingsError, read_settings

T = TypeVar("T")
REPORT_S = 0.02
AGAIN_S = 0.02
"""While a laser that should be dark shines, it is told again this often."""


TRIES = 5
"""At the start and at the end one lost answer must not be the last word."""


class _Signalled(BaseException):
    """The process was asked to end."""


class OwnerError(Exception):
    """The owner wrote a line that makes no sense."""


@dataclass(frozen=True, slots=True)
class Message:
    """One line of the owner; `sent_s` renews the lease, `number` counts requests. Times are monotonic."""

    sent_s: float
    beat_s: float | None
    streaming: bool
    distance_mm: float | None
    distance_s: float | None
    request: Request
    number: int


def read_message(line: str) -> Message:
    """A message from its JSON line. Raises OwnerError."""
    try:
        words = json.loads(line)
        number, streaming = words["number"], words["streaming"]
        times = [words[name] for name in ("sent_s", "beat_s", "distance_mm", "distance_s")]
        if not isinstance(streaming, bool) or type(number) is not int or not all(map(_is_number_or_none, times)):
            raise TypeError("a value is of the wrong kind")
        sent_s, beat_s, distance_mm, distance_s = times
        return Message(float(sent_s), beat_s, streaming, distance_mm, distance_s, Request(words["request"]), number)
    except (ValueError, KeyError, TypeError) as error:
        raise OwnerError(f"the owner wrote {line[:80]!r}: {error!r}") from None


def _is_number_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


class Keeper:
    """Inputs, machine and head together: `hear` takes what the owner wrote, `look` asks the head."""

    def __init__(self, driver: LaserDriver, limits: Limits, *, realtime: bool = False) -> None:
        self._driver = driver
        self._realtime = realtime
        self._limits = limits
        self._lit = False
        self._told_s = 0.0
        self.machine = Machine()
        self.inputs = Inputs()
        self.temperature_c: float | None = None
        self.answered = 0
        self.refusal = ""

    def begin(self) -> None:
        """Dark before anything else; then every question is asked once."""
        _tried(self._driver.dark)
        time.sleep(self._limits.settle_ms / 1000)
        reading = None
        while reading is None:
            reading = _tried(self._driver.poll)
        self._heed(reading)

    def hear(self, message: Message) -> None:
        """One step with what the owner wrote."""
        self.inputs = replace(
            self.inputs,
            lease_s=message.sent_s,
            beat_s=message.beat_s,
            streaming=message.streaming,
            distance_mm=message.distance_mm,
            distance_s=message.distance_s,
        )
        self._step(message.request)
        if message.number > self.answered:
            self.answered, self.refusal = message.number, self.machine.refusal

    def look(self) -> None:
        """One exchange with the head and one step."""
        try:
            reading = self._driver.poll()
            if reading is not None:
                self._heed(reading)
        except DriverError as error:
            self.inputs = replace(self.inputs, head_fault=str(error))
        self._step(Request.NONE)

    def end(self) -> None:
        """Dark, whatever was; the port is let go."""
        try:
            _tried(self._driver.dark)
        finally:
            self._driver.close()

    def _heed(self, reading: HeadReading) -> None:
        self.temperature_c = reading.temperature_c
        self.inputs = replace(
            self.inputs,
            power_mw=reading.power_mw,
            emission=reading.emission,
            key=reading.key,
            head_fault=reading.fault,
            head_s=reading.asked_s,
        )

    def _step(self, request: Request) -> None:
        now = time.monotonic()
        self.machine = step(self.machine, replace(self.inputs, request=request), self._limits, now)
        wanted = self.machine.state is State.EMITTING
        shines = self.inputs.emission or self.inputs.power_mw > self._limits.dark_mw
        if wanted == self._lit and (wanted or not shines or now - self._told_s < AGAIN_S):
            return
        try:
            self._told_s, self._lit = now, wanted
            if wanted:
                self._driver.light(self._limits.commanded_mw)
            else:
                self._driver.dark()
        except DriverError as error:
            self.inputs = replace(self.inputs, head_fault=str(error))
            if wanted:
                self._step(Request.NONE)

    def words(self) -> dict[str, Any]:
        """What is reported to the owner."""
        distance_mm, power = self.inputs.distance_mm, self.inputs.power_mw
        known = distance_mm is not None and 0 < distance_mm < float("inf")
        return {
            "state": self.machine.state.value,
            "reason": self.machine.reason,
            "power_mw": power,
            "irradiance_mw_cm2": irradiance_mw_cm2(power, distance_mm or 0.0, self._limits.beam) if known else None,
            "temperature_c": self.temperature_c,
            "key": self.inputs.key,
            "head_fault": self.inputs.head_fault,
            "monotonic_s": time.monotonic(),
            "realtime": self._realtime,
            "answered": self.answered,
            "refusal": self.refusal,
        }


class _Inbox:
    """Lines of the owner, read by a thread of its own; None is the end."""

    def __init__(self, lines: IO[str]) -> None:
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()

    def _read(self, lines: IO[str]) -> None:
        try:
            for line in lines:
                self._queue.put(line)
        finally:
            self._queue.put(None)

    def until(self, deadline: float) -> list[str | None]:
        """What came until the deadline, at least what is there now; returns at the first line."""
        found: list[str | None] = []
        with contextlib.suppress(queue.Empty):
            found.append(self._queue.get(timeout=max(0.0, deadline - time.monotonic())))
            while True:
                found.append(self._queue.get_nowait())
        return found


class _Outbox:
    """Writes the newest report from a thread of its own: an owner that does not read must not hold up the keeper."""

    def __init__(self, lines: IO[str]) -> None:
        self._lines = lines
        self._newest = ""
        self._wake = threading.Event()
        threading.Thread(target=self._write, daemon=True).start()

    def put(self, words: dict[str, Any]) -> None:
        self._newest = json.dumps(words)
        self._wake.set()

    def _write(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            try:
                self._lines.write(self._newest + "\n")
                self._lines.flush()
            except OSError:
                return  # nobody reads any more; the inbox tells of the owner's end


def keep(settings: KeeperSettings, lines: IO[str], out: IO[str]) -> None:
    """Keep the laser until the owner's lines end. Raises DriverError when the head cannot be reached at the start."""
    if not settings.port:
        raise SettingsError("laser port is not set")
    driver = ObisDriver(settings.port, settings.timeout_ms)
    driver.open()
    keeper = Keeper(driver, settings.limits, realtime=take_priority())
    try:
        keeper.begin()
        _loop(keeper, settings, _Inbox(lines), _Outbox(out))
    finally:
        for number in _signals():
            signal.signal(number, signal.SIG_IGN)
        keeper.end()


def _loop(keeper: Keeper, settings: KeeperSettings, inbox: _Inbox, outbox: _Outbox) -> None:
    tick = reported = time.monotonic()
    outbox.put(keeper.words())
    while True:
        tick = max(tick + settings.period_ms / 1000, time.monotonic())
        before = keeper.machine.state, keeper.answered
        while True:
            lines = inbox.until(tick)
            for line in lines:
                if line is None:
                    return
                keeper.hear(read_message(line))
            if not lines or time.monotonic() >= tick:
                break
        keeper.look()
        now = time.monotonic()
        if (keeper.machine.state, keeper.answered) != before or now - reported > REPORT_S:
            outbox.put(keeper.words())
            reported = now


def darken(settings: KeeperSettings) -> None:
    """Only switch the light off and let go of the port: what is left to do when a keeper has died."""
    driver = ObisDriver(settings.port, settings.timeout_ms)
    driver.open()
    try:
        _tried(driver.dark)
    finally:
        driver.close()


def _tried(exchange: Callable[[], T]) -> T:
    for _ in range(TRIES - 1):
        with contextlib.suppress(DriverError):
            return exchange()
    return exchange()


def _signals() -> list[signal.Signals]:
    names = ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def _end(*_: Any) -> None:
    raise _Signalled


def main(arguments: list[str]) -> int:
    """`python -m glioscope.laser [--dark]`: settings come as the first line of the input."""
    if arguments not in ([], ["--dark"]):
        sys.stderr.write("usage: python -m glioscope.laser [--dark]; the settings are the first line of its input\n")
        return 2
    for number in _signals():
        signal.signal(number, _end)
    try:
        settings = read_settings(sys.stdin.readline())
        if arguments:
            darken(settings)
        else:
            keep(settings, sys.stdin, sys.stdout)
    except _Signalled:
        return 0
    except (SettingsError, DriverError, OwnerError) as error:
        with contextlib.suppress(OSError):  # nobody may be there to read it
            sys.stdout.write(json.dumps({"error": str(error)}) + "\n")
            sys.stdout.flush()
        return 2
    return 0

"""Drivers of laser heads: what the keeper needs of one, and one for heads that speak the words of Coherent's OBIS.

Untested on hardware. The words are those of the OBIS family as public drivers use them; check each with your head's
manual, first of all that `SYSTem:LOCK?` answers OFF when the key is turned or the interlock is open.
"""

import socket
import time
from dataclasses import dataclass, replace
from typing import Any, Protocol

STATUS_FAULT, STATUS_EMISSION, STATUS_STANDBY = 0x1, 0x2, 0x8
"""Bits of `SYSTem:STATus?`: a fault is present, light leaves, the key switch is in stand-by."""
FAULT_BITS = {
    0x1: "the base plate is too hot or too cold",
    0x2: "the diode is too hot or too cold",
    0x4: "the inside is too hot or too cold",
    0x8: "the supply voltage is wrong",
    0x20: "the diode draws too much current",
    0x4000: "the photodiode is broken",
    0x8000: "a fatal fault",
    0x100000: "the power is too high",
}
TEMPERATURE_EVERY_S = 1.0
_BREATH_S = 0.002


class DriverError(Exception):
    """The head does not answer, or not with what was asked for."""


@dataclass(frozen=True, slots=True)
class HeadReading:
    """The newest answers of a head; `asked_s`: when the oldest of them was asked for (monotonic)."""

    power_mw: float
    emission: bool
    key: bool
    fault: str
    temperature_c: float | None
    asked_s: float


class LaserDriver(Protocol):
    """A laser head on a port that nobody else has. Every call ends within its time limit or raises DriverError."""

    def open(self) -> None:
        """Open the port for this process alone; commands nothing."""

    def dark(self) -> None:
        """Switch the light off."""

    def light(self, power_mw: float) -> None:
        """Set the power and switch the light on."""

    def poll(self) -> HeadReading | None:
        """One exchange; the newest answers, or None until each question was answered once."""

    def close(self) -> None:
        """Let go of the port."""


class ObisDriver:
    """A head on a serial port (`/dev/ttyACM0`, `COM4`) or on TCP (`socket://127.0.0.1:4000`).

    Lines end in CR LF; each answer is followed by a line "OK" (the handshake), a command that fails by "ERR...".
    """

    QUESTIONS = ("SOURce:POWer:LEVel?", "SYSTem:STATus?", "SYSTem:LOCK?", "SYSTem:FAULt?")
    TEMPERATURE = "SOURce:TEMPerature:DIODe?"

    def __init__(self, port: str, timeout_ms: float) -> None:
        self._url = port
        self._timeout_s = timeout_ms / 1000
        self._port: Any = None
        self._next = 0
        self._asked: dict[str, float] = {}
        self._reading = HeadReading(0.0, False, False, "", None, 0.0)
        self._standby = self._flagged = True
        self._fault_word = 0

    def open(self) -> None:
        """Open the port; a device file is locked for this process."""
        import serial

        try:
            self._port = serial.serial_for_url(
                self._url, 115200, do_not_open=True, timeout=_BREATH_S, write_timeout=self._timeout_s
            )
            if "://" not in self._url:
                self._port.exclusive = True
            self._port.open()
            if isinstance(line := getattr(self._port, "_socket", None), socket.socket):
                # A command to go dark must not wait until a mute head acknowledges the question before it.
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise DriverError(f"the port {self._url} cannot be opened: {error}") from error

    def dark(self) -> None:
        """`SOURce:AM:STATe OFF`."""
        self._exchange("SOURce:AM:STATe OFF", lines=0)

    def light(self, power_mw: float) -> None:
        """`SOURce:POWer:LEVel:IMMediate:AMPLitude` in watts, then `SOURce:AM:STATe ON`."""
        self._exchange(f"SOURce:POWer:LEVel:IMMediate:AMPLitude {power_mw / 1000:.6f}", lines=0)
        self._exchange("SOURce:AM:STATe ON", lines=0)

    def poll(self) -> HeadReading | None:
        """Ask the next question in turn: power, status, lock, faults; once a second the temperature instead."""
        asked_s = time.monotonic()
        if asked_s - self._asked.get(self.TEMPERATURE, 0.0) > TEMPERATURE_EVERY_S and len(self._asked) >= 4:
            question = self.TEMPERATURE
        else:
            question = self.QUESTIONS[self._next]
            self._next = (self._next + 1) % len(self.QUESTIONS)
        self._take(question, self._exchange(question, lines=1))
        self._asked[question] = asked_s
        if any(each not in self._asked for each in self.QUESTIONS):
            return None
        return replace(self._reading, asked_s=min(self._asked[each] for each in self.QUESTIONS))

    def close(self) -> None:
        """Let go of the port."""
        if self._port is not None:
            self._port.close()
            self._port = None

    def _take(self, question: str, answer: str) -> None:
        reading = self._reading
        try:
            if question == self.QUESTIONS[0]:
                self._reading = replace(reading, power_mw=float(answer) * 1000)
            elif question == self.QUESTIONS[1]:
                status = int(answer, 16)
                self._standby = bool(status & STATUS_STANDBY)
                self._flagged = bool(status & STATUS_FAULT)
                self._reading = replace(reading, emission=bool(status & STATUS_EMISSION), fault=self._fault())
            elif question == self.QUESTIONS[2]:
                self._reading = replace(reading, key={"ON": True, "OFF": False}[answer] and not self._standby)
            elif question == self.QUESTIONS[3]:
                self._fault_word = int(answer, 16)
                self._reading = replace(reading, fault=self._fault())
            else:
                self._reading = replace(reading, temperature_c=float(answer.upper().removesuffix("C")))
        except (ValueError, KeyError):
            raise DriverError(f"the laser head answered {answer[:40]!r} to {question}") from None

    def _fault(self) -> str:
        return fault_sentence(self._fault_word) or ("the laser head reports a fault" if self._flagged else "")

    def _exchange(self, words: str, lines: int) -> str:
        """Send one line; the answer's `lines` lines (0 or 1) and the OK that follows."""
        if self._port is None:
            raise DriverError("the port of the laser head is not open")
        deadline = time.monotonic() + self._timeout_s
        try:
            self._port.reset_input_buffer()
            self._port.write(words.encode("ascii") + b"\r\n")
            received = b""
            while received.count(b"\n") <= lines:
                if time.monotonic() > deadline:
                    raise DriverError(f"the laser head did not answer {words} within {self._timeout_s * 1000:g} ms")
                received += self._port.read(max(1, self._port.in_waiting))
        except port_errors() as error:
            raise DriverError(f"the port of the laser head is lost: {error}") from error
        *answer, handshake = received.decode("ascii", "replace").splitlines()[: lines + 1]
        if handshake.strip() != "OK":
            raise DriverError(f"the laser head answered {received[:40]!r} to {words}")
        return answer[0].strip() if answer else ""


def port_errors() -> tuple[type[Exception], ...]:
    """What a port that has gone raises: OSError (SerialException is one) and, where there is termios, its own."""
    try:
        import termios
    except ImportError:
        return (OSError,)
    return (OSError, termios.error)


def fault_sentence(word: int) -> str:
    """What a fault word says; empty for 0."""
    if word == 0:
        return ""
    found = [sentence for bit, sentence in FAULT_BITS.items() if word & bit]
    return f"the laser head reports fault {word:#x}: " + (", ".join(found) or "see its manual")

"""A laser rangefinder on a serial port that speaks the nine-byte frames of the Benewake TF series.

Frame: 0x59 0x59, distance low and high byte, strength low and high, temperature low and high, checksum (low byte of the
sum of the eight before). Written after the maker's manuals of TFmini Plus and TF-Luna. UNTESTED ON HARDWARE.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from glioscope.core import DeviceError, DeviceReport, DeviceState, Distance

_HEADER = b"\x59\x59"
_LENGTH = 9
_SATURATED = 65535
_MILLIMETRES = bytes([0x5A, 0x05, 0x05, 0x06, 0x6A])
"""The command that makes the head send millimetres (its factory setting is centimetres)."""
_READ_S = 0.05
_FLAG_S = 1.0


@dataclass(frozen=True, slots=True)
class RangeFrame:
    """One frame of the head: mm, strength 0 to 65535 (65535: blinded), degrees Celsius of its chip."""

    distance_mm: int
    strength: int
    temperature_c: float


class FrameParser:
    """Finds frames in a stream of bytes, also after garbage, and counts what was none."""

    def __init__(self) -> None:
        self._rest = b""
        self.checksum_errors = 0
        self.skipped_bytes = 0

    def feed(self, data: bytes) -> list[RangeFrame]:
        """Frames that these bytes complete, in order."""
        rest, frames = self._rest + data, []
        while True:
            start = rest.find(_HEADER)
            if start < 0:
                keep = 1 if rest.endswith(_HEADER[:1]) else 0
                self.skipped_bytes += len(rest) - keep
                rest = rest[len(rest) - keep :]
                break
            self.skipped_bytes += start
            rest = rest[start:]
            if len(rest) < _LENGTH:
                break
            if sum(rest[:8]) & 0xFF == rest[8]:
                frames.append(_decoded(rest))
                rest = rest[_LENGTH:]
            else:  # the header may have been two bytes of something else: look again one byte on
                self.checksum_errors += 1
                self.skipped_bytes += 1
                rest = rest[1:]
        self._rest = rest
        return frames


class SerialRangeFinder:
    """`core.RangeFinder` on a serial port. UNTESTED ON HARDWARE.

    A weak or blinded measurement is no reading, so the newest reading grows old, as it does when the head is silent.
    A jump faster than tissue and motors can move is flagged in `report`, and passed on: the laser's keeper and the
    motion judge it for themselves.

    Parameters
    ----------
    url : what pyserial opens: a device path, or `socket://host:port`.
    weak_below : strength under which a measurement does not count; the maker says 100.
    silent_s : after this long without a reading `report` tells a fault.
    jump_mm, max_speed_mm_s : a step of more than `jump_mm` plus this speed times the time between is a jump.
    clock : for tests.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        baud: int = 115200,
        weak_below: int = 100,
        silent_s: float = 0.2,
        jump_mm: float = 10.0,
        max_speed_mm_s: float = 500.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._url, self._baud = name, url, baud
        self._weak_below, self._silent_s = weak_below, silent_s
        self._jump_mm, self._max_speed = jump_mm, max_speed_mm_s
        self._clock = clock
        self._ending = threading.Event()
        self._reader: threading.Thread | None = None
        self._parser = FrameParser()
        self._reset()

    @property
    def name(self) -> str:
        """Name in this unit."""
        return self._name

    def stage(self) -> None:
        """Open the port, ask for millimetres, and listen. Raises DeviceError."""
        if self._reader is not None:
            self.unstage()
        self._parser = FrameParser()
        self._reset()
        port = self._opened()
        self._ending.clear()
        self._state = DeviceState.RUNNING
        self._reader = threading.Thread(target=self._listen, args=(port,), name=f"{self._name} port", daemon=True)
        self._reader.start()

    def read(self) -> Distance | None:
        """The newest reading that counted. Raises DeviceError when the port is lost or not open."""
        if self._state is DeviceState.OFF:
            raise DeviceError(self._name, "is not staged")
        if self._lost:
            raise DeviceError(self._name, self._lost)
        return self._newest

    def stop(self) -> None:
        """Nothing: it measures from `stage` to `unstage`, and harms nobody."""

    def unstage(self) -> None:
        """Close the port."""
        self._ending.set()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.join(timeout=2)
        self._state = DeviceState.OFF

    def report(self) -> DeviceReport:
        """State, faults, and counts of frames that were wrong."""
        faults = () if self._state is DeviceState.OFF else tuple(self._faults())
        state = DeviceState.FAULT if self._lost and self._state is not DeviceState.OFF else self._state
        frame, newest = self._frame, self._newest
        details: dict[str, float | int | str | bool] = {
            "port": self._url,
            "readings": self._readings,
            "checksum_errors": self._parser.checksum_errors,
            "weak": self._weak,
            "jumps": self._jumps,
        }
        if frame is not None:
            details["strength"] = frame.strength
        if newest is not None:
            details |= {"distance_mm": newest.distance_mm, "age_s": round(self._clock() - newest.monotonic_s, 3)}
        temperature_c = frame.temperature_c if frame is not None else None
        return DeviceReport(self._name, state, "Benewake TF series (untested)", temperature_c, faults, details)

    def _reset(self) -> None:
        self._state = DeviceState.OFF
        self._newest: Distance | None = None
        self._frame: RangeFrame | None = None
        self._jump: tuple[float, str] | None = None
        self._readings, self._weak, self._jumps = 0, 0, 0
        self._staged_s = self._clock()
        self._lost = ""

    def _opened(self) -> Any:
        try:
            import serial
        except ImportError as error:
            raise DeviceError(self._name, "needs pyserial: pip install 'glioscope[devices]'") from error
        try:
            port = serial.serial_for_url(self._url, baudrate=self._baud, timeout=_READ_S, write_timeout=0.5)
            port.write(_MILLIMETRES)
        except (serial.SerialException, OSError, ValueError) as error:
            raise DeviceError(self._name, f"port {self._url} does not open: {error}") from error
        return port

    def _listen(self, port: Any) -> None:
        try:
            while not self._ending.is_set():
                # All that waits at once, so that after a delay no old frame is stamped as new: only the last counts.
                frames = self._parser.feed(port.read(max(_LENGTH, port.in_waiting)))
                if frames:
                    self._take(frames[-1], self._clock())
        except (OSError, ValueError, TypeError) as error:  # SerialException is an OSError; a closed port gives the rest
            self._lost = f"port {self._url} is lost: {error}"
        finally:
            port.close()

    def _take(self, frame: RangeFrame, now: float) -> None:
        self._frame = frame
        if frame.strength < self._weak_below or frame.strength == _SATURATED or frame.distance_mm == 0:
            self._weak += 1
            return
        reading, before = Distance(float(frame.distance_mm), now), self._newest
        if before is not None:
            step, seconds = abs(reading.distance_mm - before.distance_mm), now - before.monotonic_s
            if step > self._jump_mm + self._max_speed * seconds:
                self._jumps += 1
                self._jump = now, f"jumped by {step:.0f} mm in {seconds * 1000:.0f} ms"
        self._readings += 1
        self._newest = reading

    def _faults(self) -> list[str]:
        if self._lost:
            return [self._lost]
        faults, now, frame, jump = [], self._clock(), self._frame, self._jump
        since = self._newest.monotonic_s if self._newest is not None else self._staged_s
        if now - since > self._silent_s:
            weak = frame is not None and (frame.strength < self._weak_below or frame.strength == _SATURATED)
            why = f"signal strength {frame.strength} is unusable" if weak and frame is not None else "silent"
            faults.append(f"{why}: no reading for {now - since:.1f} s, limit {self._silent_s:g} s")
        if jump is not None and now - jump[0] < _FLAG_S:
            faults.append(jump[1])
        return faults


class SerialRangeSettings(BaseModel):
    """A rangefinder of the Benewake TF series in the unit's settings. Untested on hardware."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Literal["tf-serial"]
    port: str
    """Device path ("/dev/ttyUSB0", "COM3") or any other URL that pyserial opens."""
    baud: int = Field(default=115200, gt=0)
    """Of the head; the factory setting is 115200."""
    weak_below: int = Field(default=100, ge=0, le=65534)
    """Strength under which a measurement does not count."""
    silent_s: float = Field(default=0.2, gt=0)
    """After this long without a reading the report tells a fault."""
    jump_mm: float = Field(default=10.0, gt=0)
    """A step of more than this, beyond what `max_speed_mm_s` explains, is flagged."""
    max_speed_mm_s: float = Field(default=500.0, gt=0)
    """Fastest that the distance can truly change."""

    def make(self, name: str) -> SerialRangeFinder:
        """The rangefinder, not yet open."""
        return SerialRangeFinder(
            name,
            self.port,
            baud=self.baud,
            weak_below=self.weak_below,
            silent_s=self.silent_s,
            jump_mm=self.jump_mm,
            max_speed_mm_s=self.max_speed_mm_s,
        )


def _decoded(frame: bytes) -> RangeFrame:
    distance, strength, temperature = (int.from_bytes(frame[i : i + 2], "little") for i in (2, 4, 6))
    return RangeFrame(distance, strength, temperature / 8 - 256)

"""The handle: a joystick of the Linux kernel whose trigger is the dead-man button, and a simulated one."""

import errno
import os
import select
import struct
import threading
import time
from collections.abc import Callable, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from glioscope.core import DeviceError, DeviceReport, DeviceState, HandlePosition

_EVENT = struct.Struct("=IhBB")
"""`struct js_event` of linux/joystick.h: time in ms, value, type, number."""
_BUTTON, _AXIS, _INITIAL = 0x01, 0x02, 0x80
_FULL = 32767
_LOOK_S = 0.02


class JoystickHandle:
    """`core.Handle` on a joystick device of Linux (`/dev/input/js0`). Tested on a pipe with the kernel's bytes.

    The kernel tells changes only. So `monotonic_s` of a position is when the open device was last looked at, at most
    20 ms ago; a device that is lost is not held: `read` raises DeviceError.

    Parameters
    ----------
    dead_man_button : its number.
    axes : number of the joystick's axis by name of the stage's axis.
    reversed_axes : axes of the stage that go the other way.
    dead_zone : deflection under which an axis is at rest.
    """

    def __init__(
        self,
        name: str,
        path: str,
        *,
        dead_man_button: int = 0,
        axes: Mapping[str, int] | None = None,
        reversed_axes: frozenset[str] = frozenset(),
        dead_zone: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._path, self._button = name, path, dead_man_button
        self._axes = dict(axes) if axes is not None else {"distance": 1, "rotation": 0}
        self._reversed, self._dead_zone, self._clock = reversed_axes, dead_zone, clock
        self._ending = threading.Event()
        self._reader: threading.Thread | None = None
        self._position: HandlePosition | None = None
        self._lost, self._staged = "", False
        self._held = False
        self._deflection = dict.fromkeys(self._axes, 0.0)

    @property
    def name(self) -> str:
        """Name in this unit."""
        return self._name

    def stage(self) -> None:
        """Open the device and listen. Raises DeviceError."""
        if not hasattr(os, "O_NONBLOCK"):
            raise DeviceError(self._name, "joysticks are read on Linux only")
        self.unstage()
        try:
            device = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise DeviceError(self._name, f"{self._path} does not open: {error.strerror}") from error
        self._lost, self._staged, self._held = "", True, False
        self._deflection = dict.fromkeys(self._axes, 0.0)
        self._position = None
        self._ending.clear()
        self._reader = threading.Thread(target=self._listen, args=(device,), name=self._name, daemon=True)
        self._reader.start()

    def read(self) -> HandlePosition | None:
        """The newest position. Raises DeviceError when the device is lost or not open."""
        if not self._staged:
            raise DeviceError(self._name, "is not staged")
        if self._lost:
            raise DeviceError(self._name, self._lost)
        return self._position

    def stop(self) -> None:
        """Nothing: the handle only tells."""

    def unstage(self) -> None:
        """Close the device."""
        self._ending.set()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.join(timeout=2)
        self._staged, self._position = False, None

    def report(self) -> DeviceReport:
        """State, and whether the button is held."""
        details: dict[str, float | int | str | bool] = {"device": self._path, "held": self._held}
        if not self._staged:
            return DeviceReport(self._name, DeviceState.OFF, details=details)
        state = DeviceState.FAULT if self._lost else DeviceState.RUNNING
        return DeviceReport(self._name, state, "joystick", faults=(self._lost,) if self._lost else (), details=details)

    def _listen(self, device: int) -> None:
        try:
            rest = b""
            while not self._ending.is_set():
                ready, _, _ = select.select([device], [], [], _LOOK_S)
                if ready:
                    data = os.read(device, 64 * _EVENT.size)
                    if not data:
                        raise OSError(errno.ENODEV, "end of the device")
                    rest = self._take(rest + data)
                self._position = HandlePosition(self._held, dict(self._deflection), self._clock())
        except OSError as error:
            self._held = False
            self._lost = f"{self._path} is lost: {error.strerror}; not held"
        finally:
            os.close(device)

    def _take(self, data: bytes) -> bytes:
        whole = len(data) - len(data) % _EVENT.size
        for _, value, kind, number in _EVENT.iter_unpack(data[:whole]):
            # The kernel begins with made-up events that tell where all stands: they count like others.
            if kind & ~_INITIAL == _BUTTON and number == self._button:
                self._held = value != 0
            elif kind & ~_INITIAL == _AXIS:
                for axis, at in self._axes.items():
                    if at == number:
                        self._deflection[axis] = self._scaled(axis, value)
        return data[whole:]

    def _scaled(self, axis: str, value: int) -> float:
        share = min(max(value / _FULL, -1.0), 1.0)
        beyond = (abs(share) - self._dead_zone) / (1 - self._dead_zone)
        sign = (1 if share > 0 else -1) * (-1 if axis in self._reversed else 1)
        return sign * max(beyond, 0.0)


AxisName = Literal["distance", "rotation"]


class JoystickSettings(BaseModel):
    """A joystick of Linux as the handle, in the unit's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Literal["joystick"]
    device: str = "/dev/input/js0"
    """Device of the kernel."""
    dead_man_button: int = Field(default=0, ge=0, le=255)
    """Number of the button without which nothing moves."""
    axes: dict[AxisName, int] = {"distance": 1, "rotation": 0}
    """Number of the joystick's axis for each axis of the stage."""
    reversed_axes: frozenset[AxisName] = frozenset()
    """Axes of the stage that go the other way."""
    dead_zone: float = Field(default=0.1, ge=0, lt=1)
    """Deflection under which an axis is at rest."""

    def make(self, name: str) -> JoystickHandle:
        """The handle, not yet open."""
        return JoystickHandle(
            name,
            self.device,
            dead_man_button=self.dead_man_button,
            axes={str(axis): number for axis, number in self.axes.items()},
            reversed_axes=self.reversed_axes,
            dead_zone=self.dead_zone,
        )


class SimulatedHandle:
    """`core.Handle` that is moved by `push`; not held at first."""

    def __init__(self, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._name, self._clock = name, clock
        self._held, self._deflection = False, dict[str, float]()
        self._staged, self._plugged = False, True

    @property
    def name(self) -> str:
        """Name in this unit."""
        return self._name

    def push(self, held: bool, **deflection: float) -> None:
        """Hold the button or let go, and deflect axes by name, -1 to 1; axes that are not named are at rest."""
        self._held, self._deflection = held, dict(deflection)

    def unplug(self) -> None:
        """Pull the cable."""
        self._plugged = False

    def plug(self) -> None:
        """Put the cable back."""
        self._plugged = True

    def stage(self) -> None:
        """Listen to it. Raises DeviceError while it is unplugged."""
        if not self._plugged:
            raise DeviceError(self._name, "no handle is found: unplugged; look at the cable")
        self._staged = True

    def read(self) -> HandlePosition | None:
        """The position now. Raises DeviceError when unplugged or not staged."""
        if not self._staged:
            raise DeviceError(self._name, "is not staged")
        if not self._plugged:
            raise DeviceError(self._name, "is lost: unplugged; not held")
        return HandlePosition(self._held, dict(self._deflection), self._clock())

    def stop(self) -> None:
        """Nothing: the handle only tells."""

    def unstage(self) -> None:
        """Listen no more."""
        self._staged = False

    def report(self) -> DeviceReport:
        """State, and whether the button is held."""
        details: dict[str, float | int | str | bool] = {"simulated": True, "held": self._held and self._plugged}
        if not self._staged:
            return DeviceReport(self._name, DeviceState.OFF, "simulated handle", details=details)
        if not self._plugged:
            return DeviceReport(
                self._name,
                DeviceState.FAULT,
                "simulated handle",
                faults=("unplugged: look at the cable",),
                details=details,
            )
        return DeviceReport(self._name, DeviceState.RUNNING, "simulated handle", details=details)

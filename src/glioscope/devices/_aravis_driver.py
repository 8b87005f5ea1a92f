"""Aravis through GObject introspection: loading it, finding cameras, opening one, letting one go."""

import importlib
import threading
from dataclasses import dataclass
from typing import Any, Literal

from glioscope.core import DeviceError

from ._closest import closest_first

Interface = Literal["fake", "gv", "usb3"]

INSTALL = (
    "Aravis is not installed: apt install gir1.2-aravis-0.8 libgirepository1.0-dev libcairo2-dev pkg-config, "
    "then pip install 'glioscope[aravis]'"
)
_PROTOCOLS = {"fake": "Fake", "gv": "GigEVision", "usb3": "USB3Vision"}
# Aravis keeps one list of cameras for the whole program; two cameras staged at once would change it under each other.
_listing = threading.Lock()


def load_aravis(device: str) -> Any:
    """The introspected library. Raises DeviceError with the install command when it is absent."""
    try:
        gi = importlib.import_module("gi")
        gi.require_version("Aravis", "0.8")
        return importlib.import_module("gi.repository.Aravis")
    except (ImportError, ValueError) as error:
        raise DeviceError(device, INSTALL) from error


def driver_error() -> type[Exception]:
    """What Aravis raises; only after `load_aravis`."""
    error: type[Exception] = importlib.import_module("gi.repository.GLib").Error
    return error


@dataclass(frozen=True, slots=True)
class Listed:
    """A camera that answered: its id in Aravis, its protocol, its address, maker and model."""

    camera_id: str
    protocol: str
    address: str
    model: str


def listed_cameras(aravis: Any, *, fake: bool = False) -> list[Listed]:
    """All that answer within about a second; Aravis's own fake camera only when asked for."""
    with _listing:
        (aravis.enable_interface if fake else aravis.disable_interface)("Fake")
        aravis.update_device_list()
        return [
            Listed(
                aravis.get_device_id(index) or "",
                aravis.get_device_protocol(index) or "",
                aravis.get_device_address(index) or "",
                f"{aravis.get_device_vendor(index)} {aravis.get_device_model(index)}",
            )
            for index in range(aravis.get_n_devices())
        ]


def open_camera(device: str, aravis: Any, interface: Interface, camera_id: str | None, address: str | None) -> Any:
    """An open camera, in our control. Raises DeviceError naming what is there when it is not found."""
    if interface == "fake":
        with _listing:
            aravis.enable_interface("Fake")
            return _opened(device, aravis, camera_id or "Fake_1")
    return _opened(device, aravis, address or _listed_id(device, aravis, interface, camera_id))


def _opened(device: str, aravis: Any, target: str) -> Any:
    try:
        camera = aravis.Camera.new(target)
    except driver_error() as error:
        raise DeviceError(device, f"camera {target} cannot be opened: {text_of(error)}") from error
    if camera is None:
        raise DeviceError(device, f"camera {target} does not answer")
    return camera


def _listed_id(device: str, aravis: Any, interface: Interface, camera_id: str | None) -> str:
    ids = [found.camera_id for found in listed_cameras(aravis) if found.protocol == _PROTOCOLS[interface]]
    kind = "GigE Vision" if interface == "gv" else "USB3 Vision"
    if camera_id is None and len(ids) == 1:
        return ids[0]
    if camera_id is None:
        found = closest_first("", ids)
        raise DeviceError(device, f"{len(ids)} {kind} cameras answer ({found}): set camera_id or address to one")
    if camera_id not in ids:
        raise DeviceError(device, f"no {kind} camera {camera_id!r} answers; found: {closest_first(camera_id, ids)}")
    return camera_id


def text_of(error: Exception) -> str:
    """The sentence of an error of Aravis, without its error domain."""
    return str(getattr(error, "message", error))


def let_go(parts: list[Any], wait_s: float) -> None:
    """Drop the last references, in this order, and wait so long at most.

    Aravis says good-bye to the camera when its objects are freed, and tries for ten seconds if nobody answers.
    """

    def free() -> None:
        while parts:
            del parts[0]

    thread = threading.Thread(target=free, name="aravis release", daemon=True)
    thread.start()
    thread.join(wait_s)

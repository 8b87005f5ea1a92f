"""What the installed drivers see on this machine, for `glioscope devices list`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glioscope.core import DeviceError

from ._aravis_driver import driver_error, listed_cameras, load_aravis, text_of
from ._micromanager_core import CAMERA, CORE_ERRORS, STAGE, adapter_folders, load_pymmcore

_READ_ALL = 20


@dataclass(frozen=True, slots=True)
class FoundDevice:
    """One camera or motor that a driver offers.

    Attributes
    ----------
    kind : "camera" or "stage".
    model : maker's or adapter's words.
    settings : what to write into a unit's settings to use it.
    """

    kind: str
    model: str
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FoundDevices:
    """What was found, and a sentence for each driver that is absent or could not look."""

    devices: tuple[FoundDevice, ...]
    notes: tuple[str, ...]


def found_cameras() -> FoundDevices:
    """Look through Micro-Manager's adapters and for GigE and USB3 Vision cameras; takes a little over a second."""
    micromanager, aravis = _micromanager(), _aravis()
    return FoundDevices((*micromanager.devices, *aravis.devices), (*micromanager.notes, *aravis.notes))


def _aravis() -> FoundDevices:
    try:
        library = load_aravis("aravis")
    except DeviceError as error:
        return FoundDevices((), (error.reason,))
    try:
        listed = listed_cameras(library, fake=True)
    except driver_error() as error:
        return FoundDevices((), (f"Aravis cannot look for cameras: {text_of(error)}",))
    interfaces = {"Fake": "fake", "GigEVision": "gv", "USB3Vision": "usb3"}
    devices = []
    for camera in listed:
        settings = {"backend": "aravis", "interface": interfaces[camera.protocol], "camera_id": camera.camera_id}
        if camera.protocol == "GigEVision":
            settings["address"] = camera.address
        devices.append(FoundDevice("camera", camera.model, settings))
    return FoundDevices(tuple(devices), ())


def _micromanager() -> FoundDevices:
    try:
        core = load_pymmcore("micromanager").CMMCore()
    except DeviceError as error:
        return FoundDevices((), (error.reason,))
    folders = adapter_folders()
    if not folders:
        return FoundDevices((), ("Micro-Manager's adapters are not installed: mmcore install, or set adapter_path",))
    devices: list[FoundDevice] = []
    notes: list[str] = []
    for folder in folders:
        core.setDeviceAdapterSearchPaths([str(folder)])
        libraries = core.getDeviceAdapterNames()
        if len(libraries) > _READ_ALL:  # a full Micro-Manager: reading hundreds of drivers takes long and can hang
            notes.append(f"{folder} holds {len(libraries)} adapters, not read here: {', '.join(libraries)}")
            continue
        for library in libraries:
            try:
                devices += _adapter(core, folder, library)
            except CORE_ERRORS as error:
                notes.append(f"Micro-Manager's adapter {library} cannot be read: {error}")
    return FoundDevices(tuple(devices), tuple(notes))


def _adapter(core: Any, folder: Path, library: str) -> list[FoundDevice]:
    names = core.getAvailableDevices(library)
    kinds = core.getAvailableDeviceTypes(library)
    texts = core.getAvailableDeviceDescriptions(library)
    wanted = {CAMERA: "camera", STAGE: "stage"}
    return [
        FoundDevice(
            wanted[kind],
            text,
            {"backend": "micromanager", "adapter_path": str(folder), "library": library, "device": name},
        )
        for name, kind, text in zip(names, kinds, texts, strict=True)
        if kind in wanted
    ]

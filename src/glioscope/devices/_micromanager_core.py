"""Micro-Manager's core: finding its adapters, loading devices, and messages that name what exists."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from glioscope.core import DeviceError

from ._closest import closest_first

INSTALL = "Micro-Manager's driver is not installed: pip install 'glioscope[devices]'"
CAMERA, STAGE = 2, 5

# What the core raises: RuntimeError from devices, ValueError and OSError for names and files, SystemError for an image
# of a camera that is gone.
CORE_ERRORS = (RuntimeError, ValueError, OSError, SystemError, MemoryError)


def load_pymmcore(device: str) -> Any:
    """The module of Micro-Manager's core. Raises DeviceError with the install command when it is absent."""
    try:
        return importlib.import_module("pymmcore")
    except ImportError as error:
        raise DeviceError(device, INSTALL) from error


def adapter_folders() -> list[Path]:
    """Folders with adapters that are installed here: the demo ones, then those of a Micro-Manager."""
    found: list[Path] = []
    with suppress(ImportError):  # only tests and demonstrations need them
        found.append(Path(importlib.import_module("mm_test_adapters").device_adapter_path()))
    try:
        discovery = importlib.import_module("pymmcore_plus")
    except ImportError:
        return found
    found += [Path(folder) for folder in discovery.find_micromanager(return_first=False)]
    return list(dict.fromkeys(found))


@contextmanager
def core_calls(device: str, otherwise: str) -> Iterator[None]:
    """Errors of the core become a DeviceError that begins with what did not work."""
    try:
        yield
    except CORE_ERRORS as error:
        raise DeviceError(device, f"{otherwise}: {error}") from error


def new_core(device: str, adapter_path: Path | None, library: str | None) -> Any:
    """A core of its own that looks for adapters where `library` is. Raises DeviceError naming the adapters there."""
    pymmcore = load_pymmcore(device)
    core = pymmcore.CMMCore()
    folders = [adapter_path] if adapter_path is not None else adapter_folders()
    seen: list[str] = []
    for folder in folders:
        core.setDeviceAdapterSearchPaths([str(folder)])
        names = core.getDeviceAdapterNames()
        if library is None or library in names:
            return core
        seen += names
    where = ", ".join(str(folder) for folder in folders) or "no folder: set adapter_path"
    have = closest_first(library or "", seen)
    raise DeviceError(device, f"no adapter {library!r} in {where}; there are: {have}")


def load_device(
    device: str, core: Any, label: str, library: str, name: str, kind: int, properties: Mapping[str, str]
) -> None:
    """Load and initialise one device. Raises DeviceError naming devices, properties or values that exist."""
    with core_calls(device, f"adapter {library} cannot be read"):
        names = core.getAvailableDevices(library)
        kinds = core.getAvailableDeviceTypes(library)
    usable = [other for other, its in zip(names, kinds, strict=True) if its == kind]
    if name not in usable:
        what = "camera" if kind == CAMERA else "single-axis stage"
        raise DeviceError(device, f"adapter {library} has no {what} {name!r}; it has: {closest_first(name, usable)}")
    with core_calls(device, f"{library} {name} cannot be opened"):
        core.loadDevice(label, library, name)
    early = [key for key in properties if core.hasProperty(label, key) and core.isPropertyPreInit(label, key)]
    for key in early:
        set_property(device, core, label, key, properties[key])
    with core_calls(device, f"{library} {name} does not start"):
        core.initializeDevice(label)
    for key, value in properties.items():
        if key not in early:
            set_property(device, core, label, key, value)


def set_property(device: str, core: Any, label: str, key: str, value: str) -> None:
    """Set one property. Raises DeviceError naming the properties, or the values, that there are."""
    with core_calls(device, "its properties cannot be read"):
        names = core.getDevicePropertyNames(label)
    if key not in names:
        raise DeviceError(device, f"has no property {key!r}; it has: {closest_first(key, names)}")
    try:
        core.setProperty(label, key, value)
    except CORE_ERRORS as error:
        raise DeviceError(device, f"property {key} cannot be {value!r}{_choice(core, label, key, value)}") from error


def _choice(core: Any, label: str, key: str, value: str) -> str:
    allowed = core.getAllowedPropertyValues(label, key)
    if allowed:
        return f"; it can be: {closest_first(value, allowed)}"
    if core.hasPropertyLimits(label, key):
        return f"; it can be {core.getPropertyLowerLimit(label, key):g} to {core.getPropertyUpperLimit(label, key):g}"
    return "; it is read-only" if core.isPropertyReadOnly(label, key) else ""


def number_range(core: Any, label: str, key: str) -> tuple[float, float] | None:
    """Lowest and highest number that a property takes; None where the adapter does not tell or there is none."""
    if not core.hasProperty(label, key):
        return None
    if core.hasPropertyLimits(label, key):
        return float(core.getPropertyLowerLimit(label, key)), float(core.getPropertyUpperLimit(label, key))
    numbers = [number for text in core.getAllowedPropertyValues(label, key) if (number := _number(text)) is not None]
    return (min(numbers), max(numbers)) if numbers else None


def number(core: Any, label: str, key: str) -> float | None:
    """A property as a number; None where there is no such property or it is no number."""
    return _number(core.getProperty(label, key)) if core.hasProperty(label, key) else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def quietly(action: Callable[[], object]) -> str:
    """Do it; what the core says against it, empty when nothing. For `stop` and `unstage`, which never raise."""
    try:
        action()
    except CORE_ERRORS as error:
        return str(error)
    return ""

"""`devices calibrate`: dark frame, flat field and bad pixels of the unit's fluorescence camera."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from glioscope import RESEARCH_USE
from glioscope._terminal import out, progress
from glioscope.core import DeviceError, Frame, InputError

from ._devices import DemoOption, UnitArgument, devices, open_unit, unit_settings

if TYPE_CHECKING:
    from glioscope.core import Camera
    from glioscope.devices import FlatKind

_FLAT_KINDS = ("all", "illumination", "pixels")
_WAIT_S = 2.0


@devices.command()
def calibrate(
    unit: UnitArgument = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder for the calibration; an older one is replaced.")] = Path(
        "calibration"
    ),
    demo: DemoOption = False,
    frames: Annotated[int, typer.Option(help="Frames of each kind.")] = 24,
    flat: Annotated[bool, typer.Option("--flat", help="Take flat frames of an even light too.")] = False,
    flat_kind: Annotated[str, typer.Option(help="What the flat corrects: all, illumination or pixels.")] = "pixels",
    exposure_ms: Annotated[float | None, typer.Option(help="Exposure of the study; else that of the settings.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: lens covered (and without --flat only).")] = False,
) -> None:
    """Measure dark frame, flat field and bad pixels of the fluorescence camera (docs/camera-calibration.md)."""
    from glioscope.devices import MIN_DARKS, measure_calibration, write_calibration

    if not MIN_DARKS <= frames <= 1000:
        raise InputError(f"--frames {frames} is out of range; give {MIN_DARKS} to 1000")
    if flat_kind not in _FLAT_KINDS:
        raise InputError(f"--flat-kind {flat_kind!r} is not known; give {', '.join(_FLAT_KINDS)}")
    if yes and flat:
        raise InputError("--flat needs somebody who changes what the camera sees: leave out --yes")
    made = open_unit(unit_settings(unit, demo))
    camera = made.parts.fl
    try:
        camera.stage()
        if exposure_ms is not None:
            camera.set_exposure_ms(exposure_ms)
        camera.start(made.frames_per_second)
        _ask("Cover the lens of the fluorescence camera; the laser is off", asked=not (yes or demo))
        darks = _frames(camera, frames, "dark frames")
        flats = []
        if flat:
            _ask("Show it a white sheet under an even, steady light, out of focus", asked=True)
            flats = _frames(camera, frames, "flat frames")
        info, warm = camera.info(), camera.report().temperature_c
    finally:
        camera.unstage()
    kind = cast("FlatKind", flat_kind)
    calibration = measure_calibration(darks, flats, info=info, flat_kind=kind, temperature_c=warm)
    write_calibration(folder, calibration)
    found = calibration.info
    out.print(
        f"{folder}: {info.model} {info.serial} at {found.exposure_ms:g} ms, gain {found.gain:g}: dark "
        f"{found.dark_counts:.1f} counts, noise {found.dark_noise_counts:.1f}; {found.hot_pixels} hot, "
        f"{found.dead_pixels} dead, {found.noisy_pixels} noisy pixels; "
        f"{found.n_darks} dark, {found.n_flats} flat frames",
        soft_wrap=True,
    )
    out.print(f"{made.name}: {made.data_kind}. {RESEARCH_USE}", style="dim")


def _ask(words: str, *, asked: bool) -> None:
    if asked:
        typer.confirm(f"{words}. Ready?", abort=True, default=True)


def _frames(camera: "Camera", count: int, label: str) -> list[Frame]:
    """So many frames from now on: those that were exposed before the operator was ready are left out."""
    since_s, taken = time.monotonic(), list[Frame]()
    heard_s = since_s
    with progress(label) as advance:
        while len(taken) < count:
            frame = camera.read(0.2)
            if frame is None:
                if time.monotonic() - heard_s > _WAIT_S:
                    raise DeviceError(camera.name, f"no frame for {_WAIT_S:g} s: check its cable")
                continue
            heard_s = time.monotonic()
            if frame.monotonic_s is not None and frame.monotonic_s - (frame.exposure_ms or 0.0) / 1000 > since_s:
                taken.append(frame)
                advance(len(taken), count)
    return taken

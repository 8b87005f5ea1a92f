"""`diagnose`: a locked suite on new specimens."""

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glioscope._terminal import progress
from glioscope.core import Diagnosis, InputError, sha256_of

from ._app import app
from ._output import Output
from ._sign import TrustedOption

if TYPE_CHECKING:
    from glioscope.core import Frame
    from glioscope.imaging import SpecimenSource
    from glioscope.runtime import Cascade


@app.command()
def diagnose(
    suite: Annotated[Path, typer.Argument(help="Folder of a locked suite, as `train` writes it.")],
    fl: Annotated[Path | None, typer.Option(help="Fluorescence image of one specimen.")] = None,
    wl: Annotated[Path | None, typer.Option(help="White-light image of the same specimen.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Many specimens; labels are not needed.")] = None,
    full_frame: Annotated[bool, typer.Option("--full-frame", help="--fl/--wl are frames: find the specimen.")] = False,
    tray: Annotated[bool, typer.Option("--tray", help="--fl/--wl are frames of a plate with many specimens.")] = False,
    mm_per_px: Annotated[float | None, typer.Option(help="Scale of --fl/--wl; needed to find specimens.")] = None,
    registration: Annotated[Path | None, typer.Option(help="Of the two cameras, as `register` writes it.")] = None,
    exposure_ms: Annotated[float | None, typer.Option(help="Exposure of --fl.")] = None,
    gain: Annotated[float | None, typer.Option(help="Gain of --fl.")] = None,
    distance_mm: Annotated[float | None, typer.Option(help="From the imaging unit to the specimen.")] = None,
    irradiance: Annotated[float | None, typer.Option(help="On the specimen in mW/cm2.")] = None,
    fl_dark: Annotated[Path | None, typer.Option(help="Dark frame of --fl.")] = None,
    fl_flat: Annotated[Path | None, typer.Option(help="Flat frame of --fl.")] = None,
    heatmaps: Annotated[Path | None, typer.Option(help="Folder for a picture of each answer's heatmap.")] = None,
    trusted: TrustedOption = None,
    out: Annotated[
        Path | None, typer.Option(help="With --manifest: append JSON lines here; an unfinished file is continued.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record a line.")] = False,
) -> None:
    """Diagnose specimens with a locked suite: tumour first; grade and Ki-67 of tumours only.

    The answer is tumour, non-tumour, indeterminate, or not assessable with the reason.
    """
    from glioscope.runtime import Cascade, RuntimeSettings

    cores = max(1, os.cpu_count() or 1)
    frames = {"--fl-dark": fl_dark, "--fl-flat": fl_flat, "--registration": registration}
    numbers = {
        "--mm-per-px": mm_per_px,
        "--exposure-ms": exposure_ms,
        "--gain": gain,
        "--distance-mm": distance_mm,
        "--irradiance": irradiance,
    }
    if (manifest is None) == (fl is None and wl is None):
        raise InputError("give either --fl and/or --wl, or --manifest")
    if manifest is not None:
        described = {**frames, **numbers, "--full-frame": full_frame or None, "--tray": tray or None}
        given = [option for option, value in described.items() if value is not None]
        if given:
            raise InputError(f"{given[0]} belongs to --fl/--wl; in a manifest it is a column (docs/manifest.md)")
        # One thread a network and a batch a core: the cores never wait for each other.
        settings = RuntimeSettings(threads=1, workers=cores, parallel=False, trusted_keys=trusted)
        _diagnose_manifest(Cascade.load(suite, settings), suite, manifest, out, heatmaps, as_json=as_json)
        return
    if out is not None:
        raise InputError("--out belongs to --manifest; one answer is printed")
    _check_single({"--fl": fl, "--wl": wl, **frames}, numbers)
    if registration is not None and not (full_frame or tray):
        raise InputError("--registration belongs to --full-frame or --tray")
    source = _source(fl, wl, exposure_ms, gain, distance_mm, irradiance, mm_per_px, fl_dark, fl_flat)
    cascade = Cascade.load(suite, RuntimeSettings(threads=cores, trusted_keys=trusted))
    if tray or full_frame:
        found = _diagnose_frames(cascade, source, registration, tray=tray)
    else:
        found = [cascade.diagnose_files(source)]
    output = Output(cascade, as_json=as_json, heatmaps=heatmaps)
    for answer in found:
        output.take(answer)
    output.end()


def _source(
    fl: Path | None,
    wl: Path | None,
    exposure_ms: float | None,
    gain: float | None,
    distance_mm: float | None,
    irradiance: float | None,
    mm_per_px: float | None,
    fl_dark: Path | None,
    fl_flat: Path | None,
) -> "SpecimenSource":
    from glioscope.imaging import SpecimenSource

    return SpecimenSource(
        (fl or wl or Path("specimen")).stem,
        fl_image=fl,
        wl_image=wl,
        mm_per_px=mm_per_px,
        fl_exposure_ms=exposure_ms,
        fl_gain=gain,
        distance_mm=distance_mm,
        irradiance_mw_cm2=irradiance,
        fl_dark=fl_dark,
        fl_flat=fl_flat,
    )


def _diagnose_frames(
    cascade: "Cascade", source: "SpecimenSource", registration: Path | None, *, tray: bool
) -> list[Diagnosis]:
    from glioscope.imaging import read_frame

    fl, wl = _frames(source, registration)
    dark = read_frame(source.fl_dark).pixels if source.fl_dark is not None else None
    flat = read_frame(source.fl_flat).pixels if source.fl_flat is not None else None
    if tray:
        return cascade.diagnose_tray(fl, wl, dark=dark, flat=flat, tray_id=source.specimen_id)
    return [cascade.diagnose(fl, wl, dark=dark, flat=flat, specimen_id=source.specimen_id)]


def _frames(source: "SpecimenSource", registration: Path | None) -> tuple["Frame | None", "Frame | None"]:
    """The two files as frames of the cameras, white light brought onto fluorescence."""
    from glioscope.core import Frame
    from glioscope.imaging import read_fl, read_registration, read_wl

    fl = read_fl(source.fl_image) if source.fl_image is not None else None
    wl = read_wl(source.wl_image) if source.wl_image is not None else None
    registered = read_registration(registration) if registration is not None else None
    scales = [source.mm_per_px, *(raw.mm_per_px for raw in (fl, wl) if raw is not None)]
    scales.append(registered.mm_per_px if registered is not None else None)
    mm_per_px = next((scale for scale in scales if scale is not None), None)
    pixels = wl.pixels if wl is not None else None
    if registered is not None and pixels is not None:
        pixels = registered.apply(pixels)
    return (
        None
        if fl is None
        else Frame(
            fl.pixels,
            white_level=fl.white_level,
            exposure_ms=source.fl_exposure_ms,
            gain=source.fl_gain,
            irradiance_mw_cm2=source.irradiance_mw_cm2,
            distance_mm=source.distance_mm,
            mm_per_px=mm_per_px,
        ),
        None if pixels is None else Frame(pixels, distance_mm=source.distance_mm, mm_per_px=mm_per_px),
    )


def _diagnose_manifest(
    cascade: "Cascade", suite: Path, manifest: Path, out: Path | None, heatmaps: Path | None, *, as_json: bool
) -> None:
    from ._archive import AnswersFile, answers, manifest_sources

    specimens, faults = manifest_sources(manifest)
    with contextlib.ExitStack() as stack:
        file = None
        if out is not None:
            file = stack.enter_context(contextlib.closing(AnswersFile(out, sha256_of(suite / "suite.json"))))
            specimens = [sets for sets in specimens if sets[0].specimen_id not in file.done]
        output = Output(cascade, as_json=as_json, heatmaps=heatmaps, file=file)
        advance = stack.enter_context(progress("diagnosing", shown=not (as_json and sys.stdout.isatty())))
        for number, answer in enumerate(answers(cascade, specimens, faults), start=1):
            output.take(answer)
            advance(number, len(specimens))
    output.end()


def _check_single(paths: Mapping[str, Path | None], numbers: Mapping[str, float | None]) -> None:
    for path in paths.values():
        if path is not None and not path.is_file():
            raise InputError(f"{path}: no such file")
    for option, value in numbers.items():
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"{option} {value:g} is out of range; give more than 0")

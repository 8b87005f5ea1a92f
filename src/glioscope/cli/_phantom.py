"""`devices phantom`: is the imaging unit as it should be, from pictures of a fluorescence target?"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from glioscope import RESEARCH_USE
from glioscope._terminal import out as terminal
from glioscope.core import ImageError, InputError, atomic_file, read_toml

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glioscope.devices import PhantomReading, PhantomResult, PhantomTarget, SuiteInUse
    from glioscope.imaging import Registration

_DEMO_TARGET = "glioscope-cast"
_BASELINE_SEED = 1000
DEMO_FAULTS: dict[str, dict[str, Any]] = {
    "none": {},
    "blur": {"blur_px": 1.0},
    "uneven": {"uneven": 0.15},
    "bad-pixels": {"dead_pixels": 150, "hot_pixels": 150},
    "leak": {"leak": 0.15},
    "laser": {"laser": 0.5},
    "moved": {"moved_px": 5.0},
    "nonlinear": {"compression": 0.25},
    "clipped": {"clipped_at": 30_000},
}


def phantom(
    fl: Annotated[Path | None, typer.Option(help="Fluorescence picture of the target, 16 bits.")] = None,
    wl: Annotated[Path | None, typer.Option(help="White-light picture of the target.")] = None,
    target: Annotated[str, typer.Option(help="TOML file of the target, or the name of one of ours.")] = "",
    exposure_ms: Annotated[float | None, typer.Option(help="Exposure of --fl in ms.")] = None,
    dark: Annotated[Path | None, typer.Option(help="FL frame of the same exposure without any light.")] = None,
    suite: Annotated[Path | None, typer.Option(help="Suite that the unit is to serve.")] = None,
    registration: Annotated[Path | None, typer.Option(help="Registration to hold against the target.")] = None,
    baseline: Annotated[Path | None, typer.Option(help="result.json of the first accepted check.")] = None,
    limits: Annotated[Path | None, typer.Option(help="TOML file with limits of your own (docs/phantom.md).")] = None,
    gain: Annotated[float | None, typer.Option(help="FL gain, to compare with the suite.")] = None,
    distance_mm: Annotated[float | None, typer.Option(help="Working distance, to compare with the suite.")] = None,
    irradiance: Annotated[float | None, typer.Option(help="mW/cm2 at the target, to compare with the suite.")] = None,
    unit: Annotated[str, typer.Option(help="Name of the imaging unit.")] = "",
    simulated: Annotated[bool, typer.Option("--simulated", help="The pictures are simulated.")] = False,
    demo: Annotated[bool, typer.Option("--demo", help="Render a simulated target and its baseline.")] = False,
    fault: Annotated[str, typer.Option(help=f"With --demo, what is wrong: {', '.join(DEMO_FAULTS)}.")] = "none",
    seed: Annotated[int, typer.Option(help="With --demo: noise and place of the target.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for result.json and phantom.png.")] = None,
) -> None:
    """Check the unit with a fluorescence target before a case: exit code 0 ok or warning, 1 failed, 2 bad input."""
    from glioscope.devices import PhantomLimits, judge_phantom, read_phantom, read_target

    known = {"fl_gain": gain, "distance_mm": distance_mm, "irradiance_mw_cm2": irradiance}
    _check_numbers({"exposure_ms": exposure_ms, **known})
    own = None if limits is None else read_toml(limits, PhantomLimits)
    described = read_target(target or _DEMO_TARGET)
    in_use = None if suite is None else _suite_in_use(suite, {k: v for k, v in known.items() if v is not None})
    first = None if baseline is None else read_phantom(baseline)
    if demo:
        if fl or wl or dark or registration or exposure_ms:
            raise InputError("--demo renders its pictures: no --fl, --wl, --dark, --registration or --exposure-ms")
        pictures = _demo_pictures(described, fault, seed)
        first = first or _demo_baseline(described, unit)
    else:
        if fl is None or wl is None or exposure_ms is None or not target:
            raise InputError("give --fl, --wl, --exposure-ms and --target, or --demo")
        if fault != "none":
            raise InputError("--fault is for --demo")
        pictures = _read_pictures(fl, wl, dark, registration, exposure_ms)
    reading = _measured(pictures, described, first)
    kind: Literal["simulated", "real"] = "simulated" if demo or simulated else "real"
    result = judge_phantom(reading, data_kind=kind, unit=unit, limits=own, baseline=first, suite=in_use)
    _print_result(result)
    if out is not None:
        _write(out, reading, result, pictures, is_demo=demo)
    if result.verdict == "fail":
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Pictures:
    """What is measured; `names` are those of the files, for sentences."""

    names: str
    fl: "NDArray[Any]"
    wl: "NDArray[Any]"
    white_level: int
    exposure_ms: float
    dark: "NDArray[Any] | None" = None
    registration: "Registration | None" = None


def _read_pictures(fl: Path, wl: Path, dark: Path | None, registration: Path | None, exposure_ms: float) -> _Pictures:
    from glioscope.imaging import read_fl, read_registration, read_wl

    raw = read_fl(fl)
    return _Pictures(
        names=f"{fl}, {wl}",
        fl=raw.pixels,
        wl=read_wl(wl).pixels,
        white_level=raw.white_level,
        exposure_ms=exposure_ms,
        dark=None if dark is None else read_fl(dark, allow_blank=True).pixels,
        registration=None if registration is None else read_registration(registration),
    )


def _measured(pictures: _Pictures, target: "PhantomTarget", baseline: "PhantomResult | None") -> "PhantomReading":
    from glioscope.devices import measure_phantom

    try:
        return measure_phantom(
            pictures.fl,
            pictures.wl,
            target,
            pictures.exposure_ms,
            white_level=pictures.white_level,
            dark=pictures.dark,
            registration=pictures.registration,
            baseline=baseline,
        )
    except ImageError as error:
        raise InputError(f"{pictures.names}: {error.reason}") from error


def _check_numbers(numbers: dict[str, float | None]) -> None:
    for name, value in numbers.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} {value:g} is out of range; give more than 0")


def _suite_in_use(folder: Path, conditions: dict[str, float]) -> "SuiteInUse":
    from glioscope.devices import SuiteInUse
    from glioscope.runtime import load_bundle, load_suite_info

    info = load_suite_info(folder)
    names = dict.fromkeys(info.answers.values())
    bundles = [load_bundle(folder / name, sums_sha256=info.sha256[name]).info for name in names]
    return SuiteInUse(folder.resolve().name, bundles, info.data_kind, conditions)


def _demo_pictures(target: "PhantomTarget", fault: str, seed: int) -> _Pictures:
    import numpy as np

    from glioscope.sim._phantom import PhantomFaults, render_phantom

    if fault not in DEMO_FAULTS:
        raise InputError(f"--fault {fault!r} is none of {', '.join(DEMO_FAULTS)}")
    if seed < 0:
        raise InputError(f"--seed {seed} is out of range; give 0 or more")
    rng = np.random.default_rng(seed)
    x, y, turned = (float(value) for value in rng.uniform(-1, 1, 3))
    faults = PhantomFaults(**DEMO_FAULTS[fault])
    pair = render_phantom(target, rng, faults=faults, shift_mm=(x, y), turned_deg=2 * turned)
    return _Pictures("demo", pair.fl, pair.wl, 65535, pair.exposure_ms)


def _demo_baseline(target: "PhantomTarget", unit: str) -> "PhantomResult":
    from glioscope.devices import judge_phantom

    reading = _measured(_demo_pictures(target, "none", _BASELINE_SEED), target, None)
    return judge_phantom(reading, data_kind="simulated", unit=unit)


def _print_result(result: "PhantomResult") -> None:
    from rich.table import Table
    from rich.text import Text

    from glioscope.devices._phantom_figure import span

    colours = {"ok": "green", "warn": "yellow", "fail": "red", "not judged": "dim"}
    kind = "SIMULATED pictures" if result.data_kind == "simulated" else "real pictures"
    title = f"Phantom check, target {result.target}, {kind}, {result.created}"
    table = Table(title=title, title_justify="left", show_edge=False)
    for column in ("measure", "value", "passes", "against", "verdict"):
        table.add_column(column)
    for line in result.lines:
        value = f"{line.value:.4g} {line.unit}".rstrip()
        verdict = Text(line.verdict.value, colours[line.verdict.value])
        table.add_row(line.label, value, span(line), line.against, verdict)
    terminal.print(table)
    for reason in result.reasons():
        terminal.print(reason.sentence, soft_wrap=True)
    for note in (f"dark level from the {result.dark_source}", *result.notes):
        terminal.print(f"note: {note}", style="dim", soft_wrap=True)
    terminal.print(Text(f"verdict: {result.verdict.value}", colours[result.verdict.value]))
    terminal.print(RESEARCH_USE, style="dim")


def _write(
    folder: Path,
    reading: "PhantomReading",
    result: "PhantomResult",
    pictures: _Pictures,
    *,
    is_demo: bool,
) -> None:
    from glioscope.devices import write_phantom
    from glioscope.devices._phantom_figure import draw_phantom

    folder.mkdir(parents=True, exist_ok=True)
    draw_phantom(folder / "phantom.png", reading, result, pictures.wl)
    if is_demo:
        import cv2

        for name, pixels in (("fl.png", pictures.fl), ("wl.png", pictures.wl[..., ::-1])):
            with atomic_file(folder / name) as temporary:
                temporary.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    write_phantom(folder / "result.json", result)
    terminal.print(f"{folder}: result.json, phantom.png" + (", fl.png, wl.png (SIMULATED)" if is_demo else ""))

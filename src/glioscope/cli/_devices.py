"""`devices`: the imaging unit on the command line; what is here, and whether it all works."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from glioscope import RESEARCH_USE
from glioscope._terminal import out
from glioscope.core import DeviceError, DeviceReport, GlioscopeError, InputError, LaserState

from ._app import app
from ._phantom import phantom

if TYPE_CHECKING:
    from glioscope.core import Laser
    from glioscope.devices import FramePair, ImagingUnit, UnitSettings

devices = typer.Typer(no_args_is_help=True, help="Imaging unit: cameras, laser, rangefinder, motors.")
app.add_typer(devices, name="devices")
devices.command()(phantom)

_EMIT_S = 5.0
_ELSEWHERE = frozenset(
    {
        *("simulated", "frames_per_second", "setpoint_mw_cm2", "limit_mw_cm2", "skin_limit_mw_cm2"),
        *("eye_limit_mw_cm2", "eye_limit_point_mw_cm2", "ocular_hazard_mm"),
    }
)
"""Facts of a report that are not repeated in the table."""
UnitArgument = Annotated[
    Path | None, typer.Argument(metavar="[UNIT]", help="Settings of the unit: a TOML file (docs/devices.md).")
]
DemoOption = Annotated[bool, typer.Option("--demo", help="A unit in which everything is simulated.")]


def unit_settings(path: Path | None, demo: bool) -> "UnitSettings":
    """Settings from the file, or the simulated unit. Raises InputError unless it is one of the two."""
    from glioscope.devices import DEMO, read_unit

    if demo == (path is not None):
        raise InputError("give the settings of a unit (UNIT.toml), or --demo for a simulated one")
    return DEMO if path is None else read_unit(path)


def open_unit(settings: "UnitSettings") -> "ImagingUnit":
    """The unit, nothing staged; simulated cameras see a plate with specimens."""
    from glioscope.devices import make_unit

    def sources() -> Any:
        from glioscope.sim import make_sources

        return make_sources(seed=settings.bench.seed)

    return make_unit(settings, sources)


@devices.command("list")
def list_devices(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Which drivers are installed, and which cameras, serial ports and handles are here."""
    from serial.tools.list_ports import comports

    from glioscope.devices import found_cameras

    found = found_cameras()
    rows = [(seen.kind, seen.model, _as_settings(seen.settings)) for seen in found.devices]
    rows += [("serial port", port.description, f'port = "{port.device}"') for port in comports()]
    rows += [("handle", "joystick", f'device = "{path}"') for path in sorted(Path("/dev/input").glob("js*"))]
    rows.append(("any", "simulated", 'backend = "simulated"'))
    if as_json:
        seen_devices = [dict(zip(("kind", "model", "settings"), row, strict=True)) for row in rows]
        print(json.dumps({"devices": seen_devices, "notes": found.notes}))  # noqa: T201
        return
    print_table(("kind", "model", "in the unit's settings"), rows)
    for note in found.notes:
        out.print(note, style="dim", soft_wrap=True)


def _as_settings(settings: Mapping[str, str]) -> str:
    # The demo adapters are found without their path, and Micro-Manager's usual folder too.
    return "\n".join(f'{name} = "{value}"' for name, value in settings.items() if name != "adapter_path")


@devices.command()
def check(
    unit: UnitArgument = None,
    demo: DemoOption = False,
    seconds: Annotated[float, typer.Option(help="How long the cameras stream.")] = 3.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Open every device, stream both cameras, and say what each tells. No light, no motion; exit code 1 if one fails.

    With --demo the simulated laser is armed and shines for a moment, so that light is seen to come and go.
    """
    if not 0.5 <= seconds <= 3600:
        raise InputError(f"--seconds {seconds:g} is out of range; give 0.5 to 3600")
    from glioscope.devices import alive

    settings = unit_settings(unit, demo)
    made = open_unit(settings)
    try:
        failed = made.try_stage(moving=False)
        reports = made.report()
        stream = _stream(made, seconds, failed, shine=demo)
        reports |= {slot: report for slot, report in made.report().items() if slot not in failed}
    finally:
        made.unstage()
    sound = {slot: slot not in failed and alive(report) for slot, report in reports.items()}
    if as_json:
        words = {slot: asdict(report) | {"alive": sound[slot]} for slot, report in reports.items()}
        shown = {"unit": made.name, "data_kind": made.data_kind, "devices": words, "acquisition": stream}
        print(json.dumps(shown | {"failed": {slot: str(error) for slot, error in failed.items()}}))  # noqa: T201
    else:
        _print_reports(reports, failed, sound)
        _print_stream(stream)
        _print_limits(reports.get("laser"))
        out.print(f"{made.name}: {made.data_kind}. {RESEARCH_USE}", style="dim", soft_wrap=True)
    if not all(sound.values()) or stream.get("error") or not stream.get("pairs"):
        raise typer.Exit(1)


def _stream(made: "ImagingUnit", seconds: float, failed: Mapping[str, Any], *, shine: bool) -> dict[str, Any]:
    """Stream for a while; what came, or why nothing did."""
    if failed.keys() & {"fl", "wl"}:
        return {"error": "the cameras do not stream: one of them could not be opened"}
    try:
        acquisition = made.start()
    except GlioscopeError as error:
        return {"error": str(error)}
    pairs = _take(acquisition, seconds)
    light = _shine(made) if shine else {}
    status = acquisition.status()
    made.stop_cameras()
    return {**_figures(pairs, seconds), "lost": status.fl.lost + status.wl.lost, **_warnings(status), **light}


def _take(acquisition: Any, seconds: float) -> list[tuple["FramePair", float]]:
    """Every pair of this time with its age when it was taken, in ms."""
    taken, end = [], time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        pair = acquisition.next_pair(left)
        if pair is not None:
            newest = max(pair.fl.monotonic_s or 0.0, pair.wl.monotonic_s or 0.0)
            taken.append((pair, 1000 * (time.monotonic() - newest)))
    return taken


def _figures(taken: Sequence[tuple["FramePair", float]], seconds: float) -> dict[str, Any]:
    import numpy as np

    if not taken:
        return {"pairs": 0, "error": f"no pair of frames within {seconds:g} s"}
    good = [(pair, age) for pair, age in taken if not pair.reasons]
    skews = [abs(pair.skew_ms) for pair, _ in good] or [float("nan")]
    return {
        "pairs": len(good),
        "flagged": len(taken) - len(good),
        "pairs_per_second": round(len(good) / seconds, 2),
        "skew_p99_ms": round(float(np.percentile(skews, 99)), 2),
        "latency_p99_ms": round(float(np.percentile([age for _, age in taken], 99)), 2),
    }


def _warnings(status: Any) -> dict[str, Any]:
    said = [stream.sentence for stream in (status.fl, status.wl) if stream.sentence]
    return {"warnings": said} if said else {}


def _shine(made: "ImagingUnit") -> dict[str, Any]:
    """Arm, emit and let go in the simulated unit: fluorescence dark and lit, and why it went dark again."""
    acquisition, laser, handle = made.acquisition, made.parts.laser, made.parts.handle
    push = getattr(handle, "push", None)
    if acquisition is None or laser is None or push is None:
        return {}
    push(True)
    refused = _emit(laser)
    if refused:
        return {"error": f"the simulated laser did not shine: {refused}"}
    lit = [pair for pair, _ in _take(acquisition, 0.6) if pair.fl.laser_on]
    push(False)
    time.sleep(0.7)
    dark = [pair for pair, _ in _take(acquisition, 0.3) if pair.fl.laser_on is False]
    if not lit or not dark:
        return {"error": f"the simulated laser did not shine and go dark: {laser.laser_report().reason}"}
    return {
        "fl_mean_lit": round(float(lit[-1].fl.pixels.mean()), 1),
        "fl_mean_dark": round(float(dark[-1].fl.pixels.mean()), 1),
        "irradiance_mw_cm2": round(lit[-1].fl.irradiance_mw_cm2 or 0.0, 1),
        "dark_again": laser.laser_report().reason,
    }


def _emit(laser: "Laser") -> str:
    """From off to emitting; a busy machine can trip the keeper, which is cleared for a few seconds. Why not, or ""."""
    end, said = time.monotonic() + _EMIT_S, ""
    steps = {LaserState.OFF: laser.arm, LaserState.ARMED: laser.emit, LaserState.FAULT: laser.clear}
    while (state := laser.laser_report().state) is not LaserState.EMITTING:
        if time.monotonic() > end:
            return said
        try:
            steps[state]()
        except DeviceError as error:
            said = error.reason
        time.sleep(0.05)
    return ""


def _print_reports(
    reports: Mapping[str, DeviceReport], failed: Mapping[str, GlioscopeError], sound: Mapping[str, bool]
) -> None:
    rows = []
    for slot, report in reports.items():
        warm = "" if report.temperature_c is None else f"{report.temperature_c:.1f}"
        wrong = "; ".join(report.faults) or (str(failed[slot]) if slot in failed else "")
        tells = (
            Text(wrong, "red")
            if wrong
            else ", ".join(_fact(*f) for f in report.details.items() if f[0] not in _ELSEWHERE)
        )
        state = Text("alive", "green") if sound[slot] else Text("fails", "red")
        rows.append((slot, report.model, state, report.state.value, warm, tells))
    print_table(("slot", "model", "", "state", "deg C", "tells"), rows)


def _print_limits(laser: DeviceReport | None) -> None:
    """Beside the laser's own limit those for eye and skin, which no interlock replaces."""
    if laser is None or "skin_limit_mw_cm2" not in laser.details:
        return
    facts = laser.details
    out.print(
        f"laser: setpoint {facts['setpoint_mw_cm2']:g}, limit {facts['limit_mw_cm2']:g} mW/cm2; exposure limits for "
        f"100 s or more: skin {facts['skin_limit_mw_cm2']:.0f}, eye {facts['eye_limit_mw_cm2']:.1f} "
        f"(point source {facts['eye_limit_point_mw_cm2']:.1f}) mW/cm2, eyes at risk within "
        f"{facts['ocular_hazard_mm']:.0f} mm (docs/laser-safety.md)",
        soft_wrap=True,
    )


def _fact(name: str, value: Any) -> str:
    shown = (
        f"{value:.4g}" if isinstance(value, float) else "yes" if value is True else "no" if value is False else value
    )
    return f"{name} {shown}"


def _print_stream(stream: Mapping[str, Any]) -> None:
    if "error" in stream:
        out.print(Text(f"cameras: {stream['error']}", "red"), soft_wrap=True)
        return
    out.print(
        f"cameras together: {stream['pairs']} pairs, {stream['pairs_per_second']:g}/s, skew p99 "
        f"{stream['skew_p99_ms']:g} ms, exposure end to here p99 {stream['latency_p99_ms']:g} ms, "
        f"{stream['lost']} frames lost, {stream['flagged']} pairs flagged",
        soft_wrap=True,
    )
    for sentence in stream.get("warnings", ()):
        out.print(Text(sentence, "yellow"), soft_wrap=True)
    if "fl_mean_lit" in stream:
        out.print(
            f"laser: fluorescence {stream['fl_mean_lit']:g} counts at {stream['irradiance_mw_cm2']:g} mW/cm2, "
            f"{stream['fl_mean_dark']:g} dark; it went dark because {stream['dark_again']}",
            soft_wrap=True,
        )


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on stdout; long cells fold."""
    table = Table(show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    out.print(table)

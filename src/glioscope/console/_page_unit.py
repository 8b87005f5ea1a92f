"""`/unit`: the imaging unit with its devices, laser, cameras, phantom check, recording and versions."""

import platform
from asyncio import to_thread
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version

from fastapi import Request
from nicegui import ui

from glioscope import __version__
from glioscope.cases import Action
from glioscope.core import DeviceReport
from glioscope.devices import PhantomLine, PhantomResult

from ._console import Console
from ._frame_page import act, button, page_frame
from ._guard import Login, login_of
from ._record_parts import Cell, Row, add_record_style, facts, heading, local_time, panel, sentence, table
from ._status import CameraStatus, TheatreStatus
from ._words import Words

_LOOK_S = 1.0


def add_pages(console: Console) -> None:
    """Register `/unit`."""

    @ui.page("/unit")
    async def page(request: Request) -> None:
        login, words = login_of(request), console.words
        add_record_style()
        status = console.theatre.status()
        with page_frame(console, login, words["admin.unit.title"], simulated=status.data_kind == "simulated"):
            UnitPage(console, login)


class UnitPage:
    """What the unit says of itself, once a second, and the phantom check."""

    def __init__(self, console: Console, login: Login) -> None:
        self._console, self._login, self._words = console, login, console.words
        self._drawn: tuple[object, ...] = ()
        with ui.element("div").classes("gs-two"):
            self._left = ui.element("div").classes("gs-column")
            self._right = ui.element("div").classes("gs-column")
        self._phantom()
        self._devices = ui.element("div").classes("gs-column")
        self._draw(console.theatre.status(), console.theatre.unit.report())
        ui.timer(_LOOK_S, self._look)

    async def _look(self) -> None:
        theatre = self._console.theatre
        reports = await to_thread(theatre.unit.report)
        self._draw(theatre.status(), reports)

    def _draw(self, status: TheatreStatus, reports: Mapping[str, DeviceReport]) -> None:
        """Draw what has changed; a page that is only looked at costs next to nothing."""
        words = self._words
        shown = (
            unit_facts(status, words),
            laser_facts(status, words),
            [camera_row(name, camera, words) for name, camera in (("fl", status.fl), ("wl", status.wl))],
            [device_row(slot, report, words) for slot, report in reports.items()],
            status.faults,
            status.clock,
            recording_facts(status, words),
        )
        if shown == self._drawn:
            return
        self._drawn = shown
        for place in (self._left, self._right, self._devices):
            place.clear()
        about, laser, cameras, devices, faults, clock, recording = shown
        with self._left:
            _fact_panel(words["admin.unit.versions"], about)
            self._faults((*faults, clock) if clock else faults)
        with self._right:
            _fact_panel(words["admin.unit.laser"], laser, words["admin.unit.laser_none"])
            _fact_panel(words["admin.unit.recording"], recording, words["admin.unit.recording_none"])
        with self._devices:
            _table_panel(words["admin.unit.cameras"], words["admin.unit.camera_heads"], cameras)
            _table_panel(words["admin.unit.devices"], words["admin.unit.device_heads"], devices)

    def _faults(self, faults: tuple[str, ...]) -> None:
        with panel():
            heading(self._words["admin.unit.faults"])
            if not faults:
                ui.label(self._words["admin.unit.fine"])
            for fault in faults:
                ui.label(f"⚠ {sentence(fault)}").classes("gs-remark")

    def _phantom(self) -> None:
        words, theatre = self._words, self._console.theatre
        with panel():
            with ui.element("div").classes("gs-head"):
                heading(words["admin.unit.phantom"])
                if self._login.actor.may(Action.RUN_UNIT):
                    pressed = button(words["admin.unit.phantom_run"], look="gs-strong")
                    pressed.on_click(lambda: self._check(pressed))
            hint = "phantom_hint" if theatre.simulator is None else "phantom_hint_simulated"
            ui.label(words[f"admin.unit.{hint}"]).classes("gs-dim")
            self._result = ui.element("div").classes("gs-column").props("role=status")
            with self._result:
                newest = theatre.status().phantom
                if newest is None:
                    ui.label(words["admin.unit.phantom_none"])
                else:
                    age = words("admin.unit.phantom_age", hours=f"{newest.age_hours:.1f}")
                    old = "" if newest.current else words["admin.unit.phantom_old"]
                    text = words(
                        "admin.unit.phantom_newest", verdict=_verdict(newest.verdict, words), age=age, current=old
                    )
                    ui.label(text).classes(f"gs-verdict {_look_of(newest.verdict)}")
                    for reason in newest.reasons:
                        ui.label(f"⚠ {sentence(reason)}").classes("gs-remark")

    async def _check(self, pressed: ui.button) -> None:
        words = self._words
        pressed.set_text(words["admin.unit.phantom_running"])
        pressed.disable()
        await act(self._console, self._login, self._console.theatre.phantom_check, then=self._show)
        pressed.set_text(words["admin.unit.phantom_run"])
        pressed.enable()

    def _show(self, result: PhantomResult) -> None:
        words = self._words
        self._result.clear()
        with self._result:
            text = words(
                "admin.unit.phantom_result",
                verdict=_verdict(result.verdict, words),
                target=result.target,
                time=local_time(datetime.fromisoformat(result.created)),
            )
            ui.label(text).classes(f"gs-verdict {_look_of(result.verdict)}")
            for note in result.notes:
                ui.label(sentence(note)).classes("gs-dim")
            rows = [phantom_row(line, words) for line in result.lines]
            table(words["admin.unit.phantom_heads"].split("|"), rows, words["admin.unit.phantom"])


def unit_facts(status: TheatreStatus, words: Words) -> list[tuple[str, str]]:
    """Unit, suite and versions."""
    suite, f = status.suite, "admin.fact."
    changed = f" {words['admin.unit.suite_changed']}" if suite.changed else ""
    values = {
        "unit": status.unit,
        "data": words[f + status.data_kind],
        "suite": suite.name + changed,
        "suite_sha": suite.sha256,
        "signed": suite.signed_by or words[f + "unsigned"],
        "trained": words[f + suite.data_kind] if suite.data_kind in ("real", "simulated") else suite.data_kind,
        "integrated": str(status.integrated),
        "software": __version__,
        "python": platform.python_version(),
        "onnx": version("onnxruntime"),
    }
    return [(words[f + name], value) for name, value in values.items()]


def laser_facts(status: TheatreStatus, words: Words) -> list[tuple[str, str]]:
    """The laser with its limits; empty without one."""
    light, distance, f = status.light, status.distance, "admin.fact."
    if light is None:
        return []
    window = ""
    if distance.nearest_mm is not None and distance.farthest_mm is not None:
        window = words(f + "mm_range", low=f"{distance.nearest_mm:g}", high=f"{distance.farthest_mm:g}")
    irradiance = light.irradiance_mw_cm2
    values = {
        "state": words[f"theatre.light.{light.state}"],
        "reason": sentence(light.reason),
        "power": words(f + "mw", value=f"{light.power_mw:.0f}"),
        "irradiance": "" if irradiance is None else words(f + "irradiance_value", value=f"{irradiance:.0f}"),
        "distance": "" if distance.now_mm is None else words(f + "mm", value=f"{distance.now_mm:.0f}"),
        "working": "" if distance.working_mm is None else words(f + "mm", value=f"{distance.working_mm:g}"),
        "window": window,
    }
    return [(words[f + name], value) for name, value in values.items()]


def recording_facts(status: TheatreStatus, words: Words) -> list[tuple[str, str]]:
    """How the recording does; empty where nothing is recorded."""
    recording, f = status.recording, "admin.fact."
    if recording is None:
        return []
    minutes = recording.minutes_left
    values = {
        "state": recording.state,
        "trouble": sentence(recording.sentence),
        "dropped": str(recording.dropped),
        "minutes": "" if minutes is None else words(f + "minutes_value", value=f"{minutes:.0f}"),
    }
    return [(words[f + name], value) for name, value in values.items()]


def camera_row(slot: str, camera: CameraStatus, words: Words) -> Row:
    """The line of a camera."""
    exposure = "" if camera.exposure_ms is None else words("admin.fact.ms", value=f"{camera.exposure_ms:g}")
    cells = (
        words[f"admin.unit.{slot}"],
        camera.state,
        f"{camera.frames_per_second:.1f}",
        str(camera.lost),
        str(camera.refused),
        exposure,
        "" if camera.gain is None else f"{camera.gain:g}",
        sentence(camera.sentence),
    )
    return Row(tuple(map(Cell, cells)))


def device_row(slot: str, report: DeviceReport, words: Words) -> Row:
    """The line of a device."""
    temperature = report.temperature_c
    degrees = "" if temperature is None else words("admin.unit.degrees", value=f"{temperature:.0f}")
    cells = (slot, report.state, report.model, degrees, "; ".join(map(sentence, report.faults)))
    return Row(tuple(map(Cell, cells)))


def phantom_row(line: PhantomLine, words: Words) -> Row:
    """The line of a measure."""
    value = f"{line.value:.4g} {line.unit}".rstrip()
    baseline = "" if line.baseline is None else f"{line.baseline:.4g}"
    cells = (line.label, value, _allowed(line, words), baseline, _verdict(line.verdict, words), sentence(line.sentence))
    look = {"fail": "gs-tumour", "warn": "gs-indeterminate"}.get(line.verdict, "")
    return Row(tuple(Cell(text, look=look if i == 4 else "") for i, text in enumerate(cells)))


def _allowed(line: PhantomLine, words: Words) -> str:
    low = None if line.low is None else f"{line.low:.4g}"
    high = None if line.high is None else f"{line.high:.4g}"
    if low is not None and high is not None:
        return words("admin.unit.allowed_both", low=low, high=high)
    if low is not None:
        return words("admin.unit.allowed_low", low=low)
    return "" if high is None else words("admin.unit.allowed_high", high=high)


def _verdict(verdict: str, words: Words) -> str:
    return words[f"admin.unit.{verdict.replace(' ', '_')}"]


def _look_of(verdict: str) -> str:
    return {"ok": "gs-good", "fail": "gs-bad"}.get(verdict, "")


def _fact_panel(title: str, pairs: list[tuple[str, str]], nothing: str = "") -> None:
    with panel():
        heading(title)
        if pairs:
            facts(pairs)
        else:
            ui.label(nothing).classes("gs-dim")


def _table_panel(title: str, heads: str, rows: list[Row]) -> None:
    with panel():
        heading(title)
        table(heads.split("|"), rows, title)

"""`devices record | replay | scan`: what the unit sees, into a case folder and out of it."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glioscope import RESEARCH_USE
from glioscope._terminal import err, out, say
from glioscope.core import DeviceError, InputError, LaserState

from ._devices import DemoOption, UnitArgument, devices, open_unit, print_table, unit_settings

if TYPE_CHECKING:
    from glioscope.devices import FramePair, ImagingUnit, RecordedCase, Recorder, ReplayCamera, UnitSettings

_DEVICES_S = 1.0
_FOLLOW_S = 0.05
CaseArgument = Annotated[Path, typer.Argument(metavar="CASE", help="A case folder (docs/case-folder.md).")]


@devices.command()
def record(
    unit: UnitArgument = None,
    folder: Annotated[Path, typer.Option("--out", help="The case folder: new or empty.")] = Path("case"),
    demo: DemoOption = False,
    seconds: Annotated[float, typer.Option(help="How long; Ctrl-C ends it in order too.")] = 60.0,
    case_id: Annotated[str, typer.Option(help="Pseudonym of the case, never a name.")] = "case",
    light: Annotated[bool, typer.Option("--light", help="Laser on while the handle's button is held.")] = False,
) -> None:
    """Record both cameras, the devices' states and all events."""
    _check_seconds(seconds)
    settings = unit_settings(unit, demo)
    made = open_unit(settings)
    lamp = _Light(made, demo) if light else None
    with made, _recorder(made, settings, folder, case_id) as recorder:
        _start(made, recorder)
        with lamp.following(recorder.event) if lamp is not None else nullcontext():
            try:
                _run(made, recorder, seconds)
            except KeyboardInterrupt:
                recorder.event("interrupted")
        made.stop_cameras()
    _print_case(folder)


@devices.command()
def scan(
    unit: UnitArgument = None,
    folder: Annotated[Path, typer.Option("--out", help="The case folder: new or empty.")] = Path("case"),
    demo: DemoOption = False,
    distance_mm: Annotated[float | None, typer.Option(help="Working distance to keep; else as it stands.")] = None,
    case_id: Annotated[str, typer.Option(help="Pseudonym of the case, never a name.")] = "case",
    light: Annotated[bool, typer.Option("--light", help="Laser on while the handle's button is held.")] = False,
) -> None:
    """Turn the unit to the 8 sectors of the cavity, record, and note a pair at each. MOVES THE MOTORS; Ctrl-C stops."""
    from glioscope.devices import scan_sectors

    settings = unit_settings(unit, demo)
    made = open_unit(settings)
    motion = made.motion
    if motion is None:
        raise InputError(f"{made.name}: a scan needs a stage and a rangefinder")
    lamp = _Light(made, demo) if light else None
    rows = []
    with made, _recorder(made, settings, folder, case_id) as recorder:
        _start(made, recorder)
        with lamp.following(recorder.event) if lamp is not None else nullcontext():
            for sector in scan_sectors(motion, lambda since_s: _exposed_after(made, since_s), distance_mm=distance_mm):
                pair = sector.taken
                numbers = {} if pair is None else {"fl": pair.fl.sequence, "wl": pair.wl.sequence}
                recorder.event("sector", sector=sector.sector, reason=sector.reason, **numbers)
                away = "" if sector.distance_mm is None else f"{sector.distance_mm:.1f}"
                lit = "lit" if pair is not None and pair.fl.laser_on else "dark"
                rows.append((str(sector.sector), f"{sector.rotation_deg:g}", away, sector.reason or f"taken, {lit}"))
        made.stop_cameras()
    print_table(("sector", "deg", "distance mm", ""), rows)
    _print_case(folder)
    if not all(row[-1].startswith("taken") for row in rows):
        raise typer.Exit(1)


@devices.command()
def replay(
    case: CaseArgument,
    speed: Annotated[float, typer.Option(help="1: as recorded; 0.25: four times slower.")] = 1.0,
    export: Annotated[Path | None, typer.Option(help="Write pairs as TIFF and PNG with a manifest into it.")] = None,
    every_s: Annotated[float, typer.Option(help="With --export: a pair each so many seconds of the recording.")] = 1.0,
    unlit: Annotated[bool, typer.Option("--unlit", help="With --export: also pairs without laser light.")] = False,
    calibration: Annotated[Path | None, typer.Option(help="With --export: calibration folder for FL.")] = None,
    strobed: Annotated[bool, typer.Option("--strobed", help="With --export: ambient light subtracted.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Only read every frame and name the damaged ones.")] = False,
) -> None:
    """Play a recorded case as two cameras, and say what it holds and how it came through."""
    from glioscope.devices import open_case

    if not 0.01 <= speed <= 100:
        raise InputError(f"--speed {speed:g} is out of range; give 0.01 to 100")
    if not 0 <= every_s < float("inf"):
        raise InputError(f"--every-s {every_s:g} is out of range; give 0 or more")
    recorded = open_case(case)
    _print_case(case)
    if verify:
        damage = [str(found) for stream in recorded.streams.values() for found in stream.damage()]
        for sentence in damage:
            say("damaged", "red", sentence)
        out.print(f"{case}: every frame can be read" if not damage else f"{case}: {len(damage)} frames cannot be read")
        raise typer.Exit(1 if damage else 0)
    if export is not None:
        from ._devices_export import export_pairs

        export_pairs(recorded, export, every_s, strobed=strobed, unlit=unlit, calibration=calibration)
        return
    _play(recorded, speed)


def _check_seconds(seconds: float) -> None:
    if not 0 < seconds <= 86_400:
        raise InputError(f"--seconds {seconds:g} is out of range; give more than 0 and at most 86400 (a day)")


@contextmanager
def _recorder(made: "ImagingUnit", settings: "UnitSettings", folder: Path, case_id: str) -> "Iterator[Recorder]":
    from glioscope.devices import Recorder

    with Recorder(
        folder,
        case_id=case_id,
        data_kind=made.data_kind,
        settings=settings.recording,
        unit=made.name,
        unit_settings=settings.model_dump(mode="json"),
        frames_per_second=made.frames_per_second,
    ) as recorder:
        yield recorder


def _start(made: "ImagingUnit", recorder: "Recorder") -> None:
    made.start(taps=(recorder.add,), event=recorder.event)


def _run(made: "ImagingUnit", recorder: "Recorder", seconds: float) -> None:
    """Until the time is over or the recording fails; devices are noted once a second, the line on stderr shows how."""
    end = time.monotonic() + seconds
    with err.status("recording") as line:
        while (left := end - time.monotonic()) > 0:
            for report in made.report().values():
                recorder.device(report)
            status = recorder.status()
            line.update(_words(made, status))
            if status.state == "failed":
                raise InputError(status.sentence)
            time.sleep(min(_DEVICES_S, left))


def _words(made: "ImagingUnit", status: Any) -> str:
    """How it goes and what is wrong, in a line."""
    acquisition = made.acquisition.status() if made.acquisition is not None else None
    streams = [acquisition.fl, acquisition.wl] if acquisition is not None else []
    left = "" if status.minutes_left is None else f", {status.minutes_left:.0f} min left on the disk"
    written = f"{status.written.get('fl', 0)} FL, {status.written.get('wl', 0)} WL frames"
    laser = made.parts.laser.laser_report() if made.parts.laser is not None else None
    light = "" if laser is None else f"; laser {laser.state}" + (f": {laser.reason}" if laser.reason else "")
    said = [status.sentence, made.fault, *(stream.sentence for stream in streams)]
    wrong = "".join(f"; {sentence}" for sentence in said if sentence)
    lost = sum(stream.lost for stream in streams)
    return f"{status.state}: {written}, {status.mb_per_s:.1f} MB/s{left}, {lost} lost{light}{wrong}"


class _Light:
    """The laser while the handle's button is held: that is the operator's heartbeat here.

    Each press of the button lets light out once: when it has gone dark for whatever reason, the button must be let go
    and pressed again. In the demo nobody presses, so the button counts as pressed anew each time.
    """

    def __init__(self, made: "ImagingUnit", demo: bool) -> None:
        if made.parts.laser is None or made.parts.handle is None:
            raise InputError(f"{made.name}: --light needs a laser, and a handle whose button the operator holds")
        self._laser, self._handle = made.parts.laser, made.parts.handle
        self._said = self._refused = ""
        self._demo, self._pressed_anew = demo, True
        if demo:
            self._handle.push(True)  # type: ignore[attr-defined]

    @contextmanager
    def following(self, event: Callable[..., None]) -> Iterator[None]:
        """Follow the button in a thread."""
        ending = threading.Event()

        def follow() -> None:
            while not ending.wait(_FOLLOW_S):
                self._follow(event)

        thread = threading.Thread(target=follow, name="light", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()

    def _follow(self, event: Callable[..., None]) -> None:
        try:
            position = self._handle.read()
        except DeviceError:
            position = None
        report = self._laser.laser_report()
        if report.reason != self._said:
            self._said = report.reason
            event("laser", state=report.state.value, reason=report.reason)
        if position is None or not position.held:
            self._pressed_anew = True
        elif report.state is not LaserState.EMITTING:
            self._step(report.state, event)

    def _step(self, state: LaserState, event: Callable[..., None]) -> None:
        """One step towards light; what is refused is noted when it changes."""
        try:
            if state is LaserState.ARMED:
                self._laser.emit()
            elif self._pressed_anew and state is LaserState.FAULT:
                self._laser.clear()
            elif self._pressed_anew:
                self._laser.arm()
                self._pressed_anew = self._demo
            self._refused = ""
        except DeviceError as error:
            if error.reason != self._refused:
                self._refused = error.reason
                event("laser_refused", reason=error.reason)


def _exposed_after(made: "ImagingUnit", since_s: float) -> "FramePair | None":
    """The newest pair if both exposures began after `since_s`."""
    pair = made.acquisition.latest() if made.acquisition is not None else None
    if pair is None:
        return None
    begun = (frame.monotonic_s - (frame.exposure_ms or 0.0) / 1000 for frame in (pair.fl, pair.wl) if frame.monotonic_s)
    return pair if min(begun, default=since_s) > since_s else None


def _ended(cameras: "Sequence[ReplayCamera]") -> bool:
    return all(camera.report().details["ended"] for camera in cameras)


def _print_case(folder: Path) -> None:
    """What a case folder holds."""
    from glioscope.devices import open_case

    case = open_case(folder)
    rows = []
    for slot, stream in case.streams.items():
        times = [row.facts["monotonic_s"] for row in stream.rows if row.facts["monotonic_s"] is not None]
        lasts = f"{times[-1] - times[0]:.1f}" if times else ""
        rows.append((slot, str(len(stream)), lasts, str(stream.missing)))
    print_table(("camera", "frames", "seconds", "missing"), rows)
    out.print(
        f"{folder}: case {case.info.case_id}, {len(case.events)} events, "
        f"started {case.info.started:%Y-%m-%d %H:%M:%S %Z}",
        soft_wrap=True,
    )
    if case.sentence:
        say("note", "yellow", f"{folder}: {case.sentence}")
    out.print(f"{'SIMULATED' if case.info.data_kind == 'simulated' else 'Real'} images. {RESEARCH_USE}", style="dim")


def _play(case: "RecordedCase", speed: float) -> None:
    """Through the same acquisition as real cameras, until the end of the case."""
    from glioscope.devices import Acquisition, ReplayCameraSettings

    rate = min((case.info.frames_per_second or 25.0) * speed, 1000.0)
    cameras = [
        ReplayCameraSettings.model_validate({"folder": case.folder, "stream": slot, "speed": speed}).make(slot)
        for slot, stream in case.streams.items()
        if len(stream)
    ]
    if len(cameras) < 2:
        raise InputError(f"{case.folder}: only one camera was recorded; --export and --verify still work")
    total = max(len(stream) for stream in case.streams.values())
    try:
        for camera in cameras:
            camera.stage()
        with Acquisition(cameras[0], cameras[1], frames_per_second=rate) as acquisition, err.status("playing") as line:
            # A gap of the recording is waited for; the end of both cameras is the end.
            while acquisition.next_pair(1.0) is not None or not _ended(cameras):
                line.update(f"pair {acquisition.status().pairs} of about {total}")
            status = acquisition.status()
    finally:
        for camera in cameras:
            camera.unstage()
    out.print(
        f"played at speed {speed:g}: {status.pairs} pairs, {status.flagged} flagged, {status.unpaired} frames alone, "
        f"{status.fl.lost + status.wl.lost} missing in the cameras' numbers",
        soft_wrap=True,
    )

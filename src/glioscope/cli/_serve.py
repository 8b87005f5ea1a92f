"""`serve`: the theatre's console on this machine, for any browser of the theatre's network."""

import ctypes
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glioscope import RESEARCH_USE
from glioscope._terminal import err, out, say
from glioscope.core import InputError, read_toml

from ._app import app

if TYPE_CHECKING:
    from glioscope.cases import CaseStore
    from glioscope.console import ConsoleSettings, Theatre
    from glioscope.devices import ImagingUnit
    from glioscope.runtime import Cascade

    from ._serve_demo import DemoPlate

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
"""Of malloc.h."""
_LARGE_BYTES, _ARENAS = 128 * 1024, 4
_DEMO_SUITE = Path("demo/probe/suite")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is to be opened; without a unit the simulated one."""

    unit: Path | None
    suite: Path
    store: Path | None
    url: str | None
    registration: Path | None
    trusted: Path | None
    demo: bool


@app.command()
def serve(
    unit: Annotated[
        Path | None, typer.Argument(metavar="[UNIT]", help="Settings of the imaging unit: a TOML file.")
    ] = None,
    suite: Annotated[Path | None, typer.Option(help="Suite that answers; with --demo that of `make demo`.")] = None,
    store: Annotated[Path | None, typer.Option(help="Folder of the case store; made if it is not there.")] = None,
    url: Annotated[
        str | None,
        typer.Option(envvar="GLIOSCOPE_DATABASE", help="PostgreSQL URL, where several theatres share a store."),
    ] = None,
    registration: Annotated[
        Path | None, typer.Option(help="How the white-light camera lies over the fluorescence camera.")
    ] = None,
    recordings: Annotated[
        Path | None, typer.Option(help="Folder in which each case is recorded; without it none is.")
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="TOML file with settings (docs/console.md).")] = None,
    trusted: Annotated[
        Path | None, typer.Option(envvar="GLIOSCOPE_TRUSTED_KEYS", help="Public keys: only signed suites are loaded.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; beyond 127.0.0.1 TLS is needed.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0: any free one.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="TLS certificate, PEM.")] = None,
    key: Annotated[Path | None, typer.Option(help="Key of the certificate, PEM.")] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Simulated unit, demo accounts, a store that is thrown away.")
    ] = False,
) -> None:
    """Serve the console: live view, specimens, answers, cavity map, records."""
    if demo == (unit is not None):
        raise InputError("give the settings of a unit (UNIT.toml), or --demo for a simulated one")
    given = {"host": host, "port": port, "certificate": certificate, "key": key}
    chosen = _settings(settings, demo, recordings, {name: value for name, value in given.items() if value is not None})
    folder = suite or (_DEMO_SUITE if demo else None)
    if folder is None or not (folder / "suite.json").is_file():
        hint = f"; `make demo` makes {_DEMO_SUITE}" if demo else ""
        raise InputError(f"{folder or '--suite'}: is no suite{hint}")
    if store is None and not demo:
        raise InputError("give --store, the folder of the case store")
    _serve(_Wanted(unit, folder, store, url, registration, trusted, demo), chosen)


def _settings(path: Path | None, demo: bool, recordings: Path | None, given: dict[str, object]) -> "ConsoleSettings":
    from pydantic import ValidationError

    from glioscope.console import ConsoleSettings, TheatreSettings

    chosen = ConsoleSettings() if path is None else read_toml(path, ConsoleSettings)
    if demo and path is None:
        from ._serve_demo import FIELD_MM, INTEGRATED, DemoPlate

        offset = DemoPlate().settings.infrared.offset_adu
        theatre = TheatreSettings(integrate_frames=INTEGRATED, fl_offset_counts=offset, field_mm=FIELD_MM)
        chosen = chosen.model_copy(update={"theatre": theatre})
    if recordings is not None:
        chosen = chosen.model_copy(update={"theatre": chosen.theatre.model_copy(update={"recordings": recordings})})
    try:
        return ConsoleSettings.model_validate({**chosen.model_dump(), **given})
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"--{first['loc'][0]} {first['input']!r}: {first['msg']}") from error


def _serve(wanted: "_Wanted", settings: "ConsoleSettings") -> None:
    """Open everything and serve; suite, store and unit beside the import of the pages, which takes as long."""
    from glioscope.runtime import Cascade, RuntimeSettings

    _give_memory_back()
    with ExitStack() as held, ThreadPoolExecutor(2, "start") as aside:
        runtime = RuntimeSettings(trusted_keys=wanted.trusted, field_mm=settings.theatre.field_mm)
        cascade = aside.submit(Cascade.load, wanted.suite, runtime)
        from glioscope.console import Console, Words, import_pages, serve_console

        theatre = aside.submit(_start, wanted, settings, cascade, held)
        import_pages()
        running = theatre.result()
        console = Console(running, running.store, settings, Words(settings.language))
        serve_console(console, ready=lambda address: _say_ready(address, wanted.demo))


def _give_memory_back() -> None:
    """Have glibc return frames to the system when they are freed.

    By itself it keeps pictures of half a megabyte in heaps after a while, one for each thread, and grows for hours.
    Elsewhere there is no `mallopt`, and nothing is done.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
    mallopt(_M_ARENA_MAX, _ARENAS)


def _start(wanted: "_Wanted", settings: "ConsoleSettings", cascade: "Future[Cascade]", held: ExitStack) -> "Theatre":
    """The theatre at work on its store; `held` closes both."""
    from glioscope.console import Theatre
    from glioscope.imaging import read_registration

    store = held.enter_context(_store(wanted, settings))
    known = None if wanted.registration is None else read_registration(wanted.registration)
    made, plate = _unit(wanted.unit)
    if plate is not None:
        from ._serve_demo import demo_registration

        known = known or demo_registration()
    theatre = Theatre(
        made, cascade.result(), store, settings.theatre, suite=wanted.suite, registration=known, simulator=plate
    )
    theatre.start()
    held.callback(theatre.close)
    return theatre


def _unit(path: Path | None) -> "tuple[ImagingUnit, DemoPlate | None]":
    """The unit, nothing staged; without settings the simulated one, and the plate that it looks at."""
    if path is not None:
        from ._devices import open_unit, unit_settings

        return open_unit(unit_settings(path, demo=False)), None
    from ._serve_demo import DemoPlate, demo_unit

    plate = DemoPlate()
    return demo_unit(plate), plate


@contextmanager
def _store(wanted: "_Wanted", settings: "ConsoleSettings") -> "Iterator[CaseStore]":
    from glioscope.cases import CaseStore

    with tempfile.TemporaryDirectory(prefix="glioscope-demo-") as temporary:
        place = wanted.store if wanted.store is not None else Path(temporary) / "store"
        made = CaseStore.open(
            place,
            url=(wanted.url or None) if wanted.store is not None else None,
            create=True,
            idle_minutes=settings.idle_minutes,
            longest_hours=settings.longest_hours,
        )
        with made:
            made.sweep()
            if wanted.demo and not made.accounts.all():
                _make_demo_accounts(made)
            if not made.accounts.all():
                raise InputError(
                    f"{place}: nobody can log in yet; glioscope cases account-add {place} NAME --role administrator"
                )
            yield made


def _make_demo_accounts(store: "CaseStore") -> None:
    from glioscope.cases import COMMAND_LINE, AccountRole

    from ._serve_demo import PASSWORD

    for role in AccountRole:
        store.accounts.create(COMMAND_LINE, str(role), role, PASSWORD)


def _say_ready(url: str, demo: bool) -> None:
    out.print(f"console: {url}", soft_wrap=True)
    if demo:
        from glioscope.cases import AccountRole

        from ._serve_demo import PASSWORD

        say("SIMULATED", "yellow", "every picture, answer and patient of this demo is simulated")
        out.print(f"log in as {', '.join(AccountRole)}; password {PASSWORD}", soft_wrap=True)
    out.print(RESEARCH_USE, style="dim")
    err.print("Ctrl-C stops it", style="dim")

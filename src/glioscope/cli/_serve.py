"""`serve`: the theatre's console on this machine, for any browser of the theatre's network."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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

_DEMO_SUITE = Path("demo/probe/suite")


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
    from glioscope.console import Console, Words, serve_console

    with (
        _store(store, url, demo, chosen) as kept,
        _theatre(unit, folder, kept, registration, chosen, trusted) as theatre,
    ):
        serve_console(Console(theatre, kept, chosen, Words(chosen.language)), ready=lambda url: _say_ready(url, demo))


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


@contextmanager
def _store(folder: Path | None, url: str | None, demo: bool, settings: "ConsoleSettings") -> "Iterator[CaseStore]":
    from glioscope.cases import COMMAND_LINE, AccountRole, CaseStore

    with tempfile.TemporaryDirectory(prefix="glioscope-demo-") as temporary:
        place = folder if folder is not None else Path(temporary) / "store"
        made = CaseStore.open(
            place,
            url=url,
            create=not place.exists() or not any(place.iterdir()),
            idle_minutes=settings.idle_minutes,
            longest_hours=settings.longest_hours,
        )
        try:
            if demo and not made.accounts.all():
                from ._serve_demo import PASSWORD

                for role in AccountRole:
                    made.accounts.create(COMMAND_LINE, str(role), role, PASSWORD)
            if not made.accounts.all():
                raise InputError(
                    f"{place}: nobody can log in yet; glioscope cases account-add {place} NAME --role administrator"
                )
            yield made
        finally:
            made.close()


@contextmanager
def _theatre(
    unit: Path | None,
    suite: Path,
    store: "CaseStore",
    registration: Path | None,
    settings: "ConsoleSettings",
    trusted: Path | None,
) -> "Iterator[Theatre]":
    from glioscope.console import Theatre
    from glioscope.imaging import read_registration
    from glioscope.runtime import Cascade, RuntimeSettings

    cascade = Cascade.load(suite, RuntimeSettings(trusted_keys=trusted, field_mm=settings.theatre.field_mm))
    known = None if registration is None else read_registration(registration)
    if unit is not None:
        from ._devices import open_unit, unit_settings

        made, plate = open_unit(unit_settings(unit, demo=False)), None
    else:
        from ._serve_demo import DemoPlate, demo_registration, demo_unit

        plate = DemoPlate()
        made, known = demo_unit(plate), known or demo_registration()
    theatre = Theatre(made, cascade, store, settings.theatre, suite=suite, registration=known, simulator=plate)
    theatre.start()
    try:
        yield theatre
    finally:
        theatre.close()


def _say_ready(url: str, demo: bool) -> None:
    out.print(f"console: {url}", soft_wrap=True)
    if demo:
        from glioscope.cases import AccountRole

        from ._serve_demo import PASSWORD

        say("SIMULATED", "yellow", "every picture, answer and patient of this demo is simulated")
        out.print(f"log in as {', '.join(AccountRole)}; password {PASSWORD}", soft_wrap=True)
    out.print(RESEARCH_USE, style="dim")
    err.print("Ctrl-C stops it", style="dim")

"""The whole console over the simulated unit, no case open, in a program of its own: for browser tests of `/`."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from glioscope.cases import COMMAND_LINE, AccountRole, Actor, CaseStore
from glioscope.console import Console, ConsoleSettings, Words, serve_console

from .theatres import make_theatre, served_suite

PASSWORD = "correct horse battery"
START_S = 120


@dataclass
class TheatreServed:
    """Address of the server, and the store that it serves, opened a second time."""

    url: str
    store: CaseStore


@contextmanager
def theatre_served(folder: Path) -> Iterator[TheatreServed]:
    """A running server over a new store with an account a role, named after it."""
    if not (served_suite() / "suite.json").is_file():
        pytest.skip(f"no suite in {served_suite()}: `make demo` makes it")
    command = [sys.executable, "-m", "tests.console.theatre_server", str(folder)]
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    timer = threading.Timer(START_S, program.kill)
    timer.start()
    try:
        url = next((line.strip() for line in program.stdout or () if line.startswith("http")), "")
        timer.cancel()
        assert url, "the server did not start"
        with CaseStore.open(folder / "store") as store:
            yield TheatreServed(url, store)
    finally:
        timer.cancel()
        program.terminate()
        program.wait(20)


@contextmanager
def theatre_page(browser: Any, served: TheatreServed, role: AccountRole, **screen: int) -> Iterator[Any]:
    """The page `/` of a browser that is logged in, drawn and connected."""
    size = {"width": 1280, "height": 800, **screen}
    context = browser.new_context(viewport=size, base_url=served.url)
    token = served.store.logins.start(Actor(str(role), role))
    context.add_cookies([{"name": "glioscope", "value": token, "url": served.url}])
    page = context.new_page()
    page.set_default_timeout(60_000)
    try:
        page.goto("/")
        page.wait_for_function("window.did_handshake && !!document.querySelector('#gs-theatre .gs-answer')")
        yield page
    finally:
        context.close()


def main(folder: Path) -> None:
    """Serve until this program is ended.

    The light is kept on from here: a browser on a machine busy with other tests is too slow for its half second.
    That a page keeps it is tested with the live view.
    """
    with CaseStore.open(folder / "store", create=True) as store, make_theatre(folder, store=store, seed=3) as theatre:
        for role in AccountRole:
            store.accounts.create(COMMAND_LINE, str(role), role, PASSWORD)
        theatre.simulator.next_specimen()
        owners = [""]
        switch_on = theatre.light_on
        theatre.light_on = lambda actor, owner: (owners.append(owner), switch_on(actor, owner))  # type: ignore[method-assign, assignment, func-returns-value]
        threading.Thread(target=_beat, args=(theatre, owners), daemon=True).start()
        console: Any = Console(theatre, store, ConsoleSettings(port=0, theatre=theatre.settings), Words())
        serve_console(console, ready=lambda url: print(url, flush=True))  # noqa: T201


def _beat(theatre: Any, owners: list[str]) -> None:
    while True:
        theatre.beat(owners[-1])
        time.sleep(0.05)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""The whole console in a program of its own, over a store that a test looks into at the same time.

NiceGUI has one set of pages a program: each test file starts its own server. The theatre is the simulated one, and the
first case was taken with it, so that its answers and heatmaps are real answers to SIMULATED tissue.
"""

import atexit
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import pytest

from glioscope.cases import COMMAND_LINE, AccountRole, Actor, CaseRecord, CaseStore, Specimen, SpecimenRecord
from glioscope.console import Console, ConsoleSettings, Theatre, Words, serve_console
from glioscope.core import GlioscopeError

from .guarded import Browser
from .theatres import lit, make_theatre, new_request, served_suite

PASSWORD = "correct horse battery"
OPERATOR = Actor("operator", AccountRole.OPERATOR)
SURGEON = Actor("surgeon", AccountRole.SURGEON)
PATHOLOGIST = Actor("pathologist", AccountRole.PATHOLOGIST)
SECOND = Actor("pathologist-2", AccountRole.PATHOLOGIST)
ADMINISTRATOR = Actor("administrator", AccountRole.ADMINISTRATOR)
START_S = 90
CHROMIUM = Path("/usr/bin/chromium")


@dataclass
class Served:
    """Address of the server, and the store that it serves, opened a second time."""

    url: str
    store: CaseStore
    taken: list[Specimen]
    """Of a case that was taken in theatre, oldest first."""

    @property
    def case_id(self) -> str:
        return self.taken[0].case_id


@cache
def served() -> Served:
    """A running server over a new store with accounts, and one open case of three specimens that no test changes.

    One for all test files of a program: it takes its time to start. It ends with the program.
    """
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(_served(Path(stack.enter_context(TemporaryDirectory(prefix="glioscope-test-")))))


@cache
def client(account: str) -> Browser:
    """A browser without pages that has logged in."""
    browser = Browser(served().url)
    assert browser.log_in(account, PASSWORD).status_code in (302, 303)
    return browser


@contextmanager
def _served(folder: Path) -> Iterator[Served]:
    if not (served_suite() / "suite.json").is_file():
        pytest.skip(f"no suite in {served_suite()}: `make demo` makes it")
    command = [sys.executable, "-m", "tests.console.record_server", str(folder)]
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    timer = threading.Timer(START_S, program.kill)
    timer.start()
    try:
        url = next((line.strip() for line in program.stdout or () if line.startswith("http")), "")
        timer.cancel()
        assert url, "the server did not start"
        store = CaseStore.open(folder / "store")
        taken = list(store.case(store.summaries(limit=1)[0].case_id).specimens)
        yield Served(url, store, taken)
        store.close()
    finally:
        timer.cancel()
        program.terminate()
        program.wait(20)


def make_store(folder: Path) -> CaseStore:
    """A new store with an account a role, named after it, and a second pathologist."""
    store = CaseStore.open(folder / "store", create=True)
    for role in AccountRole:
        store.accounts.create(COMMAND_LINE, str(role), role, PASSWORD)
    store.accounts.create(COMMAND_LINE, SECOND.account, SECOND.role, PASSWORD)
    return store


def case_record(**facts: Any) -> CaseRecord:
    given = datetime.now(UTC) - timedelta(hours=48)
    return CaseRecord(**{"patient_id": "P-017", "consent": True, "icg_mg_per_kg": 1.0, "icg_given_at": given, **facts})


def answer(decision: str, probability: float, **more: Any) -> dict[str, Any]:
    """An answer of contract 6 to one task."""
    words = {"positive": "tumour", "negative": "non-tumour", "indeterminate": "indeterminate"}
    return {
        "decision": decision, "answer": words[decision], "y_score": probability, "y_probability": probability,
        "y_interval": [max(probability - 0.1, 0), min(probability + 0.1, 1)], "threshold": 0.5, "band": None,
        "bundle": "tumor-fl", "level_probabilities": [], "envelope": 0.4, "reasons": [], "heatmap": None, **more,
    }  # fmt: skip


def add_specimen(store: CaseStore, case_id: str, decision: str = "positive", probability: float = 0.93) -> Specimen:
    """A specimen with a picture of its own and a made-up answer."""
    rng = np.random.default_rng(len(store.case(case_id).specimens))
    fl = rng.normal(9000, 400, (128, 160)).astype(np.uint16)
    wl = rng.integers(90, 140, (128, 160, 3), np.uint8)
    record = SpecimenRecord(
        sector=2,
        diagnosis={"schema_version": 2, "decision": decision, "tasks": {"tumor": answer(decision, probability)},
                   "reasons": [], "error": None},
        fl_exposure_ms=100.0,
    )  # fmt: skip
    return store.add_specimen(
        OPERATOR, case_id, record, images={"fl": png(fl), "wl": png(wl)}, request_id=new_request()
    )


def png(pixels: Any) -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1])


@contextmanager
def browser_page(browser: Any, account: str, path: str) -> Iterator[Any]:
    """A page of a browser that has logged in, connected to the server."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, base_url=served().url)
    context.add_cookies([{"name": "glioscope", "value": client(account).token, "url": served().url}])
    page = context.new_page()
    page.goto(path)
    page.wait_for_function("window.did_handshake && !!document.querySelector('main')")
    try:
        yield page
    finally:
        context.close()


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's Chromium, headless; a test without it skips and says so."""
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: `make system` installs it")
    from playwright.sync_api import sync_playwright

    args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync"]  # fmt: skip
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=args)
        try:
            yield browser
        finally:
            browser.close()


def take(theatre: Theatre, sector: int) -> None:
    """Take what lies there; again where a busy machine let the light go dark or frames come late."""
    end = time.monotonic() + START_S / 3
    while True:
        try:
            with lit(theatre):
                theatre.take(OPERATOR, sector=sector, request_id=new_request())
        except GlioscopeError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)
        else:
            return


def main(folder: Path) -> None:
    """Take a case, then serve until this program is ended."""
    with make_store(folder) as store, make_theatre(folder, store=store, seed=3) as theatre:
        theatre.open_case(OPERATOR, case_record(), request_id=new_request())
        for sector in (1, 4, 6):
            theatre.simulator.next_specimen()
            take(theatre, sector)
        settings = ConsoleSettings(port=0, theatre=theatre.settings)
        serve_console(Console(theatre, store, settings, Words()), ready=lambda url: print(url, flush=True))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))

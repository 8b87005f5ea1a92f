"""A theatre for tests: the simulated DEMO unit over a plate that can be laid anew, a suite, a store in a folder."""

import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from glioscope.cases import AccountRole, Actor, CaseRecord, CaseStore
from glioscope.cli._serve_demo import FIELD_MM, INTEGRATED, DemoPlate, demo_registration
from glioscope.console._theatre import Theatre
from glioscope.console._theatre_settings import TheatreSettings
from glioscope.core import DeviceError, LaserState
from glioscope.devices import DEMO, ImagingUnit, make_unit
from glioscope.runtime import Cascade, RuntimeSettings

OPERATOR = Actor("op-1", AccountRole.OPERATOR)
SURGEON = Actor("surgeon-1", AccountRole.SURGEON)
PATHOLOGIST = Actor("patho-1", AccountRole.PATHOLOGIST)
ADMINISTRATOR = Actor("admin-1", AccountRole.ADMINISTRATOR)
_DEMO = Path(__file__).parents[2] / "demo" / "probe" / "suite"


PATIENT = {"timeout_ms": 50.0, "lease_ms": 200.0, "range_ms": 1000.0, "settle_ms": 100.0, "weak_ms": 1000.0}
"""Limits of the keeper that a machine busy with other tests keeps; the heartbeat's stays as it is."""


def served_suite() -> Path:
    """That of `make demo`; where it was not made, the tiny one that `conftest` names (see `suite_for_servers`)."""
    return Path(os.environ.get("GLIOSCOPE_TEST_SUITE", _DEMO))


def patient_unit(plate: DemoPlate) -> ImagingUnit:
    """The simulated DEMO unit whose keeper is patient with a busy machine; nothing staged yet."""
    facts = DEMO.model_dump()
    return make_unit(type(DEMO).model_validate({**facts, "laser": {**facts["laser"], **PATIENT}}), plate.sources)


def switch_on(theatre: Theatre, owner: str) -> None:
    """Light on; a keeper that was held up by a busy machine is cleared and asked again."""
    deadline = time.monotonic() + 20
    while True:
        try:
            theatre.light_on(OPERATOR, owner)
            return
        except DeviceError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)
        if theatre.status().light.state == LaserState.FAULT:  # type: ignore[union-attr]
            with suppress(DeviceError):  # its cause still stands
                theatre.clear_fault(OPERATOR)


def new_request() -> str:
    return uuid.uuid4().hex


def record(**facts: Any) -> CaseRecord:
    return CaseRecord(**{"patient_id": "P-001", "consent": True, **facts})


def theatre_settings(**changes: Any) -> TheatreSettings:
    """Those of the demo, changed."""
    offset = DemoPlate().settings.infrared.offset_adu
    facts = {"integrate_frames": INTEGRATED, "fl_offset_counts": offset, "field_mm": FIELD_MM}
    return TheatreSettings(**{**facts, **changes})


@contextmanager
def make_theatre(
    folder: Path, *, suite: Path | None = None, store: CaseStore | None = None, seed: int = 0, **settings: Any
) -> Iterator[Theatre]:
    """A started theatre; its plate is `theatre.simulator`, its store `theatre.store`, in `folder/store`.

    Parameters
    ----------
    suite : by default that of `make demo`; where there is none, the test is skipped.
    store : one that is open already; it is not closed here.
    """
    chosen = suite or served_suite()
    if not (chosen / "suite.json").is_file():
        pytest.skip(f"no suite in {chosen}: `make demo` makes it")
    wanted = theatre_settings(**settings)
    cascade = Cascade.load(chosen, RuntimeSettings(field_mm=wanted.field_mm))
    plate = DemoPlate(seed)
    kept = store or CaseStore.open(folder / "store", create=not (folder / "store").exists())
    theatre = Theatre(
        patient_unit(plate), cascade, kept, wanted, suite=chosen, registration=demo_registration(), simulator=plate
    )
    theatre.start()
    try:
        yield theatre
    finally:
        theatre.close()
        if store is None:
            kept.close()


@contextmanager
def lit(theatre: Theatre, owner: str = "page") -> Iterator[None]:
    """Light on, kept by beats as a page gives them; off at the end."""
    ending = threading.Event()

    def beat() -> None:
        while not ending.wait(0.05):
            theatre.beat(owner)

    beats = threading.Thread(target=beat, daemon=True)
    beats.start()
    try:
        switch_on(theatre, owner)
        yield
    finally:
        ending.set()
        beats.join()
        theatre.light_off(OPERATOR)

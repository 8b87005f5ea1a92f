"""A live view on the simulated unit without the rest of the console: real cameras, real server, no guard."""

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import uvicorn
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

import glioscope.console._live as live_module
from glioscope.cases import AccountRole, Actor, NotAllowed
from glioscope.console._live_socket import LiveServer, add_live
from glioscope.console._status import (
    CameraStatus,
    DistanceStatus,
    LightStatus,
    PhantomStatus,
    QualityStatus,
    RecordingStatus,
    SuiteStatus,
    TheatreStatus,
)
from glioscope.console._words import Words
from glioscope.core import Frame
from glioscope.devices import FramePair

SIZE = (512, 640)
OFFSET = 600


def pair_of(fl: np.ndarray, number: int = 0, wl: np.ndarray | None = None) -> FramePair:
    now = time.monotonic()
    wl = np.full((*SIZE, 3), 90, np.uint8) if wl is None else wl
    facts: dict[str, Any] = {"sequence": number, "monotonic_s": now, "mm_per_px": 0.1}
    return FramePair(Frame(fl, "fl", white_level=65535, laser_on=True, **facts), Frame(wl, "wl", **facts), 0.0)


def plate(seed: int = 0) -> np.ndarray:
    """Counts of a plate with a bright square (rows 200-299, columns 100-249) and one saturated spot."""
    rng = np.random.default_rng(seed)
    fl = rng.normal(1000, 30, SIZE)
    fl[200:300, 100:250] += 3000
    fl[400:420, 500:520] = 65535
    return fl.astype(np.uint16)


def status_of(**changed: Any) -> TheatreStatus:
    """An ordinary moment: light on, one specimen, a case open."""
    camera = CameraStatus("running", "", 25.0, 0, 0, 20.0, 1.0)
    facts = {
        "data_kind": "simulated",
        "unit": "simulated unit",
        "case_id": "c-20261124-7f3a",
        "light": LightStatus("emitting", "", 835.0, 50.6, True),
        "distance": DistanceStatus(299.8, 250.0, 300.0, 350.0, True),
        "fl": camera,
        "wl": camera,
        "frames_per_second": 25.0,
        "lost": 0,
        "pairs": 1000,
        "pairs_dropped": 0,
        "pair_age_s": 0.02,
        "exposure_ms": 100.0,
        "integrated": 5,
        "suite": SuiteStatus("demo", "3fa9c1d2e4b7" + "0" * 52, "", "simulated", False),
        "phantom": PhantomStatus("ok", 2.1, True, ()),
        "quality": QualityStatus(1, (), 0.3),
        "recording": RecordingStatus("recording", "", 0, 412.0),
        "taking": False,
        "faults": (),
        "clock": "",
    }
    return TheatreStatus(**(facts | changed))


class PlateTheatre:
    """Cameras that give one plate again and again, as fast as they are told."""

    busy = False

    def __init__(self, rate: float = 25.0) -> None:
        self.rate, self.status_of = rate, status_of()
        self.beats: list[str] = []
        self.stopped = False
        self.plate, self._began = plate(), time.monotonic()
        self._pair = pair_of(self.plate)

    def newest(self) -> FramePair:
        number = int((time.monotonic() - self._began) * self.rate)
        if not self.stopped and number != self._pair.fl.sequence:
            self._pair = pair_of(self.plate, number)
        return self._pair

    def register_wl(self, frame: Frame) -> np.ndarray:
        return frame.pixels if frame.pixels.shape[:2] == SIZE else cv2.resize(frame.pixels, SIZE[::-1])

    def status(self) -> Any:
        return self.status_of

    def beat(self, owner: str) -> None:
        self.beats.append(owner)


@dataclass
class LiveConsole:
    """What `add_live` and `live_view` need of a console; `ended` ends the session."""

    theatre: Any
    role: AccountRole = AccountRole.OPERATOR
    words: Words = field(default_factory=Words)
    ended: bool = False

    def __post_init__(self) -> None:
        self.settings = SimpleNamespace(theatre=SimpleNamespace(fl_offset_counts=float(OFFSET)))
        self.reset()

    def reset(self) -> None:
        """Somebody has just logged in."""
        self.ended = False
        self.login: Any = SimpleNamespace(token="t" * 43, actor=Actor("anna", self.role))

    def actor(self, _login: Any) -> Actor:
        if self.ended:
            raise NotAllowed("the session has ended: log in again")
        return self.login.actor


class LoggedIn:
    """In place of the guard: everybody is logged in as the console's account."""

    def __init__(self, app: Any, console: LiveConsole) -> None:
        self.app, self.console = app, console

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            scope.setdefault("state", {})["login"] = self.console.login
        await self.app(scope, receive, send)


@contextmanager
def served(console: LiveConsole, *, page: bool = False) -> Iterator[tuple[str, LiveServer]]:
    """Address (host:port) of a real server, and its live server; with the page `/` if asked."""
    app = FastAPI()
    live = add_live(app, console)
    if page:
        _add_page(app, console)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    config = uvicorn.Config(
        LoggedIn(app, console), host="127.0.0.1", port=port, log_level="warning", ws_per_message_deflate=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        end = time.monotonic() + 20
        while not server.started and time.monotonic() < end:
            time.sleep(0.02)
        yield f"127.0.0.1:{port}", live
    finally:
        server.should_exit = True
        thread.join(10)


def _add_page(app: FastAPI, console: LiveConsole) -> None:
    """The live view beside an empty column, below an empty header. NiceGUI has one set of pages a process."""
    from nicegui import ui

    app.mount("/static", StaticFiles(directory=Path(live_module.__file__).parent / "static"))

    @ui.page("/")
    def page() -> None:
        ui.context.client.content.style("padding: 0; gap: 0")
        with ui.row().style("width: 100%; flex-wrap: nowrap; gap: 8px; background: #0b0f14; padding-top: 60px"):
            with ui.element("div").style("flex: 1 1 0; min-width: 0"):
                live_module.live_view(console, console.login)
                ui.html('<input id="field" style="position: absolute; top: 0">', sanitize=False)
            ui.element("div").style("flex: 0 0 420px")

    ui.run_with(app, storage_secret="only here")


def main() -> None:
    """Serve the page until standard input ends; it takes "stop" and "go" for the cameras, "end" for the session."""
    theatre = PlateTheatre()
    console = LiveConsole(theatre)
    with served(console, page=True) as (address, live):
        print(address, flush=True)  # noqa: T201
        for line in sys.stdin:
            if line.strip() == "end":
                console.ended = True
            elif line.strip() == "figures":
                print(json.dumps({**live.figures(), "beats": len(theatre.beats)}), flush=True)  # noqa: T201
            else:
                theatre.stopped = line.strip() == "stop"


if __name__ == "__main__":
    main()

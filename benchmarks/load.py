"""bench-load: 20 clients at once, two of them live, on a store with 10,000 specimens; how soon is a page there?

The server is `glioscope serve --demo` with its simulated unit running. Two clients watch the live view (websocket, each
picture acknowledged). Nine read pages as browsers do: the page, then NiceGUI's websocket (socket.io) that keeps it
alive, which is left when the next page is asked for. Nine read pages and the JSON of the API over HTTP alone. Everyone
rests one to three seconds between pages, as a quick reader does; without that, the `busy` figure. SIMULATED specimens.
"""

import asyncio
import json
import random
import struct
import tempfile
import time
from pathlib import Path

import cv2
import httpx
import numpy as np
import socketio
import websockets

from common import finish, parser
from glioscope.cases import COMMAND_LINE, AccountRole, Actor, CaseRecord, CaseStore, SpecimenRecord
from glioscope.cli._serve_demo import PASSWORD
from serving import Server, log_in, served

CASES, PER_CASE = 80, 125
OPERATOR = Actor("operator", AccountRole.OPERATOR)
BROWSERS, READERS, WATCHERS = 9, 9, 2


def fill(folder: Path) -> None:
    """A store of 80 closed cases of 125 specimens; one specimen in ten has pictures."""
    rng = np.random.default_rng(0)
    store = CaseStore.open(folder, create=True)
    for role in AccountRole:
        store.accounts.create(COMMAND_LINE, str(role), role, PASSWORD)
    picture = rng.integers(600, 9000, (128, 160)).astype(np.uint16)
    images = {"fl": cv2.imencode(".png", picture)[1].tobytes()}
    for number in range(CASES):
        record = CaseRecord(patient_id=f"LOAD-{number}", consent=True)
        case = store.open_case(OPERATOR, record, data_kind="simulated", request_id=f"case-{number:06}")
        for index in range(PER_CASE):
            probability = float(rng.uniform())
            said = SpecimenRecord(sector=int(rng.integers(1, 9)), diagnosis=_diagnosis(probability))
            request = f"{number:06}-{index:06}"
            store.add_specimen(
                OPERATOR, case.case_id, said, images=images if index % 10 == 0 else {}, request_id=request
            )
        store.close_case(OPERATOR, case.case_id)
    store.close()


def _diagnosis(probability: float) -> dict:
    positive = probability > 0.5
    answer = {"decision": "positive" if positive else "negative", "answer": "tumour" if positive else "non-tumour"}
    numbers = {"y_score": probability, "y_probability": probability, "y_interval": [probability / 2, 1.0]}
    rest = {"threshold": 0.5, "band": None, "bundle": "tumor-fl", "reasons": [], "heatmap": None, "envelope": 0.5}
    task = {**answer, **numbers, **rest, "level_probabilities": []}
    return {"schema_version": 2, "decision": answer["decision"], "reasons": [], "error": None, "tasks": {"tumor": task}}


class Load:
    """What the clients measure together."""

    def __init__(self, url: str, cookie: str, cases: list[str], specimens: list[str], rest_s: float) -> None:
        self.url, self.cookie, self.rest_s = url, cookie, rest_s
        self.cases, self.specimens = cases, specimens
        self.times: dict[str, list[float]] = {}
        self.failed: dict[str, int] = {}
        self.pictures = [0] * WATCHERS
        self.joined = 0
        self.end_s = 0.0

    @property
    def headers(self) -> dict[str, str]:
        """Of a browser with a session."""
        return {"Cookie": self.cookie, "Origin": self.url}

    def page(self, rng: random.Random, *, api: bool) -> tuple[str, str]:
        """Kind and path of the next page."""
        case, specimen = rng.choice(self.cases), rng.choice(self.specimens)
        pages = [
            ("list", "/cases"),
            ("case", f"/cases/{case}"),
            ("specimen", f"/specimens/{specimen}"),
            ("theatre", "/"),
        ]
        if api:
            pages += [("api list", "/api/cases"), ("api case", f"/api/cases/{case}"), ("api status", "/api/status")]
        return rng.choice(pages)

    async def read(self, client: httpx.AsyncClient, kind: str, path: str) -> str:
        """Ask for a page; its text."""
        started = time.monotonic()
        answer = await client.get(path)
        if answer.status_code == 200:
            self.times.setdefault(kind, []).append(time.monotonic() - started)
        else:
            self.failed[f"{kind} {answer.status_code}"] = self.failed.get(f"{kind} {answer.status_code}", 0) + 1
        return answer.text

    async def reader(self, seed: int) -> None:
        """HTTP alone."""
        rng = random.Random(seed)
        async with httpx.AsyncClient(base_url=self.url, headers=self.headers, timeout=30) as client:
            while time.monotonic() < self.end_s:
                await self.read(client, *self.page(rng, api=True))
                await self.rest(rng)

    async def browser(self, seed: int) -> None:
        """A page, and the websocket that keeps it alive."""
        rng = random.Random(seed)
        async with httpx.AsyncClient(base_url=self.url, headers=self.headers, timeout=30) as client:
            while time.monotonic() < self.end_s:
                text = await self.read(client, *self.page(rng, api=False))
                async with self.joined_to(text):
                    await self.rest(rng)

    def joined_to(self, text: str) -> "Joined":
        """NiceGUI's websocket of a page."""
        return Joined(self, text)

    async def watcher(self, index: int) -> None:
        """The live view: each picture is acknowledged at once."""
        address = self.url.replace("http", "ws", 1) + "/live"
        headers = {"Cookie": self.cookie}
        async with websockets.connect(address, additional_headers=headers, origin=self.url, max_size=None) as socket:
            while time.monotonic() < self.end_s:
                message = await socket.recv()
                if isinstance(message, bytes):
                    (length,) = struct.unpack_from("<I", message)
                    header = json.loads(message[4 : 4 + length])
                    await socket.send(json.dumps({"type": "painted", "sequence": header["sequence"], "visible": True}))
                    self.pictures[index] += 1

    async def rest(self, rng: random.Random) -> None:
        """What a reader does between pages."""
        await asyncio.sleep(rng.uniform(0.5, 1.5) * self.rest_s)

    async def run(self, seconds: float) -> None:
        """All clients at once."""
        self.end_s = time.monotonic() + seconds
        browsers = [self.browser(index) for index in range(BROWSERS)]
        readers = [self.reader(100 + index) for index in range(READERS)]
        await asyncio.gather(*browsers, *readers, *(self.watcher(index) for index in range(WATCHERS)))


class Joined:
    """One socket.io connection, as NiceGUI's page opens it."""

    def __init__(self, load: Load, text: str) -> None:
        self.load, self.text = load, text
        self.client = socketio.AsyncClient(reconnection=False)

    async def __aenter__(self) -> None:
        query = _page_query(self.text)
        address = f"{self.load.url}?{query}"
        await self.client.connect(
            address, headers=self.load.headers, socketio_path="/_nicegui_ws/socket.io", transports=["websocket"]
        )
        self.load.joined += 1

    async def __aexit__(self, *_: object) -> None:
        await self.client.disconnect()


def _page_query(text: str) -> str:
    """What the page's script would put in the address of its websocket."""
    found = text.partition("query: ")[2]
    values, _ = json.JSONDecoder().raw_decode(found) if found.startswith("{") else ({}, 0)
    return "&".join(f"{name}={value}" for name, value in values.items())


def quantile(times: list[float], share: float) -> float:
    """In ms."""
    return round(1000 * float(np.quantile(times, share)), 1) if times else float("nan")


def measure(server: Server, seconds: float, rest_s: float) -> dict:
    """One run."""
    client = log_in(server.url, "operator")
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    cases = [case["case_id"] for case in client.get("/api/cases?limit=500").json()]
    specimens = [s["specimen_id"] for s in client.get(f"/api/cases/{cases[0]}").json()["specimens"]]
    load = Load(server.url, cookie, cases, specimens, rest_s)
    asyncio.run(load.run(seconds))
    pages = [each for kind, times in load.times.items() if not kind.startswith("api") for each in times]
    return {
        "page_p50_ms": quantile(pages, 0.5),
        "page_p95_ms": quantile(pages, 0.95),
        "pages": len(pages),
        "by_kind_p95_ms": {kind: quantile(times, 0.95) for kind, times in sorted(load.times.items())},
        "failed": load.failed,
        "websockets_joined": load.joined,
        "live_fps": [round(count / seconds, 1) for count in load.pictures],
        "rest_s": rest_s,
    }


def main() -> None:
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--seconds", type=float, default=90)
    arguments.add_argument("--store", type=Path, help="a filled store of an earlier run")
    arguments.add_argument("--suite", type=Path, default=Path(__file__).parents[1] / "demo" / "probe" / "suite")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="glioscope-load-") as temporary:
        folder = chosen.store or Path(temporary) / "store"
        if not folder.exists():
            started = time.monotonic()
            fill(folder)
            print(f"{CASES * PER_CASE} specimens stored in {time.monotonic() - started:.0f} s", flush=True)
        with served(folder, chosen.suite) as server:
            result = measure(server, chosen.seconds, 2.0)
            busy = measure(server, min(30.0, chosen.seconds), 0.0)
    shown = ("page_p50_ms", "page_p95_ms", "pages", "live_fps")
    result |= {"busy": {name: busy[name] for name in shown}, "specimens": CASES * PER_CASE, "clients": 20}
    finish("bench-load", {**result, "simulated": True}, record=chosen.record)


if __name__ == "__main__":
    main()

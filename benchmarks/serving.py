"""A real `glioscope serve --demo` in a process of its own, and a client that logs in as a browser does."""

import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from glioscope.cli._serve_demo import PASSWORD

START_S = 60.0


class Server:
    """The process, its address, and how soon it was ready."""

    def __init__(self, store: Path, suite: Path, *words: str, log: Path | None = None) -> None:
        command = [
            str(Path(sys.executable).parent / "glioscope"),
            "serve",
            "--demo",
            "--store",
            str(store),
            "--suite",
            str(suite),
        ]
        self.started_s = time.monotonic()
        self._log = log.open("ab") if log is not None else subprocess.DEVNULL
        self.process = subprocess.Popen(
            [*command, "--port", "0", *words], stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        self.url = self._ready()
        self.ready_s = time.monotonic() - self.started_s
        threading.Thread(target=self._drain, daemon=True).start()

    def _ready(self) -> str:
        late = threading.Timer(START_S, self.process.kill)
        late.start()
        try:
            for line in self.process.stdout or ():
                if found := re.search(r"https?://\S+", line):
                    return found.group(0).rstrip("/")
            raise SystemExit(f"the server did not start (exit code {self.process.wait()})")
        finally:
            late.cancel()

    def _drain(self) -> None:
        for _ in self.process.stdout or ():
            pass

    def kill(self) -> None:
        """End it as a power cut of the program would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it in order."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def served(store: Path, suite: Path, *words: str, log: Path | None = None) -> Iterator[Server]:
    """A server for a while."""
    server = Server(store, suite, *words, log=log)
    try:
        yield server
    finally:
        server.stop()


def log_in(url: str, account: str, password: str = PASSWORD) -> httpx.Client:
    """A client with a session."""
    client = httpx.Client(base_url=url, headers={"Origin": url}, timeout=20.0)
    page = client.get("/login")
    token = re.search(r'name="(\w*csrf\w*)"\s+value="([^"]+)"', page.text)
    if token is None:
        raise SystemExit("the log-in form has no token")
    form = {"account": account, "password": password, token.group(1): token.group(2)}
    answer = client.post("/login", data=form)
    if answer.status_code not in (302, 303):
        raise SystemExit(f"log-in as {account} was answered with {answer.status_code}")
    return client


def open_case(client: httpx.Client, patient_id: str, **record: object) -> str:
    """Open a case; its id."""
    body = {"request_id": new_request(), "record": {"patient_id": patient_id, "consent": True, **record}}
    return str(said(client.post("/api/cases", json=body))["case_id"])


def new_request() -> str:
    """A request's identifier."""
    return uuid.uuid4().hex


def said(answer: httpx.Response) -> dict:
    """The JSON of an answer that must be a success."""
    if answer.is_error:
        raise SystemExit(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:300]}")
    return answer.json()


class Light:
    """Light on, and a heartbeat as long as it is wanted."""

    def __init__(self, client: httpx.Client) -> None:
        self._client, self._ending = client, threading.Event()
        said(client.post("/api/light", json={"on": True}))
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._ending.wait(0.1):
            try:
                self._client.post("/api/light/beat")
            except httpx.HTTPError:
                return

    def stop(self) -> None:
        """No more heartbeats."""
        self._ending.set()
        self._thread.join()

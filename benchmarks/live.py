"""bench-live: the console for ten minutes on the simulated unit, recording on, seen by a headless Chromium.

FL 640 x 512 uint16 and WL 1280 x 720 at 25 frames/s. The real server runs as a process of its own; the browser logs in
as its operator, switches the light on, and every 20 s another simulated specimen is laid and taken by a key press.
The time from the end of an exposure to the paint is measured by the server's clock up to the page's word that it has
painted, so it is an upper bound. The answer counts when it is painted too.
"""

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import TimeoutError as NotInTime

from common import ROOT, WORK, finish, parser
from glioscope.cli._serve_demo import FIELD_MM, INTEGRATED, PASSWORD
from glioscope.console import Words
from glioscope.sim import SimSettings

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
ARGUMENTS += ["--disable-component-update", "--disable-sync"]
EVERY_S = 20.0
SETTLED_S = 60.0
ANSWER_S = 10.0
LIGHT_TRIALS = 3
LIT = "[data-item=laser][data-tone=light]"
WORDS = Words()
WATCH_ANSWERS = """() => {
  const answer = document.getElementById("gs-answer");
  const times = window.answerTimes = [];
  let pressed = null, before = "";
  document.addEventListener("keydown", (event) => {
    if (event.code === "Space" && !event.repeat) [pressed, before] = [event.timeStamp, answer.innerHTML];
  }, true);
  const channel = new MessageChannel();
  channel.port1.onmessage = () => {
    if (pressed === null) return;
    times.push({ ms: performance.now() - pressed, failed: Boolean(answer.querySelector(".gs-failed")) });
    pressed = null;
  };
  new MutationObserver(() => {
    if (pressed !== null && answer.innerHTML !== before) requestAnimationFrame(() => channel.port2.postMessage(0));
  }).observe(answer, { childList: true, subtree: true, characterData: true, attributes: true });
}"""
FETCH = """async ([method, path, body]) => {
  const options = { method, headers: { "Content-Type": "application/json" } };
  if (body) options.body = JSON.stringify(body);
  const answer = await fetch(path, options);
  return [answer.status, await answer.json()];
}"""
LOOK = "() => { const v = document.querySelector('.live').view; return { painted: v.painted, ...v.header.shown }; }"


@contextmanager
def serve_for_bench(folder: Path) -> Iterator[tuple[str, int]]:
    """Address and process id of the demo's console, which records every case into `folder`."""
    settings = folder / "console.toml"
    lines = [
        "[theatre]",
        f"integrate_frames = {INTEGRATED}",
        f"fl_offset_counts = {SimSettings().infrared.offset_adu}",
        f"field_mm = {list(FIELD_MM)}",
        f"recordings = {json.dumps(str(folder / 'recordings'))}",
    ]
    settings.write_text("\n".join(lines), encoding="utf-8")
    command = [Path(sys.executable).with_name("glioscope"), "serve", "--demo", "--port", "0"]
    command += ["--store", folder / "store", "--settings", settings]
    with (folder / "server.log").open("w+") as log:
        server = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield _address(server, folder / "server.log"), server.pid
        finally:
            server.terminate()
            server.wait(20)


def _address(server: "subprocess.Popen[bytes]", log: Path) -> str:
    end = time.monotonic() + 30
    while time.monotonic() < end and server.poll() is None:
        found = [
            line.removeprefix("console: ") for line in log.read_text().splitlines() if line.startswith("console: ")
        ]
        if found:
            return found[0].strip().rstrip("/")
        time.sleep(0.1)
    sys.exit(f"the server did not start: {log.read_text()[-2000:]}")


def open_theatre(browser: Browser, address: str) -> Page:
    """The theatre's page of the demo's operator, a case open, the light on."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(f"{address}/login")
    page.fill("input[name=account]", "operator")
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_function("document.querySelector('.live')?.view?.painted > 20")
    record = {"patient_id": "bench-1", "consent": True}
    status, said = page.evaluate(FETCH, ["POST", "/api/cases", {"request_id": str(uuid4()), "record": record}])
    if status != 201:
        sys.exit(f"no case could be opened: {said}")
    light_on(page)
    page.evaluate(WATCH_ANSWERS)
    return page


def light_on(page: Page) -> bool:
    """Switch the light on if it is dark; whether it was. A page that is not painted for half a second loses it."""
    if page.locator(LIT).count():
        return False
    for _ in range(LIGHT_TRIALS):
        cleared = page.get_by_role("button", name=WORDS["theatre.light.clear"], exact=True)
        if cleared.is_visible():
            cleared.click()
            page.wait_for_timeout(500)
        page.get_by_role("button", name=WORDS["theatre.light.switch_on"], exact=True).click()
        page.wait_for_timeout(2000)
        if page.locator(LIT).count():
            return True
    sys.exit(f"the light does not stay on: {page.locator('.live-strip').inner_text()}")


def lost_so_far(page: Page) -> dict[str, int]:
    """Everything that can happen to a frame on its way into a pair and into the recording, and the good pairs."""
    status: dict[str, Any] = page.evaluate(FETCH, ["GET", "/api/status", None])[1]
    cameras, recording = [status["fl"], status["wl"]], status["recording"]
    if recording is None or recording["state"] != "recording":
        sys.exit(f"the case is not recorded: {recording}")
    lost = sum(camera["lost"] + camera["refused"] for camera in cameras) + recording["dropped"]
    return {"lost": lost, "pairs": status["pairs"]}


def take(page: Page) -> bool:
    """Lay another specimen, wait until the quality gate has seen it, and press the key; whether the light was lost."""
    page.get_by_role("button", name=WORDS["theatre.simulator.next"], exact=True).click()
    page.wait_for_timeout(3000)
    lost, known = light_on(page), page.evaluate("answerTimes.length")
    page.keyboard.press("Space")
    try:
        page.wait_for_function(f"answerTimes.length > {known}", timeout=1000 * ANSWER_S)
    except NotInTime:
        page.evaluate("answerTimes.push({ ms: 0, failed: true })")
    return lost


def rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def watch(page: Page, pid: int, seconds: float, every_s: float) -> dict[str, Any]:
    """Take specimens for so long; what was seen."""
    began, begun, memory = time.monotonic(), lost_so_far(page), list[tuple[float, float]]()
    painted, due, told, dark = page.evaluate(LOOK)["painted"], every_s / 2, 60.0, 0
    while (passed := time.monotonic() - began) < seconds:
        memory.append((passed, rss_mb(pid)))
        if passed >= due:
            dark += take(page)
            due += every_s
        if passed >= told:
            told += 60.0
            print(f"{passed:4.0f} s: {page.evaluate(LOOK)}, {memory[-1][1]:.0f} MB", flush=True)
        page.wait_for_timeout(1000)
    passed, looked, ended = time.monotonic() - began, page.evaluate(LOOK), lost_so_far(page)
    answers = page.evaluate("answerTimes")
    times = [answer["ms"] for answer in answers if not answer["failed"]]
    return {
        "pairs_lost": ended["lost"] - begun["lost"],
        "display_fps": round((looked["painted"] - painted) / passed, 1),
        "paint_p99_ms": looked["p99_ms"],
        "rss_growth_mb": growth_mb(memory),
        "answer_p95_ms": round(float(np.percentile(times, 95)), 1) if times else None,
        "answer_p50_ms": round(float(np.median(times)), 1) if times else None,
        "answers_slowest_ms": [round(each) for each in sorted(times)[-5:]],
        "answers": len(times),
        "answers_failed": len(answers) - len(times),
        "light_lost": dark,
        "pairs_per_second": round((ended["pairs"] - begun["pairs"]) / passed, 2),
        "seconds": round(passed, 1),
    }


def growth_mb(memory: list[tuple[float, float]]) -> float | None:
    """Median of the last 10 s less that of the 10 s after the first minute; of a short run after its first third."""
    last = memory[-1][0]
    settled = min(SETTLED_S, last / 3)
    early = [mb for at, mb in memory if settled <= at < settled + 10]
    late = [mb for at, mb in memory if at > last - 10]
    return round(float(np.median(late) - np.median(early)), 1) if early else None


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=600.0)
    arguments.add_argument("--every", type=float, default=EVERY_S, help="seconds from specimen to specimen")
    options = arguments.parse_args()
    if not Path(CHROMIUM).exists():
        sys.exit(f"{CHROMIUM} is not here: make system installs it")
    WORK.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=WORK))
    try:
        with serve_for_bench(folder) as (address, pid), sync_playwright() as started:
            browser = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            try:
                result = watch(open_theatre(browser, address), pid, options.seconds, options.every)
            finally:
                browser.close()
    finally:
        shutil.rmtree(folder)
    finish("bench-live", {**result, "frames": "simulated"}, record=options.record)


if __name__ == "__main__":
    main()

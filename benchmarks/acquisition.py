"""Both cameras at 25 frames/s, recording, on every backend that runs here: pairs lost, skew, latency, memory.

FL 640 x 512 uint16 and WL 1280 x 720 RGB, for ten minutes each unless told otherwise. A backend a subprocess, so that
its memory is its own. The consumer takes every pair at once, as the console does. `skew` and `latency` are judged by
the frames' own times: what they mean differs between backends (docs/aravis.md, docs/micromanager.md).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from common import WORK, finish, parser
from glioscope.core import Camera
from glioscope.devices import (
    DEMO,
    Acquisition,
    AravisCameraSettings,
    ImagingUnit,
    MicroManagerCameraSettings,
    Parts,
    Recorder,
    ReplayCameraSettings,
    make_unit,
    open_case,
)
from glioscope.sim import make_sources

RATE = 25.0
WARM_UP_S = 15.0
FOLDER = WORK / "acquisition"
LIMITS = {"pairs_lost": 0, "latency_p99_ms": 10.0, "rss_growth_mb": 20.0}
SERVER = "arv-fake-gv-camera-0.8"


@contextmanager
def simulated() -> Iterator[ImagingUnit]:
    """The whole demo unit, its laser kept, shining while the handle is held."""
    unit = make_unit(DEMO, lambda: make_sources(seed=5))
    unit.parts.handle.push(True)  # type: ignore[union-attr]
    yield unit


@contextmanager
def replay() -> Iterator[ImagingUnit]:
    """A case of 20 s from the simulated unit, round and round; recorded anew each time, until it has no gap."""
    case = FOLDER / "replayed"
    for _ in range(5):
        with simulated() as unit, unit:
            watch(unit, case, 20.0, 0.0)
        recorded = open_case(case)
        if recorded.fl.missing == recorded.wl.missing == 0 and abs(len(recorded.fl) - len(recorded.wl)) < 2:
            break
    else:
        sys.exit("this machine is too busy to record 20 s without a gap")
    cameras = [ReplayCameraSettings(folder=case, stream=slot, loop=True).make(slot) for slot in ("fl", "wl")]
    yield plain(*cameras)


@contextmanager
def micromanager() -> Iterator[ImagingUnit]:
    """Two demo cameras without a common trigger; faster than 25/s, so that frames near a common grid can be chosen.

    WL is 640 x 360: the demo camera takes 38 ms of a core to draw 1280 x 720, so it cannot give 25 of them a second.
    """
    demo = {"library": "DemoCamera", "device": "DCam"}
    # The demo pattern comes round every few frames, and a repeated picture is refused as an old one: number them.
    demo_picture = {"DisplayImageNumber": "1"}
    grey = {
        "PixelType": "16bit",
        "BitDepth": "16",
        "OnCameraCCDXSize": "640",
        "OnCameraCCDYSize": "512",
        **demo_picture,
    }
    colour = {"PixelType": "32bitRGB", "OnCameraCCDXSize": "640", "OnCameraCCDYSize": "360", **demo_picture}
    fl = MicroManagerCameraSettings(**demo, properties=grey, exposure_ms=10.0).make("fl")
    wl = MicroManagerCameraSettings(**demo, properties=colour, colour=True, exposure_ms=20.0).make("wl")
    yield plain(fl, wl)


@contextmanager
def aravis() -> Iterator[ImagingUnit]:
    """FL a GigE camera on loopback, WL the fake camera inside Aravis."""
    server = subprocess.Popen([SERVER, "-i", "127.0.0.1", "-s", "FL"], stdout=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        fl = AravisCameraSettings(address="127.0.0.1", packet_size=9000, pixel_format="Mono16", rows=512, columns=640)
        wl = AravisCameraSettings(interface="fake", pixel_format="RGB8", rows=720, columns=1280)
        yield plain(fl.make("fl"), wl.make("wl"))
    finally:
        server.kill()
        server.wait()


def plain(fl: Camera, wl: Camera) -> ImagingUnit:
    return ImagingUnit(Parts(fl, wl), name="bench", data_kind="simulated", frames_per_second=RATE)


BACKENDS: dict[str, Callable[[], Any]] = {
    "simulated": simulated,
    "replay": replay,
    "micromanager": micromanager,
    "aravis": aravis,
}


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--seconds", type=float, default=600.0, help="of each backend")
    arguments.add_argument("--backend", action="append", choices=[*BACKENDS], help="only this; may be repeated")
    arguments.add_argument("--one", choices=[*BACKENDS], help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.seconds)))
        return
    result: dict[str, Any] = {"seconds": options.seconds, "backends": {}}
    for backend in options.backend or BACKENDS:
        command = [sys.executable, __file__, "--one", backend, "--seconds", str(options.seconds)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f"{backend}: ended with {done.returncode}")
        result["backends"][backend] = json.loads(done.stdout.splitlines()[-1])
        print(backend, done.stdout.splitlines()[-1])
    for name in ("pairs_lost", "skew_p99_ms", "latency_p99_ms", "rss_growth_mb"):
        result[name] = max(measured[name] for measured in result["backends"].values())
    result["reached"] = all(result[name] <= limit for name, limit in LIMITS.items())
    finish("acquisition", result, record=options.record)


def measure(backend: str, seconds: float) -> dict[str, Any]:
    """One backend for so long, after a warm-up that counts only for memory."""
    if backend in ("micromanager", "aravis") and (missing := lacking(backend)):
        sys.exit(missing)
    folder = FOLDER / backend
    shutil.rmtree(folder, ignore_errors=True)
    with BACKENDS[backend]() as unit, unit:
        measured = watch(unit, folder, seconds, WARM_UP_S)
    shutil.rmtree(folder, ignore_errors=True)
    return measured


def lacking(backend: str) -> str:
    if backend == "aravis" and shutil.which(SERVER) is None:
        return f"{SERVER} is not installed: make system"
    return ""


def watch(unit: ImagingUnit, folder: Path, seconds: float, warm_up_s: float) -> dict[str, Any]:
    """Record and consume; what was lost, how late it came, how memory grew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with Recorder(folder, case_id="bench", data_kind="simulated", unit=unit.name, frames_per_second=RATE) as recorder:
        acquisition = unit.start(taps=(recorder.add,), event=recorder.event)
        consume(acquisition, unit, warm_up_s)
        before, rss, busy = acquisition.status(), rss_mb(), time.process_time()
        ages, skews, lit = consume(acquisition, unit, seconds)
        after, grown, busy = acquisition.status(), rss_mb() - rss, time.process_time() - busy
        unit.stop_cameras()
        recorded = recorder.close()
    frames = max(after.fl.frames - before.fl.frames, after.wl.frames - before.wl.frames)
    lost = after.fl.lost - before.fl.lost + after.wl.lost - before.wl.lost
    expected = round(seconds * RATE)
    return {
        "pairs": len(ages),
        "pairs_lost": max(expected - 1 - len(ages), 0) + (after.dropped - before.dropped),
        "frames": frames,
        "frames_lost": lost,
        "flagged": after.flagged - before.flagged,
        "not_recorded": sum(recorded.dropped.values()),
        "skew_p50_ms": percentile(skews, 50),
        "skew_p99_ms": percentile(skews, 99),
        "latency_p50_ms": percentile(ages, 50),
        "latency_p99_ms": percentile(ages, 99),
        "latency_max_ms": percentile(ages, 100),
        "rss_growth_mb": round(grown, 1),
        "cpu_share": round(busy / seconds / (os.cpu_count() or 1), 2),
        "lit_share": round(lit / max(len(ages), 1), 3),
    }


def consume(acquisition: Acquisition, unit: ImagingUnit, seconds: float) -> tuple[list[float], list[float], int]:
    """Ages at arrival and skews of the good pairs, ms, and how many were lit; the laser is kept shining if it may."""
    ages, skews, lit = [], [], 0
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        pair = acquisition.next_pair(min(left, 1.0))
        now = time.monotonic()
        if pair is None or pair.reasons:
            continue
        ages.append(1000 * (now - max(pair.fl.monotonic_s or 0.0, pair.wl.monotonic_s or 0.0)))
        skews.append(abs(pair.skew_ms))
        lit += bool(pair.fl.laser_on)
        if unit.parts.laser is not None and not pair.fl.laser_on:
            shine(unit)
    return ages, skews, lit


def shine(unit: ImagingUnit) -> None:
    from glioscope.core import DeviceError, LaserState

    laser = unit.parts.laser
    if laser is None:
        return
    try:
        state = laser.laser_report().state
        {LaserState.OFF: laser.arm, LaserState.ARMED: laser.emit, LaserState.FAULT: laser.clear}.get(
            state, lambda: None
        )()
    except DeviceError as error:
        print(f"laser: {error.reason}", file=sys.stderr)


def percentile(values: list[float], share: float) -> float:
    return round(float(np.percentile(values, share)), 2) if values else float("nan")


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()

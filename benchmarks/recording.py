"""bench-recording: what the recorder writes at 25 frames/s of both cameras, what it costs, and what a kill costs.

Simulated trays, noise included, FL 640 x 512 uint16 and WL 1280 x 720 RGB. Three parts: a recording at the cameras'
rate (rate on the disk, processor time of the recorder's threads, growth of memory, and how late a thread that wakes 25
times a second gets its turn, with and without the recorder); the most frames a second that it takes; and recordings
that are killed (`kill -9`) at random moments, of which everything is read again.
"""

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from common import WORK, finish, parser
from glioscope.core import Frame
from glioscope.devices._record_status import RecorderSettings
from glioscope.devices._recorded_case import open_case
from glioscope.devices._recorder import Recorder
from glioscope.sim import SimSettings, render_tray

RATE = 25.0
SHAPES = {"fl": (512, 640), "wl": (720, 1280)}
PICTURES = 6
SETTINGS = RecorderSettings(minimum_minutes=0)


def pictures() -> dict[str, list[np.ndarray]]:
    """A few simulated frames of each camera, every one with its own noise."""
    settings, rng = SimSettings(), np.random.default_rng(0)
    trays = {
        slot: [render_tray(8, shape, 0.1, settings, rng) for _ in range(PICTURES)] for slot, shape in SHAPES.items()
    }
    return {slot: [getattr(tray, slot) for tray in found] for slot, found in trays.items()}


def give(recorder: Recorder, pool: dict[str, list[np.ndarray]], k: int) -> None:
    """Frame `k` of both cameras."""
    now = time.monotonic()
    for slot, found in pool.items():
        recorder.add(slot, Frame(found[k % PICTURES], slot, k, now, exposure_ms=20.0, gain=1.0, mm_per_px=0.1))


def new_recorder(folder: Path) -> Recorder:
    return Recorder(folder, case_id="bench", data_kind="simulated", settings=SETTINGS, frames_per_second=RATE)


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def beat(seconds: float, step: Callable[[int], None]) -> dict[str, float]:
    """Call `step(k)` at 25 Hz from this thread; gives how late it woke, in ms."""
    late, began = [], time.monotonic()
    for k in range(int(seconds * RATE)):
        due = began + k / RATE
        time.sleep(max(due - time.monotonic(), 0.0))
        late.append(1000 * (time.monotonic() - due))
        step(k)
    p50, p99, most = np.percentile(late, [50, 99, 100])
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "max": round(float(most), 2)}


def at_cameras_rate(folder: Path, pool: dict[str, list[np.ndarray]], seconds: float) -> dict[str, object]:
    idle = beat(min(seconds, 10.0), lambda k: None)
    memory = {}

    def step(k: int) -> None:
        give(recorder, pool, k)
        if k in (int(5 * RATE), int(seconds * RATE) - 1):  # the first seconds fill buffers once
            memory[k] = rss_mb()

    with new_recorder(folder) as recorder:
        cpu, began = time.process_time(), time.monotonic()
        busy = beat(seconds, step)
        share = (time.process_time() - cpu) / (time.monotonic() - began)
    status = recorder.close()
    case = open_case(folder)
    sizes = {slot: [row.size for row in stream.rows] for slot, stream in case.streams.items()}
    raw = {"fl": 2, "wl": 3}
    return {
        "mb_per_s": round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / seconds / 1e6, 2),
        "fl_ratio": round(raw["fl"] * SHAPES["fl"][0] * SHAPES["fl"][1] / float(np.mean(sizes["fl"])), 3),
        "wl_ratio": round(raw["wl"] * SHAPES["wl"][0] * SHAPES["wl"][1] / float(np.mean(sizes["wl"])), 2),
        "cpu_share_of_a_core": round(share, 3),
        "frames_dropped": sum(status.dropped.values()),
        "frames_read_back": {slot: len(list(stream)) for slot, stream in case.streams.items()},
        "rss_growth_mb": round(list(memory.values())[-1] - next(iter(memory.values())), 1),
        "wake_late_ms": {"without": idle, "recording": busy},
    }


def most_frames(folder: Path, pool: dict[str, list[np.ndarray]], seconds: float) -> float:
    """Frame pairs a second that it takes when they come as fast as it writes."""
    with new_recorder(folder) as recorder:
        began, k = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            if max(recorder.status().waiting.values()) < SETTINGS.queue_frames // 2:
                give(recorder, pool, k)
                k += 1
            else:
                time.sleep(0.002)
    status = recorder.close()
    if sum(status.dropped.values()):
        sys.exit(f"frames were dropped: {status}")
    return min(status.written.values()) / (time.monotonic() - began)


def killed(folder: Path, seconds: float) -> float:
    """Record in another process, kill it, and give the seconds of the newest frames that are not there."""
    run = subprocess.Popen([sys.executable, __file__, "--child", folder], stdout=subprocess.PIPE, text=True)
    first = run.stdout.readline() if run.stdout else ""
    time.sleep(seconds)
    run.kill()
    when = time.monotonic()
    lines = (first + run.communicate()[0]).splitlines()
    added = {int(k): float(at) for k, at in (line.split() for line in lines if line.count(" ") == 1)}
    losses = []
    for slot, stream in open_case(folder).streams.items():
        there = [frame.sequence for frame in stream]  # reads and checks every pixel
        if there != list(range(len(there))):
            sys.exit(f"{folder}: the {slot} frames have a hole")
        losses.append(when - added.get(len(there), when))
    return max(losses)


def child(folder: Path) -> None:
    pool = pictures()
    recorder = new_recorder(folder)

    def step(k: int) -> None:
        give(recorder, pool, k)
        print(k, time.monotonic(), flush=True)

    beat(3600, step)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=30.0, help="of the recording at the cameras' rate")
    arguments.add_argument("--kills", type=int, default=6)
    arguments.add_argument("--child", type=Path, help="internal: record into this folder until killed")
    options = arguments.parse_args()
    if options.child:
        child(options.child)
        return
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as work:
        pool, root = pictures(), Path(work)
        result = at_cameras_rate(root / "rate", pool, max(options.seconds, 6.0))
        shutil.rmtree(root / "rate")
        result["most_frames_per_s"] = round(most_frames(root / "most", pool, 6.0), 1)
        shutil.rmtree(root / "most")
        rng = np.random.default_rng()
        losses = []
        for i in range(options.kills):
            losses.append(killed(root / f"kill-{i}", rng.uniform(1.0, 5.0)))
            shutil.rmtree(root / f"kill-{i}")
    result |= {"killed_loss_s": round(max(losses), 2), "kills": options.kills, "seconds": options.seconds}
    finish("bench-recording", {**result, "frames": "simulated"}, record=options.record)


if __name__ == "__main__":
    main()

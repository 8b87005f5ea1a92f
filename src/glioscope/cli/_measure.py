"""How fast a suite answers on this machine: latency, cold start, throughput; for `bench` and the benchmarks."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import BundleInfo, Frame, InputError, QualityLimits, Threshold
from glioscope.imaging import SpecimenSource
from glioscope.runtime import Bundle, Cascade
from glioscope.sim import SimSettings, render_tray

FRAME = (512, 640)
_PEAK_KB = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], capture_output=True); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)
MM_PER_PX = 0.1
_NOISY = 800.0
"""Standard deviation in counts of the noise that is added, so that the frame needs denoising."""


def simulated_frames(seed: int = 0, noise: float = _NOISY) -> tuple[Frame, Frame]:
    """A SIMULATED frame pair of 640 x 512 px with one specimen; by default noisy enough to need denoising."""
    rng = np.random.default_rng(seed)
    tray = render_tray(1, FRAME, MM_PER_PX, SimSettings(), rng)
    fl = np.clip(np.rint(tray.fl + rng.normal(0, noise, FRAME)), 0, 65535).astype(np.uint16)
    return Frame(fl, mm_per_px=MM_PER_PX, white_level=65535), Frame(tray.wl, mm_per_px=MM_PER_PX)


def asking_everything(cascade: Cascade) -> Cascade:
    """The same suite, with everything measured and nothing refused: every specimen goes through all networks."""

    def open_bundle(bundle: Bundle) -> Bundle:
        info: BundleInfo = bundle.info
        envelope = None if info.envelope is None else info.envelope.model_copy(update={"limit": 1e9})
        always = Threshold(logit=(-1e9,) * info.task.n_outputs, rule="fixed", chosen_on="benchmark")
        changes: dict[str, Any] = {"threshold": always, "abstention": None, "envelope": envelope, "conditions": {}}
        nothing = QualityLimits(**dict.fromkeys(QualityLimits.model_fields))
        return replace(bundle, info=info.model_copy(update={**changes, "quality": nothing}))

    return replace(cascade, bundles={task: open_bundle(bundle) for task, bundle in cascade.bundles.items()})


def require_answers(answers: Sequence[Any]) -> None:
    """Refuse a measurement in which a network was not asked.

    Raises
    ------
    InputError : names the first specimen, and why.
    """
    for answer in answers:
        reasons = [r.sentence for r in answer.reasons]
        if answer.error is not None or not answer.tasks or any(t.y_score is None for t in answer.tasks):
            why = answer.error or "; ".join(reasons) or "a task was not asked"
            raise InputError(f"{answer.specimen_id}: not every network answered: {why}")


def durations_ms(run: Callable[[], object], runs: int, warm: int = 10) -> NDArray[np.float64]:
    """Wall time of each of `runs` calls in ms, after `warm` that do not count."""
    for _ in range(warm):
        run()
    found = np.empty(runs)
    for number in range(runs):
        started = time.perf_counter()
        run()
        found[number] = (time.perf_counter() - started) * 1000
    return found


def write_pairs(folder: Path, count: int, seed: int = 0) -> list[list[SpecimenSource]]:
    """`count` pairs of SIMULATED frames as files (TIFF, PNG); the same few pictures under many names."""
    sources = []
    for number in range(count):
        fl_path, wl_path = folder / f"{number:05d}-fl.tif", folder / f"{number:05d}-wl.png"
        if not wl_path.is_file():
            fl, wl = simulated_frames(seed + number % 8, noise=0.0)
            cv2.imwrite(str(fl_path), fl.pixels)
            cv2.imwrite(str(wl_path), np.ascontiguousarray(wl.pixels[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 1])
        sources.append([SpecimenSource(f"{number:05d}", fl_path, wl_path, framing="full", mm_per_px=MM_PER_PX)])
    return sources


def cold_start(
    suite: Path, fl: Path, wl: Path, runs: int, words: Sequence[str] = (), *, strict: bool = True
) -> tuple[list[float], float]:
    """From `glioscope diagnose` in a shell to the printed answer: seconds of each run, and the largest resident MB.

    `words`: further options. `strict`: every network must have been asked.

    Raises
    ------
    InputError : the command failed, or a network was not asked.
    """
    program = str(Path(sys.executable).with_name("glioscope"))
    command = [program, "diagnose", str(suite), "--fl", str(fl), "--wl", str(wl), "--json", *words]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if strict:
        _require_answered(ran)
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        subprocess.run(command, capture_output=True, check=False)
        seconds.append(time.perf_counter() - started)
    # From a small parent: the kernel counts what a process had before it became the command.
    peak = subprocess.run(
        [sys.executable, "-I", "-c", _PEAK_KB, *command], capture_output=True, text=True, check=True
    ).stdout
    return seconds, int(peak) / 1024


def _require_answered(ran: subprocess.CompletedProcess[str]) -> None:
    if ran.returncode != 0:
        raise InputError(f"{' '.join(ran.args)}: {ran.stderr.strip() or ran.stdout.strip()}")
    record = json.loads(ran.stdout)
    silent = [task for task, answer in record["tasks"].items() if answer["y_score"] is None]
    if silent:
        raise InputError(f"not every network answered: {', '.join(silent)}: {record['reasons']}")


def images_per_second(cascade: Cascade, specimens: Sequence[Sequence[SpecimenSource]]) -> float:
    """Specimens from disk that the suite answers in a second.

    Raises
    ------
    InputError : a specimen did not go through all networks.
    """
    started = time.perf_counter()
    for answer in cascade.diagnose_many(specimens):
        require_answers([answer])
    return len(specimens) / (time.perf_counter() - started)

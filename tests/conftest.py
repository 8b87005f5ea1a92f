"""One tiny simulated cohort and one tiny suite for all tests that need them, also across parallel workers."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

# Before torch is imported: parallel workers with several threads each only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from .commands import run

TASKS = ("tumor", "ki67")
TRAIN = ("--strategy", "probe", "--size", 64, "--modality", "fusion", "--task", TASKS[0], "--task", TASKS[1])


def shared(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], None]) -> Path:
    """A folder that the first of all workers makes, and the others wait for."""
    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = root / name
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            build(root / f"{name}.part")
            (root / f"{name}.part").rename(folder)
    return folder


def succeed(*arguments: object) -> None:
    ran = run(*arguments)
    assert ran.code == 0, ran.err


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory) -> Path:
    """Manifest of 6 simulated patients with 120 specimens of 64 x 64 px."""

    def build(folder: Path) -> None:
        succeed("simulate", folder, "--patients", 6, "--specimens", 120, "--seed", 3, "--size", "64x64")

    return shared(tmp_path_factory, "tiny-cohort", build) / "manifest.csv"


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, tiny_cohort) -> Path:
    """Run folder of `train` on the tiny cohort: probes for tumor and ki67 from FL, WL and both."""
    pytest.importorskip("torch", reason="needs glioscope[train]")
    return shared(tmp_path_factory, "tiny-run", lambda folder: succeed("train", tiny_cohort, "--out", folder, *TRAIN))


@pytest.fixture(scope="session")
def tiny_suite(tiny_run) -> Path:
    return tiny_run / "suite"

"""Frames whose pixels follow from their number, and small recordings of them."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from glioscope.core import Frame
from glioscope.devices._recorder import Recorder, RecorderStatus

BEGIN = datetime(2026, 3, 1, 12, 0, 0, 123457, UTC)
ROOMY = {"minimum_minutes": 0.0, "reserve_mb": 1.0}


def fl_pixels(k: int, shape: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.random.default_rng(k).poisson(3000, shape).astype(np.uint16)


def wl_pixels(k: int, shape: tuple[int, int] = (60, 80)) -> np.ndarray:
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    return np.stack([rows + k, columns + 2 * k, rows + columns], axis=2).astype(np.uint8)


def frame(slot: str, k: int, **facts: Any) -> Frame:
    """Frame `k` of a camera at 25 frames/s; the white light's exposures end 3 ms later."""
    pixels = facts.pop("pixels", None)
    if pixels is None:
        pixels = fl_pixels(k) if slot == "fl" else wl_pixels(k)
    seconds = k * 0.04 + (0.003 if slot == "wl" else 0.0)
    told = {
        "camera": slot,
        "sequence": k,
        "monotonic_s": 100.0 + seconds + 1e-9 * k,
        "utc": BEGIN + timedelta(seconds=seconds),
        "exposure_ms": 20.0 + k / 7,
        "gain": 1.0,
        "laser_on": k % 2 == 0,
        "irradiance_mw_cm2": 50 / 3,
        "distance_mm": 300.1,
        "mm_per_px": 0.1,
    }
    return Frame(pixels, **{**told, **facts})


def wait_for(true: Any, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def record(folder: Path, frames: list[tuple[str, Frame]], **options: Any) -> RecorderStatus:
    """A closed case folder of these frames, none of them dropped."""
    from glioscope.devices._record_status import RecorderSettings

    settings = RecorderSettings(**{**ROOMY, **options.pop("settings", {})})
    told = {"case_id": "case-1", "data_kind": "simulated", "frames_per_second": 25.0, **options}
    with Recorder(folder, settings=settings, **told) as recorder:
        for slot, one in frames:
            wait_for(lambda slot=slot: recorder.status().waiting[slot] < 40)
            recorder.add(slot, one)
    return recorder.close()


def same(one: Frame, other: Frame, *, pixels: bool = True) -> None:
    """Every field the same, floats bit for bit."""
    for name in Frame.__slots__:
        if name != "pixels":
            a, b = getattr(one, name), getattr(other, name)
            assert (a, type(a)) == (b, type(b)), name
    if one.utc is not None:
        assert one.utc.utcoffset() == other.utc.utcoffset()
    if pixels:
        assert one.pixels.dtype == other.pixels.dtype
        np.testing.assert_array_equal(one.pixels, other.pixels)

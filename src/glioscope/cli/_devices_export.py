"""Pairs of a recorded case as files with a manifest, which `check`, `diagnose` and `train` read."""

import csv
import heapq
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glioscope._terminal import out
from glioscope.core import Frame, InputError, atomic_folder

if TYPE_CHECKING:
    from glioscope.devices import Calibration, RecordedCase, RecordedStream, Slot

_COLUMNS = (
    *("patient_id", "specimen_id", "fl_image", "wl_image", "framing", "mm_per_px", "fl_exposure_ms", "fl_gain"),
    *("distance_mm", "irradiance_mw_cm2", "device_id", "acquired_at", "data_kind"),
)


def export_pairs(
    case: "RecordedCase", folder: Path, every_s: float, *, strobed: bool, unlit: bool, calibration: Path | None
) -> None:
    """Write a pair each `every_s` seconds into a new folder, whole or not at all.

    Frames that were taken with the laser off are left out, unless `unlit`; `calibration` corrects fluorescence first.
    With `strobed` it is lit minus dark, of a case that was recorded with the laser on every second frame.

    A full frame stands for one specimen each: which specimens it shows, the recording does not say.
    """
    from glioscope.devices import Pairer, read_calibration

    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty; give a new folder")
    # Of the camera a recording only knows the size of its frames, which is compared when they are corrected.
    found = None if calibration is None else read_calibration(calibration, None, now=case.info.started)
    dark = 0
    pairer = Pairer(1000.0 / (case.info.frames_per_second or 25.0))
    rows: list[dict[str, Any]] = []
    due = float("-inf")
    with atomic_folder(folder) as made:
        (made / "images").mkdir()
        frames = _corrected(_in_order(case), found)
        for slot, frame in _subtracted(frames) if strobed else frames:
            for pair in pairer.add(slot, frame):
                time_s = pair.fl.monotonic_s or 0.0
                if pair.reasons or time_s < due:
                    continue
                if pair.fl.laser_on is False and not unlit:
                    dark += 1
                    continue
                due = time_s + every_s
                rows.append(_write(made, case, pair.fl, pair.wl))
        if not rows:
            why = f"; {dark} were taken with the laser off, give --unlit to write them" if dark else ""
            raise InputError(f"{case.folder}: has no {'strobed ' if strobed else ''}pair of frames to write{why}")
        with (made / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
            table = csv.DictWriter(stream, _COLUMNS)
            table.writeheader()
            table.writerows(rows)
    left = f"; {dark} pairs taken with the laser off were left out" if dark else ""
    out.print(f"{folder}: {len(rows)} pairs and manifest.csv{left}", soft_wrap=True)


def _in_order(case: "RecordedCase") -> "Iterator[tuple[Slot, Frame]]":
    """Frames of both cameras by time, read one by one; those without a time are left out."""
    streams = [_timed(slot, stream) for slot, stream in case.streams.items()]
    for _, slot, frame in heapq.merge(*streams, key=itemgetter(0)):
        yield slot, frame


def _corrected(
    frames: "Iterator[tuple[Slot, Frame]]", calibration: "Calibration | None"
) -> "Iterator[tuple[Slot, Frame]]":
    for slot, frame in frames:
        yield slot, frame if calibration is None or slot == "wl" else calibration.apply(frame)


def _subtracted(frames: "Iterator[tuple[Slot, Frame]]") -> "Iterator[tuple[Slot, Frame]]":
    """Fluorescence without ambient light, at half the rate; white light as it is."""
    from glioscope.devices import Strobe

    strobe = Strobe()
    for slot, frame in frames:
        if slot == "wl":
            yield slot, frame
        elif (made := strobe.add(frame)) is not None:
            yield slot, made.frame


def _timed(slot: "Slot", stream: "RecordedStream") -> "Iterator[tuple[float, Slot, Frame]]":
    return ((frame.monotonic_s, slot, frame) for frame in stream if frame.monotonic_s is not None)


def _write(folder: Path, case: "RecordedCase", fl: Frame, wl: Frame) -> dict[str, Any]:
    import cv2
    import tifffile

    name = f"{case.info.case_id}-{fl.sequence:06d}"
    tifffile.imwrite(folder / "images" / f"{name}-fl.tif", fl.pixels, compression="zlib")
    (folder / "images" / f"{name}-wl.png").write_bytes(cv2.imencode(".png", wl.pixels[..., ::-1])[1].tobytes())
    row = {
        "patient_id": case.info.case_id,
        "specimen_id": name,
        "fl_image": f"images/{name}-fl.tif",
        "wl_image": f"images/{name}-wl.png",
        "framing": "full",
        "mm_per_px": fl.mm_per_px,
        "fl_exposure_ms": fl.exposure_ms,
        "fl_gain": fl.gain,
        "distance_mm": fl.distance_mm,
        "irradiance_mw_cm2": fl.irradiance_mw_cm2 or None,  # a manifest has no word for dark
        "device_id": case.info.unit,
        "acquired_at": fl.utc.isoformat() if fl.utc is not None else None,
        "data_kind": case.info.data_kind,
    }
    return {key: "" if value is None else value for key, value in row.items()}

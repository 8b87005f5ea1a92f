"""A case folder made from image files, so that pictures taken elsewhere can be replayed as a camera's."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from glioscope.core import Frame, InputError
from glioscope.imaging import read_fl, read_wl

from ._pairing import Slot
from ._record_status import RecorderSettings, RecorderState
from ._recorder import Recorder

_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".dcm")
_WAIT_S = 0.002


def record_images(
    images: Path | str,
    out: Path | str,
    *,
    frames_per_second: float = 25.0,
    slot: Slot = "fl",
    case_id: str = "images",
    data_kind: Literal["real", "simulated"] = "real",
    started: datetime | None = None,
) -> int:
    """Make a case folder of the images of a folder, in the order of their names, as one camera's frames.

    Fluorescence comes back bit for bit; white light goes through JPEG. The frames' times are even: the first at 0 s,
    on no machine's clock, and at `started` (now, if not given).

    Returns
    -------
    Frames recorded.

    Raises
    ------
    InputError : no images, a rate out of range, `out` not empty, or the disk does not take all.
    ImageError : an image that cannot be read; see `imaging.read_fl` and `imaging.read_wl`.
    """
    if not 0 < frames_per_second <= 1000:
        raise InputError(f"frames_per_second is {frames_per_second:g}, it must be above 0 and at most 1000")
    folder = Path(images)
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES) if folder.is_dir() else []
    if not paths:
        raise InputError(f"{folder}: has no image files ({', '.join(_SUFFIXES)})")
    begin = started or datetime.now(UTC)
    settings = RecorderSettings(minimum_minutes=0)
    with Recorder(
        out, case_id=case_id, data_kind=data_kind, settings=settings, frames_per_second=frames_per_second
    ) as recorder:
        for i, path in enumerate(paths):
            recorder.add(slot, _frame(path, slot, i, i / frames_per_second, begin))
            while recorder.status().waiting[slot]:  # not a camera: it can wait
                time.sleep(_WAIT_S)
    status = recorder.close()
    if status.state is not RecorderState.CLOSED or status.written[slot] != len(paths):
        raise InputError(f"{out}: {status.written[slot]} of {len(paths)} images were recorded: {status.sentence}")
    return len(paths)


def _frame(path: Path, slot: Slot, i: int, time_s: float, begin: datetime) -> Frame:
    image = read_fl(path, allow_blank=True) if slot == "fl" else read_wl(path)
    return Frame(
        image.pixels,
        camera=slot,
        sequence=i,
        monotonic_s=time_s,
        utc=begin + timedelta(seconds=time_s),
        white_level=image.white_level if image.white_stated else None,
        mm_per_px=image.mm_per_px,
    )

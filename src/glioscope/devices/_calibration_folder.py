"""The folder of a calibration: written whole, dated and hashed; read only where it fits the camera that is staged."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from glioscope.core import CameraInfo, Frame, InputError, atomic_folder, sha256_of

from ._calibration import Calibration, CalibrationInfo, check_setting

DEFAULT_MAX_AGE_DAYS = 30.0


def write_calibration(folder: Path | str, calibration: Calibration) -> None:
    """Write the folder, whole or not at all.

    frames.npz holds what is applied; dark.tif and flat.tif are the same as 16-bit frames, for the columns `fl_dark` and
    `fl_flat` of a manifest (an ordinary flat frame, dark included); calibration.json says what they are.
    """
    import tifffile

    info, dark = calibration.info, calibration.dark
    half = 0.5 * (info.white_level - info.dark_counts)
    frames = {"dark.tif": dark, "flat.tif": dark + np.float32(half) * calibration.flat}
    with atomic_folder(folder) as target:
        np.savez_compressed(target / "frames.npz", dark=dark, flat=calibration.flat, bad=calibration.bad)
        for name, frame in frames.items():
            pixels = np.clip(np.rint(frame), 0, 65535).astype(np.uint16)
            tifffile.imwrite(target / name, pixels, photometric="minisblack", metadata=None)
        hashes = {name: sha256_of(target / name) for name in ("frames.npz", *frames)}
        stored = info.model_copy(update={"sha256": hashes})
        (target / "calibration.json").write_text(stored.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_calibration(
    folder: Path | str,
    camera: CameraInfo | None,
    *,
    exposure_ms: float | None = None,
    gain: float | None = None,
    max_age_days: float = DEFAULT_MAX_AGE_DAYS,
    now: datetime | None = None,
) -> Calibration:
    """Read a calibration and hold it against the camera that is staged; None: there is none, as with a recording.

    Parameters
    ----------
    exposure_ms, gain : of the frames to come; None: not compared.
    max_age_days : older ones are refused.

    Raises
    ------
    InputError : missing or changed files, another camera, size, white level, exposure or gain, or too old.
    """
    folder = Path(folder)
    info = _read_info(folder)
    for name, expected in info.sha256.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != expected:
            raise InputError(f"{folder / name}: is missing or was changed after it was written; calibrate again")
    if "frames.npz" not in info.sha256:
        raise InputError(f"{folder / 'calibration.json'}: does not name frames.npz; calibrate again")
    if camera is not None:
        _check_camera(folder, info, camera)
    if exposure_ms is not None or gain is not None:
        check_setting(info, Frame(np.empty(0), exposure_ms=exposure_ms, gain=gain))
    age_days = ((now or datetime.now(UTC)) - info.utc).total_seconds() / 86400
    if age_days > max_age_days:
        raise InputError(f"{folder}: calibration is {age_days:.1f} days old, over the limit of {max_age_days:g} days")
    if age_days < -1:
        raise InputError(f"{folder}: calibration is dated {info.utc:%Y-%m-%d}, in the future; check this clock")
    with np.load(folder / "frames.npz", allow_pickle=False) as stored:
        dark, flat, bad = (np.array(stored[name]) for name in ("dark", "flat", "bad"))
    if not dark.shape == flat.shape == bad.shape == (info.rows, info.columns):
        raise InputError(f"{folder}: frames of {dark.shape} px, calibration.json says {info.rows} x {info.columns}")
    return Calibration(info, dark.astype(np.float32), flat.astype(np.float32), bad.astype(np.bool_))


def _read_info(folder: Path) -> CalibrationInfo:
    path = folder / "calibration.json"
    try:
        return CalibrationInfo.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise InputError(f"{path}: does not exist") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise InputError(f"{path}: {where}: {first['msg']}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not a calibration: {error}") from error


def _check_camera(folder: Path, info: CalibrationInfo, camera: CameraInfo) -> None:
    pairs = [
        ("model", info.model, camera.model),
        ("serial number", info.serial, camera.serial),
        ("size", (info.columns, info.rows), (camera.columns, camera.rows)),
        ("white level", info.white_level, camera.white_level),
    ]
    for name, calibrated, staged in pairs:
        if calibrated != staged:
            raise InputError(f"{folder}: calibration is for {name} {calibrated}, the camera has {staged}")

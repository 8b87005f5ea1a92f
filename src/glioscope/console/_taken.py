"""What becomes of a diagnosis: pictures and record for the store, and the way back from the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.cases import Specimen, SpecimenRecord
from glioscope.core import Decision, Diagnosis, Frame, ImageError, InputError, Reason, TaskDiagnosis
from glioscope.devices import FramePair
from glioscope.imaging import RawImage, SpecimenImages
from glioscope.runtime import Cascade, draw_heatmap

_FAST: Final = (cv2.IMWRITE_PNG_COMPRESSION, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """A specimen that is on disk, and its answer.

    Attributes
    ----------
    took_ms : from the key press until everything was on disk; 0 for a request that was answered before.
    """

    specimen: Specimen
    diagnosis: Diagnosis
    took_ms: float


def encode_images(diagnosis: Diagnosis) -> dict[str, bytes]:
    """The cut pictures as PNG: "fl" 16 bits grey, "wl" RGB. Raises ImageError where a picture cannot be coded."""
    return {name: _png(pixels) for name, pixels in diagnosis.pixels.items()}


def specimen_record(
    diagnosis: Diagnosis, newest: FramePair, fl: Frame, *, sector: int | None, suite_sha256: str, tray: str = ""
) -> SpecimenRecord:
    """What is kept of a specimen besides its pictures.

    Parameters
    ----------
    newest : pair that was diagnosed. fl : its fluorescence, with that of the pairs before added up.
    """
    return SpecimenRecord(
        sector=sector,
        diagnosis=diagnosis.to_json(),
        framing="cut",
        mm_per_px=fl.mm_per_px,
        fl_exposure_ms=fl.exposure_ms,
        fl_gain=fl.gain,
        distance_mm=fl.distance_mm,
        irradiance_mw_cm2=fl.irradiance_mw_cm2,
        fl_sequence=newest.fl.sequence,
        wl_sequence=newest.wl.sequence,
        suite_sha256=suite_sha256,
        tray=tray,
    )


def read_diagnosis(said: Mapping[str, Any], specimen_id: str) -> Diagnosis:
    """A stored answer (contract 6) as a record again, without maps and pictures."""
    outline = said.get("outline")
    box = said.get("box")
    return Diagnosis(
        specimen_id,
        tuple(_read_task(task, answer) for task, answer in said.get("tasks", {}).items()),
        said.get("error"),
        _read_reasons(said.get("reasons", ())),
        dict(said.get("quality", {})),
        dict(said.get("timings_ms", {})),
        box=None if box is None else (int(box[0]), int(box[1]), int(box[2]), int(box[3])),
        outline=None if outline is None else np.asarray(outline, np.int32).reshape(-1, 2),
    )


def diagnose_stored(
    cascade: Cascade, specimen: Specimen, images: Mapping[str, bytes], white_level: int | None
) -> Diagnosis:
    """Diagnose the stored pictures of a specimen once more: the same suite gives the same answer, and its maps.

    Parameters
    ----------
    images : "fl", "wl" -> PNG as it was stored. white_level : of the fluorescence camera; None: that of 16 bits.

    Raises
    ------
    ImageError : a picture that cannot be read.
    """
    record = specimen.record
    before = read_diagnosis(record.diagnosis, specimen.specimen_id)
    pixels = {name: _read_png(data) for name, data in images.items()}
    raw = {
        name: RawImage(image, 255 if name == "wl" else white_level or 65535, None, record.mm_per_px, white_stated=True)
        for name, image in pixels.items()
    }
    shown = SpecimenImages(
        specimen.specimen_id,
        raw.get("fl"),
        raw.get("wl"),
        record.fl_exposure_ms,
        record.fl_gain,
        record.distance_mm,
        record.irradiance_mw_cm2,
        record.mm_per_px,
        mask=_mask(before, next(iter(pixels.values())).shape),
        box=before.box,
        outline=before.outline,
    )
    return cascade.diagnose_images(shown)


def heatmap_png(diagnosis: Diagnosis, task: str, cascade: Cascade) -> bytes:
    """The map of one answer over the picture that it was read from, PNG.

    Raises
    ------
    InputError : no such task, or no map: it was not asked or not assessable.
    """
    answer = next((found for found in diagnosis.tasks if found.task == task), None)
    if answer is None:
        raise InputError(f"the suite answers no task {task!r}")
    if not answer.cams:
        raise InputError(f"there is no map of {task}: {answer.answer}")
    return _png(draw_heatmap(answer, next(iter(answer.cams)), diagnosis, cascade))


def _read_task(task: str, said: Mapping[str, Any]) -> TaskDiagnosis:
    return TaskDiagnosis(
        task,
        Decision(said["decision"]),
        said["answer"],
        said["y_score"],
        said["threshold"],
        said["bundle"],
        tuple(said["level_probabilities"]),
        said["y_probability"],
        _two(said["y_interval"]),
        _two(said["band"]),
        said["envelope"],
        _read_reasons(said["reasons"]),
    )


def _read_reasons(said: Sequence[Mapping[str, Any]]) -> tuple[Reason, ...]:
    return tuple(Reason(**reason) for reason in said)


def _two(values: Sequence[float] | None) -> tuple[float, float] | None:
    return None if values is None else (values[0], values[1])


def _mask(diagnosis: Diagnosis, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Where the specimen is within its picture, from its outline in the frame."""
    if diagnosis.box is None or diagnosis.outline is None or len(diagnosis.outline) == 0:
        return None
    drawn = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(drawn, [diagnosis.outline - np.asarray(diagnosis.box[:2], np.int32)], 1)
    return drawn > 0


def _png(pixels: NDArray[Any]) -> bytes:
    coded, data = cv2.imencode(".png", pixels if pixels.ndim == 2 else pixels[..., ::-1], list(_FAST))
    if not coded:
        raise ImageError(None, f"a picture of {pixels.dtype} {pixels.shape} cannot be stored as PNG")
    return bytes(data)


def _read_png(data: bytes) -> NDArray[Any]:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ImageError(None, "a stored picture is no PNG")
    return np.ascontiguousarray(pixels if pixels.ndim == 2 else pixels[..., ::-1])

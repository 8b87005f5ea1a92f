"""Writing a whole simulated cohort: images, manifest and what belongs to it, in one atomic folder."""

import csv
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from ..core import InputError, atomic_folder
from ._cameras import CameraPattern, Window, compose, draw_pattern, photograph_fl, photograph_wl
from ._design import Design, draw_design
from ._latents import Appearance, Floats, Tissue, draw_appearance, draw_tissue
from ._oracle import oracle_columns
from ._pathology import draw_pathology, simulated_study
from ._readers import draw_readings
from ._render import paint
from ._settings import SimSettings
from ._trays import write_trays

Framing = Literal["cut", "full"]
Progress = Callable[[int, int], None]

MARK = "SIMULATED"
_CHUNK = 48
_SIDE_LIMITS = (48, 640)
_README = """SIMULATED data: no image here was taken of a patient.

Cohort of {patients} patients and {specimens} specimens drawn by `glioscope simulate` with seed {seed}.
manifest.csv   one row a specimen, labels as pathology would give them (some are wrong on purpose)
readings.csv   readings of simulated surgeons
pathology.csv  grades of three simulated pathologists before they agreed, and Ki-67 counts
study.toml     what a study report asks of its authors; says what does not exist here
oracle.csv     latent state of every specimen and the posterior that bounds any observer of its images
settings.json  all parameters with unit and source; SHA-256 {sha}
images/        fl/*.tif 16-bit fluorescence, wl/*.png 8-bit white light
"""


@dataclass(frozen=True, slots=True)
class SimulatedCohort:
    """Where a simulated cohort is, and what is in it."""

    folder: Path
    manifest: Path
    readings: Path
    oracle: Path
    pathology: Path
    study: Path
    trays: Path | None
    n_patients: int
    n_specimens: int
    seed: int
    settings_sha256: str
    seconds: float


@dataclass(frozen=True, slots=True)
class _Job:
    """What a worker needs to paint and photograph a chunk of specimens."""

    folder: Path
    names: Sequence[str]
    appearances: Sequence[Appearance]
    seeds: Sequence[np.random.SeedSequence]
    pattern: CameraPattern
    frame: tuple[int, int]
    shape: tuple[int, int]
    mm_per_px: float
    framing: Framing
    settings: SimSettings


def simulate(
    out: Path | str,
    *,
    n_patients: int = 23,
    n_specimens: int = 1874,
    size: tuple[int, int] = (160, 128),
    seed: int = 0,
    trays: int = 0,
    framing: Framing = "cut",
    n_jobs: int = 2,
    settings: SimSettings | None = None,
    progress: Progress | None = None,
) -> SimulatedCohort:
    """Draw a cohort and write it to the folder `out`, whole or not at all.

    Parameters
    ----------
    out : folder to write; an earlier simulated cohort there is replaced, anything else is refused.
    n_patients, n_specimens : at least 2 patients and 10 specimens a patient; class counts scale from the paper's.
    size : width and height in pixels of cut images; the scale follows (0.1 mm/px at 160 x 128). Frames of
        `framing="full"` are always 640 x 512.
    seed : the same seed and settings give the same bytes, whatever `n_jobs` is.
    trays : number of additional full frames with many specimens (the last one is empty), with `trays.csv`.
    framing : "cut", one image a specimen; or "full", a full frame with the specimen somewhere on the plate.
    n_jobs : worker processes.
    settings : parameters; the frozen defaults if absent.
    progress : called with (pairs done, pairs in all).

    Raises
    ------
    InputError : a number out of range, or a folder in the way.
    """
    started = time.perf_counter()
    target, settings = Path(out), settings or SimSettings()
    _check(target, size, seed, trays, framing, n_jobs)
    seeds = np.random.SeedSequence(seed).spawn(6)
    design_seed, camera_seed, readers_seed, image_seed, tray_seed, pathology_seed = seeds
    rng = np.random.default_rng(design_seed)
    design = draw_design(n_patients, n_specimens, settings, rng)
    tissue = draw_tissue(design, settings, rng)
    columns = draw_appearance(design, tissue, settings, rng)
    names = specimen_names(design)
    with atomic_folder(target) as folder:
        frame, shape, mm_per_px = _scale(size, framing, settings)
        pattern = draw_pattern(frame, settings, np.random.default_rng(camera_seed))
        (folder / "images" / "fl").mkdir(parents=True)
        (folder / "images" / "wl").mkdir()
        appearances = appearances_of(columns)
        jobs = _jobs(folder, names, appearances, image_seed, pattern, frame, shape, mm_per_px, framing, settings)
        _run(jobs, n_specimens, n_jobs, progress)
        # A fresh generator for each table: adding one does not change the others.
        manifest = _manifest_rows(design, names, mm_per_px, framing, settings, rng.spawn(1)[0])
        _write_rows(folder / "manifest.csv", manifest)
        _write_rows(folder / "pathology.csv", draw_pathology(manifest, np.random.default_rng(pathology_seed)))
        readings = draw_readings(names, columns, design.label_tumor, settings, np.random.default_rng(readers_seed))
        _write_rows(folder / "readings.csv", readings)
        _write_rows(folder / "oracle.csv", _oracle_rows(design, tissue, columns, names, settings))
        if trays:
            full, _, scale = _scale(size, "full", settings)
            write_trays(folder, trays, names, appearances, full, scale, settings, np.random.default_rng(tray_seed))
        _write_notes(folder, design, seed, framing, settings)
    return SimulatedCohort(
        folder=target,
        manifest=target / "manifest.csv",
        readings=target / "readings.csv",
        oracle=target / "oracle.csv",
        pathology=target / "pathology.csv",
        study=target / "study.toml",
        trays=target / "trays.csv" if trays else None,
        n_patients=n_patients,
        n_specimens=n_specimens,
        seed=seed,
        settings_sha256=settings.sha256,
        seconds=time.perf_counter() - started,
    )


def specimen_names(design: Design) -> list[str]:
    """Identifiers that say patient, sector and order of sampling, and nothing of the class."""
    return [
        f"P{patient + 1:02d}-S{sector}-{index:02d}"
        for patient, sector, index in zip(design.patient, design.sector, design.sample_index, strict=True)
    ]


def appearances_of(columns: dict[str, Floats]) -> list[Appearance]:
    """One `Appearance` a specimen from the columns of `draw_appearance`."""
    rows = zip(*columns.values(), strict=True)
    return [Appearance(**dict(zip(columns, map(float, row), strict=True))) for row in rows]


def photograph_pair(
    appearance: Appearance,
    pattern: CameraPattern,
    frame: tuple[int, int],
    shape: tuple[int, int],
    mm_per_px: float,
    framing: Framing,
    settings: SimSettings,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint8]]:
    """Paint and photograph one specimen: FL (rows, columns) uint16 and WL (rows, columns, 3) uint8 RGB."""
    place, painting, plate, fl_noise, wl_noise = rng.spawn(5)
    row, column = (int(place.integers(0, frame[i] - shape[i] + 1)) for i in (0, 1))
    jitter = place.uniform(-3.0, 3.0, 2) * 0.1 / mm_per_px
    centre = (shape[0] / 2 + float(jitter[0]), shape[1] / 2 + float(jitter[1]))
    specimen = paint(appearance, shape, centre, mm_per_px, settings, painting)
    if framing == "cut":
        window, corner = Window(row, column, shape, mm_per_px, frame), (0, 0)
    else:
        window, corner = Window(0, 0, frame, mm_per_px, frame), (row, column)
    scene = compose(window, [(specimen, corner)], settings, plate)
    fl = photograph_fl(scene, window, appearance, pattern, settings, fl_noise)
    return fl, photograph_wl(scene, window, appearance, settings, wl_noise)


def write_fl(path: Path, image: npt.NDArray[np.uint16]) -> None:
    """Write a 16-bit grey TIFF without compression, so that its size says nothing of what it shows."""
    import tifffile

    tifffile.imwrite(path, image, photometric="minisblack", metadata=None, description=MARK, software="glioscope")


def write_wl(path: Path, image: npt.NDArray[np.uint8], *, level: int = 0) -> None:
    """Write an 8-bit RGB PNG; level 0 stores the pixels, so that the size says nothing of what they show."""
    pixels = np.ascontiguousarray(image[..., ::-1])
    # Encoded here and written by Python, whose errors say why (a full disk, a read-only folder).
    path.write_bytes(cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, level])[1].tobytes())


def _check(target: Path, size: tuple[int, int], seed: int, trays: int, framing: str, n_jobs: int) -> None:
    low, high = _SIDE_LIMITS
    if not all(low <= side <= high for side in size):
        raise InputError(f"image size {size[0]} x {size[1]} px is outside the limits of {low} to {high} px a side")
    if framing not in ("cut", "full"):
        raise InputError(f"framing {framing!r} is neither 'cut' nor 'full'")
    if seed < 0 or trays < 0 or n_jobs < 1:
        raise InputError(f"seed {seed} and trays {trays} must not be negative, and jobs {n_jobs} must be at least 1")
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise InputError(f"{target}: is not a folder; name a new one")
    if target.is_dir() and any(target.iterdir()) and not _is_simulated(target):
        raise InputError(f"{target}: holds something other than a simulated cohort; name a new or empty folder")


def _is_simulated(folder: Path) -> bool:
    readme = folder / "README.txt"
    return readme.is_file() and readme.read_text(encoding="utf-8", errors="replace").startswith(MARK)


def _scale(
    size: tuple[int, int], framing: Framing, settings: SimSettings
) -> tuple[tuple[int, int], tuple[int, int], float]:
    """Rows and columns of the full frame, of a specimen's patch, and millimetres a pixel."""
    camera, base = settings.infrared, settings.geometry.mm_per_px
    if framing == "full":
        return (camera.rows, camera.columns), (128, 160), base
    width, height = size
    mm_per_px = base * max(160 / width, 128 / height)
    frame = (max(round(camera.rows * base / mm_per_px), height), max(round(camera.columns * base / mm_per_px), width))
    return frame, (height, width), mm_per_px


def _jobs(
    folder: Path,
    names: Sequence[str],
    appearances: Sequence[Appearance],
    seed: np.random.SeedSequence,
    pattern: CameraPattern,
    frame: tuple[int, int],
    shape: tuple[int, int],
    mm_per_px: float,
    framing: Framing,
    settings: SimSettings,
) -> list[_Job]:
    seeds = seed.spawn(len(names))
    # Files are written in random order, so that their times say nothing either.
    order = np.random.default_rng(seed).permutation(len(names))
    chunks = [order[start : start + _CHUNK] for start in range(0, len(order), _CHUNK)]
    return [
        _Job(
            folder,
            [names[i] for i in chunk],
            [appearances[i] for i in chunk],
            [seeds[i] for i in chunk],
            pattern,
            frame,
            shape,
            mm_per_px,
            framing,
            settings,
        )
        for chunk in chunks
    ]


def _work(job: _Job) -> int:
    cv2.setNumThreads(1)
    level = 0 if job.framing == "cut" else 1
    for name, appearance, seed in zip(job.names, job.appearances, job.seeds, strict=True):
        rng = np.random.default_rng(seed)
        fl, wl = photograph_pair(
            appearance, job.pattern, job.frame, job.shape, job.mm_per_px, job.framing, job.settings, rng
        )
        write_fl(job.folder / "images" / "fl" / f"{name}.tif", fl)
        write_wl(job.folder / "images" / "wl" / f"{name}.png", wl, level=level)
    return len(job.names)


def _run(jobs: Sequence[_Job], total: int, n_jobs: int, progress: Progress | None) -> None:
    done = 0
    for count in _results(jobs, n_jobs):
        done += count
        if progress is not None:
            progress(done, total)


def _results(jobs: Sequence[_Job], n_jobs: int) -> Iterator[int]:
    if n_jobs == 1 or len(jobs) == 1:
        yield from map(_work, jobs)
        return
    from joblib import Parallel, delayed

    yield from Parallel(n_jobs=n_jobs, return_as="generator_unordered")(delayed(_work)(job) for job in jobs)


def _write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _manifest_rows(
    design: Design,
    names: Sequence[str],
    mm_per_px: float,
    framing: Framing,
    settings: SimSettings,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    n = len(names)
    distance = rng.normal(*settings.optics.distance_mm, n)
    days = rng.integers(0, 399, design.n_patients)
    minutes = np.concatenate(
        [np.sort(rng.uniform(0, 150, int(count))) for count in np.bincount(design.patient, minlength=design.n_patients)]
    )
    only_level = rng.random(n) < 0.1
    start = datetime(2019, 3, 22, 9, 30)
    return [
        {
            "patient_id": f"P{design.patient[i] + 1:02d}",
            "specimen_id": names[i],
            "fl_image": f"images/fl/{names[i]}.tif",
            "wl_image": f"images/wl/{names[i]}.png",
            "framing": framing,
            "mm_per_px": round(mm_per_px, 6),
            "fl_exposure_ms": settings.infrared.exposure_ms,
            "distance_mm": round(float(distance[i]), 1),
            "irradiance_mw_cm2": 50.0,
            "device_id": "SIM-NIR2-01",
            "site": "simulated",
            "acquired_at": (
                start + timedelta(days=int(days[design.patient[i]]), minutes=round(float(minutes[i]), 2))
            ).isoformat(timespec="seconds"),
            "sector": int(design.sector[i]),
            "sample_index": int(design.sample_index[i]),
            **_labels(design, i, bool(only_level[i]), settings),
            "data_kind": "simulated",
        }
        for i in range(n)
    ]


def _labels(design: Design, i: int, only_level: bool, settings: SimSettings) -> dict[str, Any]:
    """Labels of specimen `i` as pathology would give them; blank where unknown."""
    graded, has_ki67 = bool(design.graded[i]), bool(design.has_ki67[i])
    grade = 4 if design.gbm[i] else 3 if design.grade3[i] else 2
    idh = "wildtype" if design.wildtype[i] else "mutant"
    high = bool(design.ki67_high[i])
    percent = 10.0 * float(np.exp(settings.biology.ki67_spread * design.proliferation[i]))
    percent = min(max(round(percent, 1), 10.0), 95.0) if high else max(min(round(percent, 1), 9.9), 0.5)
    return {
        "pathology": "tumor" if design.label_tumor[i] else "non-tumor",
        "who_grade": grade if graded else "",
        "who_edition": 2016 if graded else "",
        "diagnosis": _diagnosis(grade, idh, bool(design.codeleted[i])) if graded else "",
        "ki67_percent": percent if has_ki67 and not only_level else "",
        "ki67_level": (">=10" if high else "<10") if has_ki67 else "",
        "idh": idh if graded else "",
        "codel_1p19q": ("yes" if design.codeleted[i] else "no") if graded else "",
    }


def _diagnosis(grade: int, idh: str, codeleted: bool) -> str:
    """Name of the entity in the WHO classification of 2016."""
    if grade == 4:
        return f"glioblastoma, IDH-{idh}"
    anaplastic = "anaplastic " if grade == 3 else ""
    if codeleted:
        return f"{anaplastic}oligodendroglioma, IDH-mutant and 1p/19q-codeleted"
    return f"{anaplastic or 'diffuse '}astrocytoma, IDH-{idh}"


def _oracle_rows(
    design: Design, tissue: Tissue, columns: dict[str, Floats], names: Sequence[str], settings: SimSettings
) -> list[dict[str, Any]]:
    hidden = {
        "true_tumor": design.true_tumor.astype(int),
        "label_flipped": design.flipped.astype(int),
        "true_gbm": (design.true_tumor & design.gbm).astype(int),
    }
    latents = {f"tissue_{name}": getattr(tissue, name) for name in Tissue.__slots__}
    numbers: dict[str, Any] = {**latents, **columns, **oracle_columns(columns, settings)}
    return [
        {
            "specimen_id": names[i],
            "patient_id": f"P{design.patient[i] + 1:02d}",
            **{name: int(values[i]) for name, values in hidden.items()},
            **{name: f"{float(values[i]):.6g}" for name, values in numbers.items()},
        }
        for i in range(len(names))
    ]


def _write_notes(folder: Path, design: Design, seed: int, framing: Framing, settings: SimSettings) -> None:
    notes = {
        "data_kind": "simulated",
        "settings_sha256": settings.sha256,
        "seed": seed,
        "framing": framing,
        "n_patients": design.n_patients,
        "n_specimens": len(design.patient),
        "settings": settings.described(),
    }
    study = simulated_study(design.n_patients, len(design.patient), seed, settings.readers.n_readers)
    (folder / "study.toml").write_text(study, encoding="utf-8")
    (folder / "settings.json").write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")
    text = _README.format(patients=design.n_patients, specimens=len(design.patient), seed=seed, sha=settings.sha256)
    (folder / "README.txt").write_text(text, encoding="utf-8")

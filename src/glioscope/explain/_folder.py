"""A folder of explanations: pictures, maps, the figure and an index, written as a whole or not at all."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import tifffile

from glioscope import RESEARCH_USE
from glioscope.core import ImageError, InputError, atomic_folder, write_text
from glioscope.imaging import SpecimenSource

from ._colours import draw_views
from ._explainer import ExplainedImage, Explainer, Explanation
from ._figure import FigureRow, explanation_figure, write_explanation_figure
from ._maps import Target
from ._views import Scale

INDEX = "index.json"
KIND = "glioscope explanations"
MAPS = ("signed_heatmap", "gcam_saliency", "coloured_gcam")
"""Views whose numbers are written; the others follow from them and the image."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """One image set to explain: its files, and the label as index of a class of the task, None if unknown."""

    source: SpecimenSource
    label: int | None = None


@dataclass(frozen=True, slots=True)
class FolderSettings:
    """How explanations are made and drawn. `images_kind`: "simulated", "real" or "unspecified" images."""

    class_name: str | None = None
    scale: Literal["image", "shared"] = "shared"
    signed: bool = False
    images_kind: str = "unspecified"


@dataclass(slots=True)
class _Written:
    """What has been written so far: rows of the index, errors by specimen, and the rows of the figure."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    shown: dict[str, tuple[float, list[FigureRow]]] = field(default_factory=dict)


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds anything but earlier explanations.

    Raises
    ------
    InputError : names the folder.
    """
    if not folder.exists():
        return
    if folder.resolve() == Path.cwd():
        raise InputError(f"{folder}: is the folder that you are in, which cannot be replaced; name another one")
    if not folder.is_dir() or (any(folder.iterdir()) and not _is_ours(folder / INDEX)):
        raise InputError(f"{folder}: exists already and holds no earlier explanations; choose a new folder")


def _is_ours(index: Path) -> bool:
    if not index.is_file():
        return False
    try:
        found = json.loads(index.read_bytes())
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("kind") == KIND


def write_explanations(
    folder: Path,
    explainers: Sequence[Explainer],
    subjects: Sequence[Subject],
    settings: FolderSettings,
    progress: Progress = lambda done, total: None,
) -> dict[str, str]:
    """Explain every subject by every network that reads its images, and write `folder`.

    It holds `NUMBER-SPECIMEN/BUNDLE-INPUT/` with `image.png`, a PNG a view, `cam.tif` and 32-bit TIFFs of the views'
    numbers; `figure.png` and `figure.svg`; `index.json` with answer, score, class, scale and files of each.

    Returns
    -------
    Specimen -> why it could not be explained.

    Raises
    ------
    InputError : `folder` holds something else, or no subject could be explained.
    """
    check_folder(folder)
    passes = 2 if settings.scale == "shared" else 1
    count = _Count(progress, passes * len(subjects))
    scales = _shared_scales(explainers, subjects, settings, count) if settings.scale == "shared" else {}
    written = _Written()
    with atomic_folder(folder) as temporary:
        for number, subject in enumerate(subjects, start=1):
            _write_subject(temporary, number, subject, explainers, settings, scales, written)
            count.step()
        if not written.rows:
            raise InputError(next(iter(written.errors.values()), "there is nothing to explain"))
        _write_figure(temporary, written, settings)
        write_text(temporary / INDEX, json.dumps(_index(explainers, settings, written), indent=1))
    return written.errors


@dataclass
class _Count:
    """Steps done of a total, told to a progress bar."""

    progress: Progress
    total: int
    done: int = 0

    def step(self) -> None:
        self.done += 1
        self.progress(self.done, self.total)


def _explanations(
    explainers: Sequence[Explainer], subject: Subject, class_name: str | None
) -> Iterator[tuple[Explainer, Explanation]]:
    """What each network says that has all its images.

    Raises
    ------
    ImageError : an image cannot be used, or no network has all its images.
    """
    given = {"fl": subject.source.fl_image, "wl": subject.source.wl_image}
    able = [e for e in explainers if all(given[name] is not None for name in e.bundle.info.modality.inputs)]
    if not able:
        needs = " or ".join("+".join(e.bundle.info.modality.inputs).upper() for e in explainers)
        raise ImageError(None, f"specimen {subject.source.specimen_id} has not the images that are needed: {needs}")
    for explainer in able:
        yield explainer, explainer.explain(subject.source, class_name)


def _shared_scales(
    explainers: Sequence[Explainer], subjects: Sequence[Subject], settings: FolderSettings, count: _Count
) -> dict[tuple[str, str], Scale]:
    """(bundle, input) -> one scale for all subjects. Nothing else is kept, so a large cohort takes no memory."""
    found: dict[tuple[str, str], list[Scale]] = {}
    sources: dict[tuple[str, str], tuple[Explainer, Target]] = {}
    for subject in subjects:
        try:
            for explainer, explanation in _explanations(explainers, subject, settings.class_name):
                for name, shown in explanation.images.items():
                    key = (explanation.info.name, name)
                    found.setdefault(key, []).append(Scale.of(shown.views))
                    sources[key] = (explainer, explanation.target)
        except ImageError:
            pass  # told by the second pass, which meets it again
        count.step()
    shared = {key: Scale.shared(scales) for key, scales in found.items()}
    return {key: sources[key][0].scale(shared[key], sources[key][1], key[1]) for key in shared}


def _write_subject(
    folder: Path,
    number: int,
    subject: Subject,
    explainers: Sequence[Explainer],
    settings: FolderSettings,
    scales: Mapping[tuple[str, str], Scale],
    written: _Written,
) -> None:
    name = subject.source.specimen_id
    rows = []
    try:
        explained = [found for _, found in _explanations(explainers, subject, settings.class_name)]
    except ImageError as error:
        written.errors[name] = str(error)
        return
    for explanation in explained:
        label = "" if subject.label is None else explanation.info.task.class_names[subject.label]
        for key, shown in explanation.images.items():
            scale = scales.get((explanation.info.name, key)) or Scale.of(shown.views)
            place = Path(f"{number:04d}-{_file_name(name)}") / f"{explanation.info.name}-{key}"
            _write_image(folder / place, shown, scale, signed=settings.signed)
            row = FigureRow(explanation, key, scale, label)
            written.rows.append(_record(row, place))
            rows.append(row)
    _keep(written, subject, rows)


def _write_image(folder: Path, shown: ExplainedImage, scale: Scale, *, signed: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pictures = draw_views(shown.views, shown.image, shown.mask, scale, signed=signed)
    for name, picture in {"image": shown.image, **pictures}.items():
        stored = picture[..., ::-1] if picture.ndim == 3 else picture
        # Bytes by Python: the library would say nothing of a full disk.
        (folder / f"{name}.png").write_bytes(cv2.imencode(".png", np.ascontiguousarray(stored))[1].tobytes())
    for name, values in {"cam": shown.cam, **{name: getattr(shown.views, name) for name in MAPS}}.items():
        tifffile.imwrite(folder / f"{name}.tif", values.astype(np.float32), photometric="minisblack")


def _record(row: FigureRow, place: Path) -> dict[str, Any]:
    explanation = row.explanation
    return {
        "specimen_id": explanation.specimen_id,
        "label": row.label or None,
        "bundle": explanation.info.name,
        "image": row.image,
        "answer": explanation.answer.to_json(),
        "target": asdict(explanation.target),
        "scale": asdict(row.scale),
        "outside_specimen": round(explanation.images[row.image].views.outside, 4),
        "folder": str(place),
    }


def _keep(written: _Written, subject: Subject, rows: list[FigureRow]) -> None:
    """Keep the rows for the figure if no clearer specimen of their class came before.

    Clear is a score far on the side of its label: the lowest of the first class, the highest of the others. Without
    labels the first two specimens are shown.
    """
    if subject.label is None:
        if len(written.shown) < 2:
            written.shown[f"unlabelled {len(written.shown)}"] = (0.0, rows)
        return
    names = rows[0].explanation.info.task.class_names
    if subject.label not in (0, len(names) - 1):
        return
    scores = [row.explanation.answer.y_score for row in rows]
    mean = float(np.mean([0.5 if score is None else score for score in scores]))
    clear = -mean if subject.label == 0 else mean
    name = str(subject.label)
    # A specimen that more networks have read fills more rows of the figure.
    rank = clear + 10 * len(rows)
    if name not in written.shown or rank > written.shown[name][0]:
        written.shown[name] = (rank, rows)


def _write_figure(folder: Path, written: _Written, settings: FolderSettings) -> None:
    labelled = {name: rows for name, (_, rows) in written.shown.items() if not name.startswith("unlabelled")}
    chosen = labelled or {name: rows for name, (_, rows) in written.shown.items()}
    rows = [row for name in sorted(chosen) for row in chosen[name]]
    if not rows:  # an ordinal task of which only middle levels were explained
        return
    order = list(dict.fromkeys((row.explanation.info.name, row.image) for row in rows))
    networks = sorted(order, key=lambda key: (key[0].endswith("fusion"), order.index(key)))
    rows.sort(key=lambda row: networks.index((row.explanation.info.name, row.image)))
    note = "Rows: the specimens whose scores lie furthest on the side of their label." if labelled else ""
    plot = explanation_figure(rows, images_kind=settings.images_kind, signed=settings.signed, note=note)
    write_explanation_figure(plot, folder)


def _index(explainers: Sequence[Explainer], settings: FolderSettings, written: _Written) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "kind": KIND,
        "task": explainers[0].bundle.info.task.name,
        "bundles": [e.bundle.info.name for e in explainers],
        "images_kind": settings.images_kind,
        "trained_on": sorted({e.bundle.info.provenance.data_kind for e in explainers}),
        "scale": settings.scale,
        "signed": settings.signed,
        "explained": written.rows,
        "errors": written.errors,
        "notice": RESEARCH_USE,
    }


def _file_name(name: str) -> str:
    """A part of a file name, whatever the specimen is called; the number before it tells equal ones apart."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:60] or "specimen"

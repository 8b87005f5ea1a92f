"""`explain`: why a locked network answers as it does."""

from enum import StrEnum
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glioscope import RESEARCH_USE
from glioscope._terminal import out, progress, say_error
from glioscope.core import InputError, Modality, SuiteInfo

from ._app import app

if TYPE_CHECKING:
    from glioscope.core import Task
    from glioscope.explain import Subject


class ScaleChoice(StrEnum):
    """What full strength means in a picture."""

    IMAGE = "image"
    SHARED = "shared"


@app.command()
def explain(
    suite: Annotated[Path, typer.Argument(help="Folder of a locked suite, as `train` writes it.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder to write; earlier explanations there are replaced.")],
    fl: Annotated[Path | None, typer.Option(help="Fluorescence image of one specimen.")] = None,
    wl: Annotated[Path | None, typer.Option(help="White-light image of the same specimen.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Many specimens; labels choose the figure's rows.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="With --manifest: only so many image sets, of all classes in turn.")
    ] = None,
    task: Annotated[str, typer.Option(help="Which question of the suite.")] = "tumor",
    modality: Annotated[
        list[Modality] | None, typer.Option(help="Which networks; default fl and wl, else the one that answers.")
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Class to explain, as tumour or GBM; default the answered one.")
    ] = None,
    scale: Annotated[
        ScaleChoice, typer.Option(help="shared: maps can be compared. image: each map by itself.")
    ] = ScaleChoice.SHARED,
    signed: Annotated[bool, typer.Option("--signed", help="Heatmaps also show what speaks against the class.")] = False,
    full_frame: Annotated[bool, typer.Option("--full-frame", help="--fl/--wl are frames: find the specimen.")] = False,
    mm_per_px: Annotated[float | None, typer.Option(help="Scale of --fl/--wl; needed by --full-frame.")] = None,
    exposure_ms: Annotated[float | None, typer.Option(help="Exposure of --fl, where the suite scales by it.")] = None,
    irradiance: Annotated[float | None, typer.Option(help="On the specimen in mW/cm2, likewise.")] = None,
) -> None:
    """Write the five views of the paper's Fig. 3 for each specimen, their numbers, and the figure."""
    from glioscope.imaging import SpecimenSource
    from glioscope.runtime import load_suite_info

    if (manifest is None) == (fl is None and wl is None):
        raise InputError("give either --fl and/or --wl, or --manifest")
    numbers = {"--mm-per-px": mm_per_px, "--exposure-ms": exposure_ms, "--irradiance": irradiance}
    _check_options(manifest, {"--fl": fl, "--wl": wl}, numbers, limit=limit, full_frame=full_frame)
    room = _room()
    room.check_folder(folder)
    given = [name for name, path in (("fl", fl), ("wl", wl)) if path is not None or manifest is not None]
    explainers = [room.Explainer.load(suite, n) for n in _bundles(suite, load_suite_info(suite), task, modality, given)]
    asked = explainers[0].bundle.info.task
    if class_name is not None:
        room.class_target(asked, class_name)
    kind = "unspecified"
    if manifest is not None:
        subjects, kind = _subjects(manifest, asked, limit)
    else:
        source = SpecimenSource(
            (fl or wl or Path("specimen")).stem,
            fl_image=fl,
            wl_image=wl,
            framing="full" if full_frame else "cut",
            mm_per_px=mm_per_px,
            fl_exposure_ms=exposure_ms,
            irradiance_mw_cm2=irradiance,
        )
        subjects = [room.Subject(source)]
    settings = room.FolderSettings(class_name, scale.value, signed, kind)
    with progress("explaining", shown=manifest is not None) as advance:
        errors = room.write_explanations(folder, explainers, subjects, settings, advance)
    out.print(f"{folder}: figure.png, figure.svg, index.json, a folder a specimen. {RESEARCH_USE}", soft_wrap=True)
    if errors:
        for specimen, sentence in errors.items():
            say_error(f"{specimen}: {sentence}")
        raise typer.Exit(2)


def _room() -> Any:
    """The room `explain`, or one sentence where torch is missing."""
    try:
        from glioscope import explain as room
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("glioscope"):
            raise
        raise InputError(f"explaining needs glioscope[train] ({error.name} is not installed)") from error
    return room


def _check_options(
    manifest: Path | None,
    images: dict[str, Path | None],
    numbers: dict[str, float | None],
    *,
    limit: int | None,
    full_frame: bool,
) -> None:
    if manifest is None and limit is not None:
        raise InputError("--limit belongs to --manifest")
    described = [option for option, value in numbers.items() if value is not None]
    described += ["--full-frame"] if full_frame else []
    if manifest is not None and described:
        raise InputError(f"{described[0]} belongs to --fl/--wl; in a manifest it is a column (docs/manifest.md)")
    for path in images.values():
        if path is not None and not path.is_file():
            raise InputError(f"{path}: no such file")
    for option, value in numbers.items():
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"{option} {value:g} is out of range; give more than 0")


def _bundles(suite: Path, info: SuiteInfo, task: str, modalities: list[Modality] | None, given: list[str]) -> list[str]:
    """Names of the bundles to explain, which need not be those that answer."""
    known = [name for name in info.bundles if name.rpartition("-")[0] == task]
    if task not in info.answers and not known:
        raise InputError(f"{suite}: has no task {task!r}; it answers {', '.join(info.answers)}")
    if modalities:
        wanted = [f"{task}-{modality.value}" for modality in Modality if modality in modalities]
        missing = [name for name in wanted if name not in known]
        if missing:
            raise InputError(f"{suite}: has no bundle {missing[0]}; of task {task} it has {', '.join(known)}")
        return wanted
    single = [f"{task}-{name}" for name in given if f"{task}-{name}" in known]
    return single or ([info.answers[task]] if task in info.answers else known[:1])


def _subjects(manifest: Path, task: "Task", limit: int | None) -> tuple[list["Subject"], str]:
    """The image sets of a manifest with their labels, and what kind of images they are."""
    from glioscope.cohort import labels, load_manifest, sources
    from glioscope.explain import Subject

    cohort = load_manifest(manifest)
    # A manifest without the task's column (a custom one) is explained without labels.
    known = labels(cohort, task).dropna().astype(int).to_dict() if task.label in cohort.table.columns else {}
    subjects = [Subject(source, known.get(source.specimen_id)) for source in sources(cohort)]
    if limit is not None:
        classes: dict[int | None, list[Subject]] = {}
        for subject in subjects:
            classes.setdefault(subject.label, []).append(subject)
        in_turn = chain.from_iterable(zip_longest(*(classes[key] for key in sorted(classes, key=_last_if_unknown))))
        subjects = [subject for subject in in_turn if subject is not None][:limit]
    return subjects, cohort.data_kind


def _last_if_unknown(label: int | None) -> float:
    return float("inf") if label is None else label

"""`diagnose`: a locked suite on new specimens."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glioscope._terminal import print_answers, progress, say, say_error
from glioscope.core import Diagnosis, InputError

from ._app import app

if TYPE_CHECKING:
    from glioscope.cohort import Cohort
    from glioscope.imaging import SpecimenSource
    from glioscope.runtime import Cascade


@app.command()
def diagnose(
    suite: Annotated[Path, typer.Argument(help="Folder of a locked suite, as `train` writes it.")],
    fl: Annotated[Path | None, typer.Option(help="Fluorescence image of one specimen.")] = None,
    wl: Annotated[Path | None, typer.Option(help="White-light image of the same specimen.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Many specimens; labels are not needed.")] = None,
    full_frame: Annotated[bool, typer.Option("--full-frame", help="--fl/--wl are frames: find the specimen.")] = False,
    mm_per_px: Annotated[float | None, typer.Option(help="Scale of --fl/--wl; needed by --full-frame.")] = None,
    exposure_ms: Annotated[float | None, typer.Option(help="Exposure of --fl, where the suite scales by it.")] = None,
    irradiance: Annotated[float | None, typer.Option(help="On the specimen in mW/cm2, likewise.")] = None,
    fl_dark: Annotated[Path | None, typer.Option(help="Dark frame of --fl.")] = None,
    fl_flat: Annotated[Path | None, typer.Option(help="Flat frame of --fl.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record a line.")] = False,
) -> None:
    """Diagnose specimens with a locked suite: tumour first; grade and Ki-67 of tumours only."""
    from glioscope.imaging import SpecimenSource
    from glioscope.runtime import Cascade

    if (manifest is None) == (fl is None and wl is None):
        raise InputError("give either --fl and/or --wl, or --manifest")
    frames = {"--fl-dark": fl_dark, "--fl-flat": fl_flat}
    numbers = {"--mm-per-px": mm_per_px, "--exposure-ms": exposure_ms, "--irradiance": irradiance}
    faults: dict[str, str] = {}
    if manifest is None:
        _check_single({"--fl": fl, "--wl": wl, **frames}, numbers)
        source = SpecimenSource(
            (fl or wl or Path("specimen")).stem,
            fl_image=fl,
            wl_image=wl,
            framing="full" if full_frame else "cut",
            mm_per_px=mm_per_px,
            fl_exposure_ms=exposure_ms,
            irradiance_mw_cm2=irradiance,
            fl_dark=fl_dark,
            fl_flat=fl_flat,
        )
        specimens = [[source]]
    else:
        described = {**frames, **numbers, "--full-frame": full_frame or None}
        given = [option for option, value in described.items() if value is not None]
        if given:
            raise InputError(f"{given[0]} belongs to --fl/--wl; in a manifest it is a column (docs/manifest.md)")
        specimens, faults = _manifest_sources(manifest)
    cascade = Cascade.load(suite)
    watched = manifest is not None and not (as_json and sys.stdout.isatty())
    answers = []
    with progress("diagnosing", shown=watched) as advance:
        for answer in _answers(cascade, specimens, faults):
            answers.append(answer)
            if as_json:
                print(json.dumps({**answer.to_json(), "data_kind": cascade.data_kind}), flush=True)  # noqa: T201
            advance(len(answers), len(specimens))
    if not as_json:
        names = {task: bundle.info.name for task, bundle in cascade.bundles.items()}
        print_answers(answers, names, cascade.data_kind)
    failed = sum(answer.error is not None for answer in answers)
    if failed:
        say_error(f"{failed} of {len(specimens)} specimens could not be diagnosed")
        raise typer.Exit(2)


def _check_single(paths: Mapping[str, Path | None], numbers: Mapping[str, float | None]) -> None:
    for path in paths.values():
        if path is not None and not path.is_file():
            raise InputError(f"{path}: no such file")
    for option, value in numbers.items():
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"{option} {value:g} is out of range; give more than 0")


def _answers(
    cascade: "Cascade", specimens: list[list["SpecimenSource"]], faults: Mapping[str, str]
) -> Iterator[Diagnosis]:
    for sets in specimens:
        name = sets[0].specimen_id
        yield Diagnosis(name, error=faults[name]) if name in faults else cascade.diagnose(sets)


def _manifest_sources(manifest: Path) -> tuple[list[list["SpecimenSource"]], dict[str, str]]:
    """Image sets by specimen, and why some specimens must not be answered."""
    from glioscope.cohort import load_manifest, sources

    cohort = load_manifest(manifest, on_error="keep")
    faults = _faults(cohort)
    by_specimen: dict[str, list[SpecimenSource]] = {}
    owner: dict[str, str] = {}
    for source, patient in zip(sources(cohort), cohort.table["patient_id"], strict=True):
        first = owner.setdefault(source.specimen_id, patient)
        if patient != first:
            raise InputError(f"{manifest}: specimen {source.specimen_id} stands under patients {first} and {patient}")
        by_specimen.setdefault(source.specimen_id, []).append(source)
    if not by_specimen:
        raise InputError(f"{manifest}: no row names a patient and a specimen")
    return list(by_specimen.values()), faults


def _faults(cohort: "Cohort") -> dict[str, str]:
    """Specimen -> what is wrong with cells that decide which pixels a network sees.

    Such a cell was left blank on reading, so that an answer would rest on a guess. Other problems (labels, which need
    not be known here) are only told.
    """
    from glioscope.imaging import SpecimenSource

    needed = {"image_id", *(field.name for field in fields(SpecimenSource))}
    owner = dict[int | None, str](zip(cohort.table["row"], cohort.table["specimen_id"], strict=True))
    found: dict[str, list[str]] = {}
    for problem in cohort.problems:
        whole_row = problem.column is None
        if problem.row in owner and (whole_row or needed & set(str(problem.column).split(", "))):
            found.setdefault(owner[problem.row], []).append(str(problem))
        else:
            say("warning", "yellow", f"{cohort.path}: {problem}")
    return {specimen: "; ".join(sentences) for specimen, sentences in found.items()}

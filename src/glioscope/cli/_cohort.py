"""`simulate` and `check`: making a cohort, and looking at one."""

from pathlib import Path
from typing import Annotated

import typer

from glioscope._terminal import out, print_table, progress, say
from glioscope.core import BUILT_IN_TASKS, InputError, ManifestError

from ._app import CutOffOption, ManifestArgument, TaskFileOption, TaskOption, app


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="New folder for the cohort.")],
    patients: Annotated[int, typer.Option(min=1)] = 23,
    specimens: Annotated[int, typer.Option(min=2)] = 1874,
    size: Annotated[str, typer.Option(help="Width x height of a cut specimen image in pixels.")] = "160x128",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    trays: Annotated[int, typer.Option(min=0, help="Frame pairs with many specimens each, beside the cohort.")] = 0,
    full_frames: Annotated[bool, typer.Option("--full-frames", help="640 x 512 frames instead of cut images.")] = False,
) -> None:
    """Write a SIMULATED cohort of the paper's size: manifest, images, readings, and the true ceiling."""
    from glioscope.sim import simulate as run

    width, _, height = size.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise InputError(f"--size {size!r} is not WIDTHxHEIGHT, for example 160x128")
    _refuse_existing(folder)
    with progress("rendering") as advance:
        run(
            folder,
            n_patients=patients,
            n_specimens=specimens,
            size=(int(width), int(height)),
            seed=seed,
            trays=trays,
            framing="full" if full_frames else "cut",
            progress=advance,
        )
    manifest = folder / "manifest.csv"
    out.print(f"SIMULATED cohort: {manifest} (ceilings in oracle.csv, readers in readings.csv)", soft_wrap=True)


@app.command()
def check(
    manifest: ManifestArgument,
    task: TaskOption = None,
    task_file: TaskFileOption = None,
    ki67_cut_off: CutOffOption = 10.0,
    headers_only: Annotated[bool, typer.Option("--headers-only", help="Do not decode every image.")] = False,
) -> None:
    """List every problem of a manifest at once, and count specimens and patients as the paper's Fig. 1a does."""
    from glioscope.cohort import load_manifest, resolve_tasks, summarise

    tasks = resolve_tasks(task or list(BUILT_IN_TASKS), task_file, ki67_cut_off=ki67_cut_off)
    with progress("reading images") as advance:
        cohort = load_manifest(manifest, check_pixels=not headers_only, on_error="keep", progress=advance)
    for warning in cohort.warnings:
        say("warning", "yellow", str(warning))
    summary = summarise(cohort, tasks)
    print_table(
        f"{manifest}: {summary.specimens} specimens of {summary.patients} patients ({cohort.data_kind} images); "
        f"{summary.fl_specimens} with FL, {summary.wl_specimens} with WL",
        ("task", "class", "specimens", "patients"),
        [tuple(str(cell) for cell in row.values()) for row in summary.rows()],
    )
    if cohort.problems:
        raise ManifestError(manifest, cohort.problems)


def _refuse_existing(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists already and is not empty; choose a new folder")
